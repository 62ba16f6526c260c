/**
 * What every queue with leases promises when it is given limits: how many messages may be ready, how many
 * are handed out in a time, and which payloads are let in. A part of the contract; see
 * `leased_contract.ts`.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type LeasedQueueOptions,
  QueueFullError,
  SchemaError,
  type SchemaIssue,
  type StandardSchema,
  Worker,
} from "@workshop/redis-patterns";
import {
  type ContractQueue,
  drain,
  ENQUEUES,
  type LeasedTest,
  MODES,
  pause,
  payloads,
  SCRIPTS,
  take,
  waitMs,
} from "./leased_support.ts";
import { commandsDuring, eventually } from "./support.ts";

type Kind = typeof TypeError | typeof RangeError;

/** Runs this part of the suite. */
export function leasedLimitsContract(name: string, test: LeasedTest): void {
  refusing(name, test);
  waiting(name, test);
  rating(name, test);
  checking(name, test);
}

/** "stored", "duplicate" or the name of the error, for each. */
async function outcomes(enqueueing: Promise<{ duplicate: boolean }>[]): Promise<string[]> {
  return (await Promise.allSettled(enqueueing)).map((result) => {
    if (result.status === "rejected") return result.reason.name;
    return result.value.duplicate ? "duplicate" : "stored";
  });
}

