/**
 * The producer's side of a queue with leases: payloads are checked and encoded, the messages of a turn
 * share one script, and a script whose reply was lost is sent again under the same number, so that it stores
 * once, and before those that were sent behind it. A full queue is refused, or waited for; see room.ts.
 *
 * @module
 */
import type { CommandArgument } from "../redis/client.ts";
import { type Codec, encode } from "../redis/codec.ts";
import { isMisplaced, isRetryable, RedisFullError } from "../redis/errors.ts";
import { checkMessageId, type QueueKeys } from "../redis/keys.ts";
import { Merger } from "../redis/merge.ts";
import type { Send } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { backoffMs, checkMs, sleep, within } from "../redis/timers.ts";
import { checkDedupe, type Deduper } from "./dedupe.ts";
import { type Confirmer, together } from "./durability.ts";
import { writeEnvelope } from "./envelope.ts";
import { REPLAY_MS, type Stored } from "./enqueue_script.ts";
import type { LeasedScripts } from "./leased_scripts.ts";
import type { Enqueued, EnqueueOptions } from "./leased_types.ts";
import { mapPayloads } from "./payloads.ts";
import { Registration } from "./registry.ts";
import { type OnFull, QueueFullError, Room } from "./room.ts";
import type { Validate } from "./schema.ts";
import { MAX_TIME } from "./settler.ts";
import { makeUid } from "./uid.ts";

interface Item {
  /** What its producer gets: the id that it chose, or the one made here. */
  id: string;
  message: CommandArgument;
  /** Milliseconds since 1970, or "+ms" from now; "" for ready at once. */
  due: string;
  /** The id that its producer chose, or "". */
  own: string;
  /** The key that it takes, or "", and for how long. */
  key: string;
  ttlMs: number;
  length: number;
}

/** Who sends batches to Redis, one after the other: it knows a repeated one by its number. */
interface Lane {
  producer: string;
  batch: number;
}

/** A batch that was sent. */
interface Sent extends Lane {
  storing: Promise<Stored>;
  /** Answered, or given up. */
  settled: boolean;
}

/** What an item needs besides its payload. */
type ItemOptions = Omit<EnqueueOptions, "signal"> & { priority: number };

/** How long an enqueue whose reply was lost is repeated: well within what Redis recognises. */
const ENQUEUE_MS = REPLAY_MS / 3;

const NO_KEY = { key: "", ttlMs: 0 };

/** What it is made of. */
export interface EnqueuerParts<T, I> {
  name: string;
  kind: string;
  send: Send;
  keys: QueueKeys;
  scripts: LeasedScripts;
  codec: Codec<I>;
  maxBytes: number;
  validate: Validate<T> | undefined;
  dedupe: Deduper<I>;
  /** How many messages may be ready; 0 for any number. */
  maxReady: number;
  onFull: OnFull;
  /** Whether the queue counts: "1", or "0". */
  counting: string;
  /** Has writes confirmed by replicas, if that is wanted. */
  confirmer: Confirmer | undefined;
}

/** See the module. */
export class Enqueuer<T, I> {
  readonly #made: EnqueuerParts<T, I>;
  readonly #merger: Merger<Item, Enqueued | undefined>;
  readonly #room: Room<Item, Enqueued>;
  readonly #registration: Registration;
  /** Those that wait for no reply: there are as many as there ever were batches under way. */
  readonly #lanes: Lane[] = [];
  /** In the order in which they were sent, from the first on that is not settled. */
  readonly #sent: Sent[] = [];

  constructor(made: EnqueuerParts<T, I>) {
    this.#made = made;
    const { confirmer } = made;
    const store = (items: Item[]) => this.#store(items);
    this.#merger = new Merger(
      confirmer ? together((items) => this.#storeConfirmed(confirmer, items)) : store,
    );
    this.#room = new Room((item) => this.#merger.add(item));
    this.#registration = new Registration(made.kind, made.name);
  }

  /** Ends all waiting for room; sees to it, for `ms` at most, that the queue is listed. */
  async close(ms: number): Promise<void> {
    this.#room.close();
    await this.#registration.settled(ms);
  }

