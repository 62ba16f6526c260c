/**
 * What the queues with leases promise when something breaks for real: processes that are killed and
 * stopped, a server that is killed, replies that are lost, a full memory, foreign entries. Every test
 * has a server of its own. What happened is read from files that the consumers append to, not from
 * Redis, which is what is being tested.
 *
 * The figures of a run are printed: they say how hard it was.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- figures
import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects } from "@std/assert";
import {
  connect,
  type ConnectedClient,
  type Delivery,
  PriorityQueue,
  RedisConnectionError,
  ReliableQueue,
} from "@workshop/redis-patterns";
import { Buffer } from "node:buffer";
import { ackScript, LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { queueKeys } from "../redis/keys.ts";
import type { RedisServer } from "../tools/redis_server.ts";
import type { Orders } from "./fault_worker.ts";
import { FaultyProxy, type ReplyPredicate } from "./proxy.ts";
import { eventually, serverTest } from "./support.ts";

const KINDS = ["reliable", "priority"] as const;
type Kind = typeof KINDS[number];
const CLASSES = { reliable: ReliableQueue, priority: PriorityQueue };
const SCRIPTS = { reliable: LEASED_SCRIPTS.list, priority: LEASED_SCRIPTS.priority };
const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

for (const kind of KINDS) {
  serverTest(
    `${kind}: consumers killed all the time lose nothing (hazards 1, 6)`,
    async (server) => {
      await using crew = await Crew.start(server, {
        kind,
        leaseMs: 600,
        maxAttempts: 100,
        handleMs: 8,
      });
      await using redis = await client(server);
      const queue = new CLASSES[kind]<number>(redis, crew.name);
      for (let i = 0; i < 4; i++) crew.spawn();
      let sent = 0, kills = 0;
      const until = performance.now() + 3_200;
      let killAt = performance.now() + 500;
      while (performance.now() < until) {
        // Half of them delayed, so that promoting is interrupted as well.
        await queue.enqueueMany(numbers(4, sent));
        await queue.enqueueMany(numbers(4, sent + 4), { delayMs: Math.random() * 300 });
        sent += 8;
        if (performance.now() > killAt) {
          killAt += 200;
          kills++;
          await crew.killOne();
          crew.spawn();
        }
        await pause(20);
      }
      await eventually(async () => assertEquals(await queue.counts(), NONE), 15_000);
      const { never, doubleAcks, twice } = crew.audit(sent);
      const cut = crew.count("start") - crew.count("done");
      console.log(
        `${kind}: ${sent} messages, ${kills} kills, ${cut} of them during a handler; ` +
          `${never} lost, ${doubleAcks} acked twice, ${twice} run twice`,
      );
      assertEquals({ never, doubleAcks }, { never: 0, doubleAcks: 0 });
      assertLessOrEqual(twice, kills);
    },
  );
}

serverTest("control: a plain pop under the same kills loses messages", async (server) => {
  await using crew = await Crew.start(server, { kind: "plain", handleMs: 4 });
  await using redis = await client(server);
  for (let i = 0; i < 4; i++) crew.spawn();
  await crew.see("start", 0, () => redis.lPush(crew.name, "0"));
  let sent = 1, kills = 0;
  for (; kills < 6; kills++) {
    const some = numbers(100, sent);
    sent += 100;
    await redis.lPush(crew.name, some.map(String));
    await eventually(async () => assertLess(await redis.lLen(crew.name), 40));
    await crew.killOne();
    crew.spawn();
  }
  await eventually(async () => assertEquals(await redis.lLen(crew.name), 0), 10_000);
  await pause(100);
  const { never } = crew.audit(sent);
  console.log(`control: ${sent} messages, ${kills} kills, ${never} lost`);
  assert(never > 0, "a control that loses nothing proves nothing about the others");
});

serverTest("A message of a killed consumer is back within its lease and 0.5 s", async (server) => {
  const leaseMs = 500;
  await using redis = await client(server);
  for (const kind of KINDS) {
    await using crew = await Crew.start(server, { kind, leaseMs, handleMs: 60_000 });
    const queue = new CLASSES[kind]<number>(redis, crew.name);
    for (const n of [0, 1]) {
      crew.spawn();
      await crew.see("start", n, () => queue.enqueue(n));
      await crew.killOne();
      const killedAt = performance.now();
      const delivery = await eventually(async () => {
        const delivery = await queue.receive();
        assert(delivery);
        return delivery;
      });
      assertEquals([delivery.payload, delivery.attempt], [n, 2]);
      assertLess(performance.now() - killedAt, leaseMs + 500);
      await delivery.ack();
    }
  }
});

serverTest("A consumer that is stopped past its lease cannot ack (hazard 4)", async (server) => {
  const leaseMs = 300;
  await using redis = await client(server);
  for (const kind of KINDS) {
    await using crew = await Crew.start(server, { kind, leaseMs, handleMs: 50 });
    const queue = new CLASSES[kind]<number>(redis, crew.name, { leaseMs });
    const child = crew.spawn();
    for (const n of numbers(4)) {
      await crew.see("start", n, () => queue.enqueue(n));
      child.kill("SIGSTOP");
      await pause(leaseMs * 1.6);
      const delivery = await queue.receive();
      assertEquals([delivery?.payload, delivery?.attempt], [n, 2]);
      // Refused while another one has it, and after that one has settled it.
      if (n % 2 === 0) await delivery!.ack();
      await crew.see("lost", n, () => child.kill("SIGCONT"));
      if (n % 2 === 1) await delivery!.ack();
      assertEquals(await queue.counts(), NONE);
    }
    assertEquals(crew.lines().filter((line) => line.startsWith("acked")), []);
  }
});

for (const kind of KINDS) {
  serverTest(
    `${kind}: an enqueue whose reply is lost stores one message (hazard 2)`,
    async (server) => {
      await using faulty = await Faulty.start(server, kind);
      const { queue, direct } = faulty;
      for (let round = 0; round < 10; round++) {
        const lost = faulty.lose(SCRIPTS[kind].enqueue);
        const replies = await Promise.all([
          queue.enqueue(round),
          queue.enqueue(round, { delayMs: 3_600_000 }),
          queue.enqueue(round, { id: `own ${round}` }),
          queue.enqueue(round, { id: `own ${round}` }),
          queue.enqueue(round, { id: `late ${round}`, delayMs: 3_600_000 }),
        ]);
        await lost;
        assertEquals(replies.map((reply) => reply.duplicate), [false, false, false, true, false]);
      }
      const { oldestReadyMs: _, ...counts } = await direct.counts();
      assertEquals(counts, { ...NONE, ready: 20, delayed: 20 });
    },
  );

  serverTest(`${kind}: a lost "duplicate" stays a duplicate (hazard 2)`, async (server) => {
    await using faulty = await Faulty.start(server, kind);
    const { queue, direct } = faulty;
    await direct.enqueue(1, { id: "own" });
    const lost = faulty.lose(SCRIPTS[kind].enqueue);
    const second = queue.enqueue(2, { id: "own" });
    await lost;
    // Before the enqueue is repeated, the message that has the id is done.
    await (await direct.receive())!.ack();
    // "Stored" would be a lie: nothing is there.
    assertEquals([await second, await direct.counts()], [{ id: "own", duplicate: true }, NONE]);
  });

  serverTest(`${kind}: what was stored is not called a duplicate (hazard 2)`, async (server) => {
    await using faulty = await Faulty.start(server, kind);
    const { queue, direct } = faulty;
    const lost = faulty.lose(SCRIPTS[kind].enqueue);
    const first = queue.enqueue(1, { id: "own" });
    await lost;
    await (await direct.receive())!.ack();
    await direct.enqueue(2, { id: "own" });
    assertEquals(await first, { id: "own", duplicate: false });
    assertEquals((await direct.counts()).ready, 1);
  });

  serverTest(`${kind}: an ack after a nack leaves the message its id`, async (server) => {
    await using redis = await client(server);
    const queue = new CLASSES[kind]<number>(redis, "q");
    await queue.enqueue(1, { id: "own" });
    const delivery = (await queue.receive())!;
    await delivery.nack({ delayMs: 0 });
    await queue.delivery(delivery.token).ack(); // late, by another process: success, no effect
    assertEquals(await queue.enqueue(2, { id: "own" }), { id: "own", duplicate: true });
  });

  serverTest(
    `${kind}: a claim whose reply is lost gives the same messages (hazard 3)`,
    async (server) => {
      await using faulty = await Faulty.start(server, kind, { leaseMs: 400 });
      const { queue, direct } = faulty;
      await direct.enqueueMany(numbers(20));
      const lost = faulty.lose(SCRIPTS[kind].claim);
      const deliveries = await queue.receiveMany(5);
      await lost;
      assertEquals(deliveries.map(({ payload }) => payload), numbers(5));
      assertEquals((await direct.counts()).leased, 5);
      await Promise.all(deliveries.map((delivery) => delivery.ack()));

      // Lost again and again: given up, and back when the lease is over.
      faulty.loseAll(SCRIPTS[kind].claim);
      await assertRejects(() => queue.receiveMany(5), RedisConnectionError);
      faulty.loseAll();
      const seen = new Map<number, number>();
      await eventually(async () => {
        for (const { payload, attempt } of await direct.receiveMany(20)) seen.set(payload, attempt);
        assertEquals(seen.size, 15);
      });
      assertEquals([...seen.keys()].sort((a, b) => a - b), numbers(15, 5));
      // One claim, however often it was said, is one attempt.
      assertEquals([...seen].filter(([, attempt]) => attempt > 1).map(([n]) => n), numbers(5, 5));
      assertEquals(Math.max(...seen.values()), 2);
    },
  );

  serverTest(`${kind}: settling whose reply is lost is said again (hazard 5)`, async (server) => {
    await using faulty = await Faulty.start(server, kind);
    const { queue, direct } = faulty;
    await direct.enqueueMany(numbers(8));
    const [a, b, c, d, e, f, g, h] = await queue.receiveMany(8) as Eight;
    let lost = faulty.lose(ackScript);
    await Promise.all([a.ack(), b.ack(), c.ack()]);
    await lost;
    for (
      const settle of [
        () => d.nack({ delayMs: 0 }),
        () => e.nack({ delayMs: 3_600_000 }),
        () => f.deadLetter("no use"),
      ]
    ) {
      lost = faulty.lose(SCRIPTS[kind].giveBack);
      await settle();
      await lost;
    }
    const { oldestReadyMs: _, ...counts } = await direct.counts();
    assertEquals(counts, { ready: 1, leased: 2, delayed: 1, dead: 1 });
    assertEquals((await direct.receive())!.attempt, 2); // once, although said twice
    await Promise.all([g.ack(), h.ack()]);
  });
}

for (const kind of KINDS) {
  serverTest(
    `${kind}: acks outlive a Redis that is killed meanwhile (hazard 5)`,
    async (server) => {
      await using redis = await client(server);
      const queue = new CLASSES[kind]<number>(redis, "q", { leaseMs: 10_000 });
      let most = 0;
      for (let kills = 0; kills < 3; kills++) {
        await queue.enqueueMany(numbers(60));
        const deliveries = await queue.receiveMany(60);
        const acks: Promise<void>[] = [];
        let dead: Promise<void> | undefined;
        for (const [i, delivery] of deliveries.entries()) {
          acks.push(delivery.ack());
          if (i === 20) dead = server.kill().then(() => pause(200)).then(() => server.restart());
          await pause(1);
        }
        const startedAt = performance.now();
        await dead;
        await Promise.all(acks);
        most = Math.max(most, performance.now() - startedAt);
        assertEquals(await queue.counts(), NONE);
      }
      console.log(
        `${kind}: 180 acks over 3 kills of Redis, the last of them ≤ ${most | 0} ms late`,
      );
    },
    { aof: true },
  );
}

serverTest("A consumer's clock may be an hour wrong (hazard 7)", async (server) => {
  await using redis = await client(server);
  for (const clockMs of [-3_600_000, 3_600_000]) {
    await using crew = await Crew.start(server, {
      kind: "reliable",
      leaseMs: 1_000,
      handleMs: 2,
      clockMs,
      enqueue: { first: 50, count: 10, delayMs: 400 },
    });
    const queue = new ReliableQueue<number>(redis, crew.name, { leaseMs: 1_000 });
    await queue.enqueueMany(numbers(50));
    crew.spawn();
    await eventually(async () => assertEquals((await queue.counts()).delayed, 10));
    const { messages } = await queue.peek("delayed");
    const inMs = messages[0]!.dueAt! - Number(await redis.eval(NOW));
    assert(inMs > 0 && inMs <= 400, `due in ${inMs} ms`);
    await eventually(() => assertEquals(crew.count("acked"), 60), 5_000);
    const { never, doubleAcks, twice } = crew.audit(60);
    assertEquals([never, doubleAcks, twice, crew.count("lost")], [0, 0, 0, 0]);
  }
});

for (const kind of KINDS) {
  serverTest(
    `${kind}: of 200 messages only the one that kills dies (hazard 11)`,
    async (server) => {
      const killer = 77;
      await using crew = await Crew.start(server, {
        kind,
        killer,
        leaseMs: 300,
        maxAttempts: 3,
        batch: 10,
      });
      await using redis = await client(server);
      const queue = new CLASSES[kind]<number>(redis, crew.name, { leaseMs: 300, maxAttempts: 3 });
      await queue.enqueueMany(numbers(200));
      const tended = crew.tend();
      await eventually(
        async () => assertEquals(await queue.counts(), { ...NONE, dead: 1 }),
        10_000,
      );
      const { messages: [letter] } = await queue.peek("dead");
      assertEquals([letter!.payload, letter!.attempts, letter!.reason], [
        killer,
        3,
        "lease lapsed",
      ]);
      assertEquals(letter!.errors.map((error) => error.message), Array(3).fill("lease lapsed"));
      const handed = crew.lines().filter((line) => line.startsWith(`start ${killer} `));
      assertEquals(handed.map((line) => line.split(" ")[2]), ["1", "2", "3"]);
      const done = new Set(crew.numbers("acked"));
      assertEquals(done.size, 199);
      crew.dismiss();
      await tended;
    },
  );
}

for (const kind of KINDS) {
  serverTest(
    `${kind}: a full Redis refuses what is new and lets go what it has (hazard 12)`,
    async (server) => {
      await using redis = await client(server);
      const queue = new CLASSES[kind]<{ n: number; text: string }>(redis, "q", {
        maxAttempts: 100,
      });
      const { ids } = queueKeys("q");
      const text = "x".repeat(500);
      let stored = 0, own = 0, refused = 0;
      // Batches of every kind; each is stored whole or not at all.
      for (let size = 64; size >= 1;) {
        try {
          await Promise.all(
            numbers(size).flatMap((i) => [
              queue.enqueue({ n: stored + 4 * i, text }),
              queue.enqueue({ n: stored + 4 * i + 1, text }, { delayMs: 1 }),
              queue.enqueue({ n: stored + 4 * i + 2, text }, { id: `own ${stored + i}` }),
              queue.enqueue({ n: stored + 4 * i + 3, text }, {
                id: `later ${stored + i}`,
                delayMs: 1,
              }),
            ]),
          );
          stored += 4 * size;
          own += 2 * size;
        } catch (error) {
          assert(/^OOM/.test((error as Error).message), String(error));
          refused++;
          size /= 2;
        }
        const { ready, delayed } = await queue.counts();
        assertEquals([ready + delayed, await redis.hLen(ids)], [stored, own]);
      }
      // Drained while it is full: every way to let go works, and nothing is left half done.
      const seen = new Set<number>();
      let nacked = 0, extended = 0, buried = 0;
      for (let empty = 0; empty < 3;) {
        const deliveries = await queue.receiveMany(50);
        empty = deliveries.length === 0 ? empty + 1 : 0;
        if (deliveries.length > 0) await deliveries[0]!.extend(60_000).then(() => extended++);
        await Promise.all(deliveries.map(async (delivery, i) => {
          const first = delivery.attempt === 1;
          if (first && i % 10 === 1) {
            return void await delivery.nack({ delayMs: 0 }).then(() => nacked++);
          }
          if (first && i % 10 === 2) {
            return void await delivery.nack({ delayMs: 1, error: new Error("no") }).then(() =>
              nacked++
            );
          }
          if (i === 3 && !seen.has(-1)) {
            return void await delivery.deadLetter("no use").then(() => buried++);
          }
          await delivery.ack();
          seen.add(delivery.payload.n);
        }));
        if (empty > 0 && buried > 0) {
          buried -= await queue.redrive().then((count) => (seen.add(-1), count));
        }
        if (empty > 0) await pause(5);
      }
      seen.delete(-1);
      console.log(
        `${kind}: ${stored} stored in 6 MB, ${refused} batches refused, ${nacked} nacked, ` +
          `${extended} extended, ${stored - seen.size} lost`,
      );
      assertEquals([...seen].sort((a, b) => a - b), numbers(stored));
      assertEquals([await queue.counts(), await redis.hLen(ids), buried], [NONE, 0, 0]);
    },
    { config: { maxmemory: "6mb", "maxmemory-policy": "noeviction" } },
  );
}

serverTest("Scripts that Redis forgets all the time are told again (hazard 15)", async (server) => {
  await using redis = await client(server);
  await using other = await client(server);
  for (const kind of KINDS) {
    const queue = new CLASSES[kind]<number>(redis, kind);
    const seen: number[] = [];
    let flushes = 0, sent = 0;
    const flusher = setInterval(() => void other.scriptFlush().then(() => flushes++), 20);
    const until = performance.now() + 1_000;
    while (performance.now() < until) {
      await Promise.all(
        numbers(20, sent).map((n) => queue.enqueue(n, n % 3 ? {} : { id: `${n}` })),
      );
      sent += 20;
      const deliveries = await queue.receiveMany(30);
      await Promise.all(deliveries.map(async (delivery, i) => {
        if (i % 7 === 0 && delivery.attempt === 1) return void await delivery.nack({ delayMs: 0 });
        if (i % 7 === 1) await delivery.extend(60_000);
        await delivery.ack();
        seen.push(delivery.payload);
      }));
    }
    clearInterval(flusher);
    for (let delivery; (delivery = await queue.receive()) !== undefined;) {
      await delivery.ack();
      seen.push(delivery.payload);
    }
    assertEquals(seen.sort((a, b) => a - b), numbers(sent));
    console.log(`${kind}: ${sent} messages over ${flushes} flushes, each handled once`);
  }
});

for (const kind of KINDS) {
  serverTest(
    `${kind}: 100,000 messages that are due at once hold nobody up (hazard 16)`,
    async (server) => {
      await using redis = await client(server);
      const queue = new CLASSES[kind]<number>(redis, "q", { leaseMs: 60_000 });
      const runAt = Date.now() + 3_600_000;
      for (let i = 0; i < 100; i++) await queue.enqueueMany(numbers(1_000, i * 1_000), { runAt });
      const { delayed } = queueKeys("q");
      // Now they are due, all in one millisecond.
      await redis.sendCommand(["ZUNIONSTORE", delayed, "1", delayed, "WEIGHTS", "0"]);
      assertEquals((await queue.counts()).delayed, 100_000);
      await redis.sendCommand(["SLOWLOG", "RESET"]); // what took long so far was the test's own
      await redis.configSet("slowlog-max-len", "100000");
      await redis.configSet("slowlog-log-slower-than", "500");
      const seen = new Uint8Array(100_000);
      for (let left = 100_000; left > 0;) {
        const deliveries = await queue.receiveMany(1_000);
        left -= deliveries.length;
        for (const { payload } of deliveries) seen[payload]!++;
        await Promise.all(deliveries.map((delivery) => delivery.ack()));
      }
      assert(seen.every((times) => times === 1));
      const slow = await redis.sendCommand(["SLOWLOG", "GET", "-1"]) as unknown[][];
      const longest = Math.max(0, ...slow.map((entry) => Number(entry[2]) / 1_000));
      console.log(`${kind}: the longest script took ${longest} ms`);
      assertLess(longest, 50);
    },
  );

  serverTest(`${kind}: a foreign entry is buried with its bytes (hazard 24)`, async (server) => {
    await using redis = await client(server);
    const queue = new CLASSES[kind]<number>(redis, "q");
    const { ready, lapsed, delayed } = queueKeys("q");
    const put = (entry: Buffer, i: number) => {
      if (i % 3 === 1) return redis.lPush(lapsed, entry);
      if (i % 3 === 2) return redis.zAdd(delayed, { score: 1, value: entry });
      if (kind === "reliable") return redis.lPush(ready, entry);
      return redis.zAdd(ready, { score: i, value: entry });
    };
    const texts = [
      "",
      "garbage",
      "\n",
      "a 0 0 1 99 0\ncut off",
      '{"json":true}',
      "x".repeat(5_000),
    ];
    const binary = [
      Buffer.from([0]),
      Buffer.from([255, 0, 10, 254, 0]),
      Buffer.from("é").subarray(1),
    ];
    const entries = [...texts.map((text) => Buffer.from(text)), ...binary];
    await queue.enqueue(1);
    for (const turn of [0, 1, 2]) {
      for (const [i, entry] of entries.entries()) {
        // Every one in every place; each of them another, so that none stands for two.
        await put(Buffer.concat([entry, Buffer.from(turn === 0 ? "" : `${turn}`)]), i + turn);
      }
      await queue.enqueue(2 + turn);
    }
    const got: number[] = [];
    for (let empty = 0; empty < 30;) {
      const delivery = await queue.receive();
      empty = delivery ? 0 : empty + 1; // one that is buried makes a claim come back empty
      await delivery?.ack();
      if (delivery) got.push(delivery.payload);
    }
    assertEquals(got.sort(), [1, 2, 3, 4]);
    const { messages } = await queue.peek("dead", { limit: 100 });
    const expected = [0, 1, 2].flatMap((turn) =>
      entries.map((entry) => Buffer.concat([entry, Buffer.from(turn === 0 ? "" : `${turn}`)]))
    );
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
    assertEquals(messages.map(({ raw }) => hex(raw)).sort(), expected.map(hex).sort());
    assertEquals(await queue.counts(), { ...NONE, dead: expected.length });
  });
}

for (const kind of KINDS) {
  serverTest(`${kind}: receive takes the next message when one cannot be read`, async (server) => {
    await using redis = await client(server);
    const queue = new CLASSES[kind]<number>(redis, "q");
    const { ready } = queueKeys("q");
    if (kind === "reliable") await redis.lPush(ready, ["garbage", "rubbish"]);
    else await redis.zAdd(ready, [{ score: 1, value: "garbage" }, { score: 2, value: "rubbish" }]);
    await queue.enqueue(1);
    assertEquals((await queue.receive())?.payload, 1);
    assertEquals((await queue.counts()).dead, 2);
  });
}

serverTest("Equal foreign entries are buried one by one (hazard 24)", async (server) => {
  await using redis = await client(server);
  await using queue = new ReliableQueue<number>(redis, "q");
  await redis.lPush(queueKeys("q").ready, ["garbage", "garbage"]);
  assertEquals(await queue.receive(), undefined);
  assertEquals((await queue.counts()).dead, 2);
});

serverTest(
  "A nearer delay is not missed by one about to wait while another polls",
  async (server) => {
    await using redis = await client(server);
    await using queue = new ReliableQueue<string>(redis, "q");
    await using other = new ReliableQueue<string>(redis, "q");
    await queue.enqueue("far", { delayMs: 3_600_000 });
    // Between the claim that learns of "far" and the wait: the moment of making the connection for it.
    const duplicate = redis.duplicate.bind(redis);
    let claimed: Promise<unknown> | undefined;
    redis.duplicate = (options) => {
      claimed = other.enqueue("near", { delayMs: 300 }).then(() => other.receive());
      return duplicate(options);
    };
    const startedAt = performance.now();
    assertEquals((await queue.receive({ waitMs: 8_000 }))?.payload, "near");
    await claimed;
    assertLess(performance.now() - startedAt, 1_000);
  },
);

const NOW = `local time = redis.call("TIME") return time[1] * 1000 + math.floor(time[2] / 1000)`;

type Eight = [D, D, D, D, D, D, D, D];
type D = Delivery<number>;

/** A connection that ends with the test. */
async function client(server: { url: string }): Promise<ConnectedClient & AsyncDisposable> {
  const redis = await connect({ url: server.url, heartbeatMs: 0 });
  return Object.assign(redis, {
    [Symbol.asyncDispose]: () => Promise.resolve(redis.destroy()),
  });
}

