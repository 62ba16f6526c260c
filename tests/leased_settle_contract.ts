/**
 * How a message leaves a hand: done, given back, by its lease; once, whoever says it and however often. A
 * part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { LeaseLostError, Worker } from "@workshop/redis-patterns";
import { commandsDuring, eventually } from "./support.ts";
import { type LeasedTest, MODES, pause, SCRIPTS, take } from "./leased_support.ts";

/** Runs this part. */
export function leasedSettleContract(name: string, test: LeasedTest): void {
  attempts(name, test);
  settling(name, test);
  givingBack(name, test);
  leases(name, test);
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
  test(`${name} has all messages of many hands back soon after they lapsed, also while all are busy`, async (test) => {
    const queue = test.queue<number>();
    for (let i = 0; i < 40; i++) {
      await queue.enqueue(i);
      assertEquals((await queue.receiveMany(1_000)).length, 1); // each as large as a hand may be, for the sweep
    }
    await test.lapse();
    const stop = new AbortController();
    const busy = new Worker(queue, (_, { signal }) => {
      return new Promise((resolve) => signal.addEventListener("abort", resolve));
    }, { graceMs: 0 });
    const ended = busy.run({ signal: stop.signal });
    await eventually(async () => {
      const { ready, leased } = await queue.counts();
      assertEquals([ready, leased], [39, 1]);
    }, 4_000);
    stop.abort();
    await ended;
  });

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
    const lost = proxy.dropReplies(1, { after: SCRIPTS });
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
    const lost = proxy.dropReplies(1, { after: SCRIPTS });
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

  test(`${name}.delivery acknowledges once what is acknowledged twice in a turn`, async (test) => {
    const queue = test.queue<number>({ keepCompleted: { count: 10 } });
    await queue.enqueueMany([1, 2], { dedupe: true });
    for (const { token } of await queue.receiveMany(2)) {
      const settlement = queue.delivery(token);
      await Promise.all([settlement.ack(), settlement.ack()]);
      await settlement.ack();
    }
    await test.lapse();
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { completed: 2 });
    if (await test.redis.exists(test.key("ready")) === 1) { // a stream, whose group must not keep them on record
      const summary = await test.redis.xPending(test.key("ready"), "workers").catch(() =>
        undefined
      );
      assertEquals(summary?.pending ?? 0, 0);
    }
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

  test(`${name} gives back whatever the error is, also one that cannot be looked at`, async (test) => {
    const hostile = (get: () => unknown, name: string) =>
      Object.defineProperty(new Error("no"), name, { get });
    const throwing = () => {
      throw new Error("do not look");
    };
    const errors = [
      hostile(() => 17, "stack"),
      hostile(throwing, "stack"),
      hostile(() => [{}], "stack"),
      hostile(throwing, "message"),
      new Proxy({}, { getPrototypeOf: throwing, get: throwing }),
      Symbol("no"),
      10n,
    ];
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueueMany(errors.map((_, i) => i));
    for (const error of errors) {
      assertEquals(await (await take(queue)).nack({ error }), "dead");
    }
    await queue.enqueue(0);
    await (await take(queue)).deadLetter("no", { error: errors[1] });
    const { messages } = await queue.peek("dead");
    assertEquals(messages.map(({ errors }) => errors.length), messages.map(() => 1));
    assertEquals(messages[0]!.errors[0]!.message, "Error: no");
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
