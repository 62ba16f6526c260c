/**
 * Tasks: what a producer, an asker and a worker see, and what is on record meanwhile. That a record is never behind
 * its message the model test shows; what processes that die leave behind, task_processes_test.ts.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { connect, LeaseLostError, SchemaError, StreamQueue } from "@workshop/redis-patterns";
import {
  TaskCancelledError,
  type TaskContext,
  TaskError,
  type TaskHandlers,
  type TaskMap,
  TaskMonitor,
  TaskProducer,
  TaskQueue,
  type TaskQueueOptions,
  TaskWorker,
  type TaskWorkerOptions,
} from "@workshop/redis-patterns/tasks";
import * as v from "valibot";
import { FaultyProxy } from "./proxy.ts";
import {
  commandsDuring,
  eventually,
  type Fixture,
  limit,
  redisTest,
  serverTest,
} from "./support.ts";
import type { RedisServer } from "../tools/redis_server.ts";

const MODES = ["polling", "blocking"] as const;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What the tests are about; a handler may be replaced. */
interface Tasks {
  process_data(payload: { data: number }): { processed_data: number };
  slow(payload: { ms: number }): string;
  fail(payload: string): void;
  none(): void;
}

const HANDLERS: TaskHandlers<Tasks> = {
  process_data: ({ data }) => ({ processed_data: data * 2 }),
  async slow({ ms }) {
    await pause(ms);
    return "late";
  },
  fail: (message) => {
    throw new TypeError(message);
  },
  none: () => {},
};

interface TaskFixture extends Fixture {
  producer<T extends TaskMap<T> = Tasks>(options?: TaskQueueOptions<T>): TaskProducer<T>;
  /** Started, and stopped after the test. */
  worker<T extends TaskMap<T> = Tasks>(options?: Partial<TaskWorkerOptions<T>>): TaskWorker<T>;
  key(suffix: string): string;
}

function taskTest(title: string, run: (test: TaskFixture) => Promise<void>): void {
  redisTest(title, async (test) => {
    const opened: AsyncDisposable[] = [];
    const { redis, name } = test;
    try {
      await run({
        ...test,
        producer: <T extends TaskMap<T>>(options: TaskQueueOptions<T> = {}) => {
          const producer = new TaskProducer<T>(redis, { name, ...options });
          opened.push(producer);
          return producer;
        },
        worker: <T extends TaskMap<T>>(options: Partial<TaskWorkerOptions<T>> = {}) => {
          const handlers = HANDLERS as unknown as TaskHandlers<T>;
          const worker = new TaskWorker<T>(redis, {
            name,
            handlers,
            backoff: { baseMs: 0 },
            graceMs: 100,
            ...options,
          });
          worker.start();
          opened.push(worker);
          return worker;
        },
        key: (suffix) => `queue:{${name}}:${suffix}`,
      });
    } finally {
      await Promise.all(opened.map((one) => one[Symbol.asyncDispose]()));
    }
    for await (const keys of redis.scanIterator({ MATCH: `queue:{${name}*` })) {
      if (keys.length > 0) await redis.unlink(keys);
    }
    await redis.zRem("queue:registry", `tasks ${name}`);
  });
}

/** How many listen to a channel, as redis-cli says. */
async function numSub(server: RedisServer, channel: string): Promise<string> {
  return (await server.cli("PUBSUB", "NUMSUB", channel)).trim().split("\n")[1]!;
}

