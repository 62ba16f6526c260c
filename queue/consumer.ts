/**
 * A consumer without a worker: `receive`, `receiveMany` and `consume`. It claims on the client that it was
 * given, and waits on a connection of its own that it borrows meanwhile.
 *
 * While it waits it looks every second for what has lapsed, and on time for what is due, since Redis does
 * not. A consumer that leaves tells another one to look, by a token.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import type { DecodeError } from "../redis/codec.ts";
import type { QueueKeys } from "../redis/keys.ts";
import { type OwnConnection, OwnConnections } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { checkMs, sleep } from "../redis/timers.ts";
import { type Claimer, TICK_MS } from "./claimer.ts";
import type { Delivery } from "./delivery.ts";
import { feed, type FeedOptions } from "./feed.ts";
import type { Mode, ReceiveOptions } from "./message.ts";
import { Presence } from "./presence.ts";
import type { Hand } from "./hand.ts";

/** How messages are taken. */
interface TakeOptions {
  /** Whoever gets nothing comes again at once. */
  stays?: boolean;
  /** Told of an entry that cannot be read and has been put aside. */
  onUndecodable?: ((error: DecodeError) => void) | undefined;
}

/** What it is made of. */
export interface ConsumerParts<T> {
  name: string;
  kind: string;
  client: RedisClient;
  keys: QueueKeys;
  send: Send;
  claimer: Claimer;
  /** Puts errors of Redis into words. */
  explain: (send: Send) => Send;
  /** Makes deliveries of messages; buries what cannot be read. */
  deliver: (
    hand: Hand,
    messages: (Uint8Array | null)[],
    onUndecodable?: (error: DecodeError) => void,
  ) => Promise<Delivery<T>[]>;
}

/** See the module. */
export class Consumer<T> {
  readonly #made: ConsumerParts<T>;
  readonly #own: OwnConnections;
  /** How many loops run: to Redis they are one consumer. */
  #loops = 0;
  #presence: Presence | undefined;

  constructor(made: ConsumerParts<T>) {
    this.#made = made;
    this.#own = new OwnConnections(made.client, made.keys.wake);
  }

  /** Says that whoever takes here is there, if it is time again. */
  async announce(mode: Mode, holds: number): Promise<void> {
    const { claimer: { consumer }, send } = this.#made;
    this.#presence ??= new Presence({ ...this.#made, consumer, mode });
    await this.#presence.renew(send, holds);
  }

  /** Takes that back, if it was ever said. */
  async leave(): Promise<void> {
    await this.#presence?.leave(this.#made.send);
  }

  /** Calls back what waits, and closes its connections. */
  async close(): Promise<void> {
    await this.#own.close();
  }

  /** Batches of one, and the loop's own word that it is there. */
  async *feed(options: FeedOptions): AsyncGenerator<Delivery<T>[], void, void> {
    const { mode = "blocking", signal, onEvent } = options;
    const { claimer: { consumer }, send } = this.#made;
    const presence = new Presence({ ...this.#made, consumer, mode });
    let last: Delivery<T> | undefined;
    const how: TakeOptions = {
      stays: true,
      onUndecodable: (error) => onEvent?.({ type: "undecodable", error }),
    };
    const take = async (waitMs: number) => {
      await presence.renew(send, last && !last.settled ? 1 : 0);
      const batch = await this.take(1, { waitMs, signal }, how);
      last = batch[0];
      return batch;
    };
    this.#loops++;
    try {
      yield* feed(take, options);
    } finally {
      const isLast = --this.#loops === 0;
      if (isLast && this.#made.client.isReady) await presence.leave(send);
    }
  }

  /**
   * Claims up to `max` messages, waiting for the first of them if told so.
   *
   * @throws The reason of `signal` when it aborts, if nothing came.
   */
  async take(
    max: number,
    { waitMs = 0, signal }: ReceiveOptions,
    { stays = false, onUndecodable }: TakeOptions = {},
  ): Promise<Delivery<T>[]> {
    checkMs("waitMs", waitMs);
    signal?.throwIfAborted();
    const until = performance.now() + waitMs;
    let deliveries = await this.#claimAny(max, { onUndecodable });
    if (deliveries.length > 0 || waitMs === 0) return deliveries;
    return await this.#own.borrow(async (own) => {
      try {
        while (deliveries.length === 0) {
          const left = until - performance.now();
          if (left <= 0 || signal?.aborted) break;
          if (this.#made.claimer.isPaused) {
            await sleep(Math.min(TICK_MS, left), signal);
            if (signal?.aborted) break;
            deliveries = await this.#claimAny(max, { onUndecodable });
            continue;
          }
          const options = { waitMs: left, signal, onUndecodable };
          deliveries = await this.#waitOrTick(own, max, options);
        }
      } finally {
        const leaves = !stays || deliveries.length > 0 || signal?.aborted;
        // Where it fails, the longest wait makes up for it.
        if (leaves) await this.#made.claimer.handOn(this.#made.send).catch(() => {});
      }
      if (deliveries.length === 0) signal?.throwIfAborted();
      return deliveries;
    });
  }

  /** Claims when a token comes. Meanwhile it looks for what is due or has lapsed: Redis does not. */
  async #waitOrTick(
    own: OwnConnection,
    max: number,
    { waitMs, signal, onUndecodable }: {
      waitMs: number;
      signal: AbortSignal | undefined;
      onUndecodable: TakeOptions["onUndecodable"];
    },
  ): Promise<Delivery<T>[]> {
    const over = new AbortController();
    const ticking = this.#tickWhenDue(performance.now() + waitMs, over.signal)
      .catch(() => {}); // the claim meets the same trouble, and throws it
    const send = this.#made.claimer.behindToken(own, waitMs, signal);
    try {
      const how = { send: this.#made.explain(send), waits: true, signal, onUndecodable };
      return await this.#claimAny(max, how);
    } finally {
      over.abort();
      await ticking;
    }
  }

  async #tickWhenDue(until: number, over: AbortSignal): Promise<void> {
    for (;;) {
      const next = Math.min(this.#made.claimer.dueAt, performance.now() + TICK_MS);
      if (next >= until) return;
      await sleep(Math.max(1, next - performance.now()), over);
      if (over.aborted) return;
      await this.#made.claimer.tick(this.#made.send); // once more if our clock was a little early
    }
  }

  /** What can be read of what there is; entries that cannot are put aside, and the next are taken. */
  async #claimAny(
    most: number,
    { send = this.#made.send, onUndecodable, ...how }: TakeOptions & {
      send?: Send;
      waits?: boolean;
      signal?: AbortSignal | undefined;
    },
  ): Promise<Delivery<T>[]> {
    for (;;) {
      const claimed = await this.#made.claimer.claim(send, { most, room: 1, ...how });
      if (!claimed) return [];
      const { hand, messages } = claimed;
      const deliveries = await this.#made.deliver(hand, messages, onUndecodable);
      if (deliveries.length > 0) return deliveries;
    }
  }
}
