/**
 * Waiting for many partitions over one connection a master: nobody polls, no wake is lost, and what goes
 * wrong with a connection, an account or a master costs time and no message.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import {
  connect,
  LeasedQueue,
  type LeasedQueueOptions,
  PartitionedQueue,
  queueKeys,
  type RedisClient,
  Worker,
} from "@workshop/redis-patterns";
import { partitionName } from "../queue/partitions.ts";
import { WakeWatch } from "../queue/wake_watch.ts";
import { call } from "../redis/call.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import { rulesOf } from "../tools/acl.ts";
import { type Kind, KINDS, range } from "./leased_kinds.ts";
import { eventually, limit, ownServer, redisTest, serverTest } from "./support.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function queueOf(
  redis: RedisClient,
  name: string,
  { kind = "ReliableQueue", partitions = 8, ...options }: LeasedQueueOptions<number> & {
    kind?: Kind;
    partitions?: number;
  } = {},
): PartitionedQueue<number> {
  return new PartitionedQueue<number>(redis, name, {
    partitions,
    make: (client, part) => KINDS[kind](client, part, options),
  });
}

/** A client of npm:redis that is closed between two attempts to connect leaves that timer to run out. */
const LAST_TIMER_MS = 300;

function clusterTest(title: string, run: (cluster: RedisCluster) => Promise<void>): void {
  Deno.test(title, async () => {
    await using cluster = await RedisCluster.start();
    await limit(run(cluster), title, 60_000);
  });
}

/** How often scripts and `LPOP` ran, and how many connections there are, as the server counts. */
async function load(redis: RedisClient): Promise<{ scripts: number; pops: number }> {
  const info = String(await call(redis, ["INFO", "commandstats"]));
  const calls = (name: string) =>
    Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(info)?.[1] ?? 0);
  return { scripts: calls("evalsha") + calls("eval"), pops: calls("lpop") };
}

async function connections(redis: RedisClient): Promise<number> {
  const info = String(await call(redis, ["INFO", "clients"]));
  return Number(/^connected_clients:(\d+)/m.exec(info)![1]);
}

Deno.test("PartitionedQueue has every method that a queue with leases has", () => {
  const names = (proto: object) =>
    Object.getOwnPropertyNames(proto).filter((n) => !/^store/.test(n));
  const missing = names(LeasedQueue.prototype)
    .filter((name) => !names(PartitionedQueue.prototype).includes(name));
  assertEquals(missing, []);
});

redisTest("who takes one by one from a PartitionedQueue is named once it says so", async (test) => {
  const queue = queueOf(test.redis, test.name);
  await queue.announce({ mode: "blocking", holds: 3 });
  const consumers = await queue.consumers();
  assertEquals(consumers.map(({ mode, holds }) => [mode, holds]), [["blocking", 3]]); // once, not once a partition
  assertEquals((await queue.snapshot()).consumers.map(({ holds }) => holds), [3]);
  const { consumer } = consumers[0]!;
  // What it has in hand is under its name, in whichever partition.
  await queue.enqueueMany(range(16));
  const deliveries = await queue.receiveMany(16);
  const { messages } = await queue.peek("leased", { limit: 100 });
  const holders = new Set(messages.map((message) => message.consumer!.replace(/-\d+$/, "")));
  assertEquals([deliveries.length, [...holders]], [16, [consumer]]);
  await Promise.all(deliveries.map((delivery) => delivery.ack()));
  // Another object is another one, and so is a worker.
  await using other = queueOf(test.redis, test.name);
  await other.announce({ holds: 1 });
  await using worker = new Worker(other, () => {});
  worker.start();
  await eventually(async () => assertEquals((await other.consumers()).length, 3));
  assertEquals((await other.consumers()).find((one) => one.consumer === consumer)!.holds, 3);
  await worker.stop();
  await queue.close();
  assertEquals((await other.consumers()).map(({ holds }) => holds), [1]);
});