/** A queue behind a proxy that loses replies, and the same queue without. */
class Faulty implements AsyncDisposable {
  readonly queue: ReliableQueue<number> | PriorityQueue<number>;
  readonly direct: ReliableQueue<number> | PriorityQueue<number>;
  readonly #proxy: FaultyProxy;
  readonly #clients: ConnectedClient[];
  #all: { sha: string } | undefined;

  private constructor(
    proxy: FaultyProxy,
    { kind, clients, leaseMs }: { kind: Kind; clients: ConnectedClient[]; leaseMs?: number },
  ) {
    this.#proxy = proxy;
    this.#clients = clients;
    const [faulty, direct] = clients as [ConnectedClient, ConnectedClient];
    this.queue = new CLASSES[kind]<number>(faulty, "q", { leaseMs });
    this.direct = new CLASSES[kind]<number>(direct, "q", { leaseMs });
  }

  static async start(
    server: RedisServer,
    kind: Kind,
    options: { leaseMs?: number } = {},
  ): Promise<Faulty> {
    const proxy = await FaultyProxy.start({ port: server.port });
    const clients = [await client(proxy), await client(server)];
    // Redis knows the scripts, so each is one command.
    for (const { text } of [...Object.values(SCRIPTS[kind]), ackScript]) {
      await clients[1]!.scriptLoad(text);
    }
    return new Faulty(proxy, { kind, clients, ...options });
  }

