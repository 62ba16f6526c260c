/**
 * A cluster and a master with Sentinels, for real: connecting, failovers with consumers that wait, slots
 * that move under load, writes that are lost and said to be. Faults are real: `kill -9`, SIGSTOP,
 * `CLUSTER FAILOVER`.
 *
 * How long a failover took is printed; what is asserted leaves room for a busy machine.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- how long a failover took is worth a line
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  connect,
  type ConnectOptions,
  type Enqueued,
  ListQueue,
  listQueues,
  Publisher,
  type RedisClient,
  RedisConnectionError,
  ReliableQueue,
  Subscriber,
  Worker,
} from "@workshop/redis-patterns";
import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { createCluster, createSentinel } from "redis";
import { call } from "../redis/call.ts";
import { REGISTRY_KEY } from "../redis/keys.ts";
import { slotOf } from "../redis/slots.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import { RedisSentinel } from "../tools/redis_sentinel.ts";
import { freePort, RedisServer } from "../tools/redis_server.ts";
import { KINDS } from "./leased_kinds.ts";
import { FaultyProxy } from "./proxy.ts";
import { connectedClients, eventually, limit, serverTest } from "./support.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A client of npm:redis that is closed between two attempts to connect leaves that timer to run out. */
const LAST_TIMER_MS = 300;

function clusterTest(title: string, run: (cluster: RedisCluster) => Promise<void>): void {
  Deno.test(title, async () => {
    await using cluster = await RedisCluster.start({ password: "hunter2" });
    await limit(run(cluster), title, 60_000);
    await pause(LAST_TIMER_MS);
  });
}

function sentinelTest(title: string, run: (all: RedisSentinel) => Promise<void>): void {
  Deno.test(title, async () => {
    await using all = await RedisSentinel.start({ password: "hunter2" });
    await limit(run(all), title, 60_000);
    await pause(LAST_TIMER_MS);
  });
}

Deno.test("slotOf is what CLUSTER KEYSLOT says", () => {
  // From the cluster's specification, and asked of a server.
  const known = { "123456789": 0x31C3, foo: 12_182, "{user1000}.following": 3_443, "": 0 };
  for (const [key, slot] of Object.entries(known)) assertEquals(slotOf(key), slot);
  assertEquals(slotOf("{user1000}.followers"), slotOf("user1000"));
  assertEquals(slotOf("foo{}{bar}"), 8_363); // empty braces are no tag
  assertEquals(slotOf("foo{{bar}}zap"), slotOf("{bar"));
});

Deno.test("connect refuses what is no list of nodes, without its password", async () => {
  const bad: [ConnectOptions, string][] = [
    [{ cluster: { nodes: [] } }, "empty"],
    [{ cluster: { nodes: "127.0.0.1:7000" as never } }, "cluster.nodes"],
    [{ cluster: { nodes: ["127.0.0.1:7000", 7 as never] } }, "cluster.nodes[1]"],
    [{ cluster: { nodes: ["ann:hunter2@127.0.0.1:7000"] } }, "username and password"],
    [{ cluster: { nodes: ["127.0.0.1:70000"] } }, "host:port"],
    [{ cluster: { nodes: ["redis://a:1", "rediss://b:2"] } }, "all be rediss"],
    [{ cluster: { nodes: ["a:1"], node: 1 } as never }, '"node"'],
    [{ sentinel: { nodes: ["a:1"] } as never }, "sentinel.name"],
    [{ sentinel: { name: "", nodes: ["a:1"] } }, "sentinel.name"],
    [{ cluster: { nodes: ["a:1"] }, url: "redis://b" }, "url or cluster"],
    [
      { cluster: { nodes: ["a:1"] }, sentinel: { name: "m", nodes: ["a:1"] } },
      "cluster or sentinel",
    ],
    [{ url: "redis+cluster://ann:hunter2@" }, "redis+cluster://***@"],
    [{ url: "redis+cluster://ann:hunter2@a:1/0" }, "redis+cluster://***@"],
    [{ url: "redis+sentinel://ann:hunter2@a:1" }, "redis+sentinel://***@"],
    [{ url: "redis+sentinel://ann:hunter2@a:1/m/x" }, "redis+sentinel://***@"],
    [{ url: "redis+cluster://a:1", tls: {} }, "rediss://"],
  ];
  for (const [options, says] of bad) {
    const error = await assertRejects(
      () => connect({ ...options, timeoutMs: 100 }),
      TypeError,
      says,
    );
    assert(!error.message.includes("hunter2"), error.message);
  }
});

