/**
 * `TaskMonitor`: what it tells of a queue of tasks, and what that costs.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { listQueues } from "@workshop/redis-patterns";
import {
  type DeadTask,
  NoTaskEventsError,
  TaskMonitor,
  type TaskPage,
  TaskProducer,
  type TaskQueue,
  type TaskQueueOptions,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { type QueueKeys, queueKeys } from "../redis/keys.ts";
import { commandsDuring, eventually, type Fixture, redisTest } from "./support.ts";

interface Tasks {
  count(payload: { n: number }): unknown;
}

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);
const tasks = (ns: number[]) => ns.map((n) => ({ type: "count" as const, payload: { n } }));
const ids = (all: readonly { id: string }[]) => all.map(({ id }) => id);

/** What a test gets: a queue of its own, whose keys go with it. */
interface MonitorFixture extends Fixture {
  keys: QueueKeys;
  producer: TaskProducer<Tasks>;
  queue: TaskQueue<Tasks>;
  monitor: TaskMonitor<Tasks>;
}

function monitorTest(
  title: string,
  run: (test: MonitorFixture) => Promise<void>,
  options: TaskQueueOptions<Tasks> = {},
): void {
  redisTest(title, async (test) => {
    const { redis, name } = test;
    const keys = queueKeys(name);
    const producer = new TaskProducer<Tasks>(redis, { name, ...options });
    const monitor = new TaskMonitor<Tasks>(redis, { name, ...options });
    try {
      await run({ ...test, keys, producer, queue: producer.queue, monitor });
      await redis.unlink(Object.values(keys));
    } finally {
      await monitor.close();
      await producer.close();
    }
  });
}

/** All pages. */
async function all<P>(
  list: (options: { limit: number; cursor?: string }) => Promise<TaskPage<P>>,
  limit: number,
): Promise<P[]> {
  const found: P[] = [];
  let cursor: string | undefined;
  do {
    const page = await list({ limit, ...(cursor && { cursor }) });
    assert(page.tasks.length <= limit);
    found.push(...page.tasks);
    cursor = page.cursor;
  } while (cursor);
  return found;
}

monitorTest(
  "TaskMonitor.queueStats tells counts, ages, rates, percentiles, workers and lengths",
  async (test) => {
    const { monitor, producer, queue, redis, name } = test;
    const empty = await monitor.queueStats();
    assertEquals([empty.kind, empty.streamLength, empty.records, empty.events], ["tasks", 0, 0, 0]);
    assertEquals([empty.nextDueInMs, empty.oldestDeadMs], [undefined, undefined]);

    const held = Promise.withResolvers<void>();
    const worker = new TaskWorker<Tasks>(redis, {
      name,
      concurrency: 2,
      handlers: { count: ({ n }) => n > 0 ? n : held.promise },
    });
    worker.start();
    await Promise.all((await producer.addMany(tasks(numbers(10, 1)))).map((task) => task.result()));
    await producer.addMany(tasks([0, 0, 5, 6, 7]));
    await producer.schedule("count", { n: 8 }, { delayMs: 60_000 });
    await eventually(async () => assertEquals((await queue.counts()).leased, 2));
    const stats = await monitor.queueStats({ windowMs: 60_000 });
    const { oldestReadyMs, ...counts } = stats.counts;
    assertEquals(counts, { ready: 3, leased: 2, delayed: 1, dead: 0 });
    assertLess(oldestReadyMs!, 10_000);
    assert(stats.nextDueInMs! > 50_000 && stats.nextDueInMs! <= 60_000);
    assertEquals([stats.streamLength, stats.records], [3, 16]);
    assert(stats.events >= 4, String(stats.events));
    assertEquals([stats.stats.totals.enqueued, stats.stats.totals.acked], [16, 10]);
    assert(stats.stats.perSecond.acked > 0);
    assert(stats.stats.waitMs!.p99 >= stats.stats.waitMs!.p50 && stats.stats.runMs!.p50 >= 0);
    assertEquals(stats.consumers.length, 1);
    assertEquals(
      await monitor.consumers().then(([one]) => one?.consumer),
      stats.consumers[0]!.consumer,
    );
    await queue.pause();
    assertEquals((await monitor.queueStats()).counts.paused, true);
    const registered = await listQueues(redis);
    assertEquals(registered.find((one) => one.name === name)?.kind, "tasks");
    held.resolve();
    await worker.stop();
  },
);

