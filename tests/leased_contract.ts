/**
 * What every queue with leases promises: one suite, run for each of them. New behaviour goes here
 * first.
 *
 * The tests drive the clock where they can: a lease lapses and a message gets due because its score
 * in Redis is set back, not because somebody slept.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { RESP_TYPES } from "redis";
import {
  type CommandArgument,
  type ConnectedClient,
  type ConsumeEvent,
  type Delivery,
  type Enqueued,
  type EnqueueManyOptions,
  type EnqueueOptions,
  type LeasedQueue,
  type LeasedQueueOptions,
  LeaseLostError,
  type Mode,
  type RedisClient,
} from "@workshop/redis-patterns";
import { writeEnvelope } from "../queue/envelope.ts";
import { bindScripts } from "../queue/leased_scripts.ts";
import type { ReadyKind } from "../queue/ready_lua.ts";
import { makeUid } from "../queue/uid.ts";
import { call } from "../redis/call.ts";
import { queueKeys } from "../redis/keys.ts";
import { leasedInspectionContract } from "./leased_inspection_contract.ts";
import { leasedLimitsContract } from "./leased_limits_contract.ts";
import { leasedLogsContract } from "./leased_logs_contract.ts";
import { leasedMisuseContract } from "./leased_misuse_contract.ts";
import { leasedOptionsContract } from "./leased_options_contract.ts";
import { FaultyProxy } from "./proxy.ts";
import { commandsDuring, eventually, type Fixture, redisTest } from "./support.ts";

/** What the contract needs of a queue. */
export type ContractQueue<T> = LeasedQueue<T> & {
  enqueue(payload: T, options?: EnqueueOptions): Promise<Enqueued>;
  enqueueMany(
    payloads: readonly T[],
    options?: EnqueueManyOptions,
  ): Promise<Enqueued[]>;
};

/** Makes the queue under test. */
export type MakeQueue = <T = unknown>(
  client: RedisClient,
  name: string,
  options?: LeasedQueueOptions<T>,
) => ContractQueue<T>;

/** What a test of the contract gets. */
export interface LeasedFixture extends Fixture {
  /** What queues are made with. */
  client: ConnectedClient;
  /** A queue under the test's name, closed after the test. */
  queue<T = unknown>(options?: LeasedQueueOptions<T>, client?: RedisClient): ContractQueue<T>;
  /** The key that a suffix stands for: `ready`, `dead:at` … */
  key(suffix: string): string;
  /**
   * The queue's keys and their sizes. Without `seq`, `replays` and `stats`, which outlive the messages
   * and are no part of their state, and without a stream that is empty.
   */
  sizes(): Promise<Record<string, number>>;
  /** Every key of the queue, byte for byte. */
  dump(): Promise<Record<string, string>>;
  /** Makes the queue's keys what they were at a dump. */
  restore(dump: Record<string, string>): Promise<void>;
  /** Ends all leases as time would. */
  lapse(): Promise<void>;
  /** Makes all delayed messages due. */
  makeDue(): Promise<void>;
  /** Puts entries that are none of ours into `ready`. */
  intrude(...entries: (string | Buffer)[]): Promise<void>;
  /** Resolves when `count` connections wait in Redis. */
  blocked(count: number): Promise<void>;
  /** Through a proxy, for faults on the way. */
  faulty(): Promise<{ proxy: FaultyProxy; client: ConnectedClient }>;
}

/** Defines a test of one queue. */
export type LeasedTest = (title: string, run: (test: LeasedFixture) => Promise<void>) => void;

/** How a consumer waits. */
export const MODES = ["polling", "blocking"] as const;
/** How long a consumer waits in a mode. */
export const waitMs = (mode: Mode) => mode === "blocking" ? 2_000 : 0;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** Their data. */
export const payloads = (deliveries: { payload?: unknown }[]) =>
  deliveries.map(({ payload }) => payload);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Defines tests of queues that `makeQueue` makes. */
export function leasedTests(makeQueue: MakeQueue): LeasedTest {
  return (title, run) =>
    redisTest(title, async (test) => {
      const queues: ContractQueue<unknown>[] = [];
      const faulty: { proxy: FaultyProxy; client: ConnectedClient }[] = [];
      const { redis: client, master: redis, name } = test;
      const prefix = `queue:{${name}}:`;
      const bytes = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      const key = (suffix: string) => prefix + suffix;
      const found = async () => {
        const keys: string[] = [];
        for await (const page of redis.scanIterator({ MATCH: `${prefix}*`, COUNT: 1_000 })) {
          keys.push(...page);
        }
        return [...new Set(keys)].toSorted();
      };
      const setBack = async (suffix: string) => {
        for (const member of await bytes.zRange(key(suffix), 0, -1) as unknown as Buffer[]) {
          await redis.sendCommand(["ZADD", key(suffix), "XX", "1", member]);
        }
      };
      const fixture: LeasedFixture = {
        ...test,
        redis, // for looking, and for plain commands
        client,
        queue: <T>(options?: LeasedQueueOptions<T>, from: RedisClient = client) => {
          const queue = makeQueue<T>(from, name, options);
          queues.push(queue as ContractQueue<unknown>);
          return queue;
        },
        key,
        sizes: async () => {
          const sizes: Record<string, number> = {};
          for (const name of await found()) {
            const suffix = name.slice(prefix.length);
            if (["seq", "replays", "stats"].includes(suffix)) continue;
            const size = await sizeOf(redis, name);
            if (size > 0) sizes[suffix] = size;
          }
          return sizes;
        },
        dump: async () => {
          const dump: Record<string, string> = {};
          for (const name of await found()) {
            dump[name] = (await bytes.dump(name) as unknown as Buffer).toString("hex");
          }
          return dump;
        },
        restore: async (dump) => {
          const keys = await found();
          if (keys.length > 0) await redis.unlink(keys);
          for (const [key, value] of Object.entries(dump)) {
            await redis.sendCommand(["RESTORE", key, "0", Buffer.from(value, "hex")]);
          }
        },
        lapse: () => setBack("leases"),
        makeDue: () => setBack("delayed"),
        intrude: async (...entries) => {
          await using probe = makeQueue(client, `${name}:probe`);
          await probe.enqueue(0);
          const kind = await client.type(`queue:{${name}:probe}:ready`);
          for (const [i, entry] of entries.entries()) {
            const command = {
              list: ["LPUSH", key("ready"), entry],
              zset: ["ZADD", key("ready"), String(i), entry],
              stream: ["XADD", key("ready"), "*", "m", entry],
            }[kind];
            await redis.sendCommand(command as string[]);
          }
          const left = await client.keys(`queue:{${name}:probe}:*`);
          if (left.length > 0) await client.unlink(left);
        },
        blocked: (count) =>
          eventually(async () => {
            const info = await redis.info("clients");
            assertGreaterOrEqual(Number(/blocked_clients:(\d+)/.exec(info)![1]), count);
          }),
        faulty: async () => {
          const { hostname, port } = new URL(test.url);
          const proxy = await FaultyProxy.start({ hostname, port: Number(port) });
          const client = await test.connect({ url: proxy.url, heartbeatMs: 0 });
          faulty.push({ proxy, client });
          return { proxy, client };
        },
      };
      try {
        await run(fixture);
        const keys = await found();
        if (keys.length > 0) await redis.unlink(keys);
      } finally {
        await Promise.all(queues.map((queue) => queue.close()));
        for (const { proxy, client } of faulty) {
          client.destroy(); // first: it would connect again
          await proxy[Symbol.asyncDispose]();
        }
      }
    });
}

async function sizeOf(redis: ConnectedClient, key: string): Promise<number> {
  switch (await redis.type(key)) {
    case "list":
      return await redis.lLen(key);
    case "hash":
      return await redis.hLen(key);
    case "zset":
      return await redis.zCard(key);
    case "stream":
      return await redis.xLen(key);
    default:
      return 1;
  }
}

/** Runs the suite. */
export function leasedQueueContract(name: string, makeQueue: MakeQueue): void {
  const test = leasedTests(makeQueue);
  enqueueing(name, test);
  ownIds(name, test);
  receiving(name, test);
  attempts(name, test);
  settling(name, test);
  givingBack(name, test);
  leases(name, test);
  deadLetters(name, test);
  looking(name, test);
  waking(name, test);
  tokens(name, test);
  foreign(name, test);
  refusing(name, test, makeQueue);
  carrying(name, test);
  surviving(name, test);
  leasedOptionsContract(name, test);
  leasedLogsContract(name, test);
  leasedLimitsContract(name, test);
  leasedInspectionContract(name, test);
  leasedMisuseContract(name, test, makeQueue);
}

/** A delivery, or the test fails. */
export async function take<T>(queue: LeasedQueue<T>, mode: Mode = "polling"): Promise<Delivery<T>> {
  const delivery = await queue.receive({ waitMs: waitMs(mode) });
  assert(delivery, "nothing to receive");
  return delivery;
}

/** Takes and acknowledges until nothing comes. */
export async function drain<T>(queue: LeasedQueue<T>): Promise<T[]> {
  const seen: T[] = [];
  for (;;) {
    const deliveries = await queue.receiveMany(1_000);
    if (deliveries.length === 0) return seen;
    seen.push(...deliveries.map(({ payload }) => payload));
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
  }
}

