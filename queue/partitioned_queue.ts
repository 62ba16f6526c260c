/**
 * `PartitionedQueue`: one logical queue over n slots of a cluster.
 *
 * ```
 *                        ┌─► orders.1of3 ─┐  each a queue of its own, in a slot of its own
 *   enqueue({ orderKey })┼─► orders.2of3 ─┼─► claimed in turn
 *                        └─► orders.3of3 ─┘
 * ```
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import { checkQueueName, checkText, queueKeys } from "../redis/keys.ts";
import { checkOptions, checkSignal, type OptionNames, optionNames } from "../redis/options.ts";
import { checkClient } from "../redis/topology.ts";
import { show } from "../redis/show.ts";
import { checkCount, checkMs } from "../redis/timers.ts";
import type { Delivery, Settlement } from "./delivery.ts";
import { checkFeed, feed, type FeedOptions, one } from "./feed.ts";
import { CALLED, COUNTERS, INTAKE, type Intake, type IntakeOptions } from "./intake.ts";
import { LeaseLostError } from "./hand.ts";
import { LeasedQueue } from "./leased_queue.ts";
import {
  ANNOUNCE_OPTIONS,
  type ConsumerInfo,
  type Counts,
  ENQUEUE_OPTIONS,
  type Enqueued,
  type EnqueueOptions,
  type Found,
  type FoundState,
  PEEK_OPTIONS,
  type PeekOptions,
  type PeekState,
  PURGE_OPTIONS,
  type PurgeOptions,
  REDRIVE_OPTIONS,
  type RedriveOptions,
  STATS_OPTIONS,
  type Waiting,
} from "./leased_types.ts";
import { checkReceive, type Mode, type ReceiveOptions } from "./message.ts";
import { PartitionedIntake } from "./partitioned_intake.ts";
import { PartitionedWaiting } from "./partitioned_waiting.ts";
import { enterPartitions, forgetPartitions, partitionName, partOf } from "./partitions.ts";
import { checkConsumer } from "./presence.ts";
import type { QueueSnapshot } from "./snapshot.ts";
import { addUp, type QueueStats, readStats } from "./stats.ts";
import { random } from "./uid.ts";

/** Most partitions: every worker looks after each of them. */
const MAX_PARTITIONS = 256;

/** Options of {@linkcode PartitionedQueue}. */
export interface PartitionedQueueOptions<Q> {
  /** How many, from 1 to 256: a few for each master, so that masters can be added. It stays. */
  partitions: number;
  /** Makes a partition: any queue with leases, with whatever options it is to have. */
  make: (client: RedisClient, name: string) => Q;
}

/** Options of one message in a {@linkcode PartitionedQueue}. */
export interface PartitionedEnqueueOptions extends EnqueueOptions {
  /**
   * Messages with the same key are in the same partition, in their order; 1 to 200 bytes.
   *
   * @default none: the message goes by its `id` or the key of its `dedupe`, or else to the next partition
   */
  orderKey?: string;
}

const PARTITIONED_OPTIONS = optionNames<PartitionedQueueOptions<unknown>>({
  partitions: true,
  make: true,
});
const ORDER_OPTIONS: OptionNames = new Set(["orderKey", ...ENQUEUE_OPTIONS, "priority"]);

/** What partitions are made of. */
type Partition<T, I> = LeasedQueue<T, I> & {
  // deno-lint-ignore no-explicit-any -- options of a kind: a priority, say
  enqueue(payload: I, options?: any): Promise<Enqueued>;
  // deno-lint-ignore no-explicit-any -- as above
  enqueueMany(payloads: readonly I[], options?: any): Promise<Enqueued[]>;
};

/**
 * A queue with leases that is spread over the masters of a cluster.
 *
 * **Guarantee:** at least once, as its partitions. Messages with the same `orderKey` are handed out in
 * their order; no order is promised between others. Ids and keys of deduplication hold within a partition:
 * a message without `orderKey` goes to the partition of its id, or of its key.
 * **Redis types:** as its partitions, and one STRING: how many there are.
 * **Commands:** an enqueue is one script at one master; a claim, one for each partition that has something.
 * A consumer that waits has one connection to each master, by which it is told which partition that is.
 * **A crash** is each partition's own matter: while a master is away, what is in its partitions waits for
 * the one that takes over, and the others go on.
 * **Choose another** where one master is enough: a queue without partitions keeps the order of all
 * messages, and its workers look after one queue and not after eight.
 *
 * @typeParam T What a payload is to a consumer.
 * @typeParam I What it is to a producer.
 *
 * @example Orders of a customer stay in order
 * ```ts
 * import { connect, PartitionedQueue, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect(); // of a cluster: { cluster: { nodes: ["10.0.0.1:6379", "10.0.0.2:6379"] } }
 * const orders = new PartitionedQueue<string>(redis, "docs_orders", {
 *   partitions: 4,
 *   make: (client, name) => new ReliableQueue<string>(client, name, { leaseMs: 10_000 }),
 * });
 * await orders.enqueue("two lamps", { orderKey: "ann" });
 * await orders.enqueue("no, three", { orderKey: "ann" });
 *
 * const [first, second] = [await orders.receive(), await orders.receive()];
 * console.log(first?.payload, second?.payload); // two lamps no, three
 * await first?.ack();
 * await second?.ack();
 * console.log((await orders.counts()).ready); // 0
 * await orders.dissolve();
 * await orders.close();
 * await redis.close();
 * ```
 */
