/** `TaskWorker` with its handlers in threads: results, failures, cancelling, stopping, and no thread left. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  TaskProducer,
  TaskWorker,
  type TaskWorkerEvent,
  type TaskWorkerOptions,
} from "@workshop/redis-patterns/tasks";
import { eventually, type Fixture, limit, redisTest } from "./support.ts";
import type { handlers } from "./thread_handlers.ts";

type Handlers = typeof handlers;
const MODULE = new URL("./thread_handlers.ts", import.meta.url);

/** A worker with two threads that runs, and a producer. */
function threadTest(
  title: string,
  run: (
    given: Fixture & {
      worker: TaskWorker<Handlers>;
      producer: TaskProducer<Handlers>;
      events: TaskWorkerEvent<Handlers>[];
    },
  ) => Promise<void>,
  options: Partial<TaskWorkerOptions<Handlers>> = {},
): void {
  redisTest(title, async (test) => {
    const events: TaskWorkerEvent<Handlers>[] = [];
    await using producer = new TaskProducer<Handlers>(test.redis, { name: test.name });
    await using worker = new TaskWorker<Handlers>(test.redis, {
      name: test.name,
      module: MODULE,
      threads: 2,
      backoff: { baseMs: 0 },
      onEvent: (event) => void events.push(event),
      ...options,
    });
    worker.start();
    await run({ ...test, worker, producer, events });
  });
}

threadTest("TaskWorker with a module gives results as without threads", async ({ producer }) => {
  const task = await producer.add("process_data", { data: 42 });
  assertEquals(await task.result({ signal: AbortSignal.timeout(5_000) }), { processed_data: 84 });
  const tasks = await producer.addMany(
    Array.from({ length: 40 }, (_, data) => ({ type: "process_data" as const, payload: { data } })),
  );
  const results = await Promise.all(tasks.map((task) => task.result()));
  assertEquals(results, Array.from({ length: 40 }, (_, data) => ({ processed_data: data * 2 })));
});

threadTest(
  "TaskWorker with a module uses all its threads",
  async ({ producer }) => {
    const places = await producer.addMany(
      Array.from({ length: 12 }, () => ({ type: "where_slowly" as const, payload: 100 })),
    );
    const ids = await Promise.all(places.map((task) => task.result()));
    assertEquals(new Set(ids).size, 2);
  },
);

threadTest(
  "TaskWorker tries again what failed in a thread or crashed it, then it is dead",
  async ({ worker, producer, events }) => {
    await producer.addMany([{ type: "fail", payload: null }, { type: "exit", payload: 3 }]);
    await eventually(async () => assertEquals((await worker.queue.counts()).dead, 2), 15_000);
    const { messages } = await worker.queue.peek("dead");
    const errors = Object.fromEntries(messages.map((dead) => [
      (dead.payload as { type: string }).type,
      [...new Set(dead.errors.map(({ message }) => message))],
    ]));
    assertEquals(errors, {
      fail: ["PhotoError: no such photo"],
      exit: ['Error: The thread of the task "exit" crashed: it ended itself with exit code 3'],
    });
    assertEquals(events.filter(({ type }) => type === "threadCrashed").length, 2);
  },
  { maxAttempts: 2 },
);

threadTest(
  "TaskWorker gives up a task that is too slow, also one that hears nothing",
  async ({ worker, producer, events }) => {
    await producer.add("spin", {});
    await eventually(async () => assertEquals((await worker.queue.counts()).dead, 1), 10_000);
    await eventually(() => assert(events.some(({ type }) => type === "threadEnded")), 5_000);
    const task = await producer.add("process_data", { data: 1 });
    assertEquals(await task.result(), { processed_data: 2 });
  },
  { timeoutMs: 300, maxAttempts: 1 },
);

threadTest(
  "TaskWorker with a module hears that a running task was cancelled",
  async ({ worker, producer }) => {
    const task = await producer.add("spin", {});
    await eventually(() => assertEquals(worker.active, 1));
    await task.cancel();
    await eventually(() => assertEquals(worker.active, 0), 8_000);
    assertEquals((await worker.queue.counts()).ready, 0);
  },
);

threadTest(
  "TaskWorker lets a result that JSON cannot carry die at once, as without threads",
  async ({ worker, producer }) => {
    await producer.add("give", "Map");
    await eventually(async () => assertEquals((await worker.queue.counts()).dead, 1), 5_000);
    const { messages: [dead] } = await worker.queue.peek("dead");
    assertMatch(
      dead!.reason!,
      /^the result of give is lost: .*JSON cannot carry result: it is a Map/,
    );
  },
);

threadTest(
  "TaskWorker.stop ends its threads, gives back what is deaf, and can be started again",
  async ({ worker, producer }) => {
    await producer.add("spin", {});
    await eventually(() => assertEquals(worker.active, 1));
    const startedAt = performance.now();
    await limit(worker.stop({ graceMs: 100 }), "stop");
    assert(performance.now() - startedAt < 5_000);
    assertEquals((await worker.queue.counts()).ready, 1);
    assertEquals(await producer.queue.purge("ready"), 1);
    worker.start();
    const task = await producer.add("process_data", { data: 3 });
    assertEquals(await task.result(), { processed_data: 6 });
  },
);

redisTest(
  "TaskWorker takes no task when its module is of no use, and says which",
  async ({ redis, name }) => {
    await using producer = new TaskProducer<Handlers>(redis, { name });
    await producer.add("process_data", { data: 1 });
    const module = new URL("./not_there.ts", import.meta.url);
    await using worker = new TaskWorker<Handlers>(redis, { name, module, threads: 1 });
    const error = await assertRejects(() => worker.run(), Error);
    assert(error.message.startsWith(`The module ${module.href} is of no use in a thread: `));
    assertEquals((await worker.queue.counts()).ready, 1);
  },
);

redisTest(
  "TaskWorker that is stopped while its threads start, starts nothing",
  async ({ redis, name }) => {
    await using worker = new TaskWorker<Handlers>(redis, { name, module: MODULE, threads: 2 });
    const stop = new AbortController();
    const aborted = worker.run({ signal: stop.signal });
    stop.abort();
    await limit(aborted, "abort while it starts", 5_000);
    const stopped = worker.start();
    await limit(worker.stop(), "stop while it starts", 5_000);
    await stopped;
    assertEquals(worker.health().running, false);
  },
);

redisTest("TaskWorker takes handlers or a module, and says what is wrong with both", (test) => {
  const { redis, name } = test;
  const bad: [options: object, message: RegExp][] = [
    [{}, /needs handlers, or a module that has them/],
    [{ handlers: { a: () => 1 }, module: MODULE }, /either handlers or a module/],
    [{ handlers: { a: () => 1 }, threads: 2 }, /threads \(the number 2\) need a module/],
    [{ module: "./handlers.ts" }, /module must be a URL/],
    [{ module: MODULE, threads: 0 }, /threads must be a whole number/],
  ];
  for (const [options, message] of bad) {
    const make = () => new TaskWorker(redis, { name, ...options } as TaskWorkerOptions<Handlers>);
    assertMatch(assertThrows(make, Error).message, message);
  }
  return Promise.resolve();
});
