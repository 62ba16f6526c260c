/**
 * Which kind of client somebody gave us: of one server, of a cluster, or of a master with Sentinels.
 * This is the only place that looks.
 *
 * @module
 */
import { ClusterDiscovery } from "./cluster.ts";
import { addressOf, nameAddress, type NodeClient, type RedisClient } from "./client.ts";
import { Routed } from "./routed.ts";
import { show } from "./show.ts";
import { isKnown } from "./supervise.ts";
import { backoffMs } from "./timers.ts";

/** How often a client's own knowledge of its master is looked at, in milliseconds. */
const LOOK_MS = 500;

/** What we use of a client made by `createCluster`. */
interface ClusterClient extends RedisClient {
  readonly masters: readonly { address: string }[];
  nodeClient(node: { address: string }): Promise<NodeClient>;
}

/** What we use of a client made by `createSentinel`. */
interface SentinelClient extends RedisClient {
  getMasterNode(): { host: string; port: number } | undefined;
  /** Runs something with the client of the master that it has in its pool. */
  _execute<T>(isReadonly: boolean, run: (node: NodeClient) => Promise<T>): Promise<T>;
}

/**
 * Refuses what is no client, at the constructor and not at the first command; finds the servers of one
 * that has several.
 *
 * @throws {TypeError} for what is no client.
 */
export function checkClient<C extends RedisClient>(client: C): C {
  if (typeof client?.sendCommand !== "function" || typeof client.duplicate !== "function") {
    throw new TypeError(
      `The first argument must be a Redis client, from connect() or createClient(), ` +
        `but is ${show(client)}`,
    );
  }
  if (!isKnown(client)) {
    if (isCluster(client)) routeCluster(client);
    else if (isSentinel(client)) routeSentinel(client);
  }
  return client;
}

function isCluster(client: RedisClient): client is ClusterClient {
  return "nodeClient" in client && "masters" in client;
}

function isSentinel(client: RedisClient): client is SentinelClient {
  return "getMasterNode" in client && "getSentinelNode" in client;
}

/** A cluster's client that its user made: its nodes are asked as it would, with its options. */
function routeCluster(client: ClusterClient): void {
  nameAddress(client, client.masters.map(({ address }) => address).join(",") || "a cluster");
  const seeds = () => client.masters.map(({ address }) => address);
  const discovery = new ClusterDiscovery(seeds);
  const makeNode = async (address: string) => {
    const known = client.masters.find((node) => node.address === address) ?? client.masters[0];
    if (!known) throw new Error("The cluster's client is not connected");
    return duplicate(await client.nodeClient(known), address);
  };
  belong(client, { discovery, makeNode });
}

/** A Sentinel client that its user made: it knows its master. */
function routeSentinel(client: SentinelClient): void {
  nameAddress(client, "a master with Sentinels");
  const find = () => {
    const master = client.getMasterNode();
    if (!master) return Promise.reject(new Error("The Sentinels name no master at the moment"));
    const address = `${master.host}:${master.port}`;
    return Promise.resolve({ bySlot: [address] });
  };
  const makeNode = async (address: string) => {
    const node = await client._execute(false, (node) => Promise.resolve({ node }));
    return duplicate(node.node, address);
  };
  belong(client, { discovery: { slots: false, everyMs: LOOK_MS, find }, makeNode });
}

function belong(
  client: RedisClient,
  parts: Pick<ConstructorParameters<typeof Routed>[0], "discovery" | "makeNode">,
): void {
  new Routed({ ...parts, address: addressOf(client), heartbeatMs: 5_000 }).belongsTo(client);
}

/** A client with the same options for another server of the same kind. */
function duplicate(node: NodeClient, address: string): NodeClient {
  const { host, port } = splitAddress(address);
  let stood = false;
  const twin = node.duplicate({
    socket: {
      ...(node.options as { socket?: object } | undefined)?.socket,
      host,
      port,
      reconnectStrategy: (retries: number) => stood ? backoffMs(retries) : false,
    },
    maintNotifications: "disabled",
    pingInterval: undefined,
  });
  twin.on("ready", () => stood = true);
  return twin;
}

/** Host and port of `host:port`. */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
}
