/**
 * What is special about the options of the queues with leases: a Redis that is killed or full, schemas of
 * other libraries, clients of both protocols. What holds for every queue is in the contract; see
 * `leased_options_contract.ts` and its neighbours.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  connect,
  type ConnectedClient,
  type Delivery,
  listQueues,
  PriorityQueue,
  QueueFullError,
  ReliableQueue,
  SchemaError,
  type StandardSchema,
  StreamQueue,
  Worker,
} from "@workshop/redis-patterns";
import { createClient } from "redis";
import * as v from "valibot";
import { z } from "zod";
import { bindScripts } from "../queue/leased_scripts.ts";
import { call } from "../redis/call.ts";
import { queueKeys } from "../redis/keys.ts";
import { eventually, type Fixture, redisTest, serverTest } from "./support.ts";

const CLASSES = { ReliableQueue, PriorityQueue, StreamQueue };
/** The longest that one script held Redis meanwhile, in milliseconds. */
async function holding(redis: ConnectedClient, run: () => Promise<void>): Promise<number> {
  await redis.configSet("slowlog-log-slower-than", "1000");
  await redis.sendCommand(["SLOWLOG", "RESET"]);
  await run();
  const log = await redis.sendCommand(["SLOWLOG", "GET", "-1"]) as unknown as [
    unknown,
    unknown,
    number,
    string[],
  ][];
  const scripts = log.filter(([, , , [command]]) => /^EVAL/.test(command!));
  return Math.max(0, ...scripts.map(([, , us]) => us / 1_000));
}

const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };

