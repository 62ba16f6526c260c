/**
 * What goes into a queue with leases, and what it tells.
 *
 * @module
 */
import type { CodecOption } from "../redis/codec.ts";
import { type OptionNames, optionNames } from "../redis/options.ts";
import type { Backoff } from "./backoff.ts";
import type { DedupeOptions, QueueDedupeOptions } from "./dedupe.ts";
import type { Durability } from "./durability.ts";
import type { AttemptError } from "./envelope.ts";
import type { LogLimits } from "./limits.ts";
import type { Mode } from "./message.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { OnFull } from "./room.ts";
import type { StandardSchema } from "./schema.ts";

/**
 * Options of every queue with leases. Those from `dedupe` on are off by default, and cost nothing then.
 *
 * Objects for one queue, in one program or in several, should be given the same: nothing of this is kept
 * in Redis. Whoever **enqueues** goes by its `dedupe`, `maxReady`, `onFull`; whoever **claims**, a worker
 * say, by its `leaseMs` and `rateLimit`; whoever **settles** or finds a lapsed lease by its `maxAttempts`,
 * `backoff`, `maxDead`, `keepCompleted` and `keepFailed`; both ends by `codec`, `schema` and `stats`.
 *
 * @typeParam T What consumers get.
 * @typeParam I What producers give; something else where a schema converts.
 */
export interface LeasedQueueOptions<T, I = T> {
  /**
   * How long a delivery is yours before it is handed out again, in milliseconds, from 10 to 2,147,483,647 (24
   * days). A worker lengthens it while the handler runs.
   *
   * @default 30_000
   */
  leaseMs?: number;
  /**
   * How often a message is handed over before it is dead, the first time included; from 1 to 1,000,000.
   *
   * @default 5
   */
  maxAttempts?: number;
  /**
   * How long a message waits before its next attempt.
   *
   * @default exponential from 1 s to 5 min, with full jitter
   */
  backoff?: Backoff;
  /**
   * How payloads are stored.
   *
   * @default "json"
   */
  codec?: CodecOption<I>;
  /**
   * Largest payload, in bytes as stored.
   *
   * @default 1_048_576 (1 MiB)
   */
  maxPayloadBytes?: number;
  /**
   * How many dead letters are kept, from 1 to 1,000,000; the oldest go first.
   *
   * @default 10_000
   */
  maxDead?: number;
  /**
   * How long a dead letter is kept, in milliseconds; at least 1.
   *
   * @default 1_209_600_000 (14 days)
   */
  maxDeadAgeMs?: number;
  /**
   * Whether the queue counts what it does, for `stats()`.
   *
   * @default true
   */
  stats?: boolean;
  /**
   * Does not store what is there already: `true` compares contents. Holds for all messages that bring no
   * `dedupe` of their own.
   *
   * @default false
   */
  dedupe?: boolean | QueueDedupeOptions<I>;
  /**
   * Keeps what was acknowledged, for `peek("completed")`.
   *
   * @default nothing is kept
   */
  keepCompleted?: LogLimits;
  /**
   * Keeps every attempt that failed, for `peek("failed")`; also of messages that later succeed.
   *
   * @default nothing is kept
   */
  keepFailed?: LogLimits;
  /**
   * How many messages may be ready, from 1 to 1,000,000,000. Delayed messages, and those that come back,
   * are let in above it; the mark of a cancelled message counts until a consumer meets it.
   *
   * @default no limit
   */
  maxReady?: number;
  /**
   * What `enqueue` does when `maxReady` are ready: it throws a `QueueFullError`, or waits for room, for
   * ever if its `signal` does not end that. Do not wait for room in a handler of the same queue: it holds
   * the slot that would make it.
   *
   * @default "throw"
   */
  onFull?: OnFull;
  /**
   * How many messages may be handed out in a time, to all consumers together.
   *
   * @default no limit
   */
  rateLimit?: RateLimit;
  /**
   * Waits, at each enqueue, until replicas have the message: `enqueue` then gives `confirmed`. Without it a
   * message that was enqueued is lost if its master dies before a replica has it.
   *
   * @default enqueue does not wait, and says nothing of replicas
   */
  durability?: Durability;
  /**
   * Checks payloads: before they are sent, and when they are handed out. What is refused then is dead at
   * once, whatever `maxAttempts` says, and `maxDead` bounds what is kept.
   *
   * @default payloads are not checked
   */
  schema?: StandardSchema<I, T>;
}

