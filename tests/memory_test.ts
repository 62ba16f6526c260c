/**
 * Memory that is full, and memory that must not fill up (HAZARDS 12 and 14). With `maxmemory 1` Redis is
 * over its limit whatever happens, so each script runs into it at its first write: what stores is refused
 * whole, and what takes, settles, lengthens or removes works. And everything that grows has a cap that is
 * filled here, or in the suites (GUARANTEES.md names the tests).
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects } from "@std/assert";
import {
  connect,
  type ConnectedClient,
  LeaseLostError,
  ListQueue,
  listQueues,
  PriorityQueue,
  RedisFullError,
  ReliableQueue,
  StreamQueue,
  Worker,
} from "@workshop/redis-patterns";
import { Buffer } from "node:buffer";
import { RESP_TYPES } from "redis";
import { queueKeys, REGISTRY_KEY } from "../redis/keys.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

const KINDS = ["reliable", "priority", "stream"] as const;
type Kind = typeof KINDS[number];
type Queue = ReliableQueue<number> | PriorityQueue<number> | StreamQueue<number>;
const CLASSES = { reliable: ReliableQueue, priority: PriorityQueue, stream: StreamQueue };
const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A connection that ends with the test. */
async function client(server: { url: string }): Promise<ConnectedClient & AsyncDisposable> {
  const redis = await connect({ url: server.url, heartbeatMs: 0 });
  return Object.assign(redis, {
    [Symbol.asyncDispose]: () => Promise.resolve(redis.destroy()),
  });
}

/** A queue with every option on, on a server that can be full. */
class Pressed implements AsyncDisposable {
  readonly queue: Queue;
  readonly redis: ConnectedClient;
  readonly #keys = queueKeys("q");

  constructor(kind: Kind, redis: ConnectedClient) {
    this.redis = redis;
    this.queue = new CLASSES[kind]<number>(redis, "q", {
      leaseMs: 60_000,
      maxAttempts: 2,
      backoff: () => 60_000,
      keepCompleted: {},
      keepFailed: {},
      rateLimit: { count: 1_000 },
    });
  }