for (const mode of MODES) {
  taskTest(`Task.result gives what the handler gave (${mode})`, async (test) => {
    const producer = test.producer();
    test.worker({ mode });
    const task = await producer.add("process_data", { data: 42 });
    assertEquals(await task.result({ mode }), { processed_data: 84 });
    assertEquals(await task.result({ mode }), { processed_data: 84 }); // as often as one likes
    const other = new TaskProducer<Tasks>(await test.connect(), { name: test.name });
    assertEquals(await other.task("process_data", task.id).result({ mode }), {
      processed_data: 84,
    });
    await other.close();
    assertEquals(await (await producer.add("none", null)).result({ mode }), undefined);
  });

  taskTest(`Task.result waits for an end that comes later (${mode})`, async (test) => {
    const producer = test.producer();
    const tasks = await Promise.all(
      [40, 10, 80, 0].map((ms) => producer.add("slow", { ms })),
    );
    const results = tasks.map((task) => task.result({ mode, pollMs: 10 }));
    await pause(30);
    test.worker({ concurrency: 4 });
    assertEquals(await Promise.all(results), ["late", "late", "late", "late"]);
  });

  taskTest(`an end that is none of a result is told with its reason (${mode})`, async (test) => {
    const producer = test.producer();
    const options = { mode, pollMs: 10 };
    const dead = await producer.add("fail", "no such file");
    const waiting = dead.outcome(options);
    test.worker({ maxAttempts: 2 });
    const outcome = await waiting;
    assert(outcome.state === "dead");
    assertEquals(outcome.attempts, 2);
    assertEquals(outcome.reason, "after 2 attempts: TypeError: no such file");
    assertEquals(outcome.error?.message, "TypeError: no such file");
    const error = await assertRejects(() => dead.result(options), TaskError);
    assertMatch(error.message, /^Task ".+" \(fail\) is dead: after 2 attempts: TypeError: no/);
    assertEquals(error.outcome, outcome);

    const later = await producer.schedule("process_data", { data: 1 }, { delayMs: 60_000 });
    const asked = later.outcome(options);
    await pause(20);
    assertEquals(await later.cancel(), true);
    assertEquals(await asked, { state: "cancelled" });
    assertEquals(await later.cancel(), false);
    await assertRejects(() => later.result(options), TaskError, "was cancelled");

    const nobody = producer.task("slow", "nobody");
    assertEquals(await nobody.outcome(options), { state: "unknown" });
    await assertRejects(() => nobody.result(options), TaskError, "is unknown");
  });

  taskTest(`an asker that gives up leaves nothing behind (${mode})`, async (test) => {
    const producer = test.producer();
    const task = await producer.add("slow", { ms: 1 });
    const keys = async () => (await test.redis.keys(test.key("*"))).toSorted();
    const before = await keys();
    const started = performance.now();
    assertEquals(await task.outcome({ mode, waitMs: 50 }), { state: "ready", attempts: 0 });
    assertLess(performance.now() - started, 1_000);
    await assertRejects(
      () => task.result({ mode, waitMs: 10 }),
      TaskError,
      "within 10 ms: it is ready",
    );
    const reason = new Error("I have other things to do");
    const giveUp = new AbortController();
    const asking = task.result({ mode, signal: giveUp.signal });
    setTimeout(() => giveUp.abort(reason), 20);
    assertEquals(await asking.catch((error) => error), reason);
    assertEquals(await keys(), before);
    const channel = `${test.key("records")}:ended`;
    await eventually(async () => {
      assertEquals(Object.values(await test.redis.pubSubNumSub(channel)), [0]);
    });
    // And asking again works all the same.
    test.worker();
    assertEquals(await task.result({ mode }), "late");
  });

  taskTest(`a result that was forgotten is a typed answer (${mode})`, async (test) => {
    const options = { keepRecords: { count: 2 } };
    const producer = test.producer(options);
    test.worker(options);
    const tasks = [];
    for (let data = 0; data < 20; data++) tasks.push(await producer.add("process_data", { data }));
    await eventually(async () => assertEquals((await producer.queue.counts()).leased, 0));
    await eventually(async () => assertEquals(await test.redis.hLen(test.key("records")), 2));
    assertEquals(await tasks[0]!.outcome({ mode }), { state: "unknown" });
    assertEquals(await tasks[19]!.result({ mode }), { processed_data: 38 });
  });
}

taskTest("waiting for a result costs at most two commands, and no time", async (test) => {
  const producer = test.producer();
  const asker = new TaskProducer<Tasks>(await test.connect(), { name: test.name });
  let finish = () => {};
  test.worker({
    handlers: { ...HANDLERS, slow: () => new Promise((done) => finish = () => done("now")) },
  });
  const waits: number[] = [];
  for (let i = 0; i < 10; i++) {
    const task = await producer.add("slow", { ms: 0 });
    await eventually(async () => assertEquals((await task.record())?.state, "running"));
    const before = await test.redis.info("commandstats");
    let endedAt = 0;
    const commands = await commandsDuring(test.url, async () => {
      const asking = asker.task("slow", task.id).result();
      await pause(50);
      endedAt = performance.now();
      finish();
      assertEquals(await asking, "now");
      waits.push(performance.now() - endedAt);
    });
    void before;
    // The first time one of the two is the subscription.
    const asked = commands.filter((command) =>
      ["HMGET", "SUBSCRIBE", "HGET", "GET"].includes(command)
    );
    assertLess(asked.length, 3, `${commands}`);
    const others = commands.filter((command) => !asked.includes(command));
    assertEquals(others.filter((command) => !["EVALSHA", "BLPOP"].includes(command)), []);
  }
  // With slow machines in mind: the figure is measured by a benchmark.
  assertLess(waits.toSorted((a, b) => a - b)[5]!, 20);
  await asker.close();
});

