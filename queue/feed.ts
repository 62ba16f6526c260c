/**
 * The loop inside every consumer: take what is there, wait when there is nothing, survive when Redis
 * is away.
 *
 * Polling and blocking differ in one place only, the wait. The loop ends when its signal aborts, when
 * whoever reads it stops, or with an error that no waiting mends (a wrong password, a key of another
 * type). A lost connection, a restart or a failover do not end it: it backs off and goes on.
 *
 * @module
 */
import { DecodeError } from "../redis/codec.ts";
import { isConnectionError, isRetryable } from "../redis/errors.ts";
import { checkOptions, checkSignal, optionNames } from "../redis/options.ts";
import { MAX_BLOCK_MS } from "../redis/own_connection.ts";
import { show } from "../redis/show.ts";
import { backoffMs, checkMs, sleep } from "../redis/timers.ts";
import { checkMode, type ConsumeEvent, type Mode } from "./message.ts";

/** How a feed waits, ends and reports. */
export interface FeedOptions {
  /**
   * How to wait: asking again and again, or in Redis.
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
  /** Ends the loop. A message that is already on its way still comes. */
  signal?: AbortSignal;
  /**
   * Told what the loop survives. Without it, an entry of a plain list that cannot be decoded ends the
   * loop with its error, since nothing may be lost silently; a queue with leases keeps such an entry
   * with the dead letters, and goes on.
   */
  onEvent?: (event: ConsumeEvent) => void;
}

const FEED_OPTIONS = optionNames<FeedOptions>({
  mode: true,
  pollMs: true,
  signal: true,
  onEvent: true,
});

const DEFAULT_POLL_MS = 100;

/**
 * Batches of messages until `signal` aborts.
 *
 * @param take Takes what is there, waiting up to `waitMs`; an empty array if nothing came.
 */
export async function* feed<M>(
  take: (waitMs: number) => Promise<M[]>,
  options: FeedOptions,
): AsyncGenerator<M[], void, void> {
  const { mode = "blocking", pollMs = DEFAULT_POLL_MS, signal, onEvent } = options;
  let failures = 0;
  while (!signal?.aborted) {
    let batch: M[];
    try {
      batch = await take(mode === "blocking" ? MAX_BLOCK_MS : 0);
      failures = 0;
    } catch (error) {
      if (error instanceof DecodeError) {
        yield* withoutBad<M>(error, onEvent);
        continue;
      }
      if (signal?.aborted && (error === signal.reason || isConnectionError(error))) return;
      if (!isRetryable(error)) throw error;
      const inMs = backoffMs(failures++);
      onEvent?.({ type: "retrying", error: error as Error, inMs });
      await sleep(inMs, signal);
      continue;
    }
    if (batch.length > 0) yield batch;
    else if (mode === "polling") await sleep(pollMs, signal);
  }
}

/** Hands on what came with an entry that cannot be decoded; then reports the entry, or throws it. */
function* withoutBad<M>(
  error: DecodeError,
  onEvent?: (event: ConsumeEvent) => void,
): Generator<M[], void, void> {
  const good = error.taken.filter((item) => !(item instanceof DecodeError)) as M[];
  if (good.length > 0) yield good;
  if (!onEvent) throw error;
  for (const bad of error.taken) {
    if (bad instanceof DecodeError) onEvent({ type: "undecodable", error: bad });
  }
}

/** Messages one by one. */
export async function* one<M>(
  feed: AsyncGenerator<M[], void, void>,
): AsyncGenerator<M, void, void> {
  for await (const batch of feed) yield* batch;
}

/**
 * Checks a feed's options.
 *
 * @throws {TypeError} for a `mode`, a `signal` or an `onEvent` that is none, or an unknown option.
 * @throws {RangeError} for a `pollMs` that is no duration.
 */
export function checkFeed<O extends FeedOptions>(options: O): O {
  checkSignal(checkOptions("consume", options, FEED_OPTIONS).signal);
  if (options.mode !== undefined) checkMode(options.mode);
  if (options.pollMs !== undefined) checkMs("pollMs", options.pollMs, { min: 1 });
  if (options.onEvent !== undefined && typeof options.onEvent !== "function") {
    throw new TypeError(`onEvent must be a function, but is ${show(options.onEvent)}`);
  }
  return options;
}
