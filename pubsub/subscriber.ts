/**
 * `Subscriber`: hears what is published while it listens.
 *
 * ```
 *   PUBLISH ──► Redis ──► connection of its own ──► inbox (bounded) ──► for await, or take()
 * ```
 *
 * Redis keeps nothing for a subscriber. While its connection is away, what is published passes it by;
 * when the connection is back it subscribes again and says so with a `"gap"` event. It ends with
 * `close()`, with the end of the client it was made from, or with an error that no waiting mends.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { addressOf, type NodeClient, type RedisClient } from "../redis/client.ts";
import { checkClient } from "../redis/topology.ts";
import { DecodeError } from "../redis/codec.ts";
import { explain, isRetryable, RedisConnectionError } from "../redis/errors.ts";
import { checkOptions, checkSignal, checkSwitch, optionNames } from "../redis/options.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import { show } from "../redis/show.ts";
import { slotOf } from "../redis/slots.ts";
import { checkOpen, lastTrouble, routeOf, whenEnded } from "../redis/supervise.ts";
import {
  backoffMs,
  checkCount,
  checkMs,
  DeadlineError,
  deferred,
  settlesWithin,
  sleep,
  within,
} from "../redis/timers.ts";
import { asChannel, type Channel } from "./channel.ts";
import { Inbox } from "./inbox.ts";

/** A message that was heard. */
export interface PubSubMessage<T> {
  /** The channel it was published to. */
  readonly channel: string;
  /** The pattern that matched, where the subscription was to a pattern. */
  readonly pattern?: string;
  /** The data, decoded. */
  readonly payload: T;
}

/** What happens to a subscriber, for `onEvent`. */
export type SubscriberEvent =
  /** The connection was lost; messages published from now on may be missed. */
  | { type: "lost"; error: Error }
  /** Subscribed again: messages published in the last `ms` milliseconds may have been missed. */
  | { type: "gap"; ms: number }
  /** The inbox was full and its oldest message was dropped; `dropped` is the total so far. */
  | { type: "dropped"; dropped: number }
  /** A message that could not be decoded, or that the channel's `parse` refused; `error.raw` is it. */
  | { type: "refused"; channel: string; error: DecodeError }
  /** The subscriber gave up: a wrong password, a missing permission. */
  | { type: "ended"; error: Error };

/** Options of {@linkcode Subscriber}. */
export interface SubscriberOptions {
  /**
   * How many messages may wait to be read. When it is full, the oldest is dropped.
   *
   * @default 1_000
   */
  inbox?: number;
  /**
   * How often the connection is checked by a `PING`, and how long the answer may take, in
   * milliseconds. A subscriber sends nothing else, so it would not notice a dead connection.
   *
   * @default 5_000
   */
  heartbeatMs?: number;
  /**
   * Whether channels are kept on one master of a cluster, as keys are; for a `Publisher` that is `sharded`,
   * too. All channels of a subscriber are in one slot then: give them the same text in braces.
   *
   * @default false
   */
  sharded?: boolean;
  /**
   * Told about gaps, drops and refused messages. Without it, the first message that cannot be read
   * ends the subscriber with its error.
   */
  onEvent?: (event: SubscriberEvent) => void;
}

const SUBSCRIBER_OPTIONS = optionNames<SubscriberOptions>({
  inbox: true,
  heartbeatMs: true,
  sharded: true,
  onEvent: true,
});
const MESSAGES_OPTIONS = optionNames<{ signal?: AbortSignal }>({ signal: true });

const KINDS = ["channel", "pattern"] as const;
type Kind = typeof KINDS[number];

/** How long a subscription may take to be confirmed. */
const SUBSCRIBE_MS = 5_000;

