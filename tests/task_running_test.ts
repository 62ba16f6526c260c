/**
 * While a task runs: its progress, and how its handler hears that it was cancelled.
 */

import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, LeaseLostError } from "@workshop/redis-patterns";
import {
  TaskCancelledError,
  type TaskContext,
  type TaskHandlers,
  TaskProducer,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { eventually, limit, serverTest } from "./support.ts";
import { HANDLERS, pause, type Tasks, taskTest } from "./task_support.ts";

taskTest("a handler's progress is on record while it runs", async (test) => {
  const seen: unknown[] = [];
  const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const producer = test.producer();
  test.worker<Tasks>({
    handlers: {
      ...HANDLERS,
      async slow(_, { progress }) {
        await progress(0.5);
        steps[0]!.resolve();
        await steps[1]!.promise;
        await Promise.all([progress({ done: 1, of: 3 }), progress({ done: 2, of: 3 })]);
        seen.push((await task.record())?.progress);
        return "done";
      },
    },
  });
  const task = await producer.add("slow", { ms: 0 });
  await steps[0]!.promise;
  const outcome = await task.outcome({ waitMs: 10 });
  assertEquals(outcome, { state: "running", attempts: 1, progress: 0.5 });
  steps[1]!.resolve();
  assertEquals(await task.result(), "done");
  assertEquals(seen, [{ done: 2, of: 3 }]); // in the order of the calls
  assertEquals((await task.record())?.progress, undefined);
});

taskTest("a handler that looks at its signal late sees that it has aborted", async (test) => {
  const producer = test.producer();
  const reasons: string[] = [];
  const handlers: TaskHandlers<Tasks> = {
    ...HANDLERS,
    async slow({ ms }, context) {
      await pause(ms);
      reasons.push(context.signal.aborted ? context.signal.reason.name : "not aborted");
      return "late";
    },
  };
  const hasty = test.worker({ handlers, timeoutMs: 50, maxAttempts: 1 });
  await producer.add("slow", { ms: 200 });
  await eventually(() => assertEquals(reasons, ["TimeoutError"]));
  await hasty.stop();

  const stopped = test.worker({ handlers });
  await producer.add("slow", { ms: 500 });
  await eventually(() => assertEquals(stopped.active, 1));
  await stopped.stop({ graceMs: 0 });
  await eventually(() => assertEquals(reasons, ["TimeoutError", "AbortError"]));
  await producer.queue.purge("ready");

  const worker = test.worker({ handlers });
  const task = await producer.add("slow", { ms: 2_500 });
  await eventually(() => assertEquals(worker.active, 1));
  await task.cancel();
  await eventually(() => assertEquals(reasons[2], "TaskCancelledError"), 5_000);
});

taskTest("progress that cannot be kept is refused by name", async (test) => {
  const errors: unknown[] = [];
  const producer = test.producer();
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  test.worker<Tasks>({
    handlers: {
      ...HANDLERS,
      async slow(_, { progress }) {
        for (const bad of [undefined, () => 1, cycle, 10n, "x".repeat(9_000)]) {
          errors.push(await progress(bad).catch((error) => error));
        }
        return "";
      },
    },
  });
  await (await producer.add("slow", { ms: 0 })).result();
  for (const error of errors.slice(0, 4)) assertInstanceOf(error, TypeError);
  assertInstanceOf(errors[4], RangeError);
  assertStringIncludes((errors[4] as Error).message, "9002");
});

taskTest("a task that is cancelled while it runs is told by its signal", async (test) => {
  const producer = test.producer();
  const running = Promise.withResolvers<void>();
  const reason = Promise.withResolvers<unknown>();
  const late = Promise.withResolvers<unknown>();
  test.worker<Tasks>({
    handlers: {
      ...HANDLERS,
      async slow(_, { signal, progress }) {
        running.resolve();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        reason.resolve(signal.reason);
        late.resolve(await progress(0.9).catch((error) => error));
        return "nobody wants this";
      },
    },
  });
  const task = await producer.add("slow", { ms: 0 });
  await running.promise;
  const asking = task.outcome();
  assertEquals(await task.cancel(), true);
  assertEquals(await limit(asking, "the asker", 500), { state: "cancelled" });
  assertInstanceOf(await limit(reason.promise, "the signal", 3_000), TaskCancelledError);
  assertInstanceOf(await late.promise, TaskCancelledError);
  await eventually(async () => assertEquals((await producer.queue.counts()).leased, 0));
  assertEquals(await task.outcome(), { state: "cancelled" }); // its result was not kept
});

taskTest("progress that nobody waits for ends no program when it comes too late", async (test) => {
  const producer = test.producer();
  const told: Promise<void>[] = [];
  test.worker({
    handlers: {
      ...HANDLERS,
      slow(_, { progress }) {
        // As a callback of a download does; or it is sent in time, and the ack overtakes it.
        setTimeout(() => void told.push(progress(1)), 50);
        return "done";
      },
    },
  });
  const task = await producer.add("slow", { ms: 0 });
  assertEquals(await task.result(), "done");
  await eventually(() => assertEquals(told.length, 1));
  await pause(50); // a rejection that nobody handles fails the test
  await assertRejects(() => told[0]!, LeaseLostError);
});

serverTest("tasks tell how far they are, and end, while Redis is at maxmemory", async (server) => {
  await using redis = await connect({ url: server.url });
  const full = Promise.withResolvers<void>();
  const handlers = {
    async slow(_: null, { progress }: TaskContext) {
      await full.promise;
      await progress({ done: 1, of: 2 });
      return "done";
    },
  };
  await using worker = new TaskWorker(redis, { handlers, maxAttempts: 1 });
  await using producer = new TaskProducer<typeof handlers>(redis);
  const task = await producer.add("slow", null);
  worker.start();
  await eventually(() => assertEquals(worker.active, 1));
  await redis.configSet("maxmemory", "1");
  full.resolve();
  assertEquals(await task.result({ waitMs: 5_000 }), "done");
});

taskTest("progress of a lease that is over is refused", async (test) => {
  const errors: unknown[] = [];
  const producer = test.producer();
  const attempts: number[] = [];
  test.worker<Tasks>({
    concurrency: 2,
    handlers: {
      ...HANDLERS,
      async slow(_, { progress, attempt }) {
        attempts.push(attempt);
        if (attempt > 1) return "second";
        const [lease] = await test.redis.zRange(test.key("leases"), 0, -1);
        await test.redis.zAdd(test.key("leases"), { score: 1, value: lease! });
        await eventually(() => assertEquals(attempts, [1, 2]));
        errors.push(await progress(1).catch((error) => error));
        return "first";
      },
    },
  });
  const task = await producer.add("slow", { ms: 0 });
  await eventually(() => assertEquals(errors.length, 1), 5_000);
  assertInstanceOf(errors[0], LeaseLostError);
  assertEquals(await task.result(), "second");
});

taskTest(
  "a handler that never ends leaves nothing behind when its worker has stopped",
  async (test) => {
    const producer = test.producer();
    let runs = 0;
    const handlers: TaskHandlers<Tasks> = {
      ...HANDLERS,
      slow: () => (runs++, new Promise(() => {})),
    };
    for (const limits of [{ timeoutMs: 20 }, { graceMs: 0 }]) {
      const worker = test.worker({ handlers, maxAttempts: 1, ...limits });
      const { id } = await producer.add("slow", { ms: 0 });
      await eventually(() => assertEquals(runs, "timeoutMs" in limits ? 1 : 2));
      if ("timeoutMs" in limits) await eventually(() => assertEquals(worker.active, 0));
      await worker.stop(); // a timer that looked for cancelled tasks would fail this test
      await producer.queue.cancel(id);
    }
  },
);
