/**
 * What the page of schedules shows: those of the queues of tasks, or what somebody else tells who fires
 * them.
 *
 * @module
 */
import { whenOf } from "../format.ts";
import type { Monitor } from "../snapshot.ts";

/** Something that is enqueued again and again. */
export interface Schedule {
  /** What it is called. */
  readonly name: string;
  /** The queue that it is enqueued in. */
  readonly queue: string;
  /** When, in words or as cron writes it: `0 9 * * 1-5`. */
  readonly pattern: string;
  /** In which time zone, if it matters. */
  readonly timeZone?: string;
  /** The name of its task. */
  readonly task?: string;
  /** When it fires next, in milliseconds since 1970. */
  readonly nextAt?: number;
  /** And when then. */
  readonly upcoming?: readonly number[];
  /** When it fired last. */
  readonly lastAt?: number;
  /** The id of what was enqueued then. */
  readonly lastId?: string;
  /** How often it fired. */
  readonly firings?: number;
  /** How often it did not, since the last one was not finished. */
  readonly skipped?: number;
  /** Whether it is off at the moment. */
  readonly paused?: boolean;
}

/** Gives all schedules, at most a thousand. It is asked every two seconds while somebody looks. */
export type Schedules = () => Promise<readonly Schedule[]>;

/** How many schedules are told. */
const MOST = 1_000;

/** How many ticks behind the next one are told of each. */
const UPCOMING = 2;

/** The schedules of all queues of tasks. */
export function taskSchedules(monitor: () => Promise<Monitor>): Schedules {
  return async () => {
    const all = await (await monitor()).schedules({ upcoming: UPCOMING });
    return all.slice(0, MOST).map(({ type, cron, everyMs, payload: _, ...rest }) => ({
      ...rest,
      ...(type !== undefined && { task: type }),
      pattern: whenOf({
        ...(cron !== undefined && { cron }),
        ...(everyMs !== undefined && { everyMs }),
      }),
    }));
  };
}
