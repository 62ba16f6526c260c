/**
 * `connect()` where there are several servers: a cluster, or a master with Sentinels.
 *
 * What the user gets is the client of `npm:redis` for it. What this library sends goes through
 * connections of its own to each master (routed.ts), made with the same options.
 *
 * @module
 */
import { createClient, createCluster, createSentinel } from "redis";
import { call } from "./call.ts";
import { nameAddress, type NodeClient } from "./client.ts";
import { ClusterDiscovery } from "./cluster.ts";
import { isFatal, replyWord } from "./errors.ts";
import type { Places } from "./places.ts";
import { MAX_PAUSE_MS } from "./refusals.ts";
import { Routed } from "./routed.ts";
import { SentinelDiscovery } from "./sentinel.ts";
import type { ConnectionEvent } from "./supervise.ts";
import { backoffMs, sleep, within } from "./timers.ts";
import { splitAddress } from "./topology.ts";

type Reconnects = (retries: number, cause: Error) => number | false | Error;

/** What the connections have in common. */
export interface SeveralOptions {
  timeoutMs: number;
  heartbeatMs: number;
  signal: AbortSignal | undefined;
  onEvent: ((event: ConnectionEvent) => void) | undefined;
  /** The connection's name. */
  name: string | undefined;
  /** Certificates. */
  tls: object;
  /** Makes the error of what could not be reached. */
  unreachable: (cause: unknown, address: string) => Error;
}

type ClusterClient = ReturnType<typeof createCluster>;
type SentinelClient = ReturnType<typeof createSentinel>;

/** Connects to the masters; resolves when commands are answered. */
export async function connectSeveral(
  places: Places,
  options: SeveralOptions,
): Promise<ClusterClient | SentinelClient> {
  const { timeoutMs, signal } = options;
  const address = places.kind === "cluster"
    ? places.nodes.join(",")
    : `${places.nodes.join(",")} (${places.name})`;
  const nodeOptions = (account: object, reconnects: Reconnects) => ({
    ...account,
    ...(places.database > 0 && { database: places.database }),
    ...(options.name !== undefined && { name: options.name }),
    // Otherwise the client asks the environment, and without that permission connects in a loop.
    maintNotifications: "disabled" as const,
    socket: {
      ...(places.tls && { tls: true as const, ...options.tls }),
      connectTimeout: timeoutMs,
      reconnectStrategy: reconnects,
    },
  });
  const account = pick(places);
  const makeNode = (at: string, as = account) => {
    let stood = false;
    const { socket, ...others } = nodeOptions(as, (retries, cause) => {
      // One that has never stood may be nobody: whoever needs it tries again.
      if (!stood) return false;
      return isFatal(cause) ? cause : backoffMs(retries, { maxMs: MAX_PAUSE_MS });
    });
    const node = createClient({ ...others, socket: { ...socket, ...splitAddress(at) } });
    node.on("ready", () => stood = true);
    return node as unknown as NodeClient;
  };
  const asked = new Set<string>();
  const discovery = places.kind === "cluster"
    ? new ClusterDiscovery(() => places.nodes)
    : new SentinelDiscovery(places.name, places.nodes, {
      make: (at) => makeNode(at, pick(places.sentinel)),
      onAnswer: (at) => asked.add(at),
    });
  const route = new Routed({ ...options, discovery, makeNode: (at) => makeNode(at), address });

  let client: ClusterClient | SentinelClient | undefined;
  const opening = (async () => {
    await firstAnswer(route, timeoutMs);
    const { socket, ...others } = nodeOptions(
      account,
      (retries) => backoffMs(retries, { maxMs: MAX_PAUSE_MS }),
    );
    // Its way of finding out hangs on one that is frozen: it is given those that have answered.
    client = places.kind === "cluster"
      ? createCluster({
        rootNodes: route.masters().map((at) => ({ socket: splitAddress(at) })),
        minimizeConnections: true, // ours stand; its own when they are needed
        defaults: { ...others, socket },
      }) as unknown as ClusterClient
      : createSentinel({
        name: places.name,
        sentinelRootNodes: [...asked].map(splitAddress),
        nodeClientOptions: { ...others, socket } as object,
        sentinelClientOptions: {
          ...pick(places.sentinel),
          maintNotifications: "disabled",
          ...(places.tls && { socket: { tls: true, ...options.tls } }),
        } as object,
        reserveClient: true, // commands of a turn need not wait for each other
        scanInterval: 10_000,
      }) as unknown as SentinelClient;
    nameAddress(client, address);
    route.belongsTo(client);
    await client.connect();
    return client;
  })();
  try {
    return endsBoth(await within(opening, timeoutMs, signal), route);
  } catch (error) {
    opening.catch(() => {}); // it was given up
    const trouble = route.trouble ?? error; // before it is closed, which is trouble as well
    await route.close();
    // A Sentinel client ends a little later than it says.
    if (client?.isOpen) await within(Promise.resolve(client.destroy()), 2_000).catch(() => {});
    signal?.throwIfAborted();
    throw options.unreachable(trouble, address);
  }
}

function pick(
  { username, password }: { username?: string | undefined; password?: string | undefined },
) {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}

/** Until one master answers, or what stands in the way is for good. */
async function firstAnswer(route: Routed, timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    try {
      await call(await route.node(), ["PING"], { deadlineMs: timeoutMs });
      return;
    } catch (error) {
      if (replyWord(error) === "NOPERM") return; // an account with few rights: it answered
      if (isFatal(error) || isFatal(route.trouble) || performance.now() > until) throw error;
      await sleep(50);
    }
  }
}

/** Closing the client closes what was made for it, before the promise resolves. */
function endsBoth<C extends ClusterClient | SentinelClient>(client: C, route: Routed): C {
  const close = client.close.bind(client) as () => Promise<void>;
  const destroy = client.destroy.bind(client) as () => Promise<void> | void;
  return Object.assign(client, {
    close: async () => {
      const closed = close();
      await Promise.all([closed, route.close()]);
    },
    destroy: () => {
      route.destroy();
      return destroy();
    },
  });
}
