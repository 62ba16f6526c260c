/**
 * Events of tasks, as a `TaskMonitor` follows them: nothing lost, nothing twice, and a word where
 * something was trimmed.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import {
  NoTaskEventsError,
  type TaskEvent,
  type TaskEventGap,
  TaskMonitor,
  TaskProducer,
  type TaskQueueOptions,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { queueKeys } from "../redis/keys.ts";
import { FaultyProxy } from "./proxy.ts";
import {
  commandsDuring,
  connectedClients,
  eventually,
  type Fixture,
  limit,
  redisTest,
  serverTest,
} from "./support.ts";

interface Tasks {
  count(payload: { n: number }): number;
}
type Told = TaskEvent | TaskEventGap;

const MODES = ["blocking", "polling"] as const;
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const tasks = (ns: number[]) => ns.map((n) => ({ type: "count" as const, payload: { n } }));

/** A test with a queue of its own, whose keys go with it. */
function eventsTest(
  title: string,
  run: (
    test: Fixture & {
      key: string;
      producer: TaskProducer<Tasks>;
      monitor: TaskMonitor<Tasks>;
    },
  ) => Promise<void>,
  options: TaskQueueOptions<Tasks> = {},
): void {
  redisTest(title, async (test) => {
    const { redis, name } = test;
    const keys = queueKeys(name);
    const producer = new TaskProducer<Tasks>(redis, { name, ...options });
    const monitor = new TaskMonitor<Tasks>(redis, { name, ...options });
    try {
      await run({ ...test, key: keys.events, producer, monitor });
      await redis.unlink(Object.values(keys));
    } finally {
      await monitor.close();
      await producer.close();
    }
  });
}

/** The next `count` of them. */
async function next(events: AsyncGenerator<Told, void, void>, count: number): Promise<Told[]> {
  const told: Told[] = [];
  while (told.length < count) {
    const { done, value } = await limit(events.next(), `event ${told.length + 1} of ${count}`, 8e3);
    if (done) throw new Error(`ended after ${told.length} of ${count} events`);
    told.push(value);
  }
  return told;
}

/** The next `count`, and then it is left. */
async function take(events: AsyncGenerator<Told, void, void>, count: number): Promise<Told[]> {
  const told = await next(events, count);
  await events.return();
  return told;
}

/** What happened to whom. */
const brief = (events: Told[]) =>
  events.map((told) => told.event === "gap" ? "gap" : `${told.event} ${told.id}`);

/** The ids of tasks in the order of the events of one kind. */
const idsOf = (events: Told[]) => events.map((told) => told.event === "gap" ? "gap" : told.id);

