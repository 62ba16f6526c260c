/**
 * Waiting that can be called off, and how long to wait between attempts.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { show } from "./show.ts";

/**
 * Waits `ms` milliseconds, or less when one of the signals aborts; it resolves either way, since the loops
 * that use it look at their signals next. Several are not made one by `AbortSignal.any`: on Node 20 each use of
 * that leaves some eighty bytes with the longest-lived of them, and such a loop runs for months.
 */
export function sleep(ms: number, ...signals: (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    if (signals.some((signal) => signal?.aborted)) return resolve();
    const done = () => {
      clearTimeout(timer);
      // A listener that stays behind would pile up on a long-lived signal.
      for (const signal of signals) signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) signal?.addEventListener("abort", done);
  });
}

/**
 * Milliseconds to wait before attempt number `attempt` (from 0): exponential with full jitter, so
 * that many clients of one server that came back do not return in step.
 *
 * @see {@link https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/}
 */
export function backoffMs(attempt: number, { baseMs = 50, maxMs = 1_000 } = {}): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
  // Never 0: a dead port refuses at once, and a loop without a pause would eat a core.
  return Math.ceil(ceiling / 4 + Math.random() * ceiling * 3 / 4);
}

/** A promise with its ends in our hands. */
export interface Deferred {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** What `Promise.withResolvers` gives, which Node has from version 22 only. */
export function deferred(): Deferred {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<void>((yes, no) => [resolve, reject] = [yes, no]);
  return { promise, resolve, reject };
}

/** What {@linkcode within} rejects with. */
export class DeadlineError extends Error {
  /** The name that stack traces show. */
  override readonly name = "DeadlineError";
}

/**
 * The promise, or a {@linkcode DeadlineError} after `ms`, or when `signal` aborts. The promise itself goes
 * on; its late rejection is not reported as unhandled, since its caller has been answered.
 */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
  signal?: AbortSignal,
): Promise<T> {
  promise.catch(() => {});
  let timer: ReturnType<typeof setTimeout> | undefined;
  let late = () => {};
  const deadline = new Promise<never>((_, reject) => {
    late = () => reject(new DeadlineError(`nothing within ${ms} ms`));
    timer = setTimeout(late, ms);
    signal?.addEventListener("abort", late);
    if (signal?.aborted) late();
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", late);
  }
}

/**
 * Whether the promise settles within `ms`. A busy event loop lets timers run before it reads what has
 * arrived meanwhile, so after the time it looks twice more before it says no.
 */
export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let settled = false;
  const done = promise.then(() => settled = true, () => settled = true);
  await within(done, ms).catch(() => {});
  for (let turns = 0; turns < 2 && !settled; turns++) await nextTurn();
  return settled;
}

/** The promise, or the reason of the signal if that aborts first; the promise itself goes on. */
export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
  });
}

/** After what has arrived by now was read. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => resolve()));
}

/**
 * Checks a duration in milliseconds.
 *
 * @throws {RangeError} naming the option and the value.
 */
export function checkMs(name: string, ms: number, { min = 0, max = 2_147_483_647 } = {}): number {
  // setTimeout treats anything above 2³¹ − 1 as 1.
  if (typeof ms !== "number" || !(ms >= min && ms <= max)) {
    throw new RangeError(
      `${name} must be a number of milliseconds from ${min} to ${max}, but is ${
        show(ms, "number")
      }`,
    );
  }
  return ms;
}

/**
 * Checks a count.
 *
 * @throws {RangeError} naming the option and the value.
 */
export function checkCount(name: string, count: number, { min = 1, max = 1_000_000 } = {}): number {
  if (!Number.isInteger(count) || count < min || count > max) {
    throw new RangeError(
      `${name} must be a whole number from ${min} to ${max}, but is ${show(count, "number")}`,
    );
  }
  return count;
}
