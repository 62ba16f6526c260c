/**
 * What users of a worker deal with: what a handler is and gets, what happens, options, and how it is doing.
 *
 * @module
 */
import { type OptionNames, optionNames } from "../redis/options.ts";
import type { Backoff } from "./backoff.ts";
import type { Ended } from "./intake.ts";
import type { ConsumeEvent, Mode } from "./message.ts";

/** What a handler gets besides the payload. */
export interface HandlerContext<D> {
  /**
   * Aborts when the worker was stopped and its grace time is over, when the handler's time is over, or
   * when the lease was lost. Made when first looked at.
   */
  readonly signal: AbortSignal;
  /** What was handed over: a `Message`, or a `Delivery` that may also be settled by the handler. */
  readonly delivery: D;
}

/**
 * Your code for one message. When it returns, the message is done; when it throws, the attempt has
 * failed.
 */
export type Handler<D extends { readonly payload: unknown }> = (
  payload: D["payload"],
  context: HandlerContext<D>,
) => unknown;

/** What happens in a worker, for `onEvent`. */
export type WorkerEvent<D> =
  | ConsumeEvent
  /** A handler returned, and Redis knows. */
  | { type: "done"; delivery: D; ms: number }
  /** A handler threw. `to` tells where the message is now, as far as is known. */
  | { type: "failed"; delivery: D; ms: number; error: unknown; to: Ended }
  /** The backoff threw, or gave no duration: the message waits as long as the default says. */
  | { type: "backoff"; delivery: D; error: unknown }
  /**
   * What a handler did could not be settled, or it was not begun any more: the lease was lost, so the
   * message goes out again.
   */
  | { type: "lost"; delivery: D; error: Error };

/** Options of {@linkcode Worker}. */
export interface WorkerOptions<D> {
  /**
   * How many handlers run at the same time, from 1 to 1,000.
   *
   * @default 1
   */
  concurrency?: number;
  /**
   * How the worker waits for messages.
   *
   * @default "blocking"
   */
  mode?: Mode;
  /**
   * Pause after an empty answer in polling mode, in milliseconds; at least 1.
   *
   * @default 100
   */
  pollMs?: number;
  /**
   * How long a handler may take, in milliseconds; at least 1. Then its signal aborts, the attempt has failed, and
   * its slot is free; what it does afterwards is ignored.
   *
   * @default no limit
   */
  timeoutMs?: number;
  /**
   * How long a message waits before its next attempt; goes before the queue's.
   *
   * @default the queue's
   */
  backoff?: Backoff;
  /**
   * How long handlers may go on after a stop before their signals abort, in milliseconds; 0 aborts at once.
   *
   * @default 10_000
   */
  graceMs?: number;
  /**
   * Told what happens. Without it, the first failure that is kept nowhere (of a handler whose message
   * is gone, or an entry of a plain list that cannot be decoded) stops the worker and `run()` rejects
   * with it, since nothing may fail silently. What a queue with leases keeps (attempts that failed, in
   * the message's history; entries that cannot be decoded, with the dead letters) is not told then.
   */
  onEvent?: (event: WorkerEvent<D>) => void;
}

/** The names of these options. */
export const WORKER_OPTIONS: OptionNames = optionNames<WorkerOptions<unknown>>({
  concurrency: true,
  mode: true,
  pollMs: true,
  timeoutMs: true,
  backoff: true,
  graceMs: true,
  onEvent: true,
});
/** How a worker is doing. */
export interface Health {
  /** Whether it is running. */
  readonly running: boolean;
  /** How many handlers are running. */
  readonly active: number;
  /** How long ago Redis last answered it, in milliseconds; undefined if it has not yet. */
  readonly lastAnswerMs?: number;
  /**
   * How long ago it last finished a claim, with messages or without, in milliseconds; undefined if it has
   * not yet. While there are free slots (`active` is less than its `concurrency`) it claims anew every
   * few seconds; while there are none it does not.
   */
  readonly lastClaimMs?: number;
}
