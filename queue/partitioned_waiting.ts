/**
 * A consumer of a queue with partitions that is no worker: `receive`, `receiveMany` and `consume`. It claims
 * on the client that it was given; while it waits it is told of tokens over a connection to each master.
 *
 * Nobody else may be there to promote what is due and to sweep what lapsed: while anybody waits here it is
 * looked after, on time and every second.
 *
 * It ends with `close()`.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import { sleep, within } from "../redis/timers.ts";
import { TICK_MS } from "./claimer.ts";
import { type Delivery, WORKED } from "./delivery.ts";
import { ASIDE, TICK } from "./intake.ts";
import type { ReceiveOptions } from "./message.ts";
import { PartitionedClaims } from "./partitioned_claims.ts";
import { WakeWatch } from "./wake_watch.ts";

/** For how long those are waited for that were asked, once others have something, in milliseconds. */
const GATHER_MS = 250;

/** How long the end may take while Redis does not answer, in milliseconds. */
const CLOSE_MS = 500;

/** What it needs of a partition. */
interface Part<T> {
  receiveMany(max: number): Promise<Delivery<T>[]>;
  [TICK](): Promise<number>;
  /** Whether an operator has paused it: a token that it takes is for others. */
  readonly [ASIDE]: boolean;
}

/** See the module. */
export class PartitionedWaiting<T> {
  readonly #parts: readonly Part<T>[];
  readonly #watch: WakeWatch;
  #waiters = 0;
  #again = new AbortController();
  #ticking: Promise<void> | undefined;

  /** @param tokens Where the token of each partition is. */
  constructor(
    client: RedisClient,
    parts: readonly Part<T>[],
    tokens: readonly string[],
  ) {
    this.#parts = parts;
    this.#watch = new WakeWatch(client, tokens);
  }

  /**
   * Claims up to `max` messages, waiting for the first of them if told so.
   *
   * @param options `turn`: which partition is asked first.
   */
  async take(
    max: number,
    { waitMs = 0, signal, turn }: ReceiveOptions & { turn: number },
  ): Promise<Delivery<T>[]> {
    const waits = waitMs > 0;
    const lanes = this.#parts.map((part) => ({
      claim: async (most: number) => {
        const batch = await part.receiveMany(most);
        // It may have heard of a message that is due before all others.
        if (batch.length === 0 && waits) this.#again.abort();
        return batch;
      },
      holdsBack: () => part[ASIDE],
    }));
    const watch = waits ? this.#watch : undefined;
    const claims = new PartitionedClaims<Delivery<T>>(lanes, { watch, turn, keepsSlots: false });
    this.#waiters += waits ? 1 : 0;
    if (waits) this.#ticking ??= this.#tick();
    let failure: { error: unknown } | undefined;
    let batch: Delivery<T>[] = [];
    try {
      batch = await claims.take(max, { waitMs, ...(signal && { signal }) });
      // What one has no use for others may have.
      for (let more = batch; more.length > 0 && batch.length < max; batch.push(...more)) {
        more = await claims.take(max - batch.length, {});
      }
    } catch (error) {
      failure = { error };
    }
    this.#waiters -= waits ? 1 : 0;
    if (this.#waiters === 0) this.#again.abort();
    // What the others have answered meanwhile is in our hands, too; what is late goes back.
    const late = (delivery: Delivery<T>) => void delivery[WORKED]().release().catch(() => {});
    batch.push(...await claims.close(GATHER_MS, late));
    batch.splice(max).reverse().forEach(late);
    if (failure && batch.length === 0) throw failure.error;
    return batch;
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    await this.#watch.close();
    if (this.#ticking) await within(this.#ticking, CLOSE_MS).catch(() => {}); // a master is away
  }

  async #tick(): Promise<void> {
    while (this.#waiters > 0) {
      this.#again = new AbortController();
      const dues = await Promise.all(
        this.#parts.map((part) => part[TICK]().catch(() => Infinity)), // the claim meets the same trouble
      );
      const now = performance.now();
      const nextMs = Math.min(TICK_MS, ...dues.map((due) => Math.max(1, due - now)));
      if (this.#waiters > 0) await sleep(nextMs, this.#again.signal);
    }
    this.#ticking = undefined;
  }
}
