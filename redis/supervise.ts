/**
 * The supervisor of a shared client: it notices a connection that is open but dead.
 *
 * A client library sees a connection end when the other side closes it. When a cable, a firewall or
 * a frozen server swallows the bytes instead, nothing closes: commands wait for ever, and so does
 * the program. So a supervised client is asked for a `PING` now and then; when no answer came in
 * time, its connection is torn down and made anew. The client object stays the same.
 *
 * It ends with the client: `destroy()` stops the heartbeat, and `close()` does when the replies in flight
 * have come, or have not within two beats.
 *
 * @module
 */
import { setTimeout as setNodeTimeout } from "node:timers";
import type { CallOptions } from "./call.ts";
import { addressOf, type CommandArgument, type NodeClient, type RedisClient } from "./client.ts";
import { describe, explain, isFatal, RedisConnectionError } from "./errors.ts";
import { DeadlineError, nextTurn, settlesWithin } from "./timers.ts";

/** What happens to a connection, for `onEvent`. */
export type ConnectionEvent =
  /** The connection failed or was found dead; the client goes on trying unless `fatal`. */
  | { type: "lost"; address: string; error: Error; fatal: boolean }
  /** The connection works (again). */
  | { type: "ready"; address: string }
  /**
   * The server throws keys away when its memory is full (`maxmemory-policy`), and messages with them.
   * Queues need "noeviction".
   */
  | { type: "evicting"; address: string; policy: string };

/** Where the commands of a client go that has several servers; see routed.ts. */
export interface Route {
  /** Sends a command to the server that has its key. */
  call(args: readonly CommandArgument[], options: CallOptions): Promise<unknown>;
  /** A client, ready, of the server that has `key`; of any, where there is no key. */
  node(key?: string): Promise<NodeClient>;
  /** Something came to nothing there: the key may be somewhere else by now. */
  doubt(error?: unknown): void;
  /** Tells `listener` when keys are somewhere else than before. Gives what ends that. */
  onMoved(listener: () => void): () => void;
  /** What last went wrong, for messages. */
  readonly trouble: unknown;
  /** Whether keys are spread by slots. */
  readonly slots: boolean;
}

interface Supervision {
  /** Where commands go, if not to the one server of this client. */
  readonly route: Route | undefined;
  /** Whether it is one of several servers: others have what it has not. */
  isOneOfSeveral: boolean;
  /** Set while the client is closed only in order to be opened again. */
  reviving: boolean;
  /** What last went wrong with the connection, for messages. */
  lastError?: unknown;
  /** What ended the client for good, if it was not its owner. */
  endedBy?: unknown;
  /** Told when the client was closed by its owner. */
  readonly onEnd: Set<() => void>;
}

const known = new WeakMap<RedisClient, Supervision>();

/**
 * Makes sure that a client, whoever made it, has an `error` listener that never throws, and that we
 * hear of its end. Without a listener Node ends the process at the first lost connection, and Deno
 * goes on with a client that is open but dead.
 */
export function adopt(client: RedisClient, route?: Route): Supervision {
  let supervision = known.get(client);
  if (supervision) return supervision;
  const created: Supervision = supervision = {
    route,
    isOneOfSeveral: false,
    reviving: false,
    onEnd: new Set(),
  };
  known.set(client, created);
  client.on("error", (error) => created.lastError = error);
  client.on("ready", () => created.lastError = undefined);
  const ended = () => {
    if (created.reviving) return;
    for (const listener of [...created.onEnd]) listener();
  };
  // A client that gives up (a password was changed, say) says so, but never says "end".
  client.on("terminated", (error) => {
    created.endedBy = error;
    ended();
  });
  client.on("end", ended);
  client.on("disconnect", ended); // what a cluster's says
  return created;
}

/** What last went wrong with the client's connection, as a phrase; "" if nothing did. */
export function lastTrouble(client: RedisClient): string {
  const { lastError: own, route } = adopt(client);
  const lastError = route?.trouble ?? own;
  return lastError === undefined ? "" : describe(lastError);
}

/** Calls `listener` when the client's owner closes it. Returns what takes the listener back. */
export function whenEnded(client: RedisClient, listener: () => void): () => void {
  const { onEnd } = adopt(client);
  onEnd.add(listener);
  return () => onEnd.delete(listener);
}

/** Where the commands of a client go, if not to one server. */
export function routeOf(client: RedisClient): Route | undefined {
  return adopt(client).route;
}

/** Says that a client is one of those of a route, which knows what to make of `MOVED`. */
export function joinRoute<C extends RedisClient>(client: C): C {
  adopt(client).isOneOfSeveral = true;
  return staysDestroyed(client);
}

/**
 * For clients that we make: `destroy()` or `close()` while the connection is being made does not end that; it
 * would stand a moment later, and for ever.
 */
