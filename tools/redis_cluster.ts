/**
 * A private Redis Cluster on 127.0.0.1: masters that share all slots, and replicas of each, every one
 * a {@link RedisServer} of its own. It stands in about three seconds, can lose a master, hand one over
 * and move slots, and ends with {@linkcode RedisCluster.stop}, which leaves nothing.
 *
 * @module
 */

import { findRedis } from "./provision.ts";
import { RedisServer } from "./redis_server.ts";

const SLOTS = 16_384;
const READY_MS = 20_000;

/** When a failover that was asked for is not under way any more. */
const GIVEN_UP_MS = 6_000;

/** How a private cluster is to be. */
export interface RedisClusterOptions {
  /** How many masters; a cluster needs three. @default {3} */
  masters?: number;
  /** How many replicas each master has. @default {1} */
  replicas?: number;
  /** After how long a silent node counts as down, in milliseconds. @default {2_000} */
  nodeTimeoutMs?: number;
  /** Keep data across {@linkcode RedisServer.kill} and restart. @default {false} */
  aof?: boolean;
  /** Password of the default user, on all nodes. @default none */
  password?: string;
  /** More lines of `redis.conf`, for all nodes. */
  config?: Record<string, string | string[]>;
}

/** A cluster of our own; see {@linkcode RedisCluster.start}. */
export class RedisCluster implements AsyncDisposable {
  /** All nodes: the masters of the beginning in front, then the replicas. */
  readonly nodes: readonly RedisServer[];
  readonly #password: string | undefined;

  private constructor(nodes: RedisServer[], password: string | undefined) {
    this.nodes = nodes;
    this.#password = password;
  }

