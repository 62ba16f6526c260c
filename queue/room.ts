/**
 * A full queue: the producer is told, or waits for room.
 *
 * Those who wait form a line, and its first one asks: after 50 ms, and less and less often, up to once a
 * second. When there was room, twice as many ask next, at once. Whoever comes later joins the end. Leaves the line: what was stored, what its signal calls
 * off, and all of it when the queue object is closed.
 *
 * @module
 */
import { show } from "../redis/show.ts";
import { backoffMs, checkCount, sleep } from "../redis/timers.ts";
import type { Enqueued } from "./leased_types.ts";

/** What to do when a queue has `maxReady` messages. */
export type OnFull = "throw" | "wait";

/**
 * The queue has as many ready messages as it may have (`maxReady`). The message was not stored; of
 * several, `enqueued` tells which were.
 *
 * @example Tell the caller to come back later
 * ```ts
 * import { connect, QueueFullError, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ReliableQueue<string>(redis, "docs_full", { maxReady: 1 });
 * await queue.enqueue("first");
 * try {
 *   await queue.enqueue("second");
 * } catch (error) {
 *   if (error instanceof QueueFullError) console.log("full at", error.maxReady); // full at 1
 * }
 * await queue.purge("ready");
 * await redis.close();
 * ```
 */
export class QueueFullError extends Error {
  /** The name that stack traces show. */
  override readonly name = "QueueFullError";
  /** The queue. */
  readonly queue: string;
  /** How many messages may be ready. */
  readonly maxReady: number;
  /** From `enqueueMany`: what became of each message, in their order; undefined was not stored. */
  readonly enqueued: readonly (Enqueued | undefined)[];

  /** Makes the error. */
  constructor(
    queue: string,
    maxReady: number,
    enqueued: readonly (Enqueued | undefined)[] = [undefined],
  ) {
    super(`The queue ${JSON.stringify(queue)} is full: ${maxReady} messages are ready (maxReady)`);
    this.queue = queue;
    this.maxReady = maxReady;
    this.enqueued = enqueued;
  }
}

/** As many as there may be messages of one priority. */
const MOST_READY = { max: 1_000_000_000 };

/**
 * How many messages may be ready (0 for any number), and what to do then.
 *
 * @throws {RangeError} for a `maxReady` out of range.
 * @throws {TypeError} for an `onFull` that is none, or that means nothing.
 */
export function roomOf(
  maxReady: number | undefined,
  onFull: OnFull | undefined,
): { maxReady: number; onFull: OnFull } {
  const most = maxReady === undefined ? 0 : checkCount("maxReady", maxReady, MOST_READY);
  const doing = onFull === undefined ? "throw" : onFull;
  if (doing !== "throw" && doing !== "wait") {
    throw new TypeError(`onFull must be "throw" or "wait", but is ${show(doing, "string")}`);
  }
  if (onFull !== undefined && maxReady === undefined) {
    throw new TypeError(`onFull (${JSON.stringify(onFull)}) means nothing without maxReady`);
  }
  return { maxReady: most, onFull: doing };
}

/** Most that ask at once. */
const HEAD = 1_000;

interface Waiting<Item, R> {
  item: Item;
  signal: AbortSignal | undefined;
  resolve: (result: R) => void;
  reject: (error: unknown) => void;
}

/** The line of those who wait for room. */
export class Room<Item, R> {
  readonly #store: (item: Item) => Promise<R | undefined>;
  readonly #closing = new AbortController();
  readonly #line: Waiting<Item, R>[] = [];
  #serving = false;

  /**
   * @param store Stores an item; gives undefined where there is no room for it.
   */
  constructor(store: (item: Item) => Promise<R | undefined>) {
    this.#store = store;
  }

  /**
   * Stores the item when there is room.
   *
   * @throws The reason of `signal`, if it aborts before.
   */
  async store(item: Item, signal?: AbortSignal): Promise<R> {
    signal?.throwIfAborted();
    // While its head is served the line may be empty, and is one all the same.
    if (this.#line.length === 0 && !this.#serving) {
      const result = await this.#store(item);
      if (result !== undefined) return result;
    }
    return await new Promise<R>((resolve, reject) => {
      const abort = () => {
        const at = this.#line.indexOf(waiting);
        if (at >= 0) this.#line.splice(at, 1); // else it is being stored, and that is what it says
        if (at >= 0) reject(signal?.reason);
      };
      const done = <A>(settle: (value: A) => void) => (value: A) => {
        signal?.removeEventListener("abort", abort);
        settle(value);
      };
      const waiting = { item, signal, resolve: done(resolve), reject: done(reject) };
      if (this.#closing.signal.aborted) return reject(this.#closing.signal.reason);
      this.#line.push(waiting);
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) return abort();
      if (!this.#serving) void this.#serve();
    });
  }

  /** Ends all waiting. */
  close(): void {
    this.#closing.abort(new Error("The queue object was closed: nothing waits for room any more"));
    for (const { reject } of this.#line.splice(0)) reject(this.#closing.signal.reason);
  }

  async #serve(): Promise<void> {
    this.#serving = true;
    let size = 1;
    for (let failures = 0; this.#line.length > 0;) {
      if (size === 1) await sleep(backoffMs(failures), this.#closing.signal);
      const head = this.#line.splice(0, size);
      const results = await Promise.allSettled(head.map(({ item }) => this.#store(item)));
      const back: Waiting<Item, R>[] = [];
      results.forEach((result, i) => {
        const waiting = head[i]!;
        if (result.status === "rejected") waiting.reject(result.reason);
        else if (result.value !== undefined) waiting.resolve(result.value);
        else if (waiting.signal?.aborted) waiting.reject(waiting.signal.reason);
        else back.push(waiting);
      });
      failures = back.length === head.length ? failures + 1 : 0;
      size = back.length === 0 ? Math.min(2 * size, HEAD) : 1;
      this.#line.unshift(...back);
      if (this.#closing.signal.aborted) this.close();
    }
    this.#serving = false;
  }
}