taskTest("many askers in one program share one connection", async (test) => {
  const producer = test.producer();
  const tasks = await producer.addMany(
    Array.from(
      { length: 300 },
      (_, data) => ({ type: "process_data", payload: { data } } as const),
    ),
  );
  const asking = Promise.all(tasks.map((task) => task.result()));
  asking.catch(() => {}); // awaited below
  const channel = `${test.key("records")}:ended`;
  await eventually(async () => {
    assertEquals(Object.values(await test.redis.pubSubNumSub(channel)), [1]);
  });
  test.worker({ concurrency: 50 });
  const results = await asking;
  assertEquals(results.map(({ processed_data }) => processed_data), tasks.map((_, i) => 2 * i));
});

taskTest("a result is heard of although the connection was lost meanwhile", async (test) => {
  const producer = test.producer();
  const tasks = await Promise.all([1, 2, 3].map((data) => producer.add("process_data", { data })));
  const asking = Promise.all(tasks.map((task) => task.result()));
  asking.catch(() => {}); // awaited below
  const channel = `${test.key("records")}:ended`;
  await eventually(async () => {
    assertEquals(Object.values(await test.redis.pubSubNumSub(channel)), [1]);
  });
  await test.redis.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
  test.worker(); // ends while nobody listens
  assertEquals((await asking).map((result) => result.processed_data), [2, 4, 6]);
});

taskTest("a result is heard of although the subscription is silent", async (test) => {
  await using proxy = await FaultyProxy.start({ port: Number(new URL(test.url).port) });
  const client = await test.connect({ url: proxy.url, heartbeatMs: 300 });
  const asker = new TaskProducer<Tasks>(client, { name: test.name });
  const task = await test.producer().add("slow", { ms: 0 });
  const asking = asker.task("slow", task.id).result();
  await pause(100);
  proxy.blackHole(true);
  test.worker();
  await eventually(async () => assertEquals((await task.record())?.state, "done"));
  proxy.blackHole(false); // those who lost bytes stay silent: only the client's own connection is made anew
  assertEquals(await limit(asking, "the asker", 15_000), "late");
  await asker.close();
  client.destroy();
});

serverTest("who gave up asking while Redis was away leaves no subscription", async (server) => {
  await using redis = await connect({ url: server.url });
  await using producer = new TaskProducer<Tasks>(redis);
  const task = await producer.add("none", null);
  const stop = new AbortController();
  const asking = task.result({ signal: stop.signal });
  asking.catch(() => {}); // awaited below
  const channel = "queue:{tasks}:records:ended";
  await eventually(async () => assertEquals(await numSub(server, channel), "1"));
  await server.kill();
  stop.abort(new Error("enough"));
  await assertRejects(() => asking, Error, "enough");
  await pause(1_500);
  await server.restart();
  await eventually(() => assert(redis.isReady), 5_000);
  await pause(2_000); // the longest pause between two attempts, and a second
  assertEquals(await numSub(server, channel), "0");
  await assertRejects(() => task.result({ waitMs: 50 }), TaskError); // and it can be asked for again
});

taskTest("a subscription that is not answered is made anew, and no asker's fault", async (test) => {
  await using proxy = await FaultyProxy.start({ port: Number(new URL(test.url).port) });
  const client = await test.connect({ url: proxy.url, heartbeatMs: 0 });
  const asker = new TaskProducer<Tasks>(client, { name: test.name });
  const task = await test.producer().add("slow", { ms: 0 });
  void proxy.dropReplies((request) => {
    if (/\r\nCLIENT\r\n\$2\r\nID\r\n/.test(request)) {
      proxy.blackHole(true); // the connection stands; what it says next is lost
      setTimeout(() => proxy.blackHole(false), 1_000);
    }
    return false;
  });
  const asking = asker.task("slow", task.id).result();
  asking.catch(() => {}); // awaited below
  await pause(1_500);
  void proxy.dropReplies(() => false);
  test.worker();
  assertEquals(await limit(asking, "the asker", 15_000), "late");
  await asker.close();
  client.destroy();
});

