/**
 * When a schedule fires: cron patterns and intervals, what is made up for after a downtime, and the
 * definition as it stands in Redis. Nothing here talks to Redis or looks at a clock: whoever asks brings
 * Redis's time.
 *
 * A definition is a line that tells when and what, and the body of the message that a firing becomes:
 *
 * ```
 * {"type":"send_report","cron":"0 3 * * *","timeZone":"Europe/Vienna","catchUp":"last",…,"uid":"4f…"}⏎
 * send_report⏎{"to":"ann"}
 * ```
 *
 * `uid` is a digest of all the rest and of the schedule's name, so the first line alone tells whether a
 * definition is still the one that was read.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { Cron } from "croner";
import { byteLength, codecOf, encode } from "../../redis/codec.ts";
import { checkText, MAX_NAME_BYTES } from "../../redis/keys.ts";
import { checkOptions, type OptionNames, optionNames } from "../../redis/options.ts";
import { show } from "../../redis/show.ts";
import { checkMs } from "../../redis/timers.ts";

/**
 * How many ticks one script fires: what is made up for after a long time goes on in the next round, so
 * that neither Redis nor the program's other schedules wait long. Two hundred ticks of a pattern take some
 * 8 ms to compute.
 */
export const MAX_TICKS = 200;

/** A schedule says what to do; data that is larger belongs elsewhere, and its key into the payload. */
const MAX_BODY_BYTES = 65_536;

/** `@` and the milliseconds of a tick stand behind the name in the id of a task. */
const MAX_SCHEDULE_NAME_BYTES = MAX_NAME_BYTES - 16;

/** Shortest and longest interval: what is more frequent is a loop, what is rarer a date. */
const INTERVAL = { min: 100, max: 31_622_400_000 };

/** What becomes of ticks that nobody fired in time. */
export type CatchUp = "none" | "last" | "all";

/** Whether a tick fires while the task of the last firing is not finished. */
export type Overlap = "allow" | "skip";

/** Options of every schedule. */
export interface EveryOptions {
  /**
   * What becomes of ticks that nobody fired in time, as when no scheduler was running. `"last"`: the
   * newest one is fired, late, and the others are not. `"none"`: none of them. `"all"`: each of them, in
   * order.
   *
   * @default "last": the report of a night in which the scheduler was down is made once, in the morning
   */
  catchUp?: CatchUp;
  /**
   * How late a tick may be before it counts as missed, in milliseconds; at least 2,000, since schedulers
   * look every second. Up to then each one fires, whatever `catchUp` says: a restart or a lost connection
   * costs no tick.
   *
   * @default 5_000
   */
  missedAfterMs?: number;
  /**
   * Whether a tick fires while the task of the last firing is not finished: waiting, delayed for another
   * attempt, or in hand. `"skip"`: it does not, and is not made up for. A dead task is finished.
   *
   * @default "allow"
   */
  overlap?: Overlap;
}

/** Options of a cron schedule. */
export interface CronOptions extends EveryOptions {
  /**
   * The zone whose clocks the pattern means, by its IANA name: `"Europe/Vienna"`.
   *
   * @default "UTC", since the zones of the hosts that run schedulers may differ
   */
  timeZone?: string;
}

/** The names of these options. */
export const EVERY_OPTIONS: OptionNames = optionNames<EveryOptions>({
  catchUp: true,
  missedAfterMs: true,
  overlap: true,
});
/** And with a zone. */
export const CRON_OPTIONS: OptionNames = new Set([...EVERY_OPTIONS, "timeZone"]);

/** When a schedule fires: by a pattern in a zone, or at an interval. */
export type When =
  | { readonly cron: string; readonly timeZone: string }
  | { readonly everyMs: number };

/** What a definition's first line tells. */
export type Definition = When & Required<Readonly<EveryOptions>> & {
  /** The task's name. */
  readonly type: string;
};

/** A definition that was read: what the firing needs. */
export interface Read {
  readonly definition: Definition;
  /** A digest of the whole definition. */
  readonly uid: string;
  readonly timing: Timing;
}

/** The ticks of a schedule. */
export interface Timing {
  /** The first tick later than an instant; undefined where there is none. Milliseconds since 1970. */
  next(after: number): number | undefined;
}

