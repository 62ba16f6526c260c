/**
 * A real terminal without a screen: tmux holds it, so that a program that draws can be driven by keys and
 * looked at. tmux comes from `$PATH`, else from Debian's packages, only unpacked. A terminal ends with
 * {@linkcode Terminal.close}, together with everything in it; if we die without it, a {@link Janitor} does
 * the same.
 *
 * @module
 */

import { exists, libraryEnv, unpackDebian } from "./debian.ts";
import { Janitor } from "./janitor.ts";
import { run, which } from "./run.ts";

/** A tmux that is known to run here. */
interface Tmux {
  command: string;
  env: Record<string, string>;
}

const PACKAGES = ["tmux"];
/** How long the screen is looked at until what is waited for is there. */
const SEE_MS = 15_000;

let found: Promise<Tmux> | undefined;

/** @throws {Error} if there is none and none can be provided */
async function findTmux(): Promise<Tmux> {
  const path = await which("tmux");
  if (path) return { command: path, env: {} };
  const root = await unpackDebian(PACKAGES);
  const command = `${root}/usr/bin/tmux`;
  if (!await exists(command)) throw new Error(`There is no tmux in ${root}`);
  return { command, env: await libraryEnv(root) };
}

/** What a terminal is like. */
export interface TerminalOptions {
  /** Its size. @default {120} */
  columns?: number;
  /** @default {24} */
  rows?: number;
  /** Environment of what runs in it, in addition to ours. */
  env?: Record<string, string>;
}

/** A terminal in which a shell waits; see the module. */
export class Terminal implements AsyncDisposable {
  readonly #tmux: Tmux;
  readonly #dir: string;
  readonly #env: Record<string, string>;
  readonly #janitor: Janitor;

  private constructor(tmux: Tmux, dir: string, env: Record<string, string>) {
    this.#tmux = tmux;
    this.#dir = dir;
    this.#env = { ...tmux.env, ...env };
    this.#janitor = new Janitor(dir);
  }

  /**
   * Opens one, with a shell whose prompt is `ready> `.
   *
   * @throws {Error} if there is no tmux to be had
   */
  static async open(
    { columns = 120, rows = 24, env = {} }: TerminalOptions = {},
  ): Promise<Terminal> {
    const tmux = await (found ??= findTmux());
    const dir = await Deno.makeTempDir({ prefix: "redis-patterns-" });
    const terminal = new Terminal(tmux, dir, {
      LC_ALL: "C.UTF-8",
      NO_COLOR: "",
      FORCE_COLOR: "",
      TMUX: "", // we may run in one ourselves
      ENV: `${dir}/profile`, // a shell makes its prompt itself, and then reads this
      ...env,
    });
    try {
      await Deno.writeTextFile(`${dir}/profile`, "PS1='ready> '\n");
      await terminal.#do("new-session", "-d", "-x", `${columns}`, "-y", `${rows}`, "sh");
      await terminal.#janitor.watch(Number(await terminal.ask("pid")));
      await terminal.see("ready>");
    } catch (error) {
      await terminal.close();
      throw error;
    }
    return terminal;
  }

  /** Types text and presses Enter. */
  async run(line: string): Promise<void> {
    await this.type(line);
    await this.press("Enter");
  }

  /** Types text. */
  async type(text: string): Promise<void> {
    await this.#do("send-keys", "-l", text);
  }

  /** Presses keys by their names in tmux: `Enter`, `Escape`, `Up`, `C-c`, `x`; one after the other. */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      await this.#do("send-keys", key);
      // Right behind it another key would be that key with Alt.
      if (key === "Escape") await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Makes it larger or smaller. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.#do("resize-window", "-x", `${columns}`, "-y", `${rows}`);
  }

  /** What is on the screen, a line each; `styled` with the sequences that colour it. */
  async screen({ styled = false } = {}): Promise<string> {
    return await this.#do("capture-pane", "-p", ...(styled ? ["-e"] : []));
  }

  /** What tmux knows of it: `alternate_on`, `cursor_flag`, `pane_title`, `pid` … */
  async ask(variable: string): Promise<string> {
    return await this.#do("display-message", "-p", `#{${variable}}`);
  }

  /**
   * Waits until a text is on the screen, or what matches; gives the screen.
   *
   * @throws {Error} with the screen, if it does not come
   */
  async see(wanted: string | RegExp, ms = SEE_MS): Promise<string> {
    return await this.#until(
      `see ${wanted}`,
      ms,
      (screen) => typeof wanted === "string" ? screen.includes(wanted) : wanted.test(screen),
    );
  }

  /** Waits until it is not there any more. */
  async seeNo(unwanted: string, ms = SEE_MS): Promise<string> {
    return await this.#until(`see no ${unwanted}`, ms, (screen) => !screen.includes(unwanted));
  }

  async #until(what: string, ms: number, good: (screen: string) => boolean): Promise<string> {
    const until = performance.now() + ms;
    for (;;) {
      const screen = await this.screen();
      if (good(screen)) return screen;
      if (performance.now() > until) {
        throw new Error(`Waited ${ms} ms to ${what}, but the screen is:\n${screen}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends it, and everything in it. */
  async close(): Promise<void> {
    await run(this.#tmux.command, this.#args("kill-server"), { env: this.#env });
    await this.#janitor.dismiss();
  }

  /** The same as {@linkcode Terminal.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #do(...args: string[]): Promise<string> {
    const result = await run(this.#tmux.command, this.#args(...args), { env: this.#env });
    if (!result.ok) throw new Error(`tmux ${args.join(" ")}: ${result.stderr}`);
    return result.stdout;
  }

  #args(...args: string[]): string[] {
    return ["-u", "-S", `${this.#dir}/socket`, "-f", "/dev/null", ...args];
  }
}
