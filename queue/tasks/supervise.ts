/**
 * `supervise`: a program in several processes, which are kept running.
 *
 * ```
 *              ┌─ crashed ──► waits, longer each time ─┐
 *   started ───┤                                       └──► started
 *              ├─ exit code 0 ──► finished
 *   stop ──► SIGTERM to all ── graceMs ──► SIGKILL ──► stopped
 * ```
 *
 * It ends when it is told to stop, or when all children have finished; then none is left.
 *
 * @module
 */
import process from "node:process";
import { checkOptions, checkSignal, checkSwitch, optionNames } from "../../redis/options.ts";
import { show } from "../../redis/show.ts";
import { backoffMs, checkCount, checkMs, nextTurn, sleep, within } from "../../redis/timers.ts";
import { type Child, type ChildCommand, deno, startChild } from "./child.ts";
import { cores } from "./cores.ts";
import { moduleUrl } from "./thread_pool.ts";

/** What happens to children, for `onEvent`. `child` is a number from 0, kept through restarts. */
export type SuperviseEvent =
  /** A process was started. */
  | { type: "started"; child: number; pid: number }
  /** It is gone: with an exit code, or by a signal. `ms` is how long it ran. */
  | {
    type: "exited";
    child: number;
    pid: number;
    code: number | null;
    signal: string | null;
    ms: number;
  }
  /** It had crashed, and will be started again. */
  | { type: "restarting"; child: number; retryMs: number }
  /** It could not be started; that is tried again in `retryMs`. */
  | { type: "failed"; child: number; error: unknown; retryMs: number }
  /** It had not ended within the grace time, or it was asked twice: SIGKILL. */
  | { type: "killed"; child: number; pid: number }
  /** None is left, and none will be started. */
  | { type: "stopped" };

/** How long to wait before a crashed child is started again. */
export interface RestartBackoff {
  /**
   * After the first crash, at most, in milliseconds; twice as much after each further one. A quarter of
   * it is the least, so that nothing spins.
   *
   * @default 500
   */
  baseMs?: number;
  /**
   * The longest wait, in milliseconds.
   *
   * @default 30_000
   */
  maxMs?: number;
  /**
   * A child that ran for so long, in milliseconds, was well: its next crash counts as the first.
   *
   * @default 10_000
   */
  wellMs?: number;
}

/** Options of {@linkcode supervise}. */
export interface SuperviseOptions {
  /** The program: `new URL("./worker.ts", import.meta.url)`. */
  module: URL | string;
  /**
   * How many processes run it.
   *
   * @default the number of cores
   */
  processes?: number;
  /** Arguments of the program. */
  args?: string[];
  /**
   * Arguments of the runtime, before the module: under Deno the permissions, and what else this program was
   * started with, such as `--config`.
   *
   * @default on Deno, the permissions that this program has as a whole, and that to read `REDIS_URL`; on Node
   * and Bun, its own
   */
  runtimeArgs?: string[];
  /** Variables of the environment, besides those of this process. */
  env?: Record<string, string>;
  /** How long to wait before a crashed child is started again. */
  backoff?: RestartBackoff;
  /**
   * How long children may take to end after SIGTERM, in milliseconds. More than a worker's own `graceMs`
   * and a second.
   *
   * @default 15_000
   */
  graceMs?: number;
  /**
   * Whether SIGTERM, SIGINT and SIGHUP stop the children, and the second of them at once.
   *
   * @default true
   */
  signals?: boolean;
  /** Stops the children, as {@linkcode Supervisor.stop} does. */
  signal?: AbortSignal;
  /** Told what happens. */
  onEvent?: (event: SuperviseEvent) => void;
}