taskTest("asking fails clearly when nobody may listen", async (test) => {
  const user = `u${test.name.slice(5)}`;
  await test.redis.sendCommand(
    ["ACL", "SETUSER", user, "on", ">secret", "~*", "+@all", "-subscribe"],
  );
  const url = new URL(test.url);
  url.username = user;
  url.password = "secret";
  const client = await test.connect({ url: url.href });
  const asker = new TaskProducer<Tasks>(client, { name: test.name });
  const task = await test.producer().add("slow", { ms: 1 });
  const error = await assertRejects(() => asker.task("slow", task.id).result(), Error);
  assertMatch(error.message, /NOPERM|permission/i);
  test.worker();
  assertEquals(await asker.task("slow", task.id).result({ mode: "polling" }), "late");
  await asker.close();
  client.destroy();
  await test.redis.sendCommand(["ACL", "DELUSER", user]);
});

taskTest("TaskProducer.add says when a task is there already", async (test) => {
  const producer = test.producer();
  const first = await producer.add("process_data", { data: 1 }, { id: "one" });
  const again = await producer.add("process_data", { data: 2 }, { id: "one" });
  assertEquals([first.duplicate, again.duplicate, again.id], [false, true, "one"]);
  const keyed = await producer.add("none", null, { dedupe: { key: "k" } });
  const same = await producer.add("none", null, { dedupe: { key: "k" } });
  assertEquals([same.duplicate, same.id], [true, keyed.id]);
  const content = await producer.add("slow", { ms: 0 }, { dedupe: true });
  assertEquals((await producer.add("slow", { ms: 0 }, { dedupe: true })).id, content.id);
  assertEquals((await producer.add("slow", { ms: 1 }, { dedupe: true })).duplicate, false);
});

taskTest("an id that is used again has a record of its own", async (test) => {
  const options = { keepRecords: { count: 3 } };
  const producer = test.producer(options);
  const forget = async () => {
    for (let i = 0; i < 6; i++) {
      const other = await producer.schedule("none", null, { delayMs: 60_000 });
      await other.cancel(); // an end, so that older ends are forgotten
    }
  };
  const worker = test.worker(options);
  const once = await producer.add("process_data", { data: 1 }, { id: "mine" });
  assertEquals(await once.result(), { processed_data: 2 });
  await worker.stop();
  const again = await producer.add("process_data", { data: 5 }, { id: "mine" });
  const later = await producer.schedule("none", null, { id: "later", delayMs: 60_000 });
  await forget();
  assertEquals((await again.record())?.state, "ready");
  assertEquals(await later.cancel(), true);
  await producer.schedule("none", null, { id: "later", delayMs: 60_000 });
  await forget();
  assertEquals((await later.record())?.state, "delayed");
  assertEquals(await once.outcome({ waitMs: 0 }), { state: "ready", attempts: 0 });
  test.worker(options);
  assertEquals(await again.result(), { processed_data: 10 });
});

taskTest("an ack ends no other task of the same id", async (test) => {
  const queue = new TaskQueue<Tasks>(test.redis, { name: test.name });
  const task = { type: "process_data", payload: { data: 1 } } as const;
  await queue.enqueue(task, { id: "mine" });
  const cancelled = await queue.receive();
  await queue.cancel("mine");
  await queue.enqueue(task, { id: "mine" });
  const running = await queue.receive();
  assertEquals((await queue.task("mine"))?.state, "running");
  await cancelled!.ack();
  assertEquals((await queue.task("mine"))?.state, "running");
  await running!.ack();
  assertEquals((await queue.task("mine"))?.state, "done");
  await queue.close();
});

taskTest("an ack ends no task that was given back meanwhile, and runs again", async (test) => {
  const producer = test.producer();
  const worker = test.worker({
    concurrency: 2,
    handlers: {
      ...HANDLERS,
      async slow({ ms }, { attempt }) {
        await pause(attempt * ms);
        return `attempt ${attempt}`;
      },
    },
  });
  const task = await producer.add("slow", { ms: 400 });
  const other = await producer.add("slow", { ms: 400 }); // in the same hand, maybe: its ack is one of theirs
  await eventually(() => assertEquals(worker.active, 2));
  const { messages } = await producer.queue.peek("leased");
  const { token } = messages.find(({ id }) => id === task.id)!;
  await producer.queue.delivery(token!).nack({ delayMs: 0 });
  assertEquals(await other.result(), "attempt 1");
  await eventually(async () => assertEquals((await task.record())?.attempts, 2));
  assertEquals(await task.result(), "attempt 2");
  assertEquals((await task.record())?.attempts, 2);
});