/** The names of these options. */
export const QUEUE_OPTIONS: OptionNames = optionNames<LeasedQueueOptions<unknown>>({
  leaseMs: true,
  maxAttempts: true,
  backoff: true,
  codec: true,
  maxPayloadBytes: true,
  maxDead: true,
  maxDeadAgeMs: true,
  stats: true,
  dedupe: true,
  keepCompleted: true,
  keepFailed: true,
  durability: true,
  maxReady: true,
  onFull: true,
  rateLimit: true,
  schema: true,
});

/** Options of one message. */
export interface EnqueueOptions {
  /**
   * An id of your own: 1 to 200 bytes without control characters. It stays taken until the message
   * is gone; meanwhile another message with the same id is not enqueued.
   *
   * @default an id made here, ordered by time
   */
  id?: string;
  /** When the message may be claimed, in milliseconds from now, by Redis's clock; or `runAt`, not both. */
  delayMs?: number;
  /** When the message may be claimed, in milliseconds since 1970, by Redis's clock. */
  runAt?: number;
  /**
   * Does not store the message if another one holds its key; `true` takes the queue's key function, or
   * else compares contents.
   *
   * @default the queue's
   */
  dedupe?: boolean | DedupeOptions;
  /** Ends waiting for room, with `onFull: "wait"`; `enqueue` then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Options of several messages. */
export type EnqueueManyOptions = Omit<EnqueueOptions, "id">;

/** The names of these options. */
export const ENQUEUE_MANY_OPTIONS: OptionNames = optionNames<EnqueueManyOptions>({
  delayMs: true,
  runAt: true,
  dedupe: true,
  signal: true,
});

/** And of those of one message. */
export const ENQUEUE_OPTIONS: OptionNames = new Set(["id", ...ENQUEUE_MANY_OPTIONS]);

/** What became of an enqueued message. */
export interface Enqueued {
  /** Its id; of a duplicate, the id of the message that is there. */
  readonly id: string;
  /** Whether a message with this id or key was there already, so that this one was not stored. */
  readonly duplicate: boolean;
  /**
   * Where the queue has a `durability`: whether enough replicas had the message in time. False is no
   * failure: it is stored, and lost only if its master dies before they have it.
   */
  readonly confirmed?: boolean;
}

/** How many messages are in each state. */
export interface Counts {
  /** Waiting to be claimed; marks of cancelled messages, too, until a consumer meets them. */
  readonly ready: number;
  /** In the hands of consumers. */
  readonly leased: number;
  /** Waiting for their time. */
  readonly delayed: number;
  /** Given up. */
  readonly dead: number;
  /**
   * How long the oldest message has waited, in milliseconds, if one waits: of those that come out next, and
   * in a `PriorityQueue` of the first ones of each priority (of the sixteen most urgent, and of the last), so
   * that one that starves is seen. It counts from when a message could be claimed: one that was delayed,
   * or came back, from then on.
   */
  readonly oldestReadyMs?: number;
  /** There, and true, while the queue is paused. */
  readonly paused?: true;
}

/** States whose messages can be looked at; the last two are logs. */
export type PeekState = "ready" | "leased" | "delayed" | "dead" | "completed" | "failed";

/** Which messages are looked at, and how. */
export interface PeekOptions {
  /**
   * How many, from 1 to 1,000.
   *
   * @default 20
   */
  limit?: number;
  /** Where the page before ended. */
  cursor?: string;
  /**
   * `false` leaves payloads in Redis: for lists, where they may be large and may be secret. `raw` is empty
   * then (of a task it is its name), and `bytes` tells their size.
   *
   * @default true
   */
  payloads?: boolean;
}

/** A message that was looked at and left where it is. */
export interface Waiting<T> {
  /** Its id; empty for an entry that is no message of this library. */
  readonly id: string;
  /** The data, decoded; absent where it could not be, or was left in Redis. */
  readonly payload?: T;
  /** The data as it stands in Redis, byte for byte. */
  readonly raw: Uint8Array;
  /** How many bytes the data has, also where it was left in Redis. */
  readonly bytes: number;
  /** How often it was handed over and came back. */
  readonly attempts: number;
  /** When it was enqueued, in milliseconds since 1970, by its producer's clock. */
  readonly enqueuedAt: number;
  /**
   * From when on it could be claimed, in milliseconds since 1970: when it was enqueued or, if it was
   * delayed or came back, from then on, by Redis's clock. 0 for an entry that is no message of this library.
   */
  readonly readyAt: number;
  /** How urgent it is; 0 in a queue without priorities. */
  readonly priority: number;
  /** The errors of its attempts, oldest first. */
  readonly errors: AttemptError[];
  /** Delayed: when it is due, in milliseconds since 1970, by Redis's clock. */
  readonly dueAt?: number;
  /** Dead: why it was given up. */
  readonly reason?: string;
  /** Dead: when, in milliseconds since 1970, by Redis's clock. */
  readonly deadAt?: number;
  /** Leased, completed and failed: who has it, or had it. */
  readonly consumer?: string;
  /** Leased: when the lease ends, in milliseconds since 1970, by Redis's clock. */
  readonly leaseExpiresAt?: number;
  /** Leased: settles it in the place of its consumer, by `queue.delivery(token)`. */
  readonly token?: string;
  /**
   * Completed and failed: when it was handed over, in milliseconds since 1970, by Redis's clock. Absent
   * where a lease lapsed.
   */
  readonly receivedAt?: number;
  /** Completed and failed: when that attempt ended, in milliseconds since 1970, by Redis's clock. */
  readonly finishedAt?: number;
}

/** Where a message may be found. */
export type FoundState = "ready" | "leased" | "delayed" | "dead";

/** A message that was found by its id. */
export interface Found<T> extends Waiting<T> {
  /** Where it is. */
  readonly state: FoundState;
}

/** Which dead letters are redriven, and how fast. */
export interface RedriveOptions<T> {
  /** These. */
  ids?: readonly string[];
  /** Those for which it gives true, and not false; asked of the oldest first. */
  match?: (message: Waiting<T>) => boolean;
  /**
   * How many at most.
   *
   * @default all that are dead when it begins
   */
  limit?: number;
  /**
   * Counts them and changes nothing.
   *
   * @default false
   */
  dryRun?: boolean;
  /**
   * How many a second, so that what is behind the queue is not flooded: any number above 0, also below 1.
   *
   * @default as fast as it goes
   */
  perSecond?: number;
  /** Ends it; what was redriven until then is. */
  signal?: AbortSignal;
  /** Told after each step how many there were until now. What it throws ends the redrive. */
  onProgress?: (redriven: number) => void;
}

/** The names of these options. */
export const REDRIVE_OPTIONS: OptionNames = optionNames<RedriveOptions<unknown>>({
  ids: true,
  match: true,
  limit: true,
  dryRun: true,
  perSecond: true,
  signal: true,
  onProgress: true,
});

/** How a state is emptied. */
export interface PurgeOptions {
  /** Ends it; what was removed until then is. */
  signal?: AbortSignal;
  /** Told after each step how many there were until now. What it throws ends the purge. */
  onProgress?: (purged: number) => void;
}

/** The names of these options. */
export const PURGE_OPTIONS: OptionNames = optionNames<PurgeOptions>({
  signal: true,
  onProgress: true,
});

/** The names of the options of `stats()` and `snapshot()`. */
export const STATS_OPTIONS: OptionNames = optionNames<{ windowMs?: number }>({ windowMs: true });

/** The names of those of `announce()`. */
export const ANNOUNCE_OPTIONS: OptionNames = optionNames<{ mode?: Mode; holds?: number }>({
  mode: true,
  holds: true,
});

/** The names of those of `peek()`. */
export const PEEK_OPTIONS: OptionNames = optionNames<PeekOptions>({
  limit: true,
  cursor: true,
  payloads: true,
});

/** A worker, or a `consume` loop, that has said lately that it is there. */
export interface ConsumerInfo {
  /** Its name in leases, histories and logs. */
  readonly consumer: string;
  /** The machine's name, where the worker may know it, or "". */
  readonly host: string;
  /** Its process. */
  readonly pid: number;
  /** How it waits. */
  readonly mode: Mode;
  /** When it started, in milliseconds since 1970, by its clock. */
  readonly startedAt: number;
  /** How many messages were in its hands. */
  readonly holds: number;
  /** How long ago it said so, in milliseconds; it is said every ten seconds. */
  readonly seenMs: number;
  /** There, and true, while nothing is handed to it; see `pauseConsumer`. */
  readonly paused?: true;
}
