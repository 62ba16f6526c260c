/**
 * The queues with leases: the contract for each, and what is special to one.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Priority,
  PriorityQueue,
  queueKeys,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import { leasedQueueContract } from "./leased_contract.ts";
import { leasedTests } from "./leased_support.ts";
import { underRoles } from "./roles.ts";
import { redisTest } from "./support.ts";

leasedQueueContract("ReliableQueue", (client, name, options) => {
  return new ReliableQueue(underRoles(client), name, options);
});
leasedQueueContract("PriorityQueue", (client, name, options) => {
  return new PriorityQueue(underRoles(client), name, options);
});
leasedQueueContract("StreamQueue", (client, name, options) => {
  return new StreamQueue(underRoles(client), name, options);
});

const MODES = ["polling", "blocking"] as const;
const waitMs = (mode: "polling" | "blocking") => mode === "blocking" ? 1_000 : 0;
const BEGIN = 2 ** 42;

const reliableTest = leasedTests((client, name, options) => {
  return new ReliableQueue(client, name, options);
});

for (const mode of MODES) {
  reliableTest(`ReliableQueue.receive is first in, first out (${mode})`, async (test) => {
    const producers = [test.queue<number>(), test.queue<number>({}, await test.connect())];
    for (let i = 0; i < 40; i++) await producers[i % 2]!.enqueue(i);
    await producers[0]!.enqueueMany([40, 41, 42]);
    const seen: number[] = [];
    for (let i = 0; i < 43; i++) {
      const delivery = await producers[1]!.receive({ waitMs: waitMs(mode) });
      seen.push(delivery!.payload);
      await delivery!.ack();
    }
    assertEquals(seen, Array.from({ length: 43 }, (_, i) => i));
    assertEquals(await producers[1]!.receive(), undefined);
    assertEquals(await test.sizes(), {});
  });
}

reliableTest("ReliableQueue keeps each message as one string in a list", async (test) => {
  const queue = test.queue<{ to: string }>();
  const { id } = await queue.enqueue({ to: "ann" });
  const [message] = await test.redis.lRange(test.key("ready"), 0, -1);
  const [header, body] = message!.split("\n");
  assertEquals([header!.split(" ")[0], body], [id, '{"to":"ann"}']);
  assertEquals(await test.redis.exists(test.key("seq")), 0);
});

redisTest(
  "PriorityQueue.counts sees the one that starves behind more urgent ones",
  async ({ redis, name }) => {
    await using queue = new PriorityQueue<string>(redis, name);
    const age = async () => (await queue.counts()).oldestReadyMs;
    const secondsAgo = async (seconds: number, priority: Priority) => {
      const now = Date.now;
      Date.now = () => now() - seconds * 1_000;
      try {
        await queue.enqueue("starves", { priority });
      } finally {
        Date.now = now;
      }
    };
    const isAbout = async (seconds: number) => {
      const ms = (await age())!;
      assert(ms >= seconds * 1_000 - 100 && ms < seconds * 1_000 + 10_000, `${ms} ms`);
    };
    assertEquals(await age(), undefined);
    await queue.enqueue("urgent", { priority: "high" });
    await isAbout(0);
    await secondsAgo(60, "medium");
    await isAbout(60);
    await secondsAgo(120, -1_024);
    await isAbout(120);
    await secondsAgo(180, 1_023);
    await isAbout(180);
    for (let priority = 4; priority < 60; priority++) await queue.enqueue("more", { priority });
    await isAbout(180); // more priorities than are looked at, and it is the last
    await secondsAgo(240, "low");
    await isAbout(240);
    // Somebody else's scores and members lead it nowhere.
    await redis.zAdd(queueKeys(name).ready, [
      { score: -Infinity, value: "mine" },
      { score: Infinity, value: "no message" },
    ]);
    await isAbout(240);
  },
);

redisTest("PriorityQueue.receive gives the most urgent first", async ({ redis, master, name }) => {
  await using queue = new PriorityQueue<string>(redis, name);
  const order: [string, Priority | undefined][] = [
    ["low", "low"],
    ["last", 1_023],
    ["3", 3],
    ["default", undefined],
    ["high", "high"],
    ["0", 0],
    ["2", 2],
    ["-1", -1],
    ["first", -1_024],
    ["4", 4],
    ["1", 1],
    ["medium", "medium"],
  ];
  for (const [payload, priority] of order) await queue.enqueue(payload, { priority });
  const expected = ["first", "-1", "0", "high", "1", "default", "2", "medium", "low", "3", "4"];
  expected.push("last");
  const { messages } = await queue.peek("ready");
  assertEquals(messages.map(({ payload }) => payload), expected);
  const deliveries = await queue.receiveMany(20);
  assertEquals(deliveries.map(({ payload }) => payload), expected);
  await Promise.all(deliveries.map((delivery) => delivery.ack()));
  await removeKeys(master, name);
});

for (const mode of MODES) {
  redisTest(`PriorityQueue is first in, first out inside a priority (${mode})`, async (test) => {
    const producers = [
      new PriorityQueue<[number, number]>(test.redis, test.name),
      new PriorityQueue<[number, number]>(await test.connect(), test.name),
    ];
    let count = 0;
    for (let i = 0; i < 30; i++) {
      const priority = 1 + i % 3;
      await producers[i % 2]!.enqueue([priority, count++], { priority });
    }
    for (const priority of [3, 1, 2]) {
      const batch = Array.from({ length: 20 }, () => [priority, count++] as [number, number]);
      await producers[priority % 2]!.enqueueMany(batch, { priority });
    }
    const seen: [number, number][] = [];
    for (let i = 0; i < count; i++) {
      const delivery = await producers[i % 2]!.receive({ waitMs: waitMs(mode) });
      seen.push(delivery!.payload);
      await delivery!.ack();
    }
    assertEquals(seen, seen.toSorted(([a, i], [b, j]) => a - b || i - j));
    for (const producer of producers) await producer.close();
    await removeKeys(test.master, test.name);
  });
}

redisTest("PriorityQueue hands out an urgent message that comes while one waits", async (test) => {
  await using queue = new PriorityQueue<string>(test.redis, test.name);
  await queue.enqueue("low", { priority: "low" });
  await queue.enqueue("delayed, high", { priority: "high", delayMs: 60_000 });
  const key = `queue:{${test.name}}:delayed`;
  const [member] = await test.redis.zRange(key, 0, -1);
  await test.redis.zAdd(key, { score: 1, value: member! });
  const first = await queue.receive();
  assertEquals(first?.payload, "delayed, high");
  assertEquals(await first!.nack({ delayMs: 0 }), "ready");
  assertEquals((await queue.receive())?.payload, "delayed, high"); // it keeps its priority
  await removeKeys(test.master, test.name);
});

redisTest("PriorityQueue keeps scores that are exact", async ({ redis, master, name }) => {
  await using queue = new PriorityQueue<string>(redis, name);
  const scores = async () => {
    const members = await redis.zRangeWithScores(`queue:{${name}}:ready`, 0, -1);
    return members.map(({ score, value }) => [JSON.parse(value.split("\n")[1]!), score]);
  };
  await queue.enqueueMany(["a", "b"], { priority: -1_024 });
  await queue.enqueueMany(["c", "d"], { priority: 1_023 });
  assertEquals(await scores(), [
    ["a", -1_024 * BEGIN + 1],
    ["b", -1_024 * BEGIN + 2],
    ["c", 1_023 * BEGIN + 3],
    ["d", 1_023 * BEGIN + 4],
  ]);
  await queue.purge("ready");
  await redis.set(`queue:{${name}}:seq`, String(BEGIN - 4)); // after four billion messages, a thousand times
  await queue.enqueueMany(["e", "f"], { priority: -1_024 });
  await queue.enqueueMany(["g"], { priority: 1_023 });
  assertEquals(await scores(), [
    ["e", -1_023 * BEGIN - 3],
    ["f", -1_023 * BEGIN - 2],
    ["g", 1_024 * BEGIN - 1],
  ]);
  assertEquals(Number.isSafeInteger(1_024 * BEGIN - 1), true);
  await removeKeys(master, name);
});

redisTest("PriorityQueue.enqueue refuses a priority out of range, naming it", async (test) => {
  await using queue = new PriorityQueue<number>(test.redis, test.name);
  const numbers = [-1_025, 1_024, 1.5, NaN, Infinity];
  const names = ["urgent", "High", "1", "", "__proto__"];
  const bad: [unknown, string][] = [
    ...numbers.map((n): [unknown, string] => [n, String(n)]),
    ...names.map((name): [unknown, string] => [name, JSON.stringify(name)]),
    [null, "null"],
    [{}, "an object"],
    [1n, "the BigInt 1n"],
    [Symbol("s"), "Symbol(s)"],
  ];
  for (const [value, shown] of bad) {
    const [priority, says] = [value as Priority, `but is ${shown}`];
    await assertRejects(() => queue.enqueue(1, { priority }), RangeError, says);
    await assertRejects(() => queue.enqueueMany([1], { priority }), RangeError, says);
  }
  assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
});

async function removeKeys(
  redis: Parameters<Parameters<typeof redisTest>[1]>[0]["redis"],
  name: string,
): Promise<void> {
  for await (const keys of redis.scanIterator({ MATCH: `queue:{${name}}:*`, COUNT: 1_000 })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
}

redisTest("ReliableQueue keeps the order of a turn, ids of one's own or not", async (test) => {
  const queue = new ReliableQueue<number>(test.redis, test.name);
  await Promise.all([queue.enqueue(1), queue.enqueue(2, { id: "own" }), queue.enqueue(3)]);
  const deliveries = await queue.receiveMany(3);
  assertEquals(deliveries.map(({ payload }) => payload), [1, 2, 3]);
});
