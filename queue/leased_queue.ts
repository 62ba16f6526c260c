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
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import { checkClient } from "../redis/topology.ts";
import { codecOf, DEFAULT_MAX_PAYLOAD_BYTES } from "../redis/codec.ts";
import { type QueueKeys, queueKeys } from "../redis/keys.ts";
import { checkOptions, checkSwitch } from "../redis/options.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { checkCount, checkMs, within } from "../redis/timers.ts";
import { backoffOf } from "./backoff.ts";
import { Claimer } from "./claimer.ts";
import { Consumer } from "./consumer.ts";
import { deduper } from "./dedupe.ts";
import { DEAD_LETTER_OPTIONS, type Delivery, NACK_OPTIONS, type Settlement } from "./delivery.ts";
import { Confirmer, durabilityOf } from "./durability.ts";
import { Enqueuer } from "./enqueuer.ts";
import { explaining } from "./explain.ts";
import { checkFeed, type FeedOptions, one } from "./feed.ts";
import { Inspector } from "./inspector.ts";
import {
  ASIDE,
  CALLED,
  COUNTERS,
  INTAKE,
  type Intake,
  type IntakeOptions,
  TICK,
} from "./intake.ts";
import { LeasedIntake } from "./leased_intake.ts";
import { bindScripts, type LeasedScripts, MAX_BATCH } from "./leased_scripts.ts";
import {
  ANNOUNCE_OPTIONS,
  type ConsumerInfo,
  type Counts,
  type Enqueued,
  type EnqueueManyOptions,
  type EnqueueOptions,
  type Found,
  type FoundState,
  type LeasedQueueOptions,
  type PeekOptions,
  type PeekState,
  type PurgeOptions,
  type RedriveOptions,
  STATS_OPTIONS,
  type Waiting,
} from "./leased_types.ts";
import { logLimits, policyOf } from "./limits.ts";
import { checkMode, checkReceive, type Mode, type ReceiveOptions } from "./message.ts";
import { PRESENCE_TTL_MS } from "./presence.ts";
import { rateOf } from "./rate_limit.ts";
import { Reader } from "./reader.ts";
import { ACK_SAYS, type ReadyKind } from "./ready_lua.ts";
import { roomOf } from "./room.ts";
import { validator } from "./schema.ts";
import { Hand } from "./hand.ts";
import { type SettleOptions, Settler } from "./settler.ts";
import type { QueueSnapshot } from "./snapshot.ts";
import type { CountedFields, QueueStats } from "./stats.ts";

/** How long the end may take while Redis does not answer, in milliseconds. */
const CLOSE_MS = 500;

