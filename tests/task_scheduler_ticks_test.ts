/** Which ticks of a schedule fire: when it is defined anew, after a downtime, while the last task still runs. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ConnectedClient, Delivery } from "@workshop/redis-patterns";
import type { AnyTask } from "@workshop/redis-patterns/tasks";
import { call } from "../redis/call.ts";
import { queueKeys, scheduleKeys } from "../redis/keys.ts";
import { cronDefinition, writeDefinition } from "../queue/tasks/schedule.ts";
import { fireScript } from "../queue/tasks/schedule_scripts.ts";
import { eventually, redisTest } from "./support.ts";
import {
  assertEachTickOnce,
  drain,
  only,
  pause,
  queueOf,
  redisNow,
  scheduling,
  type Tasks,
  tickOf,
  working,
} from "./task_scheduler_support.ts";

/** What a scheduler knows that is about to fire. */
async function aboutToFire(redis: ConnectedClient, name: string, schedule: string) {
  const keys = { ...queueKeys(name), ...scheduleKeys(name) };
  const definition = await redis.hGet(keys.schedules, schedule);
  const head = definition!.split("\n")[0]!;
  const due = (await redis.zScore(keys.schedules_at, schedule))!;
  const args = {
    ...{ name: schedule, head, due, next: due + 60_000, uid: JSON.parse(head).uid },
    ...{
      overlap: "allow",
      counting: "1",
      group: "workers",
      idle_ms: 30_000,
      records_kept: "10 1000 10",
      ended: name,
    },
  };
  return () => fireScript.run((args) => call(redis, args), keys, args, [String(due)]);
}

/** An interval of some 16 minutes that has no tick near an instant. */
function intervalBetweenTicks(now: number): number {
  let everyMs = 1_000_000;
  while (now % everyMs < 60_000 || now % everyMs > 900_000) everyMs++;
  return everyMs;
}

redisTest(
  "defining a schedule again keeps its tick, and another definition begins anew",
  async (test) => {
    const { redis, name } = test;
    const { scheduler, of } = scheduling(redis, name);
    const report = (to: string) => scheduler.cron("r", "0 3 * * *", "send_report", { to });
    const { nextAt } = await report("ann");
    assertEquals(await report("ann"), { name: "r", nextAt: nextAt!, change: "none" });
    // Missed an hour ago, when all schedulers were down: who starts says it again, and it is made up for.
    const keys = scheduleKeys(name);
    const missed = nextAt! - 24 * 3_600_000;
    await redis.zAdd(keys.schedules_at, { score: missed, value: "r" });
    assertEquals(await report("ann"), { name: "r", nextAt: missed, change: "none" });
    scheduler.start();
    await eventually(() => assertEquals(of("fired").map(({ at }) => at), [missed]));
    await scheduler.stop();
    // Redis's clock was ahead, and is right again.
    await redis.zAdd(keys.schedules_at, { score: nextAt! + 999_999_999, value: "r" });
    assertEquals(await report("ann"), { name: "r", nextAt: nextAt!, change: "none" });
    // What was missed is a tick of the new one, too: it is made up for with the new payload.
    await redis.zAdd(keys.schedules_at, { score: missed, value: "r" });
    assertEquals(await report("bob"), { name: "r", nextAt: missed, change: "changed" });
    const { change, nextAt: inAMinute } = await scheduler.every("r", 60_000, "ping", null);
    assertEquals([change, (await only(scheduler)).everyMs], ["changed", 60_000]);
    assertEquals(inAMinute, missed); // 3 o'clock is a full minute
    await scheduler.every("r", 70_001, "ping", null);
    assert((await only(scheduler)).nextAt! > await redisNow(redis)); // and no tick of this one
    assertEquals([await scheduler.remove("r"), await scheduler.remove("r")], [true, false]);
    assertEquals(await redis.exists(Object.values(keys)), 0);
  },
);

