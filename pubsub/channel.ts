/**
 * Typed channels: a name, and what may be said on it.
 *
 * @module
 */
import { type Codec, codecOf, type CodecOption } from "../redis/codec.ts";
import { checkChannelName } from "../redis/keys.ts";
import { checkOptions, optionNames } from "../redis/options.ts";
import { show } from "../redis/show.ts";

/** Options of {@linkcode channel}. */
export interface ChannelOptions<T> {
  /**
   * How payloads travel.
   *
   * @default "json"
   */
  codec?: CodecOption<T>;
  /**
   * Returns the payload, or throws for what is none; the `parse` of a schema library fits. It runs
   * at both ends: a bad payload is not published, and not handed to a subscriber.
   *
   * @default every payload is taken as it is
   */
  parse?: (value: unknown) => T;
}

const CHANNEL_OPTIONS = optionNames<ChannelOptions<unknown>>({ codec: true, parse: true });

/** A channel (or pattern) with the type of its payloads. Made by {@linkcode channel}. */
export interface Channel<T> {
  /** The channel's name, or a pattern where one is asked for. */
  readonly name: string;
  /** How payloads travel. */
  readonly codec: Codec<T>;
  /** Returns the payload, or throws for what is none. */
  readonly parse: (value: unknown) => T;
}

/**
 * Gives a channel a type, and a check if you like.
 *
 * @typeParam T What a payload is.
 * @param name The channel, or a pattern for {@linkcode Subscriber.psubscribe}.
 * @throws {TypeError} for an empty name, one over 200 bytes, or one with control characters; for a bad
 * codec or `parse`, or an unknown option.
 *
 * @example A payload that is none is refused
 * ```ts
 * import { channel } from "@workshop/redis-patterns";
 *
 * const orders = channel<{ id: number }>("order_events", {
 *   parse(value) {
 *     const { id } = value as { id?: unknown };
 *     if (typeof id !== "number") throw new TypeError(`An order needs a numeric id, not ${id}`);
 *     return { id };
 *   },
 * });
 * console.log(orders.parse({ id: 123 })); // { id: 123 }
 * ```
 */
export function channel<T = unknown>(name: string, options: ChannelOptions<T> = {}): Channel<T> {
  checkOptions("channel", options, CHANNEL_OPTIONS);
  const { codec, parse = (value) => value as T } = options;
  if (typeof parse !== "function") {
    throw new TypeError(`parse must be a function, but is ${show(parse)}`);
  }
  return { name: checkChannelName(name), codec: codecOf(codec), parse };
}

/** A name stands for an untyped JSON channel. */
export function asChannel<T>(target: string | Channel<T>): Channel<T> {
  if (typeof target === "string") return channel<T>(target);
  if (typeof target?.codec?.encode !== "function" || typeof target.parse !== "function") {
    throw new TypeError(
      `A channel is a name or what channel() gives, but this is ${show(target)}`,
    );
  }
  return target;
}
