/**
 * Settling: acks of a turn share one script, and what Redis did not answer is said again until the
 * lease ends. Every script here is fenced by the lease, so saying it twice does it once.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { CommandArgument } from "../redis/client.ts";
import { isRetryable } from "../redis/errors.ts";
import type { QueueKeys } from "../redis/keys.ts";
import type { Send } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { backoffMs, checkMs, sleep } from "../redis/timers.ts";
import type { GivenBack, NackOptions } from "./delivery.ts";
import { type Envelope, toText, writeError } from "./envelope.ts";
import { type Hand, rangesOf } from "./hand.ts";
import type { LeasedScripts } from "./leased_scripts.ts";
import { extendScript } from "./settle_scripts.ts";
import { Times } from "./stats.ts";

/**
 * Checks why a message is buried.
 *
 * @throws {TypeError} for what is no text.
 */
export function checkReason(reason: string): void {
  if (typeof reason !== "string" || reason === "") {
    throw new TypeError(`A reason must be a text, but is ${show(reason, "string")}`);
  }
}

/** The last millisecond that a Date has. */
export const MAX_TIME = { max: 8_640_000_000_000_000 };

/** How failed attempts are dealt with. */
export interface SettleOptions {
  /** What the queue keeps and how long; see limits.ts. */
  policy: string;
  /** Milliseconds before the attempt after number `attempt`. */
  backoff: (attempt: number, error: unknown) => number;
  /** How much of the log of what was done is kept: `<count> <ageMs>`, or "". */
  keep: string;
  /** Whether the queue counts: "1", or "0". */
  counting: string;
  /** What an ack says of messages besides their indexes: by which ids they are on record, and their ends. */
  ack: "index" | "id" | "end";
  /** Who settles, for the history. */
  worker?: string;
}

/** How a task ended, as an ack tells; see task_lua.ts. */
export interface TaskEnd {
  /** Its id; "" if Redis is to find out. */
  readonly id: string;
  /** What its handler gave, as it is stored. */
  readonly result: string;
}

const UNTOLD: TaskEnd = { id: "", result: "" };

interface PendingAcks {
  hand: Hand;
  indexes: number[];
  /** Beside each index, where acks tell of an end. */
  ends: (TaskEnd | undefined)[];
  /** Whether one of the messages holds a name, or may. */
  looking: boolean;
  /** From when on each of them waited. */
  waited: number[];
  settled: ((error?: Error) => void)[];
}

/** Most acks in one script, and about how many bytes of results: Redis serves nobody else meanwhile. */
const MAX_ACKS = 1_000;
const MAX_RESULT_BYTES = 1_048_576;

/** Settles deliveries over one connection. */
export class Settler {
  readonly #send: Send;
  readonly #keys: QueueKeys;
  readonly #scripts: LeasedScripts;
  readonly #options: SettleOptions;
  readonly #onFinished: (hand: Hand) => void;
  readonly #closing: AbortSignal | undefined;
  readonly #times = new Times();
  #pending = new Map<Hand, PendingAcks>();
  #count = 0;
  #resultBytes = 0;
  #unanswered = 0;
  #scheduled = false;
  #flushing = new Set<Promise<void>>();

  constructor(
    { send, keys, scripts, options, onFinished = () => {}, closing }: {
      send: Send;
      keys: QueueKeys;
      scripts: LeasedScripts;
      options: SettleOptions;
      /** Told when nothing is left under a lease, and Redis has said so. */
      onFinished?: (hand: Hand) => void;
      /** Once it aborts nothing is said again: no timer stays behind. */
      closing?: AbortSignal;
    },
  ) {
    this.#send = send;
    this.#keys = keys;
    this.#scripts = scripts;
    this.#options = options;
    this.#onFinished = onFinished;
    this.#closing = closing;
  }

  /** Acknowledges; resolves when Redis has it. */
  ack(hand: Hand, index: number, envelope?: Envelope): Promise<void> {
    return new Promise((resolve, reject) => {
      this.ackLater(hand, index, envelope, (error) => error ? reject(error) : resolve());
    });
  }