taskTest("what another program has acknowledged keeps no record and no id", async (test) => {
  const { queue } = test.producer({ leaseMs: 60_000 });
  const key = test.key("ready");
  await queue.enqueue({ type: "none", payload: null }, { id: "nightly" });
  await queue.enqueue({ type: "none", payload: null }, { dedupe: { key: "hourly" } });
  await test.redis.sendCommand(["XGROUP", "CREATE", key, "workers", "0"]);
  const read = ["XREADGROUP", "GROUP", "workers", "python", "COUNT", "2", "STREAMS", key, ">"];
  await test.redis.sendCommand(read);
  const entries = await test.redis.xRange(key, "-", "+");
  assertEquals(await test.redis.xAck(key, "workers", (entries ?? []).map(({ id }) => id)), 2);
  assertEquals(await queue.receive(), undefined);
  for (const left of ["ready", "records", "ids", "dedupe"]) {
    const size = left === "ready" ? test.redis.xLen(key) : test.redis.hLen(test.key(left));
    assertEquals(await size, 0, left);
  }
});

taskTest("a task that was redriven is not forgotten while it waits", async (test) => {
  const options = { keepRecords: { count: 2 }, maxAttempts: 1 };
  const producer = test.producer(options);
  const worker = test.worker(options);
  const task = await producer.add("fail", "once");
  assertEquals((await task.outcome()).state, "dead");
  await worker.stop();
  assertEquals(await producer.queue.redrive(), 1);
  const record = await task.record();
  assertEquals([record?.state, record?.attempts], ["ready", 0]);
  await producer.queue.pause();
  const queue = producer.queue;
  for (let i = 0; i < 6; i++) {
    const later = await producer.schedule("none", null, { delayMs: 60_000 });
    await queue.cancel(later.id); // ends, so that others are forgotten
  }
  assertEquals((await task.record())?.state, "ready");
  await queue.resume();
});

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

taskTest("a task without a handler is dead, and says which handlers there are", async (test) => {
  const producer = test.producer<Tasks & { unheard_of(): void; toString(): string }>();
  test.worker({ handlers: HANDLERS as never });
  const unheard = await producer.add("unheard_of", null);
  const inherited = await producer.add("toString", null); // of every object, and of no worker
  const outcome = await unheard.outcome();
  assert(outcome.state === "dead");
  assertEquals(
    outcome.reason,
    'no handler for "unheard_of": there is one for "process_data", "slow", "fail", "none"',
  );
  assertEquals((await inherited.outcome()).state, "dead");
  const { messages } = await producer.queue.peek("dead");
  assertEquals(messages.map(({ payload }) => payload?.type), ["unheard_of", "toString"]);
});

taskTest("a result that cannot be kept ends its task, with the reason", async (test) => {
  const producer = test.producer();
  const gives: unknown[] = [() => 1, new Map([[1, 2]]), { deep: NaN }, "x".repeat(2_000)];
  let runs = 0;
  test.worker<Tasks>({
    maxResultBytes: 1_000,
    handlers: { ...HANDLERS, slow: ({ ms }) => (runs++, gives[ms]) as string },
  });
  for (let ms = 0; ms < gives.length; ms++) {
    const outcome = await (await producer.add("slow", { ms })).outcome();
    assert(outcome.state === "dead");
    assertStringIncludes(outcome.reason, "the result of slow is lost: ");
    assertMatch(outcome.reason, ms === 3 ? /but has 2002/ : /JSON cannot carry (the )?result/);
  }
  assertEquals(runs, gives.length); // doing it again would give the same
});

