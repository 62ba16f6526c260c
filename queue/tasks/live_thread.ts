/**
 * One thread of a pool, from its making to its end. It ends once: told to, by a crash, by ending itself,
 * or because a handler ignored its signal; then all that it had fails, and it says why. Whether another
 * takes its place is the pool's affair.
 *
 * `node:worker_threads` and not the global `Worker`, since Node has no global one, and since Deno's tells
 * neither that a thread has ended itself nor what a crash was. The thread begins with a `data:` URL that
 * imports `thread.ts`: Deno's `node:worker_threads` takes no `https:` URL, which is what `thread.ts` has
 * when this package comes from JSR. (Tried on Deno 2.9, Node 20 and Bun 1.4, and from a registry.)
 *
 * @module
 */
import { Worker as Thread } from "node:worker_threads";
import { toText } from "../envelope.ts";
import { within } from "../../redis/timers.ts";
import { ResultError } from "./handler_source.ts";
import type { TaskContext } from "./task_map.ts";
import { THREAD_URL } from "./thread.ts";
import {
  type FromThread,
  pack,
  saidBy,
  type ThreadOrders,
  type ToThread,
  unpack,
} from "./thread_messages.ts";

/** What a call may be told and tell: what it needs of a {@linkcode TaskContext}. */
export type CallContext = Partial<Omit<TaskContext, "type">>;

/** How a thread ended. */
export interface ThreadEnd {
  /** What ended it. */
  readonly error: Error;
  /** Whether it was by a fault, and not because it was told to or since a handler ignored its signal. */
  readonly crashed: boolean;
  /** How many tasks failed by it. */
  readonly tasks: number;
}

interface Call {
  readonly type: string;
  readonly context: CallContext;
  resolve(result: unknown): void;
  reject(error: unknown): void;
  /** Lets go of the signal and the timer. */
  release(): void;
}

/** A thread that has been made. */
export class LiveThread {
  /** Resolves when it can run tasks; rejects if it never will. */
  readonly ready: Promise<ReadonlySet<string>>;
  /** Resolves when it is over, also with what ended it. */
  readonly ended: Promise<ThreadEnd>;
  readonly #thread: Thread;
  readonly #abortMs: number;
  readonly #calls = new Map<number, Call>();
  #last = 0;
  #done = 0;
  #over = false;
  #ending: Promise<unknown> | undefined;
  #names!: (names: ReadonlySet<string>) => void;
  #end!: (end: ThreadEnd) => void;

