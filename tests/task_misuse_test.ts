/**
 * What is wrong with a task is said by name, and nothing is lost: no handler, a payload or a result that cannot be, a
 * key of another type.
 */

import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { connect, SchemaError, StreamQueue } from "@workshop/redis-patterns";
import { TaskMonitor, TaskProducer, TaskQueue, TaskWorker } from "@workshop/redis-patterns/tasks";
import * as v from "valibot";
import { FaultyProxy } from "./proxy.ts";
import { eventually } from "./support.ts";
import { HANDLERS, type Tasks, taskTest } from "./task_support.ts";

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
