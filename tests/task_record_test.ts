/**
 * What is on record of a task is about that task, and no other of the same id; and its events are bounded.
 */

import { assertEquals, assertLess } from "@std/assert";
import { TaskQueue } from "@workshop/redis-patterns/tasks";
import { eventually } from "./support.ts";
import { HANDLERS, pause, type Tasks, taskTest } from "./task_support.ts";

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