  /** The next reply to this script is lost; resolves when it was. */
  lose(script: { sha: string }): Promise<void> {
    return this.#proxy.dropReplies((request) => request.includes(script.sha));
  }

  /** All replies to this script are lost, until the next call. */
  loseAll(script?: { sha: string }): void {
    this.#all = script;
    const lose: ReplyPredicate = (request) => script !== undefined && request.includes(script.sha);
    const again = () => {
      if (this.#all === script && script) void this.#proxy.dropReplies(lose).then(again);
    };
    again();
    if (!script) void this.#proxy.dropReplies(lose);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const redis of this.#clients) redis.destroy();
    await this.#proxy[Symbol.asyncDispose]();
  }
}

/** Consumers in processes of their own, and the file they write to. */
class Crew implements AsyncDisposable {
  readonly name = `q${crypto.randomUUID().slice(0, 8)}`;
  readonly #orders: Orders;
  readonly #alive = new Set<Deno.ChildProcess>();
  #dismissed = false;

  private constructor(server: RedisServer, orders: Omit<Orders, "url" | "name" | "file">) {
    const file = `${server.dir}/${this.name}.txt`;
    Deno.writeTextFileSync(file, "");
    this.#orders = { ...orders, url: server.url, name: this.name, file };
  }

  static start(
    server: RedisServer,
    orders: Omit<Orders, "url" | "name" | "file">,
  ): Promise<Crew> {
    return Promise.resolve(new Crew(server, orders));
  }

