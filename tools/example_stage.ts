/**
 * What the programs that show examples have in common: the Redis they play on, the Ctrl-C that ends
 * everything in good order, and text for a terminal. The server ends with its `stop()`, and with us
 * however we end; one that the user named is left alone.
 *
 * @module
 */

import { stripVTControlCharacters, styleText } from "node:util";
import { connect } from "@workshop/redis-patterns";
import { hostOf } from "./example.ts";
import { findRedis } from "./provision.ts";
import { RedisCluster } from "./redis_cluster.ts";
import { RedisServer } from "./redis_server.ts";

/** The Redis to play on. */
export interface Stage {
  /** Its URL. */
  url: string;
  /** One line for people: which Redis it is. */
  about: string;
  /** True if it was started for us. */
  isOwn: boolean;
  /** Ends it if it is ours. */
  stop(): Promise<void>;
  /** Kills it and starts it again in the same place; only if it is ours. */
  restart?: () => Promise<void>;
}

/**
 * The server that `REDIS_URL` names, else one of our own, or a cluster of our own; with `aof` that keeps its
 * data when killed.
 */
export async function openStage({ aof = false, cluster = false } = {}): Promise<Stage> {
  const given = Deno.env.get("REDIS_URL");
  if (given) {
    await reach(given);
    const about = `Using the Redis that REDIS_URL names, ${hostOf(given)}`;
    return { url: given, about, isOwn: false, stop: () => Promise.resolve() };
  }
  const { version } = await findRedis();
  if (cluster) return clusterStage(await RedisCluster.start(), version);
  const server = await RedisServer.start({ aof });
  const about =
    `Started a private Redis ${version} on 127.0.0.1:${server.port}; it ends with this program`;
  const restart = () => server.kill().then(() => server.restart());
  return { url: server.url, about, isOwn: true, stop: () => server.stop(), restart };
}

/** One clear message now instead of one from each process. */
async function reach(url: string): Promise<void> {
  try {
    await using _redis = await connect({ url, timeoutMs: 3_000 });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const way = "Without REDIS_URL one is started here: unset REDIS_URL";
    throw new Error(`REDIS_URL is of no use. ${error.message}\n\n${way}`, { cause: error });
  }
}

function clusterStage(cluster: RedisCluster, version: string): Stage {
  const about =
    `Started a private cluster of Redis ${version}, three masters and three replicas, on ` +
    `${cluster.addresses.join(", ")}; it ends with this program`;
  return { url: cluster.url, about, isOwn: true, stop: () => cluster.stop() };
}

/** Ctrl-C, as two signals. */
export interface Interrupts extends Disposable {
  /** Aborts at the first Ctrl-C: end in good order. */
  signal: AbortSignal;
  /** Aborts at a second one: end now. */
  killSignal: AbortSignal;
}

/** Two signals within this time are one: `deno task` passes on what the terminal sent us already. */
const SAME_MS = 500;

/** Listens to Ctrl-C, and to the terminal's and the system's way to end a program. */
export function listenForInterrupts(): Interrupts {
  const [end, now] = [new AbortController(), new AbortController()];
  let first = 0;
  const hear = () => {
    if (!end.signal.aborted) {
      first = performance.now();
      end.abort();
    } else if (performance.now() - first > SAME_MS) now.abort();
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, hear);
  const dispose = () => signals.forEach((signal) => Deno.removeSignalListener(signal, hear));
  return { signal: end.signal, killSignal: now.signal, [Symbol.dispose]: dispose };
}

/** A style that {@linkcode paint} knows. */
export type Style = Parameters<typeof styleText>[0];

/** Colours `text` if a terminal will show it; plain when piped, and with NO_COLOR. */
export function paint(style: Style, text: string): string {
  return styleText(style, text);
}

/** Whether to have children print colours into the pipe to us. */
export function wantsColours(): boolean {
  return paint("red", "x") !== "x";
}

/** How wide the terminal is; undefined if we print into a file or a pipe. */
export function terminalWidth(): number | undefined {
  return Deno.stdout.isTerminal() ? Deno.consoleSize().columns : undefined;
}

/** How many columns `text` takes. The examples print no characters of double width. */
export function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** Cuts or fills `text` to exactly `width` columns; colours count as nothing and end with it. */
export function fit(text: string, width: number): string {
  const missing = width - widthOf(text);
  if (missing >= 0) return text + " ".repeat(missing);
  let [left, cut] = [width - 1, ""];
  // deno-lint-ignore no-control-regex -- the escape sequences of colours begin with one
  for (const [part] of text.matchAll(/\x1b\[[\d;]*m|[^]/gu)) {
    if (part.length > 2) cut += part; // a colour
    else if (left-- > 0) cut += part;
  }
  return `${cut}…`;
}

/**
 * Breaks `text` into lines of at most `width` columns, between words; keeps its own line ends. Colours
 * count as nothing.
 */
export function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((paragraph) => {
    const lines = [""];
    for (const word of paragraph.split(" ")) {
      const line = lines.at(-1)!;
      if (line !== "" && widthOf(line) + 1 + widthOf(word) > width) lines.push(word);
      else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
    }
    return lines;
  });
}

/**
 * What a process has printed, with its name in front, broken between words where the terminal is
 * too narrow. Into a file or a pipe a line stays a line.
 */
export function named(name: string, line: string, width = terminalWidth()): string {
  const space = width === undefined ? Infinity : Math.max(width - widthOf(name) - 1, 20);
  if (widthOf(line) <= space) return `${name} ${line}`;
  const [first, ...rest] = wrap(line, space - 2);
  const blank = `${" ".repeat(widthOf(name) - 1)}│`;
  return [`${name} ${first}`, ...rest.map((more) => `${blank}   ${more}`)].join("\n");
}

/** Short names for commands, by their files: `blocking`, `producer`, `blocking 2`. */
export function shortNames(commands: string[]): string[] {
  const seen = new Map<string, number>();
  return commands.map((command) => {
    const [, file = "process"] = /(\w+)\.ts\b/.exec(command) ?? [];
    const [, own] = /--name[= ](\S+)/.exec(command) ?? [];
    const name = own ? `${file} ${own}` : file;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} ${count}`;
  });
}