Deno.test("connect says that no node of the cluster, or Sentinel, answered", async () => {
  const nodes = [freePort(), freePort()].map((port) => `127.0.0.1:${port}`);
  for (const options of [{ cluster: { nodes } }, { sentinel: { name: "mymaster", nodes } }]) {
    const startedAt = performance.now();
    const error = await assertRejects(
      () => connect({ ...options, password: "hunter2", timeoutMs: 500 } as ConnectOptions),
      RedisConnectionError,
      "connection refused",
    );
    for (const node of nodes) assertStringIncludes(error.message, node);
    assert(!error.message.includes("hunter2"));
    assertLess(performance.now() - startedAt, 3_000);
  }
});

serverTest("connect says that a server is no cluster, and no Sentinel", async ({ host, port }) => {
  const nodes = [`${host}:${port}`];
  await assertRejects(
    () => connect({ cluster: { nodes }, timeoutMs: 500 }),
    RedisConnectionError,
    "cluster support disabled",
  );
  await assertRejects(
    () => connect({ sentinel: { name: "mymaster", nodes }, timeoutMs: 500 }),
    RedisConnectionError,
    "unknown command",
  );
});

clusterTest(
  "connect to a cluster: credentials, keys of two slots, a node taken for all",
  async (cluster) => {
    const { addresses: nodes } = cluster;
    const wrong = await assertRejects(
      () => connect({ cluster: { nodes }, password: "hunter3", timeoutMs: 20_000 }),
      RedisConnectionError,
      "WRONGPASS",
    );
    assert(wrong.fatal && !wrong.message.includes("hunter3"));
    await assertRejects(() => connect({ cluster: { nodes } }), RedisConnectionError, "NOAUTH");
    // One of which others are dead: the rest is found.
    const some = [`127.0.0.1:${freePort()}`, nodes[4]!];
    await using redis = await connect({ cluster: { nodes: some }, password: "hunter2" });
    assertEquals(await redis.set("a", "1"), "OK"); // a client of npm:redis, for commands of one's own
    assertEquals(await redis.get("a"), "1");
    const two = await assertRejects(
      () => call(redis, ["EVAL", "return 1", "2", "a", "b"]),
      TypeError,
    );
    assertStringIncludes(two.message, `"a" is in slot ${slotOf("a")}`);
    assertEquals(await call(redis, ["EVAL", "return 1", "2", "{x}a", "{x}b"]), 1);

    // Connected to as if it were alone: it says so, instead of waiting for what cannot be.
    const other = await cluster.masterOf("queue:{alone}:ready");
    const node = cluster.nodes.slice(0, 3).find((master) => master !== other)!;
    await using alone = await connect({ url: node.url });
    const queue = new ReliableQueue(alone, "alone");
    const error = await assertRejects(() => queue.enqueue(1), RedisConnectionError);
    assertStringIncludes(error.message, "connect({ cluster:");
    assert(!error.fatal); // a loop is there when the slot comes back
  },
);

clusterTest(
  "everything works on a cluster, with connect's client and with one's own",
  async (cluster) => {
    await using ours = await connect({ url: cluster.url });
    const rootNodes = cluster.addresses.map((address) => ({ url: `redis://${address}` }));
    const theirs = createCluster({ rootNodes, defaults: { password: "hunter2" } });
    theirs.on("error", () => {});
    await theirs.connect();
    try {
      for (const [who, redis] of Object.entries({ ours, theirs })) await tryAll(redis, who);
      assertGreater((await listQueues(ours)).length, 5);
    } finally {
      await theirs.close();
    }
  },
);

sentinelTest(
  "everything works behind Sentinels, with connect's client and with one's own",
  async (all) => {
    await using ours = await connect({
      sentinel: { name: "mymaster", nodes: all.addresses },
      password: "hunter2",
    });
    assertEquals(await ours.set("a", "1"), "OK");
    const theirs = createSentinel({
      name: "mymaster",
      sentinelRootNodes: all.sentinels.map(({ host, port }) => ({ host, port })),
      nodeClientOptions: { password: "hunter2" },
    });
    theirs.on("error", () => {});
    await theirs.connect();
    try {
      for (const [who, redis] of Object.entries({ ours, theirs })) await tryAll(redis, who);
    } finally {
      await theirs.close();
    }
  },
);

