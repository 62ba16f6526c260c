/**
 * What was typed behind `monitor`: a command, its flags, and values that mean something. Whatever does not
 * is refused before anything is sent, in a sentence that names it.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { duration } from "./format.ts";

/** A question that cannot be answered; its message says why. */
export class AskedWrongly extends Error {
  /** The name that stack traces show. */
  override readonly name = "AskedWrongly";
}

/** What a flag takes. */
export interface Flag {
  /** How its value is called in the help; a flag without is on or off. */
  readonly value?: string;
  /** Whether it may be given several times. */
  readonly many?: true;
  /** What it does. */
  readonly about: string;
}

/** All flags; each command names those that it takes. */
export const FLAGS = {
  url: { value: "URL", about: "where Redis is; $REDIS_URL, else redis://127.0.0.1:6379" },
  timeout: { value: "TIME", about: "how long to try to connect; 3s" },
  json: { about: "one JSON document instead of text; times in ms, instants in ms since 1970" },
  help: { about: "print this" },
  queue: { value: "NAME", many: true, about: "only this queue; may be repeated" },
  all: { about: "all queues" },
  consumer: {
    value: "NAME",
    about: "only this consumer of one queue; monitor consumers names them",
  },
  window: { value: "TIME", about: "over which time rates are taken, 1m to 1h; 5m" },
  "max-oldest": {
    value: "TIME",
    about: "probe: exit 1 if a message has been ready or in hand for longer",
  },
  "max-ready": { value: "N", about: "probe: exit 1 if more are ready in a queue" },
  "max-dead": { value: "N", about: "probe: exit 1 if more are dead in a queue" },
  "min-workers": { value: "N", about: "probe: exit 1 if fewer consumers are there for a queue" },
  limit: { value: "N", about: "how many at most" },
  "by-error": { about: "how many died of what, instead of one by one" },
  id: { value: "ID", many: true, about: "only this message; may be repeated" },
  error: { value: "TEXT", about: "only those whose error or reason has this text in it" },
  rate: { value: "N", about: "how many a second" },
  "dry-run": { about: "say how many there are, and change nothing" },
  yes: { about: "do not ask" },
  state: { value: "STATE", about: "ready, delayed, dead, completed or failed" },
  refresh: { value: "TIME", about: "how often the screen changes, 200ms to 1m; 1s" },
  "read-only": { about: "no keys that change anything" },
} as const satisfies Record<string, Flag>;

/** The name of a flag, without its dashes. */
export type FlagName = keyof typeof FLAGS;

/** What a command may be given, besides what all take. */
export interface Takes {
  /** Its name, for messages. */
  readonly name: string;
  /** Its flags. */
  readonly flags: readonly FlagName[];
  /** What stands behind it without dashes, such as an id. */
  readonly argument?: string;
}

/** Flags that every command takes. */
export const COMMON: readonly FlagName[] = ["url", "timeout", "json", "help"];

/** What was asked, checked. Absent is what was not given. */
export interface Asked {
  readonly argument?: string;
  readonly url?: string;
  readonly timeoutMs: number;
  readonly json: boolean;
  readonly help: boolean;
  readonly queues?: readonly string[];
  readonly all: boolean;
  readonly consumer?: string;
  readonly windowMs?: number;
  readonly maxOldestMs?: number;
  readonly maxReady?: number;
  readonly maxDead?: number;
  readonly minWorkers?: number;
  readonly limit?: number;
  readonly byError: boolean;
  readonly ids?: readonly string[];
  readonly error?: string;
  readonly rate?: number;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly state?: "ready" | "delayed" | "dead" | "completed" | "failed";
  readonly refreshMs: number;
  readonly readOnly: boolean;
}

const NAMES = Object.keys(FLAGS) as FlagName[];
const flagOf = (name: FlagName): Flag => FLAGS[name];
const SWITCHES = NAMES.filter((name) => !flagOf(name).value);
const VALUED = NAMES.filter((name) => flagOf(name).value);

/** The first word that is no flag: which command is meant. */
export function commandIn(argv: readonly string[]): string | undefined {
  return split(argv).words[0];
}

/**
 * Reads what was typed.
 *
 * @throws {AskedWrongly} naming what is unknown, missing or no value.
 */