function enqueueing(name: string, test: LeasedTest): void {
  test(`${name}.enqueue gives every message an id of its own, ordered by time`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    const results: Enqueued[] = [];
    for (let i = 0; i < 10; i++) {
      results.push(await queue.enqueue(i), await other.enqueue(i));
    }
    results.push(...await queue.enqueueMany(Array.from({ length: 500 }, (_, i) => i)));
    const ids = results.map(({ id }) => id);
    assertEquals(new Set(ids).size, 520);
    const late = ids.findIndex((id, i) => i > 0 && id <= ids[i - 1]!);
    assertEquals(late, -1, `${ids[late]} came after ${ids[late - 1]}`);
    assert(results.every(({ duplicate }) => duplicate === false));
    assertEquals(await test.sizes(), { ready: 520, wake: 1 });
    assertEquals((await take(queue)).id, ids[0]);
  });

  test(`${name}.enqueue merges the calls of a turn into one script`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(-1); // Redis knows the script now
    const commands = await commandsDuring(test.url, async () => {
      await Promise.all(Array.from({ length: 900 }, (_, i) => {
        const options = [{}, { delayMs: 60_000 }, { id: `id-${i}` }][i % 3];
        return queue.enqueue(i, options);
      }));
    });
    assertEquals(commands, ["EVALSHA"]);
    assertEquals(await test.sizes(), { ready: 601, delayed: 300, ids: 300, wake: 1 });
  });

  test(`${name}.enqueueMany keeps the order and gives an id for each`, async (test) => {
    const queue = test.queue<number>();
    assertEquals(await queue.enqueueMany([]), []);
    assertEquals(await test.sizes(), {});
    const sent = Array.from({ length: 2_500 }, (_, i) => i);
    const results = await queue.enqueueMany(sent);
    assertEquals(new Set(results.map(({ id }) => id)).size, 2_500);
    const [first, ...rest] = await queue.receiveMany(1_000);
    assertEquals([first!.id, first!.payload], [results[0]!.id, 0]);
    await Promise.all([first!, ...rest].map((delivery) => delivery.ack()));
    assertEquals(await drain(queue), sent.slice(1_000));
  });

  test(`${name}.enqueueMany sends nothing when one payload is bad`, async (test) => {
    const queue = test.queue();
    await assertRejects(() => queue.enqueueMany([1, undefined, 3]), TypeError, "undefined");
    await assertRejects(() => queue.enqueueMany([1], { delayMs: -1 }), RangeError, "-1");
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue keeps a delayed message back until its time`, async (test) => {
    const queue = test.queue<string>();
    const before = Date.now();
    await queue.enqueue("later", { delayMs: 60_000 });
    await queue.enqueue("at", { runAt: before + 30_000 });
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { delayed: 2, wake: 1 });
    const { messages: [at, later] } = await queue.peek("delayed");
    assertEquals([at!.payload, at!.dueAt], ["at", before + 30_000]);
    assertEquals(later!.payload, "later");
    assert(Math.abs(later!.dueAt! - before - 60_000) < 1_000, String(later!.dueAt));
    await test.makeDue();
    assertEquals(payloads(await queue.receiveMany(5)).toSorted(), ["at", "later"]);
    assertEquals(await test.sizes(), { leased: 2, leases: 1 });
  });

  test(`${name}.enqueue takes a time that is over as now`, async (test) => {
    const queue = test.queue<number>();
    await Promise.all([
      queue.enqueue(1, { runAt: 0 }),
      queue.enqueue(2, { runAt: Date.now() - 1_000 }),
      queue.enqueue(3, { delayMs: 0 }),
    ]);
    assertEquals(await test.sizes(), { ready: 3, wake: 1 });
    assertEquals((await drain(queue)).toSorted(), [1, 2, 3]);
  });

  test(`${name}.enqueue stores a message once when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const queue = test.queue<string>({}, client);
    await queue.enqueue("warm", { delayMs: 60_000 });
    const lost = proxy.dropReplies(1, { after: /EVALSHA|EVAL/i });
    const results = await Promise.all([
      queue.enqueue("a"),
      queue.enqueue("b", { id: "mine" }),
      queue.enqueue("c", { delayMs: 60_000 }),
      queue.enqueue("d", { id: "mine" }),
    ]);
    await lost;
    assertEquals(results.map(({ duplicate }) => duplicate), [false, false, false, true]);
    assertEquals(await test.sizes(), { ready: 2, delayed: 2, ids: 1, wake: 1 });
    const [mark = ""] = await test.redis.hVals(test.key("replays"));
    assertMatch(mark, /^2 \d+\n/); // the second batch of the one producer, and what was said
    assertEquals((await drain(queue)).toSorted(), ["a", "b"]);
  });

  test(`${name}.enqueue says duplicate again when that reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<string>({}, client), test.queue<string>()];
    await other.enqueue("first", { id: "mine" });
    const holder = await take(other);
    const lost = proxy.dropReplies(1, { after: /EVALSHA|EVAL/i });
    const enqueued = queue.enqueue("second", { id: "mine" });
    await lost;
    await holder.ack(); // before the enqueue is repeated: now nobody holds the id
    const { duplicate } = await enqueued;
    const stored = (await queue.counts()).ready;
    assertEquals({ duplicate, stored }, { duplicate: true, stored: 0 });
  });

  test(`${name}.enqueue refuses a batch that its producer had given up`, async (test) => {
    const kinds: Record<string, ReadyKind> = {
      ReliableQueue: "list",
      PriorityQueue: "priority",
      StreamQueue: "stream",
    };
    const scripts = bindScripts(kinds[name]!, { group: "workers", idle_ms: 30_000 });
    const send = (args: readonly CommandArgument[]) => call(test.redis, args);
    const messages = [1, 2].map((payload) =>
      writeEnvelope({ uid: makeUid(), enqueuedAt: Date.now(), priority: 0 }, String(payload))
    );
    const store = async (batch: number) => {
      const stored = await scripts.enqueue.run(send, queueKeys(test.name), {
        producer: "somebody",
        batch,
        after: "",
        after_batch: 0,
        plain: 1,
        replay_ms: 60_000,
        max_ready: 0,
        counting: "1",
      }, [messages[batch - 1]!]);
      return stored?.plain;
    };
    assertEquals(await store(1), 1);
    assertEquals(await store(2), 1);
    await assertRejects(() => store(1), Error, "a later batch of this producer was stored");
    assertEquals(await store(2), 1); // the reply was lost
    const queue = test.queue<number>();
    assertEquals((await queue.counts()).ready, 2);
    assertEquals((await drain(queue)).toSorted(), [1, 2]);
  });

  test(`${name}.enqueue forgets producers that went`, async (test) => {
    const gone = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`gone-${i}`, `1 ${i}`]));
    await test.redis.hSet(test.key("replays"), { ...gone, foreign: "no mark" });
    await eventually(async () => {
      await test.queue().enqueue(1); // whoever comes looks at some of them
      const marks = await test.redis.hVals(test.key("replays"));
      for (const mark of marks) assertGreater(Number(mark.split(" ")[1]), Date.now());
    });
    const left = await test.redis.pTTL(test.key("replays"));
    assert(left > 100_000 && left <= 120_000, `${left} ms until all of them go`);
  });
}

function ownIds(name: string, test: LeasedTest): void {
  test(`${name}.enqueue keeps an id taken until its message is gone`, async (test) => {
    const queue = test.queue<number>();
    const again = () => queue.enqueue(2, { id: "invoice 17" });
    const taken = { id: "invoice 17", duplicate: true };
    assertEquals(await queue.enqueue(1, { id: "invoice 17", delayMs: 60_000 }), {
      id: "invoice 17",
      duplicate: false,
    });
    assertEquals(await again(), taken, "delayed");
    await test.makeDue();
    const delivery = await take(queue);
    assertEquals(delivery.id, "invoice 17");
    assertEquals(await again(), taken, "leased");
    await delivery.nack({ delayMs: 0 });
    assertEquals(await again(), taken, "ready");
    await (await take(queue)).deadLetter("no");
    assertEquals(await again(), taken, "dead");
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1, ids: 1, leases: 1 });
    assertEquals(await queue.redrive({ ids: ["invoice 17"] }), 1);
    assertEquals(await again(), taken, "redriven");
    await (await take(queue)).ack();
    assertEquals(await again(), { id: "invoice 17", duplicate: false });
    assertEquals(await test.sizes(), { ready: 1, ids: 1, wake: 1, leases: 1 });
    assertEquals(await drain(queue), [2]);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue takes the first of two messages with one id in a turn`, async (test) => {
    const queue = test.queue<string>();
    const results = await Promise.all([
      queue.enqueue("a", { id: "x" }),
      queue.enqueue("b", { id: "x" }),
      queue.enqueue("c", { id: "y" }),
    ]);
    assertEquals(results.map(({ duplicate }) => duplicate), [false, true, false]);
    assertEquals(await drain(queue), ["a", "c"]);
  });

  test(`${name}.purge frees the ids of what it removes`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1, { id: "ready" });
    await queue.enqueue(2, { id: "dead" });
    await (await take(queue)).nack({ delayMs: 0 });
    for (const delivery of await queue.receiveMany(2)) {
      if (delivery.id === "dead") await delivery.deadLetter("no");
      else await delivery.nack({ delayMs: 0 });
    }
    await queue.enqueue(3, { id: "delayed", delayMs: 60_000 });
    assertEquals(await test.redis.hLen(test.key("ids")), 3);
    for (const state of ["ready", "delayed", "dead"] as const) {
      assertEquals(await queue.purge(state), 1);
      assertEquals(await test.redis.hExists(test.key("ids"), state), 0, state);
      assertEquals((await queue.enqueue(4, { id: state })).duplicate, false);
    }
  });

  test(`${name}.ack repeated after the id was used again leaves it taken`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    await queue.enqueue(1, { id: "x" });
    const delivery = await take(queue);
    await delivery.ack();
    await queue.enqueue(2, { id: "x" });
    await delivery.ack();
    await other.delivery(delivery.token).ack();
    assertEquals((await queue.enqueue(3, { id: "x" })).duplicate, true);
    assertEquals(await drain(queue), [2]);
  });

  test(`${name}.ack after a nack elsewhere leaves the id taken`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    await queue.enqueue(1, { id: "x" });
    const delivery = await take(queue);
    assertEquals(await other.delivery(delivery.token).nack({ delayMs: 0 }), "ready");
    await delivery.ack(); // the lease is there, the message is not in the hand: done already
    assertEquals(await test.sizes(), { ready: 1, ids: 1, leases: 1, wake: 1 });
    assertEquals((await queue.enqueue(2, { id: "x" })).duplicate, true);
  });
}

