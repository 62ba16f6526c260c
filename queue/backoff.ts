/**
 * How long a message waits before its next attempt.
 *
 * @module
 */
import { checkOptions, optionNames } from "../redis/options.ts";
import { show } from "../redis/show.ts";
import { checkMs } from "../redis/timers.ts";

/** Exponential backoff with full jitter: between 0 and `baseMs · 2^(attempt − 1)`, `maxMs` at most. */
export interface BackoffOptions {
  /**
   * The longest wait after the first attempt, in milliseconds. 0 does not wait at all.
   *
   * @default 1_000
   */
  baseMs?: number;
  /**
   * The longest wait of all, in milliseconds.
   *
   * @default 300_000 (five minutes)
   */
  maxMs?: number;
}

/**
 * Milliseconds before the next attempt, from the number of the one that failed (1 is the first) and
 * what was thrown; or the measures of an exponential backoff.
 */
export type Backoff = BackoffOptions | ((attempt: number, error: unknown) => number);

const BACKOFF_OPTIONS = optionNames<BackoffOptions>({ baseMs: true, maxMs: true });

/**
 * The function that a {@linkcode Backoff} stands for. Full jitter spreads the attempts of many
 * messages that failed together.
 *
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/}
 * @throws {TypeError} for what is neither a function nor measures, or has others.
 * @throws {RangeError} for measures that are no durations.
 */
export function backoffOf(backoff: Backoff = {}): (attempt: number, error: unknown) => number {
  if (typeof backoff === "function") return backoff;
  if (typeof backoff !== "object" || backoff === null) {
    throw new TypeError(
      `backoff must be { baseMs, maxMs } or a function, but is ${show(backoff)}`,
    );
  }
  const { baseMs = 1_000, maxMs = 300_000 } = checkOptions("backoff", backoff, BACKOFF_OPTIONS);
  checkMs("backoff.baseMs", baseMs);
  checkMs("backoff.maxMs", maxMs);
  return (attempt) => Math.random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 40));
}