clusterTest("what is closed while it connects leaves no connection", async (cluster) => {
  const watchers = await Promise.all(
    cluster.nodes.map(({ url }) => connect({ url, heartbeatMs: 0 })),
  );
  const count = async () => {
    const counts = await Promise.all(watchers.map(connectedClients));
    return counts.reduce((sum, each) => sum + each, 0);
  };
  try {
    const before = await count();
    for (let i = 0; i < 20; i++) {
      const redis = await connect({ url: cluster.url });
      // To the masters that it has no connection to yet.
      const calls = ["a", "b", "c", "d"].map((key) => call(redis, ["EXISTS", key]));
      for (const one of calls) one.catch(() => {});
      for (let turns = 0; turns < i; turns++) await Promise.resolve();
      redis.destroy();
      await Promise.allSettled(calls);
    }
    await eventually(async () => assertEquals(await count(), before));
    for (let i = 0; i < 20; i++) {
      const stop = new AbortController();
      const connecting = connect({ url: cluster.url, signal: stop.signal });
      await pause(i / 4);
      stop.abort();
      await connecting.then((redis) => redis.destroy(), () => {});
    }
    await eventually(async () => assertEquals(await count(), before));
  } finally {
    for (const watcher of watchers) watcher.destroy();
  }
});

/** Each pattern once. */
async function tryAll(redis: RedisClient, who: string): Promise<void> {
  await using list = new ListQueue<string>(redis, `${who}_list`);
  const first = list.receive({ waitMs: 5_000 });
  await pause(50);
  await list.enqueue("hello");
  assertEquals((await first)?.payload, "hello");

  for (const [kind, make] of Object.entries(KINDS)) {
    await using queue = make(redis, `${who}_${kind}`);
    await using worker = new Worker(queue, () => {}, { concurrency: 10 });
    worker.start();
    await queue.enqueueMany(Array.from({ length: 200 }, (_, i) => i));
    await eventually(async () => {
      const { totals } = await queue.stats();
      assertEquals([totals.enqueued, totals.acked], [200, 200]);
    }, 10_000);
    assertEquals((await queue.consumers()).length, 1);
  }

  interface Tasks {
    double(n: number): number;
  }
  const name = `${who}_tasks`;
  await using producer = new TaskProducer<Tasks>(redis, { name });
  await using worker = new TaskWorker<Tasks>(redis, { name, handlers: { double: (n) => 2 * n } });
  worker.start();
  const results = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => (await producer.add("double", i)).result()),
  );
  assertEquals(results, Array.from({ length: 20 }, (_, i) => 2 * i));

  await using subscriber = new Subscriber<number>(redis);
  await subscriber.subscribe(`${who}_news`);
  await new Publisher(redis).publish(`${who}_news`, 7);
  for await (const { payload } of subscriber) {
    assertEquals(payload, 7);
    break;
  }
}

/** A worker and a producer at work while `fault` happens: each message once, and how long it took. */
async function throughFault(
  redis: RedisClient,
  name: string,
  fault: () => Promise<void>,
): Promise<{ goneMs: number }> {
  await using queue = new ReliableQueue<number>(redis, name, { leaseMs: 10_000 });
  await using waiting = new ReliableQueue<number>(redis, `${name}_idle`); // waits all the time
  const seen = new Map<number, number>();
  let doneAt = performance.now();
  await using worker = new Worker(queue, (n) => {
    seen.set(n, (seen.get(n) ?? 0) + 1);
    doneAt = performance.now();
  }, { concurrency: 4, onEvent: () => {} });
  worker.start();
  const stop = new AbortController();
  const blocked = waiting.receive({ waitMs: 60_000, signal: stop.signal }).catch(() => undefined);
  let sent = 0;
  const produce = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await queue.enqueue(sent++);
      await pause(2);
    }
  };
  await produce(50);
  await eventually(() => assertEquals(seen.size, 50), 10_000);
  const faultAt = performance.now();
  const producing = produce(300);
  await pause(30);
  await fault();
  await producing;
  await eventually(() => assertEquals(seen.size, 350), 30_000);
  const goneMs = doneAt - faultAt;
  await eventually(async () => {
    const { ready, leased, dead } = await queue.counts();
    assertEquals([ready, leased, dead], [0, 0, 0]);
  }, 10_000);
  stop.abort();
  await blocked;
  return { goneMs };
}

/**
 * Somebody who waits, and nothing else: no command of its own tells it that its master is gone. Gives how
 * long after the fault it was handed what another producer enqueued right behind it.
 */
