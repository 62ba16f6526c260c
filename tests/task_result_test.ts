/**
 * Waiting for the end of a task: what it costs, and what it survives.
 */

import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import { TaskError, TaskProducer } from "@workshop/redis-patterns/tasks";
import { FaultyProxy } from "./proxy.ts";
import { commandsDuring, eventually, limit, serverTest } from "./support.ts";
import { HANDLERS, pause, type Tasks, taskTest } from "./task_support.ts";
import type { RedisServer } from "../tools/redis_server.ts";

/** How many listen to a channel, as redis-cli says. */
async function numSub(server: RedisServer, channel: string): Promise<string> {
  return (await server.cli("PUBSUB", "NUMSUB", channel)).trim().split("\n")[1]!;
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
    let endedAt = 0;
    const commands = await commandsDuring(test.url, async () => {
      const asking = asker.task("slow", task.id).result();
      await pause(50);
      endedAt = performance.now();
      finish();
      assertEquals(await asking, "now");
      waits.push(performance.now() - endedAt);
    });
    // The first time one of the two is the subscription.
    const asked = commands.filter((command) =>
      ["HMGET", "SUBSCRIBE", "HGET", "GET"].includes(command)
    );
    assertLess(asked.length, 3, `${commands}`);
    const others = commands.filter((command) => !asked.includes(command));
    assertEquals(others.filter((command) => !["EVALSHA", "EVAL", "BLPOP"].includes(command)), []);
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

taskTest("what somebody else publishes is no end of a task", async (test) => {
  const producer = test.producer();
  const task = await producer.add("process_data", { data: 1 });
  const asking = task.result();
  asking.catch(() => {}); // awaited below
  const channel = `${test.key("records")}:ended`;
  await eventually(async () => {
    assertEquals(Object.values(await test.redis.pubSubNumSub(channel)), [1]);
  });
  const bytes = (text: string) => `${text.length}`;
  for (
    const said of [
      "",
      "\n",
      "-5 0\n", // read by its word, it would be read again and again
      "0 -4\n",
      "1e1 0\nabcdefghij",
      "9999999999999999999999 0\n",
      "17",
      "a b\n",
      `${bytes(task.id)} 4\n${task.id}dead`,
      `${bytes(task.id)} 12\n${task.id}done\t1\t2\t3\n7`,
      `${bytes(task.id)} 99\n${task.id}`,
    ]
  ) await test.redis.publish(channel, said);
  test.worker();
  assertEquals((await asking).processed_data, 2);
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
  // On a busy machine its short heartbeat has it connect anew once more, and a socket that is being made has a timer.
  await eventually(() => assert(client.isReady));
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

serverTest(
  "nobody who asks for a result of what was closed leaves a timer behind",
  async (server) => {
    const redis = await connect({ url: server.url });
    const producer = new TaskProducer<Tasks>(redis, { name: "t" });
    const task = await producer.add("slow", { ms: 0 });
    const asking = assertRejects(() => task.result({ waitMs: 10_000 }), TypeError, "closed");
    await eventually(async () => {
      assertMatch(await server.cli("PUBSUB", "CHANNELS", "*"), /\{t\}/);
    });
    await producer.close();
    await asking;
    await assertRejects(() => task.result({ waitMs: 10_000 }), TypeError, "closed");
    await redis.close(); // what is left now Deno tells
  },
);