redisTest(
  "a firing that others have done, or that is defined anew meanwhile, does nothing",
  async (test) => {
    const { redis, name } = test;
    const { scheduler } = scheduling(redis, name);
    const queue = queueOf(redis, name);
    await scheduler.every("p", 60_000, "send_report", { to: "ann" });
    const stale = await aboutToFire(redis, name, "p");
    await scheduler.every("p", 60_000, "send_report", { to: "bob" });
    assertEquals((await stale()).ours, false);
    assertEquals((await queue.counts()).ready, 0);
    const listed = await only(scheduler);
    assertEquals([listed.payload, listed.firings], [{ to: "bob" }, 0]);
    const fire = await aboutToFire(redis, name, "p");
    const results = await Promise.all(Array.from({ length: 20 }, () => fire()));
    assertEquals(results.filter(({ ours }) => ours).map(({ ticks }) => ticks), [["fired"]]);
    assertEquals((await drain(queue)).length, 1);
    await scheduler.remove("p");
    assertEquals((await fire()).ours, false);
  },
);

redisTest("definitions written while schedulers fire are not lost", async (test) => {
  const { redis, name } = test;
  const clients = await Promise.all([test.connect(), test.connect(), test.connect()]);
  const all = clients.map((client) => scheduling(client, name));
  await all[0]!.scheduler.every("p", 100, "send_report", { to: "0" });
  for (const { scheduler } of all) void scheduler.start();
  const worker = working(redis, name);
  for (let i = 1; i <= 200; i++) {
    const { scheduler } = all[i % all.length]!;
    const { change } = await scheduler.every("p", 100, "send_report", { to: String(i) });
    assertEquals(change, "changed");
    assertEquals((await only(scheduler)).payload, { to: String(i) });
    await pause(i % 10);
  }
  await Promise.all(all.map(({ scheduler }) => scheduler.stop()));
  assertEachTickOnce(await worker.end(), 100);
});

redisTest(
  "after a downtime catchUp decides: none, the last, or all that was missed",
  async (test) => {
    const { redis, name } = test;
    const { scheduler, of } = scheduling(redis, name);
    const now = await redisNow(redis);
    const everyMs = intervalBetweenTicks(now);
    const newest = Math.floor(now / everyMs) * everyMs;
    const missed = Array.from({ length: 500 }, (_, i) => newest - (499 - i) * everyMs);
    for (const catchUp of ["none", "last", "all"] as const) {
      await scheduler.every(catchUp, everyMs, "ping", null, { catchUp });
      await redis.zAdd(scheduleKeys(name).schedules_at, { score: missed[0]!, value: catchUp });
    }
    scheduler.start();
    await eventually(async () => {
      for (const { nextAt } of await scheduler.list()) assertEquals(nextAt, newest + everyMs);
    });
    await scheduler.stop();
    const fired = (schedule: string) =>
      of("fired").filter((event) => event.schedule === schedule).map(({ at }) => at);
    assertEquals(fired("none"), []);
    assertEquals(fired("last"), [newest]);
    assertEquals(fired("all"), missed);
    const late = new Map(of("late").map((event) => [event.schedule, event]));
    assertEquals([...late.keys()].sort(), ["all", "last", "none"]);
    assertEquals(late.get("last")!.at, missed[0]);
    const ids = await drain(queueOf(redis, name));
    assertEquals(ids.filter((id) => id.startsWith("all@")).map(tickOf), missed); // in their order
  },
);

redisTest(
  "what is made up for in large messages goes on in the next rounds, and loses none",
  async (test) => {
    const { redis, name } = test;
    const { scheduler, of } = scheduling(redis, name);
    const to = "x".repeat(60_000);
    await scheduler.every("big", 3_600_000, "send_report", { to }, { catchUp: "all" });
    const { nextAt } = await only(scheduler);
    const first = nextAt! - 30 * 3_600_000;
    await redis.zAdd(scheduleKeys(name).schedules_at, { score: first, value: "big" });
    scheduler.start();
    await eventually(() => assertEquals(of("fired").length, 30));
    await scheduler.stop();
    const ids = await drain(queueOf(redis, name));
    assertEquals(ids.map(tickOf), Array.from({ length: 30 }, (_, i) => first + i * 3_600_000));
  },
);