async function waitThrough(url: string, name: string, fault: () => Promise<unknown>) {
  await using redis = await connect({ url });
  await using other = await connect({ url });
  await using queue = new ReliableQueue<string>(redis, name);
  await using producer = new ReliableQueue<string>(other, name);
  const waited = queue.receive({ waitMs: 50_000 });
  await pause(300);
  const at = performance.now();
  await fault();
  await producer.enqueue("after");
  const delivery = await waited;
  const ms = Math.round(performance.now() - at);
  assertEquals(delivery?.payload, "after");
  await delivery!.ack();
  assertEquals((await queue.counts()).leased, 0);
  return ms;
}

clusterTest(
  "a consumer that waits is handed what comes after CLUSTER FAILOVER",
  async (cluster) => {
    const ms = await waitThrough(cluster.url, "failover", async () => {
      await cluster.failover(await cluster.masterOf("queue:{failover}:wake"));
    });
    console.log(`CLUSTER FAILOVER: handed out ${ms} ms after`);
    assertLess(ms, 15_000);
  },
);

clusterTest(
  "a consumer that waits is handed what comes after kill -9 of its master",
  async (cluster) => {
    const ms = await waitThrough(cluster.url, "killed", async () => {
      await (await cluster.masterOf("queue:{killed}:wake")).kill();
    });
    console.log(`kill -9 of a cluster's master: handed out ${ms} ms after`);
    assertLess(ms, 20_000);
  },
);

sentinelTest(
  "a consumer that waits is handed what comes after kill -9 behind Sentinels",
  async (all) => {
    const ms = await waitThrough(all.url, "killed", async () => (await all.master()).kill());
    console.log(`kill -9 behind Sentinels: handed out ${ms} ms after`);
    assertLess(ms, 20_000);
  },
);

clusterTest("a worker works on after kill -9 of its master", async (cluster) => {
  await using redis = await connect({ url: cluster.url });
  const { goneMs } = await throughFault(redis, "killed", async () => {
    await (await cluster.masterOf("queue:{killed}:wake")).kill();
  });
  console.log(`kill -9 of a cluster's master: all done ${Math.round(goneMs)} ms after`);
  assertLess(goneMs, 15_000);
});

clusterTest("a master that is frozen is left for the one that takes over", async (cluster) => {
  await using redis = await connect({ url: cluster.url, heartbeatMs: 1_000 });
  let frozen: RedisServer | undefined;
  const { goneMs } = await throughFault(redis, "frozen", async () => {
    frozen = await cluster.masterOf("queue:{frozen}:wake");
    await frozen.pause();
  });
  console.log(`SIGSTOP of a cluster's master: all done ${Math.round(goneMs)} ms after`);
  await frozen!.resume();
});

clusterTest(
  "a queue's slot moves under load, and nothing is lost or done twice",
  async (cluster) => {
    await using redis = await connect({ url: cluster.url });
    for (const [kind, make] of Object.entries(KINDS)) {
      await using queue = make(redis, `moving_${kind}`);
      const seen: number[] = [];
      await using worker = new Worker(queue, (n) => void seen.push(n), { onEvent: () => {} });
      worker.start();
      let moving = true;
      const produced: number[] = [];
      const producing = (async () => {
        for (let i = 0; moving; i++) {
          await queue.enqueue(i);
          produced.push(i);
          await pause(1);
        }
      })();
      const key = `queue:{moving_${kind}}:ready`;
      for (const to of cluster.nodes.slice(0, 3)) await cluster.moveSlot(key, to);
      moving = false;
      await producing;
      await eventually(() => assertEquals(seen.length, produced.length), 10_000);
      assertEquals(new Set(seen).size, produced.length);
      assertEquals((await queue.stats()).totals.enqueued, produced.length);
    }
  },
);

clusterTest("nobody waits for the master that has the list of queues", async (cluster) => {
  await using redis = await connect({ url: cluster.url });
  const registry = await cluster.masterOf(REGISTRY_KEY);
  let name = "";
  for (let i = 0; name === ""; i++) {
    if (await cluster.masterOf(`queue:{elsewhere${i}}:ready`) !== registry) name = `elsewhere${i}`;
  }
  await call(redis, ["EXISTS", `queue:{${name}}:ready`]); // connected where the queue is
  await registry.pause();
  const startedAt = performance.now();
  const queue = new ReliableQueue<number>(redis, name);
  await queue.enqueue(1);
  for await (const delivery of queue.consume()) {
    assertEquals(delivery.payload, 1);
    await delivery.ack();
    break;
  }
  const ms = Math.round(performance.now() - startedAt);
  assertLess(ms, 1_000);
  await registry.resume();
  await queue.enqueue(2);
  await queue.close(); // sees to it that it is listed
  await queue.purge("ready");
  assertEquals((await listQueues(redis)).map((one) => one.name), [name]);
});

