/**
 * Where a chaos run takes place: one Redis, a cluster, or a master with Sentinels; and what can be done
 * there to the server that has the queue. A ground is an entry of one table, which starts the servers,
 * and says how each fault is made; a new one is a new entry and nothing else.
 *
 * Each fault ends when the servers could bear the next one: a master that was killed is back as a replica,
 * in step with the one that took over, or the next kill would prove that two machines are one too few.
 *
 * @module
 */
import { RedisCluster, until } from "../redis_cluster.ts";
import { RedisSentinel } from "../redis_sentinel.ts";
import { RedisServer } from "../redis_server.ts";
import type { Random } from "./random.ts";

/** What is done to servers: killed; handed over in order; the queue's slot moved to another one. */
export const SERVER_FAULTS = ["redisKills", "handovers", "moves"] as const;

/** The name of one. */
export type ServerFault = typeof SERVER_FAULTS[number];

/** When a fault was, to tell how long nobody could work. */
export interface Interruption {
  fault: ServerFault;
  /** When it began. */
  at: number;
  /** From when on an ack shows that work goes on: what was under way before may still come to an end. */
  since: number;
}

/** Makes a fault. */
type Make = (random: Random) => Promise<Omit<Interruption, "fault">>;

/** Servers that stand. */
export interface Ground extends AsyncDisposable {
  /** For `connect`. */
  url: string;
  /** A folder that goes with them. */
  dir: string;
  /** The faults that there are. */
  faults: Readonly<Partial<Record<ServerFault, Make>>>;
}

/** How hard a run is: how many messages, and how often what is done. */
export type Hardness = Record<ServerFault, number> & {
  /** How many messages are enqueued. */
  messages: number;
  /** How often a worker is killed. */
  kills: number;
  /** How often one is stopped until its leases are over. */
  stops: number;
};

/** A fault, for the report: what is done, and from when on the time to the first ack is taken. */
interface Told {
  done: string;
  back: string;
}

/** An entry of the table. */
interface Kind {
  /** For the report: the servers. */
  words: string;
  /** The faults that there are here. */
  faults: Partial<Record<ServerFault, Told>>;
  /** How many replicas must have a message, that it counts as confirmed. */
  replicas: number;
  /** Whether no lease outlives such a fault, so that all that is in hand may be done again. */
  outlastsLeases: boolean;
  /** As long as continuous integration has time for. */
  short: Hardness;
  /** On request. */
  long: Hardness;
  /** Starts the servers; `key` is one of the queue's. */
  start(key: string): Promise<Ground>;
}

/** How long Redis is down when it is killed and has nobody to take over. */
const DOWN_MS: [number, number] = [20, 300];

/** No ack that was under way when a master was killed comes later, and none takes over so soon. */
const STRAGGLER_MS = 500;

/** A node of a cluster, or a master with Sentinels, counts as down after this. */
const SILENT_MS = { cluster: 2_000, sentinel: 1_000 };

/**
 * For so long a replica of a cluster that was elected is elected no second time: it counts the votes that
 * it has, is refused with them, and its master comes back with what its disk has, which is less
 * (https://github.com/redis/redis/issues/8752). Twice `auth_timeout`, itself twice `cluster-node-timeout`.
 */
const ELECTED_MS = 4 * SILENT_MS.cluster;

/** What `redisKills` are where there are replicas. */
const TAKEN_OVER: Told = {
  done: "masters killed (kill -9), a replica takes over",
  back: "from the kill of a master to the first ack",
};

/** `deno task chaos --topology NAME`. */
export const GROUNDS = {
  one: {
    words: "Redis with `appendonly yes` and `appendfsync always`",
    faults: {
      redisKills: {
        done: "Redis killed (kill -9) and restarted",
        back: "from the restart of Redis to the first ack",
      },
    },
    replicas: 0,
    outlastsLeases: false,
    short: { messages: 2_000, kills: 30, stops: 5, redisKills: 3, handovers: 0, moves: 0 },
    long: { messages: 100_000, kills: 500, stops: 50, redisKills: 50, handovers: 0, moves: 0 },
    start: startOne,
  },
  cluster: {
    words: `a cluster of three masters and three replicas, \`cluster-node-timeout\` ` +
      `${SILENT_MS.cluster} ms, without an AOF`,
    faults: {
      redisKills: TAKEN_OVER,
      handovers: {
        done: "masters handed over (CLUSTER FAILOVER)",
        back: "from CLUSTER FAILOVER to the first ack",
      },
      moves: {
        done: "moves of the queue's slot to another master",
        back: "from the beginning of a move to the first ack behind it",
      },
    },
    replicas: 1,
    outlastsLeases: true,
    short: { messages: 1_500, kills: 8, stops: 1, redisKills: 2, handovers: 2, moves: 2 },
    long: { messages: 50_000, kills: 200, stops: 20, redisKills: 10, handovers: 10, moves: 10 },
    start: startCluster,
  },
  sentinel: {
    words: `a master, two replicas and three Sentinels, \`down-after-milliseconds\` ` +
      `${SILENT_MS.sentinel}, \`min-replicas-to-write 1\`, without an AOF`,
    faults: {
      redisKills: TAKEN_OVER,
    },
    replicas: 1,
    outlastsLeases: true,
    short: { messages: 1_500, kills: 8, stops: 1, redisKills: 1, handovers: 0, moves: 0 },
    long: { messages: 50_000, kills: 200, stops: 20, redisKills: 10, handovers: 0, moves: 0 },
    start: startSentinel,
  },
} satisfies Record<string, Kind>;

