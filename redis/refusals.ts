/**
 * Servers to which no connection could be made, and until when each is left alone: longer each time, with
 * full jitter, up to a quarter of a second. So a master that is away is not hammered by all who wait for it,
 * and one that comes back is found about as soon as it is there.
 *
 * It is over for a server when a connection to it stands, or when it is named as a master anew.
 *
 * @module
 */
import { backoffMs } from "./timers.ts";

/** Longest pause between two attempts. */
export const MAX_PAUSE_MS = 250;

/** After how long a server that nobody has asked for any more is forgotten: addresses come and go. */
const FORGET_MS = 10_000;

interface Refusal {
  failures: number;
  /** By `performance.now()`. */
  until: number;
  error: unknown;
}

/** See the module. */
export class Refusals {
  readonly #all = new Map<string, Refusal>();

  /** No connection could be made, for this reason. */
  refused(address: string, error: unknown): void {
    const now = performance.now();
    for (const [other, { until }] of this.#all) {
      if (until + FORGET_MS < now) this.#all.delete(other);
    }
    const failures = this.#all.get(address)?.failures ?? 0;
    const until = now + backoffMs(failures, { maxMs: MAX_PAUSE_MS });
    this.#all.set(address, { failures: failures + 1, until, error });
  }

  /** There is a reason to try it at once. */
  forget(address: string): void {
    this.#all.delete(address);
  }

  /** Why it is left alone at the moment, and for how many milliseconds; undefined if it may be tried. */
  of(address: string): { error: unknown; leftMs: number } | undefined {
    const refusal = this.#all.get(address);
    const leftMs = refusal ? refusal.until - performance.now() : 0;
    return refusal && leftMs > 0 ? { error: refusal.error, leftMs } : undefined;
  }
}