function receiving(name: string, test: LeasedTest): void {
  for (const mode of MODES) {
    test(`${name}.consume tells of an entry that it cannot read, and goes on (${mode})`, async (test) => {
      const queue = test.queue<number>();
      await test.intrude("garbage");
      await queue.enqueue(1);
      const raw: string[] = [];
      const onEvent = (event: ConsumeEvent) => {
        if (event.type === "undecodable") raw.push(text(event.error.raw));
      };
      for await (const delivery of queue.consume({ mode, pollMs: 5, onEvent })) {
        assertEquals(delivery.payload, 1);
        await delivery.ack();
        break;
      }
      assertEquals(raw, ["garbage"]);
      assertEquals((await queue.counts()).dead, 1);
    });
  }

  for (const mode of MODES) {
    test(`${name}.receive hands a message over with all that is known of it (${mode})`, async (test) => {
      const queue = test.queue<{ to: string }>({ leaseMs: 20_000 });
      const before = Date.now();
      const { id } = await queue.enqueue({ to: "ann" });
      const delivery = await take(queue, mode);
      assertEquals(delivery.id, id);
      assertEquals(delivery.payload, { to: "ann" });
      assertEquals([delivery.attempt, delivery.settled, delivery.errors], [1, false, []]);
      assert(delivery.enqueuedAt >= before && delivery.enqueuedAt <= Date.now());
      assert(Math.abs(delivery.receivedAt - Date.now()) < 1_000);
      assertEquals(delivery.leaseExpiresAt, delivery.receivedAt + 20_000);
      const [lease] = await test.redis.zRangeWithScores(test.key("leases"), 0, -1);
      assertEquals(lease!.score, delivery.leaseExpiresAt);
      assertEquals(await test.sizes(), { leased: 1, leases: 1 });
      await delivery.ack();
      assertEquals(delivery.settled, true);
      assertEquals(await test.sizes(), { leases: 1 });
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), {}); // the finished lease went with the next claim
    });

    test(`${name}.receiveMany claims up to max under one lease (${mode})`, async (test) => {
      const queue = test.queue<number>();
      await queue.enqueueMany([1, 2, 3, 4]);
      const three = await queue.receiveMany(3, { waitMs: waitMs(mode) });
      assertEquals(payloads(three), [1, 2, 3]);
      assertEquals(await test.sizes(), { ready: 1, leased: 3, leases: 1, wake: 1 });
      const rest = await queue.receiveMany(3, { waitMs: waitMs(mode) });
      assertEquals(payloads(rest), [4]);
      assertEquals(await queue.receiveMany(3, { waitMs: waitMs(mode) / 40 }), []);
      assertEquals(await test.sizes(), { leased: 4, leases: 2 });
      await Promise.all([...three, ...rest].map((delivery) => delivery.ack()));
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), {});
    });

    test(`${name}.consume yields until its signal aborts (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const stop = new AbortController();
      const seen: number[] = [];
      await queue.enqueue(1);
      const options = { mode, pollMs: 5, signal: stop.signal };
      for await (await using delivery of queue.consume(options)) {
        seen.push(delivery.payload);
        if (delivery.payload < 3) await queue.enqueue(delivery.payload + 1);
        else setTimeout(() => stop.abort(), 20); // while the loop waits for a fourth
        await delivery.ack();
      }
      assertEquals(seen, [1, 2, 3]);
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), {});
    });

    test(`${name}.consume takes the next only when asked (${mode})`, async (test) => {
      const queue = test.queue<number>();
      await queue.enqueueMany([1, 2, 3]);
      for await (const delivery of queue.consume({ mode })) {
        await delivery.ack();
        break;
      }
      assertEquals(await queue.counts().then(({ ready, leased }) => [ready, leased]), [2, 0]);
    });

    test(`${name}.consume gives back what was not settled in its scope (${mode})`, async (test) => {
      const queue = test.queue<string>({ backoff: { baseMs: 0 }, maxAttempts: 3 });
      const stop = new AbortController();
      await queue.enqueue("x");
      const seen: number[] = [];
      const options = { mode, pollMs: 5, signal: stop.signal };
      for await (await using delivery of queue.consume(options)) {
        seen.push(delivery.attempt);
        if (delivery.attempt === 2) stop.abort();
      }
      assertEquals(seen, [1, 2]);
      const third = await take(queue);
      assertEquals(third.attempt, 3);
      assertEquals(third.errors.map(({ message }) => message), [
        "Error: not settled",
        "Error: not settled",
      ]);
    });

    test(`${name}.receive gives the same messages when a claim's reply is lost (${mode})`, async (test) => {
      const { proxy, client } = await test.faulty();
      const queue = test.queue<number>({}, client);
      await queue.enqueueMany([1, 2, 3, 4, 5]);
      await (await take(queue)).ack(); // Redis knows the scripts now
      const lost = proxy.dropReplies(1, { after: /EVALSHA|EVAL/i });
      const deliveries = await queue.receiveMany(3, { waitMs: waitMs(mode) });
      await lost;
      assertEquals(payloads(deliveries), [2, 3, 4]);
      assertEquals(deliveries.map(({ attempt }) => attempt), [1, 1, 1]);
      assertEquals(await test.redis.hLen(test.key("leased")), 3);
      const deadlines = await test.redis.zRangeWithScores(test.key("leases"), 0, -1);
      assert(
        deadlines.some(({ score }) => score === deliveries[0]!.leaseExpiresAt),
        `leaseExpiresAt ${deliveries[0]!.leaseExpiresAt}, but the lease ends at ${
          deadlines.map(({ score }) => score)
        }`,
      );
      await Promise.all(deliveries.map((delivery) => delivery.ack()));
      assertEquals(await drain(queue), [5]);
      assertEquals(await test.sizes(), {});
    });

    test(`${name}.receiveMany shares 2,000 messages between two consumers, each once (${mode})`, async (test) => {
      const queues = [test.queue<number>(), test.queue<number>({}, await test.connect())];
      await queues[0]!.enqueueMany(Array.from({ length: 2_000 }, (_, i) => i));
      const seen: number[] = [];
      const counts = await Promise.all(queues.map(async (queue) => {
        let count = 0;
        for (;;) {
          const deliveries = await queue.receiveMany(20, { waitMs: waitMs(mode) / 40 });
          if (deliveries.length === 0) return count;
          count += deliveries.length;
          seen.push(...deliveries.map(({ payload }) => payload));
          assert(deliveries.every(({ attempt }) => attempt === 1));
          await Promise.all(deliveries.map((delivery) => delivery.ack()));
        }
      }));
      assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: 2_000 }, (_, i) => i));
      assert(counts.every((count) => count > 0), `shares: ${counts}`);
      await Promise.all(queues.map((queue) => queue.receive()));
      assertEquals(await test.sizes(), {});
    });
  }

  test(`${name}.receive returns undefined when waitMs is over`, async (test) => {
    const queue = test.queue();
    const startedAt = performance.now();
    assertEquals(await queue.receive({ waitMs: 120 }), undefined);
    const ms = performance.now() - startedAt;
    assert(ms > 110 && ms < 1_000, `${ms} ms`);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.receive rejects with the reason when its signal aborts`, async (test) => {
    const queue = test.queue();
    const stop = new AbortController();
    const received = queue.receive({ waitMs: 9_000, signal: stop.signal });
    await test.blocked(1);
    stop.abort(new Error("enough"));
    const startedAt = performance.now();
    await assertRejects(() => received, Error, "enough");
    assertLess(performance.now() - startedAt, 1_000);
    await assertRejects(() => queue.receive({ signal: stop.signal }), Error, "enough");
  });
}

function attempts(name: string, test: LeasedTest): void {
  for (const mode of MODES) {
    test(`${name} counts an attempt for each nack, up to maxAttempts (${mode})`, async (test) => {
      const queue = test.queue<string>({ maxAttempts: 3 });
      await queue.enqueue("x");
      const ends: unknown[] = [];
      for (let attempt = 1; attempt <= 3; attempt++) {
        const delivery = await take(queue, mode);
        assertEquals(delivery.attempt, attempt);
        assertEquals(delivery.errors.length, attempt - 1);
        ends.push(await delivery.nack({ delayMs: 0, error: new Error(`no ${attempt}`) }));
      }
      assertEquals(ends, ["ready", "ready", "dead"]);
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), { dead: 1, "dead:at": 1 });
    });

    test(`${name} counts an attempt for each lease that lapsed, up to maxAttempts (${mode})`, async (test) => {
      const queue = test.queue<string>({ maxAttempts: 3 });
      await queue.enqueue("x");
      for (let attempt = 1; attempt <= 3; attempt++) {
        assertEquals((await take(queue, mode)).attempt, attempt);
        await test.lapse();
      }
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), { dead: 1, "dead:at": 1 });
      const { messages: [dead] } = await queue.peek("dead");
      assertEquals([dead!.reason, dead!.attempts, dead!.payload], ["lease lapsed", 3, "x"]);
      assertEquals(
        dead!.errors.map(({ attempt, message }) => [attempt, message]),
        [1, 2, 3].map((attempt) => [attempt, "lease lapsed"]),
      );
      assert(dead!.errors.every(({ at }) => Math.abs(at - Date.now()) < 5_000));
    });

    test(`${name}.receive hands a message out again when its lease is over (${mode})`, async (test) => {
      const queue = test.queue<string>({ leaseMs: 60 });
      await queue.enqueue("x");
      const first = await take(queue);
      const second = await eventually(() => take(queue));
      assertGreaterOrEqual(second.receivedAt, first.leaseExpiresAt);
      assertEquals([second.attempt, second.id], [2, first.id]);
      await second.ack();
      await assertRejects(() => first.ack(), LeaseLostError);
    });
  }

  test(`${name} with maxAttempts 1 buries at the first failure`, async (test) => {
    const queue = test.queue<string>({ maxAttempts: 1 });
    await queue.enqueueMany(["a", "b"]);
    assertEquals(await (await take(queue)).nack({ delayMs: 9 }), "dead");
    await take(queue);
    await test.lapse();
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { dead: 2, "dead:at": 2 });
  });

  test(`${name}.receiveMany takes at most one message whose lease lapsed`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    await queue.receiveMany(2);
    await test.lapse();
    const hand = await queue.receiveMany(10);
    assertEquals(hand.map(({ attempt }) => attempt).toSorted(), [1, 1, 1, 2]);
    assertEquals(await test.sizes(), { lapsed: 1, leased: 4, leases: 1, wake: 1 });
    assertEquals((await queue.counts()).ready, 1);
    const last = await queue.receiveMany(10);
    assertEquals(last.map(({ attempt }) => attempt), [2]);
    const seen = [...hand, ...last].map(({ payload }) => payload).toSorted();
    assertEquals(seen, [1, 2, 3, 4, 5]);
    assertEquals(await test.sizes(), { leased: 5, leases: 2 });
  });
}

function settling(name: string, test: LeasedTest): void {
  test(`${name} settles nothing that is over: extend after ack, the end of the scope`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([1, 2]);
    const done = await take(queue);
    await done.ack();
    await assertRejects(() => done.extend(1_000), TypeError, "extend after ack");
    {
      await using late = await take(queue);
      await test.lapse();
      await (await take(test.queue<number>())).ack(); // somebody else's by now
      assertEquals(late.settled, false);
    } // nothing to give back, and nothing to complain about
    const lost = await queue.enqueue(3).then(() => take(queue));
    await test.lapse();
    await take(test.queue<number>());
    await assertRejects(() => lost.ack(), LeaseLostError);
    assert(lost.signal.aborted, "also where it is first looked at afterwards");
  });

  test(`${name}.ack twice is the same success`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("x");
    const delivery = await take(queue);
    await Promise.all([delivery.ack(), delivery.ack()]);
    await delivery.ack();
    assertEquals(await test.sizes(), { leases: 1 });
  });

  test(`${name}.ack merges the acks of a turn into one script`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany(Array.from({ length: 101 }, (_, i) => i), { delayMs: 60_000 });
    await test.makeDue();
    await (await take(queue)).ack(); // Redis knows the scripts now
    const hands = [await queue.receiveMany(50), await queue.receiveMany(50)];
    const commands = await commandsDuring(test.url, async () => {
      await Promise.all(hands.flat().map((delivery) => delivery.ack()));
    });
    assertEquals(commands, ["EVALSHA"]);
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.ack is done once when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const queue = test.queue<number>({}, client);
    await queue.enqueueMany([1, 2]);
    await (await take(queue)).ack(); // Redis knows the scripts now
    const delivery = await take(queue);
    const lost = proxy.dropReplies(1, { after: /EVALSHA|EVAL/i });
    await delivery.ack();
    await lost;
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.nack is done once when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const queue = test.queue<number>({}, client);
    await queue.enqueue(1);
    await (await take(queue)).nack({ delayMs: 0 }); // Redis knows the scripts now
    const delivery = await take(queue);
    const lost = proxy.dropReplies(1, { after: /EVALSHA|EVAL/i });
    await delivery.nack({ delayMs: 0, error: "once" });
    await lost;
    const again = await take(queue);
    assertEquals([again.attempt, again.errors.map(({ message }) => message)], [3, ["once"]]);
    assertEquals(await test.sizes(), { leased: 1, leases: 1 });
  });

  test(`${name} refuses to settle a delivery in two ways`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueueMany(["a", "b", "c"]);
    const [a, b, c] = await queue.receiveMany(3);
    await a!.ack();
    await assertRejects(() => a!.nack(), TypeError, `Delivery of "${a!.id}": nack after ack`);
    await assertRejects(() => a!.deadLetter("no"), TypeError, "deadLetter after ack");
    await b!.nack({ delayMs: 60_000 });
    assertEquals(await b!.nack({ delayMs: 0 }), "delayed");
    await assertRejects(() => b!.ack(), TypeError, "ack after nack");
    await c!.deadLetter("no");
    await c!.deadLetter("no");
    await assertRejects(() => c!.ack(), TypeError, "ack after deadLetter");
    assertEquals(await test.sizes(), { delayed: 1, dead: 1, "dead:at": 1, leases: 1, wake: 1 });
  });

  test(`${name} refuses to settle when the lease is gone, and changes nothing`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>()];
    await queue.enqueueMany(["a", "b", "c", "d"]);
    const [a, b, c, d] = await queue.receiveMany(4);
    await test.lapse();
    const again = await take(other);
    assertEquals(again.attempt, 2);
    const before = await test.dump();
    const lease = a!.token.split(":").slice(0, 3).join(":");
    const error = await assertRejects(() => a!.ack(), LeaseLostError, lease);
    assertEquals([error.name, error.lease], ["LeaseLostError", lease]);
    await assertRejects(() => b!.nack({ delayMs: 0 }), LeaseLostError);
    await assertRejects(() => c!.deadLetter("no"), LeaseLostError);
    await assertRejects(() => d!.extend(1_000), LeaseLostError);
    await assertRejects(() => a!.ack(), LeaseLostError, undefined, "once more");
    for (const settle of ["ack", "nack"] as const) {
      await assertRejects(() => other.delivery(d!.token)[settle](), LeaseLostError, lease);
    }
    await assertRejects(() => other.delivery(d!.token).deadLetter("no"), LeaseLostError);
    await assertRejects(() => other.delivery(d!.token).extend(1_000), LeaseLostError);
    assertEquals(await test.dump(), before);
    await again.ack();
  });

  test(`${name}.ack of what lapsed succeeds as long as nobody has swept it`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("x");
    const delivery = await take(queue);
    await test.lapse();
    await delivery.ack();
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.delivery settles by token from another client`, async (test) => {
    const queue = test.queue<number>();
    const other = test.queue<number>({}, await test.connect());
    await queue.enqueue(1, { id: "an id: with colons, ünicode & 100%" });
    await queue.enqueueMany([2, 3, 4]);
    const tokens = new Map<number, string>();
    for (const { payload, token } of await queue.receiveMany(4)) tokens.set(payload, token);
    await other.delivery(tokens.get(1)!).ack();
    await other.delivery(tokens.get(1)!).ack();
    assertEquals(await other.delivery(tokens.get(2)!).nack({ delayMs: 60_000 }), "delayed");
    await other.delivery(tokens.get(3)!).deadLetter("no", { error: new Error("really") });
    assertEquals(await test.sizes(), {
      leased: 1,
      leases: 1,
      delayed: 1,
      dead: 1,
      "dead:at": 1,
      wake: 1, // for whoever waits, since none knew of a delayed message
    });
    await other.delivery(tokens.get(4)!).extend(90_000);
    const [lease] = await test.redis.zRangeWithScores(test.key("leases"), 0, -1);
    assert(Math.abs(lease!.score - Date.now() - 90_000) < 1_000);
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals([dead!.payload, dead!.reason], [3, "no"]);
    assertEquals(dead!.errors.map(({ message }) => message), ["Error: really"]);
  });

  test(`${name}.delivery knows the number of the attempt`, async (test) => {
    const failed: number[] = [];
    const backoff = (attempt: number) => (failed.push(attempt), 0);
    const queue = test.queue<number>({ maxAttempts: 3, backoff });
    await queue.enqueue(1);
    for (const _ of [1, 2, 3]) {
      await queue.delivery((await take(queue)).token).nack({ error: "no" });
    }
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals(dead!.errors.map(({ attempt }) => attempt), [1, 2, 3]);
    assertEquals(dead!.reason, "after 3 attempts: no");
    assertEquals(failed, [1, 2, 3]);
  });

  test(`${name}.delivery refuses a token that is none`, async (test) => {
    const queue = test.queue<number>();
    const bad = [
      "",
      "x",
      "a:b:c:d",
      "a:1:0",
      "a:1:0:1:",
      "a:1:0:1:uid",
      "a:1:0:1:uid:%zz",
      "*:1:0:1",
    ];
    for (const token of bad) {
      assertThrows(() => queue.delivery(token), TypeError, `token: ${JSON.stringify(token)}`);
    }
    assertThrows(() => queue.delivery(undefined as never), TypeError, "token: undefined");
    assertThrows(() => queue.delivery(7 as never), TypeError, "token: the number 7");
    await assertRejects(() => queue.delivery("a:1:0:1").ack(), LeaseLostError, "a:1:0");
    assertEquals(await test.sizes(), {});
  });
}

