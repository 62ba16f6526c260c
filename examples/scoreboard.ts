/**
 * What every step does beside its lesson: it prints with a coloured tag, answers `--help`, refuses a
 * flag that it does not have, says in one sentence that there is no Redis, and ends with a scoreboard,
 * so that polling and blocking can be compared.
 *
 * ```
 * [score]  messages 20  commands 34  wait p50 52.1 ms
 * ```
 *
 * The score is this process's own. A *command* is one that it sent to Redis, housekeeping of the
 * connection left out; the *wait* of a message is the time from being made to being received.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- this is where the examples print

import { tracingChannel } from "node:diagnostics_channel";
import { RedisConnectionError } from "@workshop/redis-patterns";

/** Commands that belong to the connection, not to the work. */
const HOUSEKEEPING = new Set(["AUTH", "CLIENT", "HELLO", "PING", "SELECT"]);

const COLOURS: Record<string, string> = {
  "Consumer 1": "cyan",
  "Consumer 2": "magenta",
  Producer: "orange",
  asker: "cyan",
  doctor: "green",
  failover: "magenta",
  monitor: "green",
  producer: "orange",
  publisher: "orange",
  scheduler: "magenta",
  reader: "cyan",
  score: "yellow",
  subscriber: "cyan",
  worker: "cyan",
};

/** Prints `[tag] text`; the tag is coloured on a terminal, and plain in a pipe or with NO_COLOR. */
export function say(tag: string, text: string): void {
  console.log("%c[%s]%c %s", `color: ${COLOURS[tag] ?? "gray"}`, tag, "", text);
}

/** Milliseconds since 1970, with a fraction; programs on one machine agree on it. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * With `--help`: prints the title and the flags with their defaults, and ends the program. Ends it, too,
 * with what is wrong (exit code 2), when there is a flag that it does not have, or one that is no number
 * and has to be.
 */
export function help(
  title: string,
  flags: Record<string, unknown>,
  defaults: Record<string, unknown> = {},
): void {
  const known = { url: "redis://127.0.0.1:6379", ...defaults };
  const lines = Object.entries(known).map(([name, value]) => `  --${name} ${value}`);
  const text = [title, ...lines].join("\n");
  if (flags.help) {
    console.log(text);
    Deno.exit(0);
  }
  // Of `--count -5` parseArgs makes a count without a value, and a flag 5: the count is what is wrong.
  const ours = Object.entries(flags).toSorted(([a], [b]) =>
    Number(b in known) - Number(a in known)
  );
  const wrong = ours.map((flag) => wrongWith(flag, known)).find(Boolean);
  if (wrong) {
    console.error(`${wrong}\n\n${text}`);
    Deno.exit(2);
  }
}

/** What is wrong with a flag, as a sentence; undefined if it is right. */
function wrongWith(
  [name, value]: [string, unknown],
  known: Record<string, unknown>,
): string | undefined {
  if (name === "_") {
    const words = value as unknown[];
    return words.length > 0 ? `Not understood: ${words.join(" ")}` : undefined;
  }
  if (name === "help") return undefined;
  if (!(name in known)) return `There is no flag --${name}`;
  const usual = known[name];
  if (typeof usual !== "number" || value === usual) return undefined;
  if (typeof value === "number" && value > 0 && value < 1e9) return undefined;
  return `--${name} takes a number above 0${value === true ? "" : `, not ${value}`}`;
}

// What connect() throws says all that there is to know; a stack would bury it.
addEventListener("unhandledrejection", (event) => {
  if (!(event.reason instanceof RedisConnectionError)) return;
  event.preventDefault();
  console.error(`error: ${event.reason.message}`);
  Deno.exit(1);
});

/** Counts from the moment it is made until `print()`. */
export class Scoreboard {
  /** How many commands this process has sent. */
  commands = 0;
  readonly #waits: number[] = [];

  /** Listens where the Redis client announces each command; that needs no permission. */
  constructor() {
    tracingChannel<unknown, { command: string }>("node-redis:command").start.subscribe((sent) => {
      const { command } = sent as { command: string };
      if (!HOUSEKEEPING.has(command.toUpperCase())) this.commands++;
    });
  }

  /** How many messages were received. */
  get messages(): number {
    return this.#waits.length;
  }

  /**
   * Notes one received message.
   *
   * @param payload `madeAt`: when it was made, from `now()`; without it, as sent by hand, just now.
   * @returns How long it waited, in milliseconds, as text: `"0.6"`.
   */
  received({ madeAt = now() }: { madeAt?: number }): string {
    const wait = Math.max(0, now() - madeAt);
    this.#waits.push(wait);
    return wait.toFixed(1);
  }

  /** Prints the score; half of the messages waited less than p50. */
  print(): void {
    const p50 = this.#waits.toSorted((a, b) => a - b)[this.#waits.length >> 1] ?? 0;
    const { messages, commands } = this;
    say("score", ` messages ${messages}  commands ${commands}  wait p50 ${p50.toFixed(1)} ms`);
  }
}
