/**
 * A hand: the messages of one claim, which are held under one lease.
 *
 * @module
 */
import { WHOLE_HAND } from "./stream_lua.ts";
import { clearTimeout, setTimeout as setNodeTimeout } from "node:timers";

/**
 * The lease of a delivery ran out before it was settled: the message was handed out again, or will
 * be. Nothing was changed. Whatever the handler did may be done a second time.
 *
 * @example Tell it from other errors
 * ```ts
 * import { connect, LeaseLostError, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const queue = new ReliableQueue(redis, "docs_lost");
 * try {
 *   await queue.delivery("somebody:1:0:1").ack(); // the token of a lease that is over
 * } catch (error) {
 *   console.log(error instanceof LeaseLostError); // true
 * }
 * await redis.close();
 * ```
 */
export class LeaseLostError extends Error {
  /** The name that stack traces show. */
  override readonly name = "LeaseLostError";
  /** The lease that is gone. */
  readonly lease: string;

  /** Makes the error. */
  constructor(lease: string) {
    super(`The lease ${lease} is over: the message was or will be handed out again`);
    this.lease = lease;
  }
}

/** The messages of one claim, held under one lease. */
export class Hand {
  /** Names the consumer, how many messages were asked for, and the claim. */
  readonly lease: string;
  /** How many messages it had. */
  readonly size: number;
  /** When it was claimed, by Redis's clock. */
  readonly receivedAt: number;
  /** When it ends if nobody lengthens it, by Redis's clock. */
  expiresAt: number;
  readonly #ids: string;
  #idsApart: readonly string[] | undefined;
  /** Messages that are not settled yet. */
  left: number;
  /** How many of them Redis has said that it removed. */
  removed = 0;
  /** Those whose handler looked at its signal, by the message's place in the hand. */
  readonly #aborters = new Map<AbortController, number>();
  readonly #taken = new Map<number, LeaseLostError>();
  /** When it was claimed, by `performance.now()`: the wall clock may jump. */
  readonly claimedAt: number;
  #endsAt: number; // by performance.now()
  #lost: LeaseLostError | undefined;
  #timer: ReturnType<typeof setNodeTimeout> | undefined;

  constructor(
    { lease, size, receivedAt, claimedAt = performance.now(), leaseMs, ids = "" }: {
      lease: string;
      size: number;
      receivedAt: number;
      claimedAt?: number;
      leaseMs: number;
      /** In a stream: by which ids the group has the messages on record, in their order. */
      ids?: string | undefined;
    },
  ) {
    this.lease = lease;
    this.size = this.left = size;
    this.receivedAt = receivedAt;
    this.expiresAt = receivedAt + leaseMs;
    this.claimedAt = claimedAt;
    this.#endsAt = claimedAt + leaseMs;
    this.#ids = ids;
  }

  /** By which ids the stream's group has these messages on record; "" if this is not known. */
  idsOf(indexes: readonly number[]): string {
    if (this.#ids !== "" && indexes.length === this.size) return WHOLE_HAND; // as most hands end
    this.#idsApart ??= this.#ids.split(" ");
    return indexes.map((index) => this.#idsApart![index - 1]).join(" ");
  }

  /**
   * How many fields have to be looked at before the lease may be removed: none if Redis has confirmed
   * that each is gone; all if a repeated settling hid what an earlier one had done.
   */
  get unproved(): number {
    return this.removed === this.size ? 0 : this.size;
  }

  /** Whether Redis, or the clock, has said that the lease is over. */
  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Milliseconds until the lease ends, as far as we know. */
  get leftMs(): number {
    return this.leftAt(performance.now());
  }

  /** The same at an instant of `performance.now()`. */
  leftAt(now: number): number {
    return this.#lost ? 0 : this.#endsAt - now;
  }

  /** The lease was lengthened to `ms` from when that was said. */
  extended(ms: number, saidAt: number): void {
    const gain = saidAt + ms - this.#endsAt;
    if (gain <= 0) return;
    this.#endsAt += gain;
    this.expiresAt += Math.round(gain);
  }

  /** Aborts `aborter` when the lease is over. There is a timer only for those who look. */
  watch(aborter: AbortController, index: number): void {
    if (this.#lost) return aborter.abort(this.#lost);
    this.#aborters.set(aborter, index);
    if (this.#timer === undefined) this.#arm();
  }

  /** The messages for which somebody would hear that they are gone. */
  get watched(): number[] {
    return [...this.#aborters.values()];
  }

  /** Somebody else has settled this message: whoever works on it is told, if it still does. */
  takenAway(index: number): void {
    for (const [aborter, watched] of this.#aborters) {
      if (watched !== index) continue;
      const error = new LeaseLostError(this.lease);
      this.#taken.set(index, error);
      this.unwatch(aborter);
      aborter.abort(error);
    }
  }

  /** What to throw if Redis has said that somebody else has settled this message. */
  taken(index: number): LeaseLostError | undefined {
    return this.#taken.get(index);
  }

  /** The delivery was settled: its signal need not abort any more. */
  unwatch(aborter: AbortController): void {
    this.#aborters.delete(aborter);
    if (this.#aborters.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The lease is over. */
  lost(): LeaseLostError {
    const error = this.#lost ??= new LeaseLostError(this.lease);
    clearTimeout(this.#timer);
    for (const aborter of this.#aborters.keys()) aborter.abort(error);
    this.#aborters.clear();
    return error;
  }

  #arm(): void {
    // It may have been lengthened meanwhile; then look again when it ends.
    this.#timer = setNodeTimeout(() => {
      if (this.leftMs <= 0) this.lost();
      else this.#arm();
    }, Math.max(1, Math.min(this.leftMs, 2_147_483_647)));
    this.#timer.unref(); // a signal that somebody looked at keeps no program alive
  }
}

/** Indexes as an ack names them: `3-7 9`. Those that follow each other cost nothing. */
export function rangesOf(indexes: readonly number[]): string {
  let text = "";
  for (let i = 0; i < indexes.length; i++) {
    const from = indexes[i]!;
    let to = from;
    while (indexes[i + 1] === to + 1) to = indexes[++i]!;
    text += `${text === "" ? "" : " "}${from}${to > from ? `-${to}` : ""}`;
  }
  return text;
}
