/**
 * What happens to tasks, as the scripts that move them tell it: followed live, and from a point in the
 * past. See ../task_lua.ts for what stands in the stream.
 *
 * An entry of the stream tells of up to sixteen tasks, so a cursor is the entry's id and how many of its
 * tasks were told of: `1795320605301-0.3`; the id alone after the last one. Whoever follows reads from the
 * entry of its cursor on, that entry included. If it is there, nothing behind it was trimmed, since
 * trimming begins at the old end; if it is not, something may have been lost, and that is said: a
 * `"gap"`. The read is one command, so nothing is trimmed between the look and the read. Blocking differs
 * from polling by a wait in front of it, in the same write.
 *
 * @module
 */
import { call } from "../../redis/call.ts";
import { checkOptions, type OptionNames } from "../../redis/options.ts";
import { OwnConnection } from "../../redis/own_connection.ts";
import type { Send } from "../../redis/script.ts";
import { show } from "../../redis/show.ts";
import { unlessAborted } from "../../redis/timers.ts";
import { explaining } from "../explain.ts";
import { checkFeed, feed, type FeedOptions, one } from "../feed.ts";
import { type Entry, readEntry, type TaskEvent, type TaskEventGap, timeOf } from "./task_event.ts";
import type { Inside } from "./task_queue.ts";

/** Most entries of one read. */
const PAGE = 100;

/** Where a stream begins: no entry has this id. */
const BEGINNING = "0-0";

/** The id of an entry, and how many of its lines were told of; without a number, all of them. */
const CURSOR = /^(\d{1,20}-\d{1,20})(?:\.(\d{1,3}))?$/;

/** Where to begin, and how to wait for what is not there yet. */
export interface TaskEventsOptions extends FeedOptions {
  /**
   * `"now"`: what happens from the first `next()` on. `"start"`: all that is kept, the oldest first. Or the
   * `cursor` of an event of this queue: what came after it.
   *
   * @default "now"
   */
  since?: string;
}

const OPTIONS: OptionNames = new Set(["since", "mode", "pollMs", "signal", "onEvent"]);

/**
 * The queue keeps no events, or none that could be asked.
 *
 * @example Events are off
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { NoTaskEventsError, TaskMonitor } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * await using monitor = new TaskMonitor(redis, { name: "docs_no_events", maxEvents: 0 });
 * try {
 *   await monitor.recentTasks(10);
 * } catch (error) {
 *   console.log(error instanceof NoTaskEventsError); // true
 * }
 * await redis.close();
 * ```
 */
export class NoTaskEventsError extends Error {
  /** The name that stack traces show. */
  override readonly name = "NoTaskEventsError";

  /** Makes the error. */
  constructor(queue: string, why: string) {
    super(`The queue ${JSON.stringify(queue)} keeps no events: ${why}`);
  }
}

/** The queue whose events these are. */
export interface EventsOf extends Inside {
  readonly name: string;
}

/** How far somebody has read: up to which line of which entry. */
interface Position {
  id: string;
  /** How many lines of it; Infinity for all of them. */
  lines: number;
}

/**
 * Events from a point on, until `signal` aborts, or `closing`.
 *
 * @throws {TypeError} at once, for options that are none.
 * @throws {RangeError} at once, for a `pollMs` out of range or a `since` that is no cursor.
 * @throws {NoTaskEventsError} at once, with `maxEvents: 0`.
 */
export function followEvents(
  queue: EventsOf,
  options: TaskEventsOptions,
  closing: AbortSignal,
): AsyncGenerator<TaskEvent | TaskEventGap, void, void> {
  const { since = "now", ...waiting } = checkOptions("events", options, OPTIONS);
  checkFeed(waiting);
  checkOn(queue);
  const { signal } = waiting;
  const over = signal ? AbortSignal.any([signal, closing]) : closing;
  return follow(new EventReader(queue, since), { ...waiting, signal: over });
}

async function* follow(
  reader: EventReader,
  options: FeedOptions,
): AsyncGenerator<TaskEvent | TaskEventGap, void, void> {
  const { signal } = options;
  const take = (waitMs: number) => reader.take(waitMs, signal);
  try {
    yield* one(feed(take, options));
  } finally {
    await reader.close();
  }
}

/** Reads page by page; the position moves when a page was read, so a read that failed is read again. */
class EventReader {
  readonly #queue: EventsOf;
  readonly #send: Send;
  #connection: OwnConnection | undefined;
  #at: Position | "now";
  /** Whether there may be more than was read. */
  #behind = true;
  /** Whether it was seen that the stream is empty: then what came first may be trimmed when we read. */
  #wasEmpty: boolean;
  /** Where we were when nothing was left of the stream. */
  #lost: Position | undefined;

