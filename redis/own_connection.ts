/**
 * A connection of one's own, for whoever waits in Redis.
 *
 * One connection is one queue of commands: a `GET` behind a `BRPOP 5` takes five seconds. So
 * whatever blocks (`BRPOP`, a subscription) gets a duplicate of the client it was given. There is
 * one way to get well again: a connection that failed, or did not answer within the block time and
 * some grace, is thrown away, and the next use makes a new one. Where there are several servers it is to
 * the one that has the key, and is thrown away as well when another one has it.
 *
 * It ends with `close()`, or when the client it was made from is closed.
 *
 * @module
 */
import { call } from "./call.ts";
import { addressOf, type CommandArgument, type NodeClient, type RedisClient } from "./client.ts";
import {
  explain,
  isConnectionError,
  isElsewhere,
  isFatal,
  RedisConnectionError,
  replyWord,
} from "./errors.ts";
import {
  adopt,
  checkOpen,
  isOneOfSeveral,
  joinRoute,
  routeOf,
  staysDestroyed,
  whenEnded,
} from "./supervise.ts";
import { DeadlineError, sleep, unlessAborted, within } from "./timers.ts";

/** Longest single wait in Redis, in milliseconds: the pace at which a dead server is noticed. */
export const MAX_BLOCK_MS = 5_000;

/** How much later than the block time a reply may come before the connection counts as dead. */
const GRACE_MS = 5_000;

/** Longest single wait where we may not call a blocked command back (`CLIENT UNBLOCK` refused). */
const MAX_BLOCK_UNCALLED_MS = 700;

/** How long a wait that was called back may go on. Not less than the longest uncalled one. */
const CALL_BACK_MS = 800;

/** How long closing may take, before the connection is cut. */
const CLOSE_MS = 500;

/** How long opening a connection may take, handshake included. */
const OPEN_MS = 5_000;

/** What a connection is to be besides. */
export interface OwnConnectionOptions {
  /** Options of the client that are not the parent's. */
  options?: object;
  /** Sets the connection up before anything else is sent over it. */
  prepare?: (client: NodeClient) => Promise<void>;
}

/** A duplicate of a client that is made when needed and replaced when it fails. */
export class OwnConnection implements AsyncDisposable {
  readonly #parent: RedisClient;
  readonly #key: string | undefined;
  readonly #made: OwnConnectionOptions;
  /** The shared client of the same server: it calls back what waits here. */
  #home: NodeClient | undefined;
  #client: NodeClient | undefined;
  #opening: Promise<NodeClient> | undefined;
  #connecting: NodeClient | undefined;
  #id: string | undefined;
  #closed = false;
  readonly #forget: () => void;

  /** @param key What it is for: where there are several servers, the one that has it. */
  constructor(parent: RedisClient, key?: string, made: OwnConnectionOptions = {}) {
    this.#parent = parent;
    this.#key = key;
    this.#made = made;
    const forgetEnd = whenEnded(parent, () => void this.close());
    const forgetMoved = routeOf(parent)?.onMoved(() => void this.#leaveIfMoved());
    this.#forget = () => {
      forgetEnd();
      forgetMoved?.();
    };
  }

