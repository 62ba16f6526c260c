/**
 * Looking inside a queue with leases, and putting things right: the operator's side.
 *
 * Whatever has no index is gone through in steps that hold Redis for a few milliseconds each; a step is
 * chosen by what the one before weighed, so that large messages do not make long steps.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { checkMessageId, type QueueKeys } from "../redis/keys.ts";
import { checkOptions, checkSignal, checkSwitch, optionNames } from "../redis/options.ts";
import type { Send } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { checkCount, sleep } from "../redis/timers.ts";
import { type LeasedScripts, MAX_BATCH } from "./leased_scripts.ts";
import {
  type ConsumerInfo,
  type Counts,
  type Found,
  type FoundState,
  PEEK_OPTIONS,
  type PeekOptions,
  type PeekState,
  PURGE_OPTIONS,
  type PurgeOptions,
  REDRIVE_OPTIONS,
  type RedriveOptions,
  type Waiting,
} from "./leased_types.ts";
import type { Place, Seen } from "./operator_scripts.ts";
import { checkConsumer, consumersScript, pauseConsumerScript } from "./presence.ts";
import { type CountedFields, type QueueStats, readStats, statsScript } from "./stats.ts";
import { type Ages, agesScript } from "./snapshot.ts";

/** Most entries, and about how many bytes, in one step of a scan. */
const STEP = 1_500;
const STEP_BYTES = 262_144;

/** How many entries of a page are looked at before it is known how heavy they are. */
const FIRST_STEP = 20;

/** Where a message may be, in the order in which it moves: one that moves on meanwhile is still met. */
const PLACES: readonly Place[] = ["delayed", "ready", "lapsed", "leased"];

/** What cursors look like: positions, or where Redis was in a HASH, or the id before in a stream. */
const POSITION = /^\d{1,15}$/;
const CURSORS: Partial<Record<PeekState, RegExp>> = {
  leased: /^\d{1,20}(\.\d{1,15})?$/,
  ready: /^(\d{1,15}|\d{1,20}-\d{1,20})$/,
};

const FIND_OPTIONS = optionNames<{ states?: readonly FoundState[] }>({ states: true });
const FOUND_STATES: readonly FoundState[] = ["ready", "leased", "delayed", "dead"];

/** Makes what is shown of an entry. */
export type Show<T> = (state: PeekState, seen: Seen) => Promise<Waiting<T> | undefined>;

/** See the module. */
export class Inspector<T> {
  readonly #send: Send;
  readonly #keys: QueueKeys;
  readonly #scripts: LeasedScripts;
  readonly #counting: string;
  readonly #show: Show<T>;

  constructor(
    { send, keys, scripts, counting, show }: {
      send: Send;
      keys: QueueKeys;
      scripts: LeasedScripts;
      counting: string;
      show: Show<T>;
    },
  ) {
    this.#send = send;
    this.#keys = keys;
    this.#scripts = scripts;
    this.#counting = counting;
    this.#show = show;
  }

  /** How many messages are in each state. */
  async counts(): Promise<Counts> {
    const reply = await this.#scripts.counts.run(this.#send, this.#keys, {});
    const [ready = 0, leased = 0, delayed = 0, dead = 0, age = -1, paused = 0] = reply;
    return {
      ready,
      leased,
      delayed,
      dead,
      ...(age >= 0 && { oldestReadyMs: age }),
      ...(paused === 1 && { paused: true }),
    };
  }

  /** What the queue has done. */
  async stats(windowMs: number): Promise<QueueStats> {
    return readStats(await this.counted(), windowMs);
  }