clusterTest("a task's result is heard of when its queue's slot has moved", async (cluster) => {
  await using redis = await connect({ url: cluster.url });
  const handlers = { double: (n: number) => 2 * n };
  const name = "moving_tasks";
  await using producer = new TaskProducer<typeof handlers>(redis, { name });
  const task = await producer.add("double", 21);
  const result = task.result({ waitMs: 30_000 });
  const key = `queue:{${name}}:ready`;
  const from = await cluster.masterOf(key);
  await eventually(async () => {
    assertStringIncludes(await from.cli("CLIENT", "LIST", "TYPE", "pubsub"), "sub=1");
  });
  await cluster.moveSlot(key, cluster.nodes.slice(0, 3).find((node) => node !== from)!);
  await using worker = new TaskWorker<typeof handlers>(redis, { name, handlers });
  worker.start();
  assertEquals(await result, 42);
});

clusterTest(
  "sharded channels are at one master, and are heard of again when they moved",
  async (cluster) => {
    await using redis = await connect({ url: cluster.url });
    const events: string[] = [];
    await using subscriber = new Subscriber<number>(redis, {
      sharded: true,
      onEvent: ({ type }) => void events.push(type),
    });
    const publisher = new Publisher(redis, { sharded: true });
    await subscriber.subscribe("{eu}:orders", "{eu}:mails");
    assertEquals(await publisher.publish("{eu}:orders", 1), 1);
    await eventually(() => assertEquals(subscriber.take()?.payload, 1));
    await assertRejects(() => subscriber.subscribe("us"), TypeError, `slot ${slotOf("eu")}`);
    await assertRejects(() => subscriber.psubscribe("{eu}:*"), TypeError, "patterns");
    assertEquals(await new Publisher(redis).publish("{eu}:orders", 2), 0); // another kind of channel
    assertEquals(subscriber.take(), undefined);

    const from = await cluster.masterOf("{eu}");
    const to = cluster.nodes.slice(0, 3).find((node) => node !== from)!;
    await cluster.moveSlot("{eu}", to);
    await eventually(async () => {
      await publisher.publish("{eu}:mails", 3);
      await pause(50);
      assertEquals(subscriber.take()?.payload, 3);
    }, 15_000);
    assert(events.includes("gap"), "said that something may have been missed");
  },
);

sentinelTest(
  "a worker works on after kill -9 of the master, and after it was frozen",
  async (all) => {
    await using redis = await connect({ url: all.url });
    const killed = await throughFault(redis, "killed", async () => (await all.master()).kill());
    console.log(`kill -9 behind Sentinels: all done ${Math.round(killed.goneMs)} ms after`);
    assertLess(killed.goneMs, 15_000);
    let frozen: RedisServer | undefined;
    const stopped = await throughFault(redis, "frozen", async () => {
      frozen = await all.master();
      await frozen.pause();
    });
    console.log(`SIGSTOP behind Sentinels: all done ${Math.round(stopped.goneMs)} ms after`);
    await frozen!.resume();
  },
);

sentinelTest(
  "a write that its master alone had is lost, and was said to be unconfirmed",
  async (all) => {
    await using redis = await connect({ url: all.url });
    const durability = { replicas: 1, timeoutMs: 300 };
    await using queue = new ReliableQueue<string>(redis, "durable", { durability });
    const before = await queue.enqueue("before", { id: "before" });
    assertEquals([before.duplicate, before.confirmed], [false, true]);
    const many = await queue.enqueueMany(["a", "b"]);
    assertEquals(many.map(({ confirmed }) => confirmed), [true, true]);

    const master = await all.master();
    const replicas = all.servers.filter((server) => server !== master);
    await Promise.all(replicas.map((replica) => replica.pause()));
    await master.cli("CLIENT", "KILL", "TYPE", "replica"); // else it would lie in their sockets
    const startedAt = performance.now();
    const lost = await Promise.all(["x", "y", "z"].map((id) => queue.enqueue(id, { id })));
    assertEquals(lost.map(({ confirmed }) => confirmed), [false, false, false]);
    assertLess(performance.now() - startedAt, 5_000); // the time once, not for each
    await master.kill();
    await Promise.all(replicas.map((replica) => replica.resume()));

    await eventually(async () => assert(await queue.find("before") !== undefined), 20_000);
    for (const id of ["x", "y", "z"]) assertEquals(await queue.find(id), undefined);
    assertEquals((await queue.counts()).ready, 3); // what was confirmed is there
    const after: Enqueued = await queue.enqueue("after");
    assertEquals(after.confirmed, true);
  },
);

