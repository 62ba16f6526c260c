/**
 * A worker's side of a queue with leases: it claims and waits on one connection, and settles on
 * another, so that the two do not wait for each other. Beside that it runs three small loops:
 *
 * - the **heartbeat** lengthens all leases of the worker, every third of a lease;
 * - the **scheduler** promotes what is due, to the millisecond, and sweeps what has lapsed, every second;
 * - **presence** says every ten seconds that the worker is there.
 *
 * It ends with `close()`, which gives up no message: what is not settled comes back by its lease.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import { isRetryable } from "../redis/errors.ts";
import type { QueueKeys } from "../redis/keys.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { backoffMs, nextTurn, sleep, within } from "../redis/timers.ts";
import { backoffOf } from "./backoff.ts";
import { Claimer, TICK_MS } from "./claimer.ts";
import { type Delivery, WORKED } from "./delivery.ts";
import type { Ended, Intake, Lines } from "./intake.ts";
import type { LeasedScripts } from "./leased_scripts.ts";
import type { Mode, ReceiveOptions } from "./message.ts";
import { Presence, PRESENCE_MS } from "./presence.ts";
import type { Hand } from "./hand.ts";
import { type SettleOptions, Settler } from "./settler.ts";

/** How long the end may take while Redis does not answer; connections have a part of it. */
const CLOSE_MS = 500;
const DISCONNECT_MS = 50;

const DEFAULT_BACKOFF = backoffOf();

/** How many acks may be under way before no more messages are taken. */
const MAX_UNANSWERED = 2_000;

/**
 * While a message is handled whose last lease lapsed, others of its kind are left to others: the pause
 * after a token that was for them, and what it grows to while nothing else comes.
 */
const APART_MS = 50;
const MAX_APART_MS = 1_000;

/** What it is made of. */
export interface LeasedIntakeOptions<T> {
  name: string;
  kind: string;
  mode: Mode;
  client: RedisClient;
  keys: QueueKeys;
  scripts: LeasedScripts;
  leaseMs: number;
  options: SettleOptions;
  /** How much may be handed out; see rate_limit.ts. */
  rate: string;
  /** Puts errors of Redis into words. */
  explain: (send: Send) => Send;
  /** Told of a backoff that gave no duration; the default is taken then. */
  onBadBackoff: (delivery: Delivery<T>, error: unknown) => void;
  /** Makes deliveries of messages; buries what cannot be read. */
  deliver: (
    hand: Hand,
    messages: (Uint8Array | null)[],
    settler: Settler,
  ) => Promise<Delivery<T>[]>;
  /** One that has no connections of its own, and does not wait. */
  lines?: Lines | undefined;
}

/** The client writes at the end of a turn; handlers that begin now would keep it waiting. */
async function written(): Promise<void> {
  await nextTurn();
  await nextTurn();
}

/** A claim that nobody waits for yet. */
interface Ahead<T> {
  /** How many messages it asks for, and how many of them may have had a lease that ran out. */
  most: number;
  room: number;
  taking: Promise<Delivery<T>[]>;
}

/** See the module. */
export class LeasedIntake<T> implements Intake<Delivery<T>> {
  readonly givesBack = true;
  answeredAt: number | undefined;
  readonly #made: LeasedIntakeOptions<T>;
  readonly #taking: OwnConnection | undefined;
  readonly #settling: OwnConnection | undefined;
  readonly #settleSend: Send;
  readonly #claimer: Claimer;
  readonly #settler: Settler;
  readonly #hands = new Set<Hand>();
  readonly #closing = new AbortController();
  readonly #loops: Promise<void>[];
  #apart = 0; // how many messages with a lapsed lease are in hand
  #pauseMs = APART_MS;
  #apartOver: () => void = () => {};
  #rearm: () => void = () => {};
  /** Claims that are under way, oldest first. */
  #ahead: Ahead<T>[] = [];
  /** Whether the last claim brought as much as it had asked for. */
  #isPlenty = false;
  #failure: unknown;

