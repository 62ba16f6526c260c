/**
 * What goes into a scheduler of tasks, and what it tells.
 *
 * @module
 */
import { type OptionNames, optionNames } from "../../redis/options.ts";
import type { CatchUp, Overlap } from "./schedule.ts";
import type { TaskQueueOptions } from "./task_queue.ts";

/** What happens in a scheduler, for `onEvent`. A firing whose reply was lost is told by nobody. */
export type SchedulerEvent =
  /** A tick became a task. `lateMs` by Redis's clock. */
  | { type: "fired"; schedule: string; id: string; at: number; lateMs: number }
  /** A tick became none, since the last task is not finished (`overlap: "skip"`). */
  | { type: "skipped"; schedule: string; id: string; at: number }
  /** Nobody has fired the tick of `at` in time: what happens now is up to `catchUp`. */
  | { type: "late"; schedule: string; at: number; lateMs: number; catchUp: CatchUp }
  /** Redis is away, or refuses writes: the loop goes on in a while. */
  | { type: "retrying"; error: Error; inMs: number }
  /**
   * A definition cannot be followed here: somebody else has written it, or a version to come. It is left
   * to other schedulers, and told once.
   */
  | { type: "error"; schedule: string; error: Error };

/**
 * Options of `TaskScheduler`. Those of the queue should be what its workers have, since a
 * scheduler, too, finds lapsed leases.
 */
export interface TaskSchedulerOptions extends
  Pick<
    TaskQueueOptions<object>,
    | "group"
    | "leaseMs"
    | "maxAttempts"
    | "maxDead"
    | "maxDeadAgeMs"
    | "keepCompleted"
    | "keepFailed"
    | "keepRecords"
    | "maxEvents"
    | "stats"
  > {
  /**
   * The queue of the tasks.
   *
   * @default "tasks"
   */
  name?: string;
  /**
   * Told what happens. Without it, a definition that cannot be followed ends the scheduler with its error,
   * since nothing may fail silently.
   */
  onEvent?: (event: SchedulerEvent) => void;
}

/** The names of these options. */
export const SCHEDULER_OPTIONS: OptionNames = optionNames<TaskSchedulerOptions>({
  name: true,
  group: true,
  leaseMs: true,
  maxAttempts: true,
  maxDead: true,
  maxDeadAgeMs: true,
  keepCompleted: true,
  keepFailed: true,
  keepRecords: true,
  maxEvents: true,
  stats: true,
  onEvent: true,
});
/** What became of a schedule that was defined. */
export interface Scheduled {
  /** Its name. */
  readonly name: string;
  /** When it fires next, in milliseconds since 1970, by Redis's clock; absent where it has come to its end. */
  readonly nextAt?: number;
  /** Whether it is new, another one than before, or as it was. */
  readonly change: "added" | "changed" | "none";
}

/** A schedule, as `TaskScheduler.list` gives it. */
export interface Schedule {
  /** Its name. */
  readonly name: string;
  /** The task's name; absent where the definition cannot be read. */
  readonly type?: string;
  /** The task's payload. */
  readonly payload?: unknown;
  /** Its pattern, if it has one. */
  readonly cron?: string;
  /** The zone whose clocks the pattern means. */
  readonly timeZone?: string;
  /** Its interval in milliseconds, if it has one. */
  readonly everyMs?: number;
  /** What becomes of ticks that nobody fired in time. */
  readonly catchUp?: CatchUp;
  /** How late a tick may be before it counts as missed, in milliseconds. */
  readonly missedAfterMs?: number;
  /** Whether a tick fires while the task of the last firing is not finished. */
  readonly overlap?: Overlap;
  /** When it fires next, in milliseconds since 1970, by Redis's clock; absent where it has come to its end. */
  readonly nextAt?: number;
  /** The ticks behind it, where they were asked for, in milliseconds since 1970. */
  readonly upcoming?: readonly number[];
  /** The tick that fired last, in milliseconds since 1970, if one has. */
  readonly lastAt?: number;
  /** The id of its task. */
  readonly lastId?: string;
  /** How many ticks became tasks. */
  readonly firings: number;
  /** How many did not, since the last task was not finished. */
  readonly skipped: number;
}
