/**
 * `Publisher`: says something to whoever listens right now.
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import { checkClient } from "../redis/topology.ts";
import { DEFAULT_MAX_PAYLOAD_BYTES, encode } from "../redis/codec.ts";
import { checkOptions, checkSwitch, optionNames } from "../redis/options.ts";
import { checkCount } from "../redis/timers.ts";
import { asChannel, type Channel } from "./channel.ts";

/** Options of {@linkcode Publisher}. */
export interface PublisherOptions {
  /**
   * Largest payload, in bytes as sent.
   *
   * @default 1_048_576 (1 MiB)
   */
  maxPayloadBytes?: number;
  /**
   * Whether a channel is kept on one master of a cluster, as a key is, instead of being told to all its
   * nodes. Heard by a `Subscriber` that is `sharded`, too, and by no other. Needs Redis 7, or Valkey.
   *
   * @default false
   */
  sharded?: boolean;
}

const PUBLISHER_OPTIONS = optionNames<PublisherOptions>({ maxPayloadBytes: true, sharded: true });

/**
 * Publishes to channels.
 *
 * **Guarantee:** at most once, and only to those who are subscribed at that moment. Nothing is kept:
 * a message that nobody hears is gone.
 * **Commands:** one `PUBLISH` a message; `SPUBLISH` if it is `sharded`.
 * **Choose another** when the message must arrive: a queue keeps it until somebody takes it.
 *
 * @example
 * ```ts
 * import { connect, Publisher } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const publisher = new Publisher(redis);
 * const heard = await publisher.publish("docs:orders", { order_id: 123, status: "created" });
 * console.log(`heard by ${heard}`); // heard by 0
 * await redis.close();
 * ```
 */
export class Publisher {
  readonly #client: RedisClient;
  readonly #maxBytes: number;
  readonly #command: string;

  /**
   * Makes the publisher; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @throws {TypeError} for something that is no client, or an unknown option.
   * @throws {RangeError} for a `maxPayloadBytes` out of range.
   */
  constructor(client: RedisClient, options: PublisherOptions = {}) {
    checkOptions("Publisher", options, PUBLISHER_OPTIONS);
    const { maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, sharded = false } = options;
    this.#command = checkSwitch("sharded", sharded) ? "SPUBLISH" : "PUBLISH";
    this.#client = checkClient(client);
    this.#maxBytes = checkCount("maxPayloadBytes", maxPayloadBytes, { max: 536_870_912 });
  }

  /**
   * Publishes one payload.
   *
   * @param target A channel's name (JSON, any payload) or a typed {@linkcode channel}.
   * @param payload What the channel carries.
   * @returns How many subscriptions received it, whatever they make of it. A subscriber that matches
   * by a channel and by a pattern counts twice, since it receives it twice. On a cluster, of those at the
   * node that was asked, unless it is `sharded`.
   * @throws {TypeError} for a payload that cannot be carried; and whatever the channel's `parse`
   * throws. Nothing was sent then.
   * @throws {RangeError} for a payload over `maxPayloadBytes`.
   * @throws {RedisConnectionError} when Redis did not answer.
   */
  async publish<T>(target: string | Channel<T>, payload: NoInfer<T>): Promise<number> {
    const { name, codec, parse } = asChannel<T>(target);
    const value = encode(codec, parse(payload), this.#maxBytes);
    return Number(await call(this.#client, [this.#command, name, value]));
  }
}