  /** What the statistics are made of. */
  async counted(): Promise<CountedFields> {
    return await statsScript.run(this.#send, this.#keys, {});
  }

  /** How old is what waits for its time, and what is dead. */
  async ages(): Promise<Ages> {
    return await agesScript.run(this.#send, this.#keys, {});
  }

  /** The consumers that have said lately that they are there. */
  async consumers(ttlMs: number): Promise<ConsumerInfo[]> {
    const flat = await consumersScript.run(this.#send, this.#keys, {});
    return Array.from({ length: flat.length / 4 }, (_, i) => {
      const [consumer, info, leftMs, paused] = flat.slice(4 * i, 4 * i + 4);
      const { host, pid, mode, startedAt, holds } = readInfo(info as Buffer);
      return {
        consumer: String(consumer),
        host: String(host ?? ""),
        pid: Number(pid ?? 0),
        mode: mode === "polling" ? "polling" : "blocking",
        startedAt: Number(startedAt ?? 0),
        holds: Number(holds ?? 0),
        seenMs: Math.max(0, ttlMs - Number(leftMs)),
        ...(Number(paused) === 1 && { paused: true as const }),
      };
    });
  }

  /** One page of a state. */
  async peek(
    state: PeekState,
    options: PeekOptions,
  ): Promise<{ messages: Waiting<T>[]; cursor?: string }> {
    const { limit = 20, cursor = "0", payloads = true } = checkOptions(
      "peek",
      options,
      PEEK_OPTIONS,
    );
    checkSwitch("payloads", payloads);
    checkState("peek", state, ["ready", "leased", "delayed", "dead", "completed", "failed"]);
    checkCount("limit", limit, { max: MAX_BATCH });
    if (typeof cursor !== "string" || !(CURSORS[state] ?? POSITION).test(cursor)) {
      throw new RangeError(
        `cursor must come from the page before, but is ${show(cursor, "string")}`,
      );
    }
    const seen: Seen[] = [];
    let from = cursor;
    for (let most = FIRST_STEP; seen.length < limit;) {
      const args = {
        state,
        from,
        most: Math.min(most, limit - seen.length),
        payloads: payloads ? "1" : "0",
      };
      const { entries, next } = await this.#scripts.peek.run(this.#send, this.#keys, args);
      seen.push(...entries);
      from = next;
      if (next === "") break;
      // Redis has to read what it leaves out.
      const weight = ([entry, , , cut]: Seen) => (entry?.length ?? 0) + Number(cut ?? 0);
      most = nextStep(most, entries.reduce((sum, entry) => sum + weight(entry), 0));
    }
    const shown = await Promise.all(seen.map((entry) => this.#show(state, entry)));
    const messages = shown.filter((message) => message !== undefined); // some went meanwhile
    return { messages, ...(from && { cursor: from }) };
  }

  /** Looks for a message by its id. */
  async find(
    id: string,
    options: { states?: readonly FoundState[] },
  ): Promise<Found<T> | undefined> {
    checkMessageId(id);
    const { states = FOUND_STATES } = checkOptions("find", options, FIND_OPTIONS);
    if (!Array.isArray(states)) {
      throw new TypeError(`states must be an array of states, but is ${show(states)}`);
    }
    for (const state of states) checkState("find", state, FOUND_STATES);
    const findDead = async () => states.includes("dead") ? await this.#findDead(id) : undefined;
    const places = PLACES.filter((place) => states.includes(stateOf(place)));
    return await findDead() ?? await this.#scan(id, "find", places) ??
      (places.length > 0 ? await findDead() : undefined);
  }

  /** Takes a message out, wherever it is. */
  async cancel(id: string): Promise<Found<T>["state"] | undefined> {
    checkMessageId(id);
    const args = { id, counting: this.#counting };
    const removeDead = async () =>
      await this.#scripts.removeDead.run(this.#send, this.#keys, args) === 1 ? "dead" : undefined;
    return await removeDead() ?? (await this.#scan(id, "cancel"))?.state ?? await removeDead();
  }

  /** Makes dead letters ready again. */
  async redrive(options: RedriveOptions<T>): Promise<number> {
    checkOptions("redrive", options, REDRIVE_OPTIONS);
    const { ids, match, limit = Infinity, dryRun = false, perSecond = Infinity, signal } = options;
    const { onProgress } = options;
    checkSignal(signal);
    checkCallback("onProgress", onProgress);
    checkSwitch("dryRun", dryRun);
    if (limit !== Infinity) checkCount("limit", limit);
    if (ids && match) throw new TypeError("Either ids or match, not both");
    if (ids !== undefined && !Array.isArray(ids)) {
      throw new TypeError(`ids must be an array of message ids, but is ${show(ids)}`);
    }
    if (match !== undefined && typeof match !== "function") {
      throw new TypeError(`match must be a function, but is ${show(match)}`);
    }
    if (typeof perSecond !== "number" || !(perSecond > 0)) {
      throw new RangeError(
        `perSecond must be a number above 0, but is ${show(perSecond, "number")}`,
      );
    }
    // A quarter of a second's worth at once, and the rest of the quarter is a pause.
    const step = Math.max(1, Math.min(MAX_BATCH, Math.floor(perSecond / 4)));
    // setTimeout takes what is more than 24 days for a millisecond.
    const pace = (n: number) => sleep(Math.min(2_147_483_647, 1_000 * n / perSecond), signal);
    if (!ids && !match && !dryRun) {
      return await this.#redriveOldest({ limit, step, pace, signal, onProgress });
    }
    const chosen = ids && [...new Set(ids.map(checkMessageId))];
    let total = 0;
    const letters = { ids: chosen, match, limit, step, dryRun, signal };
    for await (const batch of this.#letters(letters)) {
      if (signal?.aborted) break;
      if (dryRun) {
        total += await this.#countDead(batch);
        onProgress?.(total);
        continue;
      }
      for (let left = batch; left.length > 0;) { // fewer at a time where they are large
        const { seen, redriven } = await this.#redrive(left.length, left);
        total += redriven;
        onProgress?.(total);
        left = left.slice(seen);
      }
      await pace(batch.length);
    }
    return total;
  }

  /** Removes all messages of a state. */
  async purge(state: Exclude<PeekState, "leased">, options: PurgeOptions): Promise<number> {
    checkState("purge", state, ["ready", "delayed", "dead", "completed", "failed"]);
    const { signal, onProgress } = checkOptions("purge", options, PURGE_OPTIONS);
    checkSignal(signal);
    checkCallback("onProgress", onProgress);
    for (let total = 0;;) {
      if (signal?.aborted) return total;
      const args = { state, most: MAX_BATCH };
      const [more, purged] = await this.#scripts.purge.run(this.#send, this.#keys, args);
      total += purged;
      onProgress?.(total);
      if (more === 0) return total;
    }
  }

  /** Refuses claims, or permits them again. */
  async pause(how: "pause" | "resume"): Promise<void> {
    await this.#scripts.pause.run(this.#send, this.#keys, { how });
  }

  /** The same for one consumer; whether it is there. */
  async pauseConsumer(consumer: string, how: "pause" | "resume"): Promise<boolean> {
    const args = { consumer: checkConsumer(consumer), how };
    return await pauseConsumerScript.run(this.#send, this.#keys, args);
  }

  /** Without a look at them: Redis takes the oldest, as many as are dead when it begins. */
  async #redriveOldest(
    { limit, step, pace, signal, onProgress }: {
      limit: number;
      step: number;
      pace: (n: number) => Promise<void>;
      signal: AbortSignal | undefined;
      onProgress: RedriveOptions<T>["onProgress"];
    },
  ): Promise<number> {
    let total = 0;
    let left = limit;
    for (let first = true; left > 0 && !signal?.aborted; first = false) {
      const { dead, seen, redriven } = await this.#redrive(Math.min(step, left));
      if (first) left = Math.min(left, dead);
      total += redriven;
      onProgress?.(total);
      left -= seen;
      if (seen === 0) break;
      if (left > 0) await pace(seen);
    }
    return total;
  }

  #redrive(most: number, ids?: readonly string[]) {
    return this.#scripts.redrive.run(
      this.#send,
      this.#keys,
      { most, counting: this.#counting },
      ids,
    );
  }

  /**
   * The ids of the dead letters to redrive, in batches: those that were dead when it began, so that what
   * dies again at once is not redriven for ever.
   */
  async *#letters(
    { ids, match, limit, step, dryRun, signal }: {
      ids: readonly string[] | undefined;
      match: ((message: Waiting<T>) => boolean) | undefined;
      limit: number;
      step: number;
      dryRun: boolean;
      signal: AbortSignal | undefined;
    },
  ): AsyncGenerator<string[]> {
    if (ids) {
      const chosen = ids.slice(0, limit);
      for (let i = 0; i < chosen.length; i += step) yield chosen.slice(i, i + step);
      return;
    }
    const { dead } = await this.counts();
    let left = limit;
    // Letters that were passed over stay in front of those that have not been looked at.
    for (let seen = 0, passed = 0; seen < dead && left > 0 && !signal?.aborted;) {
      const most = Math.min(MAX_BATCH, dead - seen, match ? FIRST_STEP * 5 : Math.min(left, step));
      const page = await this.#deadIds(passed, most, match);
      if (page.length === 0) return;
      seen += page.length;
      const chosen = page.filter(({ chosen }) => chosen).slice(0, left).map(({ id }) => id);
      passed += dryRun ? page.length : page.length - chosen.length;
      left -= chosen.length;
      for (let i = 0; i < chosen.length; i += step) yield chosen.slice(i, i + step);
    }
  }

  async #deadIds(
    from: number,
    most: number,
    match: ((message: Waiting<T>) => boolean) | undefined,
  ): Promise<{ id: string; chosen: boolean }[]> {
    if (!match) { // a dry run
      const range = ["ZRANGE", this.#keys.dead_at, String(from), String(from + most - 1)];
      return (await this.#send(range) as Buffer[]).map((id) => ({ id: String(id), chosen: true }));
    }
    const args = { state: "dead", from, most, payloads: "1" };
    const { entries } = await this.#scripts.peek.run(this.#send, this.#keys, args);
    return await Promise.all(entries.map(async (seen) => {
      const message = await this.#show("dead", seen);
      const chosen: unknown = message !== undefined && match(message);
      if (typeof chosen === "boolean") return { id: String(seen[2]), chosen };
      throw new TypeError(`match must give true or false, but gave ${show(chosen)}`);
    }));
  }

  async #countDead(ids: string[]): Promise<number> {
    const times = await this.#send(["ZMSCORE", this.#keys.dead_at, ...ids]) as unknown[];
    return times.filter((at) => at !== null).length;
  }

  async #findDead(id: string): Promise<Found<T> | undefined> {
    const [entry, at] = await Promise.all([
      this.#send(["HGET", this.#keys.dead, id]),
      this.#send(["ZSCORE", this.#keys.dead_at, id]),
    ]) as [Buffer | null, Buffer | number | null];
    const shown = entry && await this.#show("dead", [entry, at ?? 0, id]);
    return shown ? { ...shown, state: "dead" } : undefined;
  }

  async #scan(
    id: string,
    how: "find" | "cancel",
    places = PLACES,
  ): Promise<Found<T> | undefined> {
    for (const place of places) {
      let most = 2;
      for (let from = "0"; from !== "";) {
        const args = { place, from, most, id, how, counting: this.#counting };
        const { next, bytes, found } = await this.#scripts.scan.run(this.#send, this.#keys, args);
        const state = stateOf(place);
        const shown = found && await this.#show(state, found);
        if (shown) return { ...shown, state };
        most = nextStep(most, bytes);
        from = next;
      }
    }
    return undefined;
  }
}

function stateOf(place: Place): Exclude<FoundState, "dead"> {
  return place === "lapsed" ? "ready" : place;
}

function checkCallback(name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new TypeError(`${name} must be a function, but is ${show(value)}`);
}

/** How many entries the next step takes, from how many this one took and what they weighed. */
function nextStep(most: number, bytes: number): number {
  const weight = Math.max(1, bytes / most);
  return Math.max(1, Math.min(STEP, 4 * most, Math.floor(STEP_BYTES / weight)));
}

function checkState(verb: string, state: string, states: readonly string[]): void {
  if (states.includes(state)) return;
  const known = states.map((name) => JSON.stringify(name)).join(", ");
  throw new TypeError(`${verb} takes one of ${known}, not ${show(state, "string")}`);
}

/** What a consumer said of itself; somebody else's entry says nothing. */
function readInfo(info: Buffer): Record<string, unknown> {
  try {
    return Object(JSON.parse(info.toString("utf8")));
  } catch {
    return {};
  }
}
