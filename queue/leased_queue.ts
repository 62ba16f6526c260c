/**
 * What all queues with leases have in common: a message is handed out under a lease, and again when
 * the lease ends without an ack. At least once.
 *
 * ```
 *   enqueue ─────► ready ──claim──► leased ──ack──► gone
 *     │              ▲ ▲              │ │
 *     └─► delayed ───┘ └──────────────┘ └──► dead ──redrive──► ready
 *         (due)        nack, or lapsed       after maxAttempts, or deadLetter
 * ```
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { call } from "../redis/call.ts";
import { checkClient, type CommandArgument, type RedisClient } from "../redis/client.ts";
import {
  type Codec,
  codecOf,
  DecodeError,
  DEFAULT_MAX_PAYLOAD_BYTES,
  encode,
} from "../redis/codec.ts";
import { isRetryable } from "../redis/errors.ts";
import { checkMessageId, type QueueKeys, queueKeys } from "../redis/keys.ts";
import { Merger } from "../redis/merge.ts";
import { checkOptions, checkSwitch, optionNames } from "../redis/options.ts";
import { type OwnConnection, OwnConnections } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { backoffMs, checkCount, checkMs, sleep, within } from "../redis/timers.ts";
import { backoffOf } from "./backoff.ts";
import { Claimer, TICK_MS } from "./claimer.ts";
import { checkDedupe, type Deduper, deduper } from "./dedupe.ts";
import { DEAD_LETTER_OPTIONS, Delivery, NACK_OPTIONS, type Settlement } from "./delivery.ts";
import { readEnvelope, readHistory, writeEnvelope } from "./envelope.ts";
import { checkFeed, feed, type FeedOptions, one } from "./feed.ts";
import {
  LEASED_SCRIPTS,
  type LeasedScripts,
  MAX_BATCH,
  type ReadyKind,
  REPLAY_MS,
  type Seen,
} from "./leased_scripts.ts";
import { Inspector } from "./inspector.ts";
import { INTAKE, type Intake, type IntakeOptions } from "./intake.ts";
import { LeasedIntake } from "./leased_intake.ts";
import { logLimits, policyOf } from "./limits.ts";
import { readLogEntry } from "./logs.ts";
import { checkReceive, type ReceiveOptions } from "./message.ts";
import { mapPayloads } from "./payloads.ts";
import { Presence, PRESENCE_TTL_MS } from "./presence.ts";
import { rateOf } from "./rate_limit.ts";
import { Registration } from "./registry.ts";
import { type OnFull, QueueFullError, Room } from "./room.ts";
import { type Validate, validator } from "./schema.ts";
import { Hand, MAX_TIME, type SettleOptions, Settler } from "./settler.ts";
import type { QueueStats } from "./stats.ts";
import { explaining } from "./explain.ts";
import type {
  ConsumerInfo,
  Counts,
  Enqueued,
  EnqueueManyOptions,
  EnqueueOptions,
  Found,
  LeasedQueueOptions,
  PeekState,
  RedriveOptions,
  Waiting,
} from "./leased_types.ts";
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

/** How long the end may take while Redis does not answer, in milliseconds. */
const CLOSE_MS = 500;

/** How messages are taken. */
interface TakeOptions {
  /** Whoever gets nothing comes again at once. */
  stays?: boolean;
  /** Told of an entry that cannot be read and has been put aside. */
  onUndecodable?: ((error: DecodeError) => void) | undefined;
}

/** What an item needs besides its payload. */
type ItemOptions = Omit<EnqueueOptions, "signal"> & { priority: number };

/** How long an enqueue whose reply was lost is repeated: well within what Redis recognises. */
const ENQUEUE_MS = REPLAY_MS / 3;

/**
 * A queue whose messages are handed out under a lease: what {@linkcode ReliableQueue} and
 * {@linkcode PriorityQueue} have in common.
 *
 * @typeParam T What a payload is to a consumer.
 * @typeParam I What it is to a producer; something else where a schema converts.
 *
 * @example From enqueue to dead letter and back
 * ```ts
 * import { connect, type LeasedQueue, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const mails = new ReliableQueue<string>(redis, "docs_leased", { maxAttempts: 1 });
 * const queue: LeasedQueue<string> = mails;
 * await mails.enqueue("ann@example.com", { delayMs: 10 });
 *
 * const delivery = await queue.receive({ waitMs: 1_000 });
 * console.log(await delivery?.nack({ error: new Error("no such address") })); // dead
 * const { messages } = await queue.peek("dead");
 * console.log(messages[0]?.reason); // after 1 attempt: Error: no such address
 * console.log(await queue.redrive(), await queue.purge("ready")); // 1 1
 *
 * await queue.close();
 * await redis.close();
 * ```
 */
