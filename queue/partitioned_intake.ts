/**
 * A worker's side of a queue that has partitions: an intake for each, asked in turn.
 *
 * Free slots are shared out evenly, and whoever gets one more changes with every turn; what a partition
 * does not need the next turn gives to others. When there is nothing anywhere, all are waited for, and
 * the first that has something calls the others back.
 *
 * @module
 */
import { sleep } from "../redis/timers.ts";
import type { Delivery } from "./delivery.ts";
import type { Ended, Intake } from "./intake.ts";
import type { ReceiveOptions } from "./message.ts";

/** See the module. */
export class PartitionedIntake<T> implements Intake<Delivery<T>> {
  readonly givesBack = true;
  readonly #intakes: readonly Intake<Delivery<T>>[];
  readonly #of = new WeakMap<Delivery<T>, Intake<Delivery<T>>>();
  readonly #enter: () => Promise<void>;
  #turn = 0;

  /** @param enter Resolves when the number of partitions is known to be right. */
  constructor(intakes: readonly Intake<Delivery<T>>[], enter: () => Promise<void>) {
    this.#intakes = intakes;
    this.#enter = enter;
  }

  get answeredAt(): number | undefined {
    const times = this.#intakes.map(({ answeredAt }) => answeredAt ?? -Infinity);
    const latest = Math.max(...times);
    return latest === -Infinity ? undefined : latest;
  }

  async take(max: number, { waitMs = 0, signal }: ReceiveOptions): Promise<Delivery<T>[]> {
    await this.#enter();
    const count = this.#intakes.length;
    // With fewer free slots than partitions a round of all of them takes several turns.
    for (let asked = 0; asked < count; asked += max) {
      // No more than there are free slots, in all.
      const shares = shareOut(max, count, this.#turn);
      this.#turn = (this.#turn + Math.max(1, max % count)) % count;
      const batch = await this.#takeAll(shares, signal ? { signal } : {});
      if (batch.length > 0 || signal?.aborted) return batch;
    }
    return waitMs === 0 ? [] : await this.#waitForAny(max, waitMs, signal);
  }

  lost(delivery: Delivery<T>, now: number): Error | undefined {
    return this.#at(delivery).lost?.(delivery, now);
  }

  done(delivery: Delivery<T>, settled?: (error?: Error) => void): void {
    this.#at(delivery).done(delivery, settled);
  }

  failed(delivery: Delivery<T>, error: unknown): Promise<Ended> {
    return this.#at(delivery).failed(delivery, error);
  }

  release(delivery: Delivery<T>): Promise<boolean> {
    return this.#at(delivery).release(delivery);
  }

  signal(delivery: Delivery<T>): AbortSignal {
    return this.#at(delivery).signal(delivery);
  }

  abort(delivery: Delivery<T>, reason: unknown): void {
    this.#at(delivery).abort(delivery, reason);
  }

  async close(ms?: number): Promise<void> {
    await Promise.all(this.#intakes.map((intake) => intake.close(ms)));
  }

  #at(delivery: Delivery<T>): Intake<Delivery<T>> {
    return this.#of.get(delivery)!;
  }

  /**
   * What all of them have. One whose master is away fails alone, and others go on; only when nobody has
   * anything is that said.
   */
  async #takeAll(shares: readonly number[], options: ReceiveOptions): Promise<Delivery<T>[]> {
    const results = await Promise.allSettled(this.#intakes.map(async (intake, i) => {
      if (shares[i] === 0) return [];
      const batch = await intake.take(shares[i]!, options);
      for (const delivery of batch) this.#of.set(delivery, intake);
      return batch;
    }));
    return batchOf(results);
  }

  /**
   * The first that has something calls the others back. What they had by then as well goes out too, and what
   * is more than there are free slots is given back: that spends no attempt.
   */
  async #waitForAny(
    max: number,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Delivery<T>[]> {
    const enough = new AbortController();
    const over = signal ? AbortSignal.any([signal, enough.signal]) : enough.signal;
    const most = Math.max(1, Math.floor(max / this.#intakes.length));
    const results = await Promise.allSettled(this.#intakes.map(async (intake) => {
      try {
        const batch = await intake.take(most, { waitMs, signal: over });
        for (const delivery of batch) this.#of.set(delivery, intake);
        if (batch.length > 0) enough.abort();
        return batch;
      } catch (error) {
        if (enough.signal.aborted) return []; // called back
        // The others wait on, but not for long: whoever is away may be back.
        await sleep(AWAY_MS, over);
        enough.abort();
        throw error;
      }
    }));
    const batch = batchOf(results);
    for (const delivery of batch.splice(max).reverse()) await this.release(delivery);
    return batch;
  }
}

/** How long others are waited for when one partition's master is away, in milliseconds. */
const AWAY_MS = 500;

/** What there is; why there is nothing, if somebody failed. */
function batchOf<D>(results: PromiseSettledResult<D[]>[]): D[] {
  const batch = results.flatMap((result) => result.status === "fulfilled" ? result.value : []);
  const failed = results.find((result) => result.status === "rejected");
  if (batch.length === 0 && failed) throw failed.reason;
  return batch;
}

/** `max` in `count` shares that differ by one at most; who has one more changes with the turn. */
export function shareOut(max: number, count: number, turn: number): number[] {
  const shares = new Array<number>(count).fill(Math.floor(max / count));
  for (let i = 0; i < max % count; i++) shares[(turn + i) % count]!++;
  return shares;
}