  spawn(): Deno.ChildProcess {
    const program = new URL("./fault_worker.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "--no-check", program, JSON.stringify(this.#orders)],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    this.#alive.add(child);
    void child.status.then(() => this.#alive.delete(child));
    return child;
  }

  /** kill -9 for one that is handling a message, if there is one; else for the oldest. */
  async killOne(): Promise<void> {
    const last = new Map(
      this.lines().map((line) => {
        const [what, , , pid] = line.split(" ");
        return [Number(pid), what];
      }),
    );
    const all = [...this.#alive];
    const child = all.find(({ pid }) => last.get(pid) === "start") ?? all[0];
    child!.kill("SIGKILL");
    await child!.status;
  }

  /** Keeps one consumer alive until {@linkcode dismiss}. */
  async tend(): Promise<void> {
    while (!this.#dismissed) await this.spawn().status;
  }

  dismiss(): void {
    this.#dismissed = true;
    for (const child of this.#alive) child.kill("SIGKILL");
  }

  lines(): string[] {
    return Deno.readTextFileSync(this.#orders.file).split("\n").slice(0, -1);
  }

  /** The messages of which this was said. */
  numbers(what: string): number[] {
    return this.lines().filter((line) => line.startsWith(`${what} `))
      .map((line) => Number(line.split(" ")[1]));
  }

  count(what: string): number {
    return this.numbers(what).length;
  }

  /** Does something, and waits until a consumer has said this of the message. */
  async see(what: string, n: number, after: () => unknown): Promise<void> {
    await after();
    await eventually(() => assert(this.numbers(what).includes(n), `no "${what} ${n}"`), 8_000);
  }

  /** How many of the messages from 0 were never finished, acked twice, finished more than once. */
  audit(sent: number): { never: number; doubleAcks: number; twice: number } {
    const done = this.numbers("done");
    const acked = this.numbers("acked");
    const finished = new Set(done);
    return {
      never: numbers(sent).filter((n) => !finished.has(n)).length,
      doubleAcks: acked.length - new Set(acked).size,
      twice: done.length - finished.size,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dismiss();
    await Promise.all([...this.#alive].map((child) => child.status));
  }
}