function givingBack(name: string, test: LeasedTest): void {
  test(`${name}.release gives back without spending an attempt, once`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueue(1);
    const delivery = await take(queue);
    await delivery.release();
    await delivery.release();
    assertEquals(await queue.counts().then(({ ready, dead }) => [ready, dead]), [1, 0]);
    await assertRejects(() => delivery.ack(), TypeError, "ack after release");
    await assertRejects(() => delivery.extend(1_000), TypeError, "extend after release");
    const again = await take(queue);
    assertEquals([again.attempt, again.errors], [1, []]);
    await again.ack();
    const late = await (async () => {
      await queue.enqueue(2);
      return await take(queue);
    })();
    await test.redis.del(test.key("leases"));
    await assertRejects(() => late.release(), LeaseLostError);
    await test.redis.del(test.key("leased"));
  });

  test(`${name}.nack with delayMs keeps the message back that long`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("x");
    const delivery = await take(queue);
    const before = Date.now();
    assertEquals(await delivery.nack({ delayMs: 40_000 }), "delayed");
    assertEquals(await test.sizes(), { delayed: 1, leases: 1, wake: 1 });
    const { messages: [delayed] } = await queue.peek("delayed");
    assert(Math.abs(delayed!.dueAt! - before - 40_000) < 1_000);
    assertEquals(delayed!.attempts, 1);
    await test.makeDue();
    assertEquals((await take(queue)).attempt, 2);
  });

  test(`${name}.nack asks the backoff with the attempt and the error`, async (test) => {
    const asked: unknown[] = [];
    const queue = test.queue<string>({
      backoff: (...args) => (asked.push(args), [0, 30_000][args[0] - 1]!),
    });
    await queue.enqueue("x");
    const error = new Error("busy");
    assertEquals(await (await take(queue)).nack({ error }), "ready");
    assertEquals(await (await take(queue)).nack(), "delayed");
    assertEquals(asked, [[1, error], [2, undefined]]);
  });

  test(`${name}.nack backs off at random, further each time, up to a cap`, async (test) => {
    const random = Math.random;
    const queue = test.queue<string>({ backoff: { baseMs: 10_000, maxMs: 25_000 } });
    await queue.enqueue("x");
    try {
      Math.random = () => 0.5;
      for (const ms of [5_000, 10_000, 12_500]) {
        const delivery = await take(queue);
        const before = Date.now();
        assertEquals(await delivery.nack(), "delayed");
        const { messages: [delayed] } = await queue.peek("delayed");
        assert(Math.abs(delayed!.dueAt! - before - ms) < 500, `${delayed!.dueAt! - before} ms`);
        await test.makeDue();
      }
      Math.random = () => 0;
      assertEquals(await (await take(queue)).nack(), "ready");
    } finally {
      Math.random = random;
    }
  });

  test(`${name}.nack buries after the last attempt, with every error`, async (test) => {
    const queue = test.queue<string>({ maxAttempts: 2 });
    const { id } = await queue.enqueue("x");
    const before = Date.now();
    const first = new TypeError("one");
    assertEquals(await (await take(queue)).nack({ delayMs: 0, error: first }), "ready");
    assertEquals(await (await take(queue)).nack({ delayMs: 60_000, error: "two" }), "dead");
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1, leases: 1 });
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals([dead!.id, dead!.payload, dead!.attempts], [id, "x", 2]);
    assertEquals(dead!.reason, "after 2 attempts: two");
    assertEquals(dead!.errors.map(({ attempt }) => attempt), [1, 2]);
    const [one, two] = dead!.errors;
    assertEquals([one!.message, one!.stack], ["TypeError: one", first.stack]);
    assertEquals([two!.message, two!.stack], ["two", undefined]);
    for (const at of [one!.at, two!.at, dead!.deadAt!]) {
      assert(at >= before - 1_000 && at <= Date.now() + 1_000, String(at));
    }
  });

  test(`${name}.nack keeps a message readable however large its errors`, async (test) => {
    const queue = test.queue<string>({ maxAttempts: 100, maxPayloadBytes: 100 });
    await queue.enqueue("x");
    const error = new Error("€".repeat(100_000));
    for (let i = 0; i < 30; i++) await (await take(queue)).nack({ delayMs: 0, error });
    const delivery = await take(queue);
    assertEquals([delivery.payload, delivery.attempt], ["x", 31]);
    assertEquals(delivery.errors.at(-1)!.attempt, 30);
    const [bytes] = Object.values(await test.redis.hGetAll(test.key("leased")));
    assertLess(Buffer.byteLength(bytes!), 70_000);
  });

  test(`${name} gives back what leaves its scope unsettled`, async (test) => {
    const queue = test.queue<string>({ backoff: { baseMs: 0 } });
    await queue.enqueueMany(["a", "b"]);
    {
      await using a = await take(queue);
      await using _b = await take(queue);
      await a.ack();
    }
    assertEquals(await test.sizes(), { ready: 1, leases: 2, wake: 1 });
    const again = await take(queue);
    assertEquals([again.payload, again.attempt], ["b", 2]);
    assertEquals(again.errors[0]!.message, "Error: not settled");
  });

  test(`${name} can settle a delivery after a call with a bad argument`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueueMany(["a", "b", "c"]);
    const [a, b, c] = await queue.receiveMany(3);
    await assertRejects(() => a!.nack({ delayMs: -1 }), RangeError, "-1");
    await assertRejects(() => b!.deadLetter(""), TypeError, '""');
    await assertRejects(() => c!.extend(Number.NaN), RangeError, "NaN");
    assertEquals(await test.sizes(), { leased: 3, leases: 1 });
    assertEquals(await a!.nack({ delayMs: 0 }), "ready");
    await b!.ack();
    await c!.ack();
  });
}

function leases(name: string, test: LeasedTest): void {
  test(`${name}.extend lengthens the whole hand and never shortens`, async (test) => {
    const queue = test.queue<string>({ leaseMs: 10_000 });
    await queue.enqueueMany(["a", "b"]);
    const [a, b] = await queue.receiveMany(2);
    const deadline = async () => {
      const [lease] = await test.redis.zRangeWithScores(test.key("leases"), 0, -1);
      return lease!.score;
    };
    const before = await deadline();
    await a!.extend(1_000);
    assertEquals(await deadline(), before);
    assertEquals(a!.leaseExpiresAt, before);
    await a!.extend(60_000);
    const after = await deadline();
    assert(Math.abs(after - Date.now() - 60_000) < 1_000);
    assertEquals(a!.leaseExpiresAt, b!.leaseExpiresAt);
    assert(Math.abs(a!.leaseExpiresAt - after) <= 50, `${a!.leaseExpiresAt} ${after}`);
    await b!.extend(20_000);
    assertEquals(await deadline(), after);
    assertEquals(await test.sizes(), { leased: 2, leases: 1 });
  });

  test(`${name}.extend keeps a message from being handed out again`, async (test) => {
    const queue = test.queue<string>({ leaseMs: 80 });
    await queue.enqueue("x");
    const delivery = await take(queue);
    const { signal } = delivery;
    await delivery.extend(5_000);
    await pause(110);
    assertEquals([signal.aborted, await queue.receive()], [false, undefined]);
    await delivery.ack();
  });

  test(`${name}.signal aborts when the lease is over, and not before`, async (test) => {
    const queue = test.queue<string>({ leaseMs: 60 });
    await queue.enqueueMany(["a", "b"]);
    const claimingAt = performance.now(); // the lease runs from here on, not from the reply
    const [a, b] = await queue.receiveMany(2);
    const { signal } = a!;
    const settled = b!.signal;
    await b!.ack();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    assertGreaterOrEqual(performance.now() - claimingAt, 55);
    assertInstanceOf(signal.reason, LeaseLostError);
    assertEquals(settled.aborted, false);
    assertEquals(a!.signal.aborted, true);
    assertEquals((await take(queue)).payload, "a");
  });

  test(`${name}.signal aborts when Redis says that the lease is gone`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>()];
    await queue.enqueueMany(["a", "b"]);
    const [a, b] = await queue.receiveMany(2);
    await test.lapse();
    assertEquals((await other.receive())?.attempt, 2);
    await assertRejects(() => a!.extend(1_000), LeaseLostError);
    assert(b!.signal.aborted);
    assertInstanceOf(b!.signal.reason, LeaseLostError);
  });

  test(`${name} frees the lease of a hand only when all of it is settled`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([1, 2, 3]);
    const [a, b, c] = await queue.receiveMany(3);
    await Promise.all([a!.ack(), b!.ack()]);
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { leased: 1, leases: 1 });
    await c!.ack();
    await a!.ack();
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), {});
  });

  test(`${name} goes by the clock of Redis, not by the consumer's`, async (test) => {
    const now = Date.now;
    const queue = test.queue<string>({ leaseMs: 60_000 });
    const other = test.queue<string>();
    await queue.enqueue("due later", { delayMs: 1_800_000 });
    try {
      for (const skew of [3_600_000, -3_600_000]) {
        Date.now = () => now() + skew;
        await queue.enqueue("x");
        const delivery = await take(queue);
        assertEquals([delivery.payload, delivery.attempt], ["x", 1]);
        assert(Math.abs(delivery.leaseExpiresAt - now() - 60_000) < 1_000);
        assertEquals(delivery.signal.aborted, false);
        assertEquals(await other.receive(), undefined);
        await delivery.extend(90_000);
        assert(Math.abs(delivery.leaseExpiresAt - now() - 90_000) < 1_000);
        assertEquals(await delivery.nack({ delayMs: 600_000 }), "delayed");
        const { messages: [delayed] } = await queue.peek("delayed");
        assert(Math.abs(delayed!.dueAt! - now() - 600_000) < 1_000);
        await queue.enqueue("y", { delayMs: 500_000 });
        const { messages: [y] } = await queue.peek("delayed");
        assert(Math.abs(y!.dueAt! - now() - 500_000) < 1_000);
        assertEquals(await queue.receive(), undefined);
        await test.redis.unlink(test.key("delayed"));
      }
    } finally {
      Date.now = now;
    }
  });
}