  /** Whether `close()` was called, by its owner or by the end of the parent. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * The live connection, made if there is none.
   *
   * @throws The reason of `signal`, when it aborts before the connection stands.
   */
  async client(signal?: AbortSignal): Promise<NodeClient> {
    checkOpen(this.#parent);
    if (this.#closed) throw this.#error("the connection was closed", true);
    if (this.#client?.isReady) return this.#client;
    this.discard();
    this.#opening ??= this.#open().finally(() => this.#opening = undefined);
    return await unlessAborted(this.#opening, signal);
  }

  /**
   * Sends a command that waits in Redis, `blockMs` at most, and calls it back when `signal` aborts.
   * The reply is awaited even then: what Redis has already handed over is not thrown away.
   *
   * @param command Makes the command from the time it may block, in seconds.
   */
  async block(
    command: (seconds: string) => readonly CommandArgument[],
    blockMs: number,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const client = await this.client(signal);
    if (signal?.aborted) return null;
    const ms = this.#blockMs(blockMs, signal);
    const options = { deadlineMs: ms + GRACE_MS, raw: true };
    return await this.#seeThrough(
      call(client, command(String(ms / 1_000)), options),
      { waits: true, signal },
    );
  }

  /**
   * Sends a command that waits, as `block` does, and `then` behind it in the same write: Redis runs it
   * the moment the wait is over, while we have yet to hear of that. A wait that is called back, or
   * finds nothing, is followed by it all the same.
   *
   * @returns The reply to `then`.
   * @throws What either of them failed with; the reason of `signal` if it aborts before they are sent.
   */
  async blockThen(
    command: (seconds: string) => readonly CommandArgument[],
    then: readonly CommandArgument[],
    { blockMs, signal }: { blockMs: number; signal?: AbortSignal },
  ): Promise<unknown> {
    const client = await this.client(signal);
    signal?.throwIfAborted();
    const ms = this.#blockMs(blockMs, signal);
    const options = { deadlineMs: ms + GRACE_MS, raw: true };
    const waited = call(client, command(String(ms / 1_000)), options);
    const replied = call(client, then, options);
    replied.catch(() => {}); // where both fail, the first one tells why
    const both = async () => {
      await waited;
      return await replied;
    };
    return await this.#seeThrough(both(), { waits: true, signal });
  }

  /**
   * Sends a command that does not wait, and `then`, which may take `thenMs`, behind it in the same write.
   *
   * @returns The replies to both.
   */
  async callThen(
    args: readonly CommandArgument[],
    then: readonly CommandArgument[],
    { thenMs }: { thenMs: number },
  ): Promise<[unknown, unknown]> {
    const client = await this.client();
    const options = { deadlineMs: GRACE_MS + thenMs, raw: true };
    const both = [call(client, args, options), call(client, then, options)] as const;
    both[1].catch(() => {}); // where both fail, the first one tells why
    const replies = both[0].then(async (
      reply,
    ): Promise<[unknown, unknown]> => [reply, await both[1]]);
    return await this.#seeThrough(replies, { waits: false, signal: undefined });
  }

  /** Sends a command that does not wait. */
  async call(args: readonly CommandArgument[], signal?: AbortSignal): Promise<unknown> {
    const client = await this.client(signal);
    return await this.#seeThrough(call(client, args, { raw: true }), { waits: false, signal });
  }

  /** Redis reads 0 as "for ever"; a millisecond is the shortest wait it knows. */
  #blockMs(ms: number, signal?: AbortSignal): number {
    const longest = this.#id === undefined && signal ? MAX_BLOCK_UNCALLED_MS : MAX_BLOCK_MS;
    return Math.max(1, Math.min(ms, longest));
  }

  /** The reply; when `signal` aborts, a command that waits is called back, and cut if that fails. */
  async #seeThrough<R>(
    reply: Promise<R>,
    { waits, signal }: { waits: boolean; signal?: AbortSignal | undefined },
  ): Promise<R> {
    let ended: AbortController | undefined;
    let cut = false;
    const onAbort = () => {
      ended = new AbortController();
      if (waits) void this.#callBack(ended.signal);
      void this.#cut(ended.signal).then((done) => cut = done);
    };
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    try {
      return await reply;
    } catch (error) {
      // What is elsewhere is one key; a connection that others share stays, and they know.
      if (isConnectionError(error) || isElsewhere(error) && !isOneOfSeveral(this.#parent)) {
        this.discard();
        routeOf(this.#parent)?.doubt();
      }
      throw cut ? signal?.reason : error;
    } finally {
      ended?.abort();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** A server that does not answer cannot call a command back either: then the wait is cut. */
  async #cut(ended: AbortSignal): Promise<boolean> {
    await sleep(CALL_BACK_MS, ended);
    if (ended.aborted) return false;
    this.discard();
    return true;
  }

  /** Throws the connection away; the next use makes a new one. */
  discard(): void {
    const client = this.#client;
    if (!client) return;
    // Who was given it this moment tries again: it is not closed for good.
    adopt(client).endedBy = this.#error("the connection was given up, and another one is made");
    client.destroy();
    this.#client = undefined;
  }

  /** Ends it for good, within `ms`. Whatever is still waiting in Redis is called back first. */
  async close(ms = CLOSE_MS): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.#connecting?.destroy(); // its #open() rejects
    const client = this.#client;
    if (!client?.isOpen) return;
    const closing = async () => {
      if (client.isReady && this.#home?.isReady) await this.#unblock(ms).catch(() => {});
      await client.close();
    };
    // close() waits for replies in flight, and for ever if the server is gone.
    await within(closing(), ms).catch(() => client.destroy());
  }

  /** Ends it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Another server may have the key now: what waits at the old one would wait in vain. */
  async #leaveIfMoved(): Promise<void> {
    if (this.#home && await this.#isLeft(this.#home)) this.discard();
  }

  /** Whether it is another server that has the key; without one, whether this is a master no more. */
  async #isLeft(home: NodeClient): Promise<boolean> {
    const route = routeOf(this.#parent);
    if (!route) return false;
    if (this.#key === undefined) return !home.isOpen;
    return await route.node(this.#key).catch(() => undefined) !== home;
  }

  async #open(): Promise<NodeClient> {
    const route = routeOf(this.#parent);
    const home = this.#home = route ? await route.node(this.#key) : this.#parent as NodeClient;
    if (this.#closed) throw this.#error("the connection was closed", true);
    const client = home.duplicate({
      socket: {
        ...(home.options as { socket?: object } | undefined)?.socket,
        reconnectStrategy: false, // one way to get well again: ours
        connectTimeout: OPEN_MS,
        socketTimeout: undefined,
      },
      disableOfflineQueue: true,
      maintNotifications: "disabled",
      pingInterval: undefined,
      ...this.#made.options,
    });
    if (route || isOneOfSeveral(home)) joinRoute(client);
    else staysDestroyed(client);
    client.on("error", () => {}); // the command that it hits is rejected with it
    this.#connecting = client;
    try {
      await within(client.connect(), OPEN_MS);
      this.#id = await clientId(client);
      await this.#made.prepare?.(client);
      // #leaveIfMoved has nothing to throw away before it stands.
      if (await this.#isLeft(home)) throw this.#error("its server was left while it was made");
    } catch (error) {
      client.destroy();
      route?.doubt();
      if (error instanceof DeadlineError) throw this.#error(`no connection within ${OPEN_MS} ms`);
      throw explain(error, addressOf(this.#parent));
    } finally {
      this.#connecting = undefined;
    }
    if (this.#closed) {
      client.destroy();
      throw this.#error("the connection was closed", true);
    }
    return this.#client = client;
  }

  /**
   * Calls a blocked command back. The call may overtake the command, since the two travel on
   * different connections, so it is repeated until the command's reply is there.
   */
  async #callBack(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      try {
        await this.#unblock();
      } catch (error) {
        if (isFatal(error) || replyWord(error)) {
          this.#id = undefined; // not allowed: the block time ends it, and waits are short from now on
          return;
        }
      }
      await sleep(20, ended);
    }
  }

  async #unblock(deadlineMs = 1_000): Promise<void> {
    if (this.#id === undefined || !this.#home) return;
    await call(this.#home, ["CLIENT", "UNBLOCK", this.#id], { deadlineMs });
  }

  #error(message: string, fatal = false): RedisConnectionError {
    return new RedisConnectionError(message, { address: addressOf(this.#parent), fatal });
  }
}

/**
 * Connections of one's own to borrow, so that waiting again does not mean connecting again.
 * One is kept when it comes back; more are closed.
 */
export class OwnConnections implements AsyncDisposable {
  readonly #parent: RedisClient;
  readonly #key: string;
  readonly #lent = new Set<OwnConnection>();
  #idle: OwnConnection | undefined;
  #closed = false;

  /** @param key What they are for; see {@linkcode OwnConnection}. */
  constructor(parent: RedisClient, key: string) {
    this.#parent = parent;
    this.#key = key;
  }

  /** Runs `use` with a connection that nobody else uses meanwhile. */
  async borrow<T>(use: (connection: OwnConnection) => Promise<T>): Promise<T> {
    if (this.#closed) {
      throw new RedisConnectionError("the queue object was closed", {
        address: addressOf(this.#parent),
        fatal: true,
      });
    }
    const connection = this.#idle && !this.#idle.closed
      ? this.#idle
      : new OwnConnection(this.#parent, this.#key);
    this.#idle = undefined;
    this.#lent.add(connection);
    try {
      return await use(connection);
    } finally {
      this.#lent.delete(connection);
      if (this.#idle || this.#closed) await connection.close();
      else this.#idle = connection;
    }
  }

  /** Closes what is idle, and calls back and closes what is lent. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#lent, ...(this.#idle ? [this.#idle] : [])];
    this.#idle = undefined;
    await Promise.all(all.map((connection) => connection.close()));
  }

  /** Closes all. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The server's number of this connection; undefined where asking for it is not allowed. */
async function clientId(client: NodeClient): Promise<string | undefined> {
  try {
    return String(await call(client, ["CLIENT", "ID"]));
  } catch (error) {
    if (replyWord(error) === "NOPERM") return undefined;
    throw error;
  }
}
