/**
 * Hearing of the tokens of many queues over one connection for each master.
 *
 * `BLPOP` waits for keys of one slot. Queues in several slots would take a connection each, so whoever
 * waits for many of them asks Redis to be told when one of their tokens changes: `CLIENT TRACKING` with
 * `BCAST`, by which a server tells of every change of a key with one of the prefixes. The scripts that
 * put a token down do not know of it.
 *
 * What is told is that a token came or went, and not to whom: whoever hears of it takes it (`LPOP`), and
 * who gets it claims, so that of many who are told one asks for messages. That is a `BLPOP` in two steps.
 * Every master is told all keys, also those that it has not, so a slot that moves is watched before it
 * arrives.
 *
 * A connection that is lost may have had something to tell: then all listeners are told of all keys. What
 * is missed all the same costs time and no message, since every wait ends in claims. Where an account may
 * not use `CLIENT TRACKING`, it is pretended ten times a second that all have changed.
 *
 * It ends with `close()`, or when the client it was made from is closed.
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { CommandArgument, NodeClient, RedisClient } from "../redis/client.ts";
import { replyWord } from "../redis/errors.ts";
import { MasterConnections } from "../redis/master_connections.ts";
import { whenEnded } from "../redis/supervise.ts";

/** How often tokens are looked for where Redis may not tell of them, in milliseconds. */
const LOOK_MS = 100;

/** How long whoever has several masters waits for a connection to one, in milliseconds. */
export const CONNECT_MS = 250;

/** Told of the place of a key in the list, or of all of them. */
type Listener = (index?: number) => void;

/** See the module. */
export class WakeWatch {
  readonly #client: RedisClient;
  readonly #keys: readonly string[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #listeners = new Set<Listener>();
  #lines: MasterConnections;
  #looking: ReturnType<typeof setInterval> | undefined;
  readonly #forget: () => void;
  #closed = false;

  /** @param keys Where the tokens are. */
  constructor(client: RedisClient, keys: readonly string[]) {
    this.#client = client;
    this.#keys = keys;
    this.#places = new Map(keys.map((key, i) => [key, i]));
    this.#lines = new MasterConnections(client, {
      // RESP3 tells between replies, so what listens can ask as well.
      connectMs: CONNECT_MS,
      options: { RESP: 3, emitInvalidate: true, clientSideCache: undefined },
      prepare: (node) => this.#listenAt(node),
    });
    this.#forget = whenEnded(client, () => void this.close());
  }

  /** Calls `listener` with what changes. Gives what ends that. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends a command to the master of a key; what changes there is told from then on. */
  async call(
    key: string,
    args: readonly CommandArgument[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const lines = this.#lines;
    try {
      return await lines.call(key, args, signal);
    } catch (error) {
      if (this.#closed) throw error;
      if (lines === this.#lines) {
        if (!isForbidden(error)) throw error;
        this.#lookInstead();
      }
      // Also what was on its way to another master when one said no: that ended with the connections.
      return await this.#lines.call(key, args, signal);
    }
  }

  /** Takes the token of a key, if there is one. */
  async takeToken(index: number): Promise<boolean> {
    const key = this.#keys[index]!;
    return await this.call(key, ["LPOP", key]) !== null;
  }

  /** Ends its connections, within `ms`. Whoever listens looks, and meets that. */
  async close(ms?: number): Promise<void> {
    this.#closed = true;
    this.#forget();
    clearInterval(this.#looking);
    const closing = this.#lines.close(ms);
    this.#tell();
    this.#listeners.clear();
    await closing;
  }

  async #listenAt(node: NodeClient): Promise<void> {
    node.on("invalidate", (key: unknown) => {
      if (key === null) return this.#tell(); // all keys were flushed
      const index = this.#places.get(String(key));
      if (index !== undefined) this.#tell(index);
    });
    const lost = () => this.#tell();
    for (const event of ["end", "error"]) node.on(event, lost);
    // The client has switched it on for what it reads. NOLOOP: what this connection does it knows.
    await call(node, ["CLIENT", "TRACKING", "OFF"]);
    const prefixes = this.#keys.flatMap((key) => ["PREFIX", key]);
    await call(node, ["CLIENT", "TRACKING", "ON", "BCAST", "NOLOOP", ...prefixes]);
  }

  #tell(index?: number): void {
    for (const listener of [...this.#listeners]) listener(index);
  }

  #lookInstead(): void {
    void this.#lines.close();
    this.#lines = new MasterConnections(this.#client, { connectMs: CONNECT_MS });
    this.#looking = setInterval(() => this.#tell(), LOOK_MS);
  }
}

/** Whether it was `CLIENT TRACKING` that the account may not use, or something between does not know. */
function isForbidden(error: unknown): boolean {
  return ["NOPERM", "ERR"].includes(replyWord(error)) && /tracking/i.test(String(error));
}
