/**
 * The worker on queues with leases while Redis is in trouble: connections are killed and cut, scripts forgotten, the
 * server restarted, away or full. It goes on by itself, and no message is lost or handled twice for it.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { pause } from "./leased_support.ts";
import { onEachKind } from "./leased_worker_support.ts";
import { FaultyProxy } from "./proxy.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

onEachKind(({ make, options, test }) => {
  test("survives CLIENT KILL and finishes everything", async (fixture) => {
    const queue = make<number>(fixture.redis, fixture.name, {
      leaseMs: 300,
      backoff: { baseMs: 0 },
    });
    const admin = await fixture.connect();
    const done = new Set<number>();
    await using worker = new Worker(queue, async (payload) => {
      await pause(2);
      done.add(payload);
    }, { ...options, concurrency: 5, onEvent: () => {} });
    await queue.enqueueMany(Array.from({ length: 300 }, (_, i) => i));
    worker.start();
    for (let i = 0; i < 5; i++) {
      await pause(60);
      await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    await eventually(() => assertEquals(done.size, 300), 10_000);
    await eventually(async () => {
      const { ready, leased } = await queue.counts();
      assertEquals([ready, leased], [0, 0]);
    });
  });
});

redisTest(
  "Worker that is blocked claims by the text of a script that Redis forgot",
  async (test) => {
    const queue = new ReliableQueue<number>(test.redis, test.name);
    const seen: number[] = [];
    await using worker = new Worker(queue, (payload) => void seen.push(payload));
    worker.start();
    for (let i = 0; i < 5; i++) {
      await pause(50);
      await test.redis.sendCommand(["SCRIPT", "FLUSH"]);
      await queue.enqueue(i);
      await eventually(() => assertEquals(seen.length, i + 1), 1_000);
    }
  },
);

serverTest(
  "Worker gets the message whose claim was answered into a cut connection",
  async (server) => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    const redis = await connect({ url: proxy.url });
    const queue = new ReliableQueue<string>(redis, "mail"); // a lease of 30 s
    const attempts: number[] = [];
    const worker = new Worker(queue, (_, { delivery }) => void attempts.push(delivery.attempt), {
      onEvent: () => {},
    });
    worker.start();
    await pause(100);
    const lost = proxy.dropReplies((_, reply) => reply.includes("invoice"));
    await queue.enqueue("invoice");
    await lost;
    await eventually(() => assertEquals(attempts, [1]), 2_000);
    await worker.stop();
    assertEquals((await queue.counts()).leased, 0);
    await redis.close();
  },
);

serverTest("Worker works again within two seconds after a restart of Redis", async (server) => {
  const redis = await connect({ url: server.url });
  const queue = new ReliableQueue<number>(redis, "mail", { backoff: { baseMs: 0 }, leaseMs: 500 });
  const seen: number[] = [];
  const worker = new Worker(queue, (payload) => void seen.push(payload), { onEvent: () => {} });
  worker.start();
  await queue.enqueue(1);
  await eventually(() => assertEquals(seen, [1]));
  await eventually(async () => assertEquals((await queue.counts()).leased, 0)); // acknowledged, too
  await server.kill();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  await server.restart();
  const restartedAt = performance.now();
  await queue.enqueue(2);
  await eventually(() => assertEquals(seen, [1, 2]));
  assertLess(performance.now() - restartedAt, 2_500);
  await worker.stop();
  await redis.close();
}, { aof: true });

serverTest("Worker drains a queue while Redis is at maxmemory", async (server) => {
  const redis = await connect({ url: server.url });
  const queue = new ReliableQueue<string>(redis, "mail", { maxPayloadBytes: 10_000 });
  const payload = "x".repeat(2_000);
  const fill = async () => {
    for (;;) await queue.enqueueMany(Array.from({ length: 50 }, () => payload));
  };
  await fill().catch((error) => assert(/OOM/.test(error.message), error.message));
  const { ready } = await queue.counts();
  assertGreater(ready, 100);
  let done = 0;
  const worker = new Worker(queue, () => void done++, { concurrency: 10 });
  worker.start();
  await eventually(() => assertEquals(done, ready), 10_000);
  await worker.stop();
  assertEquals((await queue.counts()).leased, 0);
  await redis.close();
}, { config: { "maxmemory": "4mb", "maxmemory-policy": "noeviction" } });

serverTest("Worker does not storm a Redis that is away while a message is due", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const redis = await connect({ url: proxy.url });
  const queue = new ReliableQueue<number>(redis, "mail");
  const worker = new Worker(queue, () => {}, { onEvent: () => {} });
  worker.start();
  await queue.enqueue(1, { delayMs: 300 });
  await eventually(() => assert(worker.health().lastAnswerMs! < 200));
  proxy.refuse(true);
  proxy.cut();
  const before = proxy.connections;
  await pause(2_000);
  assertLess(proxy.connections - before, 100);
  proxy.refuse(false);
  await eventually(async () => assertEquals((await queue.counts()).delayed, 0), 5_000);
  await worker.stop();
  await redis.close();
});