for (const mode of MODES) {
  eventsTest(
    `TaskMonitor.events tells what happens to a task, in order (${mode})`,
    async (test) => {
      const { monitor, producer, redis, name } = test;
      const events = monitor.events({ since: await monitor.cursor(), mode, pollMs: 10 });
      let attempts = 0;
      const worker = new TaskWorker<Tasks>(redis, {
        name,
        maxAttempts: 2,
        backoff: { baseMs: 0 },
        handlers: {
          async count({ n }, context) {
            if (n === 0) throw new Error("no good");
            if (attempts++ === 0) await context.progress({ done: 1, of: n });
            return n;
          },
        },
      });
      const good = await producer.add("count", { n: 2 });
      const later = await producer.schedule("count", { n: 3 }, { delayMs: 60_000 });
      worker.start();
      await good.result();
      await later.cancel();
      const bad = await producer.add("count", { n: 0 });
      await bad.outcome();
      await worker.stop();
      await monitor.queue.redrive();

      const told = await take(events, 13);
      assertEquals(brief(told), [
        `added ${good.id}`,
        `added ${later.id}`,
        `started ${good.id}`,
        `progress ${good.id}`,
        `done ${good.id}`,
        `cancelled ${later.id}`,
        `added ${bad.id}`,
        `started ${bad.id}`,
        `failed ${bad.id}`,
        `started ${bad.id}`,
        `failed ${bad.id}`,
        `dead ${bad.id}`,
        `redriven ${bad.id}`,
      ]);
      const known = told as TaskEvent[];
      assertEquals(known.map(({ attempt }) => attempt), [0, 0, 1, 1, 1, 0, 0, 1, 1, 2, 2, 2, 0]);
      assertEquals(new Set(known.map(({ type }) => type)), new Set(["count"]));
      const [, , started, progress, , , , , failed, , , dead] = known;
      assert(started!.consumer && started!.consumer === dead!.consumer, "it was the same worker");
      assertEquals(progress!.event === "progress" && progress!.progress, { done: 1, of: 2 });
      assertEquals(failed!.event === "failed" && failed!.error?.message, "Error: no good");
      assert(dead?.event === "dead");
      assertEquals([dead.reason, dead.error?.message], [
        "after 2 attempts: Error: no good",
        "Error: no good",
      ]);
      for (const { at } of known) assertLess(Math.abs(at - Date.now()), 20_000);
    },
  );

  eventsTest(
    `TaskMonitor.events goes on behind every cursor, also inside an entry (${mode})`,
    async (test) => {
      const { monitor, producer, redis, key } = test;
      const added = await producer.addMany(tasks(numbers(40)));
      assertEquals(await redis.xLen(key), 3, "16, 16 and 8 tasks");
      const all = await take(monitor.events({ since: "start", mode, pollMs: 10 }), 40);
      assertEquals(idsOf(all), added.map(({ id }) => id));
      assertEquals(new Set(all.map(({ cursor }) => cursor)).size, 40);
      const last = await producer.add("count", { n: 40 });
      for (const [i, { cursor }] of all.entries()) {
        const rest = await take(monitor.events({ since: cursor, mode, pollMs: 10 }), 40 - i);
        assertEquals(idsOf(rest), [...added.slice(i + 1), last].map(({ id }) => id), `after ${i}`);
      }
    },
  );

  eventsTest(
    `TaskMonitor.events tells two followers what was, and then what happens (${mode})`,
    async (test) => {
      const { monitor, producer } = test;
      const before = await producer.addMany(tasks(numbers(300)));
      const followers = numbers(2).map(() => monitor.events({ since: "start", mode, pollMs: 10 }));
      const seen = await Promise.all(followers.map((events) => next(events, 250)));
      const waiting = followers.map((events) => take(events, 350));
      const live = [];
      for (const n of numbers(300)) live.push(await producer.add("count", { n }));
      const ids = [...before, ...live].map(({ id }) => id);
      for (const [i, rest] of (await Promise.all(waiting)).entries()) {
        assertEquals(idsOf([...seen[i]!, ...rest]), ids);
      }
    },
  );

  eventsTest(`TaskMonitor.events begins now unless told otherwise (${mode})`, async (test) => {
    const { monitor, producer } = test;
    await producer.addMany(tasks(numbers(20)));
    const events = monitor.events({ mode, pollMs: 10 });
    const first = events.next();
    await pause(100);
    const { id } = await producer.add("count", { n: 20 });
    const { value } = await limit(first, "the first event");
    assertEquals(value && value.event !== "gap" && value.id, id);
    await events.return();
  });

  eventsTest(
    `TaskMonitor.events neither loses nor repeats when connections are cut (${mode})`,
    async (test) => {
      const { name, url, producer, redis } = test;
      await using proxy = await FaultyProxy.start({ port: Number(new URL(url).port) });
      await using client = await connect({ url: proxy.url, heartbeatMs: 0 });
      await using monitor = new TaskMonitor<Tasks>(client, { name });
      let lost = 0;
      const events = monitor.events({
        since: await monitor.cursor(),
        mode,
        pollMs: 5,
        onEvent: ({ type }) => void (type === "retrying" && lost++),
      });
      const ids: string[] = [];
      const producing = (async () => {
        for (const round of numbers(60)) {
          const added = await producer.addMany(tasks(numbers(1 + round % 20)));
          ids.push(...added.map(({ id }) => id));
          if (round % 4 === 0) proxy.cut();
          if (round % 10 === 5) await redis.sendCommand(["CLIENT", "KILL", "TYPE", "normal"]);
          await pause(20);
        }
      })();
      const count = numbers(60).reduce((sum, round) => sum + 1 + round % 20, 0);
      const told = await take(events, count);
      await producing;
      assertEquals(idsOf(told), ids);
      assert(lost > 0, "connections were lost while it read");
    },
  );

  eventsTest(`TaskMonitor.events goes on where a reply was lost (${mode})`, async (test) => {
    const { name, url, producer } = test;
    await using proxy = await FaultyProxy.start({ port: Number(new URL(url).port) });
    await using client = await connect({ url: proxy.url, heartbeatMs: 0 });
    await using monitor = new TaskMonitor<Tasks>(client, { name });
    const events = monitor.events({ since: await monitor.cursor(), mode, pollMs: 5 });
    const ids: string[] = [];
    for (const round of numbers(5)) {
      const dropped = proxy.dropReplies((request, reply) =>
        /XRANGE/.test(request) && reply.includes("added")
      );
      const added = await producer.addMany(tasks([round, round]));
      ids.push(...added.map(({ id }) => id));
      const told = next(events, 2);
      await limit(dropped, "a reply with events");
      assertEquals(idsOf(await told), ids.slice(-2));
    }
    await events.return();
  });

  eventsTest(`TaskMonitor.events says where events were trimmed, once (${mode})`, async (test) => {
    const { monitor, producer, redis, key } = test;
    const follow = (since: string) => monitor.events({ since, mode, pollMs: 10 });
    const added = await producer.addMany(tasks(numbers(64)));
    const all = await take(follow("start"), 64);
    const inFirst = all[3]!.cursor;
    await redis.xTrim(key, "MAXLEN", 2);

    const [gap, ...rest] = await take(follow(inFirst), 33);
    assertEquals(idsOf(rest), added.slice(32).map(({ id }) => id));
    assert(gap?.event === "gap");
    assertEquals(gap.after, inFirst);
    assertEquals(gap.at, rest[0]!.at);
    assertEquals(brief(await take(follow(gap.cursor), 32)), brief(rest), "told of already");
    assertEquals(brief(await take(follow("start"), 32)), brief(rest), "all that is kept");
    assertEquals(
      brief(await take(follow(all[40]!.cursor), 23)),
      brief(rest.slice(9)),
      "nothing missed",
    );

    await redis.xTrim(key, "MAXLEN", 1);
    const [again, next] = await take(follow(gap.cursor), 2);
    assertEquals([again?.event, idsOf([next!])], ["gap", [added[48]!.id]]);
  });

  eventsTest(`TaskMonitor.events says so when it was overtaken (${mode})`, async (test) => {
    const { monitor, producer, redis, key } = test;
    await producer.add("count", { n: 0 });
    const events = monitor.events({ since: "start", mode, pollMs: 10 });
    await next(events, 1);
    await producer.addMany(tasks(numbers(500)));
    await redis.xTrim(key, "MAXLEN", 2);
    const told = await next(events, 1 + 16 + 4);
    assertEquals(told.map(({ event }) => event).indexOf("gap"), 0);
    await redis.del(key);
    const { id } = await producer.add("count", { n: 1 });
    assertEquals(brief(await next(events, 2)), ["gap", `added ${id}`], "somebody removed it");
    await events.return();
  });

  eventsTest(`TaskMonitor.events begins anew where the stream does (${mode})`, async (test) => {
    const { monitor, producer, redis, key } = test;
    const { id } = await producer.add("count", { n: 0 });
    const events = monitor.events({ since: "start", mode, pollMs: 10 });
    await next(events, 1);
    const [entry] = (await redis.xRange(key, "-", "+"))!;
    // As where it is removed and written to within a millisecond: the new id is not behind the old one.
    await redis.multi().del(key).xAdd(key, "5-0", entry!.message).exec();
    assertEquals(brief(await next(events, 2)), ["gap", `added ${id}`]);
    await producer.add("count", { n: 1 });
    assertEquals((await next(events, 1)).map(({ event }) => event), ["added"]);
    await events.return();
  });

  eventsTest(
    `TaskMonitor.events says so when an empty stream filled up meanwhile (${mode})`,
    async (test) => {
      const { monitor, producer, redis, key } = test;
      const since = await monitor.cursor();
      const fresh = await producer.addMany(tasks(numbers(32)));
      const told = await take(monitor.events({ since, mode, pollMs: 10 }), 32);
      assertEquals(idsOf(told), fresh.map(({ id }) => id), "nothing was trimmed");
      await producer.addMany(tasks(numbers(16 * 300)));
      await redis.xTrim(key, "MAXLEN", 200);
      const [first] = await take(monitor.events({ since, mode, pollMs: 10 }), 1);
      assertEquals(first?.event, "gap");
      const [oldest] = await take(monitor.events({ since: "start", mode, pollMs: 10 }), 1);
      assertEquals(oldest?.event, "added", "who asks for what is kept misses nothing");
    },
    { maxEvents: 200 },
  );

  eventsTest(
    `TaskMonitor.events passes by what somebody else has written (${mode})`,
    async (test) => {
      const { monitor, producer, redis, key } = test;
      const foreign: Record<string, string>[] = [
        { hello: "world" },
        { added: "" },
        { added: "no tabs" },
        { added: "id\ttype\tmany\tme" },
        { done: "\t\t1\t" },
        { done: "a\tcount\t1\tme", and: "more" },
        { progress: "\n\n" },
        { toString: "a\tcount\t1\tme" },
      ];
      const first = await producer.add("count", { n: 1 });
      for (const fields of foreign) await redis.xAdd(key, "*", fields);
      for (const _ of numbers(250)) await redis.xAdd(key, "*", { hello: "world" });
      await redis.xAdd(key, "*", { failed: `${first.id}\tcount\t1\tme\t{broken` });
      await redis.xAdd(key, "*", { dead: `${first.id}\tcount\t1\tme\t{"reason":7}` });
      const last = await producer.add("count", { n: 2 });
      const told = await take(monitor.events({ since: "start", mode, pollMs: 10 }), 4);
      assertEquals(brief(told), [
        `added ${first.id}`,
        `failed ${first.id}`,
        `dead ${first.id}`,
        `added ${last.id}`,
      ]);
      assertEquals(told[1]!.event === "failed" && told[1]!.error, undefined);
      assertEquals(told[2]!.event === "dead" && told[2]!.reason, "no reason on record");
      assertEquals((await monitor.recentTasks(10)).length, 2);
    },
  );

  eventsTest(
    `TaskMonitor.events ends when told to, and leaves no connection (${mode})`,
    async (test) => {
      const { monitor, redis, producer } = test;
      const before = await connectedClients(redis);
      const opened = mode === "blocking" ? 1 : 0;
      const ends: ((aborter: AbortController) => unknown)[] = [
        (aborter) => aborter.abort(new Error("enough")),
        () => monitor.close(),
      ];
      for (const end of ends) {
        const aborter = new AbortController();
        const events = monitor.events({ mode, signal: aborter.signal });
        const waiting = events.next();
        await eventually(async () => assertEquals(await connectedClients(redis), before + opened));
        await pause(50);
        const endedAt = performance.now();
        await end(aborter);
        assertEquals(await limit(waiting, "the end"), { done: true, value: undefined });
        assertLess(performance.now() - endedAt, 2_000);
        await eventually(async () => assertEquals(await connectedClients(redis), before));
      }
      await using other = new TaskMonitor<Tasks>(redis, { name: test.name });
      await producer.add("count", { n: 1 });
      for await (const { event } of other.events({ since: "start", mode })) {
        assertEquals(event, "added");
        break;
      }
      await eventually(async () => assertEquals(await connectedClients(redis), before));
      const aborted = other.events({ since: "start", mode, signal: AbortSignal.abort() });
      assertEquals((await aborted.next()).done, true, "aborted before");
    },
  );

  serverTest(
    `TaskMonitor.events survives a server that loses everything (${mode})`,
    async (server) => {
      await using redis = await connect({ url: server.url, heartbeatMs: 0 });
      await using producer = new TaskProducer<Tasks>(redis);
      await using monitor = new TaskMonitor<Tasks>(redis);
      const events = monitor.events({ since: "start", mode, pollMs: 20 });
      const first = await producer.add("count", { n: 1 });
      assertEquals(brief(await next(events, 1)), [`added ${first.id}`]);
      const waiting = next(events, 2);
      await server.kill();
      await server.restart();
      const second = await eventually(() => producer.add("count", { n: 2 }), 10_000);
      assertEquals(brief(await waiting), ["gap", `added ${second.id}`]);
      await events.return();
    },
  );
}

