/**
 * `Delivery`: one hand-over of a message to one consumer, to be settled once.
 *
 * ```
 *   claim ──► leased ──► ack         gone
 *                   ├──► nack        ready or delayed again, or dead after the last attempt
 *                   ├──► deadLetter  dead
 *                   └──► (nothing)   the lease runs out: ready again, or dead
 * ```
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { checkOptions, type OptionNames, optionNames } from "../redis/options.ts";
import { type AttemptError, type Envelope, readHistory } from "./envelope.ts";
import { type Hand, LeaseLostError } from "./hand.ts";
import { checkReason, type Settler, type TaskEnd } from "./settler.ts";

/** Opens a delivery to the worker. */
export const WORKED: unique symbol = Symbol("worked");

/** Opens it to whoever knows how its task ended. */
export const END: unique symbol = Symbol("end");

/** How a delivery is given back. */
export interface NackOptions {
  /**
   * When it may be tried again, in milliseconds from now.
   *
   * @default the queue's backoff
   */
  delayMs?: number;
  /** What went wrong; kept in the message's history (message and stack, 8 KiB at most). */
  error?: unknown;
}

/** The names of these options. */
export const NACK_OPTIONS: OptionNames = optionNames<NackOptions>({ delayMs: true, error: true });

/** Of the options of `deadLetter`. */
export const DEAD_LETTER_OPTIONS: OptionNames = optionNames<{ error?: unknown }>({ error: true });

/**
 * Where a message went that was not acknowledged; `"cancelled"` if somebody cancelled it while it was in
 * hand, so that it is gone. `"settled"` if this had been done when Redis was asked: by somebody else, who
 * has the token; or by this call itself, which was repeated because its first reply was lost. Then it is
 * ready or delayed, or it has gone on from there, and {@linkcode LeasedQueue.find} looks for it; where a
 * delivery has died of it `"dead"` is said all the same, but not by a token, which does not tell the id.
 */
export type GivenBack = "ready" | "delayed" | "dead" | "cancelled" | "settled";

/** What a delivery can be done with; also from another process, by its token. */
export interface Settlement {
  /**
   * The message is done and gone. Acknowledging again succeeds.
   *
   * @throws {LeaseLostError} when the lease ran out: the message was or will be handed out again.
   */
  ack(): Promise<void>;
  /**
   * The attempt failed: try again later, or bury the message if this was the last attempt.
   *
   * @returns Where the message is now; `"settled"` if this is not known, see {@linkcode GivenBack}.
   * @throws {LeaseLostError} when the lease ran out.
   * @throws {TypeError} for what are no options: `nack({ error })`, not `nack(error)`. Nothing is settled
   * then.
   * @throws {RangeError} for a `delayMs` out of range, or a backoff that gives no duration. Nothing is
   * settled then.
   */
  nack(options?: NackOptions): Promise<GivenBack>;
  /**
   * Trying again is pointless: bury the message.
   *
   * @throws {LeaseLostError} when the lease ran out.
   * @throws {TypeError} for a `reason` that is no text or empty, or what are no options. Nothing is settled
   * then.
   */
  deadLetter(reason: string, options?: { error?: unknown }): Promise<void>;
  /**
   * Lengthens the lease to `ms` milliseconds from now; it never shortens it. The other messages that
   * were claimed together share the lease.
   *
   * @param ms From 1 to 2,147,483,647 (24 days).
   * @throws {LeaseLostError} when the lease ran out.
   * @throws {RangeError} for an `ms` out of range.
   */
  extend(ms: number): Promise<void>;
}

/**
 * One hand-over of a message to one consumer, to be settled once. Settling in the same way again is the
 * same success; in another way it is a `TypeError`. Left unsettled, the message comes back when the lease
 * is over.
 *
 * @typeParam T What a payload is.
 *
 * @example Settle by hand, or by leaving the scope
 * ```ts
 * import { connect, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ReliableQueue<string>(redis, "docs_delivery", { backoff: { baseMs: 0 } });
 * await queue.enqueue("thumbnail");
 * {
 *   await using delivery = await queue.receive();
 *   console.log(delivery?.attempt); // 1
 * } // not settled: given back
 * const again = await queue.receive();
 * console.log(again?.attempt, again?.errors[0]?.message); // 2 Error: not settled
 * await again?.ack();
 * await queue.close();
 * await redis.close();
 * ```
 */