function deadLetters(name: string, test: LeasedTest): void {
  test(`${name}.deadLetter buries at once, with the reason`, async (test) => {
    const queue = test.queue<string>();
    const { id } = await queue.enqueue("x");
    const reason = 'no such "mailbox"\nline two';
    await (await take(queue)).deadLetter(reason, { error: new Error("550") });
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1, leases: 1 });
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals([dead!.id, dead!.reason, dead!.payload], [id, reason, "x"]);
    assertEquals(dead!.attempts, 1);
    assertEquals(dead!.errors.map(({ attempt, message }) => [attempt, message]), [[
      1,
      "Error: 550",
    ]]);
    assert(Math.abs(dead!.deadAt! - Date.now()) < 1_000);
  });

  test(`${name} buries a message with a long history in no time`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 8 });
    await queue.enqueue(1);
    const error = new Error("x".repeat(2_000));
    error.stack = "at line\t".repeat(1_000); // 12 KiB as JSON, if it were not cut
    for (let attempt = 1; attempt < 8; attempt++) {
      await (await take(queue)).nack({ delayMs: 0, error });
    }
    const last = await take(queue);
    await test.redis.configResetStat();
    assertEquals(await last.nack({ error }), "dead");
    const [, usec] = /cmdstat_evalsha:calls=1,usec=(\d+)/.exec(
      await test.redis.info("commandstats"),
    )!;
    assertLess(Number(usec), 50_000); // it was a second, in which Redis served nobody
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals(dead!.errors.length, 8);
  });

  test(`${name}.redrive starts at attempt 1 and keeps the history`, async (test) => {
    const queue = test.queue<string>({ maxAttempts: 2 });
    await queue.enqueue("x", { id: "mine" });
    for (const error of ["one", "two"]) await (await take(queue)).nack({ delayMs: 0, error });
    assertEquals(await queue.redrive(), 1);
    assertEquals(await test.sizes(), { ready: 1, wake: 1, ids: 1, leases: 1 });
    const delivery = await take(queue);
    assertEquals([delivery.id, delivery.payload, delivery.attempt], ["mine", "x", 1]);
    assertEquals(delivery.errors.map(({ message }) => message), ["one", "two"]);
    assertEquals(await delivery.nack({ delayMs: 0, error: "three" }), "ready");
    assertEquals((await take(queue)).errors.length, 3);
  });

  test(`${name}.redrive takes ids, a limit, or all, the oldest first`, async (test) => {
    const queue = test.queue<number>();
    const ids: string[] = [];
    const since = Date.now() - 60_000;
    for (let i = 0; i < 6; i++) {
      ids.push((await queue.enqueue(i)).id);
      await (await take(queue)).deadLetter("no");
      await test.redis.zAdd(test.key("dead:at"), { score: since + i, value: ids[i]! });
    }
    assertEquals(await queue.redrive({ ids: [] }), 0);
    assertEquals(await queue.redrive({ ids: [ids[4]!, "nobody"] }), 1);
    assertEquals(await drain(queue), [4]);
    assertEquals(await queue.redrive({ ids: [ids[4]!] }), 0);
    assertEquals(await queue.redrive({ ids: [ids[2]!, ids[5]!], limit: 1 }), 1);
    assertEquals(await drain(queue), [2]);
    assertEquals(await queue.redrive({ limit: 2 }), 2);
    assertEquals(await drain(queue), [0, 1]);
    assertEquals(await queue.redrive(), 2);
    assertEquals(await drain(queue), [3, 5]);
    assertEquals(await queue.redrive(), 0);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.redrive and purge go on beyond a thousand`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueueMany(Array.from({ length: 2_300 }, (_, i) => i));
    for (let i = 0; i < 3; i++) await queue.receiveMany(1_000);
    await test.lapse();
    for (let i = 0; i < 3; i++) await queue.receive(); // a sweep is bounded
    assertEquals((await queue.counts()).dead, 2_300);
    assertEquals(await queue.redrive(), 2_300);
    assertEquals((await queue.counts()).ready, 2_300);
    assertEquals(await queue.purge("ready"), 2_300);
    assertEquals(await test.sizes(), {});
  });

  test(`${name} keeps at most maxDead dead letters, the newest`, async (test) => {
    const queue = test.queue<number>({ maxDead: 3 });
    for (let i = 0; i < 5; i++) {
      const { id } = await queue.enqueue(i, { id: `id-${i}` });
      await (await take(queue)).deadLetter("no");
      await test.redis.zAdd(test.key("dead:at"), { score: Date.now() - 9_000 + i, value: id });
    }
    assertEquals(payloads((await queue.peek("dead")).messages), [2, 3, 4]);
    await queue.receive();
    assertEquals(await test.sizes(), { dead: 3, "dead:at": 3, ids: 3 });
  });

  test(`${name} keeps dead letters no longer than maxDeadAgeMs`, async (test) => {
    const queue = test.queue<number>({ maxDeadAgeMs: 10_000 });
    for (const i of [1, 2]) {
      await queue.enqueue(i, { id: `id-${i}` });
      await (await take(queue)).deadLetter("no");
    }
    await test.redis.zAdd(test.key("dead:at"), { score: Date.now() - 11_000, value: "id-1" });
    await queue.enqueue(3, { id: "id-3" });
    await (await take(queue)).deadLetter("no");
    assertEquals(payloads((await queue.peek("dead")).messages), [2, 3]);
    await queue.receive();
    assertEquals(await test.sizes(), { dead: 2, "dead:at": 2, ids: 2 });
  });
}

function looking(name: string, test: LeasedTest): void {
  test(`${name} shows the priority of a message wherever it is`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1);
    const { messages: [seen] } = await queue.peek("ready");
    assertEquals((await take(queue)).priority, seen!.priority);
    assertEquals(seen!.priority, name === "PriorityQueue" ? 2 : 0);
  });

  test(`${name}.peek looks page by page and changes nothing`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([10, 11, 12, 13, 14]);
    for (const i of [20, 21, 22, 23, 24]) await queue.enqueue(i, { delayMs: 60_000 + i });
    for (let i = 0; i < 5; i++) {
      await queue.enqueue(-i);
    }
    const before = await test.dump();
    for (
      const [state, expected] of [
        ["ready", [10, 11, 12, 13, 14, 0, -1, -2, -3, -4]],
        ["delayed", [20, 21, 22, 23, 24]],
        ["dead", []],
      ] as const
    ) {
      const seen: unknown[] = [];
      let cursor: string | undefined;
      do {
        const page = await queue.peek(state, { limit: 2, cursor });
        assert(page.messages.length <= 2);
        seen.push(...payloads(page.messages));
        cursor = page.cursor;
      } while (cursor);
      assertEquals(seen.map((n) => Number(n)), [...expected].map((n) => Number(n)), state);
    }
    assertEquals(await test.dump(), before);
  });

  test(`${name}.peek shows dead letters page by page, the oldest first`, async (test) => {
    const queue = test.queue<number>();
    const since = Date.now() - 60_000;
    for (let i = 0; i < 5; i++) {
      const { id } = await queue.enqueue(i);
      await (await take(queue)).deadLetter(`reason ${i}`);
      await test.redis.zAdd(test.key("dead:at"), { score: since + i, value: id });
    }
    const seen: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await queue.peek("dead", { limit: 2, cursor });
      seen.push(...page.messages.map(({ payload, reason, deadAt }) => [payload, reason, deadAt]));
      cursor = page.cursor;
    } while (cursor);
    assertEquals(seen, [0, 1, 2, 3, 4].map((i) => [i, `reason ${i}`, since + i]));
  });

  test(`${name}.peek shows what lapsed in front of what is ready`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([1, 2, 3]);
    await queue.receiveMany(2);
    await test.lapse();
    await (await take(queue)).nack({ delayMs: 60_000 }); // one of the two; the other one waits
    const { messages, cursor } = await queue.peek("ready", { limit: 1 });
    const { messages: rest } = await queue.peek("ready", { cursor });
    assertEquals([messages, rest].map((page) => page.map(({ attempts }) => attempts)), [[1], [0]]);
    const next = await queue.receiveMany(2);
    assertEquals(payloads(next), payloads([...messages, ...rest]));
  });

  test(`${name}.counts tells each state and the age of the next message`, async (test) => {
    const queue = test.queue<number>();
    assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    await queue.enqueue(6, { delayMs: 60_000 });
    await queue.receiveMany(2);
    await (await take(queue)).deadLetter("no");
    const { oldestReadyMs, ...counts } = await queue.counts();
    assertEquals(counts, { ready: 2, leased: 2, delayed: 1, dead: 1 });
    assert(oldestReadyMs! >= 0 && oldestReadyMs! < 1_000, String(oldestReadyMs));
    await test.lapse();
    await (await take(queue)).ack();
    assertEquals((await queue.counts()).ready, 3); // one of the two that lapsed, and the others
    const now = Date.now;
    Date.now = () => now() - 7_000;
    const old = test.queue<number>();
    await queue.purge("ready");
    try {
      await old.enqueue(1);
    } finally {
      Date.now = now;
    }
    const age = (await queue.counts()).oldestReadyMs!;
    assert(age >= 6_900 && age < 8_500, String(age));
  });

  test(`${name}.purge removes all of a state and says how many`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([1, 2, 3, 4]);
    await queue.enqueueMany([5, 6, 7], { delayMs: 60_000 });
    const [a, b] = await queue.receiveMany(2);
    await a!.deadLetter("no");
    assertEquals(await queue.purge("ready"), 2);
    assertEquals(await test.sizes(), {
      leased: 1,
      leases: 1,
      delayed: 3,
      dead: 1,
      "dead:at": 1,
      wake: 1,
    });
    assertEquals(await queue.purge("delayed"), 3);
    assertEquals(await queue.purge("dead"), 1);
    assertEquals(await test.sizes(), { leased: 1, leases: 1 });
    for (const state of ["ready", "delayed", "dead"] as const) {
      assertEquals(await queue.purge(state), 0);
    }
    await test.lapse();
    await queue.enqueue(8);
    await (await take(queue)).deadLetter("no"); // the one that lapsed comes first
    assertEquals(b!.payload, 2);
    await queue.purge("ready");
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1 });
  });
}

/** At most 30 ms late: the best of three, on a busy machine. `late` gives milliseconds. */
async function lateness(late: () => Promise<number>): Promise<void> {
  let best = Infinity;
  for (let i = 0; i < 3 && best > 30 && (i === 0 || best < 500); i++) {
    best = Math.min(best, await late());
  }
  assertLess(best, 30, `${best} ms late`);
}

function waking(name: string, test: LeasedTest): void {
  test(`${name}.receive waits by BLPOP on its own connection, and claims once more`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("warm");
    await (await take(queue)).ack();
    const commands = await commandsDuring(test.url, async () => {
      const received = queue.receive({ waitMs: 3_000 });
      await test.blocked(1);
      await queue.enqueue("late");
      assertEquals((await received)?.payload, "late");
    });
    const own = commands.filter((command) => command !== "INFO");
    assertEquals(own.toSorted(), ["BLPOP", "EVALSHA", "EVALSHA", "EVALSHA"]);
    assertEquals(await test.sizes(), { leased: 1, leases: 1 });
  });

  const wakers: [string, (queue: ContractQueue<string>) => Promise<() => Promise<unknown>>][] = [
    ["enqueue", (queue) => Promise.resolve(() => queue.enqueue("x"))],
    ["enqueueMany", (queue) => Promise.resolve(() => queue.enqueueMany(["x"]))],
    ["nack", async (queue) => {
      await queue.enqueue("x");
      const delivery = await take(queue);
      return () => delivery.nack({ delayMs: 0 });
    }],
    ["redrive", async (queue) => {
      await queue.enqueue("x");
      await (await take(queue)).deadLetter("no");
      return () => queue.redrive();
    }],
  ];
  for (const [by, prepare] of wakers) {
    test(`${name}.receive is woken by ${by}`, async (test) => {
      const [queue, other] = [test.queue<string>(), test.queue<string>()];
      const wake = await prepare(other);
      const received = queue.receive({ waitMs: 4_000 });
      await test.blocked(1);
      const startedAt = performance.now();
      await wake();
      assertEquals((await received)?.payload, "x");
      assertLess(performance.now() - startedAt, 500);
      assertEquals(await test.redis.lLen(test.key("wake")), 0);
    });
  }

  test(`${name}.receive is there when a delayed message is due`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>()];
    await lateness(async () => {
      const sentAt = performance.now(); // Redis takes its time from here on, not from the reply
      await other.enqueue("x", { delayMs: 100 });
      const delivery = await queue.receive({ waitMs: 4_000 });
      await delivery!.ack();
      assertGreaterOrEqual(performance.now() - sentAt, 95);
      return performance.now() - sentAt - 100;
    });
  });

  test(`${name}.receive is there for a message that is due before the one it waits for`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>()];
    await other.enqueue("in an hour", { delayMs: 3_600_000 });
    await lateness(async () => {
      const received = queue.receive({ waitMs: 4_000 });
      await test.blocked(1);
      await other.enqueue("soon", { delayMs: 60 });
      const dueAt = performance.now() + 60;
      const delivery = await received;
      assertEquals(delivery?.payload, "soon");
      await delivery!.ack();
      return performance.now() - dueAt;
    });
    assertEquals((await queue.counts()).delayed, 1);
  });

  test(`${name}.receive is there for a nack whose delay ends before all others`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>()];
    await lateness(async () => {
      await other.enqueue("x");
      const first = await take(other);
      const received = queue.receive({ waitMs: 4_000 });
      await test.blocked(1);
      await first.nack({ delayMs: 60 });
      const dueAt = performance.now() + 60;
      const delivery = await received;
      assertEquals(delivery?.attempt, 2);
      await delivery!.ack();
      return performance.now() - dueAt;
    });
  });

  test(`${name}.receive is there for the next when the one it waited for is gone`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>()];
    await lateness(async () => {
      const received = queue.receive({ waitMs: 2_000 });
      await test.blocked(1);
      await other.enqueue("gone", { delayMs: 400 }); // until it is taken away, also where that takes long
      await eventually(async () => assertEquals(await test.redis.lLen(test.key("wake")), 0));
      await other.enqueue("next", { delayMs: 450 });
      const dueAt = performance.now() + 450;
      await test.redis.zPopMin(test.key("delayed"));
      const delivery = await received;
      const late = performance.now() - dueAt;
      assertEquals(delivery?.payload, "next");
      await delivery!.ack();
      return late;
    });
  });

  test(`${name}.receive keeps what it claimed when the call after the claim fails`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<string>({}, client), test.queue<string>()];
    await other.enqueue("in an hour", { delayMs: 3_600_000 });
    let scripts = 0; // the first claim, the second claim, and what follows it
    const lost = proxy.dropReplies((request) => /evalsha/i.test(request) && ++scripts === 3);
    const received = queue.receive({ waitMs: 2_000 });
    await test.blocked(1);
    await other.enqueue("now");
    const delivery = await received;
    assertEquals(delivery?.payload, "now");
    await delivery!.ack();
    await lost;
    assertEquals((await other.counts()).leased, 0);
  });

  test(`${name}.receive of two waiters serves two delayed messages in time`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    await lateness(async () => {
      const received = [queue, other].map((queue) => queue.receive({ waitMs: 2_000 }));
      await test.blocked(2);
      await Promise.all([queue.enqueue(1, { delayMs: 60 }), queue.enqueue(2, { delayMs: 120 })]);
      const dueAt = performance.now() + 120;
      const deliveries = await Promise.all(received);
      const late = performance.now() - dueAt;
      assertEquals(payloads(deliveries.map((delivery) => delivery!)).toSorted(), [1, 2]);
      await Promise.all(deliveries.map((delivery) => delivery!.ack()));
      return late;
    });
  });

  for (const how of ["is aborted", "gives up"]) {
    test(`${name}.receive hears of a delayed message when the waiter that knew ${how}`, async (test) => {
      const [queue, other] = [test.queue<number>(), test.queue<number>()];
      await lateness(async () => {
        const stop = new AbortController();
        const waitMs = how === "gives up" ? 800 : 3_000; // both have to wait by then, on new connections
        const first = queue.receive({ waitMs, signal: stop.signal }).catch(() => undefined);
        await test.blocked(1);
        const second = other.receive({ waitMs: 2_000 });
        await test.blocked(2);
        await queue.enqueue(1, { delayMs: 1_000 }); // the one that waited longest gets the token
        const dueAt = performance.now() + 1_000;
        await eventually(async () => assertEquals(await test.redis.lLen(test.key("wake")), 0));
        await test.blocked(2);
        if (how === "is aborted") stop.abort();
        assertEquals(await first, undefined);
        const delivery = await second;
        await delivery?.ack();
        assertEquals(delivery?.payload, 1);
        return performance.now() - dueAt;
      });
    });
  }

  test(`${name}.receive fails like other calls when a key changes its type while it waits`, async (test) => {
    const unhandled: unknown[] = [];
    const note = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      unhandled.push(event.reason);
    };
    globalThis.addEventListener("unhandledrejection", note);
    try {
      const queue = test.queue<string>();
      await queue.enqueue("x", { delayMs: 100 });
      const received = queue.receive({ waitMs: 400 });
      await test.blocked(1);
      await test.redis.set(test.key("lapsed"), "somebody else's");
      const error = await assertRejects(() => received, Error);
      assertEquals(unhandled, []);
      assertInstanceOf(error, TypeError);
      assertStringIncludes(error.message, test.key("lapsed"));
    } finally {
      globalThis.removeEventListener("unhandledrejection", note);
    }
  });
}

function tokens(name: string, test: LeasedTest): void {
  test(`${name} keeps one token if and only if something can be claimed`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 9 });
    const check = async (what: string) => {
      const { ready } = await queue.counts();
      const wake = await test.redis.lLen(test.key("wake"));
      assertEquals({ what, wake }, { what, wake: ready > 0 ? 1 : 0 });
    };
    await queue.enqueue(1);
    await check("enqueue");
    await queue.enqueueMany([2, 3, 4, 5]);
    await check("enqueueMany");
    const first = await take(queue);
    await check("receive");
    const others = await queue.receiveMany(9);
    await check("receiveMany, to the last");
    await first.nack({ delayMs: 0 });
    await check("nack");
    await (await take(queue)).ack();
    await check("ack");
    await others[0]!.deadLetter("no");
    await check("deadLetter");
    await queue.redrive();
    await check("redrive");
    await queue.purge("ready");
    await check("purge");
    await test.lapse();
    assertEquals((await queue.receiveMany(9)).length, 1);
    await check("reclaim, of three");
    for (const _ of [1, 2]) await (await take(queue)).ack();
    await check("reclaim, to the last");
    await queue.enqueue(6, { delayMs: 60_000 });
    assertEquals(await test.redis.lLen(test.key("wake")), 1); // for whoever waits for a later one
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.redis.lLen(test.key("wake")), 1); // polling takes nobody's token
    await test.makeDue();
    await take(queue);
    await check("promoted and taken");
  });

  test(`${name}.receive passes the token on when it is aborted`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    for (let i = 0; i < 10; i++) {
      const stop = new AbortController();
      const first = queue.receive({ waitMs: 3_000, signal: stop.signal }).catch(() => undefined);
      await test.blocked(1);
      const second = other.receive({ waitMs: 3_000 });
      await test.blocked(2);
      const startedAt = performance.now();
      const enqueued = queue.enqueueMany([1, 2]);
      stop.abort();
      await enqueued;
      const [a, b] = await Promise.all([first, second]);
      assertLess(performance.now() - startedAt, 500);
      assert(b, "the other waiter got nothing");
      const rest = a ? [] : [await take(queue)];
      await Promise.all([b, ...(a ? [a] : []), ...rest].map((delivery) => delivery.ack()));
      assertEquals(await queue.receive(), undefined);
      assertEquals(await other.receive(), undefined);
      assertEquals(await test.sizes(), {});
    }
  });

  test(`${name}.receive loses nothing when aborts and messages race`, async (test) => {
    const queue = test.queue<number>();
    const seen: number[] = [];
    for (let i = 0; i < 60; i++) {
      const stop = new AbortController();
      const received = queue.receive({ waitMs: 1_000, signal: stop.signal }).catch(() => undefined);
      await pause(i % 4);
      await Promise.all([queue.enqueue(i), Promise.resolve().then(() => stop.abort())]);
      const delivery = await received;
      if (delivery) seen.push(delivery.payload);
      await delivery?.ack();
    }
    seen.push(...await drain(queue));
    assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: 60 }, (_, i) => i));
    assertEquals(await test.sizes(), {});
  });
}

function foreign(name: string, test: LeasedTest): void {
  const garbage = [
    "hello",
    "",
    "{oops",
    "a b c\nd",
    "u 0 0 1 99 0\nshort",
    "u 0 7 1 0 0\n1",
    Buffer.from([0xff, 0x00, 0x0a, 0xfe]),
    "x".repeat(1_000),
  ];

  for (const mode of MODES) {
    test(`${name} buries foreign entries with their bytes and goes on (${mode})`, async (test) => {
      const queue = test.queue<string>();
      await test.intrude(...garbage);
      await queue.enqueue("fine");
      const seen: string[] = [];
      for await (const delivery of queue.consume({ mode, pollMs: 1 })) {
        seen.push(delivery.payload);
        await delivery.ack();
        if ((await queue.counts()).dead === garbage.length) break;
        await queue.enqueue("fine");
      }
      assert(seen.length > 0 && seen.every((payload) => payload === "fine"));
      const { messages } = await queue.peek("dead");
      assertEquals(
        messages.map(({ raw }) => Buffer.from(raw).toString("hex")).toSorted(),
        garbage.map((entry) => Buffer.from(entry as string).toString("hex")).toSorted(),
      );
      for (const { reason, attempts, errors } of messages) {
        assertMatch(reason!, /^Cannot read a message of/);
        assertEquals([attempts, errors.length], [1, 1]);
        assertMatch(errors[0]!.message, /^DecodeError/);
      }
      assertEquals(await queue.redrive(), garbage.length);
      assertEquals(await queue.purge("ready"), garbage.length);
      await queue.receive();
      assertEquals(await test.sizes(), {});
    });

    test(`${name} buries a payload it cannot decode, once (${mode})`, async (test) => {
      const texts = test.queue<string>({ codec: "text" });
      const queue = test.queue<unknown>();
      await texts.enqueueMany(["{oops", '"fine"', "]"]);
      assertEquals(payloads(await queue.receiveMany(3, { waitMs: waitMs(mode) })), ["fine"]);
      assertEquals(await test.sizes(), { leased: 1, leases: 1, dead: 2, "dead:at": 2 });
      const { messages } = await queue.peek("dead");
      assertEquals(messages.map(({ raw }) => text(raw)).toSorted(), ["]", "{oops"]);
      assert(messages.every((message) => !("payload" in message)));
      assert(messages.every(({ reason }) => reason!.includes("JSON")));
      assertEquals(payloads((await texts.peek("dead")).messages).toSorted(), ["]", "{oops"]);
    });

    test(`${name}.receive takes the next message when one cannot be decoded (${mode})`, async (test) => {
      const texts = test.queue<string>({ codec: "text" });
      const queue = test.queue<unknown>();
      await texts.enqueueMany(["{oops", "[oops", '"fine"']);
      assertEquals((await queue.receive({ waitMs: waitMs(mode) }))?.payload, "fine");
      assertEquals(await test.sizes(), { leased: 1, leases: 1, dead: 2, "dead:at": 2 });
    });
  }

  test(`${name}.peek shows foreign entries and leaves them`, async (test) => {
    const queue = test.queue();
    await test.intrude("hello");
    await test.redis.zAdd(test.key("delayed"), { score: Date.now() + 60_000, value: "later" });
    const before = await test.dump();
    const { messages: [ready] } = await queue.peek("ready");
    assertEquals([ready!.id, text(ready!.raw), ready!.attempts, ready!.errors], [
      "",
      "hello",
      0,
      [],
    ]);
    const { messages: [delayed] } = await queue.peek("delayed");
    assertEquals([delayed!.id, text(delayed!.raw)], ["", "later"]);
    assertEquals((await queue.counts()).ready, 1);
    assertEquals(await test.dump(), before);
  });

  test(`${name} buries foreign entries of delayed and lapsed`, async (test) => {
    const queue = test.queue();
    await test.redis.zAdd(test.key("delayed"), [
      { score: -Infinity, value: "first" },
      { score: 1, value: "second" },
      { score: Infinity, value: "never" },
    ]);
    await test.redis.lPush(test.key("lapsed"), "third");
    for (let i = 0; i < 4; i++) assertEquals(await queue.receive(), undefined);
    const { messages } = await queue.peek("dead");
    assertEquals(messages.map(({ raw }) => text(raw)).toSorted(), ["first", "second", "third"]);
    assertEquals(await test.sizes(), { delayed: 1, dead: 3, "dead:at": 3, wake: 1 });
  });

  test(`${name} is not disturbed by foreign entries in leased and leases`, async (test) => {
    const queue = test.queue<string>();
    await test.redis.hSet(test.key("leased"), { garbage: "x", "a:1:0:9": "y", "a:1:0:1": "z" });
    await test.redis.zAdd(test.key("leases"), [
      { score: 1, value: "garbage" },
      { score: 1, value: "a:1:0" },
      { score: 1, value: "a:99999999:1" },
      { score: 1, value: "a:0:2" },
      { score: 2 ** 50, value: "later" },
    ]);
    await queue.enqueue("fine");
    const deliveries = [...await queue.receiveMany(5), ...await queue.receiveMany(5)];
    assertEquals(payloads(deliveries), ["fine"]);
    // What the lease a:1:0 names was in a hand, so it came back, and cannot be decoded.
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals([text(dead!.raw), dead!.attempts], ["z", 2]);
    await deliveries[0]!.ack();
    await queue.receive();
    assertEquals(await test.sizes(), { leased: 2, leases: 1, dead: 1, "dead:at": 1 });
  });

  test(`${name} is not disturbed by foreign entries in dead and dead:at`, async (test) => {
    const queue = test.queue<number>();
    const since = Date.now() - 60_000;
    for (let i = 0; i < 3; i++) {
      const { id } = await queue.enqueue(i);
      await (await take(queue)).deadLetter("no");
      await test.redis.zAdd(test.key("dead:at"), { score: since + 10 + i, value: id });
    }
    await test.redis.zAdd(test.key("dead:at"), [
      { score: since, value: "ghost" },
      { score: since + 1, value: "written by hand" },
    ]);
    await test.redis.hSet(test.key("dead"), { "written by hand": "not JSON\nhello", orphan: "x" });
    const seen: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await queue.peek("dead", { limit: 2, cursor });
      seen.push(...page.messages.map(({ payload, raw }) => payload ?? text(raw)));
      cursor = page.cursor;
    } while (cursor);
    assertEquals(seen, ["not JSON\nhello", 0, 1, 2]);
    assertEquals(await queue.redrive({ ids: ["orphan"] }), 1);
    assertEquals(await queue.redrive(), 4);
    assertEquals(await queue.purge("ready"), 5);
    assertEquals(await queue.purge("dead"), 0);
    await queue.receive();
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.redrive of all is not stopped by entries without a message`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueueMany(Array.from({ length: 1_005 }, (_, i) => i));
    for (const _ of [1, 2]) await queue.receiveMany(1_000);
    await test.lapse();
    for (const _ of [1, 2]) await queue.receive();
    await test.redis.zAdd(test.key("dead:at"), { score: Date.now() - 9_000, value: "ghost" });
    assertEquals(await queue.redrive(), 1_005);
    assertEquals(await test.redis.exists([test.key("dead"), test.key("dead:at")]), 0);
  });

  test(`${name} is not disturbed by foreign entries in wake, ids and replays`, async (test) => {
    const queue = test.queue<string>();
    await test.redis.lPush(test.key("wake"), ["x", "y", "z"]);
    await test.redis.hSet(test.key("ids"), "taken", "by somebody");
    await test.redis.hSet(test.key("replays"), { x: "1", y: "no mark" });
    assertEquals(await queue.receive({ waitMs: 20 }), undefined);
    assertEquals(await queue.enqueue("a", { id: "taken" }), { id: "taken", duplicate: true });
    assertEquals(await queue.enqueue("b", { id: "free" }), { id: "free", duplicate: false });
    await test.redis.lPush(test.key("wake"), ["x", "y"]);
    assertEquals((await take(queue, "blocking")).payload, "b");
    assertEquals(await test.sizes(), { leased: 1, leases: 1, ids: 2 });
  });

  test(`${name} loses nothing to a counter that is none`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("due", { delayMs: 60_000 });
    await queue.enqueue("dead", { id: "dead" });
    await (await take(queue)).deadLetter("no");
    await queue.enqueue("leased");
    const { token } = await take(queue);
    await test.makeDue();
    await test.redis.set(test.key("seq"), "not a number");
    const total = async () => {
      const { ready = 0, lapsed = 0, leased = 0, delayed = 0, dead = 0 } = await test.sizes();
      return ready + lapsed + leased + delayed + dead;
    };
    await queue.receive().catch(() => {});
    assertEquals(await total(), 3, "receive");
    await queue.redrive().catch(() => {});
    assertEquals(await total(), 3, "redrive");
    await queue.delivery(token).nack({ delayMs: 0 }).catch(() => {});
    assertEquals(await total(), 3, "nack");
    const both = [queue.enqueue("now"), queue.enqueue("later", { delayMs: 60_000 })];
    const stored = (await Promise.allSettled(both)).filter(({ status }) => status === "fulfilled");
    assertEquals(await total(), 3 + stored.length, "enqueue");
  });

  test(`${name}.nack loses nothing to a history that is none`, async (test) => {
    const queue = test.queue<string>();
    await test.intrude(`forged 1 0 1 70000 0\n${"h".repeat(70_000)}"fine"`);
    const delivery = await take(queue);
    assertEquals([delivery.payload, delivery.attempt, delivery.errors], ["fine", 2, []]);
    assertEquals(await delivery.nack({ delayMs: 0, error: "no" }), "ready");
    const again = await take(queue);
    assertEquals([again.payload, again.attempt], ["fine", 3]);
  });
}

