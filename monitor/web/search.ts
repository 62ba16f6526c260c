/**
 * What one can search for, and whether a message fits: `error:timeout payload.to:ann -id:order-7`.
 *
 * Words stand for themselves, `"several words"` for a text; all have to fit. Upper and lower case are the
 * same. A message is read here and nowhere shown.
 *
 * @module
 */
import type { Waiting } from "@workshop/redis-patterns";
import { taskName } from "../message_text.ts";
import { groupOf } from "./groups.ts";

/** A query that says nothing; its message says why. */
export class SearchError extends Error {
  /** The name that stack traces show. */
  override readonly name = "SearchError";
}

/** Whether a message fits. */
export type Match = (message: Waiting<unknown>) => boolean;

/** The fields, and what they look at; shown as help. */
export const FIELDS: readonly (readonly [example: string, meaning: string])[] = [
  ["timeout", "the word, in the id, the error, or the payload"],
  ["id:order-17", "part of the id"],
  ["error:timeout", "the last error, or why it was given up"],
  ["type:mail", "the task's name; else the payload's type, task or name"],
  ["payload.to:ann", "a member of the payload"],
  ["attempts:>2", "how often it was tried: 3, >2, <5"],
  ["older:10m", "enqueued longer ago: 30s, 10m, 2h, 7d"],
  ["priority:1", "how urgent: high is 1, low is 3"],
  ["consumer:k3x9", "who has it, or had it"],
  ["-error:timeout", "not that"],
];

const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PRIORITIES: Record<string, string> = { high: "1", medium: "2", low: "3" };

/** How much of a payload is looked through for a word, in bytes. */
const LOOKED_THROUGH = 65_536;

/**
 * Reads a query.
 *
 * @param options `tasks`: the messages are tasks, whose type is their name and whose payload stands behind it.
 * @throws {SearchError} naming what cannot be understood.
 */
export function readSearch(query: string, { tasks = false } = {}): Match {
  const terms = termsOf(query).map(([, not, field, quoted, plain]) => {
    const match = readTerm(field ?? "", (quoted ?? plain ?? "").toLowerCase(), tasks);
    return not ? (message: Waiting<unknown>) => !match(message) : match;
  });
  return (message) => terms.every((match) => match(message));
}

/** Whether a search has to read payloads, which else are left in Redis. */
export function readsPayloads(query: string, { tasks = false } = {}): boolean {
  return termsOf(query).some(([, , field = ""]) => {
    const [name] = field.toLowerCase().split(".");
    return name === "" || name === "payload" || (name === "type" && !tasks);
  });
}

function termsOf(query: string): RegExpExecArray[] {
  return [...query.matchAll(/(-?)(?:([a-z]+(?:\.[^\s:"]+)?):)?(?:"([^"]*)"?|(\S+))/gi)];
}

/** The id that a query asks for, if it asks for one and nothing else. */
export function searchedId(query: string): string | undefined {
  return /^\s*id:(?:"([^"]+)"|(\S+))\s*$/.exec(query)?.slice(1).find((id) => id !== undefined);
}

function readTerm(field: string, value: string, tasks: boolean): Match {
  const [name, ...path] = field.split(".");
  const has = (text: unknown) => String(text ?? "").toLowerCase().includes(value);
  switch (name!.toLowerCase()) {
    case "":
      return (message) => has(message.id) || has(errorOf(message)) || has(textOf(message));
    case "id":
      return ({ id }) => has(id);
    case "error":
    case "reason":
      return (message) => has(errorOf(message));
    case "type":
      if (tasks) return (message) => is(taskName(message), value);
      return ({ payload }) =>
        ["type", "task", "name"].some((key) => is(member(payload, [key]), value));
    case "payload":
      if (path.length === 0) return (message) => has(textOf(message));
      return ({ payload }) => {
        const found = member(payload, tasks ? ["payload", ...path] : path);
        return found !== undefined &&
          has(typeof found === "object" ? JSON.stringify(found) : found);
      };
    case "attempts":
      return readNumber(field, value, ({ attempts }) => attempts);
    case "priority":
      return readNumber(field, PRIORITIES[value] ?? value, ({ priority }) => priority);
    case "older": {
      const [, n, unit] = /^(\d+)([smhd])$/.exec(value) ?? [];
      if (!unit) throw new SearchError(`older:${value} is no time; write older:30s, 10m, 2h or 7d`);
      return ({ enqueuedAt }) => Date.now() - enqueuedAt > Number(n) * UNITS[unit]!;
    }
    case "consumer":
      return ({ consumer }) => has(consumer);
    case "group":
      return ({ reason }) => groupOf(reason ?? "").key === value;
    default:
      throw new SearchError(
        `There is no field ${
          JSON.stringify(field)
        }; write "${field}:${value}" to look for the text`,
      );
  }
}

function readNumber(field: string, value: string, of: (m: Waiting<unknown>) => number): Match {
  const [, how = "", digits] = /^([<>]?)(-?\d+)$/.exec(value) ?? [];
  if (digits === undefined) {
    throw new SearchError(`${field}:${value} is no number; write 3, >2 or <5`);
  }
  const n = Number(digits);
  if (how === ">") return (message) => of(message) > n;
  if (how === "<") return (message) => of(message) < n;
  return (message) => of(message) === n;
}

/** Why it was given up, or else its last error. */
export function errorOf({ reason, errors }: Waiting<unknown>): string {
  return reason ?? errors.at(-1)?.message ?? "";
}

function textOf({ raw }: Waiting<unknown>): string {
  return new TextDecoder().decode(raw.subarray(0, LOOKED_THROUGH));
}

/** A member of the payload itself, never one that all objects have. */
function member(payload: unknown, path: readonly string[]): unknown {
  let found = payload;
  for (const key of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return undefined;
    found = (found as Record<string, unknown>)[key];
  }
  return found;
}

function is(found: unknown, value: string): boolean {
  return found !== undefined && String(found).toLowerCase() === value;
}