  /** Checks and stores one message. */
  store(payload: I, options: EnqueueOptions & { priority: number }): Promise<Enqueued> {
    try {
      const { signal } = options;
      signal?.throwIfAborted();
      const item = this.#item(payload, options);
      const checked = this.#made.validate?.(payload);
      if (checked instanceof Promise) return checked.then(() => this.#admit(item, signal));
      return this.#admit(item, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Checks all messages before the first is sent. */
  async storeMany(
    payloads: readonly I[],
    options: Omit<EnqueueOptions, "id"> & { priority: number },
  ): Promise<Enqueued[]> {
    options.signal?.throwIfAborted();
    // What concerns all of them, before it is said of one of them.
    checkTimes(options);
    checkDedupe(options.dedupe);
    const items = mapPayloads(this.#made.name, payloads, (payload) => this.#item(payload, options));
    const validate = this.#made.validate;
    if (validate) {
      // Async, so that one that throws leaves none behind that rejects with nobody looking.
      const check = async (payload: I) => await validate(payload);
      await Promise.all(mapPayloads(this.#made.name, payloads, check));
    }
    const adding = items.map((item) => this.#admit(item, options.signal));
    if (this.#made.maxReady === 0) return await Promise.all(adding);
    const results = await Promise.allSettled(adding);
    const failures = results.filter((result) => result.status === "rejected");
    const enqueued = results.map((result) =>
      result.status === "fulfilled" ? result.value : undefined
    );
    if (failures.length === 0) return enqueued as Enqueued[];
    const full = failures.every(({ reason }) => reason instanceof QueueFullError);
    throw full
      ? new QueueFullError(this.#made.name, this.#made.maxReady, enqueued)
      : failures[0]!.reason;
  }

  #item(payload: I, { id, delayMs, runAt, priority, dedupe }: ItemOptions): Item {
    if (id !== undefined) checkMessageId(id);
    checkTimes({ delayMs, runAt });
    const enqueuedAt = Date.now();
    let due = "";
    let laterMs = 0;
    if (delayMs !== undefined && delayMs > 0) {
      laterMs = Math.ceil(delayMs);
      due = `+${laterMs}`;
    }
    if (runAt !== undefined) {
      due = String(Math.ceil(runAt));
      laterMs = Number(due) - enqueuedAt;
    }
    const body = encode(this.#made.codec, payload, this.#made.maxBytes);
    const { key, ttlMs } = this.#made.dedupe(payload, body, dedupe) ?? NO_KEY;
    if (due === "" && (id !== undefined || key !== "")) due = "+0";
    const uid = makeUid();
    const header = { uid, id, key, enqueuedAt, delayMs: laterMs, priority };
    const message = writeEnvelope(header, body);
    return { id: id ?? uid, message, due, own: id ?? "", key, ttlMs, length: message.length };
  }

  /** Stores it, if there is room, or when there is. */
  #admit(item: Item, signal?: AbortSignal): Promise<Enqueued> {
    if (this.#made.maxReady === 0) return this.#merger.add(item) as Promise<Enqueued>; // never full
    // What is for later needs no room, and does not stand in line for it.
    const later = item.due !== "" && item.due !== "+0";
    if (this.#made.onFull === "throw") return this.#addOrThrow(item);
    return later ? this.#addOrWait(item, signal) : this.#room.store(item, signal);
  }

  /** It may be due by Redis's clock, and then it needs room after all. */
  async #addOrWait(item: Item, signal?: AbortSignal): Promise<Enqueued> {
    return await this.#merger.add(item) ?? await this.#room.store(item, signal);
  }

  async #addOrThrow(item: Item): Promise<Enqueued> {
    const enqueued = await this.#merger.add(item);
    if (enqueued === undefined) throw new QueueFullError(this.#made.name, this.#made.maxReady);
    return enqueued;
  }

  /** The same, and whether replicas have it. */
  async #storeConfirmed(
    confirmer: Confirmer,
    items: Item[],
  ): Promise<(Enqueued | undefined)[]> {
    let confirmed = false;
    const stored = await this.#store(items, confirmer.sending((yes) => confirmed = yes));
    return stored.map((enqueued) => enqueued && { ...enqueued, confirmed });
  }

  /**
   * One script for a turn's messages, repeated under the same number when its reply was lost. Gives
   * undefined for those for which there was no room.
   */
  async #store(items: Item[], send = this.#made.send): Promise<(Enqueued | undefined)[]> {
    // Plain messages travel bare. Beside one with a name that is ready at once they do not, so that all
    // stay in order.
    const mixed = items.some((item) => item.due === "+0");
    const plain: Item[] = [];
    const others: Item[] = [];
    for (const item of items) (item.due === "" && !mixed ? plain : others).push(item);
    const rest: CommandArgument[] = plain.map((item) => item.message);
    for (const { due, own, key, ttlMs, message } of others) {
      rest.push(due || "+0", own, key, String(ttlMs), message);
    }
    const lane = this.#lanes.pop() ?? { producer: makeUid(), batch: 0 };
    lane.batch++;
    const args = {
      ...lane,
      plain: plain.length,
      replay_ms: REPLAY_MS,
      max_ready: this.#made.maxReady,
      counting: this.#made.counting,
    };
    const { keys, scripts } = this.#made;
    // In front: over the same connection it is done by the time at which the messages are.
    this.#registration.renew(this.#made.send);
    const storing = this.#inOrder(lane, (after, after_batch) => {
      return scripts.enqueue.run(send, keys, { ...args, after, after_batch }, rest);
    });
    let stored: Stored;
    try {
      stored = await storing;
    } finally {
      this.#lanes.push(lane); // also when it was given up: Redis refuses it if it comes later
    }
    if (stored.plain === plain.length && stored.refused.size === 0) {
      return items.map((item) => ({ id: item.id, duplicate: false }));
    }
    const refused = new Map([...stored.refused].map(([position, id]) => [others[position]!, id]));
    for (const item of plain.slice(stored.plain)) refused.set(item, "");
    return items.map((item) => {
      const holder = refused.get(item);
      if (holder === undefined) return { id: item.id, duplicate: false };
      return holder === "" ? undefined : { id: holder, duplicate: true };
    });
  }

  /**
   * Sends a batch behind those that are under way, and has Redis refuse it while one of them is to be
   * sent again: by then this one would be in front of it.
   */
  #inOrder(
    lane: Lane,
    run: (after: string, batch: number) => Promise<Stored | undefined>,
  ): Promise<Stored> {
    const before = this.#sent.at(-1);
    const until = performance.now() + ENQUEUE_MS;
    const first = () => run(before?.producer ?? "", before?.batch ?? 0);
    const storing = this.#persist(first, until).then((stored) => {
      return stored ?? this.#afterAll(before!, () => run("", 0), until);
    });
    const sent: Sent = { ...lane, storing, settled: false };
    this.#sent.push(sent);
    const settle = () => {
      sent.settled = true;
      while (this.#sent[0]?.settled) this.#sent.shift();
    };
    storing.then(settle, settle);
    return storing;
  }

  /** Waits for what was sent up to `last`: what was refused or given up of it holds nobody up any more. */
  async #afterAll(
    last: Sent,
    run: () => Promise<Stored | undefined>,
    until: number,
  ): Promise<Stored> {
    const earlier = this.#sent.slice(0, this.#sent.indexOf(last) + 1);
    const over = Promise.allSettled(earlier.map(({ storing }) => storing));
    await within(over, Math.max(1, until - performance.now())).catch(() => {});
    return (await this.#persist(run, until))!;
  }

  /** Sends it again while Redis is away, until an instant. */
  async #persist<R>(run: () => Promise<R>, until: number): Promise<R> {
    for (let failures = 0;; failures++) {
      try {
        return await run();
      } catch (error) {
        const pause = backoffMs(failures);
        // A producer is told at once what it can do something about: Redis is full, or another node is asked for.
        if (error instanceof RedisFullError || isMisplaced(error) || !isRetryable(error)) {
          throw error;
        }
        if (performance.now() + pause > until) throw error;
        await sleep(pause);
      }
    }
  }
}

/** Checks when messages may be claimed. */
function checkTimes({ delayMs, runAt }: { delayMs?: number; runAt?: number }): void {
  if (delayMs !== undefined && runAt !== undefined) {
    throw new TypeError(
      `Either delayMs (${show(delayMs, "number")}) or runAt (${show(runAt, "number")}), not both`,
    );
  }
  if (delayMs !== undefined) checkMs("delayMs", delayMs, MAX_TIME);
  if (runAt !== undefined) checkMs("runAt", runAt, MAX_TIME);
}
