/**
 * Tasks from end to end: added, run, ended. That a record is never behind its message the model test shows; what
 * processes that die leave behind, task_processes_test.ts.
 */

import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import { type TaskContext, TaskError, TaskProducer } from "@workshop/redis-patterns/tasks";
import { RedisServer } from "../tools/redis_server.ts";
import { eventually, serverTest } from "./support.ts";
import { HANDLERS, MODES, pause, type Tasks, taskTest } from "./task_support.ts";

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

serverTest("a task says whether replicas have it, where its producer asks them", async (master) => {
  const replicaOf = { host: master.host, port: master.port };
  await using replica = await RedisServer.start({ replicaOf });
  await eventually(async () => {
    assertMatch(await master.cli("INFO", "replication"), /state=online/);
  }, 10_000);
  await using redis = await connect({ url: master.url });
  const durability = { replicas: 1, timeoutMs: 2_000 };
  await using producer = new TaskProducer<Tasks>(redis, { name: "durable", durability });
  const task = await producer.add("slow", { ms: 1 }, { id: "mine" });
  assertEquals([task.duplicate, task.confirmed], [false, true]);
  const again = await producer.add("slow", { ms: 1 }, { id: "mine" });
  assertEquals([again.duplicate, again.confirmed], [true, true]);
  const later = await producer.schedule("slow", { ms: 1 }, { delayMs: 60_000 });
  assertEquals(later.confirmed, true);
  assertEquals(producer.task("slow", task.id).confirmed, undefined);
  await using other = new TaskProducer<Tasks>(redis, { name: "durable" });
  assertEquals((await other.add("slow", { ms: 1 })).confirmed, undefined);

  await replica.kill();
  await using hasty = new TaskProducer<Tasks>(redis, {
    name: "durable",
    durability: { replicas: 1, timeoutMs: 50 },
  });
  const many = await hasty.addMany([
    { type: "slow", payload: { ms: 1 } },
    { type: "process_data", payload: { data: 1 } },
  ]);
  assertEquals(many.map(({ confirmed }) => confirmed), [false, false]);
  assertEquals((await many[0].record())?.state, "ready"); // stored all the same
});
