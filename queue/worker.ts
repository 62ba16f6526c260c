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
import { isConnectionError } from "../redis/errors.ts";
import { checkOptions, checkSignal, optionNames } from "../redis/options.ts";
import { show } from "../redis/show.ts";
import { checkCount, checkMs, sleep, within } from "../redis/timers.ts";
import { type Backoff, backoffOf } from "./backoff.ts";
import { LeaseLostError } from "./hand.ts";
import { checkFeed, feed, type FeedOptions } from "./feed.ts";
import { type Ended, INTAKE, type Intake, type WorkerSource } from "./intake.ts";
import { Slot, stopReason } from "./slot.ts";
import {
  type Handler,
  type Health,
  WORKER_OPTIONS,
  type WorkerEvent,
  type WorkerOptions,
} from "./worker_types.ts";

const RUN_OPTIONS = optionNames<{ signal?: AbortSignal }>({ signal: true });
const STOP_OPTIONS = optionNames<{ graceMs?: number }>({ graceMs: true });

/** How long after its grace a worker is there at most: the last of it is for closing. */
const END_MS = 950;
const CLOSE_MS = 200;

/** How long an aborted handler is waited for before the worker ends without it. */
const ABORT_MS = 400;

/** How long Redis is waited for at the end, where the grace leaves more. */
const SETTLE_MS = 1_000;

/**
 * Runs a handler for each message of a queue.
 *
 * **Guarantee:** that of the queue. With a `ListQueue`, at most once: a message whose handler threw
 * or whose process died is not handed out again. With the others, at least once: returning is the
 * ack, throwing gives the message back for another attempt.
 * **Commands:** one for as many messages as there are free slots, one for the acks of a turn.
 * **A crash** loses the messages whose handlers were running (`ListQueue`), or gives them back when
 * their lease is over.
 *
 * @typeParam D What is handed over: a `Message` or a `Delivery`.
 *
 * @example Handle until told to stop
 * ```ts
 * import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ReliableQueue<string>(redis, "docs_worker");
 * const stop = new AbortController();
 * const worker = new Worker(queue, (payload, { delivery }) => {
 *   console.log(payload, delivery.attempt); // hello 1
 *   stop.abort();
 * }, { concurrency: 4, mode: "blocking" });
 *
 * await queue.enqueue("hello");
 * await worker.run({ signal: stop.signal });
 * await redis.close();
 * ```
 */