  constructor(queue: EventsOf, since: string) {
    this.#queue = queue;
    this.#at = checkSince(since);
    this.#wasEmpty = since === BEGINNING; // the cursor of an empty stream
    const { client, name, keys } = queue;
    this.#send = explaining(
      client,
      { name, kind: "tasks", keys },
      (args) => call(client, args, { raw: true }),
    );
  }

  /** What is there; or, if nothing is and it may wait, what comes within `waitMs`. */
  async take(waitMs: number, signal?: AbortSignal): Promise<(TaskEvent | TaskEventGap)[]> {
    if (this.#at === "now") {
      const last = lastId(this.#send, this.#queue.keys.events);
      this.#at = { id: await unlessAborted(last, signal), lines: Infinity };
      this.#behind = false;
      this.#wasEmpty = this.#at.id === BEGINNING;
    }
    const entries = await this.#read(this.#at, this.#behind ? 0 : waitMs, signal);
    return await this.#told(this.#at, entries);
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  /** From the entry of the position on, that entry included. */
  async #read({ id }: Position, waitMs: number, signal?: AbortSignal): Promise<Entry[]> {
    const { client, keys: { events } } = this.#queue;
    const from = id === BEGINNING ? "-" : id;
    const range = ["XRANGE", events, from, "+", "COUNT", String(PAGE + 1)];
    if (waitMs === 0) return await unlessAborted(this.#send(range), signal) as Entry[];
    this.#connection ??= new OwnConnection(client, events);
    const wait = (seconds: string) => {
      const ms = String(Math.ceil(Number(seconds) * 1_000));
      return ["XREAD", "COUNT", "1", "BLOCK", ms, "STREAMS", events, id];
    };
    return await this.#connection.blockThen(wait, range, {
      blockMs: waitMs,
      ...(signal && { signal }),
    }) as Entry[];
  }

  async #told(from: Position, entries: Entry[]): Promise<(TaskEvent | TaskEventGap)[]> {
    const told: (TaskEvent | TaskEventGap)[] = [];
    const [first] = entries;
    const firstId = first && String(first[0]);
    const goesOn = firstId === from.id;
    if (firstId && !goesOn && (this.#lost || await this.#mayHaveMissed(from))) {
      told.push(gapOf(this.#lost ?? from, firstId));
    }
    entries.forEach((entry, i) => {
      const skipped = i === 0 && goesOn ? from.lines : 0;
      if (skipped < Infinity) told.push(...readEntry(entry, skipped));
    });
    this.#behind = entries.length > PAGE;
    const last = entries.at(-1);
    if (last) {
      this.#at = { id: String(last[0]), lines: Infinity };
      this.#lost = undefined;
    } else if (from.id === BEGINNING) this.#wasEmpty = true;
    else {
      // Removed. One that is made anew within the same millisecond begins with smaller ids.
      this.#lost = from;
      this.#at = { id: BEGINNING, lines: Infinity };
    }
    return told;
  }

  /** From the beginning nothing is missing, unless that was long ago: a trimmed stream is as long as it may be. */
  async #mayHaveMissed({ id }: Position): Promise<boolean> {
    if (id !== BEGINNING) return true;
    if (!this.#wasEmpty) return false;
    const { keys, maxEvents } = this.#queue;
    return Number(await this.#send(["XLEN", keys.events])) >= maxEvents;
  }
}

/**
 * The newest events, newest first, page by page.
 *
 * @param most How many entries are looked at, at most.
 */
export async function* newestEvents(queue: EventsOf, most: number): AsyncGenerator<TaskEvent[]> {
  const send = (args: readonly string[]) => call(queue.client, args, { raw: true });
  for (let seen = 0, before = "+"; seen < most;) {
    const count = String(Math.min(PAGE, most - seen));
    const args = ["XREVRANGE", queue.keys.events, before, "-", "COUNT", count];
    const entries = await send(args) as Entry[];
    yield entries.flatMap((entry) => readEntry(entry, 0).reverse());
    if (entries.length < Number(count)) return;
    seen += entries.length;
    before = `(${String(entries.at(-1)![0])}`;
  }
}

/** The cursor behind the newest event that is there. */
export async function newestCursor({ client, keys }: EventsOf): Promise<string> {
  return await lastId((args) => call(client, args, { raw: true }), keys.events);
}

/**
 * Refuses to look for events where there are none.
 *
 * @throws {NoTaskEventsError} with `maxEvents: 0`.
 */
export function checkOn({ name, maxEvents }: EventsOf): void {
  if (maxEvents === 0) throw new NoTaskEventsError(name, "maxEvents is 0");
}

async function lastId(send: Send, events: string): Promise<string> {
  const [last] = await send(["XREVRANGE", events, "+", "-", "COUNT", "1"]) as Entry[];
  return last ? String(last[0]) : BEGINNING;
}

function gapOf(from: Position, firstId: string): TaskEventGap {
  return {
    event: "gap",
    cursor: `${firstId}.0`, // if that is trimmed as well, there is another gap to be told of
    at: timeOf(firstId),
    after: from.lines === Infinity ? from.id : `${from.id}.${from.lines}`,
  };
}

/** Redis's ids are two numbers of 64 bits. */
const MAX_PART = 2n ** 64n - 1n;

function checkSince(since: string): Position | "now" {
  if (since === "now") return since;
  if (since === "start") return { id: BEGINNING, lines: Infinity };
  const [, id, lines] = typeof since === "string" ? CURSOR.exec(since) ?? [] : [];
  if (id === undefined || id.split("-").some((part) => BigInt(part) > MAX_PART)) {
    throw new RangeError(
      `since must be "now", "start" or the cursor of an event, but is ${show(since, "string")}`,
    );
  }
  return { id, lines: lines === undefined ? Infinity : Number(lines) };
}
