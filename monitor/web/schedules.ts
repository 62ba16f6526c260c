/**
 * What the page of schedules shows: whoever fires them tells it here.
 *
 * @module
 */

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
  /** When it fires next, in milliseconds since 1970. */
  readonly nextAt?: number;
  /** When it fired last. */
  readonly lastAt?: number;
  /** Whether it is off at the moment. */
  readonly paused?: boolean;
}

/** Gives all schedules, at most a thousand. It is asked every two seconds while somebody looks. */
export type Schedules = () => Promise<readonly Schedule[]>;