export class Worker<D extends { readonly payload: unknown }> implements AsyncDisposable {
  readonly #source: WorkerSource<D>;
  readonly #handler: Handler<D>;
  readonly #options: {
    concurrency: number;
    graceMs: number;
    timeoutMs?: number;
    backoff?: Backoff;
  };
  readonly #feedOptions: FeedOptions;
  readonly #onEvent: ((event: WorkerEvent<D>) => void) | undefined;
  readonly #running = new Set<Slot<D>>();
  #intake: Intake<D> | undefined;
  #stopping = new AbortController();
  #aborted = false;
  #failure: Failure | undefined;
  #wake: () => void = () => {};
  #loop: Promise<void> | undefined;
  #graceEndsAt = Infinity;
  readonly #settling = new Set<Promise<void>>();
  #takenAt: number | undefined;

  /**
   * Makes the worker; `run()` or `start()` starts it.
   *
   * @param queue Where the messages come from.
   * @param handler Your code.
   * @param options How many at a time, and how to wait.
   * @throws {TypeError} for what is no queue or no function, a bad `mode` or `backoff`, or an unknown
   * option.
   * @throws {RangeError} for a `concurrency` or a time out of range.
   */
  constructor(
    queue: WorkerSource<D>,
    handler: Handler<D>,
    options: WorkerOptions<D> = {},
  ) {
    if (typeof queue?.[INTAKE] !== "function") {
      throw new TypeError(`The first argument must be a queue, but is ${show(queue)}`);
    }
    if (typeof handler !== "function") {
      throw new TypeError(`The handler must be a function, but is ${show(handler)}`);
    }
    checkOptions("Worker", options, WORKER_OPTIONS);
    const { concurrency = 1, mode, pollMs, graceMs = 10_000, timeoutMs, backoff, onEvent } =
      options;
    if (timeoutMs !== undefined) checkMs("timeoutMs", timeoutMs, { min: 1 });
    if (backoff !== undefined) backoffOf(backoff);
    this.#source = queue;
    this.#handler = handler;
    this.#options = {
      concurrency: checkCount("concurrency", concurrency, { max: 1_000 }),
      graceMs: checkMs("graceMs", graceMs),
      timeoutMs,
      backoff,
    };
    this.#onEvent = onEvent;
    this.#feedOptions = checkFeed({ mode, pollMs, onEvent });
  }

  /** How many handlers are running. */
  get active(): number {
    return this.#running.size;
  }

  /**
   * How the worker is doing. One on a queue with leases asks Redis every second, whatever its handlers
   * do: one that has not been answered for 15 s is in trouble, and so is one that has free slots and has
   * not finished a claim for 15 s. It makes its connections anew by itself, as long as it runs.
   *
   * @example
   * ```ts
   * import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const worker = new Worker(new ReliableQueue(redis, "docs_health"), () => {});
   * worker.start();
   * const { running, active, lastClaimMs } = worker.health();
   * console.log(running, active, lastClaimMs); // true 0 undefined
   * await worker.stop();
   * await redis.close();
   * ```
   */
  health(): Health {
    const now = performance.now();
    const answeredAt = Math.max(this.#takenAt ?? -Infinity, this.#intake?.answeredAt ?? -Infinity);
    return {
      running: this.#loop !== undefined,
      active: this.active,
      ...(answeredAt > -Infinity && { lastAnswerMs: now - answeredAt }),
      ...(this.#takenAt !== undefined && { lastClaimMs: now - this.#takenAt }),
    };
  }

  /**
   * Starts, and resolves when the worker has stopped.
   *
   * @param options `signal`: stops the worker, as {@linkcode Worker.stop} does.
   * @throws What ended the worker, if it was not told to stop.
   * @throws {TypeError} if it runs already, or for a `signal` that is none.
   */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = checkOptions("run", options, RUN_OPTIONS);
    checkSignal(signal);
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
    this.#takenAt = undefined; // of an earlier run it would say nothing
    this.#loop = this.#main().finally(() => this.#loop = undefined);
    return this.#loop;
  }

  /**
   * Stops: takes no more messages, gives back what was not begun, lets the running handlers finish, and
   * after `graceMs` aborts their signals. A handler that then throws, or ignores its signal for 400 ms,
   * has not failed: its message goes back to ready without spending an attempt (`failed` events have
   * `to: "ready"`), since otherwise a few deployments would bury what takes long. What takes long for
   * ever is a matter for `timeoutMs`, which does count.
   *
   * It takes `graceMs` and a second at most, also while Redis does not answer; then leases give back
   * what could not be said. Inside a handler, do not await it: it waits for that handler.
   *
   * @param options `graceMs`: overrides the worker's. 0 aborts at once.
   * @throws What ended the worker, if it failed.
   * @throws {RangeError} for a `graceMs` that is no duration.
   */
  async stop(options: { graceMs?: number } = {}): Promise<void> {
    const { graceMs = this.#options.graceMs } = checkOptions("stop", options, STOP_OPTIONS);
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
    const intake = this.#source[INTAKE]({
      mode: this.#feedOptions.mode ?? "blocking",
      backoff: this.#options.backoff,
      onUndecodable: (error) => this.#tell({ type: "undecodable", error }),
      onBadBackoff: (delivery, error) => this.#tell({ type: "backoff", delivery, error }),
    });
    this.#intake = intake;
    const feeding = this.#feed(intake, signal);
    feeding.catch(() => {}); // awaited below
    try {
      // A take that Redis does not answer keeps the handlers' grace waiting only where what it may have
      // popped has nowhere to go back to.
      await (intake.givesBack ? Promise.race([feeding, aborted(signal)]) : feeding);
    } finally {
      this.#stopping.abort(); // also when the feed failed
      this.#graceEndsAt = Math.min(
        this.#graceEndsAt,
        performance.now() + this.#options.graceMs,
      );
      await this.#drain(intake);
      await this.#within(feeding);
      await intake.close(Math.min(SETTLE_MS, this.#leftMs()));
    }
    await feeding; // over: its connections are closed
    if (this.#failure) throw this.#failure.error;
  }

  /** Takes messages and begins their handlers, until the stop; what comes then is given back. */
  async #feed(intake: Intake<D>, signal: AbortSignal): Promise<void> {
    const take = async (waitMs: number) => {
      const free = this.#options.concurrency - this.#running.size;
      const batch = await intake.take(free, { waitMs, signal });
      this.#takenAt = performance.now();
      return batch;
    };
    await this.#slot(); // a handler that was left behind by an earlier run still has one
    for await (const batch of feed(take, { ...this.#feedOptions, signal })) {
      if (signal.aborted && intake.givesBack) {
        // The last one first, since each goes to the front.
        const back = batch.reverse().map((delivery) => intake.release(delivery));
        await this.#within(Promise.all(back)); // else by their lease
      } else for (const delivery of batch) this.#begin(intake, delivery);
      await this.#slot();
    }
  }

  #begin(intake: Intake<D>, delivery: D): void {
    const slot = new Slot(intake, delivery);
    const error = intake.lost?.(delivery, slot.startedAt);
    if (error) return this.#tell({ type: "lost", delivery, error });
    this.#running.add(slot);
    if (this.#aborted) slot.stop();
    const { timeoutMs } = this.#options;
    if (timeoutMs !== undefined) slot.timer = setTimeout(() => this.#timeOut(slot), timeoutMs);
    try {
      const result = this.#handler(delivery.payload, slot) as PromiseLike<unknown> | undefined;
      if (typeof result?.then !== "function") return this.#end(slot);
      result.then(() => this.#end(slot), (error) => this.#end(slot, { error }));
    } catch (error) {
      this.#end(slot, { error });
    }
  }

  /** The handler has ended. */
  #end(slot: Slot<D>, failure?: Failure): void {
    this.#running.delete(slot);
    this.#settle(slot, failure); // of one that was given back long ago, what it says now is ignored
    this.#wake();
  }

  #timeOut(slot: Slot<D>): void {
    const { timeoutMs } = this.#options;
    const error = new DOMException(`The handler took more than ${timeoutMs} ms`, "TimeoutError");
    slot.abort(error);
    this.#running.delete(slot); // the slot is free, whatever the handler still does
    this.#settle(slot, { error });
    this.#wake();
  }

  /** Once: by the handler's end, by its time, or by the worker's end. */
  #settle(slot: Slot<D>, failure?: Failure): void {
    if (slot.settled) return;
    slot.settled = true;
    clearTimeout(slot.timer);
    const { intake, delivery } = slot;
    const ms = performance.now() - slot.startedAt;
    if (failure) {
      const { error } = failure;
      const settling = this.#giveBack(slot, error).then(
        (to) => this.#tell({ type: "failed", delivery, ms, error, to }),
        (lost) => this.#tell({ type: "lost", delivery, error: lost as Error }),
      ).finally(() => this.#settling.delete(settling));
      this.#settling.add(settling);
    } else {
      intake.done(
        delivery,
        this.#onEvent &&
          ((error) =>
            this.#tell(error ? { type: "lost", delivery, error } : { type: "done", delivery, ms })),
      );
    }
  }

  /** An attempt that the worker's stop cut short has not failed, and is not counted. */
  async #giveBack({ intake, delivery, stopped }: Slot<D>, error: unknown): Promise<Ended> {
    if (stopped && await intake.release(delivery)) return "ready";
    return await intake.failed(delivery, error);
  }

  #tell(event: WorkerEvent<D>): void {
    try {
      if (!this.#onEvent && event.type === "failed" && event.to === "gone") throw event.error;
      if (!this.#onEvent && event.type === "lost" && !this.#isLeft(event.error)) throw event.error;
      this.#onEvent?.(event);
    } catch (error) { // nobody to tell, or who was told threw
      this.#fail(error);
    }
  }

  /** Whether the lease gives the message back: it is over, or the worker went while Redis was away. */
  #isLeft(error: Error): boolean {
    return error instanceof LeaseLostError ||
      this.#stopping.signal.aborted && isConnectionError(error);
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
    while (this.#running.size >= this.#options.concurrency && !this.#stopping.signal.aborted) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #drain(intake: Intake<D>): Promise<void> {
    while (this.#running.size > 0 && !this.#aborted) {
      // A second stop() may shorten the grace meanwhile, and wakes this loop.
      const left = this.#graceEndsAt - performance.now();
      if (left > 0) await this.#woken(left);
      else this.#abortHandlers();
    }
    const end = performance.now() + ABORT_MS;
    while (this.#running.size > 0 && performance.now() < end) {
      await this.#woken(end - performance.now());
    }
    // Left behind: their messages go to somebody else.
    for (const slot of [...this.#running].reverse()) {
      if (!intake.givesBack) continue; // its message has nowhere to go: it keeps the slot
      this.#settle(slot, { error: stopReason() });
      this.#running.delete(slot);
    }
    // While Redis is away they are said again until the lease ends; then it gives the messages back.
    await this.#within(Promise.all(this.#settling));
  }

  /** Milliseconds until the worker has to be gone. */
  #leftMs(): number {
    return Math.max(CLOSE_MS, this.#graceEndsAt + END_MS - performance.now());
  }

  /** Until `work` is over, or it is time to close. */
  async #within(work: Promise<unknown>): Promise<void> {
    await within(work, Math.min(SETTLE_MS, this.#leftMs() - CLOSE_MS)).catch(() => {});
  }

  /** Until a handler ends, a stop is asked for, or the time is over. */
  async #woken(ms: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(ms, woken.signal);
  }

  #abortHandlers(): void {
    this.#aborted = true;
    // The last one first, since what is given back goes to the front.
    for (const slot of [...this.#running].reverse()) slot.stop();
    this.#wake();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

interface Failure {
  error: unknown;
}
