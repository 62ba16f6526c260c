/**
 * What runs inside a thread of a {@linkcode ThreadPool}: it loads the module, says which handlers that
 * has, and runs them for whoever asks. It ends when the pool ends it, and tells the pool first when
 * something was thrown outside of a handler.
 *
 * @module
 */
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { codecOf } from "../../redis/codec.ts";
import { type AnyHandler, exportedHandlers } from "./handler_source.ts";
import type { TaskContext } from "./task_map.ts";
import {
  type FromThread,
  pack,
  type Said,
  type ThreadOrders,
  type ToThread,
  unpack,
} from "./thread_messages.ts";

/**
 * Where this module is. Told by itself, since whoever compiles the library may give it another name than
 * the one by which the pool would look for it.
 */
export const THREAD_URL: string = import.meta.url;

const json = codecOf<unknown>("json");
const running = new Map<number, Call>();
const unheard = new Map<number, (error: unknown) => void>();
let progresses = 0;

/** Serves the pool that made this thread. */
export async function serve(): Promise<void> {
  const { module } = workerData as ThreadOrders;
  // Heard here, or the runtime would print it and end the thread before the pool knows what it was.
  process.on("uncaughtException", (error) => say({ kind: "crashed", error: pack(error) }));
  process.on("unhandledRejection", (error) => say({ kind: "crashed", error: pack(error) }));
  try {
    const handlers = exportedHandlers(await import(module));
    parentPort!.on("message", (message: ToThread) => hear(message, handlers));
    say({ kind: "ready", names: [...handlers.keys()] });
  } catch (error) {
    say({ kind: "unusable", error: pack(error) });
  }
}

function hear(message: ToThread, handlers: Map<string, AnyHandler>): void {
  switch (message.kind) {
    case "run":
      return void run(new Call(message), handlers.get(message.type)!);
    case "abort":
      return running.get(message.call)?.abort(unpack(message.reason));
    case "heard":
      unheard.get(message.progress)?.(message.error && unpack(message.error));
      unheard.delete(message.progress);
  }
}

async function run(call: Call, handler: AnyHandler): Promise<void> {
  running.set(call.number, call);
  say(await outcome(call, handler));
  running.delete(call.number);
}

async function outcome(call: Call, handler: AnyHandler): Promise<FromThread> {
  const { number } = call;
  let result: unknown;
  try {
    result = await handler(call.payload, call.context);
  } catch (error) {
    return { kind: "failed", call: number, error: pack(error) };
  }
  try {
    return { kind: "done", call: number, result: call.encode("result", result) };
  } catch (error) {
    return { kind: "unkept", call: number, why: (error as Error).message };
  }
}

function say(message: FromThread): void {
  parentPort!.postMessage({ redisPatternsThread: message } satisfies Said);
}

/** One task at work. */
class Call {
  readonly number: number;
  readonly payload: unknown;
  readonly context: TaskContext;
  readonly #type: string;
  #controller: AbortController | undefined;
  #aborted: { reason: unknown } | undefined;

  constructor({ call, type, payload, id, attempt }: Extract<ToThread, { kind: "run" }>) {
    this.number = call;
    this.payload = payload;
    this.#type = type;
    const signal = () => this.#signal();
    this.context = {
      id,
      type,
      attempt,
      get signal() {
        return signal();
      },
      progress: (value) => this.#progress(value),
    };
  }

  abort(reason: unknown): void {
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }

  /**
   * As JSON, by the codec that the worker uses: a class with `toJSON` would arrive without it, and what
   * JSON cannot carry has to fail here as it does without threads.
   *
   * @throws {TypeError} naming what JSON cannot carry.
   */
  encode(what: string, value: unknown): string | undefined {
    if (value === undefined) return undefined;
    try {
      return json.encode(value) as string;
    } catch (cause) {
      const why = (cause as Error).message.replace("payload", what);
      throw new TypeError(`The ${what} of the task ${JSON.stringify(this.#type)}: ${why}`, {
        cause,
      });
    }
  }

  #signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  #progress(value: unknown): Promise<void> {
    let text: string;
    try {
      text = this.encode("progress", value ?? null)!;
    } catch (error) {
      return Promise.reject(error);
    }
    const telling = this.#tell(text);
    telling.catch(() => {}); // as without threads: whoever does not wait for it is not ended by it
    return telling;
  }

  async #tell(text: string): Promise<void> {
    const progress = ++progresses;
    const heard = new Promise<unknown>((resolve) => unheard.set(progress, resolve));
    say({ kind: "progress", call: this.number, progress, value: text });
    const error = await heard;
    if (error !== undefined) throw error;
  }
}
