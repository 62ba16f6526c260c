/**
 * A script of a queue with leases, put together from parts.
 *
 * What all of them have in common: they check types and arguments before the first write, since Lua has no
 * rollback; every loop is bounded; time is Redis's own; and none builds a key. Scripts that take
 * messages begin with a command that removes, so that they still run when Redis is at `maxmemory`;
 * enqueue begins with one that adds, so that it is refused whole. A repeated script has the effect of
 * one: a claim by its lease, settling by its field, enqueue by its producer and batch.
 *
 * A part (`*_lua.ts`, and beside what it belongs to) defines whatever some script calls. Redis makes every
 * function anew at every run, so a script keeps only those that it calls, and is told only the keys
 * that it names.
 *
 * @module
 */
import { defineScript, type Script } from "../redis/script.ts";
import { NAMES } from "./dedupe.ts";
import { CHECK, FIELDS, LEASES, MESSAGE, MOVES, TIME, WAKE } from "./leased_lua.ts";
import { LOG_FAILED, LOGS } from "./logs.ts";
import { HOLD, NO_RATE, RATE } from "./rate_limit.ts";
import { ADOPT, OWN_ARGS, READY, type ReadyKind, TRACK } from "./ready_lua.ts";
import { STATS } from "./stats.ts";

const KEYS = [
  "ready",
  "lapsed",
  "leased",
  "pending",
  "leases",
  "delayed",
  "dead",
  "dead_at",
  "ids",
  "dedupe",
  "dedupe_until",
  "replays",
  "wake",
  "seq",
  "control",
  "grants",
  "completed",
  "failed",
  "stats",
  "records",
  "records_until",
  "events",
  "workers",
] as const;

/** The keys of a queue that its scripts work on, by the names that they have in Lua. */
export type Key = typeof KEYS[number];

/** A script of a queue with leases, and what it is told and gives. */
export type LeasedScript<A extends string, R> = Script<Key, A, R>;

/** In front of scripts that hand nothing out. */
export const plainly = (kind: ReadyKind): string => [TIME, READY[kind], NO_RATE, WAKE].join("\n");

/** In front of scripts that hand messages out, or tell somebody to take some. */
export const rated = (kind: ReadyKind): string => [TIME, READY[kind], RATE, WAKE, HOLD].join("\n");

/** What moves a message that does not just come, go out and end well; it checks all keys first. */
export const working = (kind: ReadyKind): string =>
  [
    CHECK,
    FIELDS,
    LEASES,
    MESSAGE,
    STATS,
    NAMES,
    LOGS,
    LOG_FAILED,
    TRACK[kind],
    "check_records()",
    MOVES,
    ADOPT[kind],
  ].join("\n");

/** Makes the script of a kind. Its arguments are followed by those that only this kind has. */
export function leasedScript<const A extends string, R>(
  kind: ReadyKind,
  { name, args, lua, reply }: {
    name: string;
    args: readonly A[];
    lua: string;
    reply: (raw: unknown) => R;
  },
): LeasedScript<A, R> {
  const own = OWN_ARGS[kind] as readonly A[];
  const lean = leanLua(lua);
  const words = new Set(lean.replace(LITERAL, " ").match(/\w+/g));
  return defineScript({
    name: `${name}_${kind}`,
    keys: KEYS.filter((key) => words.has(key)),
    args: [...args, ...own],
    lua: lean,
    reply,
  }) as LeasedScript<A, R>;
}

const LITERAL = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g;
const LITERAL_OR_COMMENT = new RegExp(`(${LITERAL.source})|[ \\t]*--[^\\n]*`, "g");

/** A function at the beginning of a line, up to an `end` at the end of that line or on a line of its own. */
const FUNCTION = /^local function (\w+)\((?:.*[ )]end$|.*\n(?:.*\n)*?end$)/gm;

/** The text without comments, and without functions that nothing in it calls. */
export function leanLua(lua: string): string {
  let lean = lua.replace(LITERAL_OR_COMMENT, "$1").replace(/\n\s*\n/g, "\n").trim();
  for (let before = ""; before !== lean;) {
    before = lean;
    lean = lean.replace(FUNCTION, (text, name) => {
      const called = new RegExp(`\\b${name}\\b`).test(before.replace(text, ""));
      return called ? text : "";
    }).replace(/\n\n+/g, "\n");
  }
  return lean;
}