/** The keys, and what each should be. */
const SUFFIXES: Record<string, string> = {
  "ready": "list, or zset",
  "lapsed": "list",
  "leased": "hash",
  "leases": "zset",
  "delayed": "zset",
  "dead": "hash",
  "dead:at": "zset",
  "ids": "hash",
  "dedupe": "hash",
  "dedupe:until": "zset",
  "replays": "hash",
  "wake": "list",
  "seq": "string",
  "control": "hash",
  "grants": "list",
  "completed": "list",
  "failed": "list",
  "stats": "hash",
};

/** A value as messages name it where a number is expected. */
const named = (value: unknown) =>
  typeof value === "string" ? `the string ${JSON.stringify(value)}` : String(value);

const STORES = [
  "ready",
  "lapsed",
  "delayed",
  "ids",
  "dedupe",
  "dedupe:until",
  "replays",
  "wake",
];

/** Actions that go on while keys have another type that they do not use; all others look at all keys. */
const USES: Record<string, string[]> = {
  enqueue: STORES,
  counts: ["ready", "lapsed", "leased", "delayed", "dead:at", "control"],
  "peek ready": ["ready", "lapsed"],
  "peek delayed": ["delayed"],
  "peek dead": ["dead", "dead:at"],
  "peek leased": ["leased", "leases"],
  "peek completed": ["completed"],
  "peek failed": ["failed"],
};