export class Delivery<T> implements Settlement, AsyncDisposable {
  /** The message's id: the one its producer chose, or one that the queue made. */
  readonly id: string;
  /** The data, decoded. */
  readonly payload: T;
  /** The number of this hand-over, counted from 1. */
  readonly attempt: number;
  /** When the message was enqueued, in milliseconds since 1970, by its producer's clock. */
  readonly enqueuedAt: number;
  /** When it was handed over, in milliseconds since 1970, by Redis's clock. */
  readonly receivedAt: number;
  /** How urgent it is; 0 in a queue without priorities. */
  readonly priority: number;
  readonly #envelope: Envelope;
  readonly #hand: Hand;
  readonly #index: number;
  readonly #settler: Settler;
  #settled: "ack" | "nack" | "deadLetter" | "release" | undefined;
  #settling: Promise<unknown> | undefined;
  #end: TaskEnd | undefined;
  #aborter: AbortController | undefined;

  /** Made by a queue. */
  constructor(
    { envelope, payload, hand, index, settler }: {
      envelope: Envelope;
      payload: T;
      hand: Hand;
      index: number;
      settler: Settler;
    },
  ) {
    this.id = envelope.id;
    this.payload = payload;
    this.attempt = envelope.attempts + 1;
    this.enqueuedAt = envelope.enqueuedAt;
    this.receivedAt = hand.receivedAt;
    this.priority = envelope.priority;
    this.#envelope = envelope;
    this.#hand = hand;
    this.#index = index;
    this.#settler = settler;
  }

  /** When the lease ends if nobody lengthens it, in milliseconds since 1970, by Redis's clock. */
  get leaseExpiresAt(): number {
    return this.#hand.expiresAt;
  }

  /** Whether the last consumer's lease ran out, as when its process dies. */
  get lapsed(): boolean {
    return this.#envelope.lapsed;
  }

  /** Whether this object was asked to settle it; what came of that, the call tells. */
  get settled(): boolean {
    return this.#settled !== undefined;
  }

