/** TaskScheduler on a real Redis: it fires, alone or beside others, wakes who waits, and ends. */
import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { RedisConnectionError } from "@workshop/redis-patterns";
import { TaskScheduler } from "@workshop/redis-patterns/tasks";
import { queueKeys, scheduleKeys } from "../redis/keys.ts";
import { commandsDuring, eventually, limit, redisTest } from "./support.ts";
import {
  assertEachTickOnce,
  only,
  pause,
  queueOf,
  scheduling,
  type Tasks,
  tickOf,
  working,
} from "./task_scheduler_support.ts";

redisTest(
  "TaskScheduler fires a cron pattern as a task, with an id that tells the tick",
  async (test) => {
    const { redis, name } = test;
    const { scheduler, of } = scheduling(redis, name);
    const set = await scheduler.cron("report", "* * * * * *", "send_report", { to: "ann" });
    assertEquals([set.name, set.change, set.nextAt! % 1_000], ["report", "added", 0]);
    const running = scheduler.start();
    await eventually(() => assertEquals(of("fired").length, 2));
    await scheduler.stop();
    await running;
    const queue = queueOf(redis, name);
    const [first, second] = await queue.receiveMany(10);
    assertEquals(first!.id, `report@${set.nextAt}`);
    assertEquals(second!.id, `report@${set.nextAt! + 1_000}`);
    assertEquals(first!.payload, { type: "send_report", payload: { to: "ann" } });
    assertEquals((await queue.stats()).totals.enqueued, 2);
    assert(of("fired").every(({ lateMs }) => lateMs >= 0));
    const { nextAt, ...listed } = await only(scheduler);
    assert(nextAt! > tickOf(second!.id));
    assertEquals(listed, {
      name: "report",
      type: "send_report",
      payload: { to: "ann" },
      cron: "* * * * * *",
      timeZone: "UTC",
      catchUp: "last",
      missedAfterMs: 5_000,
      overlap: "allow",
      lastAt: tickOf(second!.id),
      lastId: second!.id,
      firings: 2,
      skipped: 0,
    });
    assertEquals((await queue.task(first!.id))?.state, "running"); // it has a record, as all tasks have
    await Promise.all([first!.ack(), second!.ack()]);
    assertEquals(await redis.hLen(queueKeys(name).ids), 0);
    await queue.close();
  },
);

redisTest(
  "TaskScheduler wakes a consumer that waits, at the multiples of an interval",
  async (test) => {
    const { redis, name } = test;
    await using queue = queueOf(redis, name);
    await using scheduler = new TaskScheduler<Tasks>(redis, { name });
    scheduler.start();
    await scheduler.every("pulse", 200, "ping"); // while it sleeps: it is told
    const ids: string[] = [];
    for (let i = 0; i < 4; i++) {
      const delivery = await queue.receive({ waitMs: 2_000 });
      ids.push(delivery!.id);
      await delivery!.ack();
    }
    assertEachTickOnce(ids, 200);
    assertEquals(tickOf(ids[0]!) % 200, 0);
  },
);

redisTest("ten TaskSchedulers and a tick a second: one firing for each tick", async (test) => {
  const { name } = test;
  const clients = await Promise.all(Array.from({ length: 10 }, () => test.connect()));
  const all = clients.map((client) => scheduling(client, name));
  for (const { scheduler } of all) {
    await scheduler.cron("second", "* * * * * *", "ping", null);
    void scheduler.start();
  }
  const worker = working(test.redis, name);
  await pause(6_100);
  await Promise.all(all.map(({ scheduler }) => scheduler.stop()));
  const ids = await worker.end();
  assertEachTickOnce(ids, 1_000);
  assert(ids.length >= 5, `${ids.length} firings`);
  const told = all.flatMap(({ of }) => of("fired").map(({ id }) => id));
  assertEquals(told.toSorted(), ids.toSorted());
  assertEquals(all.flatMap(({ of }) => of("late")), []);
});

redisTest("an idle TaskScheduler sends two commands a second", async (test) => {
  const { scheduler } = scheduling(test.redis, test.name);
  await scheduler.cron("yearly", "0 0 1 1 *", "ping", null);
  scheduler.start();
  await pause(200); // what it does once is done
  const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
  await scheduler.stop();
  assertLessOrEqual(commands.length, 8, commands.join(" "));
  assert(commands.length >= 4, commands.join(" "));
});

redisTest("a TaskScheduler promotes what is delayed where no worker runs", async (test) => {
  await using queue = queueOf(test.redis, test.name);
  const { scheduler } = scheduling(test.redis, test.name);
  await queue.enqueue({ type: "ping", payload: null }, { delayMs: 300 });
  scheduler.start();
  await pause(150);
  assertEquals((await queue.counts()).ready, 0);
  await eventually(async () => assertEquals((await queue.counts()).ready, 1), 400);
  await scheduler.stop();
});

redisTest(
  "TaskScheduler runs once at a time, ends with its signal, and may run again",
  async (test) => {
    const { redis, name } = test;
    const { scheduler, of } = scheduling(redis, name);
    await scheduler.every("p", 100, "ping", null);
    await scheduler.run({ signal: AbortSignal.abort() });
    await scheduler.stop();
    for (let round = 1; round <= 2; round++) {
      const stop = new AbortController();
      const running = scheduler.run({ signal: stop.signal });
      await assertRejects(() => scheduler.run(), TypeError, "runs already");
      const before = of("fired").length;
      await eventually(() => assert(of("fired").length > before));
      stop.abort();
      await limit(running, "run");
    }
    const fired = of("fired").length;
    await pause(250);
    assertEquals(of("fired").length, fired);
  },
);

redisTest("TaskScheduler ends with an error when its client is closed", async (test) => {
  const client = await test.connect();
  const { scheduler } = scheduling(client, test.name);
  const running = scheduler.run();
  await pause(50);
  await client.close();
  await assertRejects(() => limit(running, "run"), RedisConnectionError);
});

redisTest(
  "TaskScheduler.list tells as many ticks ahead as it is asked for",
  async ({ redis, name }) => {
    const scheduler = new TaskScheduler<Tasks>(redis, { name });
    await scheduler.cron("nightly", "0 3 * * *", "ping", null, { timeZone: "Europe/Vienna" });
    await scheduler.every("hourly", 3_600_000, "ping", null);
    await redis.hSet(scheduleKeys(name).schedules, "odd", "somebody else's");
    const [hourly, nightly, odd] = await scheduler.list({ upcoming: 3 });
    assertEquals(hourly!.upcoming, [1, 2, 3].map((n) => hourly!.nextAt! + n * 3_600_000));
    const hours = [nightly!.nextAt!, ...nightly!.upcoming!].map((at) =>
      new Date(at).toLocaleTimeString("en-GB", { timeZone: "Europe/Vienna" })
    );
    assertEquals(hours, Array(4).fill("03:00:00"));
    assertEquals([odd!.name, odd!.upcoming], ["odd", undefined]);
    assertEquals((await scheduler.list())[0]!.upcoming, undefined);
    await assertRejects(() => scheduler.list({ upcoming: 101 }), RangeError, "upcoming");
    await assertRejects(() => scheduler.list({ upcomming: 1 } as object), TypeError, "upcomming");
    for (const schedule of await scheduler.list()) await scheduler.remove(schedule.name);
  },
);
