/**
 * Claiming from all partitions of a queue, and waiting for any of them.
 *
 * Each partition is asked on its own: a claim that is under way keeps its slots, and what has come in is
 * handed out at once, so a master that is away, or slow, keeps nobody waiting for the others. Whoever is
 * asked first changes with every turn, and free slots are shared out evenly.
 *
 * ```
 *            something came                        told: the token changed
 *        ┌───────────────────┐                 ┌────────────────────────────┐
 *        ▼                   │                 │                            ▼
 *      full ── claim ── empty? ── no token ──► quiet                token? ── claim
 *        ▲                   └── token, claim ──┘ ▲                        │ none
 *        └───────────── something came ───────────┴────────────────────────┘
 * ```
 *
 * Who waits in Redis is told when a token changes (wake_watch.ts), and asks nobody meanwhile. Every five
 * seconds all are asked, whatever was told: so a word that was lost costs time and no message.
 *
 * @module
 */
import { isRetryable } from "../redis/errors.ts";
import { MAX_BLOCK_MS } from "../redis/own_connection.ts";
import type { ReceiveOptions } from "./message.ts";
import type { WakeWatch } from "./wake_watch.ts";

/** How long a partition whose master is away is left alone: at first, and at most, in milliseconds. */
const AWAY_MS = 50;
const MAX_AWAY_MS = 500;

/** After how long a claim that was not answered is not waited for any more, in milliseconds. */
const LATE_MS = 250;

/**
 * While a message is held that keeps others of its kind back, a token may be for one of those: the pause
 * after such a token, and what it grows to while nothing else comes.
 */
const HELD_BACK_MS = 50;
const MAX_HELD_BACK_MS = 1_000;

/** A partition, as whoever claims sees it. */
export interface Claimable<D> {
  /** Claims up to `most`, at once. */
  claim(most: number, signal?: AbortSignal): Promise<D[]>;
  /** Whether some of what waits may not be claimed now, though others may claim it. */
  holdsBack?(): boolean;
}

/** A partition, and what is known of it. */
interface Lane<D> extends Claimable<D> {
  index: number;
  /** There may be something; the token changed; or there is nothing, and we are told of changes. */
  state: "full" | "told" | "quiet";
  /** How many were asked for, while the answer is out. */
  asked: number;
  askedAt: number;
  /** When it may be asked again, after it failed or something was held back. */
  retryAt: number;
  awayMs: number;
  heldBackMs: number;
  error: unknown;
}

/** See the module. */
export class PartitionedClaims<D> {
  readonly #lanes: readonly Lane<D>[];
  readonly #watch: WakeWatch | undefined;
  readonly #unlisten: (() => void) | undefined;
  readonly #came: D[] = [];
  readonly #bell = new Bell();
  readonly #keepsSlots: boolean;
  #late: ((item: D) => void) | undefined;
  #turn: number;
  #allAskedAt = -Infinity;
  #toldAt = -Infinity;