/** What is due now. */
export interface Plan {
  /** What is to be fired, oldest first; {@linkcode MAX_TICKS} at most. */
  readonly ticks: readonly number[];
  /** The tick after these, which may be due already; undefined where there is none. */
  readonly next: number | undefined;
  /** Whether ticks were missed. */
  readonly late: boolean;
}

/**
 * Checks the name of a schedule.
 *
 * @throws {TypeError} naming it.
 */
export function checkScheduleName(name: string): string {
  checkText("schedule name", name);
  if (byteLength(name) > MAX_SCHEDULE_NAME_BYTES) {
    throw new TypeError(
      `A schedule name must be at most ${MAX_SCHEDULE_NAME_BYTES} bytes long, since it begins the ` +
        `ids of its tasks, but ${JSON.stringify(name.slice(0, 40) + "…")} has ${byteLength(name)}`,
    );
  }
  return name;
}

/**
 * Checks when a cron schedule fires, and how.
 *
 * @throws {TypeError} for a pattern or a zone that is none, or a bad or unknown option.
 * @throws {RangeError} for a `missedAfterMs` out of range.
 */
export function cronDefinition(pattern: string, type: string, options: CronOptions): Definition {
  const { timeZone = "UTC", ...others } = checkOptions("cron", options, CRON_OPTIONS);
  cronTiming(pattern, timeZone);
  return { type: checkText("task name", type), cron: pattern, timeZone, ...checkRest(others) };
}

/**
 * Checks when an interval fires, and how.
 *
 * @throws {TypeError} for a bad or unknown option.
 * @throws {RangeError} for an interval or a `missedAfterMs` out of range.
 */
export function intervalDefinition(
  everyMs: number,
  type: string,
  options: EveryOptions,
): Definition {
  const rest = checkRest(checkOptions("every", options, EVERY_OPTIONS));
  if (!Number.isInteger(checkMs("everyMs", everyMs, INTERVAL))) {
    throw new RangeError(`everyMs must be a whole number of milliseconds, but is ${everyMs}`);
  }
  return { type: checkText("task name", type), everyMs, ...rest };
}

function checkRest(
  { catchUp = "last", missedAfterMs = 5_000, overlap = "allow" }: EveryOptions,
): Required<EveryOptions> {
  if (catchUp !== "none" && catchUp !== "last" && catchUp !== "all") {
    throw new TypeError(
      `catchUp must be "none", "last" or "all", but is ${show(catchUp, "string")}`,
    );
  }
  if (overlap !== "allow" && overlap !== "skip") {
    throw new TypeError(`overlap must be "allow" or "skip", but is ${show(overlap, "string")}`);
  }
  return {
    catchUp,
    missedAfterMs: Math.ceil(checkMs("missedAfterMs", missedAfterMs, { min: 2_000 })),
    overlap,
  };
}

/**
 * The body of a task's message: its name, a line break, its payload.
 *
 * @throws {TypeError} for what JSON cannot carry.
 * @throws {RangeError} for more than 64 KiB.
 */
export function taskBody(type: string, payload: unknown): string {
  return `${type}\n${encode(codecOf("json"), payload, MAX_BODY_BYTES)}`;
}

/** A definition as it stands in Redis. The same name, definition and body give the same text. */
export function writeDefinition(name: string, definition: Definition, body: string): string {
  const said = JSON.stringify(definition);
  const digest = createHash("sha256").update(`${name}\n${said}\n${body}`).digest("hex");
  return `${JSON.stringify({ ...definition, uid: digest.slice(0, 20) })}\n${body}`;
}

/**
 * Reads a definition's first line.
 *
 * @throws {TypeError} for what this version did not write and cannot follow, or a zone that is not known
 * here.
 */
export function readDefinition(head: string): Read {
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(head);
  } catch (cause) {
    throw new TypeError(`Not a schedule's definition: ${show(head, "string")}`, { cause });
  }
  const { type, cron, timeZone, everyMs, uid, catchUp, missedAfterMs, overlap } = Object(raw);
  if (typeof uid !== "string" || !/^[a-z0-9]+$/.test(uid)) {
    throw new TypeError(`Not a schedule's definition, it has no uid: ${show(head, "string")}`);
  }
  const rest = { catchUp, missedAfterMs, overlap };
  const definition = everyMs === undefined
    ? cronDefinition(cron, type, { timeZone, ...rest })
    : intervalDefinition(everyMs, type, rest);
  return { definition, uid, timing: timingOf(definition) };
}

