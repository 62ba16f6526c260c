/**
 * The part of a Redis client that this library uses, and the address it talks to.
 *
 * `connect()` returns the real client of `npm:redis`; every class takes that one or any client its
 * user made. Naming the few members we need keeps the classes independent of
 * the client's many type parameters.
 *
 * @module
 */
import type { Buffer } from "node:buffer";

/** One argument of a command: text, or bytes wrapped in a `Buffer`. */
export type CommandArgument = string | Buffer;

/**
 * What this library needs of a client: any client made by `createClient`, `createCluster` or
 * `createSentinel` of `npm:redis` fits.
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
  /** Opens the connection. */
  connect(): Promise<unknown>;
  /** Waits for replies in flight, then closes. */
  close(): Promise<unknown>;
  /** Closes at once; what is in flight is rejected. */
  destroy(): unknown;
  /** A second, unconnected client with the same options. */
  // deno-lint-ignore no-explicit-any -- each client type has an option type of its own
  duplicate(overrides?: any): RedisClient;
  /** Sends one command; each client type takes it in a way of its own. */
  // deno-lint-ignore no-explicit-any -- as each client type has it
  sendCommand(...args: any[]): Promise<unknown>;
  /** Listens to `error`, `ready`, `end` and the like. */
  // deno-lint-ignore no-explicit-any -- as node:events has it
  on(event: string, listener: (...args: any[]) => void): unknown;
  /** Stops listening. */
  // deno-lint-ignore no-explicit-any -- as node:events has it
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** A client of one server. Whatever the library sends or waits for goes through one of these. */
export interface NodeClient extends RedisClient {
  /** The options the client was made with; read only to tell the address and to duplicate. */
  readonly options?: object;
  // deno-lint-ignore no-explicit-any -- each client type has an option type of its own
  duplicate(overrides?: any): NodeClient;
  /** Sends one command as a list of arguments. */
  sendCommand(
    args: readonly CommandArgument[],
    // deno-lint-ignore no-explicit-any -- the library's option type depends on its type mapping
    options?: any,
  ): Promise<unknown>;
  /** Subscribes to channels. */
  subscribe: Subscribe;
  /** Subscribes to patterns. */
  pSubscribe: Subscribe;
  /** Subscribes to channels that are kept on one node of a cluster. */
  sSubscribe: Subscribe;
  /** Leaves channels. */
  unsubscribe(channels?: string | string[]): Promise<void>;
  /** Leaves patterns. */
  pUnsubscribe(patterns?: string | string[]): Promise<void>;
  /** Leaves channels that are kept on one node. */
  sUnsubscribe(channels?: string | string[]): Promise<void>;
}

type Subscribe = (
  targets: string | string[],
  // deno-lint-ignore no-explicit-any -- one listener type for strings, one for buffers
  listener: any,
  bufferMode?: true,
) => Promise<void>;

const addresses = new WeakMap<RedisClient, string>();

/** Says what a client of several servers is called in messages. */
export function nameAddress(client: RedisClient, address: string): void {
  addresses.set(client, address);
}

/** `host:port` (or the socket's path) of a client, for messages; never its credentials. */
export function addressOf(client: RedisClient): string {
  const named = addresses.get(client);
  if (named !== undefined) return named;
  const { socket } = ((client as NodeClient).options ?? {}) as {
    socket?: { host?: string; port?: number; path?: string };
  };
  if (socket?.path) return socket.path;
  return `${socket?.host ?? "localhost"}:${socket?.port ?? 6379}`;
}
