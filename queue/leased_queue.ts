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
import { type OwnConnection, OwnConnections } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { backoffMs, checkCount, checkMs, sleep } from "../redis/timers.ts";
import { backoffOf } from "./backoff.ts";
import { Claimer, TICK_MS } from "./claimer.ts";
import { Delivery, type Settlement } from "./delivery.ts";
import { readEnvelope, readHistory, writeEnvelope } from "./envelope.ts";
import { checkFeed, feed, type FeedOptions, one } from "./feed.ts";
import {
  LEASED_SCRIPTS,
  type LeasedScripts,
  MAX_BATCH,
  type ReadyKind,
  REPLAY_MS,
} from "./leased_scripts.ts";
import { INTAKE, type Intake, type IntakeOptions } from "./intake.ts";
import { LeasedIntake } from "./leased_intake.ts";
import type { ReceiveOptions } from "./message.ts";
import { Hand, MAX_TIME, type SettleOptions, Settler } from "./settler.ts";
import { explaining } from "./explain.ts";
import type {
  Counts,
  Enqueued,
  EnqueueOptions,
  LeasedQueueOptions,
  Waiting,
} from "./leased_types.ts";
import { makeUid } from "./uid.ts";

interface Item {
  uid: string;
  id: string;
  message: CommandArgument;
  /** Milliseconds since 1970, or "+ms" from now; "" for ready at once. */
  due: string;
  chosen: boolean;
  length: number;
}

/** How long an enqueue whose reply was lost is repeated: well within what Redis recognises. */
const ENQUEUE_MS = REPLAY_MS / 3;

/**
 * A queue whose messages are handed out under a lease: what {@linkcode ReliableQueue} and
 * {@linkcode PriorityQueue} have in common.
 *
 * @typeParam T What a payload is.
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
 * console.log(messages[0]?.reason); // after 1 attempts: Error: no such address
 * console.log(await queue.redrive(), await queue.purge("ready")); // 1 1
 *
 * await queue.close();
 * await redis.close();
 * ```
 */
export abstract class LeasedQueue<T> implements AsyncDisposable {
  /** The queue's name. */
  readonly name: string;
  readonly #client: RedisClient;
  readonly #send: Send;
  readonly #keys: QueueKeys;
  readonly #scripts: LeasedScripts;
  readonly #kind: ReadyKind;
  readonly #codec: Codec<T>;
  readonly #maxBytes: number;
  readonly #leaseMs: number;
  readonly #settle: SettleOptions;
  readonly #merger: Merger<Item, Enqueued>;
  readonly #settler: Settler;
  readonly #claimer: Claimer;
  readonly #own: OwnConnections;