eventsTest("TaskMonitor.events tells the same in both modes", async (test) => {
  const { monitor, producer, redis, name } = test;
  const both = MODES.map((mode) => monitor.events({ since: "0-0", mode, pollMs: 5 }));
  const following = both.map((events) => take(events, 900));
  const handlers = { count: ({ n }: { n: number }) => n };
  const worker = new TaskWorker<Tasks>(redis, { name, handlers, concurrency: 7 });
  worker.start();
  for (const n of numbers(30)) await producer.addMany(tasks(numbers(10, 10 * n)));
  const [blocking, polling] = await Promise.all(following);
  assertEquals(blocking, polling);
  const ends = blocking!.filter(({ event }) => event === "done");
  assertEquals(new Set(idsOf(ends)).size, 300);
  await worker.stop();
});

eventsTest(
  "TaskMonitor.events reads page by page, and waits by one command with the read behind it",
  async (test) => {
    const { monitor, producer, url } = test;
    for (const n of numbers(250)) await producer.add("count", { n });
    const backlog = monitor.events({ since: "start" });
    const read = await commandsDuring(url, async () => void await next(backlog, 250));
    assertEquals(read, ["XRANGE", "XRANGE", "XRANGE"]);
    const waiting = next(backlog, 3);
    await pause(100);
    const live = await commandsDuring(url, async () => {
      await producer.addMany(tasks([1, 2, 3]));
      await waiting;
    });
    await backlog.return();
    assertEquals(live.filter((command) => command !== "EVALSHA"), ["XRANGE"]);
    const aborter = new AbortController();
    const polls = await commandsDuring(url, async () => {
      const polling = monitor.events({ mode: "polling", pollMs: 100, signal: aborter.signal });
      const asked = polling.next();
      await pause(550);
      aborter.abort();
      await asked;
    });
    assertEquals(polls[0], "XREVRANGE");
    assertEquals(new Set(polls.slice(1)), new Set(["XRANGE"]));
    assert(polls.length >= 3 && polls.length <= 8, String(polls));
  },
);

