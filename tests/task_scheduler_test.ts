/** Schedules on a real Redis: one firing for each tick, whatever happens to the schedulers. */
import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects } from "@std/assert";
import {
  connect,
  type ConnectedClient,
  type Delivery,
  type RedisClient,
  RedisConnectionError,
  Worker,
} from "@workshop/redis-patterns";
import {
  type AnyTask,
  type Schedule,
  type SchedulerEvent,
  TaskQueue,
  TaskScheduler,
  type TaskSchedulerOptions,
} from "@workshop/redis-patterns/tasks";
import { call } from "../redis/call.ts";
import { queueKeys, SCHEDULE_KEY_TYPES, scheduleKeys } from "../redis/keys.ts";
import { cronDefinition, writeDefinition } from "../queue/tasks/schedule.ts";
import { fireScript, MAX_SCHEDULES } from "../queue/tasks/schedule_scripts.ts";
import { FaultyProxy } from "./proxy.ts";
import { commandsDuring, eventually, limit, redisTest, serverTest } from "./support.ts";

/** The tasks of these tests. */
interface Tasks {
  ping(): void;
  send_report(payload: { to: string }): { sent: boolean };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The queue as a worker sees it. */
const queueOf = (redis: RedisClient, name: string) => new TaskQueue<Tasks>(redis, { name });

/** Everything that is ready, acknowledged: the ids, in their order. */
async function drain(queue: TaskQueue<Tasks>): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const deliveries = await queue.receiveMany(1_000);
    if (deliveries.length === 0) return ids;
    ids.push(...deliveries.map(({ id }) => id));
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
  }
}

/**
 * A worker that is done at once, and the ids that it was given: what is done holds its id no more, so nothing
 * but the schedule itself keeps a tick from firing twice.
 */
function working(redis: RedisClient, name: string) {
  const queue = queueOf(redis, name);
  const ids: string[] = [];
  const worker = new Worker(queue, (_, { delivery }) => void ids.push(delivery.id), {
    concurrency: 100,
  });
  const running = worker.start();
  running.catch(() => {}); // thrown by end()
  const end = async () => {
    await eventually(async () => assertEquals((await queue.counts()).ready, 0));
    await worker.stop();
    await running;
    await queue.close();
    return ids;
  };
  return { end };
}

const tickOf = (id: string) => Number(id.slice(id.lastIndexOf("@") + 1));

/** Fails unless these are all ticks between the first and the last, each once. */
function assertEachTickOnce(ids: string[], everyMs: number): void {
  const ticks = ids.map(tickOf).sort((a, b) => a - b);
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const expected = Array.from(
    { length: (last - first) / everyMs + 1 },
    (_, i) => first + i * everyMs,
  );
  assertEquals(ticks, expected);
}

async function redisNow(redis: ConnectedClient): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}

/** A scheduler and what it told. */
function scheduling(redis: RedisClient, name: string, options: TaskSchedulerOptions = {}) {
  const events: SchedulerEvent[] = [];
  const onEvent = (event: SchedulerEvent) => void events.push(event);
  const scheduler = new TaskScheduler<Tasks>(redis, { name, onEvent, ...options });
  const of = <K extends SchedulerEvent["type"]>(type: K) =>
    events.filter((event): event is Extract<SchedulerEvent, { type: K }> => event.type === type);
  return { scheduler, events, of };
}

async function only(scheduler: TaskScheduler<Tasks>): Promise<Schedule> {
  const [schedule, ...others] = await scheduler.list();
  assertEquals(others, []);
  return schedule!;
}

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

/** An interval of some 16 minutes that has no tick near an instant. */
function intervalBetweenTicks(now: number): number {
  let everyMs = 1_000_000;
  while (now % everyMs < 60_000 || now % everyMs > 900_000) everyMs++;
  return everyMs;
}

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