const SUPERVISE_OPTIONS = optionNames<SuperviseOptions>({
  module: true,
  processes: true,
  args: true,
  runtimeArgs: true,
  env: true,
  backoff: true,
  graceMs: true,
  signals: true,
  signal: true,
  onEvent: true,
});
const BACKOFF_OPTIONS = optionNames<RestartBackoff>({ baseMs: true, maxMs: true, wellMs: true });
const STOP_OPTIONS = optionNames<{ graceMs?: number }>({ graceMs: true });

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Children that are kept running; from {@linkcode supervise}. */
export interface Supervisor extends AsyncDisposable {
  /** The numbers of the processes that run now. */
  readonly pids: number[];
  /**
   * Resolves when none is left: after a stop, or when all have finished.
   *
   * @throws What kept the first of them from being started, or what `onEvent` threw; all others are
   * stopped then.
   */
  readonly ended: Promise<void>;
  /**
   * Stops: SIGTERM to all, SIGKILL to those that are left after `graceMs`.
   *
   * @param options `graceMs`: overrides the supervisor's. 0 kills at once.
   * @throws What {@linkcode Supervisor.ended} rejects with.
   * @throws {RangeError} for a `graceMs` that is no duration.
   */
  stop(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Runs a program in several processes, and starts those again that crash. For work that needs whole cores
 * and must not share its fate: memory that runs out, a `kill -9`, a crash in native code end one child,
 * and what it had in hand goes to another one when its lease is over.
 *
 * A child that ends with exit code 0 has finished and is not started again. Any other end is a crash: it
 * is started again, after a wait that doubles while crashes follow each other.
 *
 * **No orphans:** however this program ends by itself (`stop`, a signal, the end of an `await using`, an
 * uncaught error, `exit()`), no child outlives it. When it is killed (`kill -9`), children that use
 * {@linkcode stopSignal} stop by themselves, half a second later; others go on.
 * **Permissions** under Deno: `--allow-run`. Children do not inherit what is granted in part: then
 * `runtimeArgs` has to name it.
 *
 * @param options What to run, and how often.
 * @returns Once the options are found good; processes are being started.
 * @throws {TypeError} for a `module` that is no URL, or an option that is unknown or of a wrong kind.
 * @throws {RangeError} for a number or a time out of range.
 *
 * @example Four workers until Ctrl-C
 * ```ts ignore
 * import { supervise } from "@workshop/redis-patterns/tasks";
 *
 * const crew = supervise({
 *   module: new URL("./worker.ts", import.meta.url),
 *   processes: 4,
 *   onEvent: (event) => console.log(event),
 * });
 * await crew.ended;
 * ```
 *
 * @example Children that finish
 * ```ts
 * import { supervise } from "@workshop/redis-patterns/tasks";
 *
 * const module = "data:text/javascript,console.log('hello')"; // or a file's URL
 * await using crew = supervise({ module, processes: 2 });
 * await crew.ended; // hello hello
 * ```
 */
export function supervise(options: SuperviseOptions): Supervisor {
  return new Crew(options);
}

class Crew implements Supervisor {
  readonly ended: Promise<void>;
  readonly #command: ChildCommand;
  readonly #backoff: Required<RestartBackoff>;
  readonly #graceMs: number;
  readonly #onEvent: ((event: SuperviseEvent) => void) | undefined;
  readonly #alive = new Map<number, Child>();
  readonly #stopping = new AbortController();
  #graceEndsAt = Infinity;
  #hurry: () => void = () => {};
  #failure: { error: unknown } | undefined;

  constructor(options: SuperviseOptions) {
    checkOptions("supervise", options, SUPERVISE_OPTIONS);
    const { module, processes = cores(), args = [], runtimeArgs, env = {}, backoff = {} } = options;
    const { graceMs = 15_000, signals = true, signal, onEvent } = options;
    const { baseMs = 500, maxMs = 30_000, wellMs = 10_000 } = checkOptions(
      "backoff",
      backoff,
      BACKOFF_OPTIONS,
    );
    checkCount("processes", processes, { max: 1_000 });
    checkSwitch("signals", signals);
    checkSignal(signal);
    this.#command = {
      module: moduleUrl(module),
      runtimeArgs: runtimeArgs === undefined ? null : checkTexts("runtimeArgs", runtimeArgs),
      args: checkTexts("args", args),
      env: checkVariables(env),
    };
    this.#backoff = {
      baseMs: checkMs("backoff.baseMs", baseMs, { min: 1 }),
      maxMs: checkMs("backoff.maxMs", maxMs, { min: 1 }),
      wellMs: checkMs("backoff.wellMs", wellMs),
    };
    this.#graceMs = checkMs("graceMs", graceMs);
    if (onEvent !== undefined && typeof onEvent !== "function") {
      throw new TypeError(`onEvent must be a function, but is ${show(onEvent)}`);
    }
    this.#onEvent = onEvent;
    this.ended = this.#run(processes, { signals, signal });
  }

