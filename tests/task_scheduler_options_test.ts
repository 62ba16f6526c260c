/** What a schedule may be called and be made of, and how many there may be. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { TaskScheduler, type TaskSchedulerOptions } from "@workshop/redis-patterns/tasks";
import { queueKeys, scheduleKeys } from "../redis/keys.ts";
import { MAX_SCHEDULES } from "../queue/tasks/schedule_scripts.ts";
import { eventually, redisTest } from "./support.ts";
import {
  assertEachTickOnce,
  only,
  scheduling,
  type Tasks,
  tickOf,
  working,
} from "./task_scheduler_support.ts";

redisTest("a schedule may have any name that a message's id may have", async (test) => {
  const { redis, name } = test;
  const { scheduler, of } = scheduling(redis, name);
  const worker = working(redis, name);
  const odd = "Ann's «größe» @ 5 ☕ %s";
  await scheduler.every(odd, 100, "send_report", { to: "ann\n☕" });
  scheduler.start();
  await eventually(() => assert(of("fired").length > 2));
  await scheduler.stop();
  const ids = await worker.end();
  assertEachTickOnce(ids, 100);
  assertEquals(ids[0], `${odd}@${tickOf(ids[0]!)}`);
  const { lastId, payload } = await only(scheduler);
  assertEquals([lastId, payload], [ids.at(-1), { to: "ann\n☕" }]);
});

redisTest("there are at most 1,000 schedules", async (test) => {
  const { redis, name } = test;
  const { scheduler } = scheduling(redis, name);
  const define = (i: number) => scheduler.every(`p${i}`, 3_600_000, "ping", null);
  await Promise.all(Array.from({ length: MAX_SCHEDULES }, (_, i) => define(i)));
  const error = await assertRejects(() => define(MAX_SCHEDULES), RangeError);
  assertEquals(
    error.message,
    `The queue "${name}" has 1000 schedules: there is no room for "p1000"`,
  );
  assertEquals((await define(7)).change, "none");
  const listed = await scheduler.list();
  assertEquals(new Set(listed.map((schedule) => schedule.name)).size, 1_000);
  // All due at once: nobody waits for a second round a second later.
  const { nextAt } = listed[0]!;
  await redis.zAdd(
    scheduleKeys(name).schedules_at,
    listed.map((schedule) => ({ score: nextAt! - 3_600_000, value: schedule.name })),
  );
  scheduler.start();
  await eventually(async () => assertEquals(await redis.xLen(queueKeys(name).ready), 1_000), 5_000);
  await scheduler.stop();
});

redisTest("TaskScheduler refuses what means nothing", async (test) => {
  const { redis, name } = test;
  // deno-lint-ignore no-explicit-any -- what the compiler would refuse
  const any = (value: unknown) => value as any;
  const make = (options: TaskSchedulerOptions) => () =>
    Promise.resolve().then(() => new TaskScheduler(redis, options));
  const scheduler = new TaskScheduler<Tasks>(redis, { name });
  const cases: [() => Promise<unknown>, typeof Error, string][] = [
    [make({ name: "a{b}" }), TypeError, '"a{b}"'],
    [make({ group: "" }), TypeError, '""'],
    [make(any({ maxAttempt: 1 })), TypeError, '"maxAttempt"'],
    [make({ maxAttempts: 0 }), RangeError, "0"],
    [make({ onEvent: any(1) }), TypeError, "the number 1"],
    [() => Promise.resolve().then(() => new TaskScheduler(any({}))), TypeError, "an object"],
    [() => scheduler.cron("x", "0 0 31 2 *", "ping", null), TypeError, "never fires"],
    [() => scheduler.cron("x", "* * * *", "ping", null), TypeError, '"* * * *"'],
    [() => scheduler.cron("", "* * * * *", "ping", null), TypeError, '""'],
    [() => scheduler.cron("x", "* * * * *", any(""), null), TypeError, '""'],
    [
      () => scheduler.every("x", 500, "send_report", any({ to: () => {} })),
      TypeError,
      "payload.to",
    ],
    [() => scheduler.every("x", 1, "ping", null), RangeError, "1"],
    [() => scheduler.remove(any(5)), TypeError, "the number 5"],
    [() => scheduler.run(any({ sginal: 1 })), TypeError, '"sginal"'],
    [() => scheduler.run({ signal: any(new AbortController()) }), TypeError, "controller.signal"],
  ];
  for (const [run, type, part] of cases) {
    const { message } = await assertRejects(run, type);
    assert(message.includes(part), message);
  }
  assertEquals(await scheduler.list(), []);
});

redisTest("the names and payloads of schedules are checked by the compiler", async (test) => {
  const scheduler = new TaskScheduler<Tasks>(test.redis, { name: test.name });
  const wrong = () => [
    // @ts-expect-error there is no such task
    scheduler.cron("a", "* * * * *", "send_mail", null),
    // @ts-expect-error it takes { to: string }
    scheduler.cron("a", "* * * * *", "send_report", { to: 5 }),
    // @ts-expect-error a payload is missing
    scheduler.cron("a", "* * * * *", "send_report"),
    // @ts-expect-error it takes nothing
    scheduler.every("a", 500, "ping", { to: "ann" }),
    // @ts-expect-error an interval has no zone
    scheduler.every("a", 500, "ping", null, { timeZone: "UTC" }),
  ];
  assertEquals(typeof wrong, "function");
  assertEquals(await scheduler.list(), []);
});