const READY_TYPES: Record<string, string> = {
  ReliableQueue: "list",
  PriorityQueue: "zset",
  StreamQueue: "stream",
};

function refusing(name: string, test: LeasedTest, makeQueue: MakeQueue): void {
  for (const suffix of Object.keys(SUFFIXES)) {
    const readyType = READY_TYPES[name];
    const type = suffix === "ready" ? readyType : SUFFIXES[suffix];
    test(`${name} says so when ${suffix} has another type, and changes nothing`, async (test) => {
      const queue = test.queue<number>({
        maxAttempts: 3,
        dedupe: true,
        keepCompleted: {},
        keepFailed: {},
        maxReady: 100,
        rateLimit: { count: 100, perMs: 60_000 }, // nothing of it ends meanwhile
      });
      for (const i of [1, 2, 3, 4, 5]) await queue.enqueue(i, { id: `id-${i}` });
      await queue.receiveMany(2);
      await test.lapse();
      await (await take(queue)).deadLetter("no"); // one has lapsed, one is dead
      const { token } = (await queue.receiveMany(2)).at(-1)!;
      await queue.enqueue(6, { delayMs: 60_000 });
      await queue.enqueue(7);
      await queue.enqueue(8, { delayMs: 60_000 });
      await test.makeDue();
      await test.redis.unlink(test.key(suffix));
      await test.redis.sAdd(test.key(suffix), "somebody else's");
      const before = await test.dump();
      const settlement = queue.delivery(token);
      const actions: [string, () => Promise<unknown>][] = [
        ["enqueue", () => queue.enqueue(9)],
        ["enqueue delayed", () => queue.enqueue(9, { delayMs: 1_000 })],
        ["enqueue with an id", () => queue.enqueue(9, { id: "id-9" })],
        ["enqueueMany", () => queue.enqueueMany([9, 10])],
        ["receive", () => queue.receive()],
        ["receive, blocking", () => queue.receive({ waitMs: 50 })],
        ["receiveMany", () => queue.receiveMany(5, { waitMs: 50 })],
        ["consume, polling", () => queue.consume({ mode: "polling" }).next()],
        ["consume, blocking", () => queue.consume({ mode: "blocking" }).next()],
        ["counts", () => queue.counts()],
        ["peek ready", () => queue.peek("ready")],
        ["peek delayed", () => queue.peek("delayed")],
        ["peek dead", () => queue.peek("dead")],
        ["peek leased", () => queue.peek("leased")],
        ["peek completed", () => queue.peek("completed")],
        ["peek failed", () => queue.peek("failed")],
        ["find", () => queue.find("nobody")],
        ["cancel", () => queue.cancel("nobody")],
        ["pause", () => queue.pause()],
        ["resume", () => queue.resume()],
        ["redrive", () => queue.redrive()],
        ["redrive ids", () => queue.redrive({ ids: ["id-1"] })],
        ["purge ready", () => queue.purge("ready")],
        ["purge delayed", () => queue.purge("delayed")],
        ["purge dead", () => queue.purge("dead")],
        ["purge completed", () => queue.purge("completed")],
        ["purge failed", () => queue.purge("failed")],
        ["nack", () => settlement.nack({ delayMs: 0 })],
        ["nack delayed", () => settlement.nack({ delayMs: 1_000 })],
        ["deadLetter", () => settlement.deadLetter("no")],
      ];
      // These look at no other keys.
      const acks = ["leased", "leases", "ids", "dedupe", "dedupe:until", "completed", "stats"];
      if (acks.includes(suffix)) actions.push(["ack", settlement.ack]);
      if (suffix === "stats") actions.push(["stats", () => queue.stats()]);
      if (suffix === "leases") actions.push(["extend", () => settlement.extend(1_000)]);
      const wrong: string[] = [];
      const spared: string[] = [];
      for (const [what, action] of actions) {
        const unchanged = await test.dump();
        const error = await action().then(() => undefined, (error) => error);
        if (error === undefined) {
          spared.push(what);
          await test.restore(before);
          continue;
        }
        const says = `The key ${test.key(suffix)} is a set, but should be a ${type}; nothing was ` +
          `changed. Is ${JSON.stringify(test.name)} in use by somebody else?`;
        if (!(error instanceof TypeError) || error.message !== says) {
          wrong.push(`${what}: ${error}`);
        }
        assertEquals(await test.dump(), unchanged, what);
      }
      assertEquals(wrong, []);
      const uses = { ...USES, ...(name === "PriorityQueue" && { enqueue: [...STORES, "seq"] }) };
      const expected = Object.entries(uses).flatMap(([what, keys]) => {
        if (keys.includes(suffix)) return [];
        return what === "enqueue" ? actions.slice(0, 4).map(([what]) => what) : [what];
      });
      if (suffix === "stats") expected.push("ack"); // what cannot be counted is not
      assertEquals(spared, expected);
    });
  }

  test(`${name} refuses bad times, naming the value`, async (test) => {
    const queue = test.queue<number>();
    const other = makeQueue<number>;
    for (const ms of [-1, Number.NaN, -Infinity, "5" as unknown as number, null as never]) {
      const says = `but is ${named(ms)}`;
      await assertRejects(() => queue.enqueue(1, { delayMs: ms }), RangeError, says);
      await assertRejects(() => queue.enqueue(1, { runAt: ms }), RangeError, says);
      await assertRejects(() => queue.enqueueMany([1], { delayMs: ms }), RangeError, says);
      await assertRejects(() => queue.receive({ waitMs: ms }), RangeError, says);
      await assertRejects(() => queue.receiveMany(1, { waitMs: ms }), RangeError, says);
      assertThrows(() => other(test.redis, test.name, { leaseMs: ms }), RangeError, says);
      assertThrows(() => other(test.redis, test.name, { maxDeadAgeMs: ms }), RangeError, says);
      const backoff = { baseMs: ms };
      assertThrows(() => other(test.redis, test.name, { backoff }), RangeError, says);
    }
    for (const ms of [Infinity, 9e15]) {
      await assertRejects(() => queue.enqueue(1, { delayMs: ms }), RangeError, `but is ${ms}`);
      await assertRejects(() => queue.enqueue(1, { runAt: ms }), RangeError, `but is ${ms}`);
    }
    const both = { delayMs: 17, runAt: 4_711 };
    const error = await assertRejects(() => queue.enqueue(1, both), TypeError, "17");
    assertStringIncludes(error.message, "4711");
    await assertRejects(() => queue.enqueueMany([], { delayMs: -1 }), RangeError, "but is -1");
    const many = await assertRejects(() => queue.enqueueMany([1], { runAt: -1 }), RangeError);
    assertEquals(many.message.startsWith("runAt "), true, "of all payloads, not of the first");
    assertEquals(await test.sizes(), {});
    await queue.enqueue(1);
    const { token } = await take(queue);
    for (const ms of [-1, Number.NaN, Infinity]) {
      const settlement = queue.delivery(token);
      await assertRejects(() => settlement.nack({ delayMs: ms }), RangeError, `but is ${ms}`);
      await assertRejects(() => settlement.extend(ms), RangeError, `but is ${ms}`);
    }
    await assertRejects(() => queue.delivery(token).extend(0), RangeError, "but is 0");
    await assertRejects(() => queue.delivery(token).deadLetter(""), TypeError, '""');
    assertEquals(await test.sizes(), { leased: 1, leases: 1 });
  });

  test(`${name} refuses bad counts and names, naming the value`, async (test) => {
    const queue = test.queue<number>();
    const make = (options: LeasedQueueOptions<number>) => () =>
      makeQueue<number>(test.redis, test.name, options);
    for (const count of [0, -1, 1.5, Number.NaN, Infinity, "3" as unknown as number]) {
      const says = `but is ${named(count)}`;
      assertThrows(make({ maxAttempts: count }), RangeError, says);
      assertThrows(make({ maxDead: count }), RangeError, says);
      assertThrows(make({ maxPayloadBytes: count }), RangeError, says);
      await assertRejects(() => queue.receiveMany(count), RangeError, says);
      await assertRejects(() => queue.peek("ready", { limit: count }), RangeError, says);
      if (count !== Infinity) {
        await assertRejects(() => queue.redrive({ limit: count }), RangeError, says);
      }
    }
    await assertRejects(() => queue.receiveMany(1_001), RangeError, "1001");
    assertThrows(make({ leaseMs: 0 }), RangeError, "but is 0");
    assertThrows(make({ codec: "xml" as "json" }), TypeError, '"xml"');
    for (const state of ["leased", "done", "", "__proto__"]) {
      const says = JSON.stringify(state);
      if (state !== "leased") {
        await assertRejects(() => queue.peek(state as "ready"), TypeError, says);
      }
      await assertRejects(() => queue.purge(state as "ready"), TypeError, says);
    }
    for (const cursor of ["-1", "x", "1.5", "99999999999999999999"]) {
      await assertRejects(() => queue.peek("ready", { cursor }), RangeError, cursor);
    }
    for (
      const bad of ["", "a{b", "a}b", "a*", "a?", "[a]", "a\\b", "a\nb", "\ud800", "x".repeat(201)]
    ) {
      const says = JSON.stringify(bad.slice(0, 40)).slice(0, -1);
      assertThrows(() => makeQueue(test.redis, bad), TypeError, says);
    }
    assertThrows(() => makeQueue(test.redis, 7 as unknown as string), TypeError, "7");
    assertThrows(() => makeQueue(undefined as never, "x"), TypeError, "undefined");
    assertThrows(
      () => queue.consume({ mode: "waiting" as Mode }),
      TypeError,
      'mode must be "polling" or "blocking", but is "waiting"',
    );
    assertThrows(() => queue.consume({ pollMs: 0 }), RangeError, "but is 0");
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue refuses bad ids, naming the value`, async (test) => {
    const queue = test.queue<number>();
    for (const id of ["", "a\nb", "a\u0000", "a\u2028", "\udc00", "ü".repeat(101)]) {
      const says = JSON.stringify(id.slice(0, 40)).slice(0, -1);
      await assertRejects(() => queue.enqueue(1, { id }), TypeError, says);
    }
    for (const [id, says] of [[7, "the number 7"], [null, "null"], [{}, "an object"]]) {
      const options = { id: id as never };
      await assertRejects(() => queue.enqueue(1, options), TypeError, `but is ${says}`);
    }
    await assertRejects(() => queue.redrive({ ids: ["fine", ""] }), TypeError, '""');
    assertEquals(await test.sizes(), {});
    const fine = [
      "ü".repeat(100),
      "a b",
      " a ",
      "__proto__",
      "constructor",
      "0",
      "*",
      "a:1:0:1",
      "7 0 1",
    ];
    for (const id of fine) {
      assertEquals(await queue.enqueue(1, { id }), { id, duplicate: false });
      assertEquals((await queue.enqueue(1, { id })).duplicate, true);
    }
    for (const id of fine) {
      const delivery = await take(queue);
      assertEquals(delivery.id, id);
      await queue.delivery(delivery.token).ack();
    }
    await queue.receive();
    assertEquals((await test.sizes()).ids, undefined);
  });

  test(`${name}.enqueue refuses bad payloads before anything is sent`, async (test) => {
    const queue = test.queue({ maxPayloadBytes: 10 });
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const bad: [unknown, string][] = [
      [undefined, "JSON cannot carry payload: it is undefined"],
      [() => 1, "it is the function"],
      [Symbol("s"), "it is Symbol(s)"],
      [cycle, "payload.self: it contains itself"],
      [{ total: 12n }, "payload.total: it is the BigInt 12n"],
      [[1, undefined], "payload[1]: it is undefined"],
      [{ a: [Number.NaN] }, "payload.a[0]: it is the number NaN"],
      [new Map([[1, 2]]), "it is a Map"],
    ];
    const commands = await commandsDuring(test.url, async () => {
      for (const [payload, message] of bad) {
        await assertRejects(() => queue.enqueue(payload), TypeError, message);
        const many = await assertRejects(() => queue.enqueueMany([1, payload]), TypeError, message);
        assertMatch(many.message, /^payloads\[1\]: /);
        assertInstanceOf(many.cause, TypeError);
      }
      // deno-lint-ignore no-sparse-arrays
      await assertRejects(() => queue.enqueueMany([1, , 3]), TypeError, "payloads[1]: ");
      const large = () => queue.enqueueMany(["x", "y", "0123456789"]);
      await assertRejects(large, RangeError, "payloads[2]: A payload may have 10 bytes");
      for (const payloads of ["abc", new Set([1]), null, { length: 1 }] as never[]) {
        await assertRejects(() => queue.enqueueMany(payloads), TypeError, "must be an array");
      }
      const error = await assertRejects(() => queue.enqueue("0123456789"), RangeError, "has 12");
      assertStringIncludes(error.message, "10 bytes (maxPayloadBytes)");
      await assertRejects(() => queue.enqueue("€€€€"), RangeError, "has 14");
    });
    assertEquals(commands, []);
    await queue.enqueue("01234567");
    assertEquals((await take(queue)).payload, "01234567");
  });

  test(`${name}.nack refuses what a backoff gives that is no time`, async (test) => {
    for (const ms of [-1, Number.NaN, "x" as unknown as number]) {
      const queue = test.queue<number>({ backoff: () => ms });
      await queue.enqueue(1);
      const delivery = await take(queue);
      await assertRejects(() => delivery.nack(), RangeError, `but is ${named(ms)}`);
      assertEquals((await queue.counts()).leased, 1);
      await test.lapse();
      await (await take(queue)).ack();
    }
  });
}

function carrying(name: string, test: LeasedTest): void {
  test(`${name} carries any JSON, text and bytes as they are`, async (test) => {
    const queue = test.queue<unknown>();
    const values = [
      null,
      0,
      -0.5,
      "",
      "grüße 🎉\n\u0000",
      [],
      {},
      [[1]],
      { a: { b: [null] } },
      true,
    ];
    await queue.enqueueMany(values);
    assertEquals(await drain(queue), values);

    const texts = test.queue<string>({ codec: "text", maxAttempts: 9 });
    await texts.enqueue("1 0 0 1 0 0\ngrüße,\n世界 🎉", { id: "text" });
    await (await take(texts)).nack({ delayMs: 0, error: "with a\nhistory" });
    await take(texts);
    await test.lapse();
    assertEquals(await drain(texts), ["1 0 0 1 0 0\ngrüße,\n世界 🎉"]);

    const bytes = test.queue<Uint8Array>({ codec: "bytes", maxAttempts: 2 });
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const value = Uint8Array.from(all);
    const enqueued = bytes.enqueue(value);
    value.fill(0); // what happens to the buffer after the call is the caller's business
    await enqueued;
    for (const _ of [1, 2]) await (await take(bytes)).nack({ delayMs: 0, error: "no" });
    assertEquals((await bytes.peek("dead")).messages[0]!.payload, all);
    await bytes.redrive();
    const delivery = await take(bytes);
    assertEquals(delivery.payload, all);
    await bytes.delivery(delivery.token).ack();
    await test.lapse(); // nobody here was told that this hand is empty
    await bytes.receive();
    assertEquals(await test.sizes(), {});
  });

  test(`${name} takes a codec of your own`, async (test) => {
    const queue = test.queue<Date>({
      codec: {
        encode: (date) => date.toISOString(),
        decode: (raw) => new Date(text(raw)),
      },
    });
    await queue.enqueue(new Date(17));
    assertEquals((await take(queue)).payload, new Date(17));
  });

  test(`${name} keeps __proto__ and constructor inert`, async (test) => {
    const texts = test.queue<string>({ codec: "text" });
    const queue = test.queue<Record<string, unknown>>();
    await texts.enqueue('{"__proto__":{"admin":true},"constructor":1}', { id: "__proto__" });
    const delivery = await take(queue);
    assertEquals(Object.getPrototypeOf(delivery.payload), Object.prototype);
    await delivery.deadLetter("__proto__", { error: "__proto__" });
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals([dead!.id, dead!.reason], ["__proto__", "__proto__"]);
    assertEquals(Object.getPrototypeOf(dead!.payload), Object.prototype);
    assertEquals(({} as { admin?: boolean }).admin, undefined);
  });

  test(`${name} keeps queues of different names apart`, async (test) => {
    const queue = test.queue<string>();
    await using other = new (queue.constructor as new (
      client: RedisClient,
      name: string,
    ) => ContractQueue<string>)(test.client, `${test.name}:other`);
    await other.enqueue("other", { id: "x" });
    assertEquals(await queue.receive(), undefined);
    assertEquals((await queue.enqueue("mine", { id: "x" })).duplicate, false);
    const theirs = await take(other);
    await assertRejects(() => queue.delivery(theirs.token).ack(), LeaseLostError);
    await theirs.ack();
    assertEquals(await other.receive(), undefined);
    assertEquals((await take(queue)).payload, "mine");
    await test.client.unlink(["replays", "seq"].map((key) => `queue:{${test.name}:other}:${key}`));
  });
}

function surviving(name: string, test: LeasedTest): void {
  test(`${name} works on when Redis forgets the scripts`, async (test) => {
    const queue = test.queue<number>();
    const flushed = async <T>(run: () => Promise<T>) => {
      await test.redis.scriptFlush();
      return await run();
    };
    await flushed(() => queue.enqueueMany([1, 2, 3]));
    const [a, b, c] = await flushed(() => queue.receiveMany(3));
    await flushed(() => a!.ack());
    assertEquals(await flushed(() => b!.nack({ delayMs: 0 })), "ready");
    await flushed(() => c!.extend(50_000));
    await flushed(() => c!.deadLetter("no"));
    assertEquals((await flushed(() => queue.peek("dead"))).messages.length, 1);
    assertEquals(await flushed(() => queue.redrive()), 1);
    assertEquals((await flushed(() => queue.counts())).ready, 2);
    assertEquals(await flushed(() => queue.purge("ready")), 2);
    assertEquals(await flushed(() => queue.receive({ waitMs: 10 })), undefined);
    assertEquals(await test.sizes(), {});
  });

  for (const mode of MODES) {
    test(`${name}.consume survives CLIENT KILL, each message once (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const admin = await test.connect({ url: test.url });
      const stop = new AbortController();
      const seen: number[] = [];
      const consumed = (async () => {
        for await (const delivery of queue.consume({ mode, pollMs: 5, signal: stop.signal })) {
          await delivery.ack();
          seen.push(delivery.payload);
        }
      })();
      const producer = test.queue<number>({}, await test.connect());
      for (let i = 0; i < 3; i++) {
        await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        await producer.enqueue(i);
        await eventually(() => assertEquals(seen.length, i + 1));
      }
      stop.abort();
      await consumed;
      assertEquals(seen, [0, 1, 2]);
      await queue.receive();
      assertEquals((await queue.counts()).leased, 0);
    });
  }

  test(`${name}.close ends what waits, and receive says so then`, async (test) => {
    const queue = test.queue<number>();
    const waiting = queue.receive({ waitMs: 9_000 }).catch((error) => error);
    await test.blocked(1);
    const startedAt = performance.now();
    await queue.close();
    await waiting;
    assertLess(performance.now() - startedAt, 1_500);
    await assertRejects(() => queue.receive({ waitMs: 10 }), Error, "closed");
    assertNotEquals(await queue.enqueue(1), undefined); // the client is its user's
  });
}
