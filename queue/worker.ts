/**
 * `Worker`: a loop that runs your handler for the messages of a queue.
 *
 * ```
 *   queue ──► free slots? take that many ──► handler, handler, handler … (concurrency)
 * ```
 *
 * It takes no more messages than it has free slots, so nothing waits inside the worker where a crash
 * would lose it. It ends when it is stopped (it takes no more, lets the handlers finish for `graceMs`
 * and then aborts their signals), or with an error that no waiting mends.
 *
 * @module
 */
import { checkCount, checkMs, sleep } from "../redis/timers.ts";
import { checkFeed, feed, type FeedOptions } from "./feed.ts";
import type { ConsumeEvent, Message, Mode, ReceiveOptions } from "./message.ts";

/** What a worker needs of a queue: to take several messages at a time. */
export interface WorkerSource<T> {
  /** The queue's name. */
  readonly name: string;
  /** Takes up to `max` messages, waiting for the first. */
  receiveMany(max: number, options?: ReceiveOptions): Promise<Message<T>[]>;
}

/** What a handler gets besides the payload. */
export interface HandlerContext<T> {
  /** Aborts when the worker was stopped and the grace time is over. Made when first looked at. */
  readonly signal: AbortSignal;
  /** The message. */
  readonly message: Message<T>;
}

/**
 * Your code for one message. When it returns, the message is done; what it throws is reported as a
 * `"failed"` event.
 */
export type Handler<T> = (payload: T, context: HandlerContext<T>) => unknown;

/** What happens in a worker, for `onEvent`. */
export type WorkerEvent<T> =
  | ConsumeEvent
  /** A handler returned. */
  | { type: "done"; message: Message<T>; ms: number }
  /** A handler threw. With a queue that delivers at most once, the message is gone from Redis. */
  | { type: "failed"; message: Message<T>; ms: number; error: unknown };

/** Options of {@linkcode Worker}. */
export interface WorkerOptions<T> {
  /**
   * How many handlers run at the same time.
   *
   * @default 1
   */
  concurrency?: number;
  /**
   * How the worker waits for messages.
   *
   * @default "blocking"
   */
  mode?: Mode;
  /**
   * Pause after an empty answer in polling mode, in milliseconds.
   *
   * @default 100
   */
  pollMs?: number;
  /**
   * How long handlers may go on after a stop before their signals abort, in milliseconds.
   *
   * @default 10_000
   */
  graceMs?: number;
  /**
   * Told what happens. Without it, the first failure (of a handler, or an entry that cannot be
   * decoded) stops the worker and `run()` rejects with it, since nothing may fail silently.
   */
  onEvent?: (event: WorkerEvent<T>) => void;
}

/** How long an aborted handler is waited for before the worker ends without it. */
const ABORT_MS = 1_000;

/**
 * Runs a handler for each message of a queue.
 *
 * **Guarantee:** that of the queue. With a `ListQueue`, at most once: a message whose handler threw
 * or whose process died is not handed out again.
 * **Commands:** one `RPOP` for as many messages as there are free slots, or one `BRPOP` when there
 * is nothing to do (blocking), or one `RPOP` every `pollMs` (polling).
 * **A crash** loses the messages whose handlers were running, and no others.
 *
 * @typeParam T What a payload is.
 *
 * @example Handle until told to stop
 * ```ts
 * import { connect, ListQueue, Worker } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ListQueue<string>(redis, "docs:worker");
 * const stop = new AbortController();
 * const worker = new Worker(queue, (payload) => {
 *   console.log(payload); // hello
 *   stop.abort();
 * }, { concurrency: 4, mode: "blocking" });
 *
 * await queue.enqueue("hello");
 * await worker.run({ signal: stop.signal });
 * await redis.close();
 * ```
 */
export class Worker<T> implements AsyncDisposable {
  readonly #source: WorkerSource<T>;
  readonly #handler: Handler<T>;
  readonly #concurrency: number;
  readonly #feedOptions: FeedOptions;
  readonly #graceMs: number;
  readonly #onEvent: ((event: WorkerEvent<T>) => void) | undefined;
  readonly #running = new Set<Promise<void>>();
  readonly #aborters = new Set<AbortController>();
  #stopping = new AbortController();
  #aborted = false;
  #failure: { error: unknown } | undefined;
  #wake: () => void = () => {};
  #loop: Promise<void> | undefined;
  #graceEndsAt = Infinity;

  /**
   * Makes the worker; `run()` or `start()` starts it.
   *
   * @param queue Where the messages come from.
   * @param handler Your code.
   * @param options How many at a time, and how to wait.
   * @throws {RangeError} for a `concurrency`, `pollMs` or `graceMs` out of range.
   */
  constructor(queue: WorkerSource<T>, handler: Handler<T>, options: WorkerOptions<T> = {}) {
    const { concurrency = 1, mode, pollMs, graceMs = 10_000, onEvent } = options;
    if (typeof queue?.receiveMany !== "function") {
      throw new TypeError(`The first argument must be a queue, but is ${typeof queue}`);
    }
    if (typeof handler !== "function") {
      throw new TypeError(`The handler must be a function, but is ${typeof handler}`);
    }
    this.#source = queue;
    this.#handler = handler;
    this.#concurrency = checkCount("concurrency", concurrency, { max: 1_000 });
    this.#graceMs = checkMs("graceMs", graceMs);
    this.#onEvent = onEvent;
    this.#feedOptions = checkFeed({ mode, pollMs, onEvent });
  }