  constructor(made: LeasedIntakeOptions<T>) {
    this.#made = made;
    const { lines } = made;
    this.#taking = lines ? undefined : new OwnConnection(made.client, made.keys.wake);
    this.#settling = lines ? undefined : new OwnConnection(made.client, made.keys.wake);
    const settling: Send = lines?.settling ?? ((args) => this.#settling!.call(args));
    this.#settleSend = made.explain(settling);
    this.#claimer = new Claimer({
      ...made,
      ...(lines && { consumer: lines.consumer, repeats: 0 }),
    });
    this.#settler = new Settler({
      ...made,
      options: { ...made.options, worker: this.#claimer.consumer },
      send: this.#settleSend,
      closing: this.#closing.signal,
      onFinished: (hand) => {
        this.#hands.delete(hand);
        this.#claimer.finished(hand);
      },
    });
    this.#loops = [this.#heartbeat(), this.#scheduler(), this.#presence()];
  }

  get isPaused(): boolean {
    return this.#claimer.isPaused;
  }

  async take(max: number, { waitMs = 0, signal }: ReceiveOptions): Promise<Delivery<T>[]> {
    if (this.#failure) throw this.#failure;
    // What is done and not yet said would all be done again after a crash: do not run ahead.
    while (this.#settler.unanswered > MAX_UNANSWERED && !signal?.aborted) await sleep(2, signal);
    // Not while a claim is ahead: what it took may not lie in the hand.
    if (
      this.#ahead.length === 0 && waitMs === 0 && performance.now() < this.#claimer.refusedUntil
    ) return [];
    if (this.#made.lines) return await this.#claim(max, { signal });
    let first = await this.#takeAhead(max, signal);
    while (first.length === 0 && this.#ahead.length > 0 && !signal?.aborted) {
      first = await this.#takeAhead(max, signal);
    }
    if (first.length > 0 || waitMs === 0 || signal?.aborted) return first;
    if (this.#claimer.isPaused) {
      await sleep(TICK_MS, signal);
      return [];
    }
    const until = performance.now() + waitMs;
    const batch = await this.#claim(max, { waitMs, signal });
    // The token was for what must not be taken now: the next one would be, too.
    if (batch.length === 0 && this.#apart > 0 && performance.now() < until) {
      await this.#pause(signal);
    }
    return batch;
  }

  lost(delivery: Delivery<T>, now: number): Error | undefined {
    const hand = delivery[WORKED]().over(now);
    if (!hand) return undefined;
    this.#over(delivery);
    this.#hands.delete(hand); // no heartbeat: if Redis still has the lease, it has to lapse
    return hand.lost();
  }

  done(delivery: Delivery<T>, settled?: (error?: Error) => void): void {
    this.#over(delivery);
    // A handler that knew better has settled it already.
    const worked = delivery[WORKED]();
    if (!delivery.settled) return worked.ackLater(settled);
    // A handler that knew better: what it said has to have arrived.
    Promise.resolve(worked.settling).then(() => settled?.(), (error) => settled?.(error));
  }

  async failed(delivery: Delivery<T>, error: unknown): Promise<Ended> {
    this.#over(delivery);
    if (!delivery.settled) {
      // Also what throws nothing in particular has failed, and leaves a trace.
      const thrown = error === undefined ? new Error("the handler threw undefined") : error;
      return await delivery.nack({ error: thrown, delayMs: this.#delayOf(delivery, error) });
    }
    await delivery[WORKED]().settling;
    return "settled";
  }

  /** A backoff that throws, or gives no duration, must not keep the message in the hand. */
  #delayOf(delivery: Delivery<T>, error: unknown): number {
    try {
      return this.#settler.delayOf(delivery.attempt, { error });
    } catch (mistake) {
      this.#made.onBadBackoff(delivery, mistake);
      return DEFAULT_BACKOFF(delivery.attempt, error);
    }
  }

  async release(delivery: Delivery<T>): Promise<boolean> {
    if (delivery.settled) return false; // by its handler, which knew better
    this.#over(delivery);
    await delivery[WORKED]().release();
    return true;
  }

  signal(delivery: Delivery<T>): AbortSignal {
    return delivery.signal;
  }

  abort(delivery: Delivery<T>, reason: unknown): void {
    delivery[WORKED]().abort(reason);
  }

  async close(ms = CLOSE_MS): Promise<void> {
    // While Redis is away nothing of this can be said; what is held comes back by its lease.
    const left = await within(this.#leave().then(() => true), ms - 2 * DISCONNECT_MS)
      .catch(() => false);
    this.#closing.abort();
    const closeMs = left ? undefined : DISCONNECT_MS;
    await Promise.all([this.#taking?.close(closeMs), this.#settling?.close(closeMs)]);
    await within(Promise.all(this.#loops), DISCONNECT_MS).catch(() => {}); // what waited ends by this
  }

  /** Gives back what was claimed ahead, says what is done, and goes. */
  async #leave(): Promise<void> {
    const ahead = this.#ahead.map(({ taking }) => this.#survive(() => taking));
    // The last one first, since each goes to the front.
    const back = (await Promise.all(ahead)).flatMap((batch) => batch ?? []).reverse();
    await Promise.all(back.map((delivery) => this.#survive(() => this.release(delivery))));
    await this.#settler.drained();
    await this.#survive(() => this.#claimer.forget(this.#settleSend));
    await this.#survive(() => this.#claimer.handOn(this.#settleSend));
    this.#closing.abort();
    await Promise.all(this.#loops); // presence says goodbye
  }

  /**
   * While there is plenty, half of the free slots are filled now and a claim for the other half is under
   * way meanwhile, so that worker and Redis do not take turns; where the handlers are through before it is
   * there, another one. Together they never ask for more than there are free slots.
   */
  async #takeAhead(max: number, signal?: AbortSignal): Promise<Delivery<T>[]> {
    if (signal?.aborted) return [];
    const [next] = this.#ahead;
    if (!next) this.#claimAhead(Math.ceil(max / 2), signal);
    else if (this.#isPlenty && max - this.#asked() >= next.most / 2) {
      this.#claimAhead(max, signal);
      await written();
    }
    const { most, taking } = this.#ahead.shift()!;
    this.#isPlenty = false; // where it fails, the next one is not hurried
    const batch = await taking;
    this.#isPlenty = batch.length === most;
    if (this.#isPlenty && this.#claimAhead(max - batch.length, signal)) await written();
    return batch;
  }

  /** How many messages the claims that are under way ask for. */
  #asked(): number {
    return this.#ahead.reduce((sum, { most }) => sum + most, 0);
  }

  /** Claims what `free` slots have room for besides; gives whether there was anything to ask for. */
  #claimAhead(free: number, signal?: AbortSignal): boolean {
    const most = free - this.#asked();
    if (most < 1 || signal?.aborted) return false;
    // What a claim that is under way brings is not known yet.
    const room = this.#ahead.some((claim) => claim.room > 0) ? 0 : this.#room();
    const taking = this.#claim(most, { room, signal });
    taking.catch(() => {}); // thrown by the take that waits for it
    this.#ahead.push({ most, room, taking });
    return true;
  }

  /** One message with a lapsed lease at a time: what killed one consumer may kill the next. */
  #room(): number {
    return this.#apart > 0 ? 0 : 1;
  }

  async #claim(
    most: number,
    { room = this.#room(), waitMs = 0, signal }: ReceiveOptions & { room?: number },
  ): Promise<Delivery<T>[]> {
    const waits = waitMs > 0;
    const send: Send = this.#made.lines
      ? (args) => this.#made.lines!.taking(args, signal)
      : waits
      ? this.#claimer.behindToken(this.#taking!, waitMs, signal)
      : (args) => this.#taking!.call(args, signal);
    const options = { most, room, waits, signal };
    for (;;) {
      const claimed = await this.#claimer.claim(this.#made.explain(send), options);
      this.#rearm();
      if (!claimed) return [];
      const { hand, messages } = claimed;
      this.#pauseMs = APART_MS;
      const deliveries = await this.#made.deliver(hand, messages, this.#settler);
      // Only now: a hand that could not be looked through has to lapse, not to be kept alive.
      if (hand.left > 0) this.#hands.add(hand);
      for (const delivery of deliveries) if (delivery.lapsed) this.#apart++;
      // Nothing but marks of cancelled messages, or entries that cannot be read: the next ones, at once.
      if (deliveries.length > 0 || waits) return deliveries;
    }
  }

  /** Longer each time in vain; over at once when the next message of that kind may be taken. */
  async #pause(signal?: AbortSignal): Promise<void> {
    const over = new AbortController();
    this.#apartOver = () => over.abort();
    await sleep(this.#pauseMs, signal, over.signal);
    this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_APART_MS);
  }

  #over(delivery: Delivery<T>): void {
    if (!delivery.lapsed || --this.#apart > 0) return;
    this.#pauseMs = APART_MS;
    this.#apartOver();
  }

  async #heartbeat(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await sleep(this.#made.leaseMs / 3, signal);
      const lost = await this.#survive(() =>
        this.#settler.extend([...this.#hands], this.#made.leaseMs)
      );
      for (const hand of lost ?? []) this.#hands.delete(hand);
    }
  }

  async #scheduler(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      const { dueAt } = this.#claimer;
      const rearmed = new AbortController();
      this.#rearm = () => {
        // A claim has learnt of a message that is due earlier.
        if (this.#claimer.dueAt < dueAt - 1) rearmed.abort();
      };
      const waitMs = Math.min(TICK_MS, Math.max(0, dueAt - performance.now()));
      await sleep(failures > 0 ? backoffMs(failures) : waitMs, signal, rearmed.signal);
      if (signal.aborted) return;
      if (rearmed.signal.aborted) continue;
      const ticked = await this.#survive(() =>
        this.#claimer.tick(this.#settleSend).then(() => true)
      );
      failures = ticked ? 0 : failures + 1;
    }
  }

  async #presence(): Promise<void> {
    const { signal } = this.#closing;
    const presence = new Presence({ ...this.#made, consumer: this.#claimer.consumer });
    while (!signal.aborted) {
      let holds = 0;
      for (const hand of this.#hands) holds += hand.left;
      await presence.renew(this.#settleSend, holds);
      await sleep(PRESENCE_MS, signal);
    }
    await presence.leave(this.#settleSend);
  }

  /** A loop goes on while Redis is away; what no waiting mends is thrown to the worker's next take. */
  async #survive<R>(run: () => Promise<R>): Promise<R | undefined> {
    try {
      const result = await run();
      this.answeredAt = performance.now();
      return result;
    } catch (error) {
      if (!isRetryable(error) && !this.#closing.signal.aborted) this.#failure ??= error;
      return undefined;
    }
  }
}
