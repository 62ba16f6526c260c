/**
 * `StreamQueue`: a Redis stream and a consumer group, with leases. At least once, first in first out.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import { checkText } from "../redis/keys.ts";
import { checkOptions, checkSignal, type OptionNames } from "../redis/options.ts";
import { LeasedQueue } from "./leased_queue.ts";
import {
  ENQUEUE_MANY_OPTIONS,
  ENQUEUE_OPTIONS,
  type Enqueued,
  type EnqueueManyOptions,
  type EnqueueOptions,
  type LeasedQueueOptions,
  QUEUE_OPTIONS,
} from "./leased_types.ts";

/** What a message without options has. */
const PLAIN = { priority: 0 };

const STREAM_OPTIONS: OptionNames = new Set([...QUEUE_OPTIONS, "group"]);

/** Options of a `StreamQueue`. */
export interface StreamQueueOptions<T, I = T> extends LeasedQueueOptions<T, I> {
  /**
   * The name of the consumer group: one for a queue, since what is done is deleted from the stream.
   *
   * @default "workers"
   */
  group?: string;
}

/**
 * A queue in a stream with a consumer group: Redis tells who holds what, and other programs may read.
 *
 * **Guarantee:** at least once. First in, first out; no order is promised for what comes back.
 * **Redis types:** a STREAM with a consumer group in the place of `ReliableQueue`'s LIST, else as there.
 * What is in a hand has left the stream (a stream does not grow) and is on record with the group:
 * `XPENDING` and `XINFO CONSUMERS` tell who holds what: to them a hand is a consumer, named by its lease,
 * `<consumer>:<asked for>:<n>`. What others add by `XADD` and is no message of
 * this library is dead, with its bytes.
 * **Commands:** as `ReliableQueue`; inside the scripts `XADD`, `XREADGROUP` and `XDEL`, `XACK`.
 * **A crash** of a consumer gives its messages back when their lease is over, under new ids, with the
 * attempt counted; what another program read from the group and left, when it was idle for a lease. A
 * hand in which nothing is left leaves the group. Where somebody removes the group or trims the stream,
 * work goes on with what is left, and nothing in a hand is touched. What another program
 * acknowledged, or made the group skip, is deleted. The account has to be allowed `XGROUP`.
 * **Choose another** when only this library uses the queue: a list is faster and smaller.
 *
 * @typeParam T What a payload is to a consumer.
 * @typeParam I What it is to a producer; something else where a schema converts.
 *
 * @example
 * ```ts
 * import { connect, StreamQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new StreamQueue<{ data: number }>(redis, "docs_stream", { group: "workers" });
 * await queue.enqueue({ data: 42 });
 * console.log(await redis.xLen("queue:{docs_stream}:ready")); // 1
 *
 * const delivery = await queue.receive({ waitMs: 1_000 });
 * const { pending } = await redis.xPending("queue:{docs_stream}:ready", "workers");
 * console.log(delivery?.payload.data, pending); // 42 1
 * await delivery?.ack();
 *
 * await queue.close();
 * await redis.close();
 * ```
 */
export class StreamQueue<T = unknown, I = T> extends LeasedQueue<T, I> {
  /**
   * Makes the queue object; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param name 1 to 200 bytes; no braces, no glob characters, no control characters.
   * @throws {TypeError} for a bad name, group, codec or client, or an unknown option.
   * @throws {RangeError} for a measure out of range.
   */
  constructor(client: RedisClient, name: string, options: StreamQueueOptions<T, I> = {}) {
    const { group = "workers" } = checkOptions("StreamQueue", options, STREAM_OPTIONS);
    super(client, name, "stream", options, { group: checkText("group", group) });
  }

  /**
   * Adds a message to the stream. When the reply is lost it is sent again, and still stored once.
   *
   * @throws {TypeError} for a payload, an id or a key that cannot be carried. Nothing was sent then.
   * @throws {SchemaError} for a payload that the queue's schema refuses. Nothing was sent then.
   * @throws {QueueFullError} when `maxReady` messages are ready. It was not stored then.
   * @throws {RangeError} for a payload over `maxPayloadBytes`, a negative or NaN time.
   * @throws {RedisConnectionError} when Redis did not answer for 20 s.
   */
  enqueue(payload: I, options?: EnqueueOptions): Promise<Enqueued> {
    if (options === undefined) return this.store(payload, PLAIN);
    try {
      checkSignal(checkOptions("enqueue", options, ENQUEUE_OPTIONS).signal);
      return this.store(payload, { ...options, priority: 0 });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Adds several messages to the stream, in their order. All are checked before the first is sent.
   *
   * @throws As {@linkcode StreamQueue.enqueue}; then some of them may be stored.
   */
  async enqueueMany(
    payloads: readonly I[],
    options: EnqueueManyOptions = {},
  ): Promise<Enqueued[]> {
    checkSignal(checkOptions("enqueueMany", options, ENQUEUE_MANY_OPTIONS).signal);
    return await this.storeMany(payloads, { ...options, priority: 0 });
  }
}