export function readFlags(argv: readonly string[], takes: Takes): Asked {
  const { words, flags } = split(argv);
  const known = [...takes.flags, ...COMMON];
  for (const { name, typed, value } of flags) {
    if (!(known as string[]).includes(name)) {
      const list = known.map((flag) => `--${flag}`).join(" ");
      throw new AskedWrongly(`${takes.name} has no ${typed}: it takes ${list}`);
    }
    const flag = flagOf(name as FlagName);
    if (flag.value && (value === undefined || value === "")) {
      throw new AskedWrongly(`--${name} needs a value: --${name} ${flag.value}`);
    }
    if (!flag.value && value !== undefined) {
      throw new AskedWrongly(`--${name} takes no value, but was given ${JSON.stringify(value)}`);
    }
    if (!flag.many && flags.filter((other) => other.name === name).length > 1) {
      throw new AskedWrongly(`--${name} is given twice`);
    }
  }
  const [argument, ...more] = words.slice(1); // the first one is the command
  const surplus = takes.argument ? more : words.slice(1);
  if (surplus.length > 0) {
    const said = surplus.map((word) => JSON.stringify(word)).join(" ");
    throw new AskedWrongly(`${takes.name} does not understand ${said}: flags begin with --`);
  }
  const has = (name: FlagName) => flags.some((flag) => flag.name === name);
  const values = (name: FlagName) =>
    flags.filter((flag) => flag.name === name).map(({ value }) => value!);
  const read = <T>(name: FlagName, how: (name: string, value: string) => T) => {
    const [value] = values(name);
    return value === undefined ? undefined : how(`--${name}`, value);
  };
  if (takes.argument && argument === undefined && !has("help")) {
    throw new AskedWrongly(`${takes.name} needs ${takes.argument}: monitor ${takes.name} ID`);
  }
  return {
    argument,
    url: values("url")[0],
    timeoutMs: read("timeout", between(1, 600_000)) ?? 3_000,
    json: has("json"),
    help: has("help"),
    queues: has("queue") ? values("queue") : undefined,
    all: has("all"),
    consumer: values("consumer")[0],
    windowMs: read("window", between(60_000, 3_600_000)),
    maxOldestMs: read("max-oldest", between(0, 365 * 86_400_000)),
    maxReady: read("max-ready", countFrom(0)),
    maxDead: read("max-dead", countFrom(0)),
    minWorkers: read("min-workers", countFrom(0)),
    limit: read("limit", countFrom(1)),
    byError: has("by-error"),
    ids: has("id") ? values("id") : undefined,
    error: values("error")[0],
    rate: read("rate", perSecond),
    dryRun: has("dry-run"),
    yes: has("yes"),
    state: read("state", stateOf),
    refreshMs: read("refresh", between(200, 60_000)) ?? 1_000,
    readOnly: has("read-only"),
  };
}

/** A flag as it was typed. */
interface Typed {
  readonly name: string;
  readonly typed: string;
  readonly value?: string;
}

/** The words and the flags, whether we know them or not. */
function split(argv: readonly string[]): { words: string[]; flags: Typed[] } {
  const flags: Typed[] = [];
  const parsed = parseArgs([...argv], {
    boolean: SWITCHES,
    string: [...VALUED, "_"],
    collect: VALUED,
    alias: { help: "h" },
    unknown: (arg: string) => {
      if (!arg.startsWith("-")) return true;
      flags.push({ name: arg.replace(/^-+|=.*$/gs, ""), typed: arg.replace(/=.*$/s, "") });
      return false;
    },
  }) as Record<string, unknown> & { _: (string | number)[] };
  for (const name of VALUED) {
    for (const value of (parsed[name] ?? []) as string[]) {
      flags.push({ name, typed: `--${name}`, value });
    }
  }
  // A switch takes no value; the parser lets `--json=maybe` and `--yes=false` pass.
  for (const name of SWITCHES) {
    const odd = argv.find((arg) => arg.startsWith(`--${name}=`));
    const value = odd?.slice(name.length + 3);
    if (parsed[name] || odd) flags.push({ name, typed: `--${name}`, value });
  }
  return { words: parsed._.map(String), flags };
}

const TIME_UNITS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Reads `500ms`, `5s`, `1.5h`. */
function between(minMs: number, maxMs: number) {
  return (flag: string, text: string): number => {
    const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|min|h|d)$/.exec(text) ?? [];
    if (digits === undefined) {
      throw new AskedWrongly(
        `${flag} must be a time with its unit, such as 500ms, 5s, 2m, 1h or 1d, ` +
          `but is ${JSON.stringify(text)}`,
      );
    }
    const ms = Number(digits) * TIME_UNITS[unit!]!;
    if (ms >= minMs && ms <= maxMs) return ms;
    throw new AskedWrongly(
      `${flag} must be from ${duration(minMs)} to ${duration(maxMs)}, but is ${
        JSON.stringify(text)
      }`,
    );
  };
}

function countFrom(least: number) {
  return (flag: string, text: string): number => {
    if (/^\d{1,12}$/.test(text) && Number(text) >= least) return Number(text);
    throw new AskedWrongly(
      `${flag} must be a whole number from ${least}, but is ${JSON.stringify(text)}`,
    );
  };
}

function perSecond(flag: string, text: string): number {
  const value = /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new AskedWrongly(`${flag} must be a number above 0, but is ${JSON.stringify(text)}`);
}

function stateOf(flag: string, text: string): NonNullable<Asked["state"]> {
  const states = ["ready", "delayed", "dead", "completed", "failed"] as const;
  const state = states.find((name) => name === text);
  if (state) return state;
  throw new AskedWrongly(
    `${flag} must be one of ${states.join(", ")}, but is ${JSON.stringify(text)}` +
      (text === "leased" ? ": what is in hand belongs to its consumer" : ""),
  );
}
