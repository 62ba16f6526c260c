/**
 * The part of a Redis client that this library uses, and the address it talks to.
 *
 * `connect()` returns the real client of `npm:redis`; every class takes that one or any client its
 * user made with `createClient`. Naming the few members we need keeps the classes independent of
 * the client's many type parameters.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { show } from "./show.ts";

/** One argument of a command: text, or bytes wrapped in a `Buffer`. */
export type CommandArgument = string | Buffer;

/**
 * What this library needs of a client: any client made by `createClient` of `npm:redis` fits.
 *
 * @example Both kinds fit
 * ```ts
 * import { createClient } from "redis";
 * import { connect, type RedisClient } from "@workshop/redis-patterns";
 *
 * const ours: RedisClient = await connect();
 * const yours: RedisClient = createClient();
 * console.log(ours.isReady, yours.isReady); // true false
 * await ours.close();
 * ```
 */
export interface RedisClient {
  /** Whether `connect()` was called and the client has not been closed. */
  readonly isOpen: boolean;
  /** Whether commands are answered at the moment. */
  readonly isReady: boolean;
  /** The options the client was made with; read only to tell the address and to duplicate. */
  readonly options?: object;
  /** Opens the connection. */
  connect(): Promise<unknown>;
  /** Waits for replies in flight, then closes. */
  close(): Promise<unknown>;
  /** Closes at once; what is in flight is rejected. */
  destroy(): void;
  /** A second, unconnected client with the same options. */
  // deno-lint-ignore no-explicit-any -- each client type has an option type of its own
  duplicate(overrides?: any): RedisClient;
  /** Sends one command as a list of arguments. */
  sendCommand(
    args: readonly CommandArgument[],
    // deno-lint-ignore no-explicit-any -- the library's option type depends on its type mapping
    options?: any,
  ): Promise<unknown>;
  /** Subscribes to channels. */
  subscribe(
    channels: string | string[],
    // deno-lint-ignore no-explicit-any -- one listener type for strings, one for buffers
    listener: any,
    bufferMode?: true,
  ): Promise<void>;
  /** Subscribes to patterns. */
  pSubscribe(
    patterns: string | string[],
    // deno-lint-ignore no-explicit-any -- one listener type for strings, one for buffers
    listener: any,
    bufferMode?: true,
  ): Promise<void>;
  /** Leaves channels. */
  unsubscribe(channels?: string | string[]): Promise<void>;
  /** Leaves patterns. */
  pUnsubscribe(patterns?: string | string[]): Promise<void>;
  /** Listens to `error`, `ready`, `end` and the like. */
  // deno-lint-ignore no-explicit-any -- as node:events has it
  on(event: string, listener: (...args: any[]) => void): unknown;
  /** Stops listening. */
  // deno-lint-ignore no-explicit-any -- as node:events has it
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** `host:port` (or the socket's path) of a client, for messages; never its credentials. */
export function addressOf(client: RedisClient): string {
  const { socket } = (client.options ?? {}) as {
    socket?: { host?: string; port?: number; path?: string };
  };
  if (socket?.path) return socket.path;
  return `${socket?.host ?? "localhost"}:${socket?.port ?? 6379}`;
}

/** Refuses what is no client, at the constructor and not at the first command. */
export function checkClient(client: RedisClient): RedisClient {
  if (typeof client?.sendCommand !== "function" || typeof client.duplicate !== "function") {
    throw new TypeError(
      `The first argument must be a Redis client, from connect() or createClient(), ` +
        `but is ${show(client)}`,
    );
  }
  return client;
}
