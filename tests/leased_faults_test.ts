/**
 * What the queues with leases promise when Redis, or the way to it, breaks for real: a server that is
 * killed, replies that are lost, a full memory, forgotten scripts, foreign entries. Every test has a
 * server of its own. What consumers' processes suffer is in `leased_processes_test.ts`.
 *
 * The figures of a run are printed: they say how hard it was.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- figures
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import {
  connect,
  type ConnectedClient,
  type Delivery,
  PriorityQueue,
  RedisConnectionError,
  RedisFullError,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import { Buffer } from "node:buffer";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { queueKeys } from "../redis/keys.ts";
import type { RedisServer } from "../tools/redis_server.ts";
import { FaultyProxy, type ReplyPredicate } from "./proxy.ts";
import { eventually, serverTest } from "./support.ts";

const KINDS = ["reliable", "priority", "stream"] as const;
type Kind = typeof KINDS[number];
type Queue = ReliableQueue<number> | PriorityQueue<number> | StreamQueue<number>;
const CLASSES = { reliable: ReliableQueue, priority: PriorityQueue, stream: StreamQueue };
const SCRIPTS = { ...LEASED_SCRIPTS, reliable: LEASED_SCRIPTS.list };
const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

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

  serverTest(
    `${kind}: a claim that was given up leaves its messages to the next one (hazard 3)`,
    async (server) => {
      await using faulty = await Faulty.start(server, kind);
      const { queue, direct } = faulty;
      await direct.enqueueMany(numbers(8));
      faulty.loseAll(SCRIPTS[kind].claim);
      await assertRejects(() => queue.receiveMany(5), RedisConnectionError);
      faulty.loseAll();
      assertEquals((await direct.counts()).leased, 5); // for half a minute, if nobody asked again
      const few = await queue.receiveMany(2); // fewer than are in doubt: others
      assertEquals(few.map(({ payload }) => payload), [5, 6]);
      const again = await queue.receiveMany(6);
      assertEquals(again.map(({ payload, attempt }) => [payload, attempt]), [
        ...numbers(5).map((n) => [n, 1]),
      ]);
      await Promise.all([...few, ...again].map((delivery) => delivery.ack()));
      await (await queue.receive())!.ack();
      assertEquals(await direct.counts(), NONE);
    },
  );

  serverTest(`${kind}: settling whose reply is lost is said again (hazard 5)`, async (server) => {
    await using faulty = await Faulty.start(server, kind);
    const { queue, direct } = faulty;
    await direct.enqueueMany(numbers(8));
    const [a, b, c, d, e, f, g, h] = await queue.receiveMany(8) as Eight;
    let lost = faulty.lose(SCRIPTS[kind].ack);
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

  serverTest(
    `${kind}: a nack whose reply is lost says what is known (hazard 5)`,
    async (server) => {
      await using faulty = await Faulty.start(server, kind, { maxAttempts: 2 });
      const { queue, direct } = faulty;
      const said = async (settle: () => Promise<string>) => {
        const lost = faulty.lose(SCRIPTS[kind].giveBack);
        const where = await settle();
        await lost;
        return where;
      };
      await direct.enqueueMany(numbers(3));
      await direct.enqueue(3, { id: "own" });
      for (const delivery of await queue.receiveMany(4)) await delivery.nack({ delayMs: 0 });
      const byPayload = (one: Delivery<number>, other: Delivery<number>) =>
        one.payload - other.payload;
      const [a, b, c, d] = (await queue.receiveMany(4)).sort(byPayload);
      // It died of it, and is found by its id: an alarm that goes by "dead" goes off.
      assertEquals([await said(() => a!.nack()), await said(() => d!.nack())], ["dead", "dead"]);
      // A token does not tell the id.
      assertEquals(await direct.delivery(b!.token).nack(), "dead", "no reply was lost");
      assertEquals(await said(() => queue.delivery(c!.token).nack()), "settled");
      assertEquals((await direct.counts()).dead, 4);

      await direct.enqueueMany(numbers(3));
      await direct.enqueue(7, { id: "own too" });
      const [e, f, g, h] = (await queue.receiveMany(4)).sort(byPayload);
      assertEquals(await said(() => e!.nack({ delayMs: 0 })), "settled");
      assertEquals(await said(() => f!.nack({ delayMs: 3_600_000 })), "settled");
      // Somebody else was first, and nobody's reply was lost.
      await direct.delivery(g!.token).ack();
      assertEquals(await g!.nack(), "settled");
      // Another message has the id by now, and is dead.
      await direct.delivery(h!.token).ack();
      await direct.enqueue(8, { id: "own too" });
      for (let taken; (taken = await direct.receive());) await taken.deadLetter("no"); // the first, too
      assertEquals(await h!.nack(), "settled");
      assertEquals(await direct.counts(), { ...NONE, delayed: 1, dead: 6 });
    },
  );
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
          assert(error instanceof RedisFullError, String(error));
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
    `${kind}: what is enqueued first stays first when Redis has forgotten the script`,
    async (server) => {
      await using proxy = await FaultyProxy.start({ port: server.port });
      await using redis = await client(proxy);
      await using other = await client(server);
      const queue = new CLASSES[kind]<number>(redis, "q");
      await queue.enqueue(0);
      await (await queue.receive())!.ack();

      // One is told that the script is not known, and before it hears of that somebody else brings it
      // along: the next one finds it there.
      await other.scriptFlush();
      proxy.delay(200);
      const seen = proxy.requests;
      const first = queue.enqueue(1);
      await eventually(() => assert(proxy.requests > seen));
      await new CLASSES[kind]<number>(other, "other").enqueue(0);
      const second = queue.enqueue(2);
      await pause(1);
      const third = queue.enqueue(3);
      await Promise.all([first, second, third]);
      proxy.delay(0);
      assertEquals(await payloads(queue), [1, 2, 3]);
    },
  );

  serverTest(
    `${kind}: what is enqueued first stays first when connections are cut`,
    async (server) => {
      await using proxy = await FaultyProxy.start({ port: server.port });
      await using redis = await client(proxy);
      const queue = new CLASSES[kind]<number>(redis, "q");
      const stored: Promise<unknown>[] = [];
      for (let n = 0; n < 200; n++) {
        stored.push(queue.enqueue(n));
        await pause(1);
        if (n % 50 === 25) proxy.cut();
      }
      await Promise.all(stored);
      assertEquals(await payloads(queue), numbers(200));
    },
  );

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
      if (kind === "stream") return redis.xAdd(ready, "*", { m: entry });
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
    for (const [i, garbage] of ["garbage", "rubbish"].entries()) {
      if (kind === "reliable") await redis.lPush(ready, garbage);
      else if (kind === "stream") await redis.xAdd(ready, "*", { m: garbage });
      else await redis.zAdd(ready, { score: i, value: garbage });
    }
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

/** In the order in which they are handed out. */
async function payloads(queue: Queue): Promise<number[]> {
  const deliveries = await queue.receiveMany(1_000);
  await Promise.all(deliveries.map((delivery) => delivery.ack()));
  return deliveries.map(({ payload }) => payload);
}

