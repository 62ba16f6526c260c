/**
 * What every queue with leases promises to remember: logs of what was done and what failed, statistics,
 * and who consumes. A part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  type ConsumerInfo,
  listQueues,
  type LogLimits,
  type PeekState,
  type Waiting,
  Worker,
} from "@workshop/redis-patterns";
import {
  type ContractQueue,
  drain,
  type LeasedFixture,
  type LeasedTest,
  MODES,
  pause,
  payloads,
  SCRIPTS,
  take,
} from "./leased_support.ts";
import { commandsDuring, eventually } from "./support.ts";

/** Runs this part of the suite. */
export function leasedLogsContract(name: string, test: LeasedTest): void {
  logging(name, test);
  timing(name, test);
  statistics(name, test);
  presence(name, test);
}

function logging(name: string, test: LeasedTest): void {
  /** All of a log, page by page. */
  const logOf = async <T>(queue: ContractQueue<T>, state: PeekState): Promise<Waiting<T>[]> => {
    const all: Waiting<T>[] = [];
    let cursor: string | undefined;
    do {
      const page = await queue.peek(state, { limit: 2, cursor });
      assert(page.messages.length <= 2);
      all.push(...page.messages);
      cursor = page.cursor;
    } while (cursor);
    return all;
  };

  for (const mode of MODES) {
    test(`${name} keeps what was done and which attempts failed, with their times (${mode})`, async (test) => {
      const queue = test.queue<{ to: string }>({ keepCompleted: {}, keepFailed: {} });
      const { id } = await queue.enqueue({ to: "ann" });
      const started = Date.now();
      const deliveries = [];
      for (const attempt of [1, 2, 3]) {
        const delivery = await take(queue, mode);
        deliveries.push(delivery);
        await pause(5);
        if (attempt < 3) await delivery.nack({ delayMs: 0, error: new Error(`no ${attempt}`) });
        else await delivery.ack();
      }
      const [completed, failed] = [await logOf(queue, "completed"), await logOf(queue, "failed")];
      const consumer = deliveries[0]!.token.split(":")[0]!;
      const shown = (
        { receivedAt, finishedAt, errors, raw, enqueuedAt, readyAt, ...rest }: Waiting<unknown>,
      ) => {
        assertGreaterOrEqual(receivedAt!, readyAt - 5, "two clocks' milliseconds");
        assertLess(Math.abs(enqueuedAt - started), 2_000);
        assertEquals(new TextDecoder().decode(raw), '{"to":"ann"}');
        assertGreaterOrEqual(finishedAt! - receivedAt!, 4, "it took 5 ms");
        assertLess(finishedAt! - started, 5_000);
        return { ...rest, receivedAt, errors: errors.map(({ message }) => message) };
      };
      const { priority } = deliveries[0]!;
      const common = { id, payload: { to: "ann" }, bytes: 12, consumer, priority };
      const receivedAt = deliveries.map((delivery) => delivery.receivedAt);
      const errors = ["Error: no 1", "Error: no 2"];
      assertEquals(completed.map(shown), [
        { ...common, attempts: 2, receivedAt: receivedAt[2], errors },
      ]);
      assertEquals(failed.map(shown), [
        { ...common, attempts: 2, receivedAt: receivedAt[1], errors },
        { ...common, attempts: 1, receivedAt: receivedAt[0], errors: errors.slice(0, 1) },
      ]);
      assertEquals(await test.sizes(), { completed: 1, failed: 2, leases: 1 });
    });
  }

  test(`${name} keeps a log to its count, the newest in front`, async (test) => {
    const queue = test.queue<number>({
      keepCompleted: { count: 5 },
      keepFailed: { count: 3 },
      maxAttempts: 1,
    });
    await queue.enqueueMany([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (let i = 0; i < 10; i++) {
      const delivery = await take(queue);
      if (i % 2 === 0) await delivery.nack();
      else await delivery.ack();
    }
    assertEquals(payloads(await logOf(queue, "completed")), [9, 7, 5, 3, 1]);
    assertEquals(payloads(await logOf(queue, "failed")), [8, 6, 4]);
    await queue.enqueueMany([10, 11, 12, 13, 14, 15, 16]);
    await Promise.all((await queue.receiveMany(7)).map((delivery) => delivery.ack()));
    assertEquals(payloads(await logOf(queue, "completed")), [16, 15, 14, 13, 12]);
    assertEquals([(await test.sizes())["completed"], (await test.sizes())["failed"]], [5, 3]);
  });

  test(`${name} keeps an entry of a log no longer than its age`, async (test) => {
    const limits = { ageMs: 60_000 };
    const queue = test.queue<number>({ keepCompleted: limits, keepFailed: limits, maxAttempts: 1 });
    await queue.enqueueMany([1, 2, 3, 4]);
    const [a, b, c, d] = await queue.receiveMany(4);
    for (const delivery of [a!, b!]) await delivery.ack();
    for (const delivery of [c!, d!]) await delivery.nack();
    const age = async (state: string, ms: number) => {
      const entry = (await test.redis.lIndex(test.key(state), -1))!;
      const finishedAt = Number(entry.split(" ")[1]);
      const older = entry.replace(` ${finishedAt} `, ` ${finishedAt - ms} `);
      await test.redis.lSet(test.key(state), -1, older);
    };
    await age("completed", 50_000);
    await age("failed", 50_000);
    await queue.enqueueMany([5, 6]);
    await (await take(queue)).ack();
    await (await take(queue)).nack();
    assertEquals(payloads(await logOf(queue, "completed")), [5, 2, 1], "not yet");
    assertEquals(payloads(await logOf(queue, "failed")), [6, 4, 3]);
    await age("completed", 20_000);
    await age("failed", 20_000);
    await queue.enqueueMany([7, 8]);
    await (await take(queue)).ack();
    await (await take(queue)).nack();
    assertEquals(payloads(await logOf(queue, "completed")), [7, 5, 2]);
    assertEquals(payloads(await logOf(queue, "failed")), [8, 6, 4]);
    // Also when nothing comes: whoever waits for a delayed message cleans up.
    await age("completed", 70_000);
    await age("failed", 70_000);
    await queue.enqueue(9, { delayMs: 20 });
    await take(queue, "blocking");
    assertEquals(payloads(await logOf(queue, "completed")), [7, 5]);
    assertEquals(payloads(await logOf(queue, "failed")), [8, 6]);
  });

  test(`${name} logs a lease that lapsed as failed, without when it was handed over`, async (test) => {
    const queue = test.queue<number>({ keepFailed: {}, maxAttempts: 2 });
    const { id } = await queue.enqueue(1);
    const delivery = await take(queue);
    await test.lapse();
    await take(queue);
    await test.lapse();
    assertEquals(await queue.receive(), undefined);
    const failed = await logOf(queue, "failed");
    assertEquals(failed.map(({ id, attempts }) => [id, attempts]), [[id, 2], [id, 1]]);
    for (const { receivedAt, finishedAt, consumer, errors } of failed) {
      assertEquals([receivedAt, consumer], [undefined, delivery.token.split(":")[0]]);
      assertLess(Math.abs(finishedAt! - Date.now()), 5_000);
      assertEquals(errors.at(-1)?.message, "lease lapsed");
    }
    assertEquals((await queue.counts()).dead, 1);
  });

  test(`${name} logs dead letters as failed, those that cannot be read too`, async (test) => {
    const queue = test.queue<number>({ keepFailed: {}, keepCompleted: {} });
    await queue.enqueue(1);
    await (await take(queue)).deadLetter("no such customer", { error: new Error("404") });
    await test.intrude("garbage");
    assertEquals(await queue.receive(), undefined);
    const [garbage, letter] = await logOf(queue, "failed");
    assertEquals([letter!.payload, letter!.errors[0]!.message], [1, "Error: 404"]);
    assertEquals(new TextDecoder().decode(garbage!.raw), "garbage");
    assertEquals(await logOf(queue, "completed"), []);
  });

  test(`${name} logs what is settled by token`, async (test) => {
    const limits = { keepCompleted: {}, keepFailed: {} };
    const [queue, other] = [test.queue<number>(limits), test.queue<number>(limits)];
    await queue.enqueueMany([1, 2, 3]);
    const [a, b, c] = await queue.receiveMany(3);
    await other.delivery(a!.token).nack({ delayMs: 60_000, error: "later" });
    await other.delivery(b!.token).ack();
    const { messages } = await queue.peek("leased");
    await other.delivery(messages[0]!.token!).ack(); // of this token the time is not known
    const [third, second] = await logOf(queue, "completed");
    assertEquals([second!.payload, second!.receivedAt], [2, b!.receivedAt]);
    assertEquals([third!.id, third!.receivedAt], [c!.id, undefined]);
    const [first] = await logOf(queue, "failed");
    assertEquals([first!.payload, first!.receivedAt], [1, a!.receivedAt]);
    assertEquals(first!.consumer, a!.token.split(":")[0]);
  });

  test(`${name} logs an ack and a nack once when their replies are lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const queue = test.queue<number>({ keepCompleted: {}, keepFailed: {} }, client);
    await queue.enqueueMany([1, 2, 3, 4]);
    await (await take(queue)).ack(); // Redis knows the script now
    await (await take(queue)).nack({ delayMs: 60_000 });
    const [a, b] = await queue.receiveMany(2);
    let lost = proxy.dropReplies(1, { after: SCRIPTS });
    await a!.ack();
    await lost;
    lost = proxy.dropReplies(1, { after: SCRIPTS });
    await b!.nack({ delayMs: 60_000 });
    await lost;
    assertEquals(payloads(await logOf(queue, "completed")), [3, 1]);
    assertEquals(payloads(await logOf(queue, "failed")), [4, 2]);
  });

  test(`${name} logs no message twice, and none that was cancelled in hand`, async (test) => {
    const queue = test.queue<number>({ keepCompleted: {}, keepFailed: {} });
    await queue.enqueueMany([1, 2, 3]);
    const [a, b, c] = await queue.receiveMany(3);
    await a!.ack();
    await queue.delivery(a!.token).ack();
    for (const { id } of [b!, c!]) assertEquals(await queue.cancel(id), "leased");
    await b!.ack();
    assertEquals(await c!.nack({ delayMs: 0 }), "cancelled");
    assertEquals(payloads(await logOf(queue, "completed")), [1]);
    assertEquals(await logOf(queue, "failed"), []);
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { completed: 1 });
  });

  test(`${name} logs what a worker does`, async (test) => {
    const queue = test.queue<number>({ keepCompleted: {}, keepFailed: {}, backoff: { baseMs: 0 } });
    const worker = new Worker(queue, (n, { delivery }) => {
      if (n === 2 && delivery.attempt === 1) throw new Error("once");
    });
    worker.start();
    await queue.enqueueMany([1, 2, 3]);
    await eventually(async () => assertEquals((await logOf(queue, "completed")).length, 3));
    const [consumer] = await queue.consumers();
    await worker.stop();
    const [failed] = await logOf(queue, "failed");
    assertEquals([failed!.payload, failed!.consumer], [2, consumer!.consumer]);
    assertEquals(payloads(await logOf(queue, "completed")).toSorted(), [1, 2, 3]);
  });

  test(`${name} keeps no log unless told so`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueueMany([1, 2]);
    await (await take(queue)).ack();
    await (await take(queue)).nack();
    assertEquals(await queue.peek("completed"), { messages: [] });
    assertEquals(await queue.peek("failed"), { messages: [] });
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1, leases: 1 });
  });

  test(`${name}.purge empties a log and says how many there were`, async (test) => {
    const queue = test.queue<number>({ keepCompleted: {}, keepFailed: {}, maxAttempts: 1 });
    await queue.enqueueMany(Array.from({ length: 1_500 }, (_, i) => i));
    await (await take(queue)).nack();
    await drain(queue);
    assertEquals([await queue.purge("failed"), await queue.purge("failed")], [1, 0]);
    assertEquals(await test.sizes(), { completed: 1_000, dead: 1, "dead:at": 1 });
    assertEquals([await queue.purge("completed"), await queue.purge("completed")], [1_000, 0]);
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1 });
  });

  test(`${name}.peek goes past entries of a log that are none`, async (test) => {
    const queue = test.queue<number>({ keepCompleted: {} });
    await test.redis.lPush(test.key("completed"), ["garbage", "1 2 w\n"]);
    await queue.enqueue(1);
    await (await take(queue)).ack();
    const { messages } = await queue.peek("completed");
    assertEquals(messages.map(({ payload }) => payload), [1, undefined, undefined]);
  });

  test(`${name} refuses bad log limits, naming the value`, async (test) => {
    const bad: [unknown, typeof TypeError | typeof RangeError, string][] = [
      [true, TypeError, "true"],
      [null, TypeError, "null"],
      [100, TypeError, "100"],
      [{ count: 0 }, RangeError, "but is 0"],
      [{ count: 1.5 }, RangeError, "1.5"],
      [{ count: -1 }, RangeError, "-1"],
      [{ count: 1_000_001 }, RangeError, "1000001"],
      [{ ageMs: 0 }, RangeError, "but is 0"],
      [{ ageMs: NaN }, RangeError, "NaN"],
      [{ ageMs: "1 day" }, RangeError, "1 day"],
    ];
    for (const option of ["keepCompleted", "keepFailed"] as const) {
      for (const [limits, kind, says] of bad) {
        const error = assertThrows(() => test.queue({ [option]: limits as LogLimits }), kind, says);
        assertMatch(error.message, new RegExp(`^${option}`));
      }
    }
    const queue = test.queue();
    await assertRejects(() => queue.purge("leased" as "ready"), TypeError, '"leased"');
    await assertRejects(() => queue.peek("done" as "ready"), TypeError, '"done"');
  });
}

/** Far enough from the end of a minute that none ends during a test; gives the minute's number. */
async function steadyMinute(test: LeasedFixture): Promise<number> {
  for (;;) {
    const [seconds] = await test.redis.sendCommand(["TIME"]) as unknown as [string];
    if (Number(seconds) % 60 < 55) return Math.floor(Number(seconds) / 60);
    await pause(500);
  }
}

/** Does everything that is counted, each another number of times. */
async function workload(test: LeasedFixture, queue: ContractQueue<number>): Promise<void> {
  await queue.enqueueMany([1, 2, 3, 4, 5, 6, 7, 8]);
  await queue.enqueue(9, { id: "x", delayMs: 60_000 });
  await queue.enqueue(10, { id: "x" }); // a duplicate
  const [a, b, c, d, e] = await queue.receiveMany(5);
  await Promise.all([a!, b!, c!].map((delivery) => delivery.ack()));
  await a!.ack(); // again
  await d!.nack({ delayMs: 60_000 });
  await e!.deadLetter("no");
  await queue.receiveMany(2);
  await test.lapse();
  await take(queue);
  await queue.redrive();
  await queue.cancel("x");
}

function timing(name: string, test: LeasedTest): void {
  test(`${name}.stats tells how long messages waited and ran`, async (test) => {
    const queue = test.queue<number>();
    const now = Date.now;
    Date.now = () => now() - 2_000;
    try {
      await queue.enqueueMany([1, 2, 3]);
    } finally {
      Date.now = now;
    }
    assertEquals((await queue.stats()).waitMs, undefined, "nothing was acknowledged");
    const deliveries = await queue.receiveMany(3);
    await pause(60);
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
    const { waitMs, runMs } = await queue.stats();
    for (const ms of Object.values(waitMs!)) assert(ms > 1_700 && ms < 2_600, String(ms));
    for (const ms of Object.values(runMs!)) assert(ms > 50 && ms < 250, String(ms));
    // Waiting begins anew when a message comes back, and when it was delayed ends with its time.
    Date.now = () => now() - 100_000;
    try {
      await queue.enqueue(4);
      await queue.enqueue(5, { delayMs: 100_000 });
    } finally {
      Date.now = now;
    }
    await (await take(queue)).nack({ delayMs: 0 });
    await test.makeDue();
    await Promise.all((await queue.receiveMany(2)).map((delivery) => delivery.ack()));
    assertLess((await queue.stats()).waitMs!.p99, 3_000);
  });

  test(`${name}.stats takes percentiles of buckets`, async (test) => {
    const queue = test.queue<number>();
    const minute = await steadyMinute(test);
    await test.redis.hSet(test.key("stats"), {
      [`${minute} w9`]: 30,
      [`${minute} w40`]: 5,
      [`${minute - 1} w9`]: 20,
      [`${minute - 1} w20`]: 45,
      [`${minute - 1} r0`]: 1,
    });
    const { waitMs, runMs } = await queue.stats();
    assertEquals(waitMs, { p50: 4.4, p95: 29, p99: 939 }); // 4 to 4.8, 27 to 32, 861 to 1024
    assertEquals(runMs, { p50: 0.5, p95: 0.5, p99: 0.5 });
    const { waitMs: last, runMs: none } = await queue.stats({ windowMs: 60_000 });
    assertEquals([last, none], [{ p50: 4.4, p95: 939, p99: 939 }, undefined]);
  });
}

function statistics(name: string, test: LeasedTest): void {
  test(`${name}.stats keeps all times as histograms, also of minutes that are gone`, async (test) => {
    const queue = test.queue<number>();
    const minute = await steadyMinute(test);
    await test.redis.hSet(test.key("stats"), {
      first: minute - 60,
      w0: 2,
      [`${minute - 60} enqueued`]: 1,
      [`${minute - 60} w0`]: 1,
      [`${minute} w4`]: 5,
      [`${minute} r121`]: 7, // there is no such bucket
    });
    const seen = async () => (await queue.stats()).waits!;
    const before = await seen();
    assertEquals(before.count, 8);
    assertEquals(before.buckets.map(({ ms, count }) => [Math.round(ms * 10) / 10, count]), [
      [1, 3],
      [1.2, 3],
      [1.4, 3],
      [1.7, 3],
      [2, 8],
    ]);
    assertEquals(before.sumMs, 3 * 0.5 + 5 * 1.8);
    await queue.enqueue(1); // the first of its minute: what is over for an hour is added up
    assertEquals(await seen(), before);
    assertEquals(await test.redis.hGet(test.key("stats"), "w0"), "3");
    assertEquals((await queue.stats()).runs, undefined);
  });

  test(`${name}.stats counts what the queue does`, async (test) => {
    const queue = test.queue<number>();
    const minute = await steadyMinute(test);
    assertEquals(await queue.stats(), {
      totals: NOTHING,
      perSecond: NOTHING,
      minutes: [],
    });
    await workload(test, queue);
    const counted = {
      enqueued: 9,
      acked: 3,
      failed: 2,
      lapsed: 2,
      dead: 1,
      redriven: 1,
      cancelled: 1,
    };
    const { totals, minutes, perSecond } = await queue.stats({ windowMs: 60_000 });
    assertEquals(totals, counted);
    assertEquals(minutes, [{ at: minute * 60_000, ...counted }]);
    const { enqueued, acked } = perSecond;
    assertLess(Math.abs(enqueued / acked - 3), 1e-9);
    assert(enqueued >= 9 / 60 && enqueued <= 9, String(enqueued));
  });

  test(`${name}.stats tells the minutes of its window, oldest first`, async (test) => {
    const queue = test.queue<number>();
    const minute = await steadyMinute(test);
    for (const [ago, enqueued] of [[0, 1], [1, 20], [3, 300], [4, 4_000], [5, 50_000]] as const) {
      const fields = { [`${minute - ago} enqueued`]: enqueued };
      await test.redis.hSet(test.key("stats"), fields);
    }
    const seen = async (windowMs?: number) => {
      const { minutes, perSecond } = await queue.stats({ windowMs });
      const counted = minutes.map(({ at, enqueued }) => [minute - at / 60_000, enqueued]);
      const sum = minutes.reduce((sum, { enqueued }) => sum + enqueued, 0);
      return { counted, seconds: sum / perSecond.enqueued };
    };
    const five = await seen();
    assertEquals(five.counted, [[4, 4_000], [3, 300], [1, 20], [0, 1]]);
    assert(five.seconds >= 240 && five.seconds <= 300, String(five.seconds));
    assertEquals((await seen(60_000)).counted, [[0, 1]]);
    assertEquals((await seen(120_000)).counted, [[1, 20], [0, 1]]);
    assertEquals((await seen(3_600_000)).counted.length, 5);
    for (const windowMs of [0, 59_999, 3_600_001, NaN, -1, "60000" as unknown as number]) {
      await assertRejects(() => queue.stats({ windowMs }), RangeError, "windowMs");
    }
  });

  test(`${name} adds up the minutes that are over for an hour`, async (test) => {
    const queue = test.queue<number>();
    const minute = await steadyMinute(test);
    const fields: Record<string, number> = { first: minute - 70, enqueued: 70_000 };
    for (const ago of [70, 60, 59]) {
      for (const field of ["enqueued", "acked", "w0", "w120", "r17"]) {
        fields[`${minute - ago} ${field}`] = ago;
      }
    }
    await test.redis.hSet(test.key("stats"), fields);
    const told = async () => {
      const { minutes, totals } = await queue.stats({ windowMs: 3_600_000 });
      return [minutes.map(({ enqueued }) => enqueued), totals.enqueued, totals.acked];
    };
    assertEquals(await told(), [[59], 70_189, 189]);
    await queue.enqueue(1);
    assertEquals(await told(), [[59, 1], 70_190, 189]);
    const kept = Object.entries(fields).filter(([field]) => field.startsWith(`${minute - 59} `));
    assertEquals({ ...await test.redis.hGetAll(test.key("stats")) }, {
      enqueued: "70130",
      acked: "130",
      w0: "130",
      w120: "130",
      r17: "130",
      first: `${minute - 59}`,
      ...Object.fromEntries(kept.map(([field]) => [field, "59"])),
      [`${minute} enqueued`]: "1",
    });
  });

  test(`${name} keeps its statistics within a bound`, async (test) => {
    const queue = test.queue<number>();
    const counted = Object.keys(NOTHING);
    const minute = await steadyMinute(test);
    const fields: Record<string, number> = { first: minute - 60 };
    for (const what of counted) fields[what] = 1;
    for (let ago = 1; ago <= 60; ago++) {
      for (const what of counted) fields[`${minute - ago} ${what}`] = 1;
      for (const kind of ["w", "r"]) {
        for (let i = 0; i <= 120; i++) fields[`${minute - ago} ${kind}${i}`] = 1;
      }
    }
    await test.redis.hSet(test.key("stats"), fields);
    assertEquals(Object.keys(fields).length, 14_948);
    await workload(test, queue);
    await sevenYearsAgo(() => queue.enqueue(0));
    await drain(queue);
    const minutes = (await queue.stats({ windowMs: 3_600_000 })).minutes;
    assertEquals([minutes.length, minutes[0]!.at], [60, (minute - 59) * 60_000]);
    const last = (await test.redis.hKeys(test.key("stats"))).filter((field) => {
      return field.startsWith(`${minute} `);
    });
    assert(last.length > 7 && last.length < 15, last.join());
    assert(last.includes(`${minute} w120`), "what waited for years is in the last bucket");
    assertEquals(await test.redis.hLen(test.key("stats")), 14_948 - 249 + 242 + last.length);
    const days = await test.redis.pTTL(test.key("stats")) / 86_400_000;
    assert(days > 29 && days <= 30, `${days} days`);
  });

  test(`${name} with stats: false leaves no statistics`, async (test) => {
    const queue = test.queue<number>({ stats: false });
    await workload(test, queue);
    const worker = new Worker(queue, () => {});
    worker.start();
    await eventually(async () => assertEquals((await queue.counts()).ready, 0));
    await worker.stop();
    assertEquals(await test.redis.exists(test.key("stats")), 0);
    assertEquals((await queue.stats()).totals, NOTHING);
    for (const stats of ["no", 0, null]) {
      const options = { stats: stats as unknown as boolean };
      assertThrows(() => test.queue(options), TypeError, JSON.stringify(stats));
    }
  });

  test(`${name} does not stop at numbers that cannot be counted`, async (test) => {
    const queue = test.queue<number>();
    const minute = await steadyMinute(test);
    await test.redis.hSet(test.key("stats"), {
      enqueued: "many",
      first: "never",
      [`${minute} enqueued`]: "many",
      [`${minute} acked`]: "9223372036854775807",
    });
    await queue.enqueueMany([1, 2]);
    assertEquals(await drain(queue), [1, 2]);
    assertEquals((await queue.stats()).totals.enqueued, 0);
  });
}

const NOTHING = {
  enqueued: 0,
  acked: 0,
  failed: 0,
  lapsed: 0,
  dead: 0,
  redriven: 0,
  cancelled: 0,
};

/** Enqueues with a clock that is far off. */
async function sevenYearsAgo<R>(run: () => Promise<R>): Promise<R> {
  const now = Date.now;
  Date.now = () => now() - 220_000_000_000;
  try {
    return await run();
  } finally {
    Date.now = now;
  }
}

function presence(name: string, test: LeasedTest): void {
  test(`${name}.stats folds every minute also after the clock was set back`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1);
    const minute = Math.floor(Date.now() / 60_000);
    // As after a day that the clock then went back: the oldest minute lies ahead.
    await test.redis.hSet(test.key("stats"), "first", String(minute + 1_440));
    await test.redis.hDel(test.key("stats"), `${minute} enqueued`);
    await queue.enqueue(2);
    assert(Number(await test.redis.hGet(test.key("stats"), "first")) <= minute + 1);
  });

  for (const mode of MODES) {
    test(`${name}.consumers names a loop of consume, until it ends (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const stop = new AbortController();
      const seen: number[] = [];
      const loop = (async () => {
        for await (const delivery of queue.consume({ mode, pollMs: 5, signal: stop.signal })) {
          seen.push(delivery.payload);
          await delivery.ack();
        }
      })();
      const [found] = await eventually(async () => {
        const consumers = await queue.consumers();
        assertEquals(consumers.length, 1);
        return consumers;
      });
      assertEquals([found!.mode, found!.pid, found!.holds], [mode, Deno.pid, 0]);
      await queue.enqueue(1);
      await eventually(() => assertEquals(seen, [1]));
      stop.abort();
      await loop;
      assertEquals(await queue.consumers(), []);
    });
  }

  test(`${name}.consumers names who announces itself, until its queue is closed`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1);
    const delivery = await take(queue);
    assertEquals(await queue.consumers(), []); // it never said so
    const commands = await commandsDuring(test.url, async () => {
      for (let i = 0; i < 5; i++) await queue.announce({ mode: "blocking", holds: 1 });
    });
    // Once in ten seconds, and the registry; scripts that the server does not know are sent twice.
    assert(commands.length <= 4, `${commands}`);
    const [found, ...others] = await queue.consumers();
    assertEquals([found!.mode, found!.pid, found!.holds, others], ["blocking", Deno.pid, 1, []]);
    assertEquals(found!.consumer, delivery.token.split(":")[0]);
    await queue.pauseConsumer(found!.consumer);
    await queue.enqueue(2);
    assertEquals(await queue.receive(), undefined);
    await queue.resumeConsumer(found!.consumer);
    await delivery.ack();
    await queue.close();
    assertEquals(await test.queue<number>().consumers(), []);
    for (const holds of [-1, 0.5, Infinity]) {
      await assertRejects(() => queue.announce({ holds }), RangeError, String(holds));
    }
    const bad = { mode: "sometimes" } as unknown as { mode: "polling" };
    await assertRejects(() => queue.announce(bad), TypeError, "sometimes");
  });

  test(`${name}.consumers names the workers that run`, async (test) => {
    const queue = test.queue<number>();
    assertEquals(await queue.consumers(), []);
    const held = Promise.withResolvers<void>();
    const started = Date.now();
    const workers = MODES.map((mode) => new Worker(queue, () => held.promise, { mode }));
    for (const worker of workers) worker.start();
    const found = await eventually(async () => {
      const consumers = await queue.consumers();
      assertEquals(consumers.length, 2);
      return consumers;
    });
    assertEquals(found.map(({ mode }) => mode).toSorted(), ["blocking", "polling"]);
    for (const { consumer, host, pid, startedAt, holds, seenMs } of found) {
      assertMatch(consumer, /^[a-z0-9-]+$/);
      assertEquals([host, pid, holds], [Deno.hostname(), Deno.pid, 0]);
      assertLess(Math.abs(startedAt - started), 2_000);
      assert(seenMs >= 0 && seenMs < 3_000, String(seenMs));
    }
    await queue.enqueue(1);
    await eventually(async () => assertEquals((await queue.counts()).leased, 1));
    const [leased] = (await queue.peek("leased")).messages;
    assert(found.some(({ consumer }) => consumer === leased!.consumer));
    // One that was killed is named until its entry expires; somebody else's says nothing.
    await test.redis.zAdd(test.key("workers:until"), [
      { score: 1, value: "killed" },
      { score: Date.now() + 10_000, value: "odd" },
    ]);
    await test.redis.hSet(test.key("workers"), { killed: "{}", odd: "garbage" });
    const odd = (await queue.consumers()).find(({ consumer }) => consumer === "odd")!;
    const { seenMs, ...rest } = odd;
    assertEquals(rest, {
      consumer: "odd",
      host: "",
      pid: 0,
      mode: "blocking",
      startedAt: 0,
      holds: 0,
    });
    assert(seenMs > 19_000 && seenMs < 22_000, String(seenMs));
    assertEquals((await queue.consumers()).length, 3);
    held.resolve();
    await Promise.all(workers.map((worker) => worker.stop()));
    assertEquals((await queue.consumers()).map(({ consumer }) => consumer), ["odd"]);
  });

  for (const mode of MODES) {
    test(`${name}.pauseConsumer leaves a worker what it has, and the rest to others (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const seen: string[] = [];
      const held = Promise.withResolvers<void>();
      const start = (who: string, run: (n: number) => Promise<void> | void) => {
        const worker = new Worker(queue, async (n) => {
          await run(n);
          seen.push(`${who} ${n}`);
        }, { mode, pollMs: 5 });
        worker.start();
        return worker;
      };
      const one = start("one", (n) => n === 1 ? held.promise : undefined);
      await queue.enqueue(1);
      await eventually(async () => assertEquals((await queue.counts()).leased, 1));
      const [{ consumer }] = await eventually(async () => {
        const consumers = await queue.consumers();
        assertEquals(consumers.length, 1);
        return consumers as [ConsumerInfo];
      });
      assertEquals(await queue.pauseConsumer(consumer), true);
      assertEquals((await queue.consumers()).map(({ paused }) => paused), [true]);
      await queue.enqueueMany([2, 3]);
      held.resolve();
      await eventually(() => assertEquals(seen, ["one 1"], "what it had is done"));
      await pause(300);
      assertEquals((await queue.counts()).ready, 2, "it takes no more");
      const commands = await commandsDuring(test.url, () => pause(500));
      assert(commands.length < (mode === "polling" ? 300 : 20), `${commands.length} commands`);

      const other = start("other", () => {});
      await eventually(() => assertEquals(seen.toSorted(), ["one 1", "other 2", "other 3"]));
      await other.stop();
      await queue.enqueue(4);
      assertEquals(await queue.resumeConsumer(consumer), true);
      await eventually(() => assert(seen.includes("one 4"), String(seen)));
      await queue.pauseConsumer(consumer);
      await one.stop();
      assertEquals(await test.redis.hLen(test.key("workers")), 0, "its word goes with it");
      assertEquals(await queue.pauseConsumer(consumer), false, "it is not there any more");
      assertEquals(await queue.resumeConsumer(consumer), false);
    });
  }

  test(`${name}.pauseConsumer holds a loop of consume, which is told nothing and goes on`, async (test) => {
    const queue = test.queue<number>();
    const stop = new AbortController();
    const seen: number[] = [];
    const loop = (async () => {
      for await (const delivery of queue.consume({ signal: stop.signal })) {
        seen.push(delivery.payload);
        await delivery.ack();
      }
    })();
    const [{ consumer }] = await eventually(async () => {
      const consumers = await queue.consumers();
      assertEquals(consumers.length, 1);
      return consumers as [ConsumerInfo];
    });
    await queue.pauseConsumer(consumer);
    await queue.enqueue(1);
    await pause(200);
    assertEquals(seen, []);
    await queue.resumeConsumer(consumer);
    await eventually(() => assertEquals(seen, [1]));
    stop.abort();
    await loop;
  });

  test(`${name}.consume in two loops is one consumer, there and paused until both have ended`, async (test) => {
    const queue = test.queue<number>();
    const stops = [new AbortController(), new AbortController()];
    const seen: number[] = [];
    const loops = stops.map(async ({ signal }) => {
      for await (const delivery of queue.consume({ mode: "polling", pollMs: 5, signal })) {
        seen.push(delivery.payload);
        await delivery.ack();
      }
    });
    const consumer = await eventually(async () => {
      const { consumers: [one] } = await queue.snapshot();
      return one!.consumer;
    });
    await queue.enqueue(1);
    await eventually(() => assertEquals(seen, [1]));
    await queue.pauseConsumer(consumer);
    stops[0]!.abort();
    await loops[0];
    assertEquals((await queue.consumers()).map(({ paused }) => paused), [true]);
    await queue.enqueue(2);
    await pause(1_100); // it asks once a second
    assertEquals(seen, [1]);
    stops[1]!.abort();
    await loops[1];
    assertEquals(await queue.consumers(), []);
  });

  test(`${name}.pauseConsumer refuses what is no consumer's name`, async (test) => {
    const queue = test.queue<number>();
    for (const bad of ["", "a b", "paused:x", undefined, 7]) {
      for (const how of ["pauseConsumer", "resumeConsumer"] as const) {
        await assertRejects(() => queue[how](bad as string), TypeError, "A consumer's name");
      }
    }
    assertEquals(await queue.pauseConsumer("nobody"), false);
    assertEquals(await test.redis.exists(test.key("workers")), 0);
  });

  test(`${name} can be found by listQueues once it was used`, async (test) => {
    const queue = test.queue<number>();
    const kinds = { ReliableQueue: "list", PriorityQueue: "priority", StreamQueue: "stream" };
    const kind = kinds[name as keyof typeof kinds];
    const member = `${kind} ${test.name}`;
    const mine = async (limit?: number) =>
      (await listQueues(test.client, { limit })).filter((queue) => queue.name === test.name);
    await queue.counts();
    assertEquals(await mine(), [], "looking is no use");
    await queue.enqueue(1);
    const [found, ...others] = await eventually(async () => {
      const found = await mine();
      assertEquals(found.length, 1); // it is entered while work goes on
      return found;
    });
    assertEquals([found!.kind, others], [kind, []]);
    assertLess(Math.abs(found!.lastUsedAt - Date.now()), 5_000);
    await test.client.zAdd("queue:registry", { score: 2e15, value: member });
    assertEquals(await mine(1), [{ name: test.name, kind, lastUsedAt: 2e15 }], "in front");
    await test.client.zRem("queue:registry", member);
    const worker = new Worker(queue, () => {});
    worker.start();
    await eventually(async () => assertEquals((await mine()).length, 1)); // consumers count, too
    await worker.stop();
    for (const limit of [0, -1, 1.5, NaN, 10_001]) {
      await assertRejects(() => listQueues(test.client, { limit }), RangeError, "limit");
    }
    await test.client.zRem("queue:registry", member);
  });
}