serverTest(
  "who announces itself at a PartitionedQueue is paused in all partitions",
  async (server) => {
    await using redis = await connect({ url: server.url });
    await using queue = queueOf(redis, "q");
    await using other = queueOf(redis, "q");
    await queue.announce({ mode: "blocking" });
    const { consumer } = (await other.consumers())[0]!;
    assertEquals(await other.pauseConsumer(consumer), true);
    assertEquals((await other.consumers()).map(({ paused }) => paused), [true]);
    const waits = queue.receive({ waitMs: 20_000 });
    await other.enqueueMany(range(16));
    assertEquals(await queue.receiveMany(16), []);
    const before = await load(redis);
    await pause(1_000);
    const after = await load(redis);
    // What waits is there all the time, and not for it: it asks at a pace, not as fast as it can.
    assertLess(after.pops - before.pops, 8 * 12);
    const deliveries = await other.receiveMany(15); // others are not kept from it
    assertEquals(deliveries.length, 15);
    assertEquals(await other.resumeConsumer(consumer), true);
    await (await limit(waits, "what is resumed", 5_000))!.ack();
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
    assertEquals((await other.counts()).leased, 0);
  },
);

for (const kind of Object.keys(KINDS) as Kind[]) {
  for (const mode of ["blocking", "polling"] as const) {
    redisTest(`a worker, ${mode}, takes all of eight partitions of ${kind}s once`, async (test) => {
      await using queue = queueOf(test.redis, test.name, { kind });
      const seen = new Map<number, number>();
      await using worker = new Worker(queue, (n) => void seen.set(n, (seen.get(n) ?? 0) + 1), {
        mode,
        pollMs: 20,
        concurrency: 10,
      });
      worker.start();
      for (const n of range(50)) await queue.enqueue(n);
      await queue.enqueueMany(range(500).map((n) => 50 + n), { delayMs: 50 });
      await eventually(async () => assertEquals((await queue.stats()).totals.acked, 550), 10_000);
      assertEquals([...seen.values()].filter((times) => times !== 1), []);
      assertEquals(seen.size, 550);
      const [me, ...others] = await queue.consumers();
      assertEquals([me!.mode, others.length], [mode, 0]); // one worker, not one a partition
      const { counts, stats, kind: told, consumers } = await queue.snapshot();
      assertEquals([counts.ready, counts.leased, consumers.length], [0, 0, 1]);
      assertEquals(stats.waits!.count, 550);
      assertEquals(told, (await queue.partitions[0]!.snapshot()).kind);
    });
  }
}

for (const mode of ["blocking", "polling"] as const) {
  serverTest(`a worker that is paused takes nothing of any partition (${mode})`, async (server) => {
    await using redis = await connect({ url: server.url });
    await using queue = queueOf(redis, "paused");
    const seen: string[] = [];
    const start = (who: string) => {
      const handler = (n: number) => void seen.push(`${who} ${n}`);
      const worker = new Worker(queue, handler, { mode, pollMs: 50, concurrency: 4 });
      worker.start();
      return worker;
    };
    await using _one = start("one");
    const consumer = await eventually(async () => {
      const presents = await Promise.all(queue.partitions.map((part) => part.consumers()));
      assertEquals(presents.map(({ length }) => length), range(8).map(() => 1));
      return (await queue.consumers())[0]!.consumer;
    });
    assertEquals(await queue.pauseConsumer(consumer), true);
    assertEquals((await queue.consumers()).map(({ paused }) => paused), [true]);
    await queue.enqueueMany(range(16));
    await pause(600);
    assertEquals([seen, (await queue.counts()).ready], [[], 16]);
    const before = await load(redis);
    await pause(1_000);
    const after = await load(redis);
    // Eight partitions: a scheduler's tick each second, and a look now and then.
    assertLess(after.scripts - before.scripts, mode === "polling" ? 400 : 150);
    await using _other = start("other");
    await eventually(() => assertEquals(seen.length, 16), 6_000);
    assertEquals(seen.filter((line) => line.startsWith("one")), []);
    await queue.resumeConsumer(consumer);
    assertEquals((await queue.consumers()).map(({ paused }) => paused), [undefined, undefined]);
    assertEquals(await queue.pauseConsumer("nobody"), false);
    await assertRejects(() => queue.pauseConsumer("no body"), TypeError, "no body");
  });
}

