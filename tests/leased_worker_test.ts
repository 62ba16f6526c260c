/**
 * The worker on queues with leases: every message is handled once, settled, and on time, and who works is listed.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { Worker } from "@workshop/redis-patterns";
import { KINDS } from "./leased_kinds.ts";
import { MODES, pause } from "./leased_support.ts";
import { onEachKind } from "./leased_worker_support.ts";
import { eventually, redisTest } from "./support.ts";

onEachKind(({ make, options, test }) => {
  test("handles every message once and acknowledges it", async ({ redis, name }) => {
    const queue = make<number>(redis, name);
    const seen: number[] = [];
    const stop = new AbortController();
    const worker = new Worker(queue, (payload, { delivery }) => {
      assertEquals(delivery.attempt, 1);
      seen.push(payload);
      if (seen.length === 500) stop.abort();
    }, { ...options, concurrency: 20 });
    await queue.enqueueMany(Array.from({ length: 500 }, (_, i) => i));
    await worker.run({ signal: stop.signal });
    assertEquals(seen, Array.from({ length: 500 }, (_, i) => i));
    assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
    assertEquals(await redis.exists(`queue:{${name}}:leased`), 0);
  });

  test("lets a handler settle by itself", async ({ redis, name }) => {
    const queue = make<string>(redis, name);
    const stop = new AbortController();
    const worker = new Worker(queue, async (_, { delivery }) => {
      await delivery.deadLetter("no such customer");
      stop.abort();
    }, options);
    await queue.enqueue("x");
    await worker.run({ signal: stop.signal });
    const { messages: [letter] } = await queue.peek("dead");
    assertEquals(letter?.reason, "no such customer");
  });

  test("is on time for delayed messages", async ({ redis, name }) => {
    const queue = make<number>(redis, name);
    const late: number[] = [];
    await using worker = new Worker(queue, (dueAt) => void late.push(Date.now() - dueAt), {
      ...options,
      concurrency: 10,
    });
    worker.start();
    await queue.enqueue(Date.now() + 3_600_000, { delayMs: 3_600_000 }); // all wait for this one
    await pause(50);
    for (let i = 0; i < 100; i++) {
      const delayMs = 50 + Math.random() * 800;
      await queue.enqueue(Date.now() + delayMs, { delayMs });
    }
    await eventually(() => assertEquals(late.length, 100));
    const sorted = late.toSorted((a, b) => a - b);
    assertGreater(sorted[0]!, -2);
    assertLess(sorted[95]!, 60, `${sorted.slice(90)}`); // generous: the machine is busy
  });

  test("says that it is there, and that it has gone", async ({ redis, name }) => {
    const queue = make<number>(redis, name);
    await using worker = new Worker(queue, () => {}, options);
    worker.start();
    const key = `queue:{${name}}:workers`;
    await eventually(async () => assertEquals(await redis.hLen(key), 1));
    const [entry] = Object.values(await redis.hGetAll(key));
    const { pid, startedAt } = JSON.parse(entry!);
    assertEquals(pid, Deno.pid);
    assertLess(Date.now() - startedAt, 5_000);
    const kinds = { ReliableQueue: "list", PriorityQueue: "priority", StreamQueue: "stream" };
    const kind = kinds[queue.constructor.name as keyof typeof kinds];
    assert(await redis.zScore("queue:registry", `${kind} ${name}`));
    assertEquals(worker.health().running, true);
    await worker.stop();
    assertEquals([await redis.exists(key), worker.health().running], [0, false]);
    await redis.zRem("queue:registry", `${kind} ${name}`);
  });

  test("puts aside what cannot be decoded, and goes on", async ({ redis, name }) => {
    const queue = make<number>(redis, name);
    const events: string[] = [];
    await using worker = new Worker(queue, () => {}, {
      ...options,
      onEvent: (event) => events.push(event.type),
    });
    const text = make<string>(redis, name, { codec: "text" });
    await text.enqueue("{oops");
    await queue.enqueue(1);
    worker.start();
    await eventually(() => assertEquals(events.toSorted(), ["done", "undecodable"]));
    const { messages: [letter] } = await text.peek("dead");
    assertEquals(letter?.payload, "{oops");
  });
});

for (const [name, make] of Object.entries(KINDS)) {
  redisTest(`Workers on ${name} share 5,000 messages: each once`, async (test) => {
    const queue = make<number>(test.redis, test.name);
    const seen: number[] = [];
    const workers = MODES.map((mode) =>
      new Worker(queue, (payload) => void seen.push(payload), { mode, pollMs: 2, concurrency: 50 })
    );
    for (const worker of workers) worker.start();
    for (let i = 0; i < 5; i++) {
      await queue.enqueueMany(Array.from({ length: 1_000 }, (_, j) => i * 1_000 + j));
    }
    await eventually(() => assertEquals(seen.length, 5_000), 10_000);
    await Promise.all(workers.map((worker) => worker.stop()));
    assertEquals(new Set(seen).size, 5_000);
    assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
  });
}
