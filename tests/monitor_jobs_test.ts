/** The job queue server: what programs in other languages rely on. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { z } from "zod";
import { PriorityQueue, ReliableQueue, StreamQueue } from "@workshop/redis-patterns";
import { TaskMonitor } from "@workshop/redis-patterns/tasks";
import { holdersOf } from "../monitor/holders.ts";
import { Monitor } from "../monitor/snapshot.ts";
import { post, serve } from "./monitor_web_support.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

interface Delivered {
  id: string;
  payload: unknown;
  attempt: number;
  token: string;
}

const deliveriesOf = (body: Record<string, unknown>) => body["deliveries"] as Delivered[];

for (
  const [kind, Queue] of [
    ["list", ReliableQueue],
    ["priority", PriorityQueue],
    ["stream", StreamQueue],
  ] as const
) {
  redisTest(`the job server takes a message of a ${kind} from enqueue to ack`, async (test) => {
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${encodeURIComponent(test.name)}`;
    const sent = await post(`${at}/messages?kind=${kind}`, {
      payload: { to: "ann" },
      id: "order 1/7",
    });
    assertEquals([sent.status, sent.body], [201, { id: "order 1/7", duplicate: false }]);
    const again = await post(`${at}/messages`, { payload: { to: "ann" }, id: "order 1/7" });
    assertEquals([again.status, again.body["duplicate"]], [200, true]);

    const received = await post(`${at}/receive`);
    assertEquals(received.status, 200);
    const [delivery] = deliveriesOf(received.body);
    assertEquals([delivery!.id, delivery!.payload, delivery!.attempt], [
      "order 1/7",
      { to: "ann" },
      1,
    ]);
    assertEquals((await post(`${at}/receive`)).status, 204);

    const settle = `${server.url}/deliveries/${delivery!.token}`;
    assertEquals((await post(`${settle}/extend`, { ms: 60_000 })).status, 204);
    assertEquals((await post(`${settle}/ack`)).status, 204);
    assertEquals((await post(`${settle}/ack`)).status, 204, "a repeated ack is the same success");
    await using queue = new Queue<unknown>(test.redis, test.name);
    const { ready, leased, dead } = await queue.counts();
    assertEquals([ready, leased, dead], [0, 0, 0]);
    const counted = await (await fetch(at)).json();
    assertEquals([counted.kind, counted.stats.totals.acked], [kind, 1]);
  });

  redisTest(`the job server gives a message of a ${kind} back, and buries it`, async (test) => {
    await using server = serve({ redis: test.url, queueOptions: () => ({ maxAttempts: 2 }) });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages?kind=${kind}`, { messages: [{ payload: 1 }, { payload: 2 }] });
    const [one, two] = deliveriesOf((await post(`${at}/receive`, { max: 2 })).body);
    const nack = await post(`${server.url}/deliveries/${one!.token}/nack`, {
      delayMs: 0,
      error: "busy",
    });
    assertEquals([nack.status, nack.body], [200, { state: "ready" }]);
    const bury = await post(`${server.url}/deliveries/${two!.token}/dead-letter`, {
      reason: "no such address",
    });
    assertEquals(bury.status, 204);
    const [again] = deliveriesOf((await post(`${at}/receive`)).body);
    assertEquals([again!.id, again!.attempt], [one!.id, 2]);
    const last = await post(`${server.url}/deliveries/${again!.token}/nack`, { error: "busy" });
    assertEquals(last.body, { state: "dead" });
    await using queue = new Queue<unknown>(test.redis, test.name);
    const { messages } = await queue.peek("dead");
    assertEquals(messages.map(({ reason }) => reason), [
      "no such address",
      "after 2 attempts: Error: busy",
    ]);
    const stacks = messages.flatMap(({ errors }) => errors.map(({ stack }) => stack ?? ""));
    assert(stacks.every((stack) => !stack.includes("jobs.ts")), "no stack of the server's");
  });
}

redisTest(
  "the job server answers a waiting receive as soon as there is a message",
  async (test) => {
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages`, { payload: 0 });
    await post(`${at}/receive`);
    const waiting = post(`${at}/receive`, { waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const startedAt = performance.now();
    await post(`${at}/messages`, { payload: 1 });
    const { body } = await waiting;
    assertEquals(deliveriesOf(body)[0]!.payload, 1);
    assertLess(performance.now() - startedAt, 1_000);
    const none = await post(`${at}/receive`, { waitMs: 100 });
    assertEquals(none.status, 204);
  },
);

redisTest("who takes from the job server is named by it, and is not silent", async (test) => {
  const { redis, name } = test;
  await using queue = new ReliableQueue<number>(redis, name);
  {
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${name}`;
    await queue.enqueue(1);
    const [delivery] = deliveriesOf((await post(`${at}/receive`)).body);
    const registered = { name, kind: "list", lastUsedAt: 0 } as const;
    const holder = await eventually(async () => {
      const [one, ...others] = await holdersOf(new Monitor(redis), registered, Date.now());
      assertEquals([one!.info?.pid, one!.holds, others], [Deno.pid, 1, []]);
      return one;
    });
    assertEquals(holder!.oldestId, delivery!.id);
    await post(`${server.url}/deliveries/${delivery!.token}/ack`);
    // One that waits is there as well, and what an operator pauses takes nothing.
    await queue.pauseConsumer(holder!.consumer);
    await queue.enqueue(2);
    assertEquals((await post(`${at}/receive`, { waitMs: 1_500 })).status, 204);
    await queue.resumeConsumer(holder!.consumer);
    const [second] = deliveriesOf((await post(`${at}/receive`, { waitMs: 5_000 })).body);
    assertEquals(second!.payload, 2);
    await post(`${server.url}/deliveries/${second!.token}/ack`);
  }
  assertEquals(await queue.consumers(), []); // it has said goodbye
});

redisTest("a client that goes away while it waits gets nothing leased", async (test) => {
  await using server = serve({ redis: test.url, queueOptions: () => ({ maxAttempts: 1 }) });
  const at = `${server.url}/queues/${test.name}`;
  await using queue = new ReliableQueue<number>(test.redis, test.name, { maxAttempts: 1 });
  await queue.enqueue(0);
  await (await queue.receive())!.ack();
  // One that left before there was a message.
  const early = new AbortController();
  const left = post(`${at}/receive`, { waitMs: 20_000 }, { signal: early.signal }).catch(() =>
    "left"
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  early.abort();
  assertEquals(await left, "left");
  await new Promise((resolve) => setTimeout(resolve, 100));
  await queue.enqueue(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals((await queue.counts()).leased, 0);
  // They leave at the moment in which a message comes, so that some are claimed for somebody who is gone.
  for (let round = 0; round < 20; round++) {
    const leaving = Array.from({ length: 5 }, () => new AbortController());
    const waits = leaving.map(({ signal }) => {
      return post(`${at}/receive`, { waitMs: 20_000 }, { signal }).catch(() => undefined);
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([
      queue.enqueueMany([1, 2, 3, 4, 5]),
      ...leaving.map(async (client, i) => {
        await new Promise((resolve) => setTimeout(resolve, i));
        client.abort();
      }),
    ]);
    const got = (await Promise.all(waits)).filter((answer) => answer?.status === 200);
    for (const answer of got) {
      for (const { token } of deliveriesOf(answer!.body)) {
        assertEquals((await post(`${server.url}/deliveries/${token}/ack`)).status, 204);
      }
    }
  }
  // A hundred and two were enqueued; what was not acknowledged is ready, at its first attempt. An answer that had
  // left already, to a client that had, too, may be under its lease until that is over.
  const { acked, dead } = (await queue.stats()).totals;
  assertEquals(dead, 0, "giving back spends no attempt, or maxAttempts: 1 would have buried it");
  await eventually(async () => {
    const { ready, leased } = await queue.counts();
    assertEquals(ready + leased, 102 - acked);
    assertLess(leased, 40);
  });
  const { messages } = await queue.peek("ready", { limit: 200 });
  assert(messages.every(({ attempts }) => attempts === 0));
});

redisTest("what a client was given comes back when the client is gone for good", async (test) => {
  await using server = serve({ redis: test.url, queueOptions: () => ({ leaseMs: 200 }) });
  const at = `${server.url}/queues/${test.name}`;
  await post(`${at}/messages`, { payload: "x" });
  const first = deliveriesOf((await post(`${at}/receive`)).body)[0]!;
  const second = deliveriesOf((await post(`${at}/receive`, { waitMs: 5_000 })).body)[0]!;
  assertEquals([second.id, second.attempt], [first.id, 2]);
  const late = await post(`${server.url}/deliveries/${first.token}/ack`);
  assertEquals([late.status, late.body["type"]], [409, "urn:redis-patterns:problem:lease-lost"]);
  assertEquals(late.headers.get("content-type"), "application/problem+json");
  assertEquals((await post(`${server.url}/deliveries/${second.token}/ack`)).status, 204);
});

redisTest(
  "bad input to the job server is refused with a problem document, and loses nothing",
  async (test) => {
    await using server = serve({ redis: test.url, maxBodyBytes: 20_000 });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages`, { payload: "kept" });
    const json = { "content-type": "application/json" };
    const token = deliveriesOf((await post(`${at}/receive`)).body)[0]!.token;
    const settle = `${server.url}/deliveries/${token}`;
    const cases: [what: string, status: number, url: string, body: unknown, init?: RequestInit][] =
      [
        ["malformed JSON", 400, `${at}/messages`, '{"payload": '],
        ["no object", 400, `${at}/messages`, "[1]"],
        ["no payload", 400, `${at}/messages`, {}],
        ["unknown field", 400, `${at}/messages`, { payload: 1, delay: 5 }],
        ["negative delay", 400, `${at}/messages`, { payload: 1, delayMs: -1 }],
        ["a bad id", 400, `${at}/messages`, { payload: 1, id: "" }],
        ["messages that are none", 400, `${at}/messages`, { messages: 7 }],
        ["a priority in a list", 400, `${at}/messages`, { payload: 1, priority: 1 }],
        ["another kind", 409, `${at}/messages?kind=stream`, { payload: 1 }],
        ["no kind", 400, `${at}/messages?kind=heap`, { payload: 1 }],
        ["too large", 413, `${at}/messages`, { payload: "x".repeat(10_000_000) }],
        ["too large, in chunks", 413, `${at}/messages`, undefined, {
          headers: json,
          body: new ReadableStream({
            start(controller) {
              controller.enqueue(new TextEncoder().encode(`{"payload":"${"x".repeat(100_000)}"}`));
              controller.close();
            },
          }),
        }],
        ["no JSON", 415, `${at}/messages`, undefined, {
          body: "payload=1",
          headers: { "content-type": "text/plain" },
        }],
        [
          "a queue that cannot be",
          400,
          `${server.url}/queues/${encodeURIComponent("a{b}")}/messages`,
          { payload: 1 },
        ],
        ["an unknown queue", 404, `${server.url}/queues/${test.name}:no/receive`, {}],
        ["a negative wait", 400, `${at}/receive`, { waitMs: -1 }],
        ["a wait of text", 400, `${at}/receive`, { waitMs: "5" }],
        ["a wait too long", 400, `${at}/receive`, { waitMs: 600_000 }],
        ["too many", 400, `${at}/receive`, { max: 100_000 }],
        ["none", 400, `${at}/receive`, { max: 0 }],
        ["a lease too short", 400, `${at}/receive`, { leaseMs: 5 }],
        ["no token", 404, `${server.url}/deliveries/xyz/ack`, {}],
        ["a token of no queue", 404, `${server.url}/deliveries/l.Kg.abc:1:0:1/ack`, {}],
        ["a token that is none", 404, `${server.url}/deliveries/l.eA.abc:1/nack`, {}],
        ["a token of no kind", 404, `${server.url}/deliveries/x.eA.abc:1:0:1/ack`, {}],
        ["a token of nobody", 409, `${server.url}/deliveries/l.eA.abc:1:0:1/ack`, {}],
        ["a bad extend", 400, `${settle}/extend`, { ms: 0 }],
        ["an extend of nothing", 400, `${settle}/extend`, {}],
        ["a bad nack", 400, `${settle}/nack`, { delayMs: -1 }],
        ["an error that is none", 400, `${settle}/nack`, { error: {} }],
        ["no reason", 400, `${settle}/dead-letter`, {}],
        ["no such route", 404, `${at}/nothing`, {}],
      ];
    for (const [what, status, url, body, init] of cases) {
      const answer = await post(url, body, init);
      assertEquals(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`);
      assertEquals(answer.headers.get("content-type"), "application/problem+json", what);
      assertEquals(answer.body["status"], status, what);
      const text = JSON.stringify(answer.body);
      assert(!/\.tsx?|at .*:\d+:\d+|node_modules/.test(text), `${what} shows a stack: ${text}`);
      assertLess(text.length, 1_000, what);
    }
    await using queue = new ReliableQueue<string>(test.redis, test.name);
    const { ready, leased } = await queue.counts();
    assertEquals([ready, leased], [0, 1], "what was in hand still is, and nothing came in");
    assertEquals((await post(`${settle}/ack`)).status, 204);
  },
);

redisTest("no more requests wait than may, and the others are told so", async (test) => {
  await using server = serve({ redis: test.url, maxWaiting: 2 });
  const at = `${server.url}/queues/${test.name}`;
  await post(`${at}/messages`, { payload: 0 });
  await post(`${at}/receive`);
  const stop = new AbortController();
  const waits = [1, 2].map(() =>
    post(`${at}/receive`, { waitMs: 20_000 }, { signal: stop.signal }).catch(() => "left")
  );
  await eventually(async () => {
    assertMatch(await (await fetch(`${server.url}/metrics`)).text(), /waiting_requests 2\n/);
  });
  const third = await post(`${at}/receive`, { waitMs: 1_000 });
  assertEquals([third.status, third.headers.get("retry-after")], [503, "1"]);
  assertEquals(
    (await post(`${at}/receive`)).status,
    204,
    "one that does not wait holds no connection",
  );
  stop.abort();
  assertEquals(await Promise.all(waits), ["left", "left"]);
  await eventually(async () => {
    assertEquals((await post(`${at}/receive`, { waitMs: 10 })).status, 204);
  });
});

redisTest(
  "a server that ends answers those who wait, and keeps nothing of theirs",
  async (test) => {
    const server = serve({ redis: test.url });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages`, { payload: 0 });
    await post(`${at}/receive`);
    const wait = post(`${at}/receive`, { waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const startedAt = performance.now();
    await server[Symbol.asyncDispose]();
    assertEquals((await wait).status, 503);
    assertLess(performance.now() - startedAt, 3_000);
  },
);

serverTest(
  "the job server says that Redis is away, whether it was sent, and goes on",
  async (redis) => {
    await using server = serve({ redis: redis.url });
    const at = `${server.url}/queues/mails`;
    assertEquals((await post(`${at}/messages`, { payload: 1 })).status, 201);
    await redis.kill();
    const { status, body } = await post(`${at}/messages`, { payload: 2, id: "two" });
    assertEquals([status, body["type"]], [503, "urn:redis-patterns:problem:redis-away"]);
    assertEquals(typeof body["sent"], "boolean");
    const health = await fetch(`${server.url}/health`);
    assertEquals([health.status, (await health.json()).title], [503, "Redis cannot be reached"]);
    await redis.restart();
    await eventually(async () => {
      assertEquals((await post(`${at}/messages`, { payload: 2, id: "two" })).status, 201);
    }, 8_000);
  },
);

redisTest(
  "a task is added, received and settled by HTTP, and its record tells of it",
  async (test) => {
    const { redis, name } = test;
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${name}`;
    const payload = { type: "double", payload: { data: 42 } };
    const stored = await post(`${at}/messages?kind=tasks`, { id: "one", payload });
    assertEquals([stored.status, stored.body], [201, { id: "one", duplicate: false }]);
    for (const wrong of [7, null, { data: 42 }, { type: "" }, { type: 1, payload: 2 }]) {
      const { status } = await post(`${at}/messages`, { payload: wrong });
      assertEquals(status, 400, JSON.stringify(wrong));
    }
    assertEquals((await post(`${at}/messages?kind=list`, { payload })).status, 409);
    await using monitor = new TaskMonitor(redis, { name });
    assertEquals((await monitor.task("one"))?.state, "ready");
    const { status, body } = await post(`${at}/receive`, {});
    const [delivery] = body["deliveries"] as { payload: unknown; token: string }[];
    assertEquals([status, delivery!.payload], [200, payload]);
    assertEquals((await monitor.task("one"))?.state, "running");
    assertEquals((await post(`${server.url}/deliveries/${delivery!.token}/ack`)).status, 204);
    assertEquals((await monitor.task("one"))?.state, "done");
  },
);

redisTest(
  "tasks are opened with what their queue takes, and what it does not is told",
  async (test) => {
    const schemas = { resize: z.object({ width: z.number() }) };
    await using server = serve({
      redis: test.url,
      queueOptions: (_, kind) =>
        kind === "tasks" ? { schemas, dedupe: { key: ({ type }: { type: string }) => type } } : {},
    });
    const at = `${server.url}/queues/${test.name}/messages?kind=tasks`;
    const task = (width: unknown) => ({ payload: { type: "resize", payload: { width } } });
    const wrong = await post(at, task("wide"));
    assertEquals(wrong.status, 422);
    assertMatch(String(wrong.body["detail"]), /width/);
    const first = await post(at, task(1));
    const second = await post(at, task(2));
    assertEquals([first.status, second.status], [201, 200]);
    assertEquals([second.body["id"], second.body["duplicate"]], [first.body["id"], true]);

    const told: unknown[] = [];
    await using other = serve({
      redis: test.url,
      queueOptions: () => ({ codec: "text" }),
      onError: (error) => told.push(error),
    });
    const refused = await post(`${other.url}/queues/${test.name}/receive`);
    assertEquals([refused.status, refused.body["detail"]], [500, "It is in the log of the server"]);
    assertMatch(String(told[0]), /TypeError: .*codec/);
  },
);
