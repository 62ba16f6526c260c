/**
 * `TaskWorker`: runs the handlers of tasks by their names, and keeps what they give.
 *
 * It is a {@linkcode Worker} on a {@linkcode TaskQueue} whose handler looks for yours. A result travels with
 * the ack: in the script that takes the message out, its record becomes the task's end.
 *
 * @module
 */
import { call } from "../../redis/call.ts";
import type { CommandArgument, RedisClient } from "../../redis/client.ts";
import { byteLength, codecOf } from "../../redis/codec.ts";
import { Merger } from "../../redis/merge.ts";
import { checkOptions, checkSignal, type OptionNames } from "../../redis/options.ts";
import { show } from "../../redis/show.ts";
import { checkCount } from "../../redis/timers.ts";
import { type Delivery, END } from "../delivery.ts";
import { type Progressed, progressScript } from "../task_scripts.ts";
import { Worker } from "../worker.ts";
import {
  type HandlerContext,
  type Health,
  WORKER_OPTIONS,
  type WorkerEvent,
  type WorkerOptions,
} from "../worker_types.ts";
import { type HandlerSource, ownHandlers, ResultError } from "./handler_source.ts";
import { type Report, RunningTask } from "./running_task.ts";
import type { TaskHandlers, TaskMap } from "./task_map.ts";
import {
  type AnyTask,
  INSIDE,
  TASK_QUEUE_OPTIONS,
  TaskQueue,
  type TaskQueueOptions,
} from "./task_queue.ts";
import { ThreadPool, type ThreadPoolEvent } from "./thread_pool.ts";

const json = codecOf<unknown>("json");

/** How often cancelled tasks are looked for among those that run, in milliseconds. */
const CANCEL_MS = 1_000;

/** Largest result by default, in bytes as stored: 1 MiB. */
const MAX_RESULT_BYTES = 1_048_576;

/** What happens in a {@linkcode TaskWorker}, for `onEvent`: to tasks, and to threads if it has some. */
export type TaskWorkerEvent<T extends TaskMap<T>> =
  | WorkerEvent<Delivery<AnyTask<T>>>
  | ThreadPoolEvent;

/** Options of a {@linkcode TaskWorker}: those of its queue, those of a {@linkcode Worker}, and its handlers. */
export interface TaskWorkerOptions<T extends TaskMap<T>>
  extends TaskQueueOptions<T>, Omit<WorkerOptions<Delivery<AnyTask<T>>>, "backoff" | "onEvent"> {
  /**
   * Your code for each task, by its name; or a `module` that has it. A task of another name goes to the dead
   * letters.
   */
  handlers?: TaskHandlers<T>;
  /**
   * The module that has the handlers, as `export const handlers = { … }` or as its default export; they
   * run in threads ({@linkcode ThreadPool}): `new URL("./handlers.ts", import.meta.url)`.
   */
  module?: URL | string;
  /**
   * How many threads run the `module`, and how many tasks at the same time unless `concurrency` says
   * otherwise.
   *
   * @default the number of cores
   */
  threads?: number;
  /** Told what happens; see {@linkcode WorkerOptions.onEvent} and {@linkcode ThreadPoolOptions.onEvent}. */
  onEvent?: (event: TaskWorkerEvent<T>) => void;
  /**
   * Largest result, in bytes of JSON. A task that gives a larger one is dead, since it would give it again.
   *
   * @default 1_048_576 (1 MiB)
   */
  maxResultBytes?: number;
}

const TASK_WORKER_OPTIONS: OptionNames = new Set([
  ...TASK_QUEUE_OPTIONS,
  ...WORKER_OPTIONS,
  "handlers",
  "module",
  "threads",
  "maxResultBytes",
]);

/**
 * Runs your handlers for the tasks of a queue. What a handler returns is the task's result; when it throws, the
 * task is tried again, and is dead after `maxAttempts`.
 *
 * **Guarantee:** at least once: a task whose worker dies is started again when its lease is over, so a
 * handler may run twice; its result is kept once.
 * **Commands:** as {@linkcode Worker}: one `EVALSHA` for as many tasks as there are free slots, one for the
 * results of a turn; one a second while handlers run, to hear of cancelled tasks.
 * **A crash** of the worker costs its tasks an attempt; progress of the attempt stays on record until it is
 * started again.
 *
 * **Threads:** with a `module` in the place of `handlers`, they run in threads ({@linkcode ThreadPool}), one task
 * each, so that handlers which need the processor use all cores. A thread that crashes, or whose handler ignores
 * its signal, costs its task an attempt and is replaced.
 *
 * @typeParam T The map of tasks, known from `handlers`; of a module, `typeof import("./handlers.ts").handlers`.
 *
 * @example Two handlers, ten at a time
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * const name = "docs_task_worker";
 * const handlers = {
 *   process_data: ({ data }: { data: number }) => ({ processed_data: data * 2 }),
 *   flaky: (_payload: null, { attempt }: { attempt: number }) => {
 *     if (attempt < 2) throw new Error("not yet");
 *     return attempt;
 *   },
 * };
 * await using worker = new TaskWorker(redis, {
 *   name,
 *   handlers,
 *   concurrency: 10,
 *   backoff: { baseMs: 0 },
 * });
 * worker.start();
 * await using producer = new TaskProducer<typeof handlers>(redis, { name });
 * const [data, flaky] = await producer.addMany([
 *   { type: "process_data", payload: { data: 42 } },
 *   { type: "flaky", payload: null },
 * ]);
 * console.log(await data.result(), await flaky.result()); // { processed_data: 84 } 2
 * await worker.stop();
 * await redis.close();
 * ```
 */
