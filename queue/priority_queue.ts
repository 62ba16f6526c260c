/**
 * `PriorityQueue`: a sorted set with leases. At least once, the most urgent first.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import { checkOptions, checkSignal, type OptionNames } from "../redis/options.ts";
import { show } from "../redis/show.ts";
import { LeasedQueue } from "./leased_queue.ts";
import {
  ENQUEUE_MANY_OPTIONS,
  ENQUEUE_OPTIONS,
  type Enqueued,
  type EnqueueOptions,
  type LeasedQueueOptions,
  QUEUE_OPTIONS,
} from "./leased_types.ts";

/** How urgent: an integer from −1,024 to 1,023, lower first; or a name for 1, 2 and 3. */
export type Priority = number | "high" | "medium" | "low";

/** Options of one message with a priority. */
export interface PriorityEnqueueOptions extends EnqueueOptions {
  /**
   * How urgent it is.
   *
   * @default "medium"
   */
  priority?: Priority;
}

const WITH_PRIORITY: OptionNames = new Set([...ENQUEUE_OPTIONS, "priority"]);
const MANY_WITH_PRIORITY: OptionNames = new Set([...ENQUEUE_MANY_OPTIONS, "priority"]);

const NAMED: Record<string, number> = { high: 1, medium: 2, low: 3 };

/** What a message without options has. */
const PLAIN = { priority: 2 };

/**
 * A queue that hands out the most urgent message first, and loses nothing when a consumer dies.
 *
 * **Guarantee:** at least once. Lower priorities first; first in first out among equals, across all
 * producers; no order is promised for what comes back. A low message waits as long as there are higher
 * ones.
 * **Redis types:** as `ReliableQueue`, with a ZSET by priority and order in the place of the LIST.
 * **Commands:** as `ReliableQueue`.
 * **A crash** of a consumer gives its messages back when their lease is over, with the attempt
 * counted.
 * **Choose another** when all messages are alike: a list is faster and smaller.
 *
 * @typeParam T What a payload is to a consumer.
 * @typeParam I What it is to a producer; something else where a schema converts.
 *
 * @example
 * ```ts
 * import { connect, PriorityQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new PriorityQueue<string>(redis, "docs_priorities");
 * await queue.enqueue("newsletter", { priority: "low" });
 * await queue.enqueue("password reset", { priority: "high" });
 *
 * const delivery = await queue.receive();
 * console.log(delivery?.payload); // password reset
 * await delivery?.ack();
 *
 * await queue.purge("ready");
 * await redis.close();
 * ```
 */
export class PriorityQueue<T = unknown, I = T> extends LeasedQueue<T, I> {
  /**
   * Makes the queue object; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param name 1 to 200 bytes; no braces, no glob characters, no control characters.
   * @throws {TypeError} for a bad name, codec or client, or an unknown option.
   * @throws {RangeError} for a measure out of range.
   */
  constructor(client: RedisClient, name: string, options: LeasedQueueOptions<T, I> = {}) {
    super(client, name, "priority", checkOptions("PriorityQueue", options, QUEUE_OPTIONS));
  }

  /**
   * Puts a message into the queue. When the reply is lost it is sent again, and still stored once.
   *
   * @throws {TypeError} for a payload, an id or a key that cannot be carried, or an unknown option.
   * Nothing was sent then.
   * @throws {SchemaError} for a payload that the queue's schema refuses. Nothing was sent then.
   * @throws {QueueFullError} when `maxReady` messages are ready. It was not stored then.
   * @throws {RangeError} for a priority out of range, a payload over `maxPayloadBytes`, a negative or
   * NaN time.
   * @throws {RedisConnectionError} when Redis did not answer for 20 s.
   * @throws The reason of `signal`, if it aborts while this waits for room (`onFull: "wait"`). It was not
   * stored then.
   */
  enqueue(payload: I, options?: PriorityEnqueueOptions): Promise<Enqueued> {
    if (options === undefined) return this.store(payload, PLAIN);
    try {
      checkSignal(checkOptions("enqueue", options, WITH_PRIORITY).signal);
      return this.store(payload, { ...options, priority: priorityOf(options.priority) });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Puts several messages of one priority into the queue, in their order. All are checked before the
   * first is sent; what is wrong with one begins with its place, `payloads[1]: `.
   *
   * @throws As {@linkcode PriorityQueue.enqueue}; when Redis did not answer, the queue is full or `signal`
   * aborts, some of them may be stored.
   */
  async enqueueMany(
    payloads: readonly I[],
    options: Omit<PriorityEnqueueOptions, "id"> = {},
  ): Promise<Enqueued[]> {
    checkSignal(checkOptions("enqueueMany", options, MANY_WITH_PRIORITY).signal);
    return await this.storeMany(payloads, { ...options, priority: priorityOf(options.priority) });
  }
}

function priorityOf(priority: Priority = "medium"): number {
  const value = typeof priority === "string" && Object.hasOwn(NAMED, priority)
    ? NAMED[priority]!
    : priority;
  if (!Number.isInteger(value) || Number(value) < -1_024 || Number(value) > 1_023) {
    throw new RangeError(
      `priority must be "high", "medium", "low" or a whole number from -1024 to 1023, ` +
        `but is ${show(priority, "string", "number")}`,
    );
  }
  return Number(value);
}