taskTest("large results of one turn do not make one command", async (test) => {
  await using proxy = await FaultyProxy.start({ port: Number(new URL(test.url).port) });
  let longest = 0;
  void proxy.dropReplies((request) => {
    longest = Math.max(longest, request.length);
    return false;
  });
  await using redis = await connect({ url: proxy.url });
  const handlers = { give: () => "x".repeat(400_000) };
  const tasks = await test.producer<typeof handlers>().addMany(
    Array.from({ length: 30 }, () => ({ type: "give", payload: null }) as const),
  );
  await using worker = new TaskWorker(redis, { name: test.name, handlers, concurrency: 30 });
  worker.start();
  for (const task of tasks) assertEquals((await task.result()).length, 400_000);
  assertLess(400_000, longest);
  assertLess(longest, 1_600_000); // Redis serves nobody else while it works on it
});
taskTest(
  "a payload may be left out where the handler takes none, and is null there",
  async (test) => {
    interface Sweeping {
      sweep(): string;
      thin_out(payload?: { keep: number }): string;
    }
    const schemas = { sweep: v.null(), thin_out: v.nullable(v.object({ keep: v.number() })) };
    const producer = test.producer<Sweeping>({ schemas });
    const got = (payload: unknown) => JSON.stringify(payload);
    test.worker<Sweeping>({ schemas, handlers: { sweep: got, thin_out: got } });
    const tasks = [
      await producer.add("sweep"),
      await producer.add("sweep", null, { delayMs: 1 }),
      ...await producer.addMany([{ type: "sweep" }, { type: "thin_out" }]),
      await producer.add("thin_out", { keep: 5 }),
    ];
    assertEquals(await Promise.all(tasks.map((task) => task.result())), [
      "null",
      "null",
      "null",
      "null",
      '{"keep":5}',
    ]);
    // Undefined was meant to be something.
    const lost = undefined as never;
    await assertRejects(() => producer.add("thin_out", lost), TypeError, "undefined");
  },
);

taskTest("payloads are checked by the schema of their task, at both ends", async (test) => {
  const schemas = { process_data: v.object({ data: v.number() }) };
  const producer = test.producer<Tasks>({ schemas });
  const bad = { data: "42" } as unknown as { data: number };
  const refused = await assertRejects(() => producer.add("process_data", bad), SchemaError);
  assertStringIncludes(refused.message, "Expected number");
  await assertRejects(
    () =>
      producer.addMany([{ type: "none", payload: null }, { type: "process_data", payload: bad }]),
    SchemaError,
    "payloads[1]",
  );
  assertEquals((await producer.queue.counts()).ready, 0);
  // Somebody who does not check.
  const careless = test.producer<Tasks>();
  const sent = await careless.add("process_data", bad);
  const unchecked = await careless.add("slow", { ms: 0 });
  test.worker<Tasks>({ schemas });
  const outcome = await sent.outcome();
  assert(outcome.state === "dead");
  assertStringIncludes(outcome.reason, "Expected number");
  assertEquals(await unchecked.result(), "late");
});

taskTest("a schema makes of a payload again what it was before it became JSON", async (test) => {
  interface Reminders {
    remind(payload: { at: Date }): string;
  }
  const date = v.pipe(v.union([v.date(), v.string()]), v.transform((at) => new Date(at)));
  const schemas = { remind: v.object({ at: date }) };
  const producer = test.producer<Reminders>({ schemas });
  test.worker<Reminders>({ schemas, handlers: { remind: ({ at }) => at.toISOString() } });
  const task = await producer.add("remind", { at: new Date(0) });
  assertEquals(await task.result(), "1970-01-01T00:00:00.000Z");
});

taskTest(
  "what is no task, and what others put into the stream, is dead and keeps nobody",
  async (test) => {
    const producer = test.producer();
    await test.redis.xAdd(test.key("ready"), "*", { m: "garbage" });
    await test.redis.xAdd(test.key("ready"), "*", { hello: "world", a: "b" });
    const plain = new StreamQueue<unknown>(test.redis, test.name);
    await plain.enqueue({ no: "task" });
    const task = await producer.add("process_data", { data: 1 });
    const told: string[] = [];
    test.worker<Tasks>({ onEvent: ({ type }) => told.push(type) });
    assertEquals(await task.result(), { processed_data: 2 });
    await eventually(() => assertEquals(told.filter((type) => type === "undecodable").length, 3));
    assertEquals((await producer.queue.counts()).dead, 3);
    assertEquals(Object.keys(await test.redis.hGetAll(test.key("records"))), [task.id]);
    await plain.close();
  },
);

taskTest("prototype names are names like any other", async (test) => {
  interface Odd {
    // deno-lint-ignore no-misused-new -- exactly this name is what the test is about
    constructor(payload: { __proto__: null; a: 1 }): unknown;
    __proto__(): string;
  }
  const handlers = Object.create(null);
  Object.defineProperty(handlers, "__proto__", { value: () => "p", enumerable: true });
  handlers.constructor = (payload: unknown) => Object.keys(payload as object);
  const producer = test.producer<Odd>();
  test.worker<Odd>({ handlers });
  const payload = JSON.parse('{"__proto__":{"polluted":true},"a":1}');
  const task = await producer.add("constructor", payload);
  assertEquals(await task.result(), ["__proto__", "a"]);
  assertEquals(await (await producer.add("__proto__", null)).result(), "p");
  assertEquals(({} as { polluted?: boolean }).polluted, undefined);
});