redisTest('overlap "skip" fires no tick while the last task is not finished', async (test) => {
  const { redis, name } = test;
  await using queue = queueOf(redis, name);
  const { scheduler, of } = scheduling(redis, name);
  await scheduler.every("p", 100, "ping", null, { overlap: "skip" });
  scheduler.start();
  const skipsOne = async () => {
    const before = of("skipped").length;
    await eventually(() => assert(of("skipped").length > before));
    assertEquals(of("fired").length, fired);
  };
  let fired = 1;
  await skipsOne(); // it is ready
  let delivery: Delivery<AnyTask<Tasks>> | undefined = await queue.receive();
  await skipsOne(); // in hand
  await delivery!.nack({ delayMs: 250 });
  await skipsOne(); // delayed
  delivery = await queue.receive({ waitMs: 2_000 });
  await delivery!.ack();
  delivery = await queue.receive({ waitMs: 2_000 }); // done, so the next one came
  await delivery!.deadLetter("no use");
  delivery = await queue.receive({ waitMs: 2_000 }); // dead is finished, too
  await scheduler.stop();
  await delivery!.ack();
  fired = (await only(scheduler)).firings;
  assertEquals(fired, of("fired").length);
  assertEquals((await only(scheduler)).skipped, of("skipped").length);
  assert(fired >= 3);
});

redisTest(
  "a tick whose task is there already fires no second one (the clock was set back)",
  async (test) => {
    const { redis, name } = test;
    const { scheduler, of } = scheduling(redis, name);
    await scheduler.every("p", 3_600_000, "ping", null);
    const { nextAt } = await only(scheduler);
    const tick = nextAt! - 3_600_000;
    const again = () => redis.zAdd(scheduleKeys(name).schedules_at, { score: tick, value: "p" });
    await again();
    scheduler.start();
    await eventually(() => assertEquals(of("fired").length, 1));
    await again();
    await eventually(async () => assertEquals((await only(scheduler)).nextAt, nextAt));
    await scheduler.stop();
    assertEquals(await drain(queueOf(redis, name)), [`p@${tick}`]);
    assertEquals((await only(scheduler)).firings, 1);
  },
);

redisTest(
  "a pattern whose last year is over fires no more, and is listed until it is removed",
  async (test) => {
    const { redis, name } = test;
    const { scheduler } = scheduling(redis, name);
    const year = new Date(await redisNow(redis)).getUTCFullYear() + 1;
    const define = () => scheduler.cron("last", `0 0 0 1 1 * ${year}`, "ping", null);
    await define();
    const keys = { ...queueKeys(name), ...scheduleKeys(name) };
    const [head] = (await redis.hGet(keys.schedules, "last"))!.split("\n");
    const due = (await redis.zScore(keys.schedules_at, "last"))!;
    const fired = await fireScript.run((args) => call(redis, args), keys, {
      ...{ name: "last", head: head!, due, next: "", uid: "a1", overlap: "allow" },
      ...{ counting: "1", group: "workers", idle_ms: 1, records_kept: "10 1000 10", ended: name },
    }, [String(due)]);
    assertEquals(fired.ticks, ["fired"]);
    const { nextAt, lastAt } = await only(scheduler);
    assertEquals([nextAt, lastAt], [undefined, due]);
    assertEquals(await define(), { name: "last", change: "none" });
    // Also in a year in which it could not be defined any more.
    await scheduler.remove("last");
    const over = () => scheduler.cron("last", `0 0 0 1 1 * ${year - 2}`, "ping", null);
    await assertRejects(over, TypeError, "never fires");
    const definition = cronDefinition(`0 0 0 1 1 * ${year - 2}`, "ping", {});
    const text = writeDefinition("last", definition, "ping\nnull");
    await redis.hSet(keys.schedules, "last", text);
    assertEquals(await over(), { name: "last", change: "none" });
  },
);