export abstract class LeasedQueue<T, I = T> implements AsyncDisposable {
  /** The queue's name. */
  readonly name: string;
  readonly #client: RedisClient;
  readonly #send: Send;
  readonly #keys: QueueKeys;
  readonly #scripts: LeasedScripts;
  readonly #kind: ReadyKind;
  readonly #codec: Codec<I>;
  readonly #validate: Validate<T> | undefined;
  readonly #maxBytes: number;
  readonly #leaseMs: number;
  readonly #settle: SettleOptions;
  readonly #rate: string;
  readonly #maxReady: number;
  readonly #onFull: OnFull;
  readonly #dedupe: Deduper<I>;
  readonly #merger: Merger<Item, Enqueued | undefined>;
  readonly #room: Room<Item, Enqueued>;
  readonly #registration: Registration;
  readonly #inspector: Inspector<T>;
  readonly #settler: Settler;
  readonly #claimer: Claimer;
  readonly #own: OwnConnections;

  /** Made by the classes that extend it. */
  protected constructor(
    client: RedisClient,
    name: string,
    kind: ReadyKind,
    options: LeasedQueueOptions<T, I>,
  ) {
    const {
      leaseMs = 30_000,
      maxAttempts = 5,
      backoff,
      codec,
      maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES,
      maxDead = 10_000,
      maxDeadAgeMs = 14 * 24 * 3_600_000,
      stats = true,
      dedupe,
      maxReady,
      onFull = "throw",
      rateLimit,
      schema,
    } = options;
    this.#client = checkClient(client);
    this.#keys = queueKeys(name);
    this.name = name;
    this.#kind = kind;
    this.#scripts = LEASED_SCRIPTS[kind];
    this.#codec = codecOf(codec);
    this.#maxBytes = checkCount("maxPayloadBytes", maxPayloadBytes, { max: 536_870_912 });
    this.#leaseMs = Math.ceil(checkMs("leaseMs", leaseMs, { min: 10 }));
    const completed = logLimits("keepCompleted", options.keepCompleted);
    const failed = logLimits("keepFailed", options.keepFailed);
    const ages = { min: 1, max: Number.MAX_SAFE_INTEGER };
    this.#settle = {
      backoff: backoffOf(backoff),
      keep: completed.count > 0 ? `${completed.count} ${completed.ageMs}` : "",
      counting: checkSwitch("stats", stats) ? "1" : "0",
      policy: policyOf({
        attempts: checkCount("maxAttempts", maxAttempts),
        dead: checkCount("maxDead", maxDead),
        dead_age: Math.ceil(checkMs("maxDeadAgeMs", maxDeadAgeMs, ages)),
        failed: failed.count,
        failed_age: failed.ageMs,
        completed: completed.count,
        completed_age: completed.ageMs,
      }),
    };
    this.#rate = rateOf(rateLimit);
    this.#maxReady = maxReady === undefined ? 0 : checkCount("maxReady", maxReady, MOST_READY);
    if (onFull !== "throw" && onFull !== "wait") {
      throw new TypeError(`onFull must be "throw" or "wait", but is ${show(onFull, "string")}`);
    }
    if (options.onFull !== undefined && maxReady === undefined) {
      throw new TypeError(`onFull (${JSON.stringify(onFull)}) means nothing without maxReady`);
    }
    this.#onFull = onFull;
    this.#dedupe = deduper(dedupe);
    this.#validate = validator(name, schema);
    this.#send = this.#explaining((args) => call(client, args, { raw: true }));
    this.#merger = new Merger((items) => this.#store(items));
    this.#room = new Room((item) => this.#merger.add(item));
    this.#registration = new Registration(kind, name);
    this.#inspector = new Inspector({
      ...this.#parts(),
      send: this.#send,
      counting: this.#settle.counting,
      show: (state, seen) => this.#show(state, seen),
    });
    this.#claimer = new Claimer(this.#parts());
    this.#settler = new Settler({
      ...this.#parts(),
      send: this.#send,
      onFinished: (hand) => this.#claimer.finished(hand),
    });
    this.#own = new OwnConnections(client);
  }

  /** Puts a message into the queue; see the classes that extend this one. */
  abstract enqueue(payload: I, options?: EnqueueOptions): Promise<Enqueued>;

  /** Puts several messages into the queue; see the classes that extend this one. */
  abstract enqueueMany(payloads: readonly I[], options?: EnqueueManyOptions): Promise<Enqueued[]>;

  /** Checks and stores one message; the classes that extend it give it a priority. */
  protected store(payload: I, options: EnqueueOptions & { priority: number }): Promise<Enqueued> {
    try {
      const { signal } = options;
      signal?.throwIfAborted();
      const item = this.#item(payload, options);
      const checked = this.#validate?.(payload);
      if (checked instanceof Promise) return checked.then(() => this.#admit(item, signal));
      return this.#admit(item, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Checks all messages before the first is sent. */
  protected async storeMany(
    payloads: readonly I[],
    options: Omit<EnqueueOptions, "id"> & { priority: number },
  ): Promise<Enqueued[]> {
    options.signal?.throwIfAborted();
    // What concerns all of them, before it is said of one of them.
    checkTimes(options);
    checkDedupe(options.dedupe);
    const items = mapPayloads(this.name, payloads, (payload) => this.#item(payload, options));
    const validate = this.#validate;
    if (validate) {
      // Async, so that one that throws leaves none behind that rejects with nobody looking.
      const check = async (payload: I) => await validate(payload);
      await Promise.all(mapPayloads(this.name, payloads, check));
    }
    const adding = items.map((item) => this.#admit(item, options.signal));
    if (this.#maxReady === 0) return await Promise.all(adding);
    const results = await Promise.allSettled(adding);
    const failures = results.filter((result) => result.status === "rejected");
    const enqueued = results.map((result) =>
      result.status === "fulfilled" ? result.value : undefined
    );
    if (failures.length === 0) return enqueued as Enqueued[];
    const full = failures.every(({ reason }) => reason instanceof QueueFullError);
    throw full ? new QueueFullError(this.name, this.#maxReady, enqueued) : failures[0]!.reason;
  }

  /**
   * Claims the next message: at once (polling), or after waiting for one (blocking).
   *
   * A message that cannot be decoded is dead from then on, with its bytes, and the next one is taken.
   * What comes back because a lease ran out is noticed by the next claim of any consumer: within 1 s by
   * one that waits.
   *
   * @returns The delivery, to be settled before its lease is over; undefined if there was none within
   * `waitMs`.
   * @throws {RangeError} for a `waitMs` that is negative or no number.
   * @throws {TypeError} for a `signal` that is none, or an unknown option.
   * @throws {RedisConnectionError} when Redis did not answer. A message that was claimed meanwhile
   * comes back when its lease is over.
   * @throws The reason of `signal` when it aborts.
   */
  async receive(options: ReceiveOptions = {}): Promise<Delivery<T> | undefined> {
    const [delivery] = await this.#take(1, checkReceive("receive", options));
    return delivery;
  }

  /**
   * Claims up to `max` messages under one lease, waiting for the first of them if told so.
   *
   * @param max From 1 to 1,000.
   * @throws {RangeError} for a `max` out of range.
   * @throws As {@linkcode LeasedQueue.receive}.
   */
  async receiveMany(max: number, options: ReceiveOptions = {}): Promise<Delivery<T>[]> {
    checkReceive("receiveMany", options);
    return await this.#take(checkCount("max", max, { max: MAX_BATCH }), options);
  }

  /**
   * Deliveries one by one, until `signal` aborts or the loop is left. Each has to be settled; with
   * `await using` one that was not is given back. A lost connection does not end the loop.
   *
   * @throws {TypeError} at once, for a bad `mode`, `signal` or `onEvent`, or an unknown option.
   * @throws {RangeError} at once, for a `pollMs` out of range.
   */
  consume(options: FeedOptions = {}): AsyncGenerator<Delivery<T>, void, void> {
    return one(this.#feed(checkFeed(options)));
  }

  /**
   * Settles a delivery by its {@linkcode Delivery.token}, also in another process.
   *
   * @throws {TypeError} for a text that is no token.
   */
  delivery(token: string): Settlement {
    const match = typeof token === "string" ? TOKEN.exec(token) : null;
    if (!match) throw new TypeError(`Not a delivery's token: ${show(token, "string")}`);
    const [, lease, index, attempt = "1", receivedAt = 0] = match;
    // Lengthened by whoever holds it: Redis knows how long it lives, we do not.
    const hand = new Hand({
      lease: lease!,
      size: 1,
      receivedAt: Number(receivedAt),
      leaseMs: 5_000,
    });
    const settler = new Settler({ ...this.#parts(), send: this.#send });
    return {
      ack: () => settler.ack(hand, Number(index)),
      nack: async (options = {}) => {
        checkOptions("nack", options, NACK_OPTIONS);
        return await settler.nack(hand, Number(index), Number(attempt), options);
      },
      deadLetter: async (reason, options = {}) => {
        const { error } = checkOptions("deadLetter", options, DEAD_LETTER_OPTIONS);
        await settler.bury(hand, Number(index), reason, error);
      },
      extend: async (ms) => void await settler.extend([hand], ms, true),
    };
  }

  /** How many messages are in each state, and how long the next one has waited. O(1). */
  async counts(): Promise<Counts> {
    return await this.#inspector.counts();
  }

  /**
   * What the queue has done, and how long messages waited and ran.
   *
   * @param options `windowMs`: over which time rates and percentiles are taken, in whole minutes; from one
   * minute to an hour, five minutes by default.
   * @throws {RangeError} for another window.
   */
  async stats(options: { windowMs?: number } = {}): Promise<QueueStats> {
    const { windowMs = 300_000 } = checkOptions("stats", options, STATS_OPTIONS);
    return await this.#inspector.stats(windowMs);
  }

  /**
   * The workers and `consume` loops that have said within 30 s that they are there; one that was killed is
   * named until then.
   */
  async consumers(): Promise<ConsumerInfo[]> {
    return await this.#inspector.consumers(PRESENCE_TTL_MS);
  }

  /**
   * Looks at messages and leaves them where they are.
   *
   * @param state `"ready"`: what comes out next in front. `"delayed"`: what is due next in front.
   * `"dead"`: the oldest in front; these have a `reason` and `deadAt`. `"leased"`: in no order; these have
   * a `consumer`, `leaseExpiresAt` and a `token`. `"completed"` and `"failed"`: the newest in front, where
   * the queue keeps them; these have `receivedAt`, `finishedAt` and `consumer`.
   * @param options `limit`: from 1 to 1,000, 20 by default. `cursor`: where the page before ended.
   * Pages count from the front, so what moves meanwhile shifts them.
   * @throws {TypeError} for another state.
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async peek(
    state: PeekState,
    options: { limit?: number; cursor?: string } = {},
  ): Promise<{ messages: Waiting<T>[]; cursor?: string }> {
    return await this.#inspector.peek(state, options);
  }

  /**
   * Looks for a message by its id. A dead letter is found at once; else the whole queue is gone through,
   * in short steps: about a second for a million messages.
   *
   * @returns The message and its state; undefined if there is none, or if it went back to a state that had
   * been gone through already.
   * @throws {TypeError} for what can be no id.
   */
  async find(id: string): Promise<Found<T> | undefined> {
    return await this.#inspector.find(id);
  }

  /**
   * Takes a message out, wherever it is. Its id and its key are free again. A consumer that has it in hand
   * goes on and may acknowledge it; it is not handed out again. In the list of a `ReliableQueue` a mark
   * stays in its place, which counts as ready until a consumer meets it and throws it away.
   *
   * @returns The state that it was in; undefined as with {@linkcode LeasedQueue.find}.
   * @throws {TypeError} for what can be no id.
   */
  async cancel(id: string): Promise<Found<T>["state"] | undefined> {
    return await this.#inspector.cancel(id);
  }

  /**
   * Makes dead letters ready again, the oldest first. They start at attempt 1 and keep their history.
   * Those that die while it works are left.
   *
   * @returns How many there were.
   * @throws {TypeError} for both `ids` and `match`, a `match` that gives neither true nor false, or an
   * unknown option.
   * @throws {RangeError} for a bad `limit` or `perSecond`.
   */
  async redrive(options: RedriveOptions<T> = {}): Promise<number> {
    return await this.#inspector.redrive(options);
  }

  /**
   * Removes all messages of a state, or a log. The ids and keys that they hold are free again.
   *
   * @returns How many there were.
   * @throws {TypeError} for a state that cannot be purged: leased messages belong to their consumers.
   */
  async purge(state: Exclude<PeekState, "leased">): Promise<number> {
    return await this.#inspector.purge(state);
  }

  /**
   * Hands nothing out any more, to nobody, until {@linkcode LeasedQueue.resume}. What is in hand may be
   * settled, and producers go on. Kept in Redis: it outlives this program.
   */
  async pause(): Promise<void> {
    await this.#inspector.pause("pause");
  }

  /** Hands messages out again; consumers that wait hear of it at once. */
  async resume(): Promise<void> {
    await this.#inspector.pause("resume");
  }

  /**
   * Ends the connections on which this object waits, and all waiting for room; removes the leases under
   * which nothing is left. Before the client is closed: afterwards the next claim of anybody does that
   * when they lapse.
   */
  async close(): Promise<void> {
    this.#room.close();
    try {
      // While Redis does not answer, or when the client is closed already, they are left to lapse.
      await within(this.#settler.drained(), CLOSE_MS);
      if (this.#client.isReady) await within(this.#claimer.forget(this.#send), CLOSE_MS);
    } catch {
      // Whoever awaits an ack hears of it there.
    } finally {
      await this.#own.close();
    }
  }

  /** Closes; see {@linkcode LeasedQueue.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Used by the worker.
   *
   * @ignore
   */
  [INTAKE](
    { mode, backoff, onUndecodable, onBadBackoff }: IntakeOptions<Delivery<T>>,
  ): Intake<Delivery<T>> {
    const parts = this.#parts();
    const options = backoff ? { ...parts.options, backoff: backoffOf(backoff) } : parts.options;
    return new LeasedIntake<T>({
      ...parts,
      options,
      mode,
      onBadBackoff,
      name: this.name,
      kind: this.#kind,
      client: this.#client,
      explain: (send) => this.#explaining(send),
      deliver: (hand, messages, settler) => this.#deliver(hand, messages, settler, onUndecodable),
    });
  }

  #explaining(send: Send): Send {
    return explaining(this.#client, { name: this.name, kind: this.#kind, keys: this.#keys }, send);
  }

  #parts() {
    return {
      keys: this.#keys,
      scripts: this.#scripts,
      leaseMs: this.#leaseMs,
      options: this.#settle,
      rate: this.#rate,
    };
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
    const body = encode(this.#codec, payload, this.#maxBytes);
    const { key, ttlMs } = this.#dedupe(payload, body, dedupe) ?? NO_KEY;
    if (due === "" && (id !== undefined || key !== "")) due = "+0";
    const uid = makeUid();
    const header = { uid, id, key, enqueuedAt, delayMs: laterMs, priority };
    const message = writeEnvelope(header, body);
    return { id: id ?? uid, message, due, own: id ?? "", key, ttlMs, length: message.length };
  }

  /** Stores it, if there is room, or when there is. */
  #admit(item: Item, signal?: AbortSignal): Promise<Enqueued> {
    if (this.#maxReady === 0) return this.#merger.add(item) as Promise<Enqueued>; // never full
    // What is for later needs no room, and does not stand in line for it.
    const later = item.due !== "" && item.due !== "+0";
    if (this.#onFull === "throw") return this.#addOrThrow(item);
    return later ? this.#addOrWait(item, signal) : this.#room.store(item, signal);
  }

  /** It may be due by Redis's clock, and then it needs room after all. */
  async #addOrWait(item: Item, signal?: AbortSignal): Promise<Enqueued> {
    return await this.#merger.add(item) ?? await this.#room.store(item, signal);
  }

  async #addOrThrow(item: Item): Promise<Enqueued> {
    const enqueued = await this.#merger.add(item);
    if (enqueued === undefined) throw new QueueFullError(this.name, this.#maxReady);
    return enqueued;
  }

  /**
   * One script for a turn's messages, repeated under the same name when its reply was lost. Gives
   * undefined for those for which there was no room.
   */
  async #store(items: Item[]): Promise<(Enqueued | undefined)[]> {
    // Plain messages travel bare. Beside one with a name that is ready at once they do not, so that all
    // stay in order.
    const bare = (item: Item) => item.due === "" && !mixed;
    const mixed = items.some((item) => item.due === "+0");
    const plain = items.filter(bare);
    const others = items.filter((item) => !bare(item));
    const rest: CommandArgument[] = plain.map((item) => item.message);
    for (const { due, own, key, ttlMs, message } of others) {
      rest.push(due || "+0", own, key, String(ttlMs), message);
    }
    const args = {
      batch: makeUid(),
      plain: plain.length,
      replay_ms: REPLAY_MS,
      max_ready: this.#maxReady,
      counting: this.#settle.counting,
    };
    const until = performance.now() + ENQUEUE_MS;
    for (let failures = 0;; failures++) {
      try {
        const [stored] = await Promise.all([
          this.#scripts.enqueue.run(this.#send, this.#keys, args, rest),
          this.#registration.renew(this.#send),
        ]);
        if (stored.plain === plain.length && stored.refused.size === 0) {
          return items.map((item) => ({ id: item.id, duplicate: false }));
        }
        const refused = new Map(
          [...stored.refused].map(([position, id]) => [others[position]!, id]),
        );
        for (const item of plain.slice(stored.plain)) refused.set(item, "");
        return items.map((item) => {
          const holder = refused.get(item);
          if (holder === undefined) return { id: item.id, duplicate: false };
          return holder === "" ? undefined : { id: holder, duplicate: true };
        });
      } catch (error) {
        const pause = backoffMs(failures);
        if (!isRetryable(error) || performance.now() + pause > until) throw error;
        await sleep(pause);
      }
    }
  }

  /** Batches of one, and the loop's own word that it is there. */
  async *#feed(options: FeedOptions): AsyncGenerator<Delivery<T>[], void, void> {
    const { mode = "blocking", signal, onEvent } = options;
    const presence = new Presence({
      keys: this.#keys,
      kind: this.#kind,
      name: this.name,
      consumer: this.#claimer.consumer,
      mode,
    });
    let last: Delivery<T> | undefined;
    const how: TakeOptions = {
      stays: true,
      onUndecodable: (error) => onEvent?.({ type: "undecodable", error }),
    };
    const take = async (waitMs: number) => {
      await presence.renew(this.#send, last && !last.settled ? 1 : 0);
      const batch = await this.#take(1, { waitMs, signal }, how);
      last = batch[0];
      return batch;
    };
    try {
      yield* feed(take, options);
    } finally {
      if (this.#client.isReady) await presence.leave(this.#send);
    }
  }

  async #take(
    max: number,
    { waitMs = 0, signal }: ReceiveOptions,
    { stays = false, onUndecodable }: TakeOptions = {},
  ): Promise<Delivery<T>[]> {
    checkMs("waitMs", waitMs);
    signal?.throwIfAborted();
    const until = performance.now() + waitMs;
    let deliveries = await this.#claimAny(max, { onUndecodable });
    if (deliveries.length > 0 || waitMs === 0) return deliveries;
    return await this.#own.borrow(async (own) => {
      try {
        while (deliveries.length === 0) {
          const left = until - performance.now();
          if (left <= 0 || signal?.aborted) break;
          const options = { waitMs: left, signal, onUndecodable };
          deliveries = await this.#waitOrTick(own, max, options);
        }
      } finally {
        const leaves = !stays || deliveries.length > 0 || signal?.aborted;
        // Where it fails, the longest wait makes up for it.
        if (leaves) await this.#claimer.handOn(this.#send).catch(() => {});
      }
      if (deliveries.length === 0) signal?.throwIfAborted();
      return deliveries;
    });
  }

  /** Claims when a token comes. Meanwhile it looks for what is due or has lapsed: Redis does not. */
  async #waitOrTick(
    own: OwnConnection,
    max: number,
    { waitMs, signal, onUndecodable }: {
      waitMs: number;
      signal: AbortSignal | undefined;
      onUndecodable: TakeOptions["onUndecodable"];
    },
  ): Promise<Delivery<T>[]> {
    const over = new AbortController();
    const ticking = this.#tickWhenDue(performance.now() + waitMs, over.signal)
      .catch(() => {}); // the claim meets the same trouble, and throws it
    const send = this.#claimer.behindToken(own, waitMs, signal);
    try {
      const how = { send: this.#explaining(send), waits: true, signal, onUndecodable };
      return await this.#claimAny(max, how);
    } finally {
      over.abort();
      await ticking;
    }
  }

  async #tickWhenDue(until: number, over: AbortSignal): Promise<void> {
    for (;;) {
      const next = Math.min(this.#claimer.dueAt, performance.now() + TICK_MS);
      if (next >= until) return;
      await sleep(Math.max(1, next - performance.now()), over);
      if (over.aborted) return;
      await this.#claimer.tick(this.#send); // once more if our clock was a little early
    }
  }

  /** What can be read of what there is; entries that cannot are put aside, and the next are taken. */
  async #claimAny(
    most: number,
    { send = this.#send, onUndecodable, ...how }: TakeOptions & {
      send?: Send;
      waits?: boolean;
      signal?: AbortSignal | undefined;
    },
  ): Promise<Delivery<T>[]> {
    for (;;) {
      const claimed = await this.#claimer.claim(send, { most, room: 1, ...how });
      if (!claimed) return [];
      const { hand, messages } = claimed;
      const deliveries = await this.#deliver(hand, messages, this.#settler, onUndecodable);
      if (deliveries.length > 0) return deliveries;
    }
  }

  /** Deliveries of what can be read; what cannot goes to the dead letters, once, with its bytes. */
  async #deliver(
    hand: Hand,
    messages: Uint8Array[],
    settler: Settler,
    onUndecodable: (error: DecodeError) => void = () => {}, // it is with the dead letters
  ): Promise<Delivery<T>[]> {
    const deliveries: Delivery<T>[] = [];
    const settling: Promise<void>[] = [];
    for (const [i, message] of messages.entries()) {
      const envelope = readEnvelope(message as Buffer);
      const index = i + 1;
      if (envelope?.cancelled) {
        settling.push(settler.release(hand, index)); // only the mark is left
        continue;
      }
      try {
        if (!envelope) throw new TypeError("not a message of this library");
        let payload = this.#codec.decode(envelope.body) as unknown as T;
        if (this.#validate) {
          const checked = this.#validate(payload);
          payload = checked instanceof Promise ? await checked : checked;
        }
        deliveries.push(new Delivery({ envelope, payload, hand, index, settler }));
      } catch (cause) {
        const error = new DecodeError(this.name, new Uint8Array(envelope?.body ?? message), cause);
        onUndecodable(error);
        settling.push(settler.bury(hand, index, error.message, error));
      }
    }
    // What could not be buried comes back by its lease, and is then.
    if (settling.length > 0) await Promise.allSettled(settling);
    return deliveries;
  }

  /** An entry that was looked at, as it is shown; undefined for what is gone, or only a mark. */
  async #show(state: PeekState, [entry, at, field]: Seen): Promise<Waiting<T> | undefined> {
    if (!entry) return undefined;
    const log = state === "completed" || state === "failed" ? readLogEntry(entry) : undefined;
    const reasonEnd = state === "dead" ? entry.indexOf(10) : -1;
    const message = log?.message ?? entry.subarray(reasonEnd + 1);
    const envelope = readEnvelope(message);
    if (envelope?.cancelled) return undefined;
    const shown: Waiting<T> = {
      id: state === "dead" ? String(field) : envelope?.id ?? "",
      raw: new Uint8Array(envelope?.body ?? entry),
      attempts: envelope?.attempts ?? 0,
      enqueuedAt: envelope?.enqueuedAt ?? 0,
      priority: envelope?.priority ?? 0,
      errors: envelope ? readHistory(envelope.history) : [],
      ...(state === "delayed" && { dueAt: Number(at) }),
      ...(state === "dead" && {
        deadAt: Number(at),
        reason: readReason(entry.toString("utf8", 0, reasonEnd)),
      }),
      ...(state === "leased" && {
        consumer: String(field).split(":")[0]!,
        leaseExpiresAt: Number(at),
        token: `${String(field)}:${(envelope?.attempts ?? 0) + 1}`,
      }),
      ...(log && {
        consumer: log.worker,
        finishedAt: log.finishedAt,
        ...(log.receivedAt !== undefined && { receivedAt: log.receivedAt }),
      }),
    };
    try {
      const payload = this.#codec.decode(shown.raw) as unknown as T;
      return { ...shown, payload: this.#validate ? await this.#validate(payload) : payload };
    } catch {
      return shown; // without a payload: the raw bytes are there
    }
  }
}

/** Lease, index, attempt, and when it was handed over. */
const TOKEN = /^([a-z0-9-]+:\d+:\d+):(\d+)(?::(\d+)(?::(\d+))?)?$/i;

const NO_KEY = { key: "", ttlMs: 0 };

/** As many as there may be messages of one priority. */
const MOST_READY = { max: 1_000_000_000 };

const STATS_OPTIONS = optionNames<{ windowMs?: number }>({ windowMs: true });

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

function readReason(line: string): string {
  try {
    return String(JSON.parse(line));
  } catch {
    return line; // somebody else's entry
  }
}