  /**
   * Acknowledges at the end of this turn; `settled` is told when Redis has it. Without its envelope, as
   * with a token, the message is looked at for what it holds.
   */
  ackLater(
    hand: Hand,
    index: number,
    envelope: Envelope | undefined,
    settled?: (error?: Error) => void,
    end?: TaskEnd,
  ): void {
    const taken = hand.taken(index);
    if (taken) {
      this.#settled(hand, 1, 0);
      return settled?.(taken);
    }
    let acks = this.#pending.get(hand);
    if (!acks) {
      this.#pending.set(
        hand,
        acks = { hand, indexes: [], ends: [], looking: false, waited: [], settled: [] },
      );
    }
    acks.indexes.push(index);
    if (this.#options.ack === "end") acks.ends.push(end);
    if (!envelope || envelope.id !== envelope.uid || envelope.key !== "") acks.looking = true;
    if (envelope) acks.waited.push(envelope.waitsFrom);
    if (settled) acks.settled.push(settled);
    this.#unanswered++;
    this.#resultBytes += end?.result.length ?? 0;
    if (++this.#count >= MAX_ACKS || this.#resultBytes >= MAX_RESULT_BYTES) return this.#flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
  }

  /** How many acks Redis has not answered yet. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Resolves when all acks so far have been answered. */
  async drained(): Promise<void> {
    while (this.#count > 0 || this.#flushing.size > 0) {
      this.#flush();
      await Promise.all(this.#flushing);
    }
  }

  /**
   * How long a message waits before its next attempt, in milliseconds.
   *
   * @throws {RangeError} for a `delayMs` that is none, or a backoff that gives none.
   */
  delayOf(attempt: number, { delayMs, error }: NackOptions): number {
    if (delayMs !== undefined) return checkMs("delayMs", delayMs, MAX_TIME);
    return checkMs("what the backoff gives", this.#options.backoff(attempt, error), MAX_TIME);
  }

  /** Gives back for another attempt, or buries after the last one. */
  async nack(
    hand: Hand,
    index: number,
    { attempt, envelope, delayMs, error }: NackOptions & { attempt: number; envelope?: Envelope },
  ): Promise<GivenBack> {
    const reason = error === undefined ? "nack" : toText(error);
    return await this.#giveBack(hand, index, {
      how: "retry",
      delay_ms: this.delayOf(attempt, { delayMs, error }),
      error: error === undefined ? "" : this.#errorLine(error),
      reason, // Redis puts the number of attempts in front
      envelope,
    }) as GivenBack;
  }

  /** Buries. */
  async bury(
    hand: Hand,
    index: number,
    reason: string,
    error?: unknown,
  ): Promise<void> {
    checkReason(reason);
    await this.#giveBack(hand, index, {
      how: "dead",
      delay_ms: 0,
      error: error === undefined ? "" : this.#errorLine(error),
      reason,
    });
  }

  /** Gives back what was not begun, without spending an attempt. */
  async release(hand: Hand, index: number): Promise<void> {
    await this.#giveBack(hand, index, { how: "release", delay_ms: 0, error: "", reason: "" });
  }

  /**
   * Lengthens leases; those that are gone abort their signals, and are thrown if `strict`. So do those of
   * messages that somebody else has settled meanwhile, as an operator does by their token.
   */
  async extend(hands: readonly Hand[], ms: number, strict = false): Promise<Hand[]> {
    checkMs("ms", ms, { min: 1 });
    if (hands.length === 0) return [];
    let saidAt = 0; // before it is sent: a busy event loop may read the reply long after
    const gone = await this.#persist(
      () => {
        saidAt = performance.now();
        const rest = hands.flatMap(({ lease, watched }) => {
          return [lease, String(watched.length), ...watched.map(String)];
        });
        return extendScript.run(this.#send, this.#keys, { ms: Math.ceil(ms) }, rest);
      },
      Math.max(...hands.map((hand) => hand.leftMs)),
    );
    const lost = hands.filter((hand) => gone.includes(hand.lease));
    for (const hand of gone.length > 0 ? hands : []) {
      for (const index of hand.watched) {
        if (gone.includes(`${hand.lease}:${index}`)) hand.takenAway(index);
      }
    }
    const errors = lost.map((hand) => hand.lost());
    for (const hand of hands) if (!lost.includes(hand)) hand.extended(ms, saidAt);
    if (strict && errors[0]) throw errors[0];
    return lost;
  }

  async #giveBack(
    hand: Hand,
    index: number,
    { envelope, ...args }: {
      how: string;
      delay_ms: number;
      error: string;
      reason: string;
      envelope?: Envelope | undefined;
    },
  ): Promise<string> {
    const taken = hand.taken(index);
    if (taken) {
      this.#settled(hand, 1, 0);
      throw taken;
    }
    const { policy, counting } = this.#options;
    const where = await this.#givingUp(
      hand,
      () =>
        this.#scripts.giveBack.run(this.#send, this.#keys, {
          ...args,
          lease: hand.lease,
          index,
          uid: envelope?.uid ?? "",
          id: envelope?.id ?? "",
          delay_ms: Math.ceil(args.delay_ms),
          reason: JSON.stringify(args.reason.slice(0, 2_048)),
          received: hand.receivedAt,
          policy,
          counting,
        }),
    );
    if (where === "lost") throw hand.lost();
    // Where it was settled already another call, or an earlier one whose reply was lost, removed it.
    this.#settled(hand, 1, where === "settled" ? 0 : 1);
    return where;
  }

  /** As `persist`; when it gives up, the hand no longer counts on this message. */
  async #givingUp<R>(hand: Hand, run: () => Promise<R>): Promise<R> {
    try {
      return await this.#persist(run, hand.leftMs);
    } catch (error) {
      this.#settled(hand, 1, 0);
      throw error;
    }
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#count === 0) return;
    const batch = [...this.#pending.values()];
    this.#pending = new Map();
    const count = this.#count;
    this.#count = this.#resultBytes = 0;
    const flushing = this.#acknowledge(batch).finally(() => {
      this.#unanswered -= count;
      this.#flushing.delete(flushing);
    });
    this.#flushing.add(flushing);
  }

  async #acknowledge(batch: PendingAcks[]): Promise<void> {
    const { keep, counting, ack } = this.#options;
    const rest: CommandArgument[] = [];
    let looking = "0";
    for (const { hand, indexes, ends, looking: own } of batch) {
      const looks = own || keep !== "" ? "1" : "0";
      if (looks === "1") looking = "1";
      rest.push(hand.lease, String(hand.receivedAt), looks, String(indexes.length));
      rest.push(rangesOf(indexes));
      if (ack !== "index") rest.push(hand.idsOf(indexes));
      for (const { id, result } of ends.map((end) => end ?? UNTOLD)) rest.push(id, result);
    }
    const times = counting === "1" ? this.#timesOf(batch) : "";
    try {
      const removed = await this.#persist(
        () =>
          this.#scripts.ack.run(
            this.#send,
            this.#keys,
            { looking, keep, times, counting },
            rest,
          ),
        Math.max(...batch.map(({ hand }) => hand.leftMs)),
      );
      batch.forEach((acks, i) => {
        const { hand, settled } = acks;
        const gone = removed[i]!;
        const error = gone >= 0 ? undefined : hand.lost();
        if (!error) this.#settled(hand, acks.indexes.length, gone);
        for (const tell of settled) tell(error);
      });
    } catch (error) {
      for (const acks of batch) {
        // Given up: no heartbeat for it, so that its lease ends.
        this.#settled(acks.hand, acks.indexes.length, 0);
        for (const tell of acks.settled) tell(error as Error);
      }
    }
  }

  #settled(hand: Hand, count: number, removed: number): void {
    hand.left -= count;
    hand.removed += removed;
    if (hand.left === 0) this.#onFinished(hand);
  }

  #errorLine(error: unknown): string {
    return writeError(error, { at: Date.now(), worker: this.#options.worker });
  }

  /** Says it again while Redis is away, until the lease ends: then the message goes out again. */
  async #persist<R>(run: () => Promise<R>, forMs: number): Promise<R> {
    const until = performance.now() + forMs;
    for (let failures = 0;; failures++) {
      try {
        return await run();
      } catch (error) {
        const pause = backoffMs(failures);
        if (!isRetryable(error) || performance.now() + pause > until) throw error;
        await sleep(pause, this.#closing);
        if (this.#closing?.aborted) throw error;
      }
    }
  }

  /** How long the messages waited, and how long they ran: all acks of a turn are told at its end. */
  #timesOf(batch: PendingAcks[]): string {
    const now = performance.now();
    for (const { hand, waited } of batch) {
      for (const waitsFrom of waited) this.#times.add("w", hand.receivedAt - waitsFrom);
      if (waited.length > 0) this.#times.add("r", now - hand.claimedAt, waited.length);
    }
    return this.#times.take();
  }
}