  /** Begins anew, with memory for everything. */
  async empty(): Promise<void> {
    await this.redis.configSet("maxmemory", "0");
    await this.redis.unlink(Object.values(this.#keys));
  }

  /** From now on every command that adds is refused. */
  async fill(): Promise<void> {
    await this.redis.configSet("maxmemory", "1");
    await assertRejects(() => this.redis.set("probe", "1"), Error, "OOM");
  }

  /** As time would: all leases end, or all that is delayed falls due. */
  async pass(key: "leases" | "delayed"): Promise<void> {
    for (const value of await this.redis.zRange(this.#keys[key], 0, -1)) {
      await this.redis.zAdd(this.#keys[key], { score: 1, value });
    }
  }

  /** Every key, byte for byte. */
  async dump(): Promise<Record<string, string>> {
    const bytes = this.redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    const dump: Record<string, string> = {};
    for (const key of Object.values(this.#keys)) {
      const value = await bytes.dump(key) as unknown as Buffer | null;
      if (value) dump[key] = value.toString("hex");
    }
    return dump;
  }

  /** How many messages are in each state. */
  async states(): Promise<typeof NONE> {
    const { ready, leased, delayed, dead } = await this.queue.counts();
    return { ready, leased, delayed, dead };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.redis.configSet("maxmemory", "0"); // or nothing could be closed
    await this.queue.close();
  }
}

for (const kind of KINDS) {
  serverTest(
    `${kind}: an enqueue at maxmemory is refused whole, and changes nothing (hazard 12)`,
    async (server) => {
      await using redis = await client(server);
      await using pressed = new Pressed(kind, redis);
      const { queue } = pressed;
      await queue.enqueueMany([1, 2], { dedupe: true });
      await queue.enqueue(3, { id: "own" });
      await queue.receive();
      await queue.enqueue(4, { delayMs: 3_600_000 });
      await pressed.fill();
      const before = await pressed.dump();
      const many = Array.from({ length: 1_000 }, (_, i) => i);
      const attempts: [string, () => Promise<unknown>][] = [
        ["plain", () => queue.enqueue(5)],
        ["a thousand", () => queue.enqueueMany(many)],
        ["delayed", () => queue.enqueue(5, { delayMs: 1 })],
        ["an own id", () => queue.enqueue(5, { id: "other" })],
        ["a key", () => queue.enqueue(5, { dedupe: { key: "key", ttlMs: 1_000 } })],
        ["all at once", () =>
          Promise.all([
            queue.enqueue(5),
            queue.enqueue(6, { id: "x", delayMs: 9 }),
            queue.enqueue(7, { id: "y", dedupe: true }),
          ])],
      ];
      for (const [what, enqueue] of attempts) {
        const error = await assertRejects(enqueue, RedisFullError, "memory is full", what);
        assertEquals(error.address, `127.0.0.1:${server.port}`);
        assertEquals(await pressed.dump(), before, what);
      }
      const list = new ListQueue<number>(redis, "list");
      await assertRejects(() => list.enqueue(1), RedisFullError);
      await assertRejects(() => list.enqueueMany([1, 2]), RedisFullError);
      assertEquals(await list.counts(), { ready: 0 });
      // It is no state that stays.
      await redis.configSet("maxmemory", "0");
      await queue.enqueue(5);
      assertEquals(await pressed.states(), { ready: 3, leased: 1, delayed: 1, dead: 0 });
    },
  );

  serverTest(
    `${kind}: claims, settling and all that an operator does work at maxmemory (hazard 12)`,
    async (server) => {
      await using redis = await client(server);
      await using pressed = new Pressed(kind, redis);
      const { queue } = pressed;
      /** With memory for `prepare`, and none for `act`; then these are the states. */
      const step = async <M>(
        what: string,
        prepare: () => Promise<M>,
        act: (made: M) => Promise<unknown>,
        states: Partial<typeof NONE> = {},
      ) => {
        await pressed.empty();
        const made = await prepare();
        await pressed.fill();
        try {
          await act(made);
        } catch (error) {
          throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
        }
        assertEquals(await pressed.states(), { ...NONE, ...states }, what);
      };
      const enqueue = () => queue.enqueue(1, { id: "one", dedupe: true });
      const one = async () => {
        await enqueue();
        return (await queue.receive())!;
      };
      const dead = async () => await (await one()).deadLetter("no use");
      const later = () => queue.enqueue(1, { id: "one", delayMs: 3_600_000 });
      const claim = async (attempt: number) => {
        const [delivery, ...more] = await queue.receiveMany(5);
        assertEquals([delivery?.payload, delivery?.attempt, more], [1, attempt, []]);
        await delivery!.ack();
      };

      // The very first claim: a stream has no group then.
      await step("the first claim", enqueue, () => claim(1));
      await step("a claim", async () => {
        await (await one()).ack();
        await enqueue();
      }, () => claim(1));
      await step("a claim of what fell due", async () => {
        await later();
        await pressed.pass("delayed");
      }, () => claim(1));
      await step("a claim of what lapsed", async () => {
        await one();
        await pressed.pass("leases");
      }, () => claim(2));
      await step("a claim by waiting", enqueue, async () => {
        assertEquals((await queue.receive({ waitMs: 1_000 }))?.payload, 1);
      }, { leased: 1 });
      await step("a claim of nothing", () => Promise.resolve(), async () => {
        assertEquals(await queue.receive(), undefined);
        assertEquals(await queue.receive({ waitMs: 10 }), undefined);
      });

      await step("ack", one, (delivery) => delivery.ack());
      await step("ack by token", one, ({ token }) => queue.delivery(token).ack());
      await step(
        "a late ack",
        async () => {
          const delivery = await one();
          await pressed.pass("leases");
          await queue.receive();
          return delivery;
        },
        (delivery) => assertRejects(() => delivery.ack(), LeaseLostError),
        { leased: 1 },
      );
      await step("nack", one, async (delivery) => {
        assertEquals(await delivery.nack({ delayMs: 0, error: new Error("no") }), "ready");
      }, { ready: 1 });
      await step("nack for later", one, async (delivery) => {
        assertEquals(await delivery.nack({ error: new Error("no") }), "delayed");
      }, { delayed: 1 });
      await step(
        "the last nack",
        async () => {
          await (await one()).nack({ delayMs: 0 });
          return (await queue.receive())!;
        },
        async (delivery) => assertEquals(await delivery.nack(), "dead"),
        { dead: 1 },
      );
      await step("deadLetter", one, (delivery) => delivery.deadLetter("no use"), { dead: 1 });
      await step("extend", one, async (delivery) => {
        const { leaseExpiresAt } = delivery;
        await delivery.extend(3_600_000);
        assert(delivery.leaseExpiresAt > leaseExpiresAt);
      }, { leased: 1 });

      await step("pause and resume", enqueue, async () => {
        await queue.pause();
        assertEquals([(await queue.counts()).paused, await queue.receive()], [true, undefined]);
        await queue.resume();
        await claim(1);
      });
      await step("redrive", dead, async () => {
        assertEquals(await queue.redrive(), 1);
        await claim(1);
      });
      await step("redrive by id", dead, () => queue.redrive({ ids: ["one"] }), { ready: 1 });
      await step("purge of what is dead", dead, () => queue.purge("dead"));
      await step("purge of what is ready", enqueue, () => queue.purge("ready"));
      await step("purge of what is delayed", later, () => queue.purge("delayed"));
      await step("purge of the logs", dead, async () => {
        assertEquals([await queue.purge("failed"), await queue.purge("completed")], [1, 0]);
      }, { dead: 1 });
      await step("cancel of what is ready", enqueue, async () => {
        assertEquals(await queue.cancel("one"), "ready");
        await queue.receive(); // throws the mark away
      });
      await step("cancel of what is delayed", later, () => queue.cancel("one"));
      await step("cancel of what is dead", dead, () => queue.cancel("one"));
      await step("cancel of what is in hand", one, async (delivery) => {
        assertEquals(await queue.cancel("one"), "leased");
        await delivery.ack();
      });
      await step("cancel of what lapsed", async () => {
        await one();
        await pressed.pass("leases");
        await queue.pause();
        await queue.receive(); // sweeps, and may take nothing
        await queue.resume();
      }, async () => {
        assertEquals(await queue.cancel("one"), "ready");
        await queue.receive(); // throws the mark away
      });
      await step("looking", one, async () => {
        assertEquals((await queue.find("one"))?.state, "leased");
        assertEquals((await queue.peek("leased")).messages.length, 1);
        assertEquals((await queue.stats()).totals.enqueued, 1);
        assertEquals((await listQueues(redis)).length, 1);
        assertEquals(await queue.consumers(), []);
      }, { leased: 1 });
      await pressed.empty();
      assertEquals(await redis.dbSize(), 1); // the registry: each step left nothing else
    },
  );

  serverTest(
    `${kind}: a worker lives at maxmemory, and its heartbeat keeps the lease (hazard 12)`,
    async (server) => {
      await using redis = await client(server);
      await using queue = new CLASSES[kind]<number>(redis, "q", { leaseMs: 400, maxAttempts: 1 });
      await queue.enqueue(1);
      await queue.enqueue(2, { delayMs: 300 });
      await redis.configSet("maxmemory", "1");
      const done: number[] = [];
      const trouble: unknown[] = [];
      const worker = new Worker(queue, async (n) => {
        await pause(1_500); // four leases
        done.push(n);
      }, {
        concurrency: 2,
        onEvent: (event) => {
          if (event.type !== "done") trouble.push(event);
        },
      });
      worker.start();
      await eventually(() => assertEquals(done, [1, 2]), 6_000);
      await worker.stop();
      assertEquals([trouble, await queue.counts()], [[], NONE]);
      await redis.configSet("maxmemory", "0");
    },
  );
}

serverTest("Redis tells nobody of queues beyond the 10,000 that were used last", async (server) => {
  await using redis = await client(server);
  for (let i = 0; i < 10_100; i += 100) {
    const members = Array.from(
      { length: 100 },
      (_, j) => ({ score: i + j, value: `list q${i + j}` }),
    );
    await redis.zAdd(REGISTRY_KEY, members);
  }
  await new ReliableQueue<number>(redis, "latest").enqueue(1);
  assertEquals(await redis.zCard(REGISTRY_KEY), 10_000);
  const [first] = await listQueues(redis, { limit: 1 });
  assertEquals(first?.name, "latest");
  assertEquals(await redis.zScore(REGISTRY_KEY, "list q100"), null); // the longest unused went
});

redisTest(
  "a consumer that says it is there removes those that fell silent",
  async ({ redis, name }) => {
    const { workers, workers_until } = queueKeys(name);
    for (let i = 0; i < 25; i++) {
      await redis.hSet(workers, `gone-${i}`, "{}");
      await redis.zAdd(workers_until, { score: 1 + i, value: `gone-${i}` });
    }
    const queue = new ReliableQueue<number>(redis, name);
    for (const left of [16, 1]) { // ten at each word, of which the last is goodbye
      const worker = new Worker(queue, () => {});
      worker.start();
      await eventually(async () => assertEquals(await redis.hLen(workers), left));
      assertEquals(await redis.zCard(workers_until), left);
      assertLessOrEqual(await redis.pTTL(workers), 30_000); // and all of them when nobody comes
      await worker.stop();
    }
    await redis.zRem(REGISTRY_KEY, `list ${name}`);
  },
);

redisTest("a rate limit keeps no more grants than its time has", async ({ redis, name }) => {
  const { grants } = queueKeys(name);
  const queue = new ReliableQueue<number>(redis, name, { rateLimit: { count: 50, perMs: 300 } });
  await queue.enqueueMany(Array.from({ length: 200 }, (_, i) => i));
  let most = 0;
  for (let got = 0; got < 200;) {
    const delivery = await queue.receive();
    most = Math.max(most, await redis.lLen(grants));
    if (!delivery) await pause(20);
    else {
      await delivery.ack();
      got++;
    }
  }
  assertLessOrEqual(most, 50); // at worst one for each message
  await eventually(async () => assertEquals(await redis.exists(grants), 0));
  await redis.zRem(REGISTRY_KEY, `list ${name}`);
  await redis.unlink(Object.values(queueKeys(name)));
});

for (const kind of KINDS) {
  redisTest(`${kind}: errors, reasons and histories are cut`, async ({ redis, name }) => {
    const long = "€".repeat(1_000_000);
    await using queue = new CLASSES[kind]<number>(redis, name, { maxAttempts: 200 });
    await queue.enqueue(1);
    for (let i = 0; i < 20; i++) {
      const error = Object.assign(new Error(long), { stack: long });
      await (await queue.receive())!.nack({ delayMs: 0, error });
    }
    const delivery = (await queue.receive())!;
    for (const { message, stack } of delivery.errors) {
      assertLess(Buffer.byteLength(message + stack), 3 * 8_192);
      assertLess(message.length + stack!.length, 8_192);
    }
    assertLess(delivery.errors.length, 20); // the oldest went
    await delivery.deadLetter(long);
    const { messages: [letter] } = await queue.peek("dead");
    assertLess(letter!.reason!.length, 2_100);
    assertLess(await redis.memoryUsage(queueKeys(name).dead) ?? Infinity, 100_000);
    await queue.purge("dead");
    await redis.zRem(
      REGISTRY_KEY,
      `${{ reliable: "list", priority: kind, stream: kind }[kind]} ${name}`,
    );
    await redis.unlink(Object.values(queueKeys(name)));
  });
}
