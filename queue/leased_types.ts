/**
 * What goes into a queue with leases, and what it tells.
 *
 * @module
 */
import type { CodecOption } from "../redis/codec.ts";
import type { Backoff } from "./backoff.ts";
import type { AttemptError } from "./envelope.ts";

/** Options of every queue with leases. */
export interface LeasedQueueOptions<T> {
  /**
   * How long a delivery is yours before it is handed out again, in milliseconds. A worker lengthens
   * it while the handler runs.
   *
   * @default 30_000
   */
  leaseMs?: number;
  /**
   * How often a message is handed over before it is dead, the first time included.
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
  codec?: CodecOption<T>;
  /**
   * Largest payload, in bytes as stored.
   *
   * @default 1_048_576 (1 MiB)
   */
  maxPayloadBytes?: number;
  /**
   * How many dead letters are kept; the oldest go first.
   *
   * @default 10_000
   */
  maxDead?: number;
  /**
   * How long a dead letter is kept, in milliseconds.
   *
   * @default 1_209_600_000 (14 days)
   */
  maxDeadAgeMs?: number;
}

/** Options of one message. */
export interface EnqueueOptions {
  /**
   * An id of your own: 1 to 200 bytes without control characters. It stays taken until the message
   * is gone; meanwhile another message with the same id is not enqueued.
   *
   * @default an id made here, ordered by time
   */
  id?: string;
  /** When the message may be claimed, in milliseconds from now. */
  delayMs?: number;
  /** When the message may be claimed, in milliseconds since 1970. */
  runAt?: number;
}

/** What became of an enqueued message. */
export interface Enqueued {
  /** Its id. */
  readonly id: string;
  /** Whether a message with this id was there already, so that this one was not stored. */
  readonly duplicate: boolean;
}

/** How many messages are in each state. */
export interface Counts {
  /** Waiting to be claimed. */
  readonly ready: number;
  /** In the hands of consumers. */
  readonly leased: number;
  /** Waiting for their time. */
  readonly delayed: number;
  /** Given up. */
  readonly dead: number;
  /** How long ago the message that comes out next was enqueued, in milliseconds, if there is one. */
  readonly oldestReadyMs?: number;
}

/** A message that is not in anybody's hand. */
export interface Waiting<T> {
  /** Its id; empty for an entry that is no message of this library. */
  readonly id: string;
  /** The data, decoded; absent where it could not be. */
  readonly payload?: T;
  /** The data as it stands in Redis, byte for byte. */
  readonly raw: Uint8Array;
  /** How often it was handed over and came back. */
  readonly attempts: number;
  /** When it was enqueued, in milliseconds since 1970, by its producer's clock. */
  readonly enqueuedAt: number;
  /** The errors of its attempts, oldest first. */
  readonly errors: AttemptError[];
  /** Delayed: when it is due, in milliseconds since 1970, by Redis's clock. */
  readonly dueAt?: number;
  /** Dead: why it was given up. */
  readonly reason?: string;
  /** Dead: when, in milliseconds since 1970, by Redis's clock. */
  readonly deadAt?: number;
}