function refusing(name: string, test: LeasedTest): void {
  test(`${name}.enqueue throws QueueFullError when maxReady are ready`, async (test) => {
    const queue = test.queue<number>({ maxReady: 2 });
    await queue.enqueueMany([1, 2]);
    const error = await assertRejects(() => queue.enqueue(3), QueueFullError, "2 messages");
    assertEquals([error.queue, error.maxReady, error.name], [test.name, 2, "QueueFullError"]);
    await assertRejects(() => queue.enqueue(3, { id: "mine" }), QueueFullError);
    await assertRejects(() => queue.enqueue(3, { dedupe: { key: "k" } }), QueueFullError);
    assertEquals(await test.sizes(), { ready: 2, wake: 1 }, "neither id nor key is taken");
    const held = await take(queue); // what is in hand takes no room
    assertEquals((await queue.enqueue(4, { id: "mine" })).duplicate, false);
    // What comes back, gets due or is redriven is let in above it.
    await queue.enqueue(5, { delayMs: 60_000 });
    assertEquals(await held.nack({ delayMs: 0 }), "ready");
    await (await take(queue)).deadLetter("no");
    assertEquals(await queue.redrive(), 1);
    await test.makeDue();
    await (await take(queue)).nack({ delayMs: 0 }); // promotes
    assertEquals((await queue.counts()).ready, 4);
    await assertRejects(() => queue.enqueue(6), QueueFullError);
    assertEquals((await drain(queue)).toSorted(), [1, 2, 4, 5]);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue stores the first of a turn for which there is room`, async (test) => {
    const queue = test.queue<number>({ maxReady: 3 });
    assertEquals(
      await outcomes([1, 2, 3, 4, 5].map((n) => queue.enqueue(n))),
      ["stored", "stored", "stored", "QueueFullError", "QueueFullError"],
    );
    assertEquals(await drain(queue), [1, 2, 3]);
    await assertRejects(() => queue.enqueueMany([1, 2, 3, 4, 5]), QueueFullError);
    assertEquals(await drain(queue), [1, 2, 3]);
    const dedupe = { key: "k" };
    assertEquals(
      await outcomes([
        queue.enqueue(1),
        queue.enqueue(2, { delayMs: 60_000 }),
        queue.enqueue(3, { dedupe }),
        queue.enqueue(4, { dedupe }), // a duplicate takes no room
        queue.enqueue(5),
        queue.enqueue(6),
        queue.enqueue(7, { dedupe }),
        queue.enqueue(8, { id: "x" }),
        queue.enqueue(9, { id: "y", delayMs: 60_000 }),
        queue.enqueue(10, { id: "y" }),
      ]),
      [
        ...["stored", "stored", "stored", "duplicate", "stored", "QueueFullError"],
        ...["duplicate", "QueueFullError", "stored", "duplicate"],
      ],
    );
    assertEquals(await test.sizes(), { ready: 3, delayed: 2, ids: 1, dedupe: 1, wake: 1 });
    assertEquals(await drain(queue), [1, 3, 5]);
  });

  test(`${name}.enqueueMany on a full queue tells which messages were stored`, async (test) => {
    const queue = test.queue<number>({ maxReady: 2 });
    const error = await assertRejects(() => queue.enqueueMany([1, 2, 3, 4]), QueueFullError);
    assertEquals(error.enqueued.map((one) => one?.duplicate), [false, false, undefined, undefined]);
    const { messages } = await queue.peek("ready");
    assertEquals(messages.map(({ id }) => id), error.enqueued.slice(0, 2).map((one) => one!.id));
    const single = await assertRejects(() => queue.enqueue(5), QueueFullError);
    assertEquals(single.enqueued, [undefined]);
  });

  test(`${name}.enqueue with a signal that is aborted already stores nothing`, async (test) => {
    const queue = test.queue<number>();
    const signal = AbortSignal.abort(new Error("too late"));
    await assertRejects(() => queue.enqueue(1, { signal }), Error, "too late");
    await assertRejects(() => queue.enqueueMany([1, 2], { signal }), Error, "too late");
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue with a limit changes nothing when replays has another type`, async (test) => {
    const queue = test.queue<number>({ maxReady: 2 });
    await test.redis.sAdd(test.key("replays"), "somebody else's");
    const before = await test.dump();
    await assertRejects(() => queue.enqueueMany([1, 2, 3]), TypeError, "nothing was changed");
    assertEquals(await test.dump(), before);
  });

  test(`${name}.enqueue waits for room also with a time that is over`, async (test) => {
    const queue = test.queue<string>({ maxReady: 1, onFull: "wait" });
    await queue.enqueue("first");
    const late = queue.enqueue("late", { runAt: 1 });
    await pause(30);
    await (await take(queue)).ack();
    assertEquals((await late).duplicate, false);
    assertEquals(payloads((await queue.peek("ready")).messages), ["late"]);
  });

  test(`${name}.enqueue says full again when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<number>({ maxReady: 2 }, client), test.queue<number>()];
    await other.enqueue(0);
    const held = await take(other);
    await other.enqueue(1);
    for (const named of [false, true]) {
      const lost = proxy.dropReplies(1, { after: ENQUEUES });
      const results = outcomes([2, 3].map((n) => {
        return queue.enqueue(n, named ? { dedupe: { key: `k${n}` } } : {});
      }));
      await lost;
      await other.purge("ready"); // before the enqueue is repeated: now there is room
      assertEquals(await results, ["stored", "QueueFullError"]);
      assertEquals((await other.counts()).ready, 0);
      await other.enqueue(1);
    }
    await held.ack();
  });

  test(`${name} refuses bad room options, naming the value`, (test) => {
    const bad: [object, Kind, string][] = [
      [{ maxReady: 0 }, RangeError, "but is 0"],
      [{ maxReady: NaN }, RangeError, "NaN"],
      [{ maxReady: -1 }, RangeError, "-1"],
      [{ maxReady: 1.5 }, RangeError, "1.5"],
      [{ maxReady: "5" }, RangeError, "5"],
      [{ maxReady: null }, RangeError, "null"],
      [{ maxReady: 5, onFull: "drop" }, TypeError, '"drop"'],
      [{ maxReady: 5, onFull: null }, TypeError, "null"],
      [{ onFull: "wait" }, TypeError, '"wait"'],
      [{ onFull: "throw" }, TypeError, '"throw"'],
    ];
    for (const [options, kind, says] of bad) {
      assertThrows(() => test.queue(options as LeasedQueueOptions<unknown>), kind, says);
    }
    return Promise.resolve();
  });
}

function waiting(name: string, test: LeasedTest): void {
  const full = { maxReady: 1, onFull: "wait" } as const;

  for (const mode of MODES) {
    test(`${name}.enqueue waits for room, and keeps the order (${mode})`, async (test) => {
      const queue = test.queue<number>({ maxReady: 10, onFull: "wait" });
      const sent = Array.from({ length: 60 }, (_, i) => i);
      const enqueued = queue.enqueueMany(sent.slice(0, 30));
      const more = Promise.all(sent.slice(30).map((i) => queue.enqueue(i)));
      const seen: number[] = [];
      let most = 0;
      await eventually(async () => assertEquals((await queue.counts()).ready, 10));
      while (seen.length < 60) {
        most = Math.max(most, (await queue.counts()).ready);
        for (const delivery of await queue.receiveMany(7, { waitMs: waitMs(mode) })) {
          seen.push(delivery.payload);
          await delivery.ack();
        }
        if (mode === "polling") await pause(5);
      }
      assertEquals([seen, most], [sent, 10]);
      const results = [...await enqueued, ...await more];
      assertEquals(new Set(results.map(({ id }) => id)).size, 60);
      assert(results.every(({ duplicate }) => !duplicate));
      assertEquals(await drain(queue), []);
      assertEquals(await test.sizes(), {});
    });
  }

  test(`${name}.enqueue lets nobody overtake whoever asks for room`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<string>(full, client), test.queue<string>()];
    await queue.enqueue("first");
    proxy.delay(200);
    const before = proxy.requests;
    const a = queue.enqueue("a");
    // Refused once, and on its way for the second time: Redis refuses it again, the reply is slow.
    await eventually(() => assertGreaterOrEqual(proxy.requests, before + 2));
    await pause(20);
    await (await take(other)).ack(); // now there is room
    const b = queue.enqueue("b");
    await a;
    const first = await take(other);
    assertEquals(first.payload, "a");
    await first.ack();
    await b;
    assertEquals(await drain(other), ["b"]);
  });

  test(`${name}.enqueue that waits is one that asks, less and less often`, async (test) => {
    const queue = test.queue<number>(full);
    await queue.enqueue(0);
    const waiting = Array.from({ length: 50 }, (_, i) => queue.enqueue(i + 1));
    await pause(100);
    const commands = await commandsDuring(test.url, () => pause(1_000));
    assertGreaterOrEqual(commands.length, 1);
    assertLess(commands.length, 9, commands.join(" "));
    const closing = Promise.allSettled(waiting);
    await queue.close();
    assertEquals(new Set((await closing).map(({ status }) => status)), new Set(["rejected"]));
  });

  test(`${name}.enqueue that waits for room ends with its signal, and stores nothing`, async (test) => {
    const queue = test.queue<number>(full);
    await queue.enqueue(0);
    const [one, many] = [new AbortController(), new AbortController()];
    const waiting = [
      queue.enqueue(1, { signal: one.signal }),
      queue.enqueue(2),
      queue.enqueueMany([3, 4], { signal: many.signal }),
      queue.enqueue(5),
    ].map((enqueueing) => enqueueing.then(() => "stored", (error) => error));
    await pause(20);
    const reason = new Error("the request is over");
    one.abort(reason);
    assertEquals(await waiting[0], reason);
    many.abort();
    assertInstanceOf(await waiting[2], DOMException);
    await assertRejects(() => queue.enqueue(6, { signal: one.signal }), Error, reason.message);
    const seen: number[] = [];
    await eventually(async () => {
      seen.push(...await drain(queue));
      assertEquals(seen, [0, 2, 5]);
    });
    assertEquals([await waiting[1], await waiting[3]], ["stored", "stored"]);
    assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
  });

  test(`${name}.enqueue waits for no room that it does not need`, async (test) => {
    const queue = test.queue<number>(full);
    await queue.enqueue(0, { dedupe: { key: "k" } });
    const waiting = queue.enqueue(1).catch((error) => error);
    // Behind the one that waits; but these can be stored when they are tried.
    const [delayed, duplicate] = await Promise.all([
      queue.enqueue(2, { delayMs: 60_000 }),
      queue.enqueue(3, { dedupe: { key: "k" } }),
    ]);
    assertEquals([delayed.duplicate, duplicate.duplicate], [false, true]);
    await queue.close();
    assertInstanceOf(await waiting, Error);
    assertEquals(await test.sizes(), { ready: 1, delayed: 1, dedupe: 1, wake: 1 });
  });

  test(`${name}.close ends waiting for room, and stores nothing`, async (test) => {
    const queue = test.queue<number>(full);
    await queue.enqueue(0);
    const waiting = [queue.enqueue(1), queue.enqueueMany([2, 3])];
    await pause(20);
    const closing = Promise.all(waiting.map((one) => assertRejects(() => one, Error, "closed")));
    await queue.close();
    await closing;
    const other = test.queue<number>();
    assertEquals(await drain(other), [0]);
    await pause(120); // they would have asked by now
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue that waited stores once when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<number>(full, client), test.queue<number>()];
    await queue.enqueue(0);
    const waiting = queue.enqueue(1);
    await pause(20);
    // A reply that says "stored": one word, the number of plain messages.
    const lost = proxy.dropReplies((_, reply) => /^\*1\r\n\$1\r\n1\r\n$/.test(reply));
    await (await take(other)).ack();
    await lost;
    assertEquals((await waiting).duplicate, false);
    assertEquals(await drain(other), [1]);
    assertEquals(await test.sizes(), {});
  });
}

function rating(name: string, test: LeasedTest): void {
  /** Fails if more than `count` were handed out in any `perMs`. */
  const assertRate = (times: number[], { count, perMs }: { count: number; perMs: number }) => {
    times.sort((a, b) => a - b);
    for (let i = count; i < times.length; i++) {
      const took = times[i]! - times[i - count]!;
      assertGreaterOrEqual(took, perMs, `${i}: ${times.map((time) => time - times[0]!)}`);
    }
  };
  const rateLimit = { count: 4, perMs: 250 };

  for (const mode of MODES) {
    test(`${name} with a rate limit hands out no more in any window (${mode})`, async (test) => {
      const objects = [
        test.queue<number>({ rateLimit }),
        test.queue<number>({ rateLimit }, await test.connect()),
      ];
      await objects[0]!.enqueueMany(Array.from({ length: 13 }, (_, i) => i));
      const times: number[] = [];
      const startedAt = performance.now();
      await Promise.all(objects.map(async (queue, i) => {
        while (times.length < 13 && performance.now() - startedAt < 5_000) {
          const wait = mode === "blocking" ? 300 : 0;
          const deliveries = await queue.receiveMany(i + 1, { waitMs: wait });
          times.push(...deliveries.map(({ receivedAt }) => receivedAt));
          await Promise.all(deliveries.map((delivery) => delivery.ack()));
          if (mode === "polling") await pause(7);
        }
      }));
      assertEquals(times.length, 13);
      assertRate(times, rateLimit);
      assertLess(performance.now() - startedAt, 2_500, "three windows, and some");
    });

    test(`${name} with a rate limit is shared by workers (${mode})`, async (test) => {
      const queue = test.queue<number>({ rateLimit });
      const other = test.queue<number>({ rateLimit }, await test.connect());
      const times: number[] = [];
      const workers = [queue, other].map((queue) =>
        new Worker(queue, (_, { delivery }) => void times.push(delivery.receivedAt), {
          mode,
          pollMs: 10,
          concurrency: 10,
        })
      );
      await queue.enqueueMany([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      const startedAt = performance.now();
      for (const worker of workers) worker.start();
      await eventually(() => assertEquals(times.length, 9), 5_000);
      assertLess(performance.now() - startedAt, 2_500, "two windows, and some");
      await Promise.all(workers.map((worker) => worker.stop()));
      assertRate(times, rateLimit);
    });
  }

  test(`${name}.receiveMany gives what the rate permits, whatever the clock here says`, async (test) => {
    const queue = test.queue<number>({ rateLimit: { count: 3, perMs: 60_000 } });
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    const [a] = await queue.receiveMany(1);
    const [b, c, ...rest] = await queue.receiveMany(100);
    assertEquals([payloads([a!, b!, c!]), rest], [[1, 2, 3], []]);
    const sizes = { ready: 2, leased: 3, leases: 2, grants: 2, wake: 1, control: 1 };
    assertEquals(await test.sizes(), sizes);
    assertGreaterOrEqual(await test.redis.pTTL(test.key("control")), 1);
    const now = Date.now;
    Date.now = () => now() + 3_600_000;
    try {
      assertEquals(await queue.receive(), undefined);
    } finally {
      Date.now = now;
    }
    assertEquals(await b!.nack({ delayMs: 0 }), "ready");
    assertEquals(await queue.receive(), undefined, "what comes back counts again");
    const [first, second] = await test.redis.lRange(test.key("grants"), 0, -1);
    await test.redis.lSet(test.key("grants"), -1, second!.replace(/^\d+/, "1"));
    assertEquals(payloads(await queue.receiveMany(5)), [4]);
    assertEquals(await test.redis.lRange(test.key("grants"), 1, -1), [first]);
    assertGreaterOrEqual(await test.redis.pTTL(test.key("grants")), 1);
    assertLess(await test.redis.pTTL(test.key("grants")), 60_001, "and goes by itself");
  });

  test(`${name} counts a claim once when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const queue = test.queue<number>({ rateLimit: { count: 3, perMs: 60_000 } }, client);
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    const lost = proxy.dropReplies(1, { after: SCRIPTS });
    assertEquals(payloads(await queue.receiveMany(2)), [1, 2]);
    await lost;
    assertEquals(payloads(await queue.receiveMany(5)), [3]);
    assertEquals((await test.sizes())["grants"], 2);
  });

  test(`${name} that waits for its rate does not ask meanwhile`, async (test) => {
    const limits = { rateLimit: { count: 1, perMs: 1_500 } };
    const queue = test.queue<number>(limits);
    await queue.enqueueMany([1, 2]);
    const first = await take(queue);
    const startedAt = performance.now();
    let second: Awaited<ReturnType<typeof queue.receive>>;
    const commands = await commandsDuring(test.url, async () => {
      second = await queue.receive({ waitMs: 4_000 });
    });
    assertEquals(second?.payload, 2);
    assertGreaterOrEqual(second!.receivedAt - first.receivedAt, 1_500);
    assertLess(performance.now() - startedAt, 2_000, "and is there in time");
    assertLess(commands.length, 9, commands.join(" "));
  });

  test(`${name} whose rate is used up wakes nobody for what is enqueued`, async (test) => {
    const queue = test.queue<number>({ rateLimit: { count: 1, perMs: 60_000 } });
    await queue.enqueueMany([1, 2]);
    await take(queue);
    assertEquals(await queue.receive(), undefined);
    await test.redis.unlink(test.key("wake"));
    for (let i = 0; i < 5; i++) await queue.enqueue(i);
    assertEquals(await test.redis.exists(test.key("wake")), 0);
    await queue.enqueue(6, { delayMs: 1 });
    assertEquals(await test.redis.exists(test.key("wake")), 0);
  });

  test(`${name} with a rate limit does not count marks of what was cancelled`, async (test) => {
    const queue = test.queue<number>({ rateLimit: { count: 1, perMs: 60_000 } });
    const { id } = await queue.enqueue(1);
    await queue.cancel(id);
    await queue.enqueue(2);
    assertEquals((await take(queue)).payload, 2);
  });

  test(`${name} with a rate limit hands out in time what came when it was used up and nothing waited`, async (test) => {
    const limits = { rateLimit: { count: 1, perMs: 100 } };
    const [queue, producer] = [
      test.queue<number>(limits, await test.connect()),
      test.queue<number>(limits),
    ];
    const lateMs: number[] = [];
    for (let i = 0; i < 4; i++) {
      const first = queue.receive({ waitMs: 3_000 });
      await test.blocked(1);
      await producer.enqueue(i);
      await (await first)!.ack(); // the queue is empty, and the rate used up
      const second = queue.receive({ waitMs: 3_000 });
      await test.blocked(1);
      const startedAt = performance.now();
      await producer.enqueue(i);
      await (await second)!.ack();
      lateMs.push(performance.now() - startedAt);
      await pause(150);
    }
    // Who waits looks every second, so what nobody is told of comes after most of one.
    assertLess(Math.min(...lateMs), 500);
  });

  test(`${name} whose rate is used up tells the next consumer when one leaves`, async (test) => {
    const limits = { rateLimit: { count: 1, perMs: 300 } };
    const [a, b] = [test.queue<number>(limits), test.queue<number>(limits, await test.connect())];
    const receiving = [a, b].map((queue) => queue.receive({ waitMs: 4_500 }));
    await test.blocked(2);
    const startedAt = performance.now();
    await a.enqueueMany([1, 2]);
    const deliveries = await Promise.all(receiving);
    assertEquals(payloads(deliveries.map((delivery) => delivery!)).toSorted(), [1, 2]);
    assertLess(performance.now() - startedAt, 800, "not only when it looks by itself");
  });

  test(`${name} with a rate limit goes on when the clock of Redis is set back`, async (test) => {
    const queue = test.queue<number>({ rateLimit: { count: 2, perMs: 60_000 } });
    await queue.enqueueMany([1, 2, 3]);
    await test.redis.lPush(test.key("grants"), `${Date.now() + 3_600_000} 2 2`);
    assertEquals(payloads(await queue.receiveMany(5)), [1, 2]);
    assertEquals(await queue.receive(), undefined);
    assertEquals((await test.sizes())["grants"], 1);
  });

  test(`${name} with a rate limit is not disturbed by foreign entries`, async (test) => {
    const queue = test.queue<number>({ rateLimit: { count: 2, perMs: 60_000 } });
    await queue.enqueueMany([1, 2, 3]);
    await test.redis.rPush(test.key("grants"), ["garbage", ""]);
    await test.redis.hSet(test.key("control"), "somebody", "else");
    const delivery = await take(queue);
    await test.redis.rPush(test.key("grants"), "garbage");
    await delivery.ack();
    assertEquals(payloads(await queue.receiveMany(5)), [2], "and still limits");
    assertEquals(await queue.receive(), undefined);
  });

  test(`${name} refuses a bad rate limit, naming the value`, (test) => {
    const bad: [unknown, Kind, string][] = [
      [10, TypeError, "10"],
      [null, TypeError, "null"],
      [{}, RangeError, "undefined"],
      [{ count: 0 }, RangeError, "but is 0"],
      [{ count: 1.5 }, RangeError, "1.5"],
      [{ count: 100_001 }, RangeError, "100001"],
      [{ count: NaN }, RangeError, "NaN"],
      [{ count: 1, perMs: 0 }, RangeError, "but is 0"],
      [{ count: 1, perMs: -5 }, RangeError, "-5"],
      [{ count: 1, perMs: NaN }, RangeError, "NaN"],
      [{ count: 1, perMs: "1s" }, RangeError, "1s"],
    ];
    for (const [rateLimit, kind, says] of bad) {
      const options = { rateLimit } as LeasedQueueOptions<unknown>;
      const error = assertThrows(() => test.queue(options), kind, says);
      assertStringIncludes(error.message, "rateLimit");
    }
    return Promise.resolve();
  });
}

