/**
 * Taking messages under a lease, and waiting for them.
 *
 * There is one claim path. Polling asks it again and again; blocking puts a wait in front of it: a
 * `BLPOP` on the queue's token, which is there if and only if something can be claimed. So a token
 * that is lost costs a wait, never a message, and both modes give the same guarantees. Both commands
 * leave in one write, so that Redis claims the moment the token comes.
 *
 * A claim whose reply was lost is repeated under the same lease and gives the same messages; one that
 * was given up is asked for again by the next claim, or its messages would wait for the end of a lease.
 *
 * @module
 */
import { isRetryable } from "../redis/errors.ts";
import type { QueueKeys } from "../redis/keys.ts";
import type { OwnConnection } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { backoffMs, sleep } from "../redis/timers.ts";
import type { Claim } from "./claim_scripts.ts";
import type { LeasedScripts } from "./leased_scripts.ts";
import { Hand } from "./hand.ts";
import type { SettleOptions } from "./settler.ts";
import { random } from "./uid.ts";

/** How often a claim whose reply was lost is repeated before that is told. */
const REPEATS = 3;

/** Most claims that are in doubt at once; what more of them took is left to its lease. */
const MAX_DOUBTS = 100;

/** How often whoever waits looks for lapsed leases. */
export const TICK_MS = 1_000;

/**
 * By how much our reckoning of Redis's clock may be behind for other reasons than that the clock was set
 * back: it is by as long as the claim that it is from took to reach Redis.
 */
const RECKONING_MS = 1_000;

/** Most finished leases that one claim takes along. */
const MAX_FINISHED = 100;

/** Claims of one consumer. */
export class Claimer {
  /** The consumer's name in leases, history and presence; another one counts from the next claim on. */
  consumer: string;
  /** When (by `performance.now()`) the next delayed message is due, or the rate permits a claim. */
  dueAt = Infinity;
  /** Until when (by `performance.now()`) the rate limit refuses every claim. */
  refusedUntil = 0;
  /** Whether an operator has paused this consumer: it must not wait for tokens, which are for others. */
  isPaused = false;
  readonly #repeats: number;
  readonly #keys: QueueKeys;
  readonly #scripts: LeasedScripts;
  readonly #leaseMs: number;
  readonly #options: SettleOptions;
  readonly #rate: string;
  readonly #finished: Hand[] = [];
  /** Claims that were given up without an answer: they may have taken messages, or not. */
  readonly #doubts: { lease: string; most: number }[] = [];
  /** Redis's clock, and ours before it was asked: what runs behind a wait is timed by it. */
  #clock: { now: number; askedAt: number } | undefined;
  #count = 0;

  constructor(
    { consumer = random(10), repeats = REPEATS, keys, scripts, leaseMs, options, rate }: {
      consumer?: string;
      /** How often a claim is repeated whose reply was lost; the next one asks for it as well. */
      repeats?: number;
      keys: QueueKeys;
      scripts: LeasedScripts;
      leaseMs: number;
      options: SettleOptions;
      rate: string;
    },
  ) {
    this.consumer = consumer;
    this.#repeats = repeats;
    this.#keys = keys;
    this.#scripts = scripts;
    this.#leaseMs = leaseMs;
    this.#options = options;
    this.#rate = rate;
  }

  /** Nothing is left under this lease, and Redis has said so: a later claim removes it. */
  finished(hand: Hand): void {
    this.#finished.push(hand);
  }

