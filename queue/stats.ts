/**
 * A queue's statistics: how many messages were enqueued, acknowledged, failed …, in all and for each of
 * the last sixty minutes, and how long they waited and ran.
 *
 * They are one HASH, counted by the scripts that move the messages, one command a number. A field is
 * named by its minute (since 1970); when a minute begins, those that are an hour old are added up and go.
 * So the hash has a bound: sixty-one times the counters and the buckets. It expires when the queue was not
 * used for thirty days. Times are kept as counts of buckets, four to a doubling, so a percentile is right
 * to a tenth.
 *
 * ```
 * enqueued  12345               of minutes that are gone
 * first     29922010            the oldest minute that is there
 * 29922017 enqueued  88
 * 29922017 w9        41         waited 4 to 4.8 ms
 * 29922017 r0        88         ran less than 1 ms
 * w9        5120                of minutes that are gone
 * ```
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { defineScript } from "../redis/script.ts";
import { checkMs } from "../redis/timers.ts";

/** What is counted, by name. */
export type Counted =
  | "enqueued"
  | "acked"
  | "failed"
  | "lapsed"
  | "dead"
  | "redriven"
  | "cancelled";

const COUNTED: readonly Counted[] = [
  "enqueued",
  "acked",
  "failed",
  "lapsed",
  "dead",
  "redriven",
  "cancelled",
];

/** 2 ** (120 / 4) ms are twelve days. */
const MAX_BUCKET = 120;

const MINUTE_MS = 60_000;

/** How long the numbers of a queue are kept that nobody uses: 30 days. */
const KEPT_MS = 30 * 24 * 60 * MINUTE_MS;
const MINUTES = 60;

/** How long something took, in milliseconds: half of the cases, 95 and 99 of 100 took no longer. */
export interface Percentiles {
  /** Of half of them. */
  readonly p50: number;
  /** Of 95 in 100. */
  readonly p95: number;
  /** Of 99 in 100. */
  readonly p99: number;
}

/** How long things took, since the queue's beginning: how many took less than a time, for several times. */
export interface Histogram {
  /** The times, rising, each with how many took less; the last one with all of them. */
  readonly buckets: readonly { readonly ms: number; readonly count: number }[];
  /** How many there were. */
  readonly count: number;
  /** How long they took together, in milliseconds, as far as the buckets tell: right to a tenth. */
  readonly sumMs: number;
}

/** What a queue has done. */
export interface QueueStats {
  /**
   * Since the queue's beginning: messages enqueued and acknowledged, attempts that failed (given back or
   * buried by their consumer) or lapsed (their consumer fell silent), messages that died, were redriven
   * or cancelled. One that was cancelled while it was in hand, and whose consumer acknowledged it all the
   * same, was both.
   */
  readonly totals: Readonly<Record<Counted, number>>;
  /** The same in the window, a second; a queue that is younger is taken from its first minute on. */
  readonly perSecond: Readonly<Record<Counted, number>>;
  /**
   * From when a message could be claimed until it was, in milliseconds, in the window; of those that were
   * acknowledged.
   */
  readonly waitMs?: Percentiles;
  /** From the claim to the ack, in milliseconds, in the window. */
  readonly runMs?: Percentiles;
  /** The waits as a histogram, since the queue's beginning, of those that were acknowledged. */
  readonly waits?: Histogram;
  /** The runs in the same way. */
  readonly runs?: Histogram;
  /** The minutes of the window, oldest first; those in which nothing happened are left out. */
  readonly minutes: readonly (Readonly<Record<Counted, number>> & {
    /** When it began, in milliseconds since 1970, by Redis's clock. */
    readonly at: number;
  })[];
}

/** Which bucket a time belongs to; 0 is less than a millisecond. */
export function bucketOf(ms: number): number {
  return SHORT[ms] ?? computedBucketOf(ms);
}

function computedBucketOf(ms: number): number {
  // Not quite 4: exact powers of two belong to the bucket that they begin.
  return ms < 1 ? 0 : Math.min(MAX_BUCKET, 1 + Math.floor(4 * Math.log2(ms) + 1e-9));
}

/** Buckets of whole milliseconds, as most waits are: looked up, since it is done for every message. */
const SHORT = Uint8Array.from({ length: 10_000 }, (_, ms) => computedBucketOf(ms));

/** A time in the middle of a bucket. */
function middleOf(bucket: number): number {
  const ms = bucket === 0 ? 0.5 : 2 ** ((bucket - 0.5) / 4);
  return ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms);
}