serverTest(
  "a worker that waits for eight partitions has two connections, and asks nobody",
  async (server) => {
    await using redis = await connect({ url: server.url });
    await using queue = queueOf(redis, "quiet");
    await queue.counts();
    const before = await connections(redis);
    const heard: number[] = [];
    await using worker = new Worker(queue, () => void heard.push(performance.now()));
    worker.start();
    await eventually(async () => assertEquals(await connections(redis), before + 2));
    await pause(500); // the first look at all is over
    const start = await load(redis);
    await pause(2_000);
    const idle = await load(redis);
    // Each partition's scheduler ticks once a second; nothing else.
    assertLess(idle.scripts - start.scripts, 8 * 3 + 4);
    assertEquals(idle.pops - start.pops, 0);

    const waits: number[] = [];
    for (const n of range(40)) {
      const at = performance.now();
      await queue.enqueue(n, { orderKey: `key ${n}` });
      await eventually(() => assertEquals(heard.length, n + 1));
      waits.push(heard[n]! - at);
    }
    waits.sort((a, b) => a - b);
    assertLess(waits[20]!, 25, `half of the waits are shorter: ${waits}`);
    assertLess(waits[39]!, 500, `and the longest: ${waits}`);
    await worker.stop();
    await eventually(async () => assertEquals(await connections(redis), before));
  },
);