  /**
   * Takes up to `most` messages under one lease, of which `room` may have had a lease that ran out.
   *
   * @param options `waits`: it is sent behind the token, so when it runs is not known beforehand.
   * `signal`: once it aborts, nothing is repeated.
   * @returns The hand and its messages, or undefined if there was nothing.
   */
  async claim(
    send: Send,
    { most, room, waits = false, signal }: {
      most: number;
      room: number;
      waits?: boolean;
      signal?: AbortSignal;
    },
  ): Promise<{ hand: Hand; messages: (Uint8Array | null)[] } | undefined> {
    const doubt = this.#doubtUpTo(most);
    const asked = doubt ?? { lease: `${this.consumer}:${most}:${this.#count++}`, most };
    const { lease } = asked;
    const finished = this.#finished.splice(0, MAX_FINISHED);
    const rest = finished.flatMap((hand) => [hand.lease, String(hand.unproved)]);
    let askedAt = 0; // the last time: one that is repeated tells what is left of the lease by then
    const { now, dueInMs, leaseMs, refusedMs, messages, ids } = await this.#persist(
      () => {
        askedAt = performance.now();
        return this.#scripts.claim.run(send, this.#keys, {
          ...asked,
          room,
          lease_ms: this.#leaseMs,
          policy: this.#options.policy,
          rate: this.#rate,
          counting: this.#options.counting,
        }, rest);
      },
      signal,
    ).catch((error) => {
      if (isRetryable(error) && this.#doubts.length < MAX_DOUBTS) this.#doubts.push(asked);
      throw error;
    });
    if (!waits) this.#clock = { now, askedAt };
    const ranAt = waits ? this.#timeOf(now, askedAt) : askedAt;
    this.dueAt = dueInMs < 0 ? Infinity : ranAt + dueInMs;
    this.refusedUntil = refusedMs > 0 ? ranAt + refusedMs : 0;
    this.isPaused = refusedMs === -2;
    if (messages.length === 0) return undefined;
    // Its time runs from before Redis began it: a busy event loop may read the reply long after.
    const hand = new Hand({
      lease,
      size: messages.length,
      receivedAt: now,
      claimedAt: ranAt,
      leaseMs,
      ids,
    });
    for (const message of messages) if (message === null) hand.left--;
    return { hand, messages };
  }

  /** Whoever waits next has to know when the next delayed message is due; we do not wait any more. */
  async handOn(send: Send): Promise<void> {
    if (this.dueAt < Infinity) await this.#scripts.handOn.run(send, this.#keys, {});
  }

  /** Removes the leases that are finished, for a consumer that claims no more. */
  async forget(send: Send): Promise<void> {
    while (this.#finished.length > 0) {
      const finished = this.#finished.splice(0, MAX_FINISHED);
      const rest = finished.flatMap((hand) => [hand.lease, String(hand.unproved)]);
      await this.#scripts.forget.run(send, this.#keys, {}, rest);
    }
  }

  /** Promotes what is due and sweeps what has lapsed, for whoever waits. */
  async tick(send: Send): Promise<void> {
    const askedAt = performance.now();
    const dueInMs = await this.#scripts.tick.run(send, this.#keys, {
      policy: this.#options.policy,
      rate: this.#rate,
      counting: this.#options.counting,
    });
    this.dueAt = dueInMs < 0 ? Infinity : askedAt + dueInMs;
  }

  /**
   * Sends the claim behind a wait for the token, `ms` at most. However the wait ends the claim runs, so
   * a token that came is used or passed on. A claim that is repeated does not wait again.
   */
  behindToken(own: OwnConnection, ms: number, signal?: AbortSignal): Send {
    let waited = false;
    return (args) => {
      if (waited) return own.call(args, signal);
      waited = true;
      const wait = (seconds: string) => ["BLPOP", this.#keys.wake, seconds];
      return own.blockThen(wait, args, { blockMs: ms, signal });
    };
  }

  /**
   * The oldest claim in doubt that took no more than may be taken now. Where Redis never ran it, or its
   * lease is over, asking for it is a claim like any other.
   */
  #doubtUpTo(most: number): { lease: string; most: number } | undefined {
    const at = this.#doubts.findIndex((doubt) => doubt.most <= most);
    return at < 0 ? undefined : this.#doubts.splice(at, 1)[0];
  }

  /**
   * When Redis's clock said `now`, by ours, to somebody who was asked at `askedAt`: not later than this,
   * however late the reply is read. Where that would be before it was asked, Redis's clock was set back, or
   * another server has taken over whose clock is behind: then it has nothing to say until it was asked anew,
   * and its lease begins when we read of it. By the old reckoning the lease might be over already, and what
   * has just come would be nobody's until it is.
   */
  #timeOf(now: number, askedAt: number): number {
    const readAt = performance.now();
    if (!this.#clock) return readAt;
    const ranAt = this.#clock.askedAt + now - this.#clock.now;
    if (ranAt < askedAt - RECKONING_MS) {
      this.#clock = undefined;
      return readAt;
    }
    return Math.min(readAt, Math.max(ranAt, askedAt));
  }

  async #persist(run: () => Promise<Claim>, signal?: AbortSignal): Promise<Claim> {
    for (let failures = 0;; failures++) {
      try {
        return await run();
      } catch (error) {
        if (!isRetryable(error) || signal?.aborted || failures >= this.#repeats) throw error;
        await sleep(backoffMs(failures), signal);
        if (signal?.aborted) throw error;
      }
    }
  }
}