export class PartitionedQueue<T = unknown, I = T> implements AsyncDisposable {
  /** The queue's name. */
  readonly name: string;
  /** The partitions, each a queue of its own: to look at one alone. */
  readonly partitions: readonly LeasedQueue<T, I>[];
  readonly #parts: readonly Partition<T, I>[];
  readonly #client: RedisClient;
  readonly #tokens: readonly string[];
  #waiting: PartitionedWaiting<T> | undefined;
  #entered: Promise<void> | undefined;
  #turn = Math.floor(Math.random() * MAX_PARTITIONS);

  /**
   * Makes the queue object; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param name 1 to 200 bytes; no braces, no glob characters, no control characters.
   * @throws {TypeError} for a bad name or client, a `make` that makes no queue of the name it is given, or
   * an unknown option.
   * @throws {RangeError} for `partitions` out of range.
   */
  constructor(
    client: RedisClient,
    name: string,
    options: PartitionedQueueOptions<Partition<T, I>>,
  ) {
    const { partitions, make } = checkOptions("PartitionedQueue", options, PARTITIONED_OPTIONS);
    const count = checkCount("partitions", partitions, { max: MAX_PARTITIONS });
    this.#client = checkClient(client);
    this.name = checkQueueName(name);
    if (typeof make !== "function") {
      throw new TypeError(`make must be a function, but is ${show(make)}`);
    }
    this.#parts = Array.from({ length: count }, (_, i) => {
      const part = partitionName(name, i, count);
      const queue = make(client, part);
      if (queue instanceof LeasedQueue && queue.name === part) return queue;
      throw new TypeError(
        `make must give a queue with leases of the name it is given (${JSON.stringify(part)}), ` +
          `but gave ${show(queue?.name ?? queue)}`,
      );
    });
    this.partitions = this.#parts;
    const consumer = random(10); // whoever takes from this object, as a worker is called; see joined()
    this.#parts.forEach((part, i) => part[CALLED](`${consumer}-${i + 1}`));
    this.#tokens = this.#parts.map((part) => queueKeys(part.name).wake);
  }

  /**
   * Puts a message into the queue: into the partition of its `orderKey`, or else of its `id` or `dedupe`
   * key, or else the next one.
   *
   * @throws {TypeError} if the queue has another number of partitions; nothing was sent then.
   * @throws As the `enqueue` of its partitions.
   */
  async enqueue(payload: I, options: PartitionedEnqueueOptions = {}): Promise<Enqueued> {
    const { orderKey, ...others } = checkOptions("enqueue", options, ORDER_OPTIONS);
    const part = this.#partFor(orderKey, others);
    await this.#enter();
    return await part.enqueue(payload, others);
  }

  /**
   * Puts several messages into the queue: all into the partition of their `orderKey`, or else in equal parts
   * into all of them.
   *
   * @throws As {@linkcode PartitionedQueue.enqueue}; some of them may be stored then.
   */
  async enqueueMany(
    payloads: readonly I[],
    options: Omit<PartitionedEnqueueOptions, "id"> = {},
  ): Promise<Enqueued[]> {
    const { orderKey, ...others } = checkOptions("enqueueMany", options, ORDER_OPTIONS);
    await this.#enter();
    if (orderKey !== undefined || typeof others.dedupe === "object") {
      return await this.#partFor(orderKey, others).enqueueMany(payloads, others);
    }
    const count = this.#parts.length;
    const first = this.#turn;
    this.#turn = (first + payloads.length) % count;
    const shares = this.#parts.map((_, at) =>
      payloads.filter((_, i) => (first + i) % count === at)
    );
    const stored = await Promise.all(
      this.#parts.map((part, at) =>
        shares[at]!.length > 0 ? part.enqueueMany(shares[at]!, others) : []
      ),
    );
    const next = new Array<number>(count).fill(0);
    return payloads.map((_, i) => {
      const at = (first + i) % count;
      return stored[at]![next[at]!++]!;
    });
  }

  /** Claims the next message of any partition; see {@linkcode LeasedQueue.receive}. */
  async receive(options: ReceiveOptions = {}): Promise<Delivery<T> | undefined> {
    const [delivery] = await this.#take(1, checkReceive("receive", options));
    return delivery;
  }

  /**
   * Claims up to `max` messages, of the partitions in turn; see {@linkcode LeasedQueue.receiveMany}.
   */
  async receiveMany(max: number, options: ReceiveOptions = {}): Promise<Delivery<T>[]> {
    checkReceive("receiveMany", options);
    return await this.#take(checkCount("max", max, { max: 1_000 }), options);
  }

  /** Deliveries one by one, of the partitions in turn; see {@linkcode LeasedQueue.consume}. */
  consume(options: FeedOptions = {}): AsyncGenerator<Delivery<T>, void, void> {
    checkFeed(options);
    const { signal } = options;
    return one(feed((waitMs) => this.#take(1, { waitMs, ...(signal && { signal }) }), options));
  }

  /**
   * Settles a delivery by its {@linkcode Delivery.token}. The token does not tell the partition, so they are
   * asked one after the other.
   *
   * @throws {TypeError} for a text that is no token.
   */
  delivery(token: string): Settlement {
    const all = this.#parts.map((part) => part.delivery(token));
    const settle = async <R>(run: (one: Settlement) => Promise<R>): Promise<R> => {
      let lost: unknown;
      for (const settlement of all) {
        try {
          return await run(settlement);
        } catch (error) {
          if (!(error instanceof LeaseLostError)) throw error;
          lost = error;
        }
      }
      throw lost;
    };
    return {
      ack: () => settle((one) => one.ack()),
      nack: (options) => settle((one) => one.nack(options)),
      deadLetter: (reason, options) => settle((one) => one.deadLetter(reason, options)),
      extend: (ms) => settle((one) => one.extend(ms)),
    };
  }

  /** How many messages are in each state, in all partitions, and how long the longest has waited. */
  async counts(): Promise<Counts> {
    return sumOf(await Promise.all(this.#parts.map((part) => part.counts())));
  }

  /**
   * What the partitions have done together, and how long messages waited and ran.
   *
   * @param options `windowMs`: as for {@linkcode LeasedQueue.stats}.
   * @throws {RangeError} for another window.
   */
  async stats(options: { windowMs?: number } = {}): Promise<QueueStats> {
    const { windowMs = 300_000 } = checkOptions("stats", options, STATS_OPTIONS);
    const all = await Promise.all(this.#parts.map((part) => part[COUNTERS]()));
    return readStats(addUp(all), windowMs);
  }

  /**
   * Says that whoever takes with `receive` and `receiveMany` is there; see {@linkcode LeasedQueue.announce}. It
   * is one consumer of all partitions, which `pauseConsumer` pauses in all of them.
   *
   * @param options As for {@linkcode LeasedQueue.announce}; `holds` of all partitions together.
   */
  async announce(options: { mode?: Mode; holds?: number } = {}): Promise<void> {
    const { holds = 0, ...others } = checkOptions("announce", options, ANNOUNCE_OPTIONS);
    // They are counted together: who asks how many are held adds up the partitions.
    await Promise.all(
      this.#parts.map((part, at) => part.announce({ ...others, holds: at === 0 ? holds : 0 })),
    );
  }

  /**
   * Who takes from it: the workers, and those that {@linkcode PartitionedQueue.announce} themselves, each once
   * and with what it holds of all partitions. A loop of `consume` asks for itself and is not named.
   */
  async consumers(): Promise<ConsumerInfo[]> {
    return joined((await Promise.all(this.#parts.map((part) => part.consumers()))).flat());
  }

  /**
   * The queue at a glance: what its partitions have together, and the latest of their clocks.
   *
   * @param options `windowMs`: as for {@linkcode LeasedQueue.stats}.
   * @throws {RangeError} for another window.
   */
  async snapshot(options: { windowMs?: number } = {}): Promise<QueueSnapshot> {
    checkOptions("snapshot", options, STATS_OPTIONS);
    const [all, stats] = await Promise.all([
      Promise.all(this.#parts.map((part) => part.snapshot(options))),
      this.stats(options),
    ]);
    const dues = all.flatMap(({ nextDueInMs }) => nextDueInMs ?? []);
    const deaths = all.flatMap(({ oldestDeadMs }) => oldestDeadMs ?? []);
    return {
      name: this.name,
      kind: all[0]!.kind,
      at: Math.max(...all.map(({ at }) => at)),
      ...(dues.length > 0 && { nextDueInMs: Math.min(...dues) }),
      ...(deaths.length > 0 && { oldestDeadMs: Math.max(...deaths) }),
      counts: sumOf(all.map(({ counts }) => counts)),
      stats,
      consumers: joined(all.flatMap(({ consumers }) => consumers)),
    };
  }

  /** Looks at messages, one partition after the other; see {@linkcode LeasedQueue.peek}. */
  async peek(
    state: PeekState,
    options: PeekOptions = {},
  ): Promise<{ messages: Waiting<T>[]; cursor?: string }> {
    const { limit = 20, cursor = "0:", payloads = true } = checkOptions(
      "peek",
      options,
      PEEK_OPTIONS,
    );
    checkCount("limit", limit, { max: 1_000 });
    const [, at, rest] = /^(\d{1,3}):(.*)$/.exec(cursor) ?? [];
    if (at === undefined || Number(at) >= this.#parts.length) {
      throw new RangeError(`cursor must come from a page before, but is ${show(cursor, "string")}`);
    }
    const messages: Waiting<T>[] = [];
    let within = rest || undefined;
    for (let i = Number(at); i < this.#parts.length; i++) {
      const left = limit - messages.length;
      const page = await this.#parts[i]!.peek(state, {
        limit: left,
        payloads,
        ...(within !== undefined && { cursor: within }),
      });
      messages.push(...page.messages);
      if (page.cursor !== undefined) return { messages, cursor: `${i}:${page.cursor}` };
      within = undefined;
      if (messages.length === limit && i + 1 < this.#parts.length) {
        return { messages, cursor: `${i + 1}:` };
      }
    }
    return { messages };
  }

  /** Looks for a message by its id, in all partitions; see {@linkcode LeasedQueue.find}. */
  async find(
    id: string,
    options: { states?: readonly FoundState[] } = {},
  ): Promise<Found<T> | undefined> {
    const found = await Promise.all(this.#parts.map((part) => part.find(id, options)));
    return found.find(Boolean);
  }

  /** Takes a message out, wherever it is; see {@linkcode LeasedQueue.cancel}. */
  async cancel(id: string): Promise<FoundState | undefined> {
    const states = await Promise.all(this.#parts.map((part) => part.cancel(id)));
    return states.find(Boolean);
  }

  /**
   * Makes dead letters ready again, one partition after the other; see {@linkcode LeasedQueue.redrive}.
   *
   * @returns How many there were.
   */
  async redrive(options: RedriveOptions<T> = {}): Promise<number> {
    const { limit, onProgress } = checkOptions("redrive", options, REDRIVE_OPTIONS);
    let done = 0;
    for (const part of this.#parts) {
      if (limit !== undefined && done >= limit) break;
      const before = done;
      done += await part.redrive({
        ...options,
        ...(limit !== undefined && { limit: limit - before }),
        ...(onProgress && { onProgress: (n) => onProgress(before + n) }),
      });
    }
    return done;
  }

  /**
   * Removes all messages of a state, or a log, one partition after the other; see
   * {@linkcode LeasedQueue.purge}.
   *
   * @returns How many there were.
   */
  async purge(state: Exclude<PeekState, "leased">, options: PurgeOptions = {}): Promise<number> {
    const { onProgress } = checkOptions("purge", options, PURGE_OPTIONS);
    let done = 0;
    for (const part of this.#parts) {
      const before = done;
      done += await part.purge(state, {
        ...options,
        ...(onProgress && { onProgress: (n) => onProgress(before + n) }),
      });
    }
    return done;
  }

  /** Hands nothing out any more, until {@linkcode PartitionedQueue.resume}. */
  async pause(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.pause()));
  }

  /** Hands messages out again. */
  async resume(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.resume()));
  }

  /** Hands nothing more to one consumer, of any partition; see {@linkcode LeasedQueue.pauseConsumer}. */
  async pauseConsumer(consumer: string): Promise<boolean> {
    const name = checkConsumer(consumer);
    const pausing = this.#parts.map((part, i) => part.pauseConsumer(`${name}-${i + 1}`));
    return (await Promise.all(pausing)).includes(true);
  }

  /** Hands messages to it again; see {@linkcode LeasedQueue.resumeConsumer}. */
  async resumeConsumer(consumer: string): Promise<boolean> {
    const name = checkConsumer(consumer);
    const resuming = this.#parts.map((part, i) => part.resumeConsumer(`${name}-${i + 1}`));
    return (await Promise.all(resuming)).includes(true);
  }

  /**
   * Forgets how many partitions there are, so that the queue can begin again with another number.
   *
   * @throws {TypeError} while there are messages in it, dead ones included: with another number nobody
   * would find them.
   */
  async dissolve(): Promise<void> {
    await this.#enter();
    const { ready, leased, delayed, dead } = await this.counts();
    if (ready + leased + delayed + dead > 0) {
      throw new TypeError(
        `The queue ${JSON.stringify(this.name)} is not empty (${ready} ready, ${leased} leased, ` +
          `${delayed} delayed, ${dead} dead): nobody would find its messages any more`,
      );
    }
    await forgetPartitions((args) => call(this.#client, args, { raw: true }), this.name);
    this.#entered = undefined;
  }

  /** Ends the connections on which this object waits; see {@linkcode LeasedQueue.close}. */
  async close(): Promise<void> {
    await Promise.all([...this.#parts, this.#waits].map((part) => part.close()));
  }

  /** Closes; see {@linkcode PartitionedQueue.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Used by the worker.
   *
   * @ignore
   */
  [INTAKE](options: IntakeOptions<Delivery<T>>): Intake<Delivery<T>> {
    return new PartitionedIntake({
      client: this.#client,
      tokens: this.#tokens,
      open: (index, lines) => this.#parts[index]![INTAKE]({ ...options, lines }),
      mode: options.mode,
      enter: () => this.#enter(),
      turn: this.#turn++,
    });
  }

  #partFor(
    orderKey: string | undefined,
    { id, dedupe }: Pick<EnqueueOptions, "id" | "dedupe">,
  ): Partition<T, I> {
    const count = this.#parts.length;
    if (orderKey !== undefined) checkText("orderKey", orderKey);
    const by = orderKey ?? id ?? (typeof dedupe === "object" ? dedupe.key : undefined);
    if (by !== undefined) return this.#parts[partOf(String(by), count)]!;
    this.#turn = (this.#turn + 1) % count;
    return this.#parts[this.#turn]!;
  }

  async #take(max: number, { waitMs = 0, signal }: ReceiveOptions): Promise<Delivery<T>[]> {
    checkMs("waitMs", waitMs);
    checkSignal(signal);
    signal?.throwIfAborted();
    await this.#enter();
    const batch = await this.#waits.take(max, { waitMs, signal, turn: this.#turn++ });
    if (batch.length === 0) signal?.throwIfAborted();
    return batch;
  }

  /** Also for one that was closed before anybody waited: nobody can afterwards. */
  get #waits(): PartitionedWaiting<T> {
    return this.#waiting ??= new PartitionedWaiting(this.#client, this.#parts, this.#tokens);
  }

  /** Once, before anything is stored or claimed; again if Redis did not answer. */
  #enter(): Promise<void> {
    this.#entered ??= enterPartitions(
      (args) => call(this.#client, args, { raw: true }),
      this.name,
      this.#parts.length,
    ).catch((error) => {
      this.#entered = undefined;
      throw error;
    });
    return this.#entered;
  }
}

/** What several queues have together. */
function sumOf(all: readonly Counts[]): Counts {
  const sum = (state: "ready" | "leased" | "delayed" | "dead") =>
    all.reduce((total, counts) => total + counts[state], 0);
  const waits = all.flatMap(({ oldestReadyMs }) => oldestReadyMs ?? []);
  return {
    ready: sum("ready"),
    leased: sum("leased"),
    delayed: sum("delayed"),
    dead: sum("dead"),
    ...(waits.length > 0 && { oldestReadyMs: Math.max(...waits) }),
    ...(all.some(({ paused }) => paused) && { paused: true as const }),
  };
}

/** A consumer is called the same in all partitions, but for the number behind its name. */
function joined(all: readonly ConsumerInfo[]): ConsumerInfo[] {
  const workers = new Map<string, ConsumerInfo>();
  for (const { paused, ...entry } of all) {
    const consumer = entry.consumer.replace(/-\d+$/, "");
    const known = workers.get(consumer);
    workers.set(consumer, {
      ...entry,
      ...(paused && (!known || known.paused) && { paused }), // in all of them
      consumer,
      startedAt: Math.min(entry.startedAt, known?.startedAt ?? Infinity),
      holds: entry.holds + (known?.holds ?? 0),
      seenMs: Math.min(entry.seenMs, known?.seenMs ?? Infinity),
    });
  }
  return [...workers.values()];
}