  /**
   * Starts a cluster and waits until every node sees all slots served and all replicas in step.
   *
   * @throws {Error} if it does not get ready within 20 s, or there is no redis-server of its own: the
   * nodes of a cluster have to reach each other, which containers on a laptop do not
   */
  static async start(options: RedisClusterOptions = {}): Promise<RedisCluster> {
    const { masters = 3, replicas = 1, nodeTimeoutMs = 2_000, aof, password } = options;
    await requireNative("A cluster");
    const config = {
      "cluster-enabled": "yes",
      "cluster-config-file": "nodes.conf",
      "cluster-node-timeout": String(nodeTimeoutMs),
      "cluster-announce-ip": "127.0.0.1", // known before the first MEET
      ...options.config,
    };
    const count = masters * (1 + replicas);
    const started = await Promise.allSettled(Array.from({ length: count }, () => {
      return RedisServer.start({ bus: true, aof, password, config });
    }));
    const nodes = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    const cluster = new RedisCluster(nodes, password);
    try {
      for (const one of started) if (one.status === "rejected") throw one.reason;
      await cluster.#form(masters);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** `redis+cluster://…` with the addresses of all nodes, for `connect({ url })`. */
  get url(): string {
    const user = this.#password === undefined ? "" : `:${encodeURIComponent(this.#password)}@`;
    return `redis+cluster://${user}${this.addresses.join(",")}`;
  }

  /** `host:port` of each node. */
  get addresses(): string[] {
    return this.nodes.map(({ host, port }) => `${host}:${port}`);
  }

  /**
   * The node that is the master of a key's slot; waits until all that live agree. One of them may believe
   * for a moment what it gives up again: a replica that it was elected, a master that it still is one.
   */
  async masterOf(key: string): Promise<RedisServer> {
    const some = this.nodes.find((node) => node.running && !node.paused);
    if (!some) throw new Error("No node of the cluster runs");
    const slot = Number(await some.cli("CLUSTER", "KEYSLOT", key));
    let owner: RedisServer | undefined;
    await until(async () => {
      owner = await this.#ownerOf(slot);
      return owner !== undefined;
    }, `the master of slot ${slot}`);
    return owner!;
  }

  /** A replica of a node, as that node sees it. */
  async replicaOf(master: RedisServer): Promise<RedisServer> {
    const id = await master.cli("CLUSTER", "MYID");
    for (const [, fields] of await view(await this.#anyLiving())) {
      if (fields[3] === id && fields[2]!.includes("slave") && !fields[2]!.includes("fail")) {
        return this.#at(fields[1]!);
      }
    }
    throw new Error(`127.0.0.1:${master.port} has no replica`);
  }

  /** Makes a master hand over to its replica (`CLUSTER FAILOVER`), and waits until it has. */
  async failover(master: RedisServer): Promise<RedisServer> {
    const replica = await this.replicaOf(master);
    let asked = -Infinity;
    await until(async () => {
      if ((await replica.cli("ROLE")).startsWith("master")) return true;
      // Redis gives it up after five seconds, where the machine is busy.
      if (Date.now() - asked > GIVEN_UP_MS) {
        await ok(replica, "CLUSTER", "FAILOVER");
        asked = Date.now();
      }
      return false;
    }, "the failover");
    return replica;
  }

  /**
   * Moves the slot of a key, with all its keys, to another master, and waits until every node knows: a
   * replica that has not heard of it and takes over leaves the slot, and what is in it, behind.
   */
  async moveSlot(key: string, to: RedisServer): Promise<void> {
    const from = await this.masterOf(key);
    if (from === to) return;
    const slot = await from.cli("CLUSTER", "KEYSLOT", key);
    const [fromId, toId] = await Promise.all([from, to].map((node) => node.cli("CLUSTER", "MYID")));
    const secret = this.#password === undefined ? [] : ["AUTH", this.#password];
    await ok(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromId!);
    await ok(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toId!);
    for (;;) {
      const keys = (await from.cli("CLUSTER", "GETKEYSINSLOT", slot, "100")).split("\n");
      if (keys[0] === "") break;
      const there = [to.host, String(to.port), "", "0", "5000"];
      const said = await from.cli("MIGRATE", ...there, ...secret, "KEYS", ...keys);
      if (said !== "OK" && said !== "NOKEY") throw new Error(`MIGRATE: ${said}`);
    }
    await ok(to, "CLUSTER", "SETSLOT", slot, "NODE", toId!);
    await ok(from, "CLUSTER", "SETSLOT", slot, "NODE", toId!);
    await until(
      async () => await this.#ownerOf(Number(slot)) === to,
      `slot ${slot} at its new master`,
    );
  }

  /** Waits until every node that lives sees all slots served. */
  async settled(): Promise<void> {
    await until(async () => {
      const living = this.nodes.filter((node) => node.running);
      const said = await Promise.all(living.map((node) => node.cli("CLUSTER", "INFO")));
      return said.every((text) => text.includes("cluster_state:ok"));
    }, "the cluster");
  }

  /** Ends all nodes. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** The same as {@linkcode RedisCluster.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #form(masters: number): Promise<void> {
    const [first, ...others] = this.nodes;
    await Promise.all(
      this.nodes.slice(0, masters).map(async (node, i) => {
        const from = Math.ceil(i * SLOTS / masters);
        const to = Math.ceil((i + 1) * SLOTS / masters);
        const slots = Array.from({ length: to - from }, (_, at) => String(from + at));
        await ok(node, "CLUSTER", "ADDSLOTS", ...slots);
        await ok(node, "CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
      }),
    );
    for (const { host, port, busPort } of others) {
      await ok(first!, "CLUSTER", "MEET", host, `${port}`, `${busPort}`);
    }
    const acquainted = async () => {
      const said = await Promise.all(this.nodes.map((node) => node.cli("CLUSTER", "NODES")));
      return said.every((text) =>
        text.split("\n").length === this.nodes.length && !text.includes("handshake")
      );
    };
    await until(acquainted, "the cluster");
    const ids = await Promise.all(this.nodes.map((node) => node.cli("CLUSTER", "MYID")));
    await Promise.all(
      this.nodes.slice(masters).map((node, i) => {
        return ok(node, "CLUSTER", "REPLICATE", ids[i % masters]!);
      }),
    );
    await until(async () => {
      const said = await Promise.all(this.nodes.map((node) => node.cli("INFO", "replication")));
      return said.slice(masters).every((text) => text.includes("master_link_status:up"));
    }, "the replicas");
    await this.settled();
    const replicas = this.nodes.length - masters;
    const known = async () => {
      const said = await Promise.all(this.nodes.map((node) => node.cli("CLUSTER", "NODES")));
      return said.every((text) =>
        text.split("\n").filter((line) => / (myself,)?slave /.test(line)).length === replicas
      );
    };
    await until(known, "the replicas");
  }

  async #anyLiving(): Promise<RedisServer> {
    for (const node of this.nodes) {
      if (!node.running || node.paused) continue;
      if ((await node.cli("CLUSTER", "INFO")).includes("cluster_state:ok")) return node;
    }
    throw new Error("No node of the cluster is well");
  }

  /** Who serves a slot in the eyes of all that live; undefined for nobody, and while they differ. */
  async #ownerOf(slot: number): Promise<RedisServer | undefined> {
    const living = this.nodes.filter((node) => node.running && !node.paused);
    const views = await Promise.all(living.map(view));
    const [owner, ...others] = views.map((seen) => ownerOf(slot, seen));
    if (owner === undefined || others.some((other) => other !== owner)) return undefined;
    return this.#at(owner);
  }

  #at(address: string): RedisServer {
    const port = Number(/:(\d+)/.exec(address)![1]);
    return this.nodes.find((node) => node.port === port)!;
  }
}

/** What a node knows of each: the line of CLUSTER NODES, and its fields. */
async function view(node: RedisServer): Promise<[string, string[]][]> {
  const text = await node.cli("CLUSTER", "NODES");
  return text.split("\n").map((line) => [line, line.split(" ")]);
}

/** The address of the master that serves a slot, in the eyes of a node; undefined for none. */
function ownerOf(slot: number, seen: [string, string[]][]): string | undefined {
  const owner = seen.find(([line, fields]) => {
    if (!fields[2]!.includes("master") || fields[2]!.includes("fail")) return false;
    return line.split(" ").slice(8).some((range) => {
      const [from, to = from] = range.split("-").map(Number);
      return slot >= from! && slot <= to!;
    });
  });
  return owner?.[1][1];
}

async function ok(node: RedisServer, ...command: string[]): Promise<void> {
  const said = await node.cli(...command);
  if (said !== "OK") throw new Error(`${command.slice(0, 3).join(" ")}: ${said}`);
}

/** Repeats `check` until it says yes. A connection that was cut is no answer: Sentinels cut all of a server. */
export async function until(check: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  let cut: unknown;
  const isSo = () =>
    check().catch((error: Error) => {
      if (!/Connection reset|closed the connection/.test(error.message)) throw error;
      cut = error;
      return false;
    });
  while (!await isSo()) {
    if (Date.now() > deadline) {
      throw new Error(`${what}: not ready after ${READY_MS} ms`, { cause: cut });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Refuses servers in containers, which do not reach each other. */
export async function requireNative(what: string): Promise<void> {
  const { image } = await findRedis();
  if (!image) return;
  throw new Error(
    `${what} needs a redis-server that runs here, and only one in Docker was found: install one, ` +
      `or name it by REDIS_SERVER`,
  );
}
