/**
 * The supervisor of a shared client: it notices a connection that is open but dead.
 *
 * A client library sees a connection end when the other side closes it. When a cable, a firewall or
 * a frozen server swallows the bytes instead, nothing closes: commands wait for ever, and so does
 * the program. So a supervised client is asked for a `PING` now and then; when no answer came in
 * time, its connection is torn down and made anew. The client object stays the same.
 *
 * It ends with the client: `close()` and `destroy()` stop the heartbeat.
 *
 * @module
 */
import { setImmediate, setTimeout as setNodeTimeout } from "node:timers";
import { addressOf, type RedisClient } from "./client.ts";
import { describe, explain, RedisConnectionError } from "./errors.ts";
import { DeadlineError, within } from "./timers.ts";

/** What happens to a connection, for `onEvent`. */
export type ConnectionEvent =
  /** The connection failed or was found dead; the client goes on trying unless `fatal`. */
  | { type: "lost"; address: string; error: Error; fatal: boolean }
  /** The connection works (again). */
  | { type: "ready"; address: string };

interface Supervision {
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
export function adopt(client: RedisClient): Supervision {
  let supervision = known.get(client);
  if (supervision) return supervision;
  const created: Supervision = supervision = { reviving: false, onEnd: new Set() };
  known.set(client, created);
  client.on("error", (error) => created.lastError = error);
  client.on("ready", () => created.lastError = undefined);
  client.on("terminated", (error) => created.endedBy = error);
  client.on("end", () => {
    if (created.reviving) return;
    for (const listener of [...created.onEnd]) listener();
  });
  return created;
}

/** What last went wrong with the client's connection, as a phrase; "" if nothing did. */
export function lastTrouble(client: RedisClient): string {
  const { lastError } = adopt(client);
  return lastError === undefined ? "" : describe(lastError);
}

/** Calls `listener` when the client's owner closes it. Returns what takes the listener back. */
export function whenEnded(client: RedisClient, listener: () => void): () => void {
  const { onEnd } = adopt(client);
  onEnd.add(listener);
  return () => onEnd.delete(listener);
}

/**
 * Refuses a client that is closed for good.
 *
 * @throws {RedisConnectionError} with `fatal`, since nobody will open it again.
 */
export function checkOpen(client: RedisClient): void {
  const supervision = adopt(client);
  if (client.isOpen || supervision.reviving) return;
  const address = addressOf(client);
  if (supervision.endedBy !== undefined) {
    const cause = explain(supervision.endedBy, address);
    if (cause instanceof RedisConnectionError) throw cause;
  }
  throw new RedisConnectionError("the client is closed (or was never connected)", {
    address,
    fatal: true,
  });
}

/**
 * Starts the heartbeat of a client.
 *
 * A `PING` waits behind whatever the connection does, so a blocking command on a supervised client
 * that takes longer than the heartbeat looks like a dead connection. Blocking commands need a
 * connection of their own (`client.duplicate()`) for that reason and for many others.
 */
export function supervise(
  client: RedisClient,
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
  client.on("error", (error) => tell(lost(error, false)));
  client.on("terminated", (error) => tell(lost(error, true)));

  let timer = schedule();
  whenEnded(client, () => clearTimeout(timer));

  function schedule(): ReturnType<typeof setNodeTimeout> {
    const next = setNodeTimeout(() => void beat(), heartbeatMs);
    next.unref(); // a heartbeat keeps no program alive
    return next;
  }

  async function beat(): Promise<void> {
    if (!client.isOpen && !supervision.reviving) return;
    const stuck = greetedAt !== undefined && performance.now() - greetedAt > heartbeatMs;
    if (stuck || (client.isReady && await isSilent(client, heartbeatMs))) {
      tell(lost(new DeadlineError(`no answer to PING within ${heartbeatMs} ms`), false));
      await revive(client, supervision);
    }
    if (client.isOpen || supervision.reviving) timer = schedule();
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

  function lost(error: unknown, fatal: boolean): ConnectionEvent {
    const cause = explain(error, address);
    return { type: "lost", address, fatal, error: cause as Error };
  }
}

/** Whether nothing at all comes back; an error reply (NOPERM, LOADING) is a sign of life. */
async function isSilent(client: RedisClient, deadlineMs: number): Promise<boolean> {
  try {
    await within(client.sendCommand(["PING"], { timeout: 0 }), deadlineMs);
    return false;
  } catch (error) {
    return error instanceof DeadlineError && client.isReady;
  }
}

/**
 * Closes the dead connection and opens a new one in the same client. Only a client that is ready or
 * in its handshake may be treated so: one that waits to reconnect has a loop of its own, which a
 * second `connect()` would double.
 */
async function revive(client: RedisClient, supervision: Supervision): Promise<void> {
  const wasReady = client.isReady;
  supervision.reviving = true;
  client.destroy();
  // A handshake that was under way needs a turn to notice that its socket is gone. A ready client
  // gets none: closed by its owner in between, it would be opened again.
  if (!wasReady) await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  // Not awaited: with the server away it takes until the server is back.
  client.connect().catch((error) => supervision.endedBy ??= error);
  supervision.reviving = false;
}