/** The ticks of a definition that was checked. */
export function timingOf(when: When): Timing {
  return "cron" in when ? cronTiming(when.cron, when.timeZone) : intervalTiming(when.everyMs);
}

/** Multiples of the interval since 1970, so that all schedulers mean the same ones. */
function intervalTiming(everyMs: number): Timing {
  return { next: (after) => (Math.floor(after / everyMs) + 1) * everyMs };
}

/**
 * A time that a spring day does not have fires at the end of the gap, and one that an autumn day has twice
 * fires once; what has a wildcard or a step fires as often as the clock shows it.
 */
function cronTiming(pattern: string, timeZone: string): Timing {
  checkText("cron pattern", pattern);
  // croner takes dates as well.
  if (pattern.includes(":")) {
    throw new TypeError(
      `A cron pattern must not be a date, but is ${
        show(pattern, "string")
      }: for a task that is to ` +
        `run once, enqueue it with runAt`,
    );
  }
  checkTimeZone(timeZone);
  let cron: Cron;
  try {
    // croner's own default leaves "30 2,14 * * *" out where clocks skip half past two.
    cron = new Cron(pattern, { timezone: timeZone, paused: true, fixedTimeRule: "no-wildcard" });
  } catch (cause) {
    const reason = (cause as Error).message.replace(/^CronPattern: /, "");
    throw new TypeError(
      `A cron pattern has minute, hour, day, month and weekday, with seconds in front of them if ` +
        `you like ("0 3 * * *", "*/10 * * * * *"), but this is ${
          show(pattern, "string")
        }: ${reason}`,
      { cause },
    );
  }
  return { next: (after) => cron.nextRun(new Date(after))?.getTime() };
}

function checkTimeZone(timeZone: string): void {
  try {
    if (typeof timeZone !== "string" || timeZone === "") throw new RangeError("not a name");
    new Intl.DateTimeFormat("en", { timeZone });
  } catch (cause) {
    throw new TypeError(
      `timeZone must be the IANA name of a time zone, like "Europe/Vienna", but is ` +
        show(timeZone, "string"),
      { cause },
    );
  }
}

/** Up to `most` ticks later than an instant; none for 31 February, or a year that is over. */
export function upcoming(when: When, after: number, most: number): number[] {
  const timing = timingOf(when);
  const ticks: number[] = [];
  let at = timing.next(after);
  while (at !== undefined && ticks.length < most) {
    ticks.push(at);
    at = timing.next(at);
  }
  return ticks;
}

/** What is wrong with a schedule that has no tick later than an instant. */
export function neverFires(when: When, after: number): TypeError {
  const pattern = "cron" in when ? show(when.cron, "string") : `every ${when.everyMs} ms`;
  const instant = new Date(after).toISOString();
  return new TypeError(`The cron pattern ${pattern} never fires after ${instant}`);
}

/** What is to be fired of a schedule whose next tick, `due`, is there. */
export function planOf(
  timing: Timing,
  { due, now, catchUp, missedAfterMs }: {
    due: number;
    now: number;
    catchUp: CatchUp;
    missedAfterMs: number;
  },
): Plan {
  const inTime = now - missedAfterMs;
  const late = due < inTime;
  let at: number | undefined = due;
  if (late && catchUp === "none") at = timing.next(inTime - 1);
  if (late && catchUp === "last") at = newest(timing, due, now);
  const ticks: number[] = [];
  while (at !== undefined && at <= now && ticks.length < MAX_TICKS) {
    ticks.push(at);
    at = timing.next(at);
  }
  return { ticks, next: at, late };
}

/** The newest tick up to `now`, by halving: a second's cron that was down for a month missed millions. */
function newest(timing: Timing, due: number, now: number): number {
  let [last, none] = [due, now + 1]; // last is a tick; between none and now there is none
  while (none - last > 1) {
    const middle = Math.floor((last + none) / 2);
    const tick = timing.next(middle - 1);
    if (tick !== undefined && tick <= now) last = tick;
    else none = middle;
  }
  return last;
}