interface Order {
  total: number;
}

/** A Standard Schema by hand: a total above 0; what else there is, it drops. */
function orders(later: boolean): StandardSchema<Order> {
  const validate = (value: unknown) => {
    const { total } = Object(value) as { total?: unknown };
    if (typeof total === "number" && total > 0) return { value: { total } };
    const issues: SchemaIssue[] = [
      { message: "must be above 0", path: ["total"] },
      { message: "is no order", path: [{ key: "lines" }, 0] },
    ];
    return { issues };
  };
  return {
    "~standard": {
      version: 1,
      vendor: "tests",
      validate: later ? async (value) => await pause(1).then(() => validate(value)) : validate,
    },
  };
}

function checking(name: string, test: LeasedTest): void {
  for (const later of [false, true]) {
    const how = later ? "async" : "sync";

    test(`${name}.enqueue refuses what the schema refuses, and sends nothing (${how})`, async (test) => {
      const queue = test.queue<Order>({ schema: orders(later) });
      const error = await assertRejects(() => queue.enqueue({ total: 0 }), SchemaError);
      assertEquals(error.issues.map(({ message }) => message), ["must be above 0", "is no order"]);
      assertStringIncludes(error.message, JSON.stringify(test.name));
      assertStringIncludes(error.message, "total: must be above 0; lines.0: is no order");
      const many = [{ total: 1 }, { total: -1 }, { total: 2 }];
      const second = await assertRejects(() => queue.enqueueMany(many), SchemaError, "above 0");
      assertMatch(second.message, /^payloads\[1\]: The schema of queue/);
      assertEquals(second.issues.length, 2);
      assertEquals(await test.sizes(), {});
      await queue.enqueueMany([{ total: 1 }, { total: 2 }]);
      await queue.enqueue({ total: 3, note: "stored as it was given" } as Order);
      const { messages } = await queue.peek("ready");
      assertEquals(payloads(messages), [{ total: 1 }, { total: 2 }, { total: 3 }]);
      assertStringIncludes(new TextDecoder().decode(messages[2]!.raw), "as it was given");
      assertEquals(await drain(queue), [{ total: 1 }, { total: 2 }, { total: 3 }]);
    });

    for (const mode of MODES) {
      test(`${name}.consume puts aside what the schema refuses, once, and goes on (${how}, ${mode})`, async (test) => {
        const [queue, other] = [
          test.queue<Order>({ schema: orders(later) }),
          test.queue<unknown>(),
        ];
        const { id } = await other.enqueue({ total: "free" });
        await other.enqueue({ total: 5, extra: 1 });
        const seen: Order[] = [];
        for await (const delivery of queue.consume({ mode, pollMs: 5 })) {
          seen.push(delivery.payload);
          await delivery.ack();
          break;
        }
        assertEquals(seen, [{ total: 5 }]);
        const { messages } = await queue.peek("dead");
        assertEquals(messages.map((letter) => letter.id), [id]);
        const [letter] = messages;
        assertEquals(new TextDecoder().decode(letter!.raw), '{"total":"free"}');
        assertEquals("payload" in letter!, false);
        assertStringIncludes(letter!.reason!, "total: must be above 0");
        assertEquals(letter!.attempts, 1);
        const { oldestReadyMs: _, ...counts } = await queue.counts();
        assertEquals(counts, { ready: 0, leased: 0, delayed: 0, dead: 1 });
      });

      test(`${name} tells a worker of what the schema refuses (${how}, ${mode})`, async (test) => {
        const [queue, other] = [
          test.queue<Order>({ schema: orders(later) }),
          test.queue<unknown>(),
        ];
        const events: string[] = [];
        await using worker = new Worker(queue, ({ total }) => void events.push(`total ${total}`), {
          mode,
          pollMs: 5,
          onEvent: (event) => {
            if (event.type !== "undecodable") return;
            assertInstanceOf(event.error.cause, SchemaError);
            events.push(`${event.type}: ${event.error.cause.issues[0]!.message}`);
          },
        });
        await other.enqueueMany([{ total: -1 }, { total: 7 }]);
        worker.start();
        await eventually(() => assertEquals(events.length, 2));
        assertEquals(events.toSorted(), ["total 7", "undecodable: must be above 0"]);
        assertEquals((await queue.counts()).dead, 1);
      });
    }
  }

  test(`${name} treats a schema that throws as one that refuses`, async (test) => {
    const schema: StandardSchema<number> = {
      "~standard": {
        version: 1,
        vendor: "tests",
        validate: (value) => {
          if (value === 13) throw new Error("unlucky");
          return { value: value as number };
        },
      },
    };
    const [queue, other] = [test.queue<number>({ schema }), test.queue<number>()];
    await assertRejects(() => queue.enqueue(13), Error, "unlucky");
    await assertRejects(() => queue.enqueueMany([12, 13]), Error, "unlucky");
    assertEquals(await test.sizes(), {});
    await other.enqueueMany([13, 14]);
    assertEquals(payloads([await take(queue)]), [14]);
    assertStringIncludes((await queue.peek("dead")).messages[0]!.reason!, "unlucky");
  });

  test(`${name} refuses what a schema gives that is no result, naming it`, async (test) => {
    for (const [result, says] of [[undefined, "undefined"], [true, "the boolean true"]]) {
      for (const given of [result, Promise.resolve(result)]) {
        const validate = () => given as never;
        const schema: StandardSchema<number> = {
          "~standard": { version: 1, vendor: "tests", validate },
        };
        const queue = test.queue<number>({ schema });
        const message = `must give { value } or { issues }, but gave ${says}`;
        await assertRejects(() => queue.enqueue(1), TypeError, message);
        const error = await assertRejects(() => queue.enqueueMany([1, 2]), TypeError, message);
        assertMatch(error.message, /^payloads\[0\]: /);
      }
    }
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueueMany lets no payload reject unseen`, async (test) => {
    // The first is refused later, the second at once; both are somebody's to catch.
    const validate = (value: unknown) => {
      if (value === 2) throw new RangeError("at once");
      return pause(1).then(() => ({ issues: [{ message: "later" }] }));
    };
    const schema: StandardSchema<number> = {
      "~standard": { version: 1, vendor: "tests", validate },
    };
    const queue = test.queue<number>({ schema });
    await assertRejects(() => queue.enqueueMany([1, 2]), RangeError, "payloads[1]: at once");
    await pause(5);
    class OwnError extends TypeError {}
    const own = new OwnError("mine");
    const encode = () => {
      throw own;
    };
    const strict = test.queue<number>({ codec: { encode, decode: () => 1 } });
    assertEquals(await strict.enqueueMany([1]).catch((error) => error), own);
    assertEquals(own.message, "mine");
  });

  test(`${name} refuses a schema that is none`, (test) => {
    const none = [
      null,
      {},
      "zod",
      () => true,
      { validate: () => ({ value: 1 }) },
      { "~standard": { version: 2, vendor: "x", validate: () => ({ value: 1 }) } },
      { "~standard": { version: 1, vendor: "x" } },
    ];
    for (const schema of none) {
      const options = { schema } as unknown as LeasedQueueOptions<unknown>;
      const error = assertThrows(() => test.queue(options), TypeError, "Standard Schema");
      if (schema === null) assertMatch(error.message, /but is null$/);
    }
    const made: ContractQueue<unknown> = test.queue({ schema: undefined });
    assert(made);
    return Promise.resolve();
  });
}
