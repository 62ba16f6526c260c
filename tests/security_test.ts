/**
 * What the library does for security: accounts with no right that they do not use (`tools/acl.ts`, whose
 * sufficiency the suite in `leased_test.ts` shows), and passwords that appear nowhere. TLS is in
 * `tls_test.ts`, hostile data in `fuzz_test.ts`.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  connect,
  type ConnectedClient,
  ListQueue,
  listQueues,
  PriorityQueue,
  Publisher,
  ReliableQueue,
  StreamQueue,
  Subscriber,
  Worker,
  type WorkerSource,
} from "@workshop/redis-patterns";
import {
  type TaskHandlers,
  TaskMonitor,
  TaskProducer,
  TaskScheduler,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { aclFile, COMMANDS, type Role, ROLES, rulesOf, type Scope } from "../tools/acl.ts";
import { RedisServer } from "../tools/redis_server.ts";
import { run } from "../tools/run.ts";
import { eventually, limit, serverTest } from "./support.ts";

const ROOT = new URL("..", import.meta.url);

/** Makes the accounts, and gives a client for each. */
async function accounts(server: RedisServer, scope: Scope = {}) {
  const admin = await connect({ url: server.url });
  const as = async (role: Role) => {
    await admin.sendCommand(["ACL", "SETUSER", role, "on", ">secret", ...rulesOf(role, scope)]);
    return await connect({ url: server.url, username: role, password: "secret" });
  };
  const [producer, worker, dashboard] = [
    await as("producer"),
    await as("worker"),
    await as("dashboard"),
  ];
  return {
    ...{ admin, producer, worker, dashboard },
    [Symbol.asyncDispose]: () => {
      for (const client of [producer, worker, dashboard, admin]) client.destroy();
      return Promise.resolve();
    },
  };
}

/** Each kind of queue. */
function open(kind: string, client: ConnectedClient) {
  if (kind === "l") return new ListQueue<number>(client, kind);
  const Queue = { r: ReliableQueue, p: PriorityQueue, s: StreamQueue }[kind]!;
  return new Queue<number>(client, kind);
}

Deno.test("docs/redis.acl is what deno task acl prints", async () => {
  assertEquals(await Deno.readTextFile(new URL("docs/redis.acl", ROOT)), aclFile());
  const acl = (...args: string[]) =>
    run(Deno.execPath(), ["run", "-A", "tools/acl.ts", ...args], { cwd: ROOT.pathname });
  assertEquals((await acl()).stdout, aclFile().trim());
  const { stdout } = await acl("--queue", "mail", "--list", "tasks", "--channel", "orders:*");
  assertEquals(
    stdout,
    aclFile({ queues: ["mail"], lists: ["tasks"], channels: ["orders:*"] }).trim(),
  );
  assertStringIncludes((await acl("--queue", "a*")).stderr, 'must not contain "*"');
  assertStringIncludes((await acl("--list", "two words")).stderr, "cannot have spaces");
  assertStringIncludes((await acl("--queues", "a")).stderr, "Not understood: --queues");
  assertThrows(() => rulesOf("worker", { channels: ["a b"] }), TypeError, '"&a b"');
});

