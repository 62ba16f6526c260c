/**
 * What consumers of queues with leases take, and how they wait for it: beside a message that had lapsed, and with few
 * commands where nothing comes.
 *
 * @module
 */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { ReliableQueue, Worker } from "@workshop/redis-patterns";
import { KINDS } from "./leased_kinds.ts";
import { pause } from "./leased_support.ts";
import { onEachKind } from "./leased_worker_support.ts";
import { commandsDuring, eventually, redisTest } from "./support.ts";

onEachKind(({ make, options, test }) => {
  test("takes what lapsed though there is plenty", async ({ redis, name }) => {
    const queue = make<number>(redis, name, { leaseMs: 10 });
    const lapsed = [-3, -2, -1];
    for (const n of lapsed) {
      await queue.enqueue(n);
      await queue.receive(); // and never says how it went
    }
    await pause(20);
    const worked = make<number>(redis, name, { leaseMs: 30_000 });
    await worked.enqueueMany(Array.from({ length: 5_000 }, (_, i) => i));
    const seen: number[] = [];
    await using worker = new Worker(worked, (n) => void seen.push(n), {
      ...options,
      concurrency: 100,
    });
    worker.start();
    await eventually(() => assertEquals(seen.length, 5_003));
    // One with each claim at most; had it to wait for the end of the others, they would be the last.
    assertLess(Math.max(...lapsed.map((n) => seen.indexOf(n))), 2_500);
    assertEquals(seen.filter((n) => n >= 0), Array.from({ length: 5_000 }, (_, i) => i));
  });
});

for (const [name, make] of Object.entries(KINDS)) {
  redisTest(
    `Worker on ${name}, blocked and idle, sends at most two commands a second`,
    async (test) => {
      const queue = make<number>(test.redis, test.name);
      await using worker = new Worker(queue, () => {});
      worker.start();
      await pause(300);
      const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
      assertLess(commands.length, 7, commands.join(" "));
    },
  );
}

redisTest("Worker takes what comes while it handles a message whose lease lapsed", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 50 });
  await queue.enqueueMany(["killer 1", "killer 2"]);
  await queue.receiveMany(2); // and falls
  await pause(60);
  const handled: string[] = [];
  const first = Promise.withResolvers<void>();
  await using worker = new Worker(
    new ReliableQueue<string>(test.redis, test.name),
    async (payload) => {
      handled.push(payload);
      if (payload === "killer 1") await first.promise;
    },
    { concurrency: 5 },
  );
  worker.start();
  await eventually(() => assertEquals(handled, ["killer 1"]));
  await pause(1_000);
  // The token for the other one is taken and given back, ever more rarely.
  const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
  assertLess(commands.filter((command) => command === "BLPOP").length, 6, commands.join(" "));
  assertLess(commands.length, 25, commands.join(" "));
  const enqueuedAt = performance.now();
  await queue.enqueue("ordinary");
  await eventually(() => assertEquals(handled, ["killer 1", "ordinary"]));
  assertLess(performance.now() - enqueuedAt, 1_500);
  const freeAt = performance.now();
  first.resolve();
  await eventually(() => assertEquals(handled, ["killer 1", "ordinary", "killer 2"]));
  assertLess(performance.now() - freeAt, 200);
});

redisTest(
  "Worker waits in Redis while the only message whose lease lapsed is its own",
  async (test) => {
    const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 50 });
    await queue.enqueue("killer");
    await queue.receive(); // and falls
    await pause(60);
    const end = Promise.withResolvers<void>();
    let handledAt = 0;
    await using worker = new Worker(
      new ReliableQueue<string>(test.redis, test.name),
      async (payload) => {
        if (payload === "killer") await end.promise;
        handledAt = performance.now();
      },
      { concurrency: 2 },
    );
    worker.start();
    await eventually(() => assertEquals(worker.active, 1));
    await pause(200);
    const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
    assertLess(commands.length, 8, commands.join(" "));
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      handledAt = 0;
      const enqueuedAt = performance.now();
      await queue.enqueue("ordinary");
      await eventually(() => assertGreater(handledAt, 0));
      waits.push(handledAt - enqueuedAt);
      await pause(5);
    }
    assertLess(waits.toSorted((a, b) => a - b)[4]!, 20, `${waits}`);
    end.resolve();
  },
);

redisTest("LeasedQueue.receive notices within two seconds what another let lapse", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 300 });
  const other = new ReliableQueue<string>(await test.connect(), test.name);
  await queue.enqueue("left");
  await queue.receive();
  const startedAt = performance.now();
  const delivery = await other.receive({ waitMs: 5_000 });
  assertEquals([delivery?.payload, delivery?.attempt], ["left", 2]);
  assertLess(performance.now() - startedAt, 2_000);
});

redisTest("LeasedQueue.consume, idle, sends at most two commands a second", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name);
  const stop = new AbortController();
  const consuming = (async () => {
    for await (const _ of queue.consume({ mode: "blocking", signal: stop.signal }));
  })();
  await pause(300);
  const commands = await commandsDuring(test.url, () => pause(5_500).then(() => {}));
  assertLess(commands.length, 12, commands.join(" "));
  stop.abort();
  await consuming;
  await queue.close();
});