for (const [kind, Queue] of Object.entries(CLASSES)) {
  serverTest(
    `${kind}.enqueue with dedupe outlives a Redis that is killed (hazard 8)`,
    async (server) => {
      const redis = await connect({ url: server.url });
      const queue = new Queue<string>(redis, "q");
      const settled = { dedupe: { key: "until settled" } };
      const windowed = { dedupe: { key: "a window", ttlMs: 3_600_000 } };
      const both = async () => {
        const results = [await queue.enqueue("s", settled), await queue.enqueue("w", windowed)];
        return results.map(({ duplicate }) => duplicate);
      };
      const killRedis = async () => {
        await server.kill("SIGKILL");
        await server.restart();
      };
      assertEquals(await both(), [false, false]);
      const { id } = (await queue.peek("ready")).messages[0]!;
      await killRedis();
      assertEquals(await both(), [true, true], "while they are ready");
      assertEquals((await queue.enqueue("s", settled)).id, id);
      const deliveries = await queue.receiveMany(5);
      assertEquals(deliveries.map(({ payload }) => payload), ["s", "w"]);
      await killRedis();
      assertEquals(await both(), [true, true], "while they are in hand");
      await Promise.all(deliveries.map((delivery) => delivery.ack()));
      await killRedis();
      assertEquals(await both(), [false, true], "after they were done");
      // The window ends; its key goes by itself, whether or not Redis was up then.
      const { dedupe_until: until, dedupe } = queueKeys("q");
      assertEquals((await queue.receive())?.payload, "s");
      await redis.zAdd(until, { score: Date.now() - 1, value: "a window" });
      await killRedis();
      assertEquals(await both(), [true, false], "after the window");
      assertEquals(await redis.hLen(dedupe), 2);
      await queue.close();
      await redis.close();
    },
    { aof: true },
  );

  redisTest(`${kind} forgets windows by itself when all are over`, async ({ redis, name }) => {
    await using queue = new Queue<number>(redis, name);
    const { dedupe, dedupe_until: until } = queueKeys(name);
    await queue.enqueue(1, { dedupe: { key: "short", ttlMs: 60 } });
    await queue.enqueue(2, { dedupe: { key: "longer", ttlMs: 120 } });
    const settled = await queue.enqueue(3, { dedupe: { key: "settled" } });
    assertEquals(await redis.pTTL(dedupe), -1, "one is for no time");
    await queue.cancel(settled.id);
    await queue.enqueue(4, { dedupe: { key: "last", ttlMs: 150 } });
    assertEquals(await redis.exists([dedupe, until]), 2);
    await eventually(async () => assertEquals(await redis.exists([dedupe, until]), 0));
    for (const key of ["short", "longer", "last"]) {
      assertEquals((await queue.enqueue(5, { dedupe: { key } })).duplicate, false);
    }
    await removeKeys(redis, name);
  });

  serverTest(
    `${kind} at maxmemory can be acknowledged with logs, paused, looked into and cleared (hazard 12)`,
    async (server) => {
      const redis = await connect({ url: server.url });
      const queue = new Queue<string>(redis, "q", {
        keepCompleted: { count: 20 },
        keepFailed: { count: 20 },
        rateLimit: { count: 100_000 },
        maxReady: 1_000_000,
      });
      const text = "x".repeat(2_000);
      let stored = 0;
      const oom = await assertRejects(async () => {
        for (;; stored++) await queue.enqueue(text, { dedupe: { key: `key ${stored}` } });
      }, Error);
      assertStringIncludes(oom.message, "OOM");
      const { dedupe } = queueKeys("q");
      assertEquals([(await queue.counts()).ready, await redis.hLen(dedupe)], [stored, stored]);

      await queue.pause();
      assertEquals(await queue.receive(), undefined);
      assertEquals((await queue.counts()).paused, true);
      await queue.pause();
      await queue.resume();
      assertEquals((await queue.counts()).paused, undefined);

      const [a, b, c, d] = await queue.receiveMany(4) as Four<Delivery<string>>;
      assertEquals((await queue.peek("leased")).messages.length, 4);
      await a.ack();
      assertEquals(await b.nack({ delayMs: 60_000, error: new Error("no") }), "delayed");
      await c.deadLetter("no");
      assertEquals(await queue.cancel(d.id), "leased");
      assertEquals(await redis.hLen(dedupe), stored - 3);
      const logged = async (state: "completed" | "failed") =>
        (await queue.peek(state)).messages.map(({ id }) => id);
      assertEquals([await logged("completed"), await logged("failed")], [[a.id], [c.id, b.id]]);
      assertEquals(await queue.redrive(), 1);

      let drained = 0;
      for (;;) {
        const deliveries = await queue.receiveMany(50);
        if (deliveries.length === 0) break;
        await Promise.all(deliveries.map((delivery) => delivery.ack()));
        drained += deliveries.length;
      }
      assertEquals(drained, stored - 3);
      assertEquals((await queue.counts()).delayed, 1);
      assertEquals([await redis.hLen(dedupe), await queue.purge("delayed")], [1, 1]);
      assertEquals(await redis.hLen(dedupe), 0);
      assertEquals([await queue.purge("completed"), await queue.purge("failed")], [20, 2]);
      assertEquals((await queue.enqueue("again")).duplicate, false);
      await queue.close();
      await redis.close();
    },
    { config: { maxmemory: "4mb", "maxmemory-policy": "noeviction" } },
  );

  serverTest(
    `${kind} at maxmemory keeps a log of plain messages, and waits for its rate (hazard 12)`,
    async (server) => {
      const redis = await connect({ url: server.url });
      const logging = new Queue<string>(redis, "logging", { keepCompleted: {} });
      const limited = new Queue<string>(redis, "limited", { rateLimit: { count: 1 } });
      await logging.enqueueMany(["a", "b"]);
      await limited.enqueueMany(["c", "d"]);
      await (await limited.receive())!.ack();
      const held = await logging.receiveMany(2);
      await assertRejects(async () => {
        for (let i = 0;; i++) await redis.set(`fill:${i}`, "x".repeat(10_000));
      });
      await assertRejects(async () => {
        for (let i = 0;; i++) await redis.set(`filled up:${i}`, "x");
      });
      for (const delivery of held) await delivery.ack();
      assertEquals((await logging.peek("completed")).messages.length, 2);
      assertEquals(await limited.receive(), undefined); // refused by its rate, not by Redis
      assertEquals((await limited.counts()).ready, 1);
      for (const queue of [logging, limited]) await queue.close();
      await redis.close();
    },
    { config: { maxmemory: "4mb", "maxmemory-policy": "noeviction" } },
  );

  redisTest(`${kind} moves large messages in short steps (hazard 16)`, async (test) => {
    const { redis, name } = test;
    const options = { maxAttempts: 2, keepCompleted: {}, leaseMs: 60_000, backoff: { baseMs: 0 } };
    await using queue = new Queue<string>(redis, name, options);
    const large = "x".repeat(500_000);
    const keys = queueKeys(name);
    const all = 60;
    const fill = async () => {
      for (let i = 0; i < all; i++) await queue.enqueue(large, { delayMs: 1 });
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const ids = new Set<string>();
    const longest = await holding(redis, async () => {
      await fill();
      for (let seen = 0; seen < all;) { // promoted and claimed, a megabyte or two at a time
        const deliveries = await queue.receiveMany(100);
        for (const { id } of deliveries) ids.add(id);
        seen += deliveries.length;
      }
      const leases = await redis.zRange(keys.leases, 0, -1);
      await redis.zAdd(keys.leases, leases.map((value) => ({ score: 1, value })));
      while ((await queue.counts()).leased > 0) {
        await queue.receiveMany(1).then(([one]) => one?.nack());
      }
      assertEquals(await queue.find("nobody"), undefined);
      while ((await queue.counts()).ready > 0) {
        for (const delivery of await queue.receiveMany(1)) await delivery.deadLetter("no");
      }
      assertEquals((await queue.counts()).dead, all);
      assertEquals(await queue.redrive(), all);
      assertEquals((await queue.peek("ready", { limit: 30 })).messages.length, 30);
      assertEquals(await queue.purge("ready"), all);
    });
    assertEquals(ids.size, all);
    assertEquals(await queue.counts(), NONE);
    // Some 20 ms here; without steps each of these took half a second and more.
    assertLess(longest, 150);
    await removeKeys(redis, name);
  });

  redisTest(`${kind} polled has no pause for what was cancelled`, async (test) => {
    const { redis, name } = test;
    await using queue = new Queue<number>(redis, name);
    const enqueued = await queue.enqueueMany(Array.from({ length: 40 }, (_, i) => i));
    for (const { id } of enqueued) assertEquals(await queue.cancel(id), "ready");
    await queue.enqueue(40);
    const seen: number[] = [];
    const options = { mode: "polling", pollMs: 1_000 } as const;
    await using worker = new Worker(queue, (n) => void seen.push(n), options);
    const startedAt = performance.now();
    worker.start();
    await eventually(() => assertEquals(seen, [40]));
    assertLess(performance.now() - startedAt, 900);
    await worker.stop();
    await removeKeys(redis, name);
  });

  serverTest(`${kind}.close ends soon while Redis does not answer`, async (server) => {
    const redis = await connect({ url: server.url, heartbeatMs: 0 });
    const queue = new Queue<number>(redis, "q");
    await queue.enqueueMany([1, 2]);
    const [a] = await queue.receiveMany(2);
    await a!.ack();
    assertEquals(await queue.receive({ waitMs: 10 }), undefined); // has a connection of its own now
    await server.pause();
    const startedAt = performance.now();
    await queue.close();
    assertLess(performance.now() - startedAt, 2_500);
    await server.resume();
    redis.destroy();
  });

  serverTest(
    `Worker on ${kind} stops without a word while Redis does not answer`,
    async (server) => {
      const redis = await connect({ url: server.url, heartbeatMs: 0 });
      const queue = new Queue<number>(redis, "q");
      await queue.enqueueMany([1, 2]);
      const worker = new Worker(
        queue,
        (_, { signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        {
          concurrency: 2,
        },
      );
      const ended = worker.start();
      await eventually(() => assertEquals(worker.active, 2));
      await server.pause();
      await worker.stop({ graceMs: 0 }); // leases give back what cannot be said
      await ended;
      await server.resume();
      assertEquals((await queue.counts()).leased, 2);
      redis.destroy();
    },
  );

  for (const RESP of [2, 3] as const) {
    redisTest(`${kind} can be looked into by a client that speaks RESP ${RESP}`, async (test) => {
      const { name, url } = test;
      const redis = createClient({ url, RESP });
      redis.on("error", () => {});
      await redis.connect();
      try {
        await using queue = new Queue<number>(redis, name, { keepCompleted: {} });
        await queue.enqueueMany([1, 2, 3]);
        const delayed = await queue.enqueue(4, { delayMs: 60_000, dedupe: { key: "k" } });
        const [a, b] = await queue.receiveMany(2);
        await a!.ack();
        const { messages: [leased] } = await queue.peek("leased");
        assertEquals(leased!.leaseExpiresAt, b!.leaseExpiresAt);
        assertEquals((await queue.peek("completed")).messages[0]!.receivedAt, a!.receivedAt);
        const dueIn = (await queue.find(delayed.id))!.dueAt! - Date.now();
        assert(Math.abs(dueIn - 60_000) < 2_000, String(dueIn));
        await b!.deadLetter("no");
        const found = await queue.find(b!.id);
        assertEquals([found?.state, found?.reason], ["dead", "no"]);
        assert(Math.abs(found!.deadAt! - Date.now()) < 2_000, String(found!.deadAt));
        assertEquals((await queue.stats()).totals.enqueued, 4);
        await using worker = new Worker(queue, () => {});
        worker.start();
        await eventually(async () => assertEquals((await queue.consumers())[0]?.pid, Deno.pid));
        const queues = await listQueues(redis);
        assert(Math.abs(queues.find((q) => q.name === name)!.lastUsedAt - Date.now()) < 5_000);
        assertEquals(await queue.redrive({ dryRun: true }), 1);
        assertEquals(await queue.cancel(b!.id), "dead");
        await worker.stop();
        assertEquals(await queue.counts(), { ...NONE, delayed: 1 });
      } finally {
        redis.destroy();
        await removeKeys(test.redis, name);
      }
    });
  }

  redisTest(`${kind}.purge takes no more in one script than it was told`, async (test) => {
    const { redis, name } = test;
    await using queue = new Queue<number>(redis, name);
    const keys = queueKeys(name);
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    await queue.receiveMany(3);
    await redis.zAdd(
      keys.leases,
      (await redis.zRange(keys.leases, 0, -1)).map((value) => {
        return { score: 1, value };
      }),
    );
    await queue.pause();
    await queue.receive(); // sweeps
    assertEquals(await redis.lLen(keys.lapsed), 3);
    const kinds = {
      ReliableQueue: "list",
      PriorityQueue: "priority",
      StreamQueue: "stream",
    } as const;
    const own = { group: "workers", idle_ms: 10_000 };
    const { purge } = bindScripts(kinds[kind as keyof typeof kinds], own);
    const send = (args: Parameters<typeof call>[1]) => call(redis, args, { raw: true });
    const step = () => purge.run(send, keys, { state: "ready", most: 3 });
    assertEquals([await step(), await step(), await step()], [[1, 3], [0, 2], [0, 0]]);
    await removeKeys(redis, name);
  });
}

redisTest("PriorityQueue with limits still gives the most urgent first", async (test) => {
  const { redis, name } = test;
  await using queue = new PriorityQueue<string>(redis, name, {
    rateLimit: { count: 2, perMs: 60_000 },
    maxReady: 3,
    dedupe: true,
  });
  await queue.enqueue("low", { priority: "low" });
  await queue.enqueue("medium");
  const first = await queue.enqueue("high", { priority: "high" });
  const again = await queue.enqueue("high", { priority: "low" });
  assertEquals(again, { id: first.id, duplicate: true });
  await assertRejects(() => queue.enqueue("urgent", { priority: -5 }), QueueFullError);
  const deliveries = await queue.receiveMany(5);
  assertEquals(deliveries.map(({ payload }) => payload), ["high", "medium"]);
  await removeKeys(redis, name);
});

redisTest("Zod's schemas check, and convert, at both ends", async ({ redis, name }) => {
  const order = z.object({
    total: z.coerce.number().positive(),
    at: z.iso.datetime().transform((text) => new Date(text)),
  });
  await using queue = new ReliableQueue(redis, name, { schema: order });
  await converts(queue, redis, name);
});

redisTest("Valibot's schemas check, and convert, at both ends", async ({ redis, name }) => {
  const order = v.objectAsync({
    total: v.pipe(v.unknown(), v.transform(Number), v.number(), v.gtValue(0)),
    at: v.pipeAsync(
      v.string(),
      v.isoTimestamp(),
      v.checkAsync((text) => Promise.resolve(text > "2000"), "too long ago"),
      v.transform((text) => new Date(text)),
    ),
  });
  await using queue = new PriorityQueue(redis, name, { schema: order });
  await converts(queue, redis, name);
  const old = { total: 1, at: "1999-01-01T00:00:00Z" };
  await assertRejects(() => queue.enqueue(old), SchemaError, "at: too long ago");
});

interface Order {
  total: number;
  at: Date;
}

/** What holds for a schema that takes texts and gives a number and a Date. */
async function converts(
  queue:
    | ReliableQueue<Order, { total: unknown; at: string }>
    | PriorityQueue<Order, { total: unknown; at: string }>,
  redis: Fixture["redis"],
  name: string,
): Promise<void> {
  const at = "2026-05-01T10:00:00Z";
  const error = await assertRejects(() => queue.enqueue({ total: "-1", at }), SchemaError);
  assertEquals(error.issues.length, 1);
  assertStringIncludes(error.message, "total: ");
  const many = [{ total: "1", at }, { total: "1", at: "tomorrow" }];
  await assertRejects(() => queue.enqueueMany(many), SchemaError, "at: ");
  assertEquals(await queue.counts(), NONE);

  await queue.enqueue({ total: "17.5", at });
  const raw = new ReliableQueue<unknown>(redis, name); // its dead letters are the same for both kinds
  const { messages: [waiting] } = await queue.peek("ready");
  assertEquals(new TextDecoder().decode(waiting!.raw), JSON.stringify({ total: "17.5", at }));
  assertEquals(waiting!.payload, { total: 17.5, at: new Date(at) });
  const delivery = (await queue.receive())!;
  const { total, at: when }: Order = delivery.payload;
  assertEquals([total.toFixed(2), when.getTime()], ["17.50", Date.parse(at)]);
  await delivery.ack();

  const unchecked = queue instanceof ReliableQueue ? raw : new PriorityQueue<unknown>(redis, name);
  await unchecked.enqueueMany([{ total: "free", at }, { total: 3, at }]);
  const events: unknown[] = [];
  await using worker = new Worker(queue, ({ at }) => void events.push(at.getUTCFullYear()), {
    onEvent: (event) => {
      if (event.type === "undecodable") events.push(event.error.cause);
    },
  });
  worker.start();
  await eventually(() => assertEquals(events.length, 2));
  const [refused] = events.filter((event) => typeof event === "object");
  assertInstanceOf(refused, SchemaError);
  assert(events.includes(2026));
  await worker.stop();
  const { messages: [letter, ...others] } = await unchecked.peek("dead");
  assertEquals([letter!.payload, others], [{ total: "free", at }, []]);
  assertStringIncludes(letter!.reason!, "total: ");
  await removeKeys(redis, name);
}

redisTest("A schema's issues are told a few at a time", async ({ redis, name }) => {
  const issues = Array.from({ length: 8 }, (_, i) => ({ message: `wrong ${i}`, path: ["at", i] }));
  const schema = (issues: { message: string }[]): StandardSchema<number> => ({
    "~standard": { version: 1, vendor: "tests", validate: () => ({ issues }) },
  });
  const queue = new ReliableQueue(redis, name, { schema: schema(issues) });
  const error = await assertRejects(
    () => queue.enqueue(1),
    SchemaError,
    "at.4: wrong 4; and 3 more",
  );
  assertEquals([error.issues.length, error.message.includes("wrong 5")], [8, false]);
  const silent = new ReliableQueue(redis, name, { schema: schema([]) });
  await assertRejects(() => silent.enqueue(1), SchemaError, "no reason given");
});

type Four<T> = [T, T, T, T];

async function removeKeys(redis: Fixture["redis"], name: string): Promise<void> {
  for await (const keys of redis.scanIterator({ MATCH: `queue:{${name}}:*`, COUNT: 1_000 })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
  await redis.zRem("queue:registry", [`list ${name}`, `priority ${name}`]);
}