  /** How many handlers are running. */
  get active(): number {
    return this.#running.size;
  }

  /**
   * Starts, and resolves when the worker has stopped.
   *
   * @param options `signal`: stops the worker, as {@linkcode Worker.stop} does.
   * @throws What ended the worker, if it was not told to stop.
   * @throws {TypeError} if it runs already.
   */
  async run({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (signal?.aborted) return;
    const onAbort = () => void this.stop().catch(() => {}); // run() itself rejects with it
    signal?.addEventListener("abort", onAbort);
    try {
      await this.start();
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Starts without waiting for the end.
   *
   * @returns What {@linkcode Worker.run} returns. If nobody takes it, a failure is an unhandled
   * rejection, since it must not go unnoticed.
   * @throws {TypeError} if it runs already.
   */
  start(): Promise<void> {
    if (this.#loop) throw new TypeError(`The worker of "${this.#source.name}" runs already`);
    this.#stopping = new AbortController();
    this.#aborted = false;
    this.#failure = undefined;
    this.#graceEndsAt = Infinity;
    this.#loop = this.#main().finally(() => this.#loop = undefined);
    return this.#loop;
  }

  /**
   * Stops: takes no more messages, lets the running handlers finish, and after `graceMs` aborts their
   * signals. A handler that ignores its signal for a second more is left behind. Inside a handler, do
   * not await it: it waits for that handler.
   *
   * @param options `graceMs`: overrides the worker's. 0 aborts at once.
   * @throws What ended the worker, if it failed.
   */
  async stop({ graceMs = this.#graceMs }: { graceMs?: number } = {}): Promise<void> {
    checkMs("graceMs", graceMs);
    if (!this.#loop) return;
    this.#graceEndsAt = Math.min(this.#graceEndsAt, performance.now() + graceMs);
    this.#stopping.abort();
    this.#wake();
    await this.#loop;
  }

  /** Stops gracefully; see {@linkcode Worker.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #main(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      const take = (waitMs: number) =>
        this.#source.receiveMany(this.#concurrency - this.#running.size, { waitMs, signal });
      await this.#slot(); // a handler that was left behind by an earlier run still has one
      for await (const batch of feed(take, { ...this.#feedOptions, signal })) {
        for (const message of batch) this.#begin(message);
        await this.#slot();
      }
    } finally {
      this.#stopping.abort(); // also when the feed failed
      this.#graceEndsAt = Math.min(this.#graceEndsAt, performance.now() + this.#graceMs);
      await this.#drain();
    }
    if (this.#failure) throw this.#failure.error;
  }

  #begin(message: Message<T>): void {
    const running = this.#handle(message).finally(() => {
      this.#running.delete(running);
      this.#wake();
    });
    this.#running.add(running);
  }

  async #handle(message: Message<T>): Promise<void> {
    const context = new Context(message, this.#aborters, () => this.#aborted);
    const startedAt = performance.now();
    let failure: { error: unknown } | undefined;
    try {
      await this.#handler(message.payload, context);
    } catch (error) {
      failure = { error };
    }
    context.dispose();
    this.#report(message, performance.now() - startedAt, failure);
  }

  #report(message: Message<T>, ms: number, failure?: { error: unknown }): void {
    try {
      if (failure && !this.#onEvent) throw failure.error;
      this.#onEvent?.(
        failure ? { type: "failed", message, ms, ...failure } : { type: "done", message, ms },
      );
    } catch (error) { // nobody to tell, or who was told threw
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (!this.#loop) { // of a handler that was left behind: nobody waits for it any more
      return queueMicrotask(() => {
        throw error;
      });
    }
    this.#failure ??= { error };
    this.#stopping.abort();
    this.#wake();
  }

  /** Until a slot is free, or a stop was asked for. */
  async #slot(): Promise<void> {
    while (this.#running.size >= this.#concurrency && !this.#stopping.signal.aborted) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #drain(): Promise<void> {
    while (this.#running.size > 0 && !this.#aborted) {
      // A second stop() may shorten the grace meanwhile, and wakes this loop.
      const left = this.#graceEndsAt - performance.now();
      if (left <= 0) this.#abortHandlers();
      else await this.#woken(left);
    }
    const end = performance.now() + ABORT_MS;
    while (this.#running.size > 0 && performance.now() < end) {
      await this.#woken(end - performance.now());
    }
  }

  /** Until a handler ends, a stop is asked for, or the time is over. */
  async #woken(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(ms, woken.signal);
  }

  #abortHandlers(): void {
    this.#aborted = true;
    const reason = new DOMException("The worker was stopped", "AbortError");
    for (const aborter of this.#aborters) aborter.abort(reason);
    this.#wake();
  }
}

/** A controller for each message would halve a worker's rate, and most handlers never look. */
class Context<T> implements HandlerContext<T> {
  readonly message: Message<T>;
  readonly #aborters: Set<AbortController>;
  readonly #aborted: () => boolean;
  #aborter: AbortController | undefined;

  constructor(message: Message<T>, aborters: Set<AbortController>, aborted: () => boolean) {
    this.message = message;
    this.#aborters = aborters;
    this.#aborted = aborted;
  }

  get signal(): AbortSignal {
    if (!this.#aborter) {
      this.#aborter = new AbortController();
      this.#aborters.add(this.#aborter);
      if (this.#aborted()) this.#aborter.abort();
    }
    return this.#aborter.signal;
  }

  dispose(): void {
    if (this.#aborter) this.#aborters.delete(this.#aborter);
  }
}