  /** Made by the classes that extend it. */
  protected constructor(
    client: RedisClient,
    name: string,
    kind: ReadyKind,
    options: LeasedQueueOptions<T>,
  ) {
    const {
      leaseMs = 30_000,
      maxAttempts = 5,
      backoff,
      codec,
      maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES,
      maxDead = 10_000,
      maxDeadAgeMs = 14 * 24 * 3_600_000,
    } = options;
    this.#client = checkClient(client);
    this.#keys = queueKeys(name);
    this.name = name;
    this.#kind = kind;
    this.#scripts = LEASED_SCRIPTS[kind];
    this.#codec = codecOf(codec);
    this.#maxBytes = checkCount("maxPayloadBytes", maxPayloadBytes, { max: 536_870_912 });
    this.#leaseMs = Math.ceil(checkMs("leaseMs", leaseMs, { min: 10 }));
    this.#settle = {
      maxAttempts: checkCount("maxAttempts", maxAttempts),
      backoff: backoffOf(backoff),
      deadMost: checkCount("maxDead", maxDead),
      deadAgeMs: checkMs("maxDeadAgeMs", maxDeadAgeMs, { min: 1, max: Number.MAX_SAFE_INTEGER }),
    };
    this.#send = explaining(
      client,
      this.name,
      this.#keys,
      (args) => call(client, args, { raw: true }),
    );
    this.#merger = new Merger((items) => this.#store(items));
    this.#claimer = new Claimer(this.#parts());
    this.#settler = new Settler({
      ...this.#parts(),
      send: this.#send,
      onFinished: (hand) => this.#claimer.finished(hand),
    });
    this.#own = new OwnConnections(client);
  }

  /** Checks and stores one message; the classes that extend it give it a priority. */
  protected store(
    payload: T,
    { id, delayMs, runAt, priority }: EnqueueOptions & { priority: number },
  ): Promise<Enqueued> {
    try {
      return this.#merger.add(this.#item(payload, { id, delayMs, runAt, priority }));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Checks all messages before the first is sent. */
  protected async storeMany(
    payloads: readonly T[],
    options: { delayMs?: number; runAt?: number; priority: number },
  ): Promise<Enqueued[]> {
    const items = payloads.map((payload) => this.#item(payload, options));
    return await Promise.all(items.map((item) => this.#merger.add(item)));
  }

  /**
   * Claims the next message: at once (polling), or after waiting for one (blocking).
   *
   * A message that cannot be decoded is dead from then on, with its bytes, and the next one is taken.
   * What comes back because a lease ran out is noticed by the next claim of any consumer: within 5 s by
   * one that waits here, within 1 s by a `Worker`.
   *
   * @returns The delivery, to be settled before its lease is over; undefined if there was none within
   * `waitMs`.
   * @throws {RangeError} for a `waitMs` that is negative or no number.
   * @throws {RedisConnectionError} when Redis did not answer. A message that was claimed meanwhile
   * comes back when its lease is over.
   * @throws The reason of `signal` when it aborts.
   */
  async receive(options: ReceiveOptions = {}): Promise<Delivery<T> | undefined> {
    const [delivery] = await this.#take(1, options);
    return delivery;
  }

  /**
   * Claims up to `max` messages under one lease, waiting for the first of them if told so.
   *
   * @param max From 1 to 1,000.
   * @throws As {@linkcode LeasedQueue.receive}.
   */
  async receiveMany(max: number, options: ReceiveOptions = {}): Promise<Delivery<T>[]> {
    return await this.#take(checkCount("max", max, { max: MAX_BATCH }), options);
  }

  /**
   * Deliveries one by one, until `signal` aborts or the loop is left. Each has to be settled; with
   * `await using` one that was not is given back. A lost connection does not end the loop.
   */
  consume(options: FeedOptions = {}): AsyncGenerator<Delivery<T>, void, void> {
    const { signal } = options;
    return one(feed((waitMs) => this.#take(1, { waitMs, signal }), checkFeed(options)));
  }

  /**
   * Settles a delivery by its {@linkcode Delivery.token}, also in another process.
   *
   * @throws {TypeError} for a text that is no token.
   */
  delivery(token: string): Settlement {
    const match = TOKEN.exec(String(token));
    const id = match?.[5] === undefined ? undefined : decoded(match[5]);
    if (!match || id === null) throw new TypeError(`Not a delivery's token: ${String(token)}`);
    const [, lease, index, attempt = "1", uid] = match;
    // Lengthened by whoever holds it: Redis knows how long it lives, we do not.
    const hand = new Hand({ lease: lease!, size: 1, receivedAt: Date.now(), leaseMs: 5_000 });
    const settler = new Settler({ ...this.#parts(), send: this.#send });
    return {
      ack: () => settler.ack(hand, Number(index), id === undefined ? undefined : [id, uid!]),
      nack: (options = {}) => settler.nack(hand, Number(index), Number(attempt), options),
      deadLetter: (reason, { error } = {}) => settler.bury(hand, Number(index), reason, error),
      extend: async (ms) => void await settler.extend([hand], ms, true),
    };
  }

  /** How many messages are in each state. O(1). */
  async counts(): Promise<Counts> {
    const reply = await this.#scripts.counts.run(this.#send, this.#keys, {});
    const [ready = 0, leased = 0, delayed = 0, dead = 0, age = -1] = reply;
    return { ready, leased, delayed, dead, ...(age >= 0 && { oldestReadyMs: age }) };
  }

  /**
   * Looks at messages and leaves them where they are.
   *
   * @param state `"ready"`: what comes out next in front. `"delayed"`: what is due next in front.
   * `"dead"`: the oldest in front; these have a `reason` and `deadAt`.
   * @param options `limit`: from 1 to 1,000, 20 by default. `cursor`: where the page before ended.
   * Pages count from the front, so what moves meanwhile shifts them.
   * @throws {TypeError} for another state: leased messages are in their consumers' hands.
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async peek(
    state: "ready" | "delayed" | "dead",
    { limit = 20, cursor = "0" }: { limit?: number; cursor?: string } = {},
  ): Promise<{ messages: Waiting<T>[]; cursor?: string }> {
    checkState("peek", state);
    checkCount("limit", limit, { max: MAX_BATCH });
    if (!/^\d{1,15}$/.test(cursor)) {
      throw new RangeError(`cursor must come from the page before, but is ${String(cursor)}`);
    }
    const from = Number(cursor);
    const entries = await this.#scripts.peek.run(this.#send, this.#keys, {
      state,
      from,
      most: limit + 1,
    });
    const messages = entries.slice(0, limit).flatMap(([entry, at]) =>
      entry ? [this.#waiting(state, entry, Number(at))] : [] // a dead letter that went meanwhile
    );
    return { messages, ...(entries.length > limit && { cursor: String(from + limit) }) };
  }

  /**
   * Makes dead letters ready again. They start at attempt 1 and keep their history.
   *
   * @param options `ids`: which; by default the oldest. `limit`: how many at most, all by default.
   * @returns How many there were.
   */
  async redrive(
    { ids, limit = Infinity }: { ids?: readonly string[]; limit?: number } = {},
  ): Promise<
    number
  > {
    if (limit !== Infinity) checkCount("limit", limit);
    const chosen = ids?.map(checkMessageId).slice(0, limit);
    let total = 0;
    for (;;) {
      const batch = chosen?.splice(0, MAX_BATCH);
      const most = Math.min(MAX_BATCH, batch?.length ?? limit - total);
      if (most === 0) return total;
      const [seen, redriven] = await this.#scripts.redrive.run(
        this.#send,
        this.#keys,
        { most },
        batch,
      );
      total += redriven;
      if (!chosen && seen < most) return total;
    }
  }

  /**
   * Removes all messages of a state.
   *
   * @returns How many there were.
   * @throws {TypeError} for a state that cannot be purged: leased messages belong to their consumers.
   */
  async purge(state: "ready" | "delayed" | "dead"): Promise<number> {
    checkState("purge", state);
    for (let total = 0;;) {
      const args = { state, most: MAX_BATCH };
      const gone = await this.#scripts.purge.run(this.#send, this.#keys, args);
      total += gone;
      if (gone < MAX_BATCH) return total;
    }
  }

  /** Ends the connections on which this object waits. Not needed where the client itself is closed. */
  async close(): Promise<void> {
    await this.#settler.drained();
    // Left to lapse otherwise: a client that is closed already cannot be asked.
    if (this.#client.isOpen) await this.#claimer.forget(this.#send);
    await this.#own.close();
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
  [INTAKE]({ mode, backoff, onUndecodable }: IntakeOptions): Intake<Delivery<T>> {
    const parts = this.#parts();
    const options = backoff ? { ...parts.options, backoff: backoffOf(backoff) } : parts.options;
    return new LeasedIntake<T>({
      ...parts,
      options,
      mode,
      name: this.name,
      kind: this.#kind,
      client: this.#client,
      explain: (send) => explaining(this.#client, this.name, this.#keys, send),
      deliver: (hand, messages, settler) => this.#deliver(hand, messages, settler, onUndecodable),
    });
  }

  #parts() {
    return {
      keys: this.#keys,
      scripts: this.#scripts,
      leaseMs: this.#leaseMs,
      options: this.#settle,
    };
  }

  #item(
    payload: T,
    { id, delayMs, runAt, priority }: EnqueueOptions & { priority: number },
  ): Item {
    if (id !== undefined) checkMessageId(id);
    let due = "";
    if (delayMs !== undefined && runAt !== undefined) {
      throw new TypeError(`Either delayMs (${delayMs}) or runAt (${runAt}), not both`);
    }
    if (delayMs !== undefined && checkMs("delayMs", delayMs, MAX_TIME) > 0) {
      due = `+${Math.ceil(delayMs)}`;
    }
    if (runAt !== undefined) due = String(Math.ceil(checkMs("runAt", runAt, MAX_TIME)));
    if (due === "" && id !== undefined) due = "+0";
    const uid = makeUid();
    const body = encode(this.#codec, payload, this.#maxBytes);
    const message = writeEnvelope({ uid, id, enqueuedAt: Date.now(), priority }, body);
    return { uid, id: id ?? uid, message, due, chosen: id !== undefined, length: message.length };
  }

  /** One script for a turn's messages, repeated under the same name when its reply was lost. */
  async #store(items: Item[]): Promise<Enqueued[]> {
    // Plain messages travel bare. Beside one with an id that is ready at once they do not, so that all
    // stay in order.
    const bare = (item: Item) => item.due === "" && !mixed;
    const mixed = items.some((item) => item.due === "+0");
    const plain = items.filter(bare);
    const others = items.filter((item) => !bare(item));
    const rest: CommandArgument[] = plain.map((item) => item.message);
    for (const { due, chosen, id, message } of others) {
      rest.push(due || "+0", chosen ? id : "", message);
    }
    const args = { batch: makeUid(), plain: plain.length, replay_ms: REPLAY_MS };
    const until = performance.now() + ENQUEUE_MS;
    for (let failures = 0;; failures++) {
      try {
        const taken = await this.#scripts.enqueue.run(this.#send, this.#keys, args, rest);
        const duplicates = new Set(taken.map((position) => others[position - 1]));
        return items.map((item) => ({ id: item.id, duplicate: duplicates.has(item) }));
      } catch (error) {
        const pause = backoffMs(failures);
        if (!isRetryable(error) || performance.now() + pause > until) throw error;
        await sleep(pause);
      }
    }
  }

  async #take(max: number, { waitMs = 0, signal }: ReceiveOptions): Promise<Delivery<T>[]> {
    checkMs("waitMs", waitMs);
    signal?.throwIfAborted();
    const until = performance.now() + waitMs;
    let deliveries = await this.#claimAny(max);
    if (deliveries.length > 0 || waitMs === 0) return deliveries;
    return await this.#own.borrow(async (own) => {
      try {
        while (deliveries.length === 0) {
          const left = until - performance.now();
          if (left <= 0 || signal?.aborted) break;
          deliveries = await this.#waitOrTick(own, max, { waitMs: left, signal });
        }
      } finally {
        await this.#claimer.handOn(this.#send).catch(() => {}); // the longest wait makes up for it
      }
      if (deliveries.length === 0) signal?.throwIfAborted();
      return deliveries;
    });
  }

  /** Claims when a token comes. Meanwhile it looks for what is due or has lapsed: Redis does not. */
  async #waitOrTick(
    own: OwnConnection,
    max: number,
    { waitMs, signal }: { waitMs: number; signal?: AbortSignal },
  ): Promise<Delivery<T>[]> {
    const over = new AbortController();
    const ticking = this.#tickWhenDue(performance.now() + waitMs, over.signal)
      .catch(() => {}); // the claim meets the same trouble, and throws it
    const send = this.#claimer.behindToken(own, waitMs, signal);
    try {
      const explained = explaining(this.#client, this.name, this.#keys, send);
      return await this.#claimAny(max, { send: explained, waits: true, signal });
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
    { send = this.#send, ...how }: { send?: Send; waits?: boolean; signal?: AbortSignal } = {},
  ): Promise<Delivery<T>[]> {
    for (;;) {
      const claimed = await this.#claimer.claim(send, { most, room: 1, ...how });
      if (!claimed) return [];
      const deliveries = await this.#deliver(claimed.hand, claimed.messages, this.#settler);
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
    const burying: Promise<void>[] = [];
    messages.forEach((message, i) => {
      const envelope = readEnvelope(message as Buffer);
      try {
        if (!envelope) throw new TypeError("not a message of this library");
        const payload = this.#codec.decode(envelope.body);
        deliveries.push(new Delivery({ envelope, payload, hand, index: i + 1, settler }));
      } catch (cause) {
        const error = new DecodeError(this.name, new Uint8Array(envelope?.body ?? message), cause);
        onUndecodable(error);
        burying.push(
          settler.bury(hand, i + 1, error.message, error),
        );
      }
    });
    // What could not be buried comes back by its lease, and is then.
    await Promise.allSettled(burying);
    return deliveries;
  }

  #waiting(state: string, entry: Buffer, at: number): Waiting<T> {
    const reasonEnd = state === "dead" ? entry.indexOf(10) : -1;
    const envelope = readEnvelope(entry.subarray(reasonEnd + 1));
    const waiting: Waiting<T> = {
      id: envelope?.id ?? "",
      raw: new Uint8Array(envelope?.body ?? entry),
      attempts: envelope?.attempts ?? 0,
      enqueuedAt: envelope?.enqueuedAt ?? 0,
      errors: envelope ? readHistory(envelope.history) : [],
      ...(state === "delayed" && { dueAt: at }),
      ...(state === "dead" &&
        { deadAt: at, reason: readReason(entry.toString("utf8", 0, reasonEnd)) }),
    };
    try {
      return { ...waiting, payload: this.#codec.decode(waiting.raw) };
    } catch {
      return waiting; // without a payload: the raw bytes are there
    }
  }
}

/** Lease, index, attempt, and the uid and id of a message whose producer chose an id. */
const TOKEN = /^([a-z0-9-]+:\d+:\d+):(\d+)(?::(\d+)(?::([^:]+):([^:]+))?)?$/i;

function checkState(verb: string, state: string): void {
  if (!["ready", "delayed", "dead"].includes(state)) {
    throw new TypeError(`${verb} takes "ready", "delayed" or "dead", not ${JSON.stringify(state)}`);
  }
}

/** The text, or null for a bad escape. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function readReason(line: string): string {
  try {
    return String(JSON.parse(line));
  } catch {
    return line; // somebody else's entry
  }
}