serverTest(
  "durability is false where there are no replicas, and refuses what is no measure",
  async (server) => {
    await using redis = await connect({ url: server.url });
    const make = (durability: object) => () => {
      return new ReliableQueue(redis, "durable", {
        durability: durability as { replicas: number },
      });
    };
    await using queue = make({ replicas: 1, timeoutMs: 20 })();
    assertEquals((await queue.enqueue(1)).confirmed, false);
    assertEquals(await (await queue.receive())?.ack(), undefined);
    const bad: [object, string][] = [
      [{ replicas: 0 }, "durability.replicas"],
      [{ replicas: 1.5 }, "1.5"],
      [{ replicas: 1, timeoutMs: 0 }, "durability.timeoutMs"],
      [{ replicas: 1, timeoutMs: 20_000 }, "20000"],
      [{ replicas: 1, timeout: 5 }, '"timeout"'],
      [{}, "undefined"],
    ];
    for (const [durability, says] of bad) {
      const error = await assertRejects(async () => void await make(durability)(), Error, says);
      assert(error instanceof RangeError || error instanceof TypeError);
    }
  },
);

for (const who of ["connect's client", "one's own client"]) {
  Deno.test(`a reply that is lost behind Sentinels has no double effect (${who})`, async () => {
    await using master = await RedisServer.start();
    await using proxy = await FaultyProxy.start({ port: master.port });
    const { port } = new URL(proxy.url);
    await using watcher = await RedisServer.start({
      sentinel: [`sentinel monitor mymaster 127.0.0.1 ${port} 1`],
    });
    const address = { host: "127.0.0.1", port: watcher.port };
    if (who === "connect's client") {
      const nodes = [`127.0.0.1:${watcher.port}`];
      await using redis = await connect({ sentinel: { name: "mymaster", nodes }, heartbeatMs: 0 });
      await loseReplies(redis, proxy, master);
    } else {
      const redis = createSentinel({ name: "mymaster", sentinelRootNodes: [address] });
      redis.on("error", () => {});
      await redis.connect();
      try {
        await loseReplies(redis, proxy, master);
      } finally {
        await redis.close();
      }
    }
    await pause(LAST_TIMER_MS);
  });
}

/** The client of npm:redis for Sentinels sends again what was under way: here that would show. */
async function loseReplies(
  redis: RedisClient,
  proxy: FaultyProxy,
  master: RedisServer,
): Promise<void> {
  await using list = new ListQueue<string>(redis, "list");
  await list.enqueue("before");
  const lost = proxy.dropReplies(1, { after: /LPUSH/ });
  const error = await assertRejects(() => list.enqueue("once"), RedisConnectionError);
  await lost;
  assertEquals(error.sent, true); // stored or not: it is not for us to say it again
  assertEquals(await master.cli("LLEN", "list"), "2");

  for (const [kind, make] of Object.entries(KINDS)) {
    await using queue = make(redis, `lost_${kind}`);
    await eventually(() => queue.counts(), 10_000);
    const losing = async <R>(run: () => Promise<R>): Promise<R> => {
      const lost = proxy.dropReplies(1, { after: /EVALSHA/ });
      const result = await run(); // said again, under the same name
      await lost;
      return result;
    };
    await queue.enqueue(0);
    await (await queue.receive())!.ack();
    await losing(() => queue.enqueue(1));
    assertEquals((await queue.counts()).ready, 1);
    const first = (await losing(() => queue.receive()))!;
    assertEquals([first.payload, first.attempt], [1, 1]);
    assertEquals(await losing(() => first.nack({ delayMs: 0 })), "ready");
    const second = (await queue.receive())!;
    assertEquals([second.payload, second.attempt], [1, 2]);
    await losing(() => second.ack());
    const { oldestReadyMs: _, ...counts } = await queue.counts();
    assertEquals(counts, { ready: 0, leased: 0, delayed: 0, dead: 0 });
    assertEquals((await queue.stats()).totals.acked, 2);
  }
}
