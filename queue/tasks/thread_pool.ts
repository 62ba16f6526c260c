/**
 * `ThreadPool`: the handlers of a module, in threads of their own, so that a worker uses all cores.
 *
 * ```
 *   TaskWorker ── run(type, payload) ──► least busy thread ──► handlers of the module
 *                    result, error, progress ◄──┘      ✗ crashed, or deaf to its signal: replaced
 * ```
 *
 * It ends when it is closed. A thread that ends otherwise fails the tasks it had and is replaced.
 *
 * @module
 */
import process from "node:process";
import { workerData } from "node:worker_threads";
import { checkOptions, checkSignal, optionNames } from "../../redis/options.ts";
import { show } from "../../redis/show.ts";
import { backoffMs, checkCount, checkMs, sleep } from "../../redis/timers.ts";
import { cores } from "./cores.ts";
import { type HandlerSource, noHandler } from "./handler_source.ts";
import { type CallContext, LiveThread, type ThreadEnd } from "./live_thread.ts";

/** What happens in a pool, for `onEvent`. */
export type ThreadPoolEvent =
  /** A thread crashed; `tasks` failed by it, and it is replaced in `retryMs`. */
  | { type: "threadCrashed"; error: Error; tasks: number; retryMs: number }
  /** A thread was ended because a handler ignored its signal; `tasks` failed by it. */
  | { type: "threadEnded"; error: Error; tasks: number }
  /** A thread that was to replace another could not be started; that is tried again in `retryMs`. */
  | { type: "threadUnusable"; error: Error; retryMs: number };

/** Options of {@linkcode ThreadPool}. */
export interface ThreadPoolOptions {
  /**
   * The module that has the handlers: as `export const handlers = { … }`, or as its default export. A
   * file of its own, since each thread loads it; `new URL("./handlers.ts", import.meta.url)`.
   */
  module: URL | string;
  /**
   * How many threads.
   *
   * @default the number of cores
   */
  threads?: number;
  /**
   * How many tasks a thread runs at the same time. More than one is for handlers that also wait; they
   * share the fate of their thread.
   *
   * @default 1
   */
  perThread?: number;
  /**
   * How long a handler may go on when its signal aborts, in milliseconds. Then its thread is ended, and
   * replaced.
   *
   * @default 400
   */
  abortMs?: number;
  /**
   * How long the module may take to load, in milliseconds.
   *
   * @default 30_000
   */
  startMs?: number;
  /**
   * Told what happens to threads. Without it, a crash that no task hears of (a stray rejection while the
   * thread is idle) is thrown as an uncaught error, as it would be without threads.
   */
  onEvent?: (event: ThreadPoolEvent) => void;
}

const POOL_OPTIONS = optionNames<ThreadPoolOptions>({
  module: true,
  threads: true,
  perThread: true,
  abortMs: true,
  startMs: true,
  onEvent: true,
});

/** Between a crash and the next thread in its place; the longest comes after nine that did nothing. */
const BACKOFF = { baseMs: 50, maxMs: 10_000 };

/** A task that waits for a thread. */
interface Waiting {
  begin(thread: LiveThread): void;
  refuse(error: unknown): void;
}

/**
 * Runs the handlers of a module in other threads. `new TaskWorker(redis, { module, threads })` makes one;
 * made by hand, it is a pool of threads for whatever has to be computed.
 *
 * A thread runs one task at a time, and the least busy one gets the next. Payloads are cloned as
 * `structuredClone` does; results and progress are JSON, as they are without threads. Errors keep their
 * name, message, stack and code.
 *
 * **Signals** are handed on. A handler that ends within `abortMs` has heard; else its thread is ended,
 * wherever it is (a busy loop hears nothing), and its task fails.
 * **A crash** (something thrown outside of a handler, `process.exit()`) fails the task that was running,
 * and the thread is replaced: at once, and later the more often it happens before a task is done.
 * Memory that runs out takes the whole process along: against that, use processes (`supervise`).
 * **Permissions** are those of the program. Under Deno it needs `--allow-read` for the module.
 *
 * @example
 * ```ts
 * import { ThreadPool } from "@workshop/redis-patterns/tasks";
 *
 * // A file: new URL("./handlers.ts", import.meta.url). Here its text, so that the example is in one.
 * const module = `data:text/javascript,
 *   export const handlers = { process_data: ({ data }) => ({ processed_data: data * 2 }) };`;
 *
 * await using pool = new ThreadPool({ module, threads: 2 });
 * await pool.start();
 * console.log(await pool.run("process_data", { data: 42 })); // { processed_data: 84 }
 * ```
 */