/** Times, as the scripts take them. */
export class Times {
  readonly #counts = { w: new Uint32Array(MAX_BUCKET + 1), r: new Uint32Array(MAX_BUCKET + 1) };
  /** The first bucket of each that was not touched, nor any behind it. */
  readonly #ends = { w: 0, r: 0 };

  /** Counts a wait (`w`) or a run (`r`), `n` times. */
  add(kind: "w" | "r", ms: number, n = 1): void {
    const bucket = bucketOf(ms);
    this.#counts[kind][bucket]! += n;
    if (bucket >= this.#ends[kind]) this.#ends[kind] = bucket + 1;
  }

  /** The buckets and how many are in each: `w9 41 r0 88`. They are empty again afterwards. */
  take(): string {
    let words = "";
    for (const kind of ["w", "r"] as const) {
      const counts = this.#counts[kind];
      for (let bucket = 0; bucket < this.#ends[kind]; bucket++) {
        if (counts[bucket]! > 0) words += `${kind}${bucket} ${counts[bucket]} `;
        counts[bucket] = 0;
      }
      this.#ends[kind] = 0;
    }
    return words;
  }
}

/** What Redis keeps of a queue's statistics. */
export interface CountedFields {
  /** Redis's clock, in milliseconds since 1970. */
  now: number;
  /** Counters by their names, and `first`, the oldest minute. */
  fields: Map<string, string>;
}

/** The counters of several queues, added up. */
export function addUp(all: readonly CountedFields[]): CountedFields {
  const fields = new Map<string, string>();
  const firsts: number[] = [];
  for (const [field, value] of all.flatMap((each) => [...each.fields])) {
    if (field === "first") firsts.push(Number(value));
    else fields.set(field, String((Number(fields.get(field)) || 0) + (Number(value) || 0)));
  }
  if (firsts.length > 0) fields.set("first", String(Math.min(...firsts)));
  return { now: Math.max(...all.map(({ now }) => now)), fields };
}

/**
 * Reads what Redis keeps.
 *
 * @param windowMs How far back, at most an hour.
 * @throws {RangeError} for a window out of range.
 */
export function readStats({ fields, now }: CountedFields, windowMs: number): QueueStats {
  checkMs("windowMs", windowMs, { min: MINUTE_MS, max: MINUTES * MINUTE_MS });
  const numberOf = (field: string) => Number(fields.get(field)) || 0;
  const counted = (prefix: string) =>
    Object.fromEntries(COUNTED.map((what) => [what, numberOf(prefix + what)])) as Record<
      Counted,
      number
    >;
  const thisMinute = Math.floor(now / MINUTE_MS);
  const first = thisMinute - Math.ceil(windowMs / MINUTE_MS) + 1;
  const totals = counted("");
  const minutes: QueueStats["minutes"][number][] = [];
  const buckets = { w: new Map<number, number>(), r: new Map<number, number>() };
  const since = { w: new Map<number, number>(), r: new Map<number, number>() };
  for (const minute of minutesIn(fields)) {
    const counts = counted(`${minute} `);
    for (const what of COUNTED) totals[what] += counts[what];
    if (minute < first || minute > thisMinute) continue;
    minutes.push({ at: minute * MINUTE_MS, ...counts });
  }
  for (const [field, value] of fields) {
    const [, minute, kind, bucket] = BUCKET.exec(field) ?? [];
    const n = Number(value);
    if (!kind || !(n > 0)) continue;
    add(since[kind as "w"], Number(bucket), n);
    const at = minute === undefined ? -1 : Number(minute);
    if (at >= first && at <= thisMinute) add(buckets[kind as "w"], Number(bucket), n);
  }
  const began = Math.max(first, numberOf("first")); // younger than the window
  const seconds = Math.max(1, (now - began * MINUTE_MS) / 1_000);
  const rate = (what: Counted) => minutes.reduce((sum, minute) => sum + minute[what], 0) / seconds;
  const [waitMs, runMs] = [percentiles(buckets.w), percentiles(buckets.r)];
  return {
    totals,
    perSecond: Object.fromEntries(COUNTED.map((what) => [what, rate(what)])) as Record<
      Counted,
      number
    >,
    ...(waitMs && { waitMs }),
    ...(runMs && { runMs }),
    ...(since.w.size > 0 && { waits: histogram(since.w) }),
    ...(since.r.size > 0 && { runs: histogram(since.r) }),
    minutes,
  };
}

/** `29922017 w9` of a minute, `w9` of those that are gone. */
const BUCKET = /^(?:(\d+) )?([wr])(\d{1,3})$/;

function add(counts: Map<number, number>, bucket: number, n: number): void {
  if (bucket <= MAX_BUCKET) counts.set(bucket, (counts.get(bucket) ?? 0) + n);
}

function histogram(counts: Map<number, number>): Histogram {
  const last = Math.max(...counts.keys());
  let [count, sumMs] = [0, 0];
  const buckets = Array.from({ length: last + 1 }, (_, bucket) => {
    const n = counts.get(bucket) ?? 0;
    count += n;
    sumMs += n * middleOf(bucket);
    return { ms: 2 ** (bucket / 4), count };
  });
  return { buckets, count, sumMs };
}

/** The minutes that are there, oldest first. */
function minutesIn(fields: Map<string, string>): number[] {
  const minutes = new Set<number>();
  for (const field of fields.keys()) {
    const minute = /^(\d+) /.exec(field)?.[1];
    if (minute) minutes.add(Number(minute));
  }
  return [...minutes].sort((a, b) => a - b);
}

function percentiles(buckets: Map<number, number>): Percentiles | undefined {
  const total = [...buckets.values()].reduce((sum, n) => sum + n, 0);
  if (total === 0) return undefined;
  const ordered = [...buckets].sort(([a], [b]) => a - b);
  const at = (share: number) => {
    let seen = 0;
    return middleOf(ordered.find(([, n]) => (seen += n) >= share * total)![0]);
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Between the oldest minute and the last one there is an hour at most. */
const BEGIN_MINUTE = `
  local counted = {${COUNTED.map((what) => `"${what}"`).join(", ")}}

  -- A minute that is over for an hour goes, and what it counted is added up.
  local function fold(minute)
    local names, found = {}, false
    for i, what in ipairs(counted) do names[i] = minute .. " " .. what end
    for i, n in ipairs(redis.call("HMGET", stats, unpack(names))) do
      if n then
        found = true
        redis.pcall("HINCRBY", stats, counted[i], n)
      end
    end
    if not found then return end
    local times = {}
    for bucket = 0, ${MAX_BUCKET} do
      times[#times + 1] = "w" .. bucket
      times[#times + 1] = "r" .. bucket
    end
    local before = #names
    for _, bucket in ipairs(times) do names[#names + 1] = minute .. " " .. bucket end
    for i, n in ipairs(redis.call("HMGET", stats, unpack(names, before + 1))) do
      if n then redis.pcall("HINCRBY", stats, times[i], n) end
    end
    redis.call("HDEL", stats, unpack(names))
  end

  redis.call("PEXPIRE", stats, ${KEPT_MS})
  local first = tonumber(redis.call("HGET", stats, "first")) or this_minute
  local kept = this_minute - ${MINUTES - 1}
  for minute = first, math.min(kept - 1, first + ${MINUTES}) do fold(minute) end
  redis.pcall("HSET", stats, "first", math.max(math.min(first, this_minute), kept))`;

/**
 * count: adds to a counter of this minute. pcall: no message stays where it is because a number cannot be
 * counted.
 */
export const STATS = `
local this_minute = (now - now % ${MINUTE_MS}) / ${MINUTE_MS}
local function count(what, n)
  if counting ~= "1" or n == 0 then return end
  if redis.pcall("HINCRBY", stats, this_minute .. " " .. what, n) ~= n then return end
${BEGIN_MINUTE}
end`;

/** Behind a count: the same for the buckets of `times`. */
export const COUNT_TIMES = `
  if counting == "1" then
    for bucket, n in string.gmatch(times, "([wr]%d+) (%d+)") do
      redis.pcall("HINCRBY", stats, this_minute .. " " .. bucket, n)
    end
  end`;

/** Everything that a queue has counted, and Redis's clock. */
export const statsScript = defineScript({
  name: "stats",
  keys: ["stats"],
  args: [],
  lua: `
local time = redis.call("TIME")
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call("HGETALL", stats)}`,
  reply: (raw): CountedFields => {
    const [now, flat] = raw as [number, Buffer[]];
    const fields = new Map<string, string>();
    for (let i = 0; i < flat.length; i += 2) fields.set(String(flat[i]), String(flat[i + 1]));
    return { now: Number(now), fields };
  },
});
