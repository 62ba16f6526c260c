/** One firing for each tick, whatever happens to the schedulers, to Redis, and to its keys. */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import { TaskScheduler } from "@workshop/redis-patterns/tasks";
import { queueKeys, SCHEDULE_KEY_TYPES, scheduleKeys } from "../redis/keys.ts";
import { FaultyProxy } from "./proxy.ts";
import { eventually, limit, redisTest, serverTest } from "./support.ts";
import {
  assertEachTickOnce,
  drain,
  pause,
  queueOf,
  redisNow,
  scheduling,
  type Tasks,
  working,
} from "./task_scheduler_support.ts";

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