/**
 * A queue whose messages are handed out under a lease: what {@linkcode ReliableQueue},
 * {@linkcode PriorityQueue} and {@linkcode StreamQueue} have in common.
 *
 * Whatever asks Redis rejects with a {@linkcode RedisConnectionError} when there is no connection or no answer
 * within 5 s, and with a `TypeError` when a key of the queue holds what is not the queue's; loops go on.
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
  readonly #leaseMs: number;
  readonly #settle: SettleOptions;
  readonly #rate: string;
  readonly #confirmer: Confirmer | undefined;
  readonly #enqueuer: Enqueuer<T, I>;
  readonly #reader: Reader<T, I>;
  readonly #consumer: Consumer<T>;
  readonly #inspector: Inspector<T>;
  readonly #settler: Settler;
  readonly #claimer: Claimer;

  /** Made by the classes that extend it. */
  protected constructor(
    client: RedisClient,
    name: string,
    kind: ReadyKind,
    options: LeasedQueueOptions<T, I>,
    own: Record<string, string> = {}, // what only scripts of this kind are told
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
      onFull,
      rateLimit,
      schema,
    } = options;
    this.#client = checkClient(client);
    this.#keys = queueKeys(name);
    this.name = name;
    this.#kind = kind;
    const maxBytes = checkCount("maxPayloadBytes", maxPayloadBytes, { max: 536_870_912 });
    this.#leaseMs = Math.ceil(checkMs("leaseMs", leaseMs, { min: 10 }));
    this.#scripts = bindScripts(kind, { ...own, idle_ms: this.#leaseMs });
    const completed = logLimits("keepCompleted", options.keepCompleted);
    const failed = logLimits("keepFailed", options.keepFailed);
    const ages = { min: 1, max: Number.MAX_SAFE_INTEGER };
    this.#settle = {
      backoff: backoffOf(backoff),
      keep: completed.count > 0 ? `${completed.count} ${completed.ageMs}` : "",
      counting: checkSwitch("stats", stats) ? "1" : "0",
      ack: ACK_SAYS[kind],
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
    this.#send = this.#explaining((args) => call(client, args, { raw: true }));
    const reading = { name, codec: codecOf(codec), validate: validator(name, schema) };
    this.#reader = new Reader(reading);
    const durability = durabilityOf(options.durability);
    this.#confirmer = durability &&
      new Confirmer(
        new OwnConnection(client, this.#keys.wake),
        durability,
        (send) => this.#explaining(send),
      );
    this.#enqueuer = new Enqueuer({
      ...this.#parts(),
      ...reading,
      ...roomOf(maxReady, onFull),
      kind,
      send: this.#send,
      maxBytes,
      dedupe: deduper(dedupe),
      counting: this.#settle.counting,
      confirmer: this.#confirmer,
    });
    this.#inspector = new Inspector({
      ...this.#parts(),
      send: this.#send,
      counting: this.#settle.counting,
      show: (state, seen) => this.#reader.show(state, seen),
    });
    this.#claimer = new Claimer(this.#parts());
    this.#settler = new Settler({
      ...this.#parts(),
      send: this.#send,
      onFinished: (hand) => this.#claimer.finished(hand),
    });
    this.#consumer = new Consumer({
      ...this.#parts(),
      name,
      kind,
      client,
      send: this.#send,
      claimer: this.#claimer,
      explain: (send) => this.#explaining(send),
      deliver: (hand, messages, onUndecodable) =>
        this.#reader.deliver(hand, messages, this.#settler, onUndecodable),
    });
  }

  /** Puts a message into the queue; see the classes that extend this one. */
  abstract enqueue(payload: I, options?: EnqueueOptions): Promise<Enqueued>;

  /** Puts several messages into the queue; see the classes that extend this one. */
  abstract enqueueMany(payloads: readonly I[], options?: EnqueueManyOptions): Promise<Enqueued[]>;

  /** Checks and stores one message; the classes that extend this one give it a priority. */
  protected store(payload: I, options: EnqueueOptions & { priority: number }): Promise<Enqueued> {
    return this.#enqueuer.store(payload, options);
  }

  /** Checks all messages before the first is sent. */
  protected storeMany(
    payloads: readonly I[],
    options: EnqueueManyOptions & { priority: number },
  ): Promise<Enqueued[]> {
    return this.#enqueuer.storeMany(payloads, options);
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
    const [delivery] = await this.#consumer.take(1, checkReceive("receive", options));
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
    return await this.#consumer.take(checkCount("max", max, { max: MAX_BATCH }), options);
  }

  /**
   * Deliveries one by one, until `signal` aborts or the loop is left. Each has to be settled; with
   * `await using` one that was not is given back. A lost connection does not end the loop.
   *
   * @throws {TypeError} at once, for a bad `mode`, `signal` or `onEvent`, or an unknown option.
   * @throws {RangeError} at once, for a `pollMs` out of range.
   *
   * @example A loop that ends after the first
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_consume");
   * await queue.enqueue("thumbnail");
   * for await (await using delivery of queue.consume({ mode: "polling", pollMs: 50 })) {
   *   console.log(delivery.payload); // thumbnail
   *   await delivery.ack();
   *   break;
   * }
   * await queue.close();
   * await redis.close();
   * ```
   */
  consume(options: FeedOptions = {}): AsyncGenerator<Delivery<T>, void, void> {
    return one(this.#consumer.feed(checkFeed(options)));
  }

  /**
   * Settles a delivery by its {@linkcode Delivery.token}, also in another process.
   *
   * @throws {TypeError} for a text that is no token.
   *
   * @example One process takes it, another one says that it is done
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_token");
   * await queue.enqueue("thumbnail");
   * const token = (await queue.receive())!.token; // a text: send it wherever you like
   * await queue.delivery(token).ack();
   * console.log((await queue.counts()).leased); // 0
   * await queue.close();
   * await redis.close();
   * ```
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
    // Twice in one turn would be one script that names the message twice: two entries of the log.
    let acking: Promise<void> | undefined;
    return {
      ack: () => acking ??= settler.ack(hand, Number(index)).finally(() => acking = undefined),
      nack: async (options = {}) => {
        checkOptions("nack", options, NACK_OPTIONS);
        return await settler.nack(hand, Number(index), { ...options, attempt: Number(attempt) });
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
   *
   * @example What a queue has done
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_stats");
   * await queue.enqueue("thumbnail");
   * await (await queue.receive())?.ack();
   * const { totals, runMs } = await queue.stats();
   * console.log(totals.enqueued === totals.acked, runMs !== undefined); // true true
   * await queue.close();
   * await redis.close();
   * ```
   */
  async stats(options: { windowMs?: number } = {}): Promise<QueueStats> {
    const { windowMs = 300_000 } = checkOptions("stats", options, STATS_OPTIONS);
    return await this.#inspector.stats(windowMs);
  }

  /**
   * Says that whoever takes with `receive` and `receiveMany` is there; workers and `consume` loops say so by
   * themselves. From then on it is among {@linkcode LeasedQueue.consumers} for 30 s, or until this object is
   * closed. It may be said on every turn of a loop: only every ten seconds Redis is asked for it. Where Redis
   * does not answer, nothing is thrown: work goes on unseen.
   *
   * @param options `holds`: how many messages it has in hand, 0 if not said. `mode`: how it waits, "polling" if
   * not said; what was said first stays.
   * @throws {RangeError} for a `holds` that is no count.
   * @throws {TypeError} for a `mode` that is none, or an unknown option.
   *
   * @example A loop of your own, seen by whoever watches
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_announce");
   * await queue.announce();
   * const delivery = await queue.receive(); // and so on
   * console.log(delivery, (await queue.consumers()).length); // undefined 1
   * await queue.close();
   * await redis.close();
   * ```
   */
  async announce(options: { mode?: Mode; holds?: number } = {}): Promise<void> {
    const { mode = "polling", holds = 0 } = checkOptions("announce", options, ANNOUNCE_OPTIONS);
    await this.#consumer.announce(
      checkMode(mode),
      checkCount("holds", holds, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    );
  }

  /**
   * The workers, `consume` loops and those that {@linkcode LeasedQueue.announce} themselves, that have said
   * within 30 s that they are there; one that was killed is named until then.
   */
  async consumers(): Promise<ConsumerInfo[]> {
    return await this.#inspector.consumers(PRESENCE_TTL_MS);
  }

  /**
   * The queue at a glance, for whoever watches it: counts, ages, statistics and consumers. It costs the same
   * however many messages there are: four scripts in one write.
   *
   * @param options `windowMs`: as for {@linkcode LeasedQueue.stats}.
   * @throws {RangeError} for another window.
   *
   * @example What a dashboard shows
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_snapshot");
   * await queue.enqueue("thumbnail");
   * await queue.enqueue("reminder", { delayMs: 60_000 });
   * const { counts, nextDueInMs = 0, stats, consumers } = await queue.snapshot();
   * console.log(counts.ready, counts.delayed, nextDueInMs > 50_000); // 1 1 true
   * console.log(stats.totals.enqueued > 0, consumers.length); // true 0
   * await queue.purge("ready");
   * await queue.purge("delayed");
   * await queue.close();
   * await redis.close();
   * ```
   */
  async snapshot(options: { windowMs?: number } = {}): Promise<QueueSnapshot> {
    checkOptions("snapshot", options, STATS_OPTIONS);
    const [ages, counts, stats, consumers] = await Promise.all([
      this.#inspector.ages(),
      this.counts(),
      this.stats(options),
      this.consumers(),
    ]);
    return { name: this.name, kind: this.#kind, ...ages, counts, stats, consumers };
  }

  /**
   * Looks at messages and leaves them where they are.
   *
   * @param state `"ready"`: what comes out next in front. `"delayed"`: what is due next in front.
   * `"dead"`: the oldest in front; these have a `reason` and `deadAt`. `"leased"`: in no order; these have
   * a `consumer`, `leaseExpiresAt` and a `token`. `"completed"` and `"failed"`: the newest in front, where
   * the queue keeps them; these have `receivedAt`, `finishedAt` and `consumer`.
   * @param options `payloads: false` leaves those in Redis. Pages count from the front, so what moves
   * meanwhile shifts them.
   * @throws {TypeError} for another state, or an unknown option.
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async peek(
    state: PeekState,
    options: PeekOptions = {},
  ): Promise<{ messages: Waiting<T>[]; cursor?: string }> {
    return await this.#inspector.peek(state, options);
  }

  /**
   * Looks for a message by its id. A dead letter is found at once; else the whole queue is gone through,
   * in short steps: about a second for a million messages.
   *
   * @param options `states`: where to look, everywhere by default. `["dead"]` is a look, and no search.
   * @returns The message and its state; undefined if there is none, or if it went back to a state that had
   * been gone through already.
   * @throws {TypeError} for what can be no id, another state, or an unknown option.
   */
  async find(
    id: string,
    options: { states?: readonly FoundState[] } = {},
  ): Promise<Found<T> | undefined> {
    return await this.#inspector.find(id, options);
  }

  /**
   * Takes a message out, wherever it is. Its id and its key are free again. A consumer that has it in hand
   * goes on and may acknowledge it; it is not handed out again. In the list of a `ReliableQueue` a mark
   * stays in its place, which counts as ready until a consumer meets it and throws it away.
   *
   * @returns The state that it was in; undefined as with {@linkcode LeasedQueue.find}.
   * @throws {TypeError} for what can be no id.
   *
   * @example Enqueue, think again
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_cancel");
   * const { id } = await queue.enqueue("reminder", { delayMs: 60_000 });
   * console.log((await queue.find(id))?.state); // delayed
   * console.log(await queue.cancel(id)); // delayed
   * console.log(await queue.find(id)); // undefined
   * await queue.close();
   * await redis.close();
   * ```
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
   *
   * @example Only what timed out, a few a second, and first see how many
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_redrive");
   * await queue.enqueueMany(["a", "b"]);
   * for (const delivery of await queue.receiveMany(2)) {
   *   await delivery.deadLetter(delivery.payload === "a" ? "timeout" : "no such address");
   * }
   * const match = ({ reason }: { reason?: string }) => reason === "timeout";
   * console.log(await queue.redrive({ match, dryRun: true })); // 1
   * console.log(await queue.redrive({ match, perSecond: 10 })); // 1
   * await queue.purge("dead");
   * await queue.purge("ready");
   * await queue.close();
   * await redis.close();
   * ```
   */
  async redrive(options: RedriveOptions<T> = {}): Promise<number> {
    return await this.#inspector.redrive(options);
  }

  /**
   * Removes all messages of a state, or a log. The ids and keys that they hold are free again.
   *
   * @param options `signal`: ends it between two steps. `onProgress`: told after each step how many there were.
   * @returns How many there were.
   * @throws {TypeError} for a state that cannot be purged: leased messages belong to their consumers; for
   * an unknown option.
   */
  async purge(state: Exclude<PeekState, "leased">, options: PurgeOptions = {}): Promise<number> {
    return await this.#inspector.purge(state, options);
  }

  /**
   * Hands nothing out any more, to nobody, until {@linkcode LeasedQueue.resume}. What is in hand may be
   * settled, and producers go on. Kept in Redis: it outlives this program.
   *
   * @example Nothing goes out
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_pause");
   * await queue.pause();
   * await queue.enqueue("thumbnail");
   * console.log(await queue.receive(), (await queue.counts()).paused); // undefined true
   * await queue.resume();
   * await (await queue.receive())?.ack();
   * await queue.close();
   * await redis.close();
   * ```
   */
  async pause(): Promise<void> {
    await this.#inspector.pause("pause");
  }

  /** Hands messages out again; consumers that wait hear of it at once. */
  async resume(): Promise<void> {
    await this.#inspector.pause("resume");
  }

  /**
   * Hands nothing more to one worker or `consume` loop, until {@linkcode LeasedQueue.resumeConsumer}: to let
   * it finish what it has before its machine goes, or to see whether it is the one that does harm. It goes
   * on running, settles what it has in hand, and others take what comes. It ends with the consumer: one that
   * is started again has another name, and works.
   *
   * @param consumer Its name, from {@linkcode LeasedQueue.consumers}.
   * @returns Whether there is such a consumer.
   * @throws {TypeError} for what can be no consumer's name.
   *
   * @example One of them is to take no more
   * ```ts
   * import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_pause_consumer");
   * await using worker = new Worker(queue, () => {});
   * worker.start();
   * let [one] = await queue.consumers();
   * while (!one) [one] = await queue.consumers(); // it says so in its first moments
   * console.log(await queue.pauseConsumer(one.consumer)); // true
   * console.log((await queue.consumers())[0]?.paused); // true
   * await worker.stop();
   * await queue.close();
   * await redis.close();
   * ```
   */
  async pauseConsumer(consumer: string): Promise<boolean> {
    return await this.#inspector.pauseConsumer(consumer, "pause");
  }

  /**
   * Hands messages to it again: within a second.
   *
   * @param consumer Its name, from {@linkcode LeasedQueue.consumers}.
   * @returns Whether there is such a consumer.
   * @throws {TypeError} for what can be no consumer's name.
   */
  async resumeConsumer(consumer: string): Promise<boolean> {
    return await this.#inspector.pauseConsumer(consumer, "resume");
  }

  /**
   * Ends the connections on which this object waits, and all waiting for room; removes the leases under
   * which nothing is left. Before the client is closed: afterwards the next claim of anybody does that
   * when they lapse.
   */
  async close(): Promise<void> {
    const listing = this.#enqueuer.close(CLOSE_MS);
    try {
      // While Redis does not answer, or when the client is closed already, they are left to lapse.
      await within(this.#settler.drained(), CLOSE_MS);
      if (this.#client.isReady) {
        const left = [this.#claimer.forget(this.#send), this.#consumer.leave()];
        await within(Promise.all(left), CLOSE_MS);
      }
    } catch {
      // Whoever awaits an ack hears of it there.
    } finally {
      await Promise.all([listing, this.#consumer.close(), this.#confirmer?.close()]);
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
    { mode, backoff, onUndecodable, onBadBackoff, lines }: IntakeOptions<Delivery<T>>,
  ): Intake<Delivery<T>> {
    const parts = this.#parts();
    const options = backoff ? { ...parts.options, backoff: backoffOf(backoff) } : parts.options;
    return new LeasedIntake<T>({
      ...parts,
      options,
      mode,
      lines,
      onBadBackoff,
      name: this.name,
      kind: this.#kind,
      client: this.#client,
      explain: (send) => this.#explaining(send),
      deliver: (hand, messages, settler) =>
        this.#reader.deliver(hand, messages, settler, onUndecodable),
    });
  }

  /**
   * Used by the scheduler of tasks: promotes what is due and sweeps what has lapsed. Gives when, by
   * `performance.now()`, the next delayed message is due.
   *
   * @ignore
   */
  async [TICK](): Promise<number> {
    await this.#claimer.tick(this.#send);
    return this.#claimer.dueAt;
  }

  /**
   * Used by a queue that has this one as a partition: whoever takes from all of them is one consumer.
   *
   * @ignore
   */
  [CALLED](consumer: string): void {
    this.#claimer.consumer = consumer;
  }

  /**
   * Used by a queue that has this one as a partition.
   *
   * @ignore
   */
  get [ASIDE](): boolean {
    return this.#claimer.isPaused;
  }

  /**
   * Used by a queue that has this one as a partition.
   *
   * @ignore
   */
  async [COUNTERS](): Promise<CountedFields> {
    return await this.#inspector.counted();
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
}

/** Lease, index, attempt, and when it was handed over. */
const TOKEN = /^([a-z0-9-]+:\d+:\d+):(\d+)(?::(\d+)(?::(\d+))?)?$/i;
