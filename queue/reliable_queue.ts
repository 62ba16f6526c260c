/**
 * `ReliableQueue`: a Redis list with leases. At least once, first in first out.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import { checkOptions, checkSignal } from "../redis/options.ts";
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

/**
 * A queue that loses nothing when a consumer dies.
 *
 * **Guarantee:** at least once. A message is handed out until it is acknowledged, or dead after
 * `maxAttempts`. First in, first out; no order is promised for what comes back.
 * **Redis types:** a LIST of messages, a HASH of the hands and a ZSET of the leases; a ZSET for
 * delayed messages, a HASH and a ZSET for dead letters.
 * **Commands:** one script for the enqueues of a turn, one a claim, one for the acks of a turn.
 * **A crash** of a consumer gives its messages back when their lease is over, with the attempt
 * counted.
 * **Choose another** when a message may be lost but not done twice (`ListQueue`), or when some are
 * more urgent (`PriorityQueue`).
 *
 * @typeParam T What a payload is to a consumer.
 * @typeParam I What it is to a producer; something else where a schema converts.
 *
 * @example
 * ```ts
 * import { connect, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ReliableQueue<{ to: string }>(redis, "docs_mail", { leaseMs: 10_000 });
 * await queue.enqueue({ to: "ann@example.com" });
 *
 * const delivery = await queue.receive({ waitMs: 1_000 });
 * console.log(delivery?.payload.to, delivery?.attempt); // ann@example.com 1
 * await delivery?.ack();
 * console.log(await queue.counts()); // { ready: 0, leased: 0, delayed: 0, dead: 0 }
 *
 * await queue.close();
 * await redis.close();
 * ```
 */
export class ReliableQueue<T = unknown, I = T> extends LeasedQueue<T, I> {
  /**
   * Makes the queue object; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param name 1 to 200 bytes; no braces, no glob characters, no control characters.
   * @throws {TypeError} for a bad name, codec or client, or an unknown option.
   * @throws {RangeError} for a measure out of range.
   */
  constructor(client: RedisClient, name: string, options: LeasedQueueOptions<T, I> = {}) {
    super(client, name, "list", checkOptions("ReliableQueue", options, QUEUE_OPTIONS));
  }

  /**
   * Puts a message at the end of the queue. When the reply is lost it is sent again, and still stored
   * once.
   *
   * @throws {TypeError} for a payload, an id or a key that cannot be carried, or an unknown option.
   * Nothing was sent then.
   * @throws {SchemaError} for a payload that the queue's schema refuses. Nothing was sent then.
   * @throws {QueueFullError} when `maxReady` messages are ready. It was not stored then.
   * @throws {RangeError} for a payload over `maxPayloadBytes`, a negative or NaN time.
   * @throws {RedisConnectionError} when Redis did not answer for 20 s.
   * @throws The reason of `signal`, if it aborts while this waits for room (`onFull: "wait"`). It was not
   * stored then.
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
   * Puts several messages at the end of the queue, in their order. All are checked before the first
   * is sent; what is wrong with one begins with its place, `payloads[1]: `.
   *
   * @throws As {@linkcode ReliableQueue.enqueue}; when Redis did not answer, the queue is full or `signal`
   * aborts, some of them may be stored.
   */
  async enqueueMany(
    payloads: readonly I[],
    options: EnqueueManyOptions = {},
  ): Promise<Enqueued[]> {
    checkSignal(checkOptions("enqueueMany", options, ENQUEUE_MANY_OPTIONS).signal);
    return await this.storeMany(payloads, { ...options, priority: 0 });
  }
}