export class TaskWorker<T extends TaskMap<T>> implements AsyncDisposable {
  /** The queue that the tasks come from. */
  readonly queue: TaskQueue<T>;
  /** Its threads end with a run, so each run has a source of its own. */
  readonly #makeSource: () => HandlerSource;
  #source: HandlerSource;
  #beginning: AbortController | undefined;
  readonly #worker: Worker<Delivery<AnyTask<T>>>;
  readonly #maxResultBytes: number;
  readonly #running = new Set<RunningTask>();
  readonly #progress: Merger<Report, Progressed>;
  #cancelTimer: ReturnType<typeof setInterval> | undefined;
  /** Resolves when the threads of the last run are gone, too. */
  #ended: Promise<void> = Promise.resolve();

  /**
   * Makes the worker; `run()` or `start()` starts it.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @throws {TypeError} for handlers that are none, a bad option, or an unknown one.
   * @throws {RangeError} for a measure out of range.
   */
  constructor(client: RedisClient, options: TaskWorkerOptions<T>) {
    checkOptions("TaskWorker", options, TASK_WORKER_OPTIONS);
    const { maxResultBytes = MAX_RESULT_BYTES } = options;
    this.#makeSource = sourceOf(options);
    this.#source = this.#makeSource();
    this.#maxResultBytes = checkCount("maxResultBytes", maxResultBytes, { max: 536_870_912 });
    const ofQueue: Record<string, unknown> = {};
    const ofWorker: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(options)) {
      if (TASK_QUEUE_OPTIONS.has(name)) ofQueue[name] = value; // the backoff, too
      else if (WORKER_OPTIONS.has(name)) ofWorker[name] = value;
    }
    ofWorker["concurrency"] ??= this.#source.concurrency;
    this.queue = new TaskQueue<T>(client, ofQueue as TaskQueueOptions<T>);
    this.#worker = new Worker<Delivery<AnyTask<T>>>(
      this.queue,
      (task, context) => this.#handle(task, context),
      ofWorker,
    );
    const { keys, maxEvents } = this.queue[INSIDE]();
    const send = (args: readonly CommandArgument[]) => call(client, args);
    this.#progress = new Merger((reports) => {
      const words = reports.flatMap((report) => report.words);
      return progressScript.run(send, keys, { events_most: maxEvents }, words);
    });
  }

  /** How many handlers are running. */
  get active(): number {
    return this.#worker.active;
  }

  /** How the worker is doing; see {@linkcode Worker.health}. */
  health(): Health {
    return this.#worker.health();
  }

  /**
   * Starts, and resolves when the worker has stopped.
   *
   * @throws As {@linkcode Worker.run}, and for a `module` that cannot be loaded or has no handlers.
   */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#begin(() => this.#worker.run(options), options?.signal);
  }

  /**
   * Starts without waiting for the end.
   *
   * @returns What {@linkcode TaskWorker.run} returns. If nobody takes it, a failure is an unhandled rejection.
   * @throws {TypeError} if it runs already.
   */
  start(): Promise<void> {
    return this.#begin(() => this.#worker.start());
  }

  /**
   * Stops: starts nothing more, lets the handlers finish for `graceMs`, then aborts their signals; see
   * {@linkcode Worker.stop}. Threads end with it, also those whose handlers ignore their signals.
   */
  async stop(options: { graceMs?: number } = {}): Promise<void> {
    this.#beginning?.abort();
    try {
      await this.#worker.stop(options);
    } finally {
      this.#leaveBehind();
    }
    await this.#ended;
  }

  /** Stops, and closes its queue object. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.queue.close();
  }

  /** Takes no task before there are handlers. */
  #begin(run: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    checkSignal(signal);
    if (this.#worker.health().running) return run(); // which says so
    // Handlers in this thread are there already.
    if (this.#source.concurrency === undefined) return run().finally(() => this.#leaveBehind());
    if (this.#beginning) throw new TypeError(`The worker of "${this.queue.name}" runs already`);
    const beginning = new AbortController();
    this.#beginning = beginning;
    const whole = this.#inThreads(
      run,
      AbortSignal.any([beginning.signal, ...signal ? [signal] : []]),
    )
      .finally(() => this.#beginning = undefined);
    this.#ended = whole.catch(() => {}); // told to whoever awaits the run
    return whole;
  }

  async #inThreads(run: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const source = this.#makeSource();
    this.#source = source;
    const close = () => void source.close();
    try {
      signal.addEventListener("abort", close);
      if (signal.aborted) return;
      await source.start().catch((error) => {
        if (!signal.aborted) throw error;
      });
      signal.removeEventListener("abort", close); // from now on handlers have their grace
      if (!signal.aborted) await run();
    } finally {
      this.#leaveBehind();
      await source.close();
    }
  }

  /** What is thrown here is the worker's to deal with: another attempt, or none. */
  #handle(
    { type, payload }: AnyTask<T>,
    context: HandlerContext<Delivery<AnyTask<T>>>,
  ): unknown {
    const { delivery } = context;
    if (!this.#source.names.has(type)) {
      const names = [...this.#source.names].map((name) => JSON.stringify(name)).join(", ");
      return delivery.deadLetter(
        `no handler for ${JSON.stringify(type)}: there is one for ${names}`,
      );
    }
    const running = new RunningTask(context, type, (report) => this.#progress.add(report));
    const result = this.#source.run(type, payload, running) as PromiseLike<unknown> | undefined;
    if (typeof result?.then !== "function") return this.#end(running, result);
    this.#running.add(running);
    this.#cancelTimer ??= setInterval(() => void this.#hearOfCancelled(), CANCEL_MS);
    return result.then((value) => {
      this.#over(running);
      return this.#end(running, value);
    }, (error) => {
      this.#over(running);
      if (error instanceof ResultError) return this.#lost(running, error);
      throw error;
    });
  }

  /** The run is over, and with it what handlers go on with that never end. */
  #leaveBehind(): void {
    for (const running of this.#running) this.#over(running);
  }

  #over(running: RunningTask): void {
    this.#running.delete(running);
    if (this.#running.size > 0) return;
    clearInterval(this.#cancelTimer);
    this.#cancelTimer = undefined;
  }

  /** The result goes with the ack. One that cannot be kept is no better the next time. */
  #end(running: RunningTask, result: unknown): Promise<void> | undefined {
    try {
      const written = writeResult(result, this.#maxResultBytes);
      running.delivery[END]({ id: running.id, result: written });
      return undefined;
    } catch (error) {
      return this.#lost(running, error as Error);
    }
  }

  #lost({ delivery, type }: RunningTask, error: Error): Promise<void> {
    error.message = error.message.replace(/(?<=cannot carry (the )?)payload/, "result"); // the codec's word
    return delivery.deadLetter(`the result of ${type} is lost: ${error.message}`, { error });
  }

  /** The signals of those that somebody has cancelled abort. */
  async #hearOfCancelled(): Promise<void> {
    // What outlasted its time is settled, and may never end.
    for (const running of this.#running) if (running.delivery.settled) this.#over(running);
    const now = performance.now();
    const old = [...this.#running].filter(({ begunAt }) => now - begunAt > CANCEL_MS / 2);
    if (old.length === 0) return;
    try {
      const records = await this.queue.tasks(old.map(({ id }) => id));
      records.forEach((record, i) => {
        if (record?.state === "cancelled") old[i]!.cancel();
      });
    } catch {
      // What keeps Redis from answering this keeps it from answering claims, and there it is told.
    }
  }
}

/**
 * A result as it is stored.
 *
 * @throws {TypeError} for what JSON cannot carry.
 * @throws {RangeError} for what is larger than `maxBytes`.
 */
function writeResult(result: unknown, maxBytes: number): string {
  if (result === undefined) return "";
  const text = json.encode(result) as string;
  if (text.length * 3 > maxBytes && byteLength(text) > maxBytes) {
    throw new RangeError(
      `it may have ${maxBytes} bytes (maxResultBytes), but has ${byteLength(text)}`,
    );
  }
  return text;
}

/** Where the handlers come from; what the options say is found good before anything is started. */
function sourceOf<T extends TaskMap<T>>(options: TaskWorkerOptions<T>): () => HandlerSource {
  const { handlers, module, threads, onEvent } = options;
  if (module === undefined) {
    if (threads !== undefined) {
      throw new TypeError(
        `threads (${show(threads)}) need a module: functions cannot be handed to other threads`,
      );
    }
    if (handlers === undefined) {
      throw new TypeError("A TaskWorker needs handlers, or a module that has them");
    }
    const source = ownHandlers(handlers);
    return () => source;
  }
  if (handlers !== undefined) {
    throw new TypeError("A TaskWorker takes either handlers or a module, but it was given both");
  }
  return () => new ThreadPool({ module, threads, onEvent });
}