Deno.test("the accounts have no command that is never sent", async () => {
  let source = "";
  for (const folder of ["redis/", "queue/", "queue/tasks/", "pubsub/", "monitor/web/"]) {
    for await (const { name, isFile } of Deno.readDir(new URL(folder, ROOT))) {
      if (isFile) source += await Deno.readTextFile(new URL(folder + name, ROOT));
    }
  }
  // What the client library sends for us, by methods of its own or when it connects.
  const ours = ["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "client|setname"];
  for (const command of new Set(Object.values(COMMANDS).flat())) {
    const words = command.toUpperCase().split("|").map((word) => `"${word}"`).join(", ");
    assert(ours.includes(command) || source.includes(words), `nobody sends ${command}`);
  }
});

Deno.test("Redis starts with the ACL file, and nobody can log in without a password", async () => {
  const path = await Deno.makeTempFile({ suffix: ".acl" });
  try {
    await Deno.writeTextFile(path, aclFile({ queues: ["mail"], channels: ["orders:*"] }));
    await using server = await RedisServer.start({ config: { aclfile: path } });
    const redis = await connect({ url: server.url });
    const names = await redis.sendCommand(["ACL", "USERS"]) as string[];
    assertEquals(names.toSorted(), ["dashboard", "default", "producer", "worker"]);
    for (const username of ROLES) {
      const options = { url: server.url, username, password: "a guess" };
      await assertRejects(() => connect(options), Error, "WRONGPASS");
      await redis.sendCommand(["ACL", "SETUSER", username, "on", ">secret"]);
      const client = await connect({ ...options, password: "secret" });
      assertEquals(await client.ping(), "PONG");
      await client.close();
    }
    await redis.close();
  } finally {
    await Deno.remove(path);
  }
});

serverTest("every pattern works under the accounts of producer and worker", async (server) => {
  const scope = { queues: ["r", "p", "s"], lists: ["l"], channels: ["orders:*"] };
  await using as = await accounts(server, scope);
  for (const kind of ["r", "p", "s", "l"]) {
    for (const mode of ["polling", "blocking"] as const) {
      await using produced = open(kind, as.producer);
      await using worked = open(kind, as.worker);
      await using seen = open(kind, as.dashboard);
      await produced.enqueueMany([1, 2]);
      assertEquals((await seen.counts()).ready, 2);
      assertEquals((await seen.peek("ready")).messages.length, 2);
      const handled: number[] = [];
      const source: WorkerSource<{ payload: number }> = worked;
      const worker = new Worker(source, (n) => void handled.push(n), { mode });
      worker.start();
      await eventually(() => assertEquals(handled, [1, 2]));
      await worker.stop();
    }
  }
  assertEquals((await listQueues(as.dashboard)).map(({ name }) => name).toSorted(), [
    "p",
    "r",
    "s",
  ]);
  await using subscriber = new Subscriber<number>(as.worker);
  await subscriber.subscribe("orders:new");
  await subscriber.psubscribe("orders:*");
  assertEquals(await new Publisher(as.producer).publish("orders:new", 1), 2);
  await eventually(() => assertEquals(subscriber.take()?.payload, 1));
});

serverTest("tasks work under the accounts of producer, worker and dashboard", async (server) => {
  await using as = await accounts(server, { queues: ["tasks"] });
  interface Tasks {
    double(payload: number): number;
  }
  const handlers: TaskHandlers<Tasks> = {
    async double(n, { progress, attempt }) {
      await progress(n);
      if (n === 2 && attempt === 1) throw new Error("once");
      return 2 * n;
    },
  };
  await using producer = new TaskProducer<Tasks>(as.producer);
  await using monitor = new TaskMonitor<Tasks>(as.dashboard);
  await using scheduler = new TaskScheduler<Tasks>(as.worker);
  await scheduler.every("pulse", 1_000, "double", 7);
  for (const mode of ["polling", "blocking"] as const) {
    const backoff = { baseMs: 0 };
    await using worker = new TaskWorker<Tasks>(as.worker, { handlers, mode, backoff });
    worker.start();
    const tasks = await producer.addMany(
      [1, 2].map((payload) => ({ type: "double", payload }) as const),
    );
    assertEquals(await Promise.all(tasks.map((task) => task.result({ mode }))), [2, 4]);
    const dropped = await producer.schedule("double", 3, { delayMs: 60_000 });
    assertEquals(
      await new TaskProducer<Tasks>(as.worker).task("double", dropped.id).cancel(),
      true,
    );
    assertEquals((await monitor.task(tasks[0]!.id))?.state, "done");
    assertEquals((await monitor.recentTasks(2)).length, 2);
    assertEquals((await monitor.queueStats()).counts.dead, 0);
    assertEquals((await monitor.consumers()).length > 0, true);
    for await (const event of monitor.events({ since: "start", mode })) {
      assertEquals(event.event, "added");
      break;
    }
    assertEquals((await scheduler.list()).length, 1);
  }
  scheduler.start();
  await eventually(async () => assertEquals((await scheduler.list())[0]!.firings > 0, true), 5_000);
  await scheduler.stop();
});

serverTest("the accounts may do nothing else, and a refusal says NOPERM", async (server) => {
  await using as = await accounts(server, {
    queues: ["mail"],
    lists: ["l"],
    channels: ["orders:*"],
  });
  await new ReliableQueue(as.admin, "mail").enqueue(1);
  for (const role of ROLES) {
    const refused = [
      ["KEYS", "*"],
      ["SCAN", "0"],
      ["CONFIG", "GET", "*"],
      ["FLUSHALL"],
      ["FLUSHDB"],
      ["SHUTDOWN"],
      ["ACL", "WHOAMI"],
      ["MONITOR"],
      ["CLIENT", "LIST"],
      ["CLIENT", "KILL", "TYPE", "normal"],
      ["SCRIPT", "FLUSH"],
      ["FUNCTION", "LIST"],
      ["RESTORE", "queue:{mail}:x", "0", "x"],
      ["RENAME", "queue:{mail}:ready", "queue:{mail}:x"],
      ["SORT", "queue:{mail}:ready"],
      ["LLEN", "queue:{other}:ready"], // not its queue
      ["LLEN", "other"],
      ["EVAL", "return redis.call('LLEN', KEYS[1])", "1", "other"],
      ["EVAL", "return redis.call('LLEN', 'other')", "0"], // undeclared
      ["EVAL", "return redis.call('KEYS', '*')", "0"],
    ];
    for (const command of refused) {
      await assertRejects(
        () => as[role].sendCommand(command),
        Error,
        /^EVAL/.test(command[0]!) ? "" : "NOPERM",
        `${role}: ${command}`,
      );
    }
    const other = new ReliableQueue<number>(as[role], "other");
    await assertRejects(() => other.enqueue(1), Error, "NOPERM");
    await assertRejects(() => other.receive(), Error, "NOPERM");
  }
  const taking = new ReliableQueue<number>(as.producer, "mail");
  const before = await as.admin.dump("queue:{mail}:ready");
  await assertRejects(() => taking.receive(), Error, "can't run this command");
  const looking = new ReliableQueue<number>(as.dashboard, "mail");
  await assertRejects(() => looking.enqueue(1), Error, "can't run this command");
  await assertRejects(() => looking.receive(), Error, "can't run this command");
  await assertRejects(() => looking.purge("ready"), Error, "can't run this command");
  assertEquals(await as.admin.dump("queue:{mail}:ready"), before);
  assertEquals((await looking.counts()).ready, 1);
  await assertRejects(() => new ListQueue(as.producer, "l").receive(), Error, "NOPERM");
  await assertRejects(() => new ListQueue(as.dashboard, "l").enqueue(1), Error, "NOPERM");
  await assertRejects(() => new Publisher(as.producer).publish("other", 1), Error, "NOPERM");
  await assertRejects(() => new Publisher(as.dashboard).publish("orders:x", 1), Error, "NOPERM");
  await using subscriber = new Subscriber(as.worker);
  await assertRejects(() => subscriber.subscribe("other"), Error, "NOPERM");
  // A worker that may not work ends with the reason, and does not try for ever.
  const worker = new Worker(looking, () => {});
  await assertRejects(() => limit(worker.run(), "the worker"), Error, "can't run this command");
});

serverTest("no password appears in an error, an event, or what a client shows", async (server) => {
  const password = "hunter2:p@ss/w%rd";
  const told: unknown[] = [];
  const redis = await connect({ url: server.url, password, onEvent: (event) => told.push(event) });
  const queue = new ReliableQueue<number>(redis, "q", { leaseMs: 500 });
  const worker = new Worker(queue, () => {
    throw new Error("no");
  }, { onEvent: (event) => told.push(event) });
  const working = worker.start().catch((error) => told.push(error));
  await using subscriber = new Subscriber(redis, { onEvent: (event) => told.push(event) });
  await subscriber.subscribe("news");
  await queue.enqueue(1);
  await server.kill();
  const receiving = queue.receive({ waitMs: 500 }).catch((error) => told.push(error));
  await assertRejects(() => new ListQueue(redis, "l").enqueue(1)).then((error) => told.push(error));
  await server.restart();
  await receiving;
  await eventually(async () => assertEquals(await redis.ping(), "PONG"));
  await redis.sendCommand(["CONFIG", "SET", "requirepass", "another"]);
  await redis.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"]).catch(() => {});
  await eventually(async () => {
    told.push(await assertRejects(() => queue.enqueue(1)));
    assert(
      told.some((what) => /WRONGPASS/.test(Deno.inspect(what))),
      "the new password is asked for",
    );
  }, 15_000);
  await worker.stop().catch((error) => told.push(error));
  await working;
  for (const url of ["redis://:hunter2@nowhere.invalid", "redis://ann:hunter2@127.0.0.1:1"]) {
    told.push(await assertRejects(() => connect({ url, timeoutMs: 200 })));
  }
  redis.destroy();
  assert(told.length > 8);
  for (const what of told) {
    const shown = Deno.inspect(what, { depth: 20, showHidden: true });
    assert(!/hunter2/.test(shown), shown);
  }
}, { password: "hunter2:p@ss/w%rd" });