monitorTest(
  "TaskMonitor costs the same however much there is, and never searches",
  async (test) => {
    const { monitor, producer, queue, url } = test;
    const [first] = await producer.addMany(tasks(numbers(30)));
    await queue.receiveMany(5);
    for (const delivery of await queue.receiveMany(5)) await delivery.deadLetter("no");
    await producer.addMany(tasks(numbers(10)), { delayMs: 60_000 });
    const questions: Record<string, () => Promise<unknown>> = {
      queueStats: () => monitor.queueStats(),
      recentTasks: () => monitor.recentTasks(10),
      task: () => monitor.task(first!.id),
      "task: unknown": () => monitor.task("nobody"),
      consumers: () => monitor.consumers(),
      ready: () => monitor.ready({ limit: 10 }),
      pending: () => monitor.pending({ limit: 5 }),
      delayed: () => monitor.delayed({ limit: 10 }),
      dead: () => monitor.dead({ limit: 5 }),
    };
    const costs = async () => {
      const all: Record<string, string[]> = {};
      for (const [what, ask] of Object.entries(questions)) {
        await ask(); // Redis has the scripts
        all[what] = await commandsDuring(url, async () => void await ask());
      }
      return all;
    };
    const few = await costs();
    assertEquals(few, {
      queueStats: Array(5).fill("EVALSHA"),
      recentTasks: ["XREVRANGE", "EVALSHA"],
      task: ["HMGET"],
      "task: unknown": ["HMGET", "HGET", "ZSCORE"],
      consumers: ["EVALSHA"],
      ready: ["EVALSHA", "TIME"],
      pending: ["EVALSHA", "TIME", "EVALSHA"],
      delayed: ["EVALSHA", "TIME"],
      dead: ["EVALSHA", "TIME"],
    });
    await producer.addMany(tasks(numbers(5_000)));
    await producer.addMany(tasks(numbers(5_000)), { delayMs: 60_000 });
    await queue.receiveMany(1_000);
    for (const delivery of await queue.receiveMany(200)) await delivery.deadLetter("no");
    assertEquals(await costs(), few);
  },
);

monitorTest("TaskMonitor.recentTasks tells the newest by what happened last", async (test) => {
  const { monitor, producer, queue } = test;
  assertEquals(await monitor.recentTasks(), [], "nothing happened yet");
  const added = await producer.addMany(tasks(numbers(100)));
  const newest = async (limit?: number) => ids(await monitor.recentTasks(limit));
  assertEquals(new Set(await newest(3)), new Set(ids(added.slice(-3))));
  assertEquals((await newest()).length, 20);
  assertEquals((await newest(1_000)).length, 100);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const [a, b] = await queue.receiveMany(2);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await a!.ack();
  const recent = await monitor.recentTasks(3);
  assertEquals(recent.map(({ id, state }) => [id, state]).slice(0, 2), [
    [a!.id, "done"],
    [b!.id, "running"],
  ]);
  await queue.purge("ready"); // they leave no record
  assertEquals(await newest(10), [a!.id, b!.id]);
  for (const bad of [0, 1_001, 1.5, NaN]) {
    await assertRejects(() => monitor.recentTasks(bad), RangeError, "limit");
  }
});

monitorTest(
  "TaskMonitor.recentTasks looks behind what happens to one task again and again",
  async (test) => {
    const { monitor, producer, redis, keys } = test;
    const [first, second] = await producer.addMany(tasks([1, 2]));
    const line = `${second!.id}\tcount\t1\tme\t0.5`;
    for (const _ of numbers(350)) await redis.xAdd(keys.events, "*", { progress: line });
    const recent = await monitor.recentTasks(2);
    assertEquals(new Set(ids(recent)), new Set([first!.id, second!.id]));
  },
);

