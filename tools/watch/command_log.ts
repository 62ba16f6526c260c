/**
 * The commands as people read them: the last ones, a line each, and how often each was sent. What a script
 * does inside the server has lines of its own, and its lookups share one, so that what changes stands out.
 *
 * @module
 */
import { createHash } from "node:crypto";
import "@workshop/redis-patterns/tasks"; // for the names of all scripts that there are
import { scriptNames } from "../../redis/script.ts";
import { cardOf } from "./card.ts";
import type { Sent } from "./wire.ts";

/** A command as it is shown. */
export interface Line {
  /** What was sent, long arguments cut. */
  text: string;
  /** Sent by a script inside the server. */
  isInLua: boolean;
  /** By whom. */
  who: string;
  /** How often in a row. */
  times: number;
}

const LINES = 40;

/** Inside a script these only look. Many in a row are told in one line, so that what changes stands out. */
const LOOKS = new Set(
  "EXISTS GET HEXISTS HGET HGETALL HLEN HMGET HSCAN LINDEX LLEN LRANGE SCARD SISMEMBER STRLEN TIME TYPE XINFO XLEN XPENDING XRANGE ZCARD ZRANGE ZSCORE"
    .split(" "),
);

/** See the module. */
export class CommandLog {
  readonly #lines: Line[] = [];
  #counts = new Map<string, number>();
  /** The line that lookups of a script are added to, until something else happens. */
  #looks: { counts: Map<string, number>; line: Line } | undefined;
  /** Names of scripts by digest: ours, and what else was seen in full. */
  readonly #scripts = new Map(scriptNames);

  /** The last commands, the latest at the end. */
  get lines(): Line[] {
    return [...this.#lines];
  }

  /** Commands by name since the last call, most frequent first. */
  takeCounts(): [command: string, times: number][] {
    const counts = [...this.#counts].sort(([, a], [, b]) => b - a);
    this.#counts = new Map();
    return counts;
  }

  /** A command, and who sent it. */
  hear({ from, args }: Sent, who: string): void {
    const isInLua = from === undefined;
    this.#counts.set(args[0]!, (this.#counts.get(args[0]!) ?? 0) + 1);
    this.#learn(args);
    if (isInLua && LOOKS.has(args[0]!)) return this.#logLook(args[0]!);
    this.#looks = undefined;
    const line = {
      text: isInLua ? inLua(args) : shown(args, this.#scripts),
      isInLua,
      who,
    };
    const last = this.#lines.at(-1);
    if (last?.text === line.text && last.who === line.who && last.isInLua === isInLua) {
      last.times++;
      return;
    }
    this.#append({ ...line, times: 1 });
  }

  /** Our scripts begin with their name; EVAL tells it, and EVALSHA its digest alone. */
  #learn([command, lua]: string[]): void {
    const [, name] = (command === "EVAL" && /^-- (\S+)/.exec(lua!)) || [];
    if (name) this.#scripts.set(createHash("sha1").update(lua!).digest("hex"), name);
  }

  #logLook(command: string): void {
    if (!this.#looks) {
      const line = { text: "", isInLua: true, who: "", times: 1 };
      this.#looks = { counts: new Map(), line };
      this.#append(line);
    }
    const { counts, line } = this.#looks;
    counts.set(command, (counts.get(command) ?? 0) + 1);
    const each = [...counts].map(([name, times]) => times > 1 ? `${name} ×${times}` : name);
    line.text = `looks: ${each.join(" · ")}`;
  }

  #append(line: Line): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES) this.#lines.shift();
  }
}

/** A command as people read it: what is long is cut, a script has its name if that is known. */
function shown([name, ...rest]: string[], scripts = new Map<string, string>()): string {
  if (/^EVAL/.test(name!)) {
    const script = rest[0]!;
    const known = scripts.get(script) ?? /^-- (\S+)/.exec(script)?.[1] ?? `${script.slice(0, 6)}…`;
    const keys = rest.slice(2, 2 + Number(rest[1]));
    return `${name} ${known} ${keys[0] ?? ""}${keys.length > 1 ? ` +${keys.length - 1}` : ""}`;
  }
  const words = rest.slice(0, 7).map(word);
  return [name, ...words, ...(rest.length > 7 ? [`… +${rest.length - 7}`] : [])].join(" ");
}

/** What a script does to a key of its queue, which the line above names: the end of the key tells which. */
function inLua([name, key, ...rest]: string[]): string {
  return shown([
    name!,
    ...(key === undefined ? [] : [key.replace(/^queue:\{[^}]*\}:/, "…:")]),
    ...rest,
  ]);
}

/** A message is shown by its card's words. */
function word(text: string): string {
  if (text.length <= 48 && /^[^{["\s][\x21-\x7e]*$/.test(text)) return text;
  return `‹${cardOf(text).label}›`;
}