type Eight = [D, D, D, D, D, D, D, D];
type D = Delivery<number>;

/** A connection that ends with the test. */
async function client(server: { url: string }): Promise<ConnectedClient & AsyncDisposable> {
  const redis = await connect({ url: server.url, heartbeatMs: 0 });
  return Object.assign(redis, {
    [Symbol.asyncDispose]: () => Promise.resolve(redis.destroy()),
  });
}

interface FaultyOptions {
  leaseMs?: number;
  maxAttempts?: number;
}

/** A queue behind a proxy that loses replies, and the same queue without. */
class Faulty implements AsyncDisposable {
  readonly queue: Queue;
  readonly direct: Queue;
  readonly #proxy: FaultyProxy;
  readonly #clients: ConnectedClient[];
  #all: { sha: string } | undefined;

  private constructor(
    proxy: FaultyProxy,
    { kind, clients, ...options }: { kind: Kind; clients: ConnectedClient[] } & FaultyOptions,
  ) {
    this.#proxy = proxy;
    this.#clients = clients;
    const [faulty, direct] = clients as [ConnectedClient, ConnectedClient];
    this.queue = new CLASSES[kind]<number>(faulty, "q", options);
    this.direct = new CLASSES[kind]<number>(direct, "q", options);
  }

  static async start(
    server: RedisServer,
    kind: Kind,
    options: FaultyOptions = {},
  ): Promise<Faulty> {
    const proxy = await FaultyProxy.start({ port: server.port });
    const clients = [await client(proxy), await client(server)];
    // Redis knows the scripts, so each is one command.
    for (const { text } of Object.values(SCRIPTS[kind])) {
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
