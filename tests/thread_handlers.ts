/** Handlers for `thread_pool_test.ts`: what is good, slow, deaf or deadly in a thread. */
import type { TaskContext } from "@workshop/redis-patterns/tasks";
import process from "node:process";
import { threadId } from "node:worker_threads";

/** Tells which error reached the handler. */
class PhotoError extends Error {
  override readonly name = "PhotoError";
  readonly code = "E_PHOTO";
  /** What no clone can carry. */
  readonly retry = () => {};
}

export const handlers = {
  process_data: ({ data }: { data: number }) => ({ processed_data: data * 2 }),
  echo: (payload: unknown) => payload,
  nothing: () => {},
  where: () => threadId,
  where_slowly: (ms: number) => new Promise<number>((resolve) => setTimeout(resolve, ms, threadId)),
  context: (_: null, { id, type, attempt, signal }: TaskContext) => ({
    id,
    type,
    attempt,
    aborted: signal.aborted,
  }),
  fail(): never {
    throw new PhotoError("no such photo");
  },
  fail_with: (what: unknown) => Promise.reject(what),
  fail_hostile() {
    throw Object.defineProperty(new Error("no"), "stack", {
      get: () => {
        throw new Error("do not look");
      },
    });
  },
  fail_long(): never {
    throw new Error("x".repeat(100_000));
  },
  give(what: "function" | "Map" | "Date" | "cycle"): unknown {
    const cycle: { self?: object } = {};
    cycle.self = cycle;
    return { Map: new Map(), Date: new Date(0), function: { fn: () => {} }, cycle }[what];
  },
  async steps(count: number, { progress }: TaskContext): Promise<string[]> {
    const errors: string[] = [];
    for (let done = 1; done <= count; done++) {
      await progress({ done, of: count }).catch((error) => errors.push(String(error)));
    }
    return errors;
  },
  unheard(_: null, { progress }: TaskContext): string {
    void progress(1);
    return "done";
  },
  bad_progress: (_: null, { progress }: TaskContext) => progress(() => {}),
  /** Ends with what its signal says. */
  heed: (_: null, { signal }: TaskContext) =>
    new Promise((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason));
    }),
  wait: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
  never: () => new Promise(() => {}),
  /** Sees no signal: the event loop stands still. */
  spin({ ms = Infinity }: { ms?: number }): number {
    const until = performance.now() + ms;
    let turns = 0;
    while (performance.now() < until) turns++;
    return turns;
  },
  /** Work that needs a core, the same each time. */
  burn(turns: number): number {
    let x = 1;
    for (let i = 0; i < turns; i++) x = (x * 1_103_515_245 + 12_345) % 2_147_483_648;
    return x;
  },
  exit: (code: number) => process.exit(code),
  /** Throws where no handler is. */
  stray(): Promise<void> {
    setTimeout(() => {
      throw new RangeError("outside of a handler");
    });
    return new Promise(() => {});
  },
  reject_later: (ms: number) =>
    void setTimeout(() => void Promise.reject(new RangeError("a stray promise")), ms),
};