  /** Errors of past attempts, oldest first; lapsed leases among them. */
  get errors(): AttemptError[] {
    return readHistory(Buffer.from(this.#envelope.history));
  }

  /**
   * Aborts when the lease is over without being lengthened, and when somebody else has settled the
   * delivery by its token, which the next heartbeat notices; in a worker also when the handler's time
   * or the worker's grace time is over.
   */
  get signal(): AbortSignal {
    if (!this.#aborter) {
      this.#aborter = new AbortController();
      if (this.#settled === undefined || this.#hand.isLost) {
        this.#hand.watch(this.#aborter, this.#index);
      }
    }
    return this.#aborter.signal;
  }

  /** Names this delivery: `queue.delivery(token)` settles it from another process. */
  get token(): string {
    return `${this.#hand.lease}:${this.#index}:${this.attempt}:${this.receivedAt}`;
  }

  /** See {@linkcode Settlement.ack}. */
  ack(): Promise<void> {
    return this.#once(
      "ack",
      () => this.#settler.ack(this.#hand, this.#index, this.#envelope),
    ) as Promise<void>;
  }

  /** See {@linkcode Settlement.nack}. */
  async nack(options: NackOptions = {}): Promise<GivenBack> {
    // Checked before it counts as settled: a bad argument settles nothing.
    checkOptions("nack", options, NACK_OPTIONS);
    const delayMs = this.#settler.delayOf(this.attempt, options);
    return await this.#once(
      "nack",
      () =>
        this.#settler.nack(this.#hand, this.#index, {
          ...options,
          delayMs,
          attempt: this.attempt,
          envelope: this.#envelope,
        }),
    ) as Promise<GivenBack>;
  }

  /** See {@linkcode Settlement.deadLetter}. */
  async deadLetter(reason: string, options: { error?: unknown } = {}): Promise<void> {
    checkReason(reason);
    const { error } = checkOptions("deadLetter", options, DEAD_LETTER_OPTIONS);
    return await this.#once(
      "deadLetter",
      () => this.#settler.bury(this.#hand, this.#index, reason, error),
    ) as Promise<void>;
  }

  /**
   * Gives the message back without spending an attempt: nothing was begun with it. It is ready at once.
   *
   * @throws {LeaseLostError} when the lease ran out.
   *
   * @example Taken for somebody who is gone
   * ```ts
   * import { connect, ReliableQueue } from "@workshop/redis-patterns";
   *
   * const redis = await connect();
   * const queue = new ReliableQueue<string>(redis, "docs_release");
   * await queue.enqueue("thumbnail");
   * await (await queue.receive())?.release();
   * const again = await queue.receive();
   * console.log(again?.attempt); // 1
   * await again?.ack();
   * await queue.close();
   * await redis.close();
   * ```
   */
  async release(): Promise<void> {
    await this.#once("release", () => this.#settler.release(this.#hand, this.#index));
  }

  /** See {@linkcode Settlement.extend}. */
  async extend(ms: number): Promise<void> {
    if (this.#settled !== undefined) {
      throw new TypeError(`Delivery of "${this.id}": extend after ${this.#settled}`);
    }
    await this.#settler.extend([this.#hand], ms, true);
  }

  /** Leaving the scope unsettled gives the message back; after the end of the lease it is not ours. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#settled !== undefined) return;
    try {
      await this.nack({ error: new Error("not settled") });
    } catch (error) {
      if (!(error instanceof LeaseLostError)) throw error;
    }
  }

  /**
   * What the worker's ack tells of a task's end.
   *
   * @ignore
   */
  [END](end: TaskEnd): void {
    this.#end = end;
  }

  /**
   * What a worker needs besides.
   *
   * @ignore
   */
  [WORKED](): WorkedDelivery {
    return {
      settling: this.#settling,
      over: (now) => this.#hand.leftAt(now) > 0 ? undefined : this.#hand,
      abort: (reason) => this.#aborter?.abort(reason),
      ackLater: (settled) => {
        this.#settled = "ack";
        if (this.#aborter) this.#hand.unwatch(this.#aborter);
        this.#settler.ackLater(this.#hand, this.#index, this.#envelope, settled, this.#end);
      },
      release: async () => {
        this.#settled = "nack";
        if (this.#aborter) this.#hand.unwatch(this.#aborter);
        await this.#settler.release(this.#hand, this.#index);
      },
    };
  }

  /** Settling again in the same way is the same success; in another way it is a mistake. */
  #once(
    how: "ack" | "nack" | "deadLetter" | "release",
    settle: () => Promise<unknown>,
  ): Promise<unknown> {
    if (this.#settled === undefined) {
      this.#settled = how;
      if (this.#aborter) this.#hand.unwatch(this.#aborter);
      this.#settling = settle();
    } else if (this.#settled !== how) {
      const error = new TypeError(`Delivery of "${this.id}": ${how} after ${this.#settled}`);
      return Promise.reject(error);
    }
    // What the worker has said for its handler, the worker sees through, and tells of.
    return this.#settling ??= Promise.resolve(how === "nack" ? "ready" : undefined);
  }
}

/** How a worker treats a delivery; not part of the API. */
export interface WorkedDelivery {
  /** Aborts its signal, if somebody looked at it. */
  abort(reason: unknown): void;
  /** Acknowledges at the end of the turn; the callback is told when Redis has it. */
  ackLater(settled?: (error?: Error) => void): void;
  /** Gives it back without spending an attempt. */
  release(): Promise<void>;
  /** Its hand, if the lease is over at this instant of `performance.now()`. */
  over(now: number): Hand | undefined;
  /** What the handler's own settling comes to. */
  readonly settling: Promise<unknown> | undefined;
}