export class ThreadPool implements HandlerSource, AsyncDisposable {
  /** How many tasks run at the same time: `threads` times `perThread`. */
  readonly concurrency: number;
  readonly #module: string;
  readonly #threads: number;
  readonly #perThread: number;
  readonly #times: { abortMs: number; startMs: number };
  readonly #onEvent: ((event: ThreadPoolEvent) => void) | undefined;
  readonly #ready = new Set<LiveThread>();
  readonly #starting = new Set<LiveThread>();
  readonly #waiting = new Set<Waiting>();
  readonly #closing = new AbortController();
  #names: ReadonlySet<string> = new Set();
  #started: Promise<void> | undefined;
  #places: Promise<void>[] = [];

  /**
   * Makes the pool; `start()` starts its threads.
   *
   * @param options The module, and how many threads.
   * @throws {TypeError} for a `module` that is no URL, inside a thread of another pool, or for an unknown
   * option.
   * @throws {RangeError} for a number or a time out of range.
   */
  constructor(options: ThreadPoolOptions) {
    if (workerData?.redisPatternsThread) {
      // Else a program that names itself as the module would start threads for ever; and so would one
      // that is a single file with this library in it.
      throw new TypeError(
        "A thread of a pool cannot start a pool: put the handlers into a module of their own, and " +
          "leave this package out of a bundle that is one file",
      );
    }
    checkOptions("ThreadPool", options, POOL_OPTIONS);
    const { module, threads = cores(), perThread = 1, abortMs = 400, startMs = 30_000, onEvent } =
      options;
    if (onEvent !== undefined && typeof onEvent !== "function") {
      throw new TypeError(`onEvent must be a function, but is ${show(onEvent)}`);
    }
    this.#module = moduleUrl(module);
    this.#threads = checkCount("threads", threads, { max: 1_000 });
    this.#perThread = checkCount("perThread", perThread, { max: 1_000 });
    this.concurrency = this.#threads * this.#perThread;
    this.#times = {
      abortMs: checkMs("abortMs", abortMs),
      startMs: checkMs("startMs", startMs, { min: 1 }),
    };
    this.#onEvent = onEvent;
  }

  /** The names of the module's handlers; empty before it has started. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /**
   * Starts the threads; called again, it gives the same promise.
   *
   * @throws {Error} if the module cannot be loaded or has no handlers; it names the module.
   */
  start(): Promise<void> {
    return this.#started ??= this.#start();
  }

  /**
   * Runs a handler; waits while every thread is busy or being replaced, first come first served.
   *
   * @param type The handler's name.
   * @param payload What it takes; what `structuredClone` can carry.
   * @param context What it is told besides.
   * @returns What it returned, by way of JSON.
   * @throws What it threw, as an `Error` with its name, message, stack and code.
   * @throws {TypeError} for a name that the module has no handler for, a payload that cannot be cloned,
   * a result that JSON cannot carry, or if the pool has not started.
   * @throws {Error} if its thread crashed, was ended because a signal was ignored, or the pool closed.
   */
  run(type: string, payload: unknown, context: CallContext = {}): Promise<unknown> {
    return this.#run(type, payload, context);
  }

  /** Ends the threads, whatever they do; what runs fails. Stop what gives it tasks first. */
  async close(): Promise<void> {
    this.#closing.abort();
    const closed = poolClosed();
    for (const waiting of this.#waiting) waiting.refuse(closed);
    await Promise.all([...this.#ready, ...this.#starting].map((thread) => thread.end(closed)));
    await this.#started?.catch(() => {}); // told where it was awaited
    await Promise.all(this.#places);
  }

  /** Closes; see {@linkcode ThreadPool.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    if (this.#closing.signal.aborted) throw poolClosed();
    const made = Array.from({ length: this.#threads }, () => this.#make());
    try {
      for (const thread of made) this.#names = await thread.ready;
    } catch (error) {
      await Promise.all(made.map((thread) => thread.end(error as Error)));
      throw this.#closing.signal.aborted ? poolClosed() : error;
    } finally {
      this.#starting.clear();
    }
    this.#places = made.map((thread) => this.#keep(thread));
  }

  #make(): LiveThread {
    const thread = new LiveThread(this.#module, this.#times);
    this.#starting.add(thread);
    return thread;
  }

  async #run(type: string, payload: unknown, context: CallContext): Promise<unknown> {
    if (this.#closing.signal.aborted) throw poolClosed();
    if (this.#names.size === 0) {
      throw new TypeError("The pool has not started: await start() first");
    }
    if (!this.#names.has(type)) throw noHandler(type, this.#names);
    checkSignal(context.signal);
    // Chosen and given the task in one turn, so that a thread never gets two at once.
    const thread = this.#waiting.size === 0 ? this.#leastBusy() : undefined;
    const done = thread
      ? thread.run(type, payload, context)
      : this.#whenFree((thread) => thread.run(type, payload, context), context.signal);
    try {
      return await done;
    } finally {
      this.#beginWaiting();
    }
  }

  /** The ready thread with the fewest tasks; undefined while all have as many as they may. */
  #leastBusy(): LiveThread | undefined {
    let least: LiveThread | undefined;
    for (const thread of this.#ready) {
      if (thread.load < (least?.load ?? this.#perThread)) least = thread;
    }
    return least;
  }

  #whenFree(
    run: (thread: LiveThread) => Promise<unknown>,
    signal?: AbortSignal,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener("abort", abort);
      };
      const waiting: Waiting = {
        begin: (thread) => {
          leave();
          resolve(run(thread));
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = () => waiting.refuse(signal!.reason);
      this.#waiting.add(waiting);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort);
    });
  }

  #beginWaiting(): void {
    for (const waiting of this.#waiting) {
      const thread = this.#leastBusy();
      if (!thread) return;
      waiting.begin(thread);
    }
  }

  /** Keeps one place taken until the pool closes. */
  async #keep(thread: LiveThread): Promise<void> {
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      this.#ready.add(thread);
      this.#beginWaiting();
      const end = await thread.ended;
      this.#ready.delete(thread);
      if (this.#closing.signal.aborted) break;
      if (!end.crashed) failures = 0;
      else failures = thread.done > 0 ? 1 : failures + 1;
      await this.#mourn(end, failures);
      const next = await this.#replace(failures);
      if (!next) break;
      thread = next;
    }
    await thread.end(poolClosed());
  }

  /** Tells of a thread that is over, and waits for as long as its place stays empty. */
  async #mourn({ error, crashed, tasks }: ThreadEnd, failures: number): Promise<void> {
    if (!crashed) return this.#tell({ type: "threadEnded", error, tasks });
    const retryMs = failures > 1 ? backoffMs(failures - 2, BACKOFF) : 0;
    this.#tell({ type: "threadCrashed", error, tasks, retryMs }, tasks > 0);
    await sleep(retryMs, this.#closing.signal);
  }

  /** The next thread of a place, or undefined when the pool closes first. */
  async #replace(failures: number): Promise<LiveThread | undefined> {
    while (!this.#closing.signal.aborted) {
      const thread = this.#make();
      try {
        await thread.ready;
        return thread;
      } catch (error) {
        this.#starting.delete(thread);
        if (this.#closing.signal.aborted) break;
        const retryMs = backoffMs(failures++, BACKOFF);
        // Those who wait must not wait for a module that is gone.
        const hopeless = this.#ready.size + this.#starting.size === 0 ? [...this.#waiting] : [];
        for (const waiting of hopeless) waiting.refuse(error);
        this.#tell({ type: "threadUnusable", error: error as Error, retryMs }, hopeless.length > 0);
        await sleep(retryMs, this.#closing.signal);
      } finally {
        this.#starting.delete(thread);
      }
    }
    return undefined;
  }

  #tell(event: ThreadPoolEvent, heard = true): void {
    if (this.#onEvent) {
      // What it throws is no matter of the thread's.
      return void Promise.resolve(event).then(this.#onEvent).catch(throwUncaught);
    }
    if (!heard) throwUncaught(event.error);
  }
}

function poolClosed(): Error {
  return new Error("The pool of threads is closed");
}

function throwUncaught(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

/** The URL of a module, as text. A path would be looked for beside the library, so it is refused. */
export function moduleUrl(module: URL | string): string {
  const text = module instanceof URL ? module.href : module;
  if (typeof text === "string" && /^[a-z][a-z+]+:/i.test(text)) return text;
  throw new TypeError(
    `module must be a URL, such as new URL("./handlers.ts", import.meta.url), but is ${
      show(module, "string")
    }`,
  );
}
