/**
 * A queue over several slots: one interface, fair shares, order within a key, sums that add up, and a
 * number of partitions that nobody changes by mistake.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  connect,
  type LeasedQueueOptions,
  ListQueue,
  PartitionedQueue,
  type RedisClient,
  ReliableQueue,
  Worker,
} from "@workshop/redis-patterns";
import { shareOut } from "../queue/partitioned_claims.ts";
import { partitionName } from "../queue/partitions.ts";
import { slotOf, SLOTS } from "../redis/slots.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import { KINDS, range } from "./leased_kinds.ts";
import { eventually, limit, redisTest } from "./support.ts";

function reliable<T>(redis: RedisClient, name: string, options: LeasedQueueOptions<T> = {}) {
  return (partitions: number) =>
    new PartitionedQueue<T>(redis, name, {
      partitions,
      make: (client, part) => new ReliableQueue<T>(client, part, options),
    });
}

Deno.test("partitions lie in equal parts of the slots, whatever the queue is called", () => {
  for (const name of ["orders", "a", "mails:eu", "ä", "x".repeat(180)]) {
    for (const count of [1, 2, 3, 8, 64]) {
      const names = range(count).map((i) => partitionName(name, i, count));
      assertEquals(new Set(names).size, count);
      const parts = names.map((part) =>
        Math.floor(slotOf(`queue:{${part}}:ready`) * count / SLOTS)
      );
      assertEquals(parts, range(count));
    }
  }
  assertEquals(shareOut(4, 3), [2, 1, 1]);
});

for (const [kind, make] of Object.entries(KINDS)) {
  redisTest(
    `PartitionedQueue of ${kind}s counts, finds, cancels, redrives as one`,
    async (test) => {
      await using queue = new PartitionedQueue<number>(test.redis, test.name, {
        partitions: 4,
        make,
      });
      await queue.enqueueMany(range(40));
      await queue.enqueue(40, { id: "mine" });
      assertEquals(await queue.enqueue(41, { id: "mine" }), { id: "mine", duplicate: true });
      await queue.enqueue(42, { id: "later", delayMs: 60_000 });
      const { ready, delayed, oldestReadyMs } = await queue.counts();
      assertEquals([ready, delayed, typeof oldestReadyMs], [41, 1, "number"]);
      const parts = await Promise.all(queue.partitions.map((part) => part.counts()));
      assert(parts.every((counts) => counts.ready >= 10), "equal shares");

      assertEquals((await queue.find("later"))?.state, "delayed");
      assertEquals(await queue.cancel("later"), "delayed");
      assertEquals(await queue.cancel("later"), undefined);

      const seen: unknown[] = [];
      for (let cursor: string | undefined, pages = 0; pages === 0 || cursor; pages++) {
        const page = await queue.peek("ready", { limit: 7, ...(cursor && { cursor }) });
        seen.push(...page.messages.map(({ payload }) => payload));
        cursor = page.cursor;
        assertLess(pages, 20);
      }
      assertEquals(seen.toSorted((a, b) => Number(a) - Number(b)), range(41));

      await queue.pause();
      assertEquals(await queue.receive(), undefined);
      assertEquals((await queue.counts()).paused, true);
      await queue.resume();

      const [one, two] = await queue.receiveMany(2);
      await one!.deadLetter("no use");
      await queue.delivery(two!.token).ack();
      assertEquals((await queue.counts()).dead, 1);
      assertEquals((await queue.peek("dead")).messages.length, 1);
      assertEquals(await queue.redrive({ limit: 5 }), 1);
      const all = await queue.receiveMany(100);
      assertEquals(all.length, 40);
      await Promise.all(all.map((delivery) => delivery.ack()));
      assertEquals((await queue.stats()).totals.acked, 41);
      await queue.dissolve();
    },
  );
}

redisTest("PartitionedQueue keeps the order within an orderKey", async ({ redis, name }) => {
  await using queue = reliable<[string, number]>(redis, name)(4);
  const keys = ["ann", "bob", "cem", "dana", "eve"];
  for (const n of range(20)) {
    await Promise.all(keys.map((key) => queue.enqueue([key, n], { orderKey: key })));
  }
  await queue.enqueueMany([["ann", 20], ["ann", 21]], { orderKey: "ann" });
  const seen = new Map<string, number[]>(keys.map((key) => [key, []]));
  await using worker = new Worker(queue, ([key, n]) => void seen.get(key)!.push(n));
  worker.start();
  await eventually(async () => assertEquals((await queue.stats()).totals.acked, 102), 10_000);
  assertEquals(seen.get("ann"), range(22));
  for (const key of keys.slice(1)) assertEquals(seen.get(key), range(20));
});

redisTest(
  "PartitionedQueue refuses another number of partitions, and says what to do",
  async (test) => {
    const make = reliable<number>(test.redis, test.name);
    await using four = make(4);
    await four.enqueue(1);
    await using three = make(3);
    const says = "has 4 partitions, and this object was made with partitions: 3";
    await assertRejects(() => three.enqueue(2), TypeError, says);
    await assertRejects(() => three.receive(), TypeError, "dissolve()");
    await assertRejects(() => new Worker(three, () => {}).run(), TypeError, says);
    await assertRejects(() => three.dissolve(), TypeError, says);
    await assertRejects(() => four.dissolve(), TypeError, "1 ready");
    assertEquals((await four.counts()).ready, 1); // nothing was lost
    await (await four.receive())!.ack();
    await four.dissolve();
    await three.enqueue(3); // begins anew
    assertEquals((await three.receive())?.payload, 3);
  },
);

redisTest("PartitionedQueue refuses what makes no partitions", async ({ redis, name }) => {
  const options = { partitions: 2, make: KINDS.ReliableQueue };
  const make = (change: object) => () =>
    new PartitionedQueue(redis, name, { ...options, ...change });
  assertThrows(make({ partitions: 0 }), RangeError, "0");
  assertThrows(make({ partitions: 257 }), RangeError, "257");
  assertThrows(make({ make: undefined }), TypeError, "make");
  assertThrows(make({ make: () => new ReliableQueue(redis, "other") }), TypeError, '"other"');
  assertThrows(
    make({ make: (client: RedisClient, part: string) => new ListQueue(client, part) }),
    TypeError,
    "leases",
  );
  assertThrows(make({ partition: 1 }), TypeError, '"partition"');
  assertThrows(() => new PartitionedQueue(redis, "a{b}", options), TypeError, "a{b}");
  await using queue = make({})();
  await assertRejects(() => queue.enqueue(1, { orderKey: "" }), TypeError, "orderKey");
  await assertRejects(() => queue.peek("ready", { cursor: "9:" }), RangeError, "9:");
});

Deno.test("eight partitions on three masters: all once, none starved, and on through a failover", async () => {
  await using cluster = await RedisCluster.start();
  await using redis = await connect({ url: cluster.url });
  await using queue = reliable<number>(redis, "spread")(8);
  const masters = await Promise.all(
    queue.partitions.map((part) => cluster.masterOf(`queue:{${part.name}}:ready`)),
  );
  for (const node of cluster.nodes.slice(0, 3)) {
    assertGreater(masters.filter((master) => master === node).length, 1); // 3, 3 and 2
  }
  const count = 8_000;
  const seen = new Map<number, number>();
  const handle = (n: number) => void seen.set(n, (seen.get(n) ?? 0) + 1);
  const options = { concurrency: 100, onEvent: () => {} };
  await queue.enqueueMany(range(count));
  await using one = new Worker(queue, handle, options);
  await using two = new Worker(queue, handle, options);
  one.start();
  two.start();
  await limit(eventually(() => assertEquals(seen.size, count), 20_000), "all handled");
  assertEquals([...seen.values()].filter((times) => times > 1), []);
  const waits = await Promise.all(
    queue.partitions.map(async (part) => (await part.stats()).waitMs!.p95),
  );
  assertLess(Math.max(...waits), 3 * Math.min(...waits) + 500); // nobody waited for the others

  // One that waits in Redis hears of a message in any of them.
  for (const orderKey of ["a", "b", "c", "d", "e", "f"]) {
    const at = performance.now();
    const before = seen.size;
    await queue.enqueue(count + before, { orderKey });
    await eventually(() => assertEquals(seen.size, before + 1));
    assertLess(performance.now() - at, 2_000);
  }
  await cluster.nodes[0]!.kill();
  const after = range(80).map((i) => 1_000_000 + i);
  await queue.enqueueMany(after);
  await eventually(() => assert(after.every((n) => seen.has(n))), 20_000);
  assertEquals(after.filter((n) => seen.get(n)! > 1), []);
  assertStringIncludes(queue.partitions[0]!.name, "spread.1of8");
  await Promise.all([one.stop(), two.stop()]);
  await new Promise((resolve) => setTimeout(resolve, 300)); // a client's last timer
});