eventsTest("TaskMonitor.events refuses what means nothing, at once", async (test) => {
  const { monitor } = test;
  const bad = (options: object) => () => monitor.events(options);
  for (
    const since of ["", "then", "1-", "1-1.", "1-1.1234", "-", "99999999999999999999-0", 5, null]
  ) {
    assertThrows(bad({ since }), RangeError, "since");
  }
  assertThrows(bad({ from: "start" }), TypeError, 'events has no option "from"');
  assertThrows(bad({ mode: "push" }), TypeError, "push");
  assertThrows(bad({ pollMs: 0 }), RangeError, "pollMs");
  assertThrows(bad({ signal: new AbortController() }), TypeError, "controller.signal");
  await monitor.events({ since: "18446744073709551615-18446744073709551615" }).return();
});

eventsTest("TaskMonitor.events says when events are off", async (test) => {
  const { monitor, producer } = test;
  await producer.add("count", { n: 1 });
  assertThrows(() => monitor.events(), NoTaskEventsError, "maxEvents is 0");
  await assertRejects(() => monitor.recentTasks(), NoTaskEventsError, test.name);
}, { maxEvents: 0 });

eventsTest("TaskMonitor.events names a key of another type", async (test) => {
  const { monitor, redis, key } = test;
  await redis.set(key, "somebody's");
  for (const mode of MODES) {
    const events = monitor.events({ since: "start", mode });
    await assertRejects(() => events.next(), TypeError, `${key} is a string`);
  }
});
