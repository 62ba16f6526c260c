/**
 * The worker on queues with leases is stopped: what it has not begun, and what it leaves behind, is given back without
 * an attempt, in time also where Redis does not answer, and it can be started again.
 *
 * @module
 */
import { assertEquals, assertLess } from "@std/assert";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { KINDS } from "./leased_kinds.ts";
import { pause } from "./leased_support.ts";
import { onEachKind } from "./leased_worker_support.ts";
import { FaultyProxy } from "./proxy.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

onEachKind(({ make, options, test }) => {
  test("gives back what it has not begun, without an attempt", async ({ redis, name }) => {
    const queue = make<number>(redis, name);
    await using worker = new Worker(queue, async () => await pause(30), options);
    await queue.enqueueMany([1, 2, 3]);
    worker.start();
    await eventually(() => assertEquals(worker.active, 1));
    await worker.stop();
    const { ready, leased } = await queue.counts();
    assertEquals([leased, ready > 0], [0, true]);
    assertEquals((await queue.receive())?.attempt, 1);
  });

  test("gives back the message of a handler it leaves behind", async ({ redis, name }) => {
    const queue = make<number>(redis, name, { backoff: { baseMs: 0 } });
    const never = Promise.withResolvers<void>();
    const worker = new Worker(queue, () => never.promise, options);
    await queue.enqueue(1);
    worker.start();
    await eventually(() => assertEquals(worker.active, 1));
    const startedAt = performance.now();
    await worker.stop({ graceMs: 0 });
    assertLess(performance.now() - startedAt, 1_000);
    assertEquals((await queue.receive())?.attempt, 1);
    never.resolve();
  });

  test("counts no attempt that its stop cut short", async ({ redis, name }) => {
    const queue = make<string>(redis, name, { leaseMs: 200 });
    const ended: string[] = [];
    const worker = new Worker(queue, async (payload, { signal, delivery }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      if (payload === "settles") await delivery.deadLetter("cannot be resumed");
      if (payload !== "returns") throw signal.reason;
    }, {
      ...options,
      concurrency: 3,
      onEvent: (event) => {
        if (event.type === "done") ended.push(`${event.delivery.payload} done`);
        if (event.type === "failed") ended.push(`${event.delivery.payload} ${event.to}`);
      },
    });
    await queue.enqueueMany(["throws", "settles", "returns"]);
    worker.start();
    await eventually(() => assertEquals(worker.active, 3));
    await worker.stop({ graceMs: 20 });
    assertEquals(ended.toSorted(), ["returns done", "settles settled", "throws ready"]);
    const { ready, leased, dead } = await queue.counts();
    assertEquals([ready, leased, dead], [1, 0, 1]);
    const again = await queue.receive();
    assertEquals([again?.payload, again?.attempt, again?.errors], ["throws", 1, []]);
    await pause(250); // the timer of a signal that somebody looked at ends with its lease
  });

  test("gives back what arrives while it is stopped", async ({ redis, name }) => {
    const queue = make<number>(redis, name);
    let handled = 0;
    const worker = new Worker(queue, () => void handled++, { ...options, concurrency: 3 });
    for (let i = 0; i < 40; i++) {
      worker.start();
      await pause(i === 0 ? 100 : 10); // it waits
      const enqueueing = queue.enqueueMany([1, 2]);
      if (i % 2) await Promise.resolve();
      else await pause(Math.random());
      await Promise.all([worker.stop(), enqueueing]);
    }
    const { ready, leased } = await queue.counts();
    assertEquals([handled + ready, leased], [80, 0]);
    const deliveries = await queue.receiveMany(100);
    assertEquals(deliveries.filter(({ attempt }) => attempt > 1), []);
  });
});