redisTest(
  "of many workers that are told, few ask: a message costs no claim of each",
  async (test) => {
    await using queue = queueOf(test.redis, test.name, { partitions: 4 });
    let seen = 0;
    const workers = range(10).map(() => new Worker(queue, () => void seen++));
    for (const worker of workers) worker.start();
    try {
      await pause(700);
      const before = await load(test.redis);
      for (const n of range(20)) {
        await queue.enqueue(n);
        await eventually(() => assertEquals(seen, n + 1));
        await pause(20);
      }
      const { scripts } = await load(test.redis);
      // Enqueue, two claims and an ack of a message, and the schedulers' ticks; not ten claims.
      assertLess(scripts - before.scripts, 20 * 7 + 10 * 4 * 4);
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  },
);

redisTest("two who wait with receive() get one of two messages each, in time", async (test) => {
  await using queue = queueOf(test.redis, test.name);
  const waiting = [queue.receive({ waitMs: 5_000 }), queue.receive({ waitMs: 5_000 })];
  await pause(300);
  const at = performance.now();
  await queue.enqueueMany([1, 2]);
  const got = await Promise.all(waiting);
  assertLess(performance.now() - at, 900);
  assertEquals(got.map((each) => each?.payload).sort(), [1, 2]);
  await Promise.all(got.map((each) => each!.ack()));

  // What is due is looked for by whoever waits, also if it was enqueued while they waited for a later one.
  await queue.enqueue(4, { delayMs: 60_000 });
  const delayed = queue.receive({ waitMs: 5_000 });
  await pause(200);
  const then = performance.now();
  await queue.enqueue(3, { delayMs: 200 });
  const delivery = await delayed;
  const took = performance.now() - then;
  assertEquals(delivery?.payload, 3);
  assert(took >= 199 && took < 700, `${took} ms`);
  await delivery!.ack();
  assertEquals(await queue.receive({ waitMs: 50 }), undefined);
  const aborted = AbortSignal.timeout(50);
  await assertRejects(() => queue.receive({ waitMs: 5_000, signal: aborted }), DOMException);
  const got2: number[] = [];
  const stop = new AbortController();
  setTimeout(() => void queue.enqueueMany([5, 6, 7]), 100);
  for await (await using one of queue.consume({ signal: stop.signal })) {
    got2.push(one.payload);
    await one.ack();
    if (got2.length === 3) stop.abort();
  }
  assertEquals(got2.sort(), [5, 6, 7]);
  await queue.purge("delayed");
  await queue.dissolve();
});

redisTest("a worker hears of what came back, fell due, lapsed, and was paused", async (test) => {
  await using queue = queueOf(test.redis, test.name, { leaseMs: 300, backoff: () => 100 });
  const seen: string[] = [];
  await using worker = new Worker(queue, (n, { delivery }) => {
    seen.push(`${n} ${delivery.attempt}`);
    if (n === 1 && delivery.attempt === 1) throw new Error("once more");
  }, { concurrency: 4, onEvent: () => {} });
  await queue.enqueue(2);
  const left = await queue.receive(); // and nobody settles it: it lapses
  assertEquals(left?.payload, 2);
  worker.start();
  await queue.enqueue(1);
  await queue.enqueue(3, { delayMs: 300 });
  await eventually(() => assertEquals(seen.toSorted(), ["1 1", "1 2", "2 2", "3 1"]), 4_000);
  await queue.pause();
  await queue.enqueue(4);
  await pause(200);
  assertEquals(seen.length, 4);
  const at = performance.now();
  await queue.resume();
  await eventually(() => assertEquals(seen.at(-1), "4 1"));
  assertLess(performance.now() - at, 1_000);
});

serverTest(
  "a worker whose connections are killed again and again hears of every message",
  async (server) => {
    await using redis = await connect({ url: server.url });
    await using queue = queueOf(redis, "cut", { leaseMs: 1_000 });
    const seen = new Set<number>();
    await using worker = new Worker(queue, (n) => void seen.add(n), {
      concurrency: 5,
      onEvent: () => {},
    });
    worker.start();
    for (const n of range(15)) {
      await server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await eventually(() => queue.enqueue(n, { id: `n${n}` }));
      const at = performance.now();
      await eventually(() => assert(seen.has(n)), 4_000);
      assertLess(performance.now() - at, 3_500);
    }
  },
);

for (const isTold of [true, false]) {
  const title = isTold
    ? "the worker's account may be told of tokens"
    : "an account that may not be told looks ten times a second";
  redisTest(title, async (test) => {
    const user = `told-${test.name.slice(-4)}`;
    const rules = rulesOf("worker").filter((rule) => isTold || rule !== "+client|tracking");
    await test.redis.sendCommand(["ACL", "SETUSER", user, "on", ">secret", ...rules]);
    const redis = await test.connect({ username: user, password: "secret" });
    await using queue = queueOf(redis, test.name, { partitions: 3 });
    let seen = 0;
    await using worker = new Worker(queue, () => void seen++);
    worker.start();
    await pause(300);
    const before = await load(test.redis);
    for (const n of range(5)) {
      const at = performance.now();
      await queue.enqueue(n);
      await eventually(() => assertEquals(seen, n + 1));
      assertLess(performance.now() - at, 800);
    }
    await pause(500);
    const { pops } = await load(test.redis);
    if (isTold) assertLess(pops - before.pops, 15 + 1);
    else assertGreater(pops - before.pops, 3 * 3);
    await worker.stop();
    await test.redis.sendCommand(["ACL", "DELUSER", user]);
  }, { ignore: !ownServer });
}

redisTest("what looks for tokens ends with the client, too", async (test) => {
  const user = `untold-${test.name.slice(-4)}`;
  const rules = rulesOf("worker").filter((rule) => rule !== "+client|tracking");
  await test.redis.sendCommand(["ACL", "SETUSER", user, "on", ">secret", ...rules]);
  const redis = await test.connect({ username: user, password: "secret" });
  const queue = queueOf(redis, test.name, { partitions: 2 });
  assertEquals(await queue.receive({ waitMs: 200 }), undefined);
  await redis.close(); // and not the queue: a timer that stays would fail this test
  await test.redis.sendCommand(["ACL", "DELUSER", user]);
}, { ignore: !ownServer });

redisTest(
  "what killed its consumers is handed out one at a time, and keeps others waiting for nothing",
  async (test) => {
    await using queue = queueOf(test.redis, test.name, {
      partitions: 2,
      leaseMs: 100,
      maxAttempts: 10,
    });
    await queue.enqueueMany([1, 2, 3, 4], { orderKey: "same" });
    assertEquals((await queue.receiveMany(4)).length, 4);
    await pause(150); // all four lapse, in one partition
    const before = await load(test.redis);
    const [at, most] = [new Map<number, number>(), { now: 0, ever: 0 }];
    const handle = async (n: number) => {
      most.ever = Math.max(most.ever, ++most.now);
      at.set(n, performance.now());
      await pause(300);
      most.now--;
    };
    await using one = new Worker(queue, handle, { concurrency: 4 });
    one.start();
    await eventually(() => assertEquals(at.size, 4), 6_000);
    assertEquals(most.ever, 1);
    const { scripts } = await load(test.redis);
    assertLess(scripts - before.scripts, 200); // it does not ask in a circle
  },
);

Deno.test("on a cluster it is two connections a master, and a slot that moves is heard of", async () => {
  await using cluster = await RedisCluster.start();
  await using redis = await connect({ url: cluster.url });
  await using queue = queueOf(redis, "moving", { leaseMs: 3_000 });
  const masters = cluster.nodes.slice(0, 3);
  const count = async () => {
    const said = await Promise.all(
      masters.map((node) => node.cli("CLIENT", "LIST", "TYPE", "normal")),
    );
    return said.map((text) => text.split("\n").filter(Boolean).length);
  };
  await queue.counts();
  const before = await count();
  const seen = new Map<number, number>();
  await using worker = new Worker(queue, (n) => void seen.set(n, (seen.get(n) ?? 0) + 1), {
    concurrency: 8,
    onEvent: () => {},
  });
  worker.start();
  await eventually(async () => assertEquals(await count(), before.map((n) => n + 2)));
  await limit(
    (async () => {
      const token = (i: number) => `queue:{${queue.partitions[i]!.name}}:ready`;
      let [n, tookMs] = [0, 0];
      const all = async () => {
        const from = n;
        for (const i of range(24)) await queue.enqueue(n++, { orderKey: `${i}` });
        await eventually(() => assertEquals(seen.size, n), 8_000);
        return n - from;
      };
      await all();
      for (const [i, to] of [[0, 1], [3, 2], [7, 0]] as const) {
        await cluster.moveSlot(token(i), masters[to]!);
        const at = performance.now();
        assertEquals(await all(), 24);
        tookMs += performance.now() - at;
      }
      assertLess(tookMs, 6_000); // without a word from the masters each would be five seconds late
      await cluster.failover(masters[1]!);
      await all();
      assertEquals([...seen.values()].filter((times) => times !== 1), []);
      assertGreater(seen.size, 100);
    })(),
    "moving slots",
    60_000,
  );
  await worker.stop();
  await redis.close();
  await pause(LAST_TIMER_MS);
});

Deno.test("while a master is away the partitions of the others go on, with one free slot", async () => {
  await using cluster = await RedisCluster.start();
  await using redis = await connect({ url: cluster.url });
  await using queue = queueOf(redis, "away", { partitions: 6 });
  const at = new Map<number, number>();
  await using worker = new Worker(queue, (n) => void at.set(n, performance.now()), {
    onEvent: () => {},
  });
  worker.start();
  // The keys "key 0" to "key 9" are in all partitions; whose master does it not kill?
  const dead = cluster.nodes[0]!;
  const homes = new Map<number, boolean>();
  let before: number[] = [];
  for (const n of range(10)) {
    await queue.enqueue(n, { orderKey: `key ${n}` });
    await eventually(() => assert(at.has(n)));
    const counts = await Promise.all(
      queue.partitions.map(async (part) => (await part.stats()).totals.enqueued),
    );
    const part = queue.partitions[counts.findIndex((count, i) => count > (before[i] ?? 0))]!;
    before = counts;
    homes.set(n, await cluster.masterOf(`queue:{${part.name}}:ready`) === dead);
  }
  const living = [...homes].filter(([, isDead]) => !isDead).map(([n]) => n);
  assertGreater(living.length, 3);
  await dead.kill();
  const killedAt = performance.now();
  const waits: number[] = [];
  // Later, the others call it dead, and the whole cluster down until a replica has taken over.
  for (let i = 0; performance.now() - killedAt < 1_200; i++) {
    const n = living[i % living.length]!;
    const [id, sent] = [100 + i, performance.now()];
    await queue.enqueue(id, { orderKey: `key ${n}` });
    await eventually(() => assert(at.has(id)), 4_000);
    waits.push(at.get(id)! - sent);
  }
  assertGreater(waits.length, 1);
  assertLess(Math.max(...waits), 1_500, `${waits}`);
  await worker.stop();
  await redis.close();
  await pause(LAST_TIMER_MS);
});

redisTest(
  "PartitionedQueue.close calls back who waits, and nobody waits afterwards",
  async (test) => {
    const queue = queueOf(test.redis, test.name, { partitions: 2 });
    const before = await connections(test.redis);
    const failed = assertRejects(() => queue.receive({ waitMs: 20_000 }), Error, "was closed");
    await pause(100);
    const startedAt = performance.now();
    await queue.close();
    await failed;
    assertLess(performance.now() - startedAt, 2_000);
    await assertRejects(() => queue.receive({ waitMs: 100 }), Error, "was closed");
    assertEquals(await queue.receive(), undefined);

    const unused = queueOf(test.redis, `${test.name}:unused`, { partitions: 2 });
    await unused.close();
    await assertRejects(() => unused.receive({ waitMs: 100 }), Error, "was closed");
    assertEquals(await connections(test.redis), before);
  },
);

clusterTest(
  "whoever waits long hears of a slot that went where nobody was connected to",
  async (cluster) => {
    await using redis = await connect({ url: cluster.url });
    await using queue = queueOf(redis, "far", { partitions: 1 });
    await queue.counts(); // its number is known
    const key = `queue:{${queue.partitions[0]!.name}}:ready`;
    const received = queue.receive({ waitMs: 25_000 });
    await pause(300);
    const from = await cluster.masterOf(key);
    await cluster.moveSlot(key, cluster.nodes.slice(0, 3).find((node) => node !== from)!);
    const at = performance.now();
    await queue.enqueue(1);
    assertEquals((await received)?.payload, 1);
    assertLess(performance.now() - at, 9_000);
  },
);

clusterTest(
  "an account that may not be told looks for tokens at all masters, the slower ones too",
  async (cluster) => {
    const rules = rulesOf("worker").filter((rule) => rule !== "+client|tracking");
    for (const node of cluster.nodes) {
      await node.cli("ACL", "SETUSER", "untold", "on", ">secret", ...rules, "+cluster|slots");
    }
    await using redis = await connect({ url: cluster.url, username: "untold", password: "secret" });
    const keys = range(3).map((i) => queueKeys(partitionName("untold", i, 3)).wake);
    await call(redis, ["LPOP", keys[0]!]); // the others are connected to when they are asked
    const slow = cluster.nodes.slice(1, 3);
    await Promise.all(slow.map((node) => node.pause()));
    const watch = new WakeWatch(redis, keys);
    const taking = Promise.all(range(3).map((i) => watch.takeToken(i)));
    await pause(100);
    await Promise.all(slow.map((node) => node.resume()));
    assertEquals(await taking, [false, false, false]);
    await watch.close();
  },
);
