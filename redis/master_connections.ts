/**
 * Connections of one's own to several servers: one for each master, shared by all keys that it has.
 *
 * A command goes over the connection to the master that has its key now. So nothing has to be done when
 * a slot moves: the next command goes elsewhere. When a master is no master any more its connection ends,
 * and what was in flight there fails as over any lost connection. With one server it is one connection.
 *
 * It ends with `close()`, or when the client it was made from is closed.
 *
 * @module
 */
import { addressOf, type CommandArgument, type RedisClient } from "./client.ts";
import { isConnectionError, isElsewhere, RedisConnectionError } from "./errors.ts";
import { OwnConnection, type OwnConnectionOptions } from "./own_connection.ts";
import { checkOpen, routeOf, whenEnded } from "./supervise.ts";
import { DeadlineError, unlessAborted, within } from "./timers.ts";

/** What the connections are to be besides. */
export interface MasterConnectionsOptions extends OwnConnectionOptions {
  /**
   * How long a command may wait until there is a connection to a master, in milliseconds.
   *
   * @default as long as making one may take
   */
  connectMs?: number;
}

/** See the module. */
export class MasterConnections {
  readonly #parent: RedisClient;
  readonly #made: MasterConnectionsOptions;
  readonly #own = new Map<RedisClient, OwnConnection>();
  readonly #forget: () => void;
  #closed = false;

  constructor(parent: RedisClient, made: MasterConnectionsOptions = {}) {
    this.#parent = parent;
    this.#made = made;
    this.#forget = whenEnded(parent, () => void this.close());
  }

  /** Sends a command that does not wait to the master that has `key`. */
  async call(
    key: string,
    args: readonly CommandArgument[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const route = routeOf(this.#parent);
    checkOpen(this.#parent);
    const home = route ? await this.#soon(route.node(key), signal) : this.#parent;
    const own = this.#to(home);
    try {
      await this.#soon(own.client(signal), signal);
      return await own.call(args, signal);
    } catch (error) {
      if (isConnectionError(error) || isElsewhere(error)) route?.doubt(error);
      if (!route || this.#closed || home.isOpen && !own.closed) throw error;
      // Its end is not ours: another one has the key.
      throw new RedisConnectionError("the master that had the key was left", {
        address: addressOf(home),
        sent: true,
        cause: error,
      });
    }
  }

  /** Ends all of them, within `ms`. */
  async close(ms?: number): Promise<void> {
    this.#closed = true;
    this.#forget();
    await Promise.all([...this.#own.values()].map((own) => own.close(ms)));
    this.#own.clear();
  }

  /** A master that is away is not waited for by those who have other masters to ask. */
  async #soon<R>(client: Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    const { connectMs } = this.#made;
    if (connectMs === undefined) return await unlessAborted(client, signal);
    try {
      return await unlessAborted(within(client, connectMs), signal);
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw error;
      const address = addressOf(this.#parent);
      throw new RedisConnectionError(`no connection to the master within ${connectMs} ms`, {
        address,
      });
    }
  }

  #to(home: RedisClient): OwnConnection {
    const known = this.#own.get(home);
    if (known && !known.closed) return known;
    if (this.#closed) {
      const address = addressOf(this.#parent);
      throw new RedisConnectionError("the connection was closed", { address, fatal: true });
    }
    for (const [other, own] of this.#own) if (own.closed) this.#own.delete(other);
    const own = new OwnConnection(home, undefined, this.#made); // ends with that client
    this.#own.set(home, own);
    return own;
  }
}