for (const silent of ["a stopped server", "a black hole"]) {
  for (const busy of [true, false]) {
    const state = busy ? "with handlers that hang" : "idle";
    serverTest(
      `Worker ${state} stops within a second of its grace at ${silent}`,
      async (server) => {
        await using proxy = await FaultyProxy.start({ port: server.port });
        const redis = await connect({ url: proxy.url });
        const queue = new ReliableQueue<number>(redis, "mail");
        const worker = new Worker(queue, () => new Promise<void>(() => {}), {
          concurrency: 3,
          onEvent: () => {},
        });
        worker.start();
        if (busy) await queue.enqueueMany([1, 2]);
        await eventually(() => assertEquals(worker.active, busy ? 2 : 0));
        await pause(200);
        if (silent === "a black hole") proxy.blackHole(true);
        else await server.pause();
        const startedAt = performance.now();
        await worker.stop({ graceMs: 100 });
        assertLess(performance.now() - startedAt, 1_100);
        await server.resume();
        redis.destroy();
      },
    );
  }
}

redisTest(
  "Worker aborts the signal of a handler it left behind, however late it looks",
  async (test) => {
    const queue = new ReliableQueue<string>(test.redis, test.name);
    const contexts: { signal: AbortSignal }[] = [];
    const worker = new Worker(queue, (_, context) => {
      contexts.push(context);
      return contexts.length === 1 ? new Promise<void>(() => {}) : undefined;
    });
    await queue.enqueue("hang");
    worker.start();
    await eventually(() => assertEquals(contexts.length, 1));
    await worker.stop({ graceMs: 0 });
    worker.start();
    await eventually(() => assertEquals(contexts.length, 2));
    assertEquals(contexts[0]!.signal.aborted, true);
    assertEquals(contexts[0]!.signal.reason.name, "AbortError");
    await worker.stop();
  },
);

for (const [name, make] of Object.entries(KINDS)) {
  serverTest(
    `Worker on ${name} leaves no timer behind when it stops while Redis refuses`,
    async (server) => {
      await using redis = await connect({ url: server.url });
      for (const end of ["ack", "nack"]) {
        await using queue = make<number>(redis, end);
        let running = 0;
        const refused = Promise.withResolvers<void>();
        const worker = new Worker(queue, async () => {
          running++;
          await refused.promise;
          if (end === "nack") throw new Error("no");
        }, { concurrency: 8, graceMs: 100, onEvent: () => {} });
        await queue.enqueueMany(Array.from({ length: 8 }, (_, i) => i));
        const ended = worker.start();
        await eventually(() => assertEquals(running, 8));
        await server.cli("REPLICAOF", "127.0.0.1", "1"); // writes are refused, and tried again
        refused.resolve();
        await pause(500); // by now the pauses between attempts are long
        const stoppedAt = performance.now();
        await worker.stop();
        await ended; // a pause that goes on would fail this test
        assertLess(performance.now() - stoppedAt, 1_300);
        await server.cli("REPLICAOF", "NO", "ONE");
      }
    },
  );
}

redisTest("Worker gives back what it has not begun in its order", async (test) => {
  const queue = new ReliableQueue<number>(test.redis, test.name);
  const worker = new Worker(queue, () => void worker.stop(), { concurrency: 1_000 });
  await queue.enqueueMany(Array.from({ length: 900 }, (_, i) => i));
  await worker.start();
  const { messages } = await queue.peek("ready", { limit: 1_000 });
  const left = messages.map(({ payload }) => payload!);
  assertEquals(left, left.toSorted((a, b) => a - b));
  assertEquals((await queue.counts()).leased, 0);
});

redisTest("Worker runs again after a handler on leases was left behind", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { backoff: { baseMs: 0 } });
  const seen: string[] = [];
  const worker = new Worker(queue, (payload) => {
    seen.push(payload);
    return payload === "hang" && seen.length === 1 ? new Promise<void>(() => {}) : undefined;
  });
  await queue.enqueue("hang");
  worker.start();
  await eventually(() => assertEquals(seen, ["hang"]));
  await worker.stop({ graceMs: 0 });
  worker.start();
  await eventually(() => assertEquals(seen, ["hang", "hang"]));
  await worker.stop();
});
