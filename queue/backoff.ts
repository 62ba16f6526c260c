/**
 * How long a message waits before its next attempt.
 *
 * @module
 */
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

/**
 * The function that a {@linkcode Backoff} stands for. Full jitter spreads the attempts of many
 * messages that failed together.
 *
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/}
 * @throws {RangeError} for measures that are no durations.
 */
export function backoffOf(backoff: Backoff = {}): (attempt: number, error: unknown) => number {
  if (typeof backoff === "function") return backoff;
  const baseMs = checkMs("backoff.baseMs", backoff.baseMs ?? 1_000);
  const maxMs = checkMs("backoff.maxMs", backoff.maxMs ?? 300_000);
  return (attempt) => Math.random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 40));
}