taskTest("the events of a task are in the stream, in order and bounded", async (test) => {
  const options = { maxAttempts: 2, maxEvents: 100 };
  const concurrency = 50;
  const producer = test.producer(options);
  const worker = test.worker<Tasks>({
    ...options,
    concurrency,
    handlers: {
      ...HANDLERS,
      async slow(_, { progress }) {
        await progress(1);
        return "";
      },
    },
  });
  const slow = await producer.add("slow", { ms: 0 });
  await slow.result();
  const failing = await producer.add("fail", "x");
  await failing.outcome();
  const of = async (id: string) => {
    const told: string[] = [];
    for (const { message } of (await test.redis.xRange(test.key("events"), "-", "+"))!) {
      for (const [event, lines] of Object.entries(message)) {
        if (lines.split("\n").some((line) => line.split("\t")[0] === id)) told.push(event);
      }
    }
    return told;
  };
  assertEquals(await of(slow.id), ["added", "started", "progress", "done"]);
  assertEquals(await of(failing.id), ["added", "started", "failed", "started", "failed", "dead"]);
  for (let i = 0; i < 30; i++) {
    await producer.addMany(
      Array.from({ length: 40 }, () => ({ type: "none", payload: null } as const)),
    );
  }
  await eventually(async () => assertEquals((await producer.queue.counts()).ready, 0), 10_000);
  await worker.stop();
  assertLess(await test.redis.xLen(test.key("events")), 300); // trimmed a node of 100 at a time
  assertLess(await test.redis.hLen(test.key("records")), 10_001);
});

taskTest("without events and with few records nothing else is different", async (test) => {
  const options = { maxEvents: 0, keepRecords: { count: 1, ageMs: 50 } };
  const producer = test.producer(options);
  test.worker(options);
  const task = await producer.add("process_data", { data: 4 });
  assertEquals(await task.result(), { processed_data: 8 });
  assertEquals(await test.redis.exists(test.key("events")), 0);
  // By the worker's own tick, since nothing else happens.
  await eventually(
    async () => assertEquals(await test.redis.exists(test.key("records")), 0),
    5_000,
  );
});

taskTest("a key of another type is named, and nothing is changed", async (test) => {
  const queue = new TaskQueue<Tasks>(test.redis, { name: test.name });
  const task = { type: "none", payload: null } as const;
  await queue.enqueueMany([task, task]);
  const held = await queue.receive();
  const dump = async () => {
    const keys = (await test.redis.keys(test.key("*"))).toSorted();
    return await Promise.all(keys.map(async (key) => [
      key,
      JSON.stringify(await test.redis.sendCommand(["OBJECT", "ENCODING", key])),
      await test.redis.sendCommand(["DUMP", key]).then(String),
    ]));
  };
  for (const suffix of ["records", "records:until", "events"]) {
    const kept = test.key(`kept-${suffix}`);
    if (await test.redis.exists(test.key(suffix))) await test.redis.rename(test.key(suffix), kept);
    await test.redis.set(test.key(suffix), "somebody else's");
    const before = await dump();
    for (
      const call of [
        () => queue.enqueue(task),
        () => queue.enqueue(task, { id: "x", delayMs: 10 }),
        () => queue.receive(),
        () => queue.delivery(held!.token).ack(),
        () => queue.delivery(held!.token).nack(),
        () => queue.delivery(held!.token).deadLetter("x"),
        () => queue.redrive(),
        () => queue.cancel(held!.id),
      ]
    ) {
      const error = await assertRejects(call, TypeError);
      assertStringIncludes(error.message, `The key ${test.key(suffix)} is a string`);
    }
    assertEquals(await dump(), before);
    await test.redis.del(test.key(suffix));
    if (await test.redis.exists(kept)) await test.redis.rename(kept, test.key(suffix));
  }
  await held!.ack();
  await (await queue.receive())!.ack();
  await queue.close();
});

