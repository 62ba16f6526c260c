/**
 * `ListQueue`: the plain Redis list as a queue. At most once.
 *
 * ```
 *             LPUSH                          RPOP, or BRPOP which waits
 *   producer ───────► [ newest … oldest ] ───────────────────────────► consumer
 *                       the key is the queue's name
 * ```
 *
 * A message is in the list, or it was handed to one consumer and Redis has forgotten it. A consumer
 * that dies with a message in its hand loses that message, and so does a connection that breaks
 * while the reply of a pop is on its way.
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { CommandArgument, RedisClient } from "../redis/client.ts";
import { checkClient } from "../redis/topology.ts";
import {
  type Codec,
  codecOf,
  type CodecOption,
  DecodeError,
  DEFAULT_MAX_PAYLOAD_BYTES,
  encode,
} from "../redis/codec.ts";
import { isConnectionError } from "../redis/errors.ts";
import { listKey } from "../redis/keys.ts";
import { batches, Merger } from "../redis/merge.ts";
import { checkOptions, optionNames } from "../redis/options.ts";
import { OwnConnections } from "../redis/own_connection.ts";
import { defineScript } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { checkCount, checkMs } from "../redis/timers.ts";
import { checkFeed, feed, type FeedOptions, one } from "./feed.ts";
import { INTAKE, type Intake, Signals } from "./intake.ts";
import {
  checkReceive,
  type Message,
  type Page,
  type Peeked,
  type ReceiveOptions,
} from "./message.ts";
import { mapPayloads } from "./payloads.ts";

/** Options of {@linkcode ListQueue}. */
export interface ListQueueOptions<T> {
  /**
   * How payloads stand in the list: `"json"`, `"text"` (strings as they are), `"bytes"`
   * (`Uint8Array`s as they are), or a codec of your own.
   *
   * @default "json"
   */
  codec?: CodecOption<T>;
  /**
   * Largest payload, in bytes as stored.
   *
   * @default 1_048_576 (1 MiB)
   */
  maxPayloadBytes?: number;
}

const QUEUE_OPTIONS = optionNames<ListQueueOptions<unknown>>({
  codec: true,
  maxPayloadBytes: true,
});
const PEEK_OPTIONS = optionNames<{ limit?: number; cursor?: string }>({
  limit: true,
  cursor: true,
});

/** The most messages that one `receiveMany` takes. */
const MAX_RECEIVE = 1_000;

/** Redis would answer UNLINK on any type; a queue must not delete what is not its own. */
const purgeList = defineScript({
  name: "purge_list",
  keys: ["list"],
  args: [],
  lua: `
    local count = redis.call("LLEN", list)  -- fails on another type, before anything is removed
    redis.call("UNLINK", list)
    return count`,
  reply: Number,
});

/**
 * A queue in a plain Redis list.
 *
 * **Guarantee:** at most once. Each message is handed to one consumer and is out of Redis from then
 * on. First in, first out.
 * **Redis type:** one LIST, whose key is the queue's name and whose entries are your payloads, so
 * `redis-cli LPUSH task_queue hello` and other languages work with it.
 * **Commands:** `LPUSH` to enqueue, one for all calls of a turn; `RPOP` or `BRPOP` to receive.
 * **A crash** of the consumer loses the message in its hand; a crash of the producer loses what it
 * had not been told is stored.
 * **Choose another** when a message must not be lost: a queue with leases hands it out again.
 *
 * @typeParam T What a payload is.
 *
 * @example Enqueue and receive
 * ```ts
 * import { connect, ListQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ListQueue<{ to: string }>(redis, "docs:mail");
 *
 * await queue.enqueue({ to: "ann@example.com" });
 * const now = await queue.receive(); // polling: at once, or undefined
 * const later = await queue.receive({ waitMs: 10 }); // blocking: waits in Redis
 * console.log(now?.payload, later); // { to: "ann@example.com" } undefined
 *
 * await queue.close();
 * await redis.close();
 * ```
 */
export class ListQueue<T = unknown> implements AsyncDisposable {
  /** The queue's name, which is also its key in Redis. */
  readonly name: string;
  readonly #client: RedisClient;
  readonly #key: string;
  readonly #codec: Codec<T>;
  readonly #maxBytes: number;
  readonly #merger: Merger<CommandArgument, number>;
  readonly #own: OwnConnections;

