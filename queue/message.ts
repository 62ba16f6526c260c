/**
 * What consumers get, and what they are told besides.
 *
 * @module
 */
import type { DecodeError } from "../redis/codec.ts";
import { checkOptions, checkSignal, optionNames } from "../redis/options.ts";
import { show } from "../redis/show.ts";

/**
 * A message that was handed over *at most once*: Redis no longer has it. If the program ends before
 * it is done, the message is gone. The type says so: there is nothing on it to acknowledge.
 */
export interface Message<T> {
  /** The data, decoded. */
  readonly payload: T;
  /** When it was received, in milliseconds since 1970, by this program's clock. */
  readonly receivedAt: number;
}

/** An entry of a queue that was looked at and left where it is. */
export interface Peeked<T> {
  /** The data, decoded; absent where it could not be. */
  readonly payload?: T;
  /** The entry as it stands in Redis, byte for byte. */
  readonly raw: Uint8Array;
  /** Why there is no payload. */
  readonly error?: DecodeError;
}

/** One page of entries. */
export interface Page<T> {
  /** The entries, the one that comes out first in front. */
  readonly messages: Peeked<T>[];
  /** Where the next page begins; undefined after the last one. */
  readonly cursor?: string;
}

/** How `receive` waits. */
export interface ReceiveOptions {
  /**
   * How long to wait in Redis for a message, in milliseconds. 0 does not wait.
   *
   * @default 0
   */
  waitMs?: number;
  /** Ends the wait; `receive` then rejects with the signal's reason. */
  signal?: AbortSignal;
}

const RECEIVE_OPTIONS = optionNames<ReceiveOptions>({ waitMs: true, signal: true });

/**
 * Checks how to wait; `waitMs` is checked where the waiting is.
 *
 * @throws {TypeError} naming what is no option, or no signal.
 */
export function checkReceive(what: string, options: ReceiveOptions): ReceiveOptions {
  checkSignal(checkOptions(what, options, RECEIVE_OPTIONS).signal);
  return options;
}

/**
 * How a consumer gets its messages: `"polling"` asks again and again, `"blocking"` waits in Redis on
 * a connection of its own. Both give the same guarantees.
 */
export type Mode = "polling" | "blocking";

/** What happens to a consumer's loop, for `onEvent`. */
export type ConsumeEvent =
  /** Redis could not be asked; the loop tries again in `inMs` milliseconds. */
  | { type: "retrying"; error: Error; inMs: number }
  /**
   * An entry could not be decoded, or its schema refused it. The error's `raw` has it; a queue with
   * leases keeps it with the dead letters, for a plain list it is out of Redis.
   */
  | { type: "undecodable"; error: DecodeError };

/**
 * Checks a mode.
 *
 * @throws {TypeError} naming the value.
 */
export function checkMode(mode: Mode): Mode {
  if (mode !== "polling" && mode !== "blocking") {
    throw new TypeError(`mode must be "polling" or "blocking", but is ${show(mode, "string")}`);
  }
  return mode;
}