  get pids(): number[] {
    return [...this.#alive.values()].map(({ pid }) => pid);
  }

  async stop(options: { graceMs?: number } = {}): Promise<void> {
    const { graceMs = this.#graceMs } = checkOptions("stop", options, STOP_OPTIONS);
    this.#stop(checkMs("graceMs", graceMs));
    await this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(
    processes: number,
    { signals, signal }: { signals: boolean; signal: AbortSignal | undefined },
  ): Promise<void> {
    const stop = () => this.#stop(this.#graceMs);
    const onSignal = () => this.#stop(this.#stopping.signal.aborted ? 0 : this.#graceMs);
    const forget = atExit(() => this.#kill());
    if (signals) { for (const name of SIGNALS) process.on(name, onSignal); }
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    const kept = Promise.all(Array.from({ length: processes }, (_, child) => this.#keep(child)));
    await Promise.race([kept, aborted(this.#stopping.signal)]);
    this.#stopping.abort();
    await this.#end();
    await kept;
    for (const name of SIGNALS) process.off(name, onSignal);
    signal?.removeEventListener("abort", stop);
    forget();
    this.#tell({ type: "stopped" });
    if (this.#failure) throw this.#failure.error;
  }

  /** Keeps one child running until it has finished, or all are to stop. */
  async #keep(child: number): Promise<void> {
    const { baseMs, maxMs, wellMs } = this.#backoff;
    const { signal } = this.#stopping;
    for (let starts = 1, crashes = 0; !signal.aborted; starts++) {
      const startedAt = performance.now();
      let failed: { error: unknown } | undefined;
      try {
        if (await this.#life(child, startedAt)) return;
      } catch (error) {
        // What cannot be started at all is no crash: it will not be better the next time.
        if (starts === 1) return this.#fail(error);
        failed = { error };
      }
      if (signal.aborted) return;
      crashes = performance.now() - startedAt >= wellMs ? 1 : crashes + 1;
      const retryMs = backoffMs(crashes - 1, { baseMs, maxMs });
      if (failed) this.#tell({ type: "failed", child, ...failed, retryMs });
      else this.#tell({ type: "restarting", child, retryMs });
      await sleep(retryMs, signal);
    }
  }

  /** One process, from its start to its end; gives whether it has finished. */
  async #life(child: number, startedAt: number): Promise<boolean> {
    const started = await startChild(this.#command);
    const { pid } = started;
    this.#alive.set(child, started);
    if (this.#stopping.signal.aborted) started.kill("SIGTERM"); // the stop has been round already
    this.#tell({ type: "started", child, pid });
    const end = await started.ended;
    this.#alive.delete(child);
    this.#tell({ type: "exited", child, pid, ...end, ms: performance.now() - startedAt });
    return end.code === 0;
  }

  #stop(graceMs: number): void {
    this.#graceEndsAt = Math.min(this.#graceEndsAt, performance.now() + graceMs);
    this.#stopping.abort();
    this.#hurry();
  }

  /** SIGTERM to all, and SIGKILL to those that do not heed it. */
  async #end(): Promise<void> {
    for (const child of this.#alive.values()) child.kill("SIGTERM");
    for (;;) {
      const leftMs = this.#graceEndsAt - performance.now();
      if (this.#alive.size === 0 || leftMs <= 0) break;
      const hurried = new Promise<void>((resolve) => this.#hurry = resolve);
      const next = Promise.race([...this.#alive.values()].map(({ ended }) => ended));
      await within(Promise.race([next, hurried]), leftMs).catch(() => {});
      await nextTurn(); // what has ended is taken out by #life
    }
    for (const [child, { pid }] of this.#alive) this.#tell({ type: "killed", child, pid });
    this.#kill();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stop(this.#graceMs);
  }

  #tell(event: SuperviseEvent): void {
    try {
      this.#onEvent?.(event);
    } catch (error) {
      this.#fail(error);
    }
  }

  #kill(): void {
    for (const child of this.#alive.values()) child.kill("SIGKILL");
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
}

/** Calls back when this program ends without having been asked; gives what forgets it. */
function atExit(callback: () => void): () => void {
  process.on("exit", callback);
  if (!deno) return () => process.off("exit", callback);
  // Deno tells of `exit()` by "unload", and of an uncaught error by neither. One that somebody handles
  // is not the end.
  const uncaught = (event: Event) => {
    const names = ["uncaughtException", "unhandledRejection"];
    const handled = names.some((name) => process.listenerCount(name) > 0);
    if (!event.defaultPrevented && !handled) callback();
  };
  const heard = [["unload", callback], ["error", uncaught], [
    "unhandledrejection",
    uncaught,
  ]] as const;
  for (const [name, listener] of heard) addEventListener(name, listener);
  return () => {
    process.off("exit", callback);
    for (const [name, listener] of heard) removeEventListener(name, listener);
  };
}

function checkTexts(name: string, texts: string[]): string[] {
  if (!Array.isArray(texts)) {
    throw new TypeError(`${name} must be an array of strings, but is ${show(texts)}`);
  }
  for (const text of texts) {
    if (typeof text !== "string") {
      throw new TypeError(`${name} must be strings, but one is ${show(text)}`);
    }
  }
  return [...texts];
}

function checkVariables(env: Record<string, string>): Record<string, string> {
  for (const [name, value] of Object.entries(env)) {
    if (typeof value === "string") continue;
    throw new TypeError(`env must be strings, but ${JSON.stringify(name)} is ${show(value)}`);
  }
  return { ...env };
}