/** Where there is a ground for a run. */
export type Topology = keyof typeof GROUNDS;

/** The entry of a topology. */
export const groundOf = (topology: Topology): Kind => GROUNDS[topology];

async function startOne(): Promise<Ground> {
  const server = await RedisServer.start({ aof: true });
  return {
    url: server.url,
    dir: server.dir,
    faults: {
      async redisKills(random) {
        await server.kill();
        await pause(random.between(...DOWN_MS));
        const at = Date.now();
        await server.restart();
        return { at, since: at };
      },
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

async function startCluster(key: string): Promise<Ground> {
  const cluster = await RedisCluster.start({ nodeTimeoutMs: SILENT_MS.cluster });
  // Asked each time: on a busy machine a master may seem dead, and another one be it by now.
  const inStep = async () => {
    await cluster.settled();
    await until(async () => {
      const master = await cluster.masterOf(key);
      const known = await cluster.replicaOf(master).then(() => true, () => false);
      return known && await hasReplica(master);
    }, "a replica of the queue's master");
  };
  let electedAt = -Infinity;
  const canElect = () => pause(Math.max(0, electedAt + ELECTED_MS - Date.now()));
  return {
    url: cluster.url,
    dir: cluster.nodes[0]!.dir, // it stays while the node is dead
    faults: {
      async redisKills() {
        await canElect();
        const master = await cluster.masterOf(key);
        const at = Date.now();
        await master.kill();
        await until(async () => {
          return await cluster.masterOf(key).then((other) => other !== master, () => false);
        }, "the replica that takes over");
        electedAt = Date.now();
        await master.restart();
        await inStep();
        return { at, since: at + STRAGGLER_MS };
      },
      async handovers() {
        await canElect();
        const master = await cluster.masterOf(key);
        const at = Date.now();
        await cluster.failover(master);
        const since = electedAt = Date.now();
        await inStep();
        return { at, since };
      },
      async moves(random) {
        const from = await cluster.masterOf(key);
        const masters = new Set<RedisServer>();
        for (const node of cluster.nodes) {
          if ((await node.cli("ROLE")).startsWith("master")) masters.add(node);
        }
        masters.delete(from);
        const at = Date.now();
        await cluster.moveSlot(key, random.shuffled([...masters])[0]!);
        const since = Date.now();
        await inStep();
        return { at, since };
      },
    },
    [Symbol.asyncDispose]: () => cluster.stop(),
  };
}

async function startSentinel(): Promise<Ground> {
  const all = await RedisSentinel.start({
    downAfterMs: SILENT_MS.sentinel,
    // As operations.md says. Sentinels depose a master that lives, too, if the machine is busy for long
    // enough; without this it goes on taking acks that are gone when it hears of it.
    config: { "min-replicas-to-write": "1" },
  });
  return {
    url: all.url,
    dir: all.servers[0]!.dir,
    faults: {
      async redisKills() {
        const master = await all.master();
        const at = Date.now();
        await master.kill();
        await until(async () => {
          const other = await all.master();
          return other !== master && (await other.cli("ROLE")).startsWith("master");
        }, "the replica that takes over");
        // It comes back believing that it is the master, until the Sentinels tell it otherwise; they
        // give it to nobody as such meanwhile.
        await master.restart();
        await all.settled();
        return { at, since: at + STRAGGLER_MS };
      },
    },
    [Symbol.asyncDispose]: () => all.stop(),
  };
}

/** Whether one has all that the master has, and gets what is written from now on. */
async function hasReplica(master: RedisServer): Promise<boolean> {
  return /slave\d+:.*state=online/.test(await master.cli("INFO", "replication"));
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
