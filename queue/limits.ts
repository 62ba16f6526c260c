/**
 * What a queue with leases keeps, and for how long: checked here, and handed to the scripts as one
 * argument, which they look into only where something ends.
 *
 * @module
 */
import { checkOptions, optionNames } from "../redis/options.ts";
import { checkCount, checkMs } from "../redis/timers.ts";

/** How much of a log is kept. */
export interface LogLimits {
  /**
   * How many entries, from 1 to 1,000,000.
   *
   * @default 1_000
   */
  count?: number;
  /**
   * How long each, in milliseconds; at least 1.
   *
   * @default 86_400_000 (one day)
   */
  ageMs?: number;
}

const LOG_LIMITS = optionNames<LogLimits>({ count: true, ageMs: true });

/** What ends an attempt, a dead letter or an entry of a log. */
export interface Limits {
  attempts: number;
  dead: number;
  dead_age: number;
  failed: number;
  failed_age: number;
  completed: number;
  completed_age: number;
}

/**
 * The limits of a log; none where it is off.
 *
 * @throws {TypeError} for what is no object, or has other members.
 * @throws {RangeError} for a measure out of range.
 */
export function logLimits(
  name: string,
  limits: LogLimits | undefined,
): { count: number; ageMs: number } {
  if (limits === undefined) return { count: 0, ageMs: 0 };
  const { count = 1_000, ageMs = 86_400_000 } = checkOptions(name, limits, LOG_LIMITS);
  return {
    count: checkCount(`${name}.count`, count),
    ageMs: Math.ceil(checkMs(`${name}.ageMs`, ageMs, { min: 1, max: Number.MAX_SAFE_INTEGER })),
  };
}

/** The limits as the scripts read them: `attempts=5 dead=10000 …`. */
export function policyOf(limits: Limits): string {
  return Object.entries(limits).map(([name, value]) => `${name}=${value}`).join(" ");
}
