/**
 * The worker on queues with leases, and handlers that fail: tried again, buried after the last attempt with what
 * they threw, and whatever they throw, the worker goes on and keeps no message.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Delivery, ReliableQueue, Worker, type WorkerEvent } from "@workshop/redis-patterns";
import { onEachKind } from "./leased_worker_support.ts";
import { eventually, redisTest } from "./support.ts";

onEachKind(({ make, options, test }) => {
  test("tries again what threw, and buries it after the last attempt", async ({ redis, name }) => {
    const queue = make<string>(redis, name, { maxAttempts: 3, backoff: { baseMs: 0 } });
    const events: string[] = [];
    const onEvent = (event: WorkerEvent<Delivery<string>>) => {
      if (event.type === "failed") events.push(`${event.delivery.attempt} ${event.to}`);
    };
    await using worker = new Worker(queue, () => {
      throw new Error("no thumbnail");
    }, { ...options, onEvent });
    await queue.enqueue("bad");
    worker.start();
    await eventually(() => assertEquals(events, ["1 ready", "2 ready", "3 dead"]));
    const { messages: [letter] } = await queue.peek("dead");
    assertEquals(letter?.reason, "after 3 attempts: Error: no thumbnail");
    assertEquals(letter?.errors.map(({ attempt }) => attempt), [1, 2, 3]);
    assert(letter?.errors.every((error) => error.stack?.includes("no thumbnail")));
  });

  test("keeps a trace of whatever a handler throws", async ({ redis, name }) => {
    const queue = make<number>(redis, name, { maxAttempts: 1, backoff: { baseMs: 0 } });
    const thrown = [undefined, null, "no disk", { code: 5 }, { message: "told" }];
    const seen: unknown[] = [];
    const onEvent = (event: WorkerEvent<Delivery<number>>) => {
      if (event.type === "failed") seen.push(event.error);
    };
    await using worker = new Worker(
      queue,
      (i) => Promise.reject(thrown[i]),
      { ...options, onEvent },
    );
    await queue.enqueueMany(thrown.map((_, i) => i));
    worker.start();
    await eventually(() => assertEquals(seen, thrown));
    const { messages } = await queue.peek("dead");
    assertEquals(messages.map(({ errors }) => errors.map(({ message }) => message)), [
      ["Error: the handler threw undefined"],
      ["null"],
      ["no disk"],
      ['{"code":5}'],
      ["told"],
    ]);
  });

  test("tells of a backoff that gives no duration, and waits by the default", async (test) => {
    const queue = make<string>(test.redis, test.name);
    const events: string[] = [];
    const failed = new AbortController();
    const worker = new Worker(
      queue,
      () => Promise.reject(new Error("no")),
      {
        ...options,
        backoff: () => NaN,
        onEvent: (event) => {
          events.push(event.type === "backoff" ? String(event.error) : event.type);
          if (event.type === "failed") failed.abort(); // the default may be to wait a millisecond
        },
      },
    );
    await queue.enqueue("bad");
    await worker.run({ signal: failed.signal });
    assertStringIncludes(events[0]!, "what the backoff gives must be a number");
    assertEquals(events[1], "failed");
    const { ready, leased, delayed } = await queue.counts();
    assertEquals([ready + delayed, leased], [1, 0]);
  });
});

redisTest("Worker does not end with a handler that throws after it has settled", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name);
  const seen: string[] = [];
  await using worker = new Worker(queue, async (payload, { delivery }) => {
    seen.push(payload);
    if (payload !== "bad") return;
    await delivery.deadLetter("bad");
    throw new Error("anyway");
  });
  await queue.enqueueMany(["bad", "good"]);
  worker.start();
  await eventually(() => assertEquals(seen, ["bad", "good"]));
  assertEquals((await queue.counts()).dead, 1);
});

redisTest("Worker keeps no message that could not be settled", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 300, maxAttempts: 2 });
  const thrown: Record<string, unknown> = {
    nan: new Error("backoff gives NaN"),
    throws: new Error("backoff throws"),
    textless: Object.create(null),
    stackless: Object.defineProperty(new Error("x"), "stack", { value: 17 }),
  };
  const events: string[] = [];
  await using worker = new Worker(queue, (payload) => {
    throw thrown[payload];
  }, {
    concurrency: 4,
    onEvent: (event) => event.type === "failed" && events.push(`${event.to}`),
    backoff: (_, error) => {
      if (error === thrown.throws) throw new Error("no idea");
      return error === thrown.nan ? Number.NaN : 0;
    },
  });
  await queue.enqueueMany(Object.keys(thrown));
  worker.start();
  await eventually(async () => assertEquals((await queue.counts()).dead, 4), 5_000);
  assertEquals((await queue.counts()).leased, 0);
  assertEquals(events.filter((to) => to === "dead").length, 4);
});