  /**
   * Makes the queue object; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param name 1 to 200 bytes; no braces, no glob characters, no control characters.
   * @param options How payloads are stored.
   * @throws {TypeError} for a bad name, codec or client, or an unknown option.
   * @throws {RangeError} for a `maxPayloadBytes` out of range.
   */
  constructor(client: RedisClient, name: string, options: ListQueueOptions<T> = {}) {
    checkOptions("ListQueue", options, QUEUE_OPTIONS);
    const { codec, maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES } = options;
    this.#client = checkClient(client);
    this.#key = listKey(name);
    this.name = name;
    this.#codec = codecOf(codec);
    // Redis itself takes no string above 512 MiB.
    this.#maxBytes = checkCount("maxPayloadBytes", maxPayloadBytes, { max: 536_870_912 });
    this.#merger = new Merger((values) => this.#push(values));
    this.#own = new OwnConnections(client, this.#key);
  }

  /**
   * Puts a message at the end of the queue. Calls made in one turn of the event loop share one
   * command.
   *
   * @param payload What the codec carries; see {@linkcode ListQueueOptions.codec}.
   * @returns How many messages were waiting when this one was in.
   * @throws {TypeError} for a payload that the codec cannot carry, or a key of another type.
   * @throws {RangeError} for a payload over `maxPayloadBytes`.
   * @throws {RedisConnectionError} when Redis did not answer. With `sent`, the message may have been
   * stored; it is not sent again, since that could store it twice.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue<string>(redis, "docs:enqueue", { codec: "text" });
   * const sizes = await Promise.all([queue.enqueue("a"), queue.enqueue("b")]); // one LPUSH
   * console.log(sizes); // [ 1, 2 ]
   * await queue.purge();
   * await redis.close();
   * ```
   */
  enqueue(payload: T): Promise<number> {
    try {
      return this.#merger.add(encode(this.#codec, payload, this.#maxBytes));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Puts several messages at the end of the queue, in their order. All are checked before the first
   * is sent; what is wrong with one begins with its place, `payloads[1]: `.
   *
   * @param payloads Any number; they are sent 1,000 (or about 1 MiB) at a time.
   * @returns How many messages were waiting when the last one was in; 0 for no payloads.
   * @throws As {@linkcode ListQueue.enqueue}. Then those sent before are stored, and none behind.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue<number>(redis, "docs:enqueue_many");
   * console.log(await queue.enqueueMany([1, 2, 3])); // 3
   * await queue.purge();
   * await redis.close();
   * ```
   */
  async enqueueMany(payloads: readonly T[]): Promise<number> {
    const values = mapPayloads(
      this.name,
      payloads,
      (payload) => encode(this.#codec, payload, this.#maxBytes),
    );
    let size = 0;
    // One command after the other: when one fails, nothing behind it is stored.
    for (const batch of batches(values)) [size = 0] = (await this.#push(batch)).slice(-1);
    return size;
  }

  /**
   * Takes the oldest message out of Redis: at once (polling), or after waiting for one (blocking).
   *
   * @returns The message, or undefined if there was none within `waitMs`.
   * @throws {DecodeError} for an entry that the codec cannot read; its `raw` is the entry, which is
   * out of Redis.
   * @throws {RangeError} for a `waitMs` that is negative or no number.
   * @throws {TypeError} for a key of another type, a `signal` that is none, or an unknown option.
   * @throws {RedisConnectionError} when Redis did not answer. With `sent`, a message may have been
   * taken out and lost on the way.
   * @throws The reason of `signal` when it aborts; a message already on its way is returned instead.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * await using queue = new ListQueue<string>(redis, "docs:receive");
   * setTimeout(() => queue.enqueue("late"), 20);
   * const message = await queue.receive({ waitMs: 2_000 });
   * console.log(message?.payload); // late
   * await redis.close();
   * ```
   */
  async receive(options: ReceiveOptions = {}): Promise<Message<T> | undefined> {
    const [message] = await this.#take(1, checkReceive("receive", options));
    return message;
  }

  /**
   * Takes up to `max` of the oldest messages out of Redis: as many as there are, or, if there are none
   * and `waitMs` says so, the first that comes.
   *
   * @param max From 1 to 1,000.
   * @returns What was there, oldest first; an empty array if nothing came within `waitMs`.
   * @throws {RangeError} for a `max` out of range.
   * @throws As {@linkcode ListQueue.receive}. The `taken` of a {@linkcode DecodeError} has all that
   * the call took out, so the messages beside the bad entry are not lost.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue<number>(redis, "docs:receive_many");
   * await queue.enqueueMany([1, 2, 3]);
   * const messages = await queue.receiveMany(10);
   * console.log(messages.map((message) => message.payload)); // [ 1, 2, 3 ]
   * await redis.close();
   * ```
   */
  async receiveMany(max: number, options: ReceiveOptions = {}): Promise<Message<T>[]> {
    checkReceive("receiveMany", options);
    return await this.#take(checkCount("max", max, { max: MAX_RECEIVE }), options);
  }

  /**
   * Messages one by one, until `signal` aborts or the loop is left. The next message is taken only
   * when the loop asks for it, so at most one is in hand.
   *
   * A lost connection does not end the loop. An entry that cannot be decoded ends it with a
   * {@linkcode DecodeError}, unless `onEvent` is there to be told.
   *
   * Leave it from within the loop, or by the signal: `return()` waits for the message that is on its
   * way.
   *
   * @throws As {@linkcode ListQueue.receive}, but not for a `signal` that aborts: that ends the loop.
   *
   * @example Both modes
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * await using queue = new ListQueue<string>(redis, "docs:consume");
   * await queue.enqueueMany(["a", "b"]);
   * for await (const message of queue.consume({ mode: "polling", pollMs: 50 })) {
   *   console.log(message.payload); // a
   *   break;
   * }
   * for await (const message of queue.consume({ mode: "blocking" })) {
   *   console.log(message.payload); // b
   *   break;
   * }
   * await redis.close();
   * ```
   */
  consume(options: FeedOptions = {}): AsyncGenerator<Message<T>, void, void> {
    const { signal } = checkFeed(options);
    return one(feed((waitMs) => this.#take(1, { waitMs, signal }), options));
  }

  /**
   * How many messages wait.
   *
   * @returns `ready`: the length of the list. A plain list knows no other state.
   * @throws {TypeError} for a key of another type.
   * @throws {RedisConnectionError} when Redis did not answer.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue(redis, "docs:counts");
   * console.log(await queue.counts()); // { ready: 0 }
   * await redis.close();
   * ```
   */
  async counts(): Promise<{ ready: number }> {
    return { ready: Number(await this.#call(["LLEN", this.#key])) };
  }

  /**
   * Looks at waiting messages and leaves them where they are.
   *
   * @param state Only `"ready"`.
   * @param options `limit`: from 1 to 1,000, 20 by default. `cursor`: where the page before ended.
   * Pages count from the front, so what is received meanwhile shifts them.
   * @returns A page, the message that comes out next in front. Entries that cannot be decoded have an
   * `error` instead of a `payload`.
   * @throws {RangeError} for a bad `limit` or `cursor`.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue<string>(redis, "docs:peek");
   * await queue.enqueueMany(["a", "b", "c"]);
   * const { messages, cursor } = await queue.peek("ready", { limit: 2 });
   * console.log(messages.map((message) => message.payload), cursor); // [ "a", "b" ] 2
   * await queue.purge();
   * await redis.close();
   * ```
   */
  async peek(
    state: "ready" = "ready",
    options: { limit?: number; cursor?: string } = {},
  ): Promise<Page<T>> {
    const { limit = 20, cursor = "0" } = checkOptions("peek", options, PEEK_OPTIONS);
    checkState(state);
    checkCount("limit", limit, { max: MAX_RECEIVE });
    if (typeof cursor !== "string" || !/^\d{1,15}$/.test(cursor)) {
      throw new RangeError(
        `cursor must come from the page before, but is ${show(cursor, "string")}`,
      );
    }
    const from = Number(cursor);
    // The list's tail comes out first. One more than asked for tells whether there is a next page.
    const range = ["LRANGE", this.#key, String(-from - limit - 1), String(-from - 1)];
    const raws = await this.#call(range, { raw: true }) as Uint8Array[];
    const messages = raws.reverse().slice(0, limit).map((raw) => this.#peeked(raw));
    return { messages, cursor: raws.length > limit ? String(from + limit) : undefined };
  }

  /**
   * Removes all waiting messages.
   *
   * @param state Only `"ready"`.
   * @returns How many were removed.
   * @throws {TypeError} for a key of another type, which is left as it is.
   * @throws {RedisConnectionError} when Redis did not answer.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue<string>(redis, "docs:purge");
   * await queue.enqueue("a");
   * console.log(await queue.purge()); // 1
   * await redis.close();
   * ```
   */
  async purge(state: "ready" = "ready"): Promise<number> {
    checkState(state);
    return await this.#explaining(() =>
      purgeList.run((args) => call(this.#client, args), { list: this.#key }, {})
    );
  }

  /**
   * Ends the connections on which this object waits. Not needed where the client itself is closed.
   *
   * @example
   * ```ts
   * import { connect, ListQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ListQueue(redis, "docs:close");
   * await queue.receive({ waitMs: 1 }); // opens a connection to wait on
   * await queue.close();
   * await redis.close();
   * ```
   */
  async close(): Promise<void> {
    await this.#own.close();
  }

  /** Closes; see {@linkcode ListQueue.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Used by the worker.
   *
   * @ignore
   */
  [INTAKE](): Intake<Message<T>> {
    const signals = new Signals<Message<T>>();
    return {
      givesBack: false,
      take: (max, options) => this.#take(max, options),
      done: (message, settled) => {
        signals.forget(message);
        settled?.();
      },
      failed: (message) => {
        signals.forget(message);
        return Promise.resolve("gone");
      },
      release: () => Promise.resolve(false),
      signal: (message) => signals.of(message),
      abort: (message, reason) => signals.abort(message, reason),
      close: () => Promise.resolve(), // its connections are the queue's
    };
  }

  async #push(values: CommandArgument[]): Promise<number[]> {
    const size = Number(await this.#call(["LPUSH", this.#key, ...values]));
    return values.map((_, i) => size - values.length + i + 1);
  }

  async #take(max: number, { waitMs = 0, signal }: ReceiveOptions): Promise<Message<T>[]> {
    checkMs("waitMs", waitMs);
    signal?.throwIfAborted();
    const raws = waitMs === 0
      ? await this.#call(popUpTo(max, this.#key), { raw: true })
      : await this.#explaining(() => this.#wait(max, waitMs, signal)).catch((error) => {
        // Called off while Redis was away: the caller has asked for this end.
        if (isConnectionError(error)) signal?.throwIfAborted();
        throw error;
      });
    if (raws === null) {
      signal?.throwIfAborted();
      return [];
    }
    return this.#decode(Array.isArray(raws) ? raws : [raws]);
  }

  /** Waits on a connection of its own, in pieces short enough to notice a dead server. */
  #wait(max: number, waitMs: number, signal?: AbortSignal): Promise<Uint8Array[] | null> {
    return this.#own.borrow(async (connection) => {
      const pop = popUpTo(max, this.#key);
      if (max > 1) {
        const present = await connection.call(pop, signal) as Uint8Array[] | null;
        if (present) return present;
      }
      const until = performance.now() + waitMs;
      for (let left = waitMs; left > 0 && !signal?.aborted; left = until - performance.now()) {
        const reply = await connection.block((s) => ["BRPOP", this.#key, s], left, signal);
        if (reply === null) continue;
        const [, first] = reply as [Uint8Array, Uint8Array];
        return [first]; // what came together with it is there for the next call
      }
      return null;
    });
  }

  #decode(raws: Uint8Array[]): Message<T>[] {
    const receivedAt = Date.now();
    let failed: DecodeError | undefined;
    const taken = raws.map((raw) => {
      try {
        return { payload: this.#codec.decode(raw), receivedAt };
      } catch (cause) {
        const error = new DecodeError(this.name, new Uint8Array(raw), cause);
        failed ??= error;
        return error;
      }
    });
    if (failed === undefined) return taken as Message<T>[];
    failed.taken = taken;
    throw failed;
  }

  #peeked(raw: Uint8Array): Peeked<T> {
    const copy = new Uint8Array(raw);
    try {
      return { payload: this.#codec.decode(raw), raw: copy };
    } catch (cause) {
      return { raw: copy, error: new DecodeError(this.name, copy, cause) };
    }
  }

  #call(args: readonly CommandArgument[], options?: { raw?: boolean }): Promise<unknown> {
    return this.#explaining(() => call(this.#client, args, options));
  }

  /** Says in words what WRONGTYPE means: somebody else's key has our name. */
  async #explaining<R>(run: () => Promise<R>): Promise<R> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes("WRONGTYPE")) throw error;
      const type = await call(this.#client, ["TYPE", this.#key]).catch(() => "");
      throw new TypeError(
        `The key ${JSON.stringify(this.#key)} holds a ${type || "value of another type"}, ` +
          `but a ListQueue needs a list; nothing was changed`,
        { cause: error },
      );
    }
  }
}

/** RPOP with a count answers with an array, also for one; without, with the value itself. */
function popUpTo(max: number, key: string): string[] {
  return max === 1 ? ["RPOP", key] : ["RPOP", key, String(max)];
}

function checkState(state: "ready"): void {
  if (state !== "ready") {
    throw new TypeError(`A ListQueue has the state "ready" only, not ${show(state, "string")}`);
  }
}
