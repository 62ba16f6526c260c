/**
 * What all parts of the contract of the queues with leases share: a test of one queue, with clients, keys and faults.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { assert, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { RESP_TYPES } from "redis";
import {
  type ConnectedClient,
  type Delivery,
  type Enqueued,
  type EnqueueManyOptions,
  type EnqueueOptions,
  type LeasedQueue,
  type LeasedQueueOptions,
  type Mode,
  type RedisClient,
  StreamQueue,
} from "@workshop/redis-patterns";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { FaultyProxy } from "./proxy.ts";
import { eventually, type Fixture, redisTest } from "./support.ts";

/** What the contract needs of a queue. */
export type ContractQueue<T> = LeasedQueue<T> & {
  enqueue(payload: T, options?: EnqueueOptions): Promise<Enqueued>;
  enqueueMany(
    payloads: readonly T[],
    options?: EnqueueManyOptions,
  ): Promise<Enqueued[]>;
};

/** Makes the queue under test. */
export type MakeQueue = <T = unknown>(
  client: RedisClient,
  name: string,
  options?: LeasedQueueOptions<T>,
) => ContractQueue<T>;

/** What a test of the contract gets. */
export interface LeasedFixture extends Fixture {
  /** What queues are made with. */
  client: ConnectedClient;
  /** A queue under the test's name, closed after the test. */
  queue<T = unknown>(options?: LeasedQueueOptions<T>, client?: RedisClient): ContractQueue<T>;
  /** The key that a suffix stands for: `ready`, `dead:at` … */
  key(suffix: string): string;
  /**
   * The queue's keys and their sizes. Without `seq`, `replays` and `stats`, which outlive the messages
   * and are no part of their state, and without a stream that is empty.
   */
  sizes(): Promise<Record<string, number>>;
  /** Every key of the queue, byte for byte. */
  dump(): Promise<Record<string, string>>;
  /** Makes the queue's keys what they were at a dump. */
  restore(dump: Record<string, string>): Promise<void>;
  /** Ends all leases as time would. */
  lapse(): Promise<void>;
  /** Makes all delayed messages due. */
  makeDue(): Promise<void>;
  /** Puts entries that are none of ours into `ready`. */
  intrude(...entries: (string | Buffer)[]): Promise<void>;
  /** Resolves when `count` connections wait in Redis. */
  blocked(count: number): Promise<void>;
  /** Through a proxy, for faults on the way. */
  faulty(): Promise<{ proxy: FaultyProxy; client: ConnectedClient }>;
}

/** Defines a test of one queue. */
export type LeasedTest = (title: string, run: (test: LeasedFixture) => Promise<void>) => void;

/** How a consumer waits. */
export const MODES = ["polling", "blocking"] as const;
/** How long a consumer waits in a mode. */
export const waitMs = (mode: Mode) => mode === "blocking" ? 2_000 : 0;
/** Waits. */
export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
/** A request that runs a script, other than the one by which a queue is listed: that comes when it comes. */
export const SCRIPTS = /\bEVAL(SHA)?\r\n(?![^]*queue:registry)/i;
/** A request that enqueues. */
export const ENQUEUES = new RegExp(
  Object.values(LEASED_SCRIPTS).flatMap(({ enqueue: { sha, name } }) => [sha, `-- ${name}\n`])
    .join("|"),
);
/** Their data. */
export const payloads = (deliveries: { payload?: unknown }[]) =>
  deliveries.map(({ payload }) => payload);