  /** Makes it; it begins to load the module at once. */
  constructor(
    module: string,
    { abortMs, startMs }: {
      /** How long a handler may ignore its signal. */
      abortMs: number;
      /** How long the module may take to load. */
      startMs: number;
    },
  ) {
    this.#abortMs = abortMs;
    this.ended = new Promise((resolve) => this.#end = resolve);
    const workerData: ThreadOrders = { redisPatternsThread: true, module };
    const begin = `const { serve } = await import(${JSON.stringify(THREAD_URL)}); await serve();`;
    this.#thread = new Thread(new URL(`data:text/javascript,${encodeURIComponent(begin)}`), {
      workerData,
    });
    this.#thread.on("message", (message) => this.#hear(saidBy(message)));
    this.#thread.on("messageerror", (error) => this.#crash(toText(error), error));
    this.#thread.on("error", (error) => this.#crash(toText(error), error));
    this.#thread.on("exit", (code) => this.#crash(`it ended itself with exit code ${code}`));
    this.ready = this.#loaded(module, startMs);
    this.ready.catch(() => {}); // whoever waits for it hears; who does not will hear of the end
  }

  /** How many tasks it is running; too many for another one when it is over. */
  get load(): number {
    return this.#over ? Infinity : this.#calls.size;
  }

  /** How many tasks it has run to their ends. */
  get done(): number {
    return this.#done;
  }

  /**
   * Runs a task.
   *
   * @throws {TypeError} for a payload that cannot be handed to another thread.
   * @throws {Error} if the thread ends first.
   */
  run(type: string, payload: unknown, context: CallContext): Promise<unknown> {
    const number = ++this.#last;
    const { id = "", attempt = 1, signal } = context;
    return new Promise((resolve, reject) => {
      try {
        this.#say({ kind: "run", call: number, type, payload, id, attempt });
      } catch (cause) {
        const text = `The payload of the task ${JSON.stringify(type)} cannot be handed to a thread`;
        throw new TypeError(`${text}: ${toText(cause)}`, { cause });
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      const abort = () => {
        this.#say({ kind: "abort", call: number, reason: pack(signal!.reason) });
        timer = setTimeout(() => this.#giveUp(number), this.#abortMs);
      };
      const release = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      this.#calls.set(number, { type, context, resolve, reject, release });
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort);
    });
  }

  /** Ends it; resolves when it is gone. What it runs fails with this error. */
  async end(error: Error): Promise<void> {
    this.#finish({ error, crashed: false }, () => error);
    await this.#ending;
  }

  #hear(message: FromThread | undefined): void {
    if (!message || this.#over) return; // not ours; or said before it was over, heard after
    switch (message.kind) {
      case "ready":
        return this.#names(new Set(message.names));
      case "unusable":
      case "crashed": {
        const error = unpack(message.error);
        return this.#crash(toText(error), error);
      }
      case "progress":
        return void this.#progress(message);
    }
    const call = this.#calls.get(message.call)!;
    this.#calls.delete(message.call);
    this.#done++;
    call.release();
    if (message.kind === "failed") call.reject(unpack(message.error));
    else if (message.kind === "unkept") call.reject(new ResultError(message.why));
    else call.resolve(message.result === undefined ? undefined : JSON.parse(message.result));
  }

  async #progress(
    { call: number, progress, value }: Extract<FromThread, { kind: "progress" }>,
  ): Promise<void> {
    try {
      const call = this.#calls.get(number);
      if (!call) throw new TypeError("The task is over: its progress is not told any more");
      await call.context.progress?.(JSON.parse(value));
      this.#say({ kind: "heard", progress });
    } catch (error) {
      this.#say({ kind: "heard", progress, error: pack(error ?? new Error("progress failed")) });
    }
  }

  /** Until the module is loaded, for `startMs` at most. */
  async #loaded(module: string, startMs: number): Promise<ReadonlySet<string>> {
    const names = new Promise<ReadonlySet<string>>((resolve) => this.#names = resolve);
    const over = this.ended.then(({ error }) => Promise.reject(error.cause ?? error));
    try {
      return await within(Promise.race([names, over]), startMs);
    } catch (cause) {
      const error = new Error(`The module ${module} is of no use in a thread: ${toText(cause)}`, {
        cause,
      });
      await this.end(error);
      throw error;
    }
  }

  /** A busy loop sees no signal, and nothing else ends one. */
  #giveUp(number: number): void {
    const { type, context } = this.#calls.get(number)!;
    const name = JSON.stringify(type);
    const text = `The handler of the task ${name} ignored its signal for ${this.#abortMs} ms`;
    const cause = context.signal?.reason;
    const error = new Error(`${text}, so its thread was ended`, { cause });
    this.#finish(
      { error, crashed: false },
      (call, type) =>
        call === number
          ? error
          : new Error(`The thread of the task ${JSON.stringify(type)} was ended: ${text}`),
    );
  }

  #crash(why: string, cause?: unknown): void {
    const error = new Error(`A thread crashed: ${why}`, { cause });
    this.#finish(
      { error, crashed: true },
      (_, type) =>
        new Error(`The thread of the task ${JSON.stringify(type)} crashed: ${why}`, { cause }),
    );
  }

  /** Ends the thread and what it has; the first reason counts. */
  #finish(
    end: Omit<ThreadEnd, "tasks">,
    errorOf: (call: number, type: string) => Error,
  ): void {
    if (this.#over) return;
    this.#over = true; // first of all: terminate() may tell of the exit while it is called
    this.#ending = this.#thread.terminate();
    const calls = [...this.#calls];
    this.#calls.clear();
    for (const [number, call] of calls) {
      call.release();
      call.reject(errorOf(number, call.type));
    }
    this.#end({ ...end, tasks: calls.length });
  }

  #say(message: ToThread): void {
    if (!this.#over) this.#thread.postMessage(message);
  }
}