monitorTest(
  "TaskMonitor.recentTasks leaves large results out, and fetches them in steps",
  async (test) => {
    const { monitor, producer, redis, name, url } = test;
    const text = "x".repeat(300_000);
    const handlers = { count: ({ n }: { n: number }) => n === 0 ? { n } : { text } };
    const worker = new TaskWorker<Tasks>(redis, { name, handlers });
    worker.start();
    const added = await producer.addMany(tasks(numbers(20)));
    await Promise.all(added.map((task) => task.outcome()));
    await worker.stop();
    const asked = await commandsDuring(url, async () => {
      const recent = await monitor.recentTasks(20);
      assertEquals(new Set(ids(recent)), new Set(ids(added)));
      for (const { id, result, state } of recent) {
        assertEquals([state, result], ["done", id === added[0]!.id ? { n: 0 } : undefined]);
      }
    });
    assert(asked.length > 3 && asked.length < 12, String(asked));
    assertEquals((await monitor.task(added[1]!.id))?.result, { text });
  },
);

monitorTest("TaskMonitor.recentTasks says when no events are kept", async (test) => {
  const { redis, name, monitor } = test;
  await using silent = new TaskProducer<Tasks>(redis, { name, maxEvents: 0 });
  await silent.add("count", { n: 1 });
  await assertRejects(() => monitor.recentTasks(), NoTaskEventsError, "records of 1 tasks");
});

monitorTest(
  "TaskMonitor.task tells what is on record, and else what its dead letter tells",
  async (test) => {
    const { monitor, producer, queue, redis, keys } = test;
    const task = await producer.add("count", { n: 1 });
    assertEquals((await monitor.task(task.id))?.state, "ready");
    const delivery = await queue.receive();
    await delivery!.deadLetter("no such account", { error: new Error("404") });
    const record = await monitor.task(task.id);
    assertEquals([record?.state, record?.reason], ["dead", "no such account"]);
    await redis.hDel(keys.records, task.id); // forgotten
    const { consumer: _, ...known } = record!; // a letter does not tell who had it
    assertEquals(await monitor.task(task.id), known);
    assertEquals(await monitor.task("nobody"), undefined);
    await assertRejects(() => monitor.task(""), TypeError, "task id");
  },
);

monitorTest(
  "TaskMonitor.pending tells who holds what, since when, and how far it is",
  async (test) => {
    const { monitor, producer, queue, redis, name } = test;
    const held = Promise.withResolvers<void>();
    const workers = numbers(2).map(() =>
      new TaskWorker<Tasks>(redis, {
        name,
        concurrency: 3,
        handlers: {
          async count({ n }, context) {
            await context.progress({ n });
            await held.promise;
          },
        },
      })
    );
    const added = await producer.addMany(tasks(numbers(6)));
    for (const worker of workers) worker.start();
    await eventually(async () => assertEquals((await queue.counts()).leased, 6));
    await eventually(async () => {
      const { tasks } = await monitor.pending();
      assertEquals(tasks.filter(({ progress }) => progress !== undefined).length, 6);
    });
    const { tasks: pending, oldestMs } = await monitor.pending();
    assertEquals(ids(pending).toSorted(), ids(added).toSorted());
    assert(oldestMs! >= 0 && oldestMs! < 20_000, String(oldestMs));
    for (const { type, attempts, startedAt, leaseExpiresAt, progress, id } of pending) {
      assertEquals([type, attempts], ["count", 1]);
      assertEquals(progress, { n: ids(added).indexOf(id) });
      assert(startedAt! < leaseExpiresAt);
    }
    const paged = await all((page) => monitor.pending(page), 4);
    assertEquals(ids(paged).toSorted(), ids(added).toSorted());
    const consumers = await monitor.consumers();
    assertEquals(consumers.length, 2);
    for (const { consumer, seenMs } of consumers) {
      const its = await all((page) => monitor.pending({ ...page, consumer }), 2);
      assertEquals(ids(its), ids(pending.filter((one) => one.consumer === consumer)));
      assert(its.length > 0, "each worker has some");
      assertLess(seenMs, 15_000);
    }
    held.resolve();
    await Promise.all(added.map((task) => task.result()));
    assertEquals(await monitor.pending(), { tasks: [] });
    for (const worker of workers) await worker.stop();
  },
);