/**
 * Subscribes to channels and patterns.
 *
 * **Guarantee:** at most once. Everything published while the subscription stands arrives in order;
 * what is published before it, or while the connection is away, does not.
 * **Commands:** `SUBSCRIBE`, `PSUBSCRIBE`, on a connection of its own; nothing per message.
 * **Polling** is {@linkcode Subscriber.take}: Redis has no polling form of pub/sub, so this asks the
 * inbox. **Blocking** is `for await`.
 * **A crash** loses the inbox.
 *
 * @typeParam T What a payload is. JSON channels carry anything, so say what you expect.
 *
 * @example
 * ```ts
 * import { channel, connect, Publisher, Subscriber } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * const orders = channel<{ order_id: number }>("docs:order_events");
 * await using subscriber = new Subscriber<{ order_id: number }>(redis);
 * await subscriber.subscribe(orders);
 * await new Publisher(redis).publish(orders, { order_id: 123 });
 * for await (const { channel, payload } of subscriber) {
 *   console.log(channel, payload.order_id); // docs:order_events 123
 *   break;
 * }
 * await subscriber.close();
 * await redis.close();
 * ```
 */
export class Subscriber<T = unknown> implements AsyncDisposable, AsyncIterable<PubSubMessage<T>> {
  readonly #parent: RedisClient;
  #connection: OwnConnection;
  readonly #sharded: boolean;
  /** The channel whose slot all others are in. */
  #home: string | undefined;
  readonly #wanted = {
    channel: new Map<string, Channel<T>>(),
    pattern: new Map<string, Channel<T>>(),
  };
  /** What Redis has confirmed on this connection. */
  readonly #live = { channel: new Set<string>(), pattern: new Set<string>() };
  /** What it has refused, since that was asked for last. */
  readonly #refused = { channel: new Map<string, Error>(), pattern: new Map<string, Error>() };
  #turn: Promise<void> = Promise.resolve();
  readonly #inbox: Inbox<PubSubMessage<T>>;
  readonly #heartbeatMs: number;
  readonly #onEvent: ((event: SubscriberEvent) => void) | undefined;
  readonly #closing = new AbortController();
  readonly #forget: () => void;
  #client: NodeClient | undefined;
  #loop: Promise<void> | undefined;
  #subscribed = deferred();
  #lostAt: number | undefined;
  #failure: Error | undefined;

  /**
   * Makes the subscriber; connects at the first subscription.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It is duplicated, and stays yours.
   * @throws {TypeError} for something that is no client, an `onEvent` that is no function, or an unknown
   * option.
   * @throws {RangeError} for an `inbox` or `heartbeatMs` out of range.
   */
  constructor(client: RedisClient, options: SubscriberOptions = {}) {
    checkOptions("Subscriber", options, SUBSCRIBER_OPTIONS);
    const { inbox = 1_000, heartbeatMs = 5_000, onEvent, sharded = false } = options;
    if (onEvent !== undefined && typeof onEvent !== "function") {
      throw new TypeError(`onEvent must be a function, but is ${show(onEvent)}`);
    }
    this.#parent = checkClient(client);
    this.#inbox = new Inbox(checkCount("inbox", inbox));
    this.#heartbeatMs = checkMs("heartbeatMs", heartbeatMs, { min: 1 });
    this.#onEvent = onEvent;
    this.#sharded = checkSwitch("sharded", sharded);
    this.#connection = new OwnConnection(client);
    this.#forget = whenEnded(client, () => void this.close());
    this.#subscribed.promise.catch(() => {});
  }

  /** How many messages the inbox has dropped so far. */
  get dropped(): number {
    return this.#inbox.dropped;
  }

  /**
   * Subscribes to channels. Resolves when Redis has confirmed: what is published from then on
   * arrives.
   *
   * @param targets Names (JSON) or typed channels.
   * @throws {TypeError} for a bad name.
   * @throws {RedisConnectionError} when Redis does not confirm within 5 s. The subscription stays
   * noted and is made when Redis is back, unless the error is `fatal`.
   */
  subscribe(...targets: (string | Channel<T>)[]): Promise<void> {
    return this.#add("channel", targets);
  }

  /**
   * Subscribes to patterns: `*` any characters, `?` one, `[ab]` one of these.
   *
   * @param targets Patterns, or typed channels whose name is a pattern.
   * @throws As {@linkcode Subscriber.subscribe}.
   */
  psubscribe(...targets: (string | Channel<T>)[]): Promise<void> {
    return this.#add("pattern", targets);
  }

  /** Leaves channels. What is in the inbox already stays. */
  unsubscribe(...targets: (string | Channel<T>)[]): Promise<void> {
    return this.#remove("channel", targets);
  }

  /** Leaves patterns. What is in the inbox already stays. */
  punsubscribe(...targets: (string | Channel<T>)[]): Promise<void> {
    return this.#remove("pattern", targets);
  }

  /**
   * Polling: the oldest message of the inbox, or undefined if there is none right now.
   *
   * @throws What ended the subscriber, once the inbox is empty.
   */
  take(): PubSubMessage<T> | undefined {
    const message = this.#inbox.take();
    if (message === undefined && this.#failure) throw this.#failure;
    return message;
  }

  /**
   * Blocking: messages as they come, until `signal` aborts, the subscriber is closed or the loop is
   * left. Leaving the loop does not end the subscriptions. Of several loops, one gets each message.
   *
   * @throws What ended the subscriber, once the inbox is empty.
   * @throws {TypeError} for a `signal` that is none.
   */
  async *messages(
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<PubSubMessage<T>, void, void> {
    const { signal } = checkOptions("messages", options, MESSAGES_OPTIONS);
    checkSignal(signal);
    const wake = () => this.#inbox.wake();
    signal?.addEventListener("abort", wake);
    try {
      while (!signal?.aborted) {
        const message = this.take();
        if (message) yield message;
        else if (this.#closing.signal.aborted) return;
        else await this.#inbox.changed();
      }
    } finally {
      signal?.removeEventListener("abort", wake);
    }
  }

  /** The same as {@linkcode Subscriber.messages} without a signal. */
  [Symbol.asyncIterator](): AsyncGenerator<PubSubMessage<T>, void, void> {
    return this.messages();
  }

  /** Ends the subscriptions and the connection. Loops end when they have read the inbox. */
  async close(): Promise<void> {
    this.#forget();
    this.#closing.abort();
    this.#subscribed.reject(new TypeError("The subscriber was closed"));
    this.#inbox.wake();
    await this.#connection.close();
    await this.#loop;
  }

  /** Closes; see {@linkcode Subscriber.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #add(kind: Kind, targets: (string | Channel<T>)[]): Promise<void> {
    const channels = targets.map((target) => asChannel(target));
    checkOpen(this.#parent);
    if (this.#failure) throw this.#failure;
    if (this.#closing.signal.aborted) throw new TypeError("The subscriber is closed");
    if (this.#sharded) await this.#settleIn(kind, channels);
    const wanted = this.#wanted[kind];
    const before = new Map(channels.map(({ name }) => [name, wanted.get(name)]));
    for (const channel of channels) {
      wanted.set(channel.name, channel);
      this.#refused[kind].delete(channel.name);
    }
    if (this.#client) {
      try {
        return await this.#reconcile(this.#client, { kind, names: [...before.keys()] });
      } catch (error) {
        if (isRetryable(error)) throw error;
        // One was refused: what stood before goes on, and what came with it is left again.
        for (const channel of channels) {
          const { name } = channel;
          if (wanted.get(name) !== channel) continue; // somebody else's meanwhile
          const old = before.get(name);
          if (old) wanted.set(name, old);
          else wanted.delete(name);
        }
        await this.#leave();
        throw error;
      }
    }
    // A new connection makes all subscriptions that are wanted.
    this.#loop ??= this.#run();
    try {
      await within(this.#subscribed.promise, SUBSCRIBE_MS);
    } catch (error) {
      throw error instanceof DeadlineError ? this.#unconfirmed() : error;
    }
  }

  /** The first channel chooses the master; others have to be there, too. */
  async #settleIn(kind: Kind, channels: Channel<T>[]): Promise<void> {
    if (kind === "pattern") {
      throw new TypeError(`Redis has no patterns for sharded channels: ${show(channels[0]?.name)}`);
    }
    const first = this.#home ?? channels[0]?.name;
    if (first === undefined) return;
    for (const { name } of channels) {
      if (slotOf(name) === slotOf(first)) continue;
      throw new TypeError(
        `A sharded subscriber hears channels of one slot: ${JSON.stringify(first)} is in slot ` +
          `${slotOf(first)}, ${JSON.stringify(name)} in ${slotOf(name)}; channels with the same ` +
          `text in braces are in one slot, or take a subscriber for each`,
      );
    }
    if (this.#home !== undefined) return;
    this.#home = first;
    const unused = this.#connection; // was for any master
    this.#connection = new OwnConnection(this.#parent, first);
    await unused.close();
  }

  async #remove(kind: Kind, targets: (string | Channel<T>)[]): Promise<void> {
    for (const target of targets) this.#wanted[kind].delete(asChannel(target).name);
    await this.#leave();
  }

  /** Leaves what is wanted no more. */
  async #leave(): Promise<void> {
    if (!this.#client) return;
    await this.#reconcile(this.#client).catch((error) => {
      // A connection that is lost has no subscriptions, and the next one makes none of these.
      if (!isRetryable(error)) throw error;
    });
  }

  /** One connection after the other, until closed or until no waiting mends what went wrong. */
  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted && !this.#failure; failures++) {
      const { heard, reason } = await this.#listen();
      this.#connection.discard();
      if (signal.aborted) return;
      if (heard) failures = 0;
      if (!isRetryable(reason)) this.#end(reason);
      else if (heard) this.#tell({ type: "lost", error: reason });
      await sleep(this.#failure ? 0 : backoffMs(failures), signal);
    }
  }

  /** The life of one connection: connect, subscribe, listen. Resolves when it is over, with why. */
  async #listen(): Promise<{ heard: boolean; reason: Error }> {
    let heard = false;
    try {
      const client = await this.#connection.client(this.#closing.signal);
      for (const kind of KINDS) {
        this.#live[kind].clear();
        this.#refused[kind].clear();
      }
      do await this.#reconcile(client); while (!this.#isSettled); // more may be wanted meanwhile
      for (const kind of KINDS) for (const error of this.#refused[kind].values()) throw error;
      heard = true;
      this.#client = client;
      this.#subscribed.resolve();
      if (this.#lostAt !== undefined) {
        this.#tell({ type: "gap", ms: performance.now() - this.#lostAt });
      }
      return { heard, reason: await this.#lost(client) };
    } catch (error) {
      return { heard, reason: error as Error };
    } finally {
      this.#client = undefined;
      if (heard) {
        // In the same breath: who subscribes now waits for the next connection.
        this.#subscribed = deferred();
        this.#subscribed.promise.catch(() => {}); // nobody may be waiting for it
        this.#lostAt = performance.now();
      }
    }
  }

  #end(error: Error): void {
    this.#failure = error;
    this.#subscribed.reject(error);
    this.#inbox.wake();
    this.#tell({ type: "ended", error });
  }

  /** An error must not be thrown inside the client's socket; it ends the subscriber. */
  #tell(event: SubscriberEvent): void {
    try {
      // A gap or a drop is what pub/sub promises; a message that came and cannot be read is not.
      if (!this.#onEvent && event.type === "refused") throw event.error;
      this.#onEvent?.(event);
    } catch (error) {
      this.#failure ??= error as Error;
      this.#inbox.wake();
      void this.close();
    }
  }

  /**
   * Makes what is subscribed what is wanted; one after the other, since calls may cross. Throws if one of
   * `names` was refused, by this call or by one before.
   */
  #reconcile(
    client: NodeClient,
    { kind, names }: { kind: Kind; names: string[] } = { kind: "channel", names: [] },
  ): Promise<void> {
    const turn = this.#turn.then(async () => {
      await this.#subscribeAndLeave(client);
      const refused = names.map((name) => this.#refused[kind].get(name)).find(Boolean);
      if (refused) throw refused;
    });
    this.#turn = turn.catch(() => {}); // thrown to whoever asked for it
    return turn;
  }

  async #subscribeAndLeave(client: NodeClient): Promise<void> {
    for (const kind of KINDS) {
      const [wanted, live] = [this.#wanted[kind], this.#live[kind]];
      const missing = [...wanted.keys()].filter((name) => !live.has(name));
      const left = [...live].filter((name) => !wanted.has(name));
      const subscribing = missing.map(async (name) => {
        try {
          await this.#subscribe(client, kind, name);
          live.add(name);
        } catch (cause) {
          const error = explain(cause, addressOf(this.#parent)) as Error;
          if (isRetryable(error)) throw error;
          // Refused by Redis: asked for again on the next connection, it would end them all.
          wanted.delete(name);
          this.#refused[kind].set(name, error);
        }
      });
      const leaving = left.length === 0
        ? undefined
        : kind === "pattern"
        ? client.pUnsubscribe(left)
        : this.#sharded
        ? client.sUnsubscribe(left)
        : client.unsubscribe(left);
      try {
        await within(Promise.all([...subscribing, leaving]), SUBSCRIBE_MS);
      } catch (error) {
        throw error instanceof DeadlineError
          ? this.#unconfirmed()
          : explain(error, addressOf(this.#parent));
      }
      for (const name of left) live.delete(name);
    }
  }

  /** A listener for each name: it knows the pattern by which a message came. */
  #subscribe(client: NodeClient, kind: Kind, name: string): Promise<void> {
    const hear = (raw: Buffer, from: Buffer) => this.#hear(kind, name, raw, from);
    if (kind === "pattern") return client.pSubscribe(name, hear, true);
    if (this.#sharded) return client.sSubscribe(name, hear, true);
    return client.subscribe(name, hear, true);
  }

  get #isSettled(): boolean {
    return KINDS.every((kind) =>
      [...this.#wanted[kind].keys()].every((name) => this.#live[kind].has(name))
    );
  }

  #hear(kind: Kind, name: string, raw: Buffer, from: Buffer): void {
    const target = this.#wanted[kind].get(name);
    if (!target) return; // left meanwhile
    const channel = from.toString();
    let payload: T;
    try {
      payload = target.parse(target.codec.decode(raw));
    } catch (cause) {
      const error = new DecodeError(channel, new Uint8Array(raw), cause);
      return this.#tell({ type: "refused", channel, error });
    }
    const pattern = kind === "pattern" ? { pattern: name } : undefined;
    const fits = this.#inbox.put({ channel, ...pattern, payload });
    if (!fits) this.#tell({ type: "dropped", dropped: this.#inbox.dropped });
  }

  /** Waits until the connection is lost, or silent for too long, and returns why. */
  async #lost(client: NodeClient): Promise<Error> {
    const gone = new AbortController();
    const leave = (error: unknown) => gone.abort(explain(error, addressOf(this.#parent)));
    const onClose = () => leave(new Error("closed"));
    const onEnd = () => leave(this.#moved());
    client.on("error", leave);
    client.on("end", onEnd); // thrown away, since another server has the channel
    client.on("sharded-channel-moved", onEnd);
    this.#closing.signal.addEventListener("abort", onClose);
    // In the turn in which it was ready nobody listened yet.
    if (this.#closing.signal.aborted) onClose();
    else if (!client.isReady) leave(this.#gone("the connection was closed"));
    try {
      while (!gone.signal.aborted) {
        await sleep(this.#heartbeatMs, gone.signal);
        if (gone.signal.aborted) break;
        const ping = client.sendCommand(["PING"], { timeout: 0 });
        const isAnswered = await settlesWithin(ping, this.#heartbeatMs);
        if (!isAnswered) leave(this.#gone(`no answer to PING within ${this.#heartbeatMs} ms`));
        // A PING on a closed client fails at once, which is no answer.
        else if (!client.isReady) leave(this.#gone("the connection was closed"));
      }
    } finally {
      this.#closing.signal.removeEventListener("abort", onClose);
    }
    return gone.signal.reason;
  }

  #gone(message: string): RedisConnectionError {
    return new RedisConnectionError(message, { address: addressOf(this.#parent) });
  }

  #moved(): RedisConnectionError {
    routeOf(this.#parent)?.doubt();
    return this.#gone("the channel is at another server now");
  }

  #unconfirmed(): RedisConnectionError {
    const trouble = this.#client ? "" : lastTrouble(this.#parent);
    return new RedisConnectionError(
      `subscription not confirmed within ${SUBSCRIBE_MS} ms${trouble && ` (${trouble})`}`,
      { address: addressOf(this.#parent), sent: this.#client !== undefined },
    );
  }
}