export function staysDestroyed<C extends RedisClient>(client: C): C {
  client.on("ready", () => {
    if (!client.isOpen) client.destroy();
  });
  return client;
}

/** Whether a client is one of those of a route. */
export function isOneOfSeveral(client: RedisClient): boolean {
  return adopt(client).isOneOfSeveral;
}

/** Whether a client has been looked at before. */
export function isKnown(client: RedisClient): boolean {
  return known.has(client);
}

/**
 * Refuses a client that is closed for good. Gives where its commands go, if not to its one server.
 *
 * @throws {RedisConnectionError} with `fatal`, since nobody will open it again.
 */
export function checkOpen(client: RedisClient): Route | undefined {
  const supervision = adopt(client);
  if (client.isOpen || supervision.reviving) return supervision.route;
  const address = addressOf(client);
  const { endedBy: cause } = supervision;
  const message = cause === undefined
    ? "the client is closed (or was never connected)"
    : `the client has given up: ${describe(cause)}`;
  // A connection that was lost is made anew by whoever owns it; a closed or refused one is not.
  const fatal = cause === undefined || isFatal(cause);
  throw new RedisConnectionError(message, { address, fatal, cause });
}

/**
 * Starts the heartbeat of a client.
 *
 * A `PING` waits behind whatever the connection does, so a blocking command on a supervised client
 * that takes longer than the heartbeat looks like a dead connection. Blocking commands need a
 * connection of their own (`client.duplicate()`) for that reason and for many others.
 */
export function supervise(
  client: NodeClient,
  { heartbeatMs, onEvent = () => {} }: {
    heartbeatMs: number;
    onEvent?: (event: ConnectionEvent) => void;
  },
): void {
  const address = addressOf(client);
  const supervision = adopt(client);
  let greetedAt: number | undefined; // when TCP stood, until the handshake is through
  client.on("connect", () => greetedAt = performance.now());
  client.on("ready", () => {
    greetedAt = undefined;
    tell({ type: "ready", address });
  });
  client.on("error", (error) => tell(lost(error)));

  let timer = schedule();
  let isOver = false;
  let isLeft = false; // closed by its owner, one beat ago
  whenEnded(client, () => {
    isOver = true;
    clearTimeout(timer);
  });

  function schedule(): ReturnType<typeof setNodeTimeout> {
    const next = setNodeTimeout(() => void beat(), heartbeatMs);
    next.unref(); // a heartbeat keeps no program alive
    return next;
  }

  async function beat(): Promise<void> {
    if (!client.isOpen && !supervision.reviving) {
      // Closed, it waits for its replies, but not for ever for those of a server that is gone.
      if (isLeft) return void client.destroy();
      isLeft = true;
      timer = schedule();
      return;
    }
    const stuck = greetedAt !== undefined && performance.now() - greetedAt > heartbeatMs;
    if (stuck || (client.isReady && await isSilent(client, heartbeatMs))) {
      if (client.isOpen) {
        tell(lost(new DeadlineError(`no answer to PING within ${heartbeatMs} ms`)));
      }
      // Its owner may have closed it meanwhile, or just now: then it only has to end.
      if (client.isOpen) await revive(client, supervision);
      else client.destroy();
    }
    if (!isOver) timer = schedule();
  }

  function tell(event: ConnectionEvent): void {
    try {
      onEvent(event);
    } catch (error) {
      // Not inside the client's own handlers, where it would break the connection; but not lost.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  function lost(error: unknown): ConnectionEvent {
    const cause = explain(error, address) as Error;
    return { type: "lost", address, fatal: isFatal(error), error: cause };
  }
}

/** Whether nothing at all comes back; an error reply (NOPERM, LOADING) is a sign of life. */
async function isSilent(client: NodeClient, deadlineMs: number): Promise<boolean> {
  const ping = client.sendCommand(["PING"], { timeout: 0 });
  return !await settlesWithin(ping, deadlineMs) && client.isReady;
}

/**
 * Closes the dead connection and opens a new one in the same client. Only a client that is ready or
 * in its handshake may be treated so: one that waits to reconnect has a loop of its own, which a
 * second `connect()` would double.
 */
async function revive(client: NodeClient, supervision: Supervision): Promise<void> {
  const wasReady = client.isReady;
  supervision.reviving = true;
  client.destroy();
  // A handshake that was under way needs a turn to notice that its socket is gone. A ready client
  // gets none: closed by its owner in between, it would be opened again.
  for (let turns = 0; turns < 2 && !wasReady; turns++) await nextTurn();
  // Not awaited: with the server away it takes until the server is back.
  client.connect().catch((error) => supervision.endedBy ??= error);
  supervision.reviving = false;
}