redisTest(
  "a firing whose reply is lost is not repeated, and no tick is lost (hazard 2)",
  async (test) => {
    const { redis, name, url } = test;
    await using proxy = await FaultyProxy.start({ port: Number(new URL(url).port) });
    const client = await test.connect({ url: proxy.url });
    const { scheduler, of } = scheduling(client, name);
    await scheduler.every("p", 200, "ping", null);
    scheduler.start();
    await eventually(() => assert(of("fired").length > 0));
    for (let i = 0; i < 5; i++) {
      // What fire_schedule gives: the time, 1 for ours, and a mark for each tick.
      const lost = proxy.dropReplies((_, reply) => /^\*3\r\n:\d+\r\n:1\r\n\$\d+\r\nf/.test(reply));
      await limit(lost, "a firing");
      const before = of("fired").length;
      await eventually(() => assert(of("fired").length > before));
    }
    await scheduler.stop();
    client.destroy(); // before the proxy: it would try to connect again
    const ids = await drain(queueOf(redis, name));
    assertEachTickOnce(ids, 200);
    assertEquals(ids.length, of("fired").length + 5);
    assert(of("retrying").length >= 5);
  },
);

serverTest("schedulers killed all the time fire each tick once (hazard 6)", async (server) => {
  const redis = await connect({ url: server.url });
  const name = "killed";
  const owner = new TaskScheduler<Tasks>(redis, { name });
  const schedules = ["a", "b", "c", "d", "e"];
  for (const schedule of schedules) {
    await owner.every(schedule, 100, "ping", null, { catchUp: "all" });
  }
  const program = new URL("./schedule_process.ts", import.meta.url).pathname;
  const worker = working(redis, name);
  const children: Deno.ChildProcess[] = [];
  const spawn = () => {
    const args = ["run", "-A", "--no-lock", "--no-check", program, server.url, name];
    const command = new Deno.Command(Deno.execPath(), {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    });
    children.push(command.spawn());
  };
  let kills = 0;
  try {
    for (let i = 0; i < 3; i++) spawn();
    const until = performance.now() + 8_000;
    await eventually(async () => assert((await owner.list())[0]!.firings > 0), 10_000);
    while (performance.now() < until) {
      await pause(60 + 200 * Math.random());
      const victim = children.shift()!;
      victim.kill("SIGKILL");
      kills++;
      spawn();
      await victim.status;
    }
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.status));
  }
  // What nobody has fired since is made up for.
  const { scheduler } = scheduling(redis, name);
  scheduler.start();
  const now = await redisNow(redis);
  await eventually(async () => {
    for (const { nextAt } of await scheduler.list()) assert(nextAt! > now);
  });
  await scheduler.stop();
  const ids = await worker.end();
  for (const schedule of schedules) {
    const own = ids.filter((id) => id.startsWith(`${schedule}@`));
    assertEachTickOnce(own, 100);
    assert(own.length > 40, `${own.length} firings of ${schedule}`);
  }
  assert(kills >= 10, `${kills} kills`);
  await redis.close();
});

serverTest(
  "a TaskScheduler survives a Redis that is killed and restarted, and stops while it is away",
  async (server) => {
    const redis = await connect({ url: server.url });
    const { scheduler, of } = scheduling(redis, "q");
    await scheduler.every("p", 100, "ping", null);
    const running = scheduler.start();
    await eventually(() => assert(of("fired").length > 2));
    await server.kill();
    await eventually(() => assert(of("retrying").length > 0), 8_000); // a command waits for 5 s
    await server.restart();
    await scheduler.every("p", 100, "ping", null); // nothing was saved
    const before = of("fired").length;
    await eventually(() => assert(of("fired").length > before + 2), 5_000);
    await server.pause();
    await pause(300);
    const startedAt = performance.now();
    await scheduler.stop();
    await running;
    assertLess(performance.now() - startedAt, 1_500);
    await server.resume();
    redis.destroy();
  },
);