taskTest("what is wrong is said by name", async (test) => {
  const { redis } = test;
  const make = (options: unknown) => () => new TaskProducer<Tasks>(redis, options as never);
  assertThrows(make({ nmae: "x" }), TypeError, '"nmae"');
  assertThrows(make({ name: "a{b" }), TypeError, "a{b");
  assertThrows(make({ group: "" }), TypeError, "group");
  assertThrows(make({ maxEvents: -1 }), RangeError, "maxEvents");
  assertThrows(make({ keepRecords: { count: 0 } }), RangeError, "keepRecords.count");
  assertThrows(make({ keepRecords: { age: 1 } }), TypeError, '"age"');
  assertThrows(make({ schemas: { slow: {} } }), TypeError, "schemas.slow");
  assertThrows(make({ codec: "text" }), TypeError, '"codec"');
  for (const Class of [TaskProducer, TaskMonitor]) {
    assertThrows(() => new Class<Tasks>(redis, { names: 1 } as never), TypeError, Class.name);
  }
  const work = (options: unknown) => () => new TaskWorker<Tasks>(redis, options as never);
  assertThrows(work({}), TypeError, "handlers");
  assertThrows(work({ handlers: {} }), TypeError, "handlers");
  assertThrows(work({ handlers: { slow: 3 } }), TypeError, "handlers.slow");
  assertThrows(work({ handlers: HANDLERS, concurrency: 0 }), RangeError, "concurrency");
  assertThrows(work({ handlers: HANDLERS, maxResultBytes: 0 }), RangeError, "maxResultBytes");
  assertThrows(work({ handlers: HANDLERS, handler: 1 }), TypeError, '"handler"');
  const producer = test.producer();
  const add = (type: unknown, payload: unknown, options?: unknown) => () =>
    producer.add(type as "slow", payload as never, options as never);
  await assertRejects(add("", null), TypeError, "task's name");
  await assertRejects(add("a\nb", null), TypeError, "task's name");
  await assertRejects(add("x".repeat(201), null), TypeError, "200 bytes");
  await assertRejects(add(7, null), TypeError, "7");
  await assertRejects(add("slow", () => 1), TypeError, "JSON cannot carry");
  await assertRejects(add("slow", undefined), TypeError, "undefined");
  await assertRejects(add("slow", null, { delay: 1 }), TypeError, '"delay"');
  await assertRejects(add("slow", null, { delayMs: -1 }), RangeError, "delayMs");
  await assertRejects(
    () => producer.schedule("none", null, {} as never),
    TypeError,
    "runAt",
  );
  const task = await producer.add("none", null);
  await assertRejects(() => task.result({ mode: "push" as never }), TypeError, "push");
  await assertRejects(() => task.result({ waitMs: -1 }), RangeError, "waitMs");
  await assertRejects(() => task.result({ pollMs: 0 }), RangeError, "pollMs");
  await assertRejects(() => task.result({ wait: 1 } as never), TypeError, '"wait"');
  assertThrows(() => producer.task("none", ""), TypeError, "task id");
  assertEquals((await producer.queue.counts()).ready, 1);
});

taskTest("a worker is stopped as any worker, and gives back what it had", async (test) => {
  const producer = test.producer();
  const worker = test.worker<Tasks>({
    handlers: {
      ...HANDLERS,
      slow: (_, { signal }: TaskContext) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    },
  });
  const task = await producer.add("slow", { ms: 0 });
  await eventually(() => assertEquals(worker.active, 1));
  assert(worker.health().running);
  await worker.stop({ graceMs: 10 });
  assertEquals(await task.outcome({ waitMs: 0 }), { state: "ready", attempts: 0 });
  test.worker();
  assertEquals(await task.result(), "late");
});

taskTest("when all is acked the stream takes no memory", async (test) => {
  const empty = Number(await test.redis.sendCommand(["MEMORY", "USAGE", test.key("ready")]) ?? 0);
  const producer = test.producer();
  for (let i = 0; i < 10; i++) {
    await producer.addMany(
      Array.from({ length: 1_000 }, () => ({ type: "none", payload: null } as const)),
    );
  }
  const worker = test.worker({ concurrency: 200 });
  await eventually(async () => {
    const { ready, leased } = await producer.queue.counts();
    assertEquals([ready, leased], [0, 0]);
  }, 20_000);
  await worker.stop();
  const used = Number(await test.redis.sendCommand(["MEMORY", "USAGE", test.key("ready")]) ?? 0);
  assertLess(used - empty, 10_000);
  const pending = await test.redis.xPending(test.key("ready"), "workers");
  assertEquals(pending.pending, 0);
  assertEquals(await test.redis.xInfoConsumers(test.key("ready"), "workers"), []);
});