/** Bytes as text. */
export const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Defines tests of queues that `makeQueue` makes. */
export function leasedTests(makeQueue: MakeQueue): LeasedTest {
  return (title, run) =>
    redisTest(title, async (test) => {
      const queues: ContractQueue<unknown>[] = [];
      const faulty: { proxy: FaultyProxy; client: ConnectedClient }[] = [];
      const { redis: client, master: redis, name } = test;
      const prefix = `queue:{${name}}:`;
      const bytes = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      const key = (suffix: string) => prefix + suffix;
      const found = async () => {
        const keys: string[] = [];
        for await (const page of redis.scanIterator({ MATCH: `${prefix}*`, COUNT: 1_000 })) {
          keys.push(...page);
        }
        return [...new Set(keys)].toSorted();
      };
      const setBack = async (suffix: string) => {
        for (const member of await bytes.zRange(key(suffix), 0, -1) as unknown as Buffer[]) {
          await redis.sendCommand(["ZADD", key(suffix), "XX", "1", member]);
        }
      };
      const fixture: LeasedFixture = {
        ...test,
        redis, // for looking, and for plain commands
        client,
        queue: <T>(options?: LeasedQueueOptions<T>, from: RedisClient = client) => {
          const queue = makeQueue<T>(from, name, options);
          queues.push(queue as ContractQueue<unknown>);
          return queue;
        },
        key,
        sizes: async () => {
          const sizes: Record<string, number> = {};
          for (const name of await found()) {
            const suffix = name.slice(prefix.length);
            if (["seq", "replays", "stats"].includes(suffix)) continue;
            const size = await sizeOf(redis, name);
            if (size > 0) sizes[suffix] = size;
          }
          // Of a stream only: the ids of each hand, which go with its lease.
          const most = queues[0] instanceof StreamQueue ? sizes.leases ?? 0 : 0;
          assertLessOrEqual(sizes.pending ?? 0, most);
          delete sizes.pending;
          return sizes;
        },
        dump: async () => {
          const dump: Record<string, string> = {};
          for (const name of await found()) {
            dump[name] = (await bytes.dump(name) as unknown as Buffer).toString("hex");
          }
          return dump;
        },
        restore: async (dump) => {
          const keys = await found();
          if (keys.length > 0) await redis.unlink(keys);
          for (const [key, value] of Object.entries(dump)) {
            await redis.sendCommand(["RESTORE", key, "0", Buffer.from(value, "hex")]);
          }
        },
        lapse: () => setBack("leases"),
        makeDue: () => setBack("delayed"),
        intrude: async (...entries) => {
          await using probe = makeQueue(client, `${name}:probe`);
          await probe.enqueue(0);
          const kind = await client.type(`queue:{${name}:probe}:ready`);
          for (const [i, entry] of entries.entries()) {
            const command = {
              list: ["LPUSH", key("ready"), entry],
              zset: ["ZADD", key("ready"), String(i), entry],
              stream: ["XADD", key("ready"), "*", "m", entry],
            }[kind];
            await redis.sendCommand(command as string[]);
          }
          const left = await client.keys(`queue:{${name}:probe}:*`);
          if (left.length > 0) await client.unlink(left);
        },
        blocked: (count) =>
          eventually(async () => {
            const info = await redis.info("clients");
            assertGreaterOrEqual(Number(/blocked_clients:(\d+)/.exec(info)![1]), count);
          }),
        faulty: async () => {
          const { hostname, port } = new URL(test.url);
          const proxy = await FaultyProxy.start({ hostname, port: Number(port) });
          const client = await test.connect({ url: proxy.url, heartbeatMs: 0 });
          faulty.push({ proxy, client });
          return { proxy, client };
        },
      };
      try {
        await run(fixture);
        const keys = await found();
        if (keys.length > 0) await redis.unlink(keys);
      } finally {
        await Promise.all(queues.map((queue) => queue.close()));
        for (const { proxy, client } of faulty) {
          client.destroy(); // first: it would connect again
          await proxy[Symbol.asyncDispose]();
        }
      }
    });
}

async function sizeOf(redis: ConnectedClient, key: string): Promise<number> {
  switch (await redis.type(key)) {
    case "list":
      return await redis.lLen(key);
    case "hash":
      return await redis.hLen(key);
    case "zset":
      return await redis.zCard(key);
    case "stream":
      return await redis.xLen(key);
    default:
      return 1;
  }
}

/** A delivery, or the test fails. */
export async function take<T>(queue: LeasedQueue<T>, mode: Mode = "polling"): Promise<Delivery<T>> {
  const delivery = await queue.receive({ waitMs: waitMs(mode) });
  assert(delivery, "nothing to receive");
  return delivery;
}

/** Takes and acknowledges until nothing comes. */
export async function drain<T>(queue: LeasedQueue<T>): Promise<T[]> {
  const seen: T[] = [];
  for (;;) {
    const deliveries = await queue.receiveMany(1_000);
    if (deliveries.length === 0) return seen;
    seen.push(...deliveries.map(({ payload }) => payload));
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
  }
}