serverTest(
  "a full Redis refuses a firing whole, and the tick fires when there is room (hazard 12)",
  async (server) => {
    const redis = await connect({ url: server.url });
    const { scheduler, of } = scheduling(redis, "q");
    await scheduler.every("p", 200, "ping", null, { catchUp: "all" });
    scheduler.start();
    await eventually(() => assert(of("fired").length > 1));
    await redis.configSet("maxmemory", "1");
    await eventually(() => assert(of("retrying").some(({ error }) => /OOM/.test(error.message))));
    await pause(600);
    await redis.configSet("maxmemory", "0");
    const before = of("fired").length;
    await eventually(() => assert(of("fired").length > before + 3));
    await scheduler.stop();
    assertEachTickOnce(await drain(queueOf(redis, "q")), 200);
    await redis.close();
  },
);

redisTest("a key of another type is named, and nothing is changed", async (test) => {
  const { redis, name } = test;
  const keys = { ...queueKeys(name), ...scheduleKeys(name) };
  const fields = Object.keys(SCHEDULE_KEY_TYPES) as (keyof typeof SCHEDULE_KEY_TYPES)[];
  const used = [
    ...fields,
    "ready",
    "ids",
    "dead",
    "wake",
    "control",
    "lapsed",
    "stats",
    "records",
    "records_until",
    "events",
  ] as const;
  for (const field of used) {
    const own = `${name}-${field}`;
    const of = { ...queueKeys(own), ...scheduleKeys(own) };
    const scheduler = new TaskScheduler<Tasks>(redis, { name: own });
    await scheduler.every("p", 3_600_000, "ping", null);
    const due = (await redis.zScore(of.schedules_at, "p"))! - 3_600_000;
    await redis.zAdd(of.schedules_at, { score: due, value: "p" });
    await redis.unlink(of[field]);
    await redis.setBit(of[field], 1, 1);
    const others = async () => {
      const left = Object.values(of).filter((key) => key !== of[field]);
      return await Promise.all(left.map((key) => redis.dump(key)));
    };
    const before = JSON.stringify(await others());
    const error = await assertRejects(() => limit(scheduler.run(), field), TypeError);
    assert(error.message.includes(of[field]), error.message);
    assertEquals(JSON.stringify(await others()), before);
    await redis.unlink(Object.values(of));
  }
  await redis.set(keys.schedules, "mine");
  const { scheduler } = scheduling(redis, name);
  for (
    const run of [
      () => scheduler.every("p", 500, "ping", null),
      () => scheduler.list(),
      () => scheduler.remove("p"),
    ]
  ) {
    assert((await assertRejects(run, TypeError)).message.includes(keys.schedules));
  }
  await redis.unlink(keys.schedules);
});

redisTest(
  "a definition that cannot be followed is told once, and stops no other schedule",
  async (test) => {
    const { redis, name } = test;
    const keys = scheduleKeys(name);
    const { scheduler, of } = scheduling(redis, name);
    for (let i = 0; i < 150; i++) {
      await redis.hSet(
        keys.schedules,
        `odd${i}`,
        `{"type":"t","lunar":"full moon","uid":"a1"}\nt\nnull`,
      );
      await redis.zAdd(keys.schedules_at, { score: i, value: `odd${i}` });
    }
    await redis.zAdd(keys.schedules_at, { score: 1, value: "orphan" });
    await scheduler.every("p", 100, "ping", null);
    scheduler.start();
    await eventually(() => assert(of("fired").length > 5));
    await scheduler.stop();
    assertEquals(of("error").length, 150);
    assert(of("error")[0]!.error.message.startsWith('The schedule "odd0" of "'));
    assertEquals(await redis.zScore(keys.schedules_at, "orphan"), null);
    const odd = (await scheduler.list()).find((schedule) => schedule.name === "odd7");
    assertEquals(odd, { name: "odd7", nextAt: 7, firings: 0, skipped: 0 });
    // Without anybody to tell it to it ends the scheduler.
    const silent = new TaskScheduler<Tasks>(redis, { name });
    await assertRejects(() => limit(silent.run(), "run"), Error, 'The schedule "odd');
    // An onEvent that throws does, too.
    const broken = new TaskScheduler<Tasks>(redis, {
      name,
      onEvent: () => {
        throw new Error("mine");
      },
    });
    await assertRejects(() => limit(broken.run(), "run"), Error, "mine");
  },
);

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