  constructor(
    lanes: readonly Claimable<D>[],
    { watch, turn = 0, keepsSlots = true }: {
      /** Tells when there is something; without it nobody can wait here. */
      watch?: WakeWatch | undefined;
      /** Which partition is asked first. */
      turn?: number;
      /** Whether a claim that is late keeps its slots; else more may come in the end than was asked for. */
      keepsSlots?: boolean;
    } = {},
  ) {
    this.#keepsSlots = keepsSlots;
    this.#lanes = lanes.map((lane, index) => ({
      ...lane,
      index,
      state: "full",
      asked: 0,
      askedAt: 0,
      retryAt: 0,
      awayMs: AWAY_MS,
      heldBackMs: HELD_BACK_MS,
      error: undefined,
    }));
    this.#watch = watch;
    this.#turn = turn % lanes.length;
    this.#unlisten = watch?.listen((index) => this.#told(index));
  }

  /**
   * Up to `max` of any partition: at once, or the first that come within `waitMs`. Empty when there was
   * nothing, or `signal` aborts.
   *
   * @throws What failed, if nothing came.
   */
  async take(max: number, { waitMs = 0, signal }: ReceiveOptions): Promise<D[]> {
    const until = performance.now() + waitMs;
    const waits = waitMs > 0 && this.#watch !== undefined;
    const ring = () => this.#bell.ring();
    signal?.addEventListener("abort", ring);
    try {
      // To be asked once, also where nothing is expected.
      const unasked = new Set<Lane<D>>();
      const askAll = () => {
        for (const lane of this.#lanes) unasked.add(lane);
        this.#allAskedAt = performance.now();
      };
      if (!waits) askAll();
      for (;;) {
        if (waits && performance.now() >= this.#allAskedAt + MAX_BLOCK_MS) askAll();
        if (this.#came.length > 0) return this.#came.splice(0, max);
        if (signal?.aborted) return [];
        this.#ask(max, { unasked, waits, signal });
        if (!this.#isAsking(unasked)) {
          const error = this.#trouble(waits && performance.now() < until);
          if (error !== undefined) throw error;
          if (!waits || performance.now() >= until) return [];
        }
        await this.#bell.heard(
          this.#longestMs(waits ? Math.min(until, this.#allAskedAt + MAX_BLOCK_MS) : Infinity),
        );
      }
    } finally {
      signal?.removeEventListener("abort", ring);
    }
  }

  /** There may be something in a partition, whoever says so. */
  expect(index: number): void {
    const lane = this.#lanes[index]!;
    lane.state = "full";
    if (lane.error === undefined) lane.retryAt = 0;
    this.#bell.ring();
  }

  /**
   * Ends the waiting; gives what came and was not handed out, after what is under way is answered.
   *
   * @param late Told of what comes after `ms`.
   */
  async close(ms: number, late: (item: D) => void): Promise<D[]> {
    this.#unlisten?.();
    const until = performance.now() + ms;
    while (this.#isAnswerOut() && performance.now() < until) {
      await this.#bell.heard(Math.max(1, until - performance.now()));
    }
    this.#late = late;
    return this.#came.splice(0);
  }

  #told(index?: number): void {
    for (const lane of index === undefined ? this.#lanes : [this.#lanes[index]!]) {
      if (lane.state === "quiet") lane.state = "told";
    }
    this.#bell.ring();
  }

  /** Asks those from whom something may be expected, for no more in all than there are free slots. */
  #ask(
    max: number,
    { unasked, waits, signal }: {
      unasked: Set<Lane<D>>;
      waits: boolean;
      signal: AbortSignal | undefined;
    },
  ): void {
    const now = performance.now();
    const out = this.#lanes.reduce(
      (sum, { asked, askedAt }) => this.#keepsSlots || now - askedAt < LATE_MS ? sum + asked : sum,
      0,
    );
    const free = max - out;
    if (free < 1) return;
    const count = this.#lanes.length;
    const next = this.#lanes.map((_, i) => this.#lanes[(this.#turn + i) % count]!)
      .filter((lane) =>
        lane.asked === 0 && now >= lane.retryAt &&
        (unasked.has(lane) || waits && lane.state !== "quiet")
      ).slice(0, free);
    if (next.length === 0) return;
    this.#turn = (next.at(-1)!.index + 1) % count;
    const shares = shareOut(free, next.length);
    for (const [i, lane] of next.entries()) {
      if (unasked.delete(lane)) lane.state = "full";
      void this.#askOne(lane, shares[i]!, waits, signal);
    }
  }

  async #askOne(
    lane: Lane<D>,
    most: number,
    waits: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    lane.asked = most;
    lane.askedAt = performance.now();
    const wasTold = lane.state === "told";
    lane.state = "quiet"; // unless we are told otherwise meanwhile
    try {
      let came = wasTold ? [] : await lane.claim(most, signal);
      if (came.length === 0 && waits && await this.#watch!.takeToken(lane.index)) {
        came = await lane.claim(most, signal);
        if (came.length === 0 && lane.holdsBack?.()) {
          lane.retryAt = performance.now() + lane.heldBackMs;
          lane.heldBackMs = Math.min(2 * lane.heldBackMs, MAX_HELD_BACK_MS);
        }
      }
      if (came.length > 0) {
        lane.state = "full";
        lane.heldBackMs = HELD_BACK_MS;
      }
      if (this.#late) came.forEach(this.#late);
      else this.#came.push(...came);
      lane.error = undefined;
      lane.awayMs = AWAY_MS;
    } catch (error) {
      lane.state = "full";
      lane.error = error;
      lane.retryAt = performance.now() + lane.awayMs;
      lane.awayMs = Math.min(2 * lane.awayMs, MAX_AWAY_MS);
    } finally {
      lane.asked = 0;
      this.#bell.ring();
    }
  }

  /** Whether there are answers to wait for, or partitions to be asked, other than those that are away. */
  #isAsking(unasked: Set<Lane<D>>): boolean {
    const now = performance.now();
    return this.#lanes.some((lane) =>
      lane.asked > 0 ? now - lane.askedAt < LATE_MS : now >= lane.retryAt && unasked.has(lane)
    );
  }

  /** For how long to listen: until then, or until somebody is late, or may be asked again. */
  #longestMs(until: number): number {
    const now = performance.now();
    const times = this.#lanes.map(({ asked, retryAt }) =>
      asked > 0 ? now + LATE_MS : retryAt > now ? retryAt : until
    );
    return Math.max(1, Math.min(until, ...times) - now);
  }

  #isAnswerOut(): boolean {
    return this.#lanes.some(({ asked }) => asked > 0);
  }

  /**
   * Why nothing came. Where no waiting mends it, or nobody answers, that is told at once; else when there is
   * nobody left to wait for, and not again for a while, since whoever is told pauses.
   */
  #trouble(mayWait: boolean): unknown {
    const failed = this.#lanes.filter(({ error }) => error !== undefined);
    const fatal = failed.find(({ error }) => !isRetryable(error));
    if (fatal || failed.length === this.#lanes.length) return (fatal ?? failed[0]!).error;
    const now = performance.now();
    if (mayWait || failed.length === 0 || now - this.#toldAt < MAX_BLOCK_MS) return undefined;
    this.#toldAt = now;
    return failed[0]!.error;
  }
}

/** Rings for whoever listens, and for the next one who does. */
class Bell {
  #rung = false;
  #wake: () => void = () => {};

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Until it rings, or for `ms`. */
  async heard(ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#rung = false;
  }
}

/** `max` in `count` shares that differ by one at most; those in front have one more. */
export function shareOut(max: number, count: number): number[] {
  const least = Math.floor(max / count);
  return Array.from({ length: count }, (_, i) => i < max % count ? least + 1 : least);
}
