/**
 * What a worker needs of a queue: the two kinds of queue differ here, and the worker does not know.
 *
 * @module
 */
import type { DecodeError } from "../redis/codec.ts";
import type { Send } from "../redis/script.ts";
import type { GivenBack } from "./delivery.ts";
import type { Backoff } from "./backoff.ts";
import type { Mode, ReceiveOptions } from "./message.ts";

/** Opens a queue to a worker. */
export const INTAKE: unique symbol = Symbol("intake");

/** Lets a scheduler that is no worker do a queue's small tasks. */
export const TICK: unique symbol = Symbol("tick");

/** Where an intake sends its commands that do not wait, if not over connections of its own. */
export interface Lines {
  /** For claims. */
  taking: (args: Parameters<Send>[0], signal?: AbortSignal) => Promise<unknown>;
  /** For all else. */
  settling: Send;
  /** What the consumer is called. */
  consumer: string;
}

/** Lets a queue that has another one as a partition say what its consumer is called there. */
export const CALLED: unique symbol = Symbol("called");

/** Whether an operator has paused the consumer that a queue object is. */
export const ASIDE: unique symbol = Symbol("aside");

/** Opens what a queue has counted to whoever adds several of them up. */
export const COUNTERS: unique symbol = Symbol("counters");

/** What a worker tells its intake. */
export interface IntakeOptions<D> {
  /** How the worker waits, for others to see. */
  mode: Mode;
  /** Goes before the queue's. */
  backoff?: Backoff;
  /** Told of an entry that cannot be read and has been put aside. */
  onUndecodable: (error: DecodeError) => void;
  /** Told of a backoff that threw, or gave no duration. */
  onBadBackoff: (delivery: D, error: unknown) => void;
  /** Shared with others; then it cannot wait, and claims nothing ahead. Whoever made them ends them. */
  lines?: Lines;
}

/**
 * Where a message is whose handler threw: given back, `"gone"` where a message is handed out once only,
 * or `"settled"`: by the handler itself before it threw, by somebody else, or by a nack whose reply was lost.
 */
export type Ended = GivenBack | "gone";

/** A worker's side of a queue; `D` is what is handed over. */
export interface Intake<D> {
  /** Whether a message can be given back. */
  readonly givesBack: boolean;
  /** When Redis last answered what runs beside, by `performance.now()`. */
  readonly answeredAt?: number;
  /** Whether an operator has paused it: what waits is for others. */
  readonly isPaused?: boolean;
  /** Takes up to `max`, waiting for the first. */
  take(max: number, options: ReceiveOptions): Promise<D[]>;
  /**
   * Why a delivery must not be begun any more, if its lease is over at this instant of
   * `performance.now()`: it is or will be somebody else's.
   */
  lost?(delivery: D, now: number): Error | undefined;
  /** The handler returned. `settled` is told when that is certain, if somebody wants to know. */
  done(delivery: D, settled?: (error?: Error) => void): void;
  /** The handler threw. Gives where the message is now. */
  failed(delivery: D, error: unknown): Promise<Ended>;
  /** Gives back what was not begun; false where that cannot be done. */
  release(delivery: D): Promise<boolean>;
  /** The signal that a handler sees. */
  signal(delivery: D): AbortSignal;
  /** Aborts that signal, if the handler has looked at it. */
  abort(delivery: D, reason: unknown): void;
  /** Ends what runs beside, after the last delivery was settled; within `ms`, if that is given. */
  close(ms?: number): Promise<void>;
}

/** A queue that a worker can run. */
export interface WorkerSource<D> {
  /** The queue's name. */
  readonly name: string;
  /**
   * Used by the worker.
   *
   * @ignore
   */
  [INTAKE](options: IntakeOptions<D>): Intake<D>;
}

/** Signals for deliveries that have none of their own: a controller only for those who look. */
export class Signals<D extends object> {
  readonly #aborters = new Map<D, AbortController>();

  /** The signal of a delivery. */
  of(delivery: D): AbortSignal {
    let aborter = this.#aborters.get(delivery);
    if (!aborter) this.#aborters.set(delivery, aborter = new AbortController());
    return aborter.signal;
  }

  /** Aborts it, if somebody looked. */
  abort(delivery: D, reason: unknown): void {
    this.#aborters.get(delivery)?.abort(reason);
  }

  /** The delivery is over. */
  forget(delivery: D): void {
    this.#aborters.delete(delivery);
  }
}