monitorTest(
  "TaskMonitor.pending tells what a killed consumer held, and the settling of one",
  async (test) => {
    const { monitor, producer, queue } = test;
    await producer.addMany(tasks([1, 2]));
    await queue.receiveMany(2); // and nobody says that it is there
    assertEquals(await monitor.consumers(), []);
    const { tasks: [one, other] } = await monitor.pending();
    assert(one!.consumer !== "" && one!.consumer === other!.consumer);
    await queue.delivery(one!.token).ack();
    assertEquals(ids((await monitor.pending()).tasks), [other!.id]);
    assertEquals((await monitor.task(one!.id))?.state, "done");
  },
);

monitorTest(
  "TaskMonitor.ready, delayed and dead go page by page, with the age of the oldest",
  async (test) => {
    const { monitor, producer, queue, redis, keys } = test;
    const dead = await producer.addMany(tasks(numbers(7)));
    for (const delivery of await queue.receiveMany(7)) {
      await delivery.deadLetter("no", { error: new Error("404") });
    }
    const ready = await producer.addMany(tasks(numbers(7)));
    const delayed = [];
    for (const n of numbers(7, 1)) {
      delayed.push(await producer.schedule("count", { n }, { delayMs: n * 10_000 }));
    }
    await redis.zAdd(keys.dead_at, { score: Date.now() - 60_000, value: dead[3]!.id });
    for (const limit of [1, 3, 7, 100]) {
      assertEquals(ids(await all((page) => monitor.ready(page), limit)), ids(ready));
      assertEquals(ids(await all((page) => monitor.delayed(page), limit)), ids(delayed));
      const letters = ids(await all((page) => monitor.dead(page), limit));
      assertEquals(letters, [3, 0, 1, 2, 4, 5, 6].map((i) => dead[i]!.id));
    }
    const { tasks: [letter], oldestMs } = await monitor.dead({ limit: 1 });
    const { reason, error, attempts, type } = letter as DeadTask;
    assertEquals([reason, error?.message, attempts, type], ["no", "Error: 404", 1, "count"]);
    assert(oldestMs! > 55_000 && oldestMs! < 80_000, String(oldestMs));
    const { tasks: [next] } = await monitor.delayed();
    assertLess(Math.abs(next!.dueAt - Date.now() - 10_000), 5_000);
    assertEquals((await monitor.ready()).tasks[0]!.attempts, 0);
    await assertRejects(() => monitor.dead({ limit: 0 }), RangeError, "limit");
    await assertRejects(() => monitor.dead({ cursor: "x" }), RangeError, "cursor");
    const misspelt = { pages: 3 } as { limit?: number };
    await assertRejects(
      () => monitor.pending(misspelt),
      TypeError,
      'pending has no option "pages"',
    );
    await assertRejects(() => monitor.ready(misspelt), TypeError, 'ready has no option "pages"');
  },
);

monitorTest("TaskMonitor lists what somebody else has put there", async (test) => {
  const { monitor, queue, redis, keys } = test;
  await redis.xAdd(keys.ready, "*", { hello: "world" });
  await redis.hSet(keys.leased, "somebody's", "garbage\tline\n");
  await redis.zAdd(keys.delayed, {
    score: Date.now() + 60_000,
    value: "x 0 0 0 0 0\ncount\n{broken",
  });
  assertEquals((await monitor.ready()).tasks.map(({ id, type }) => [id, type]), [["", ""]]);
  assertEquals((await monitor.pending()).tasks.map(({ id, type }) => [id, type]), [["", ""]]);
  assertEquals(
    (await monitor.delayed()).tasks.map(({ type }) => type),
    ["count"],
    "broken payload",
  );
  assertEquals(await queue.receive(), undefined, "buried");
  const { tasks: [letter] } = await monitor.dead();
  assertEquals(letter!.type, "hello", "as far as anybody can tell");
  await redis.hDel(keys.records, letter!.id);
  assertEquals((await monitor.task(letter!.id))?.state, "dead");
});
