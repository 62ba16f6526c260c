/**
 * How messages are handed out, and how whoever waits is woken: in time, once, and by a token. A part of the
 * contract; see `leased_contract.ts`.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { ConsumeEvent } from "@workshop/redis-patterns";
import { commandsDuring, eventually } from "./support.ts";
import {
  type ContractQueue,
  drain,
  type LeasedTest,
  MODES,
  pause,
  payloads,
  SCRIPTS,
  take,
  text,
  waitMs,
} from "./leased_support.ts";

/** Runs this part. */
export function leasedReceiveContract(name: string, test: LeasedTest): void {
  receiving(name, test);
  waking(name, test);
  tokens(name, test);
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
      const lost = proxy.dropReplies(1, { after: SCRIPTS });
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

    test(`${name}.receive knows which are left when a claim's reply is lost and others settle (${mode})`, async (test) => {
      const { proxy, client } = await test.faulty();
      const [queue, operator] = [
        test.queue<number>({ maxAttempts: 1 }, client),
        test.queue<number>(),
      ];
      await queue.enqueueMany([1, 2, 3, 4, 5]);
      await (await take(queue)).ack(); // Redis knows the scripts now
      const lost = proxy.dropReplies(1, { after: SCRIPTS });
      const received = queue.receiveMany(10, { waitMs: waitMs(mode) });
      await lost;
      proxy.refuse(true);
      const held = new Map<number, string>();
      for (const { payload, token } of (await operator.peek("leased")).messages) {
        held.set(payload!, token!);
      }
      assertEquals([...held.keys()].toSorted(), [2, 3, 4, 5]);
      await operator.delivery(held.get(2)!).ack();
      await operator.delivery(held.get(4)!).ack();
      proxy.refuse(false);
      const deliveries = await received;
      assertEquals(payloads(deliveries), [3, 5]);
      await deliveries[0]!.deadLetter("this one");
      await deliveries[1]!.ack();
      assertEquals(payloads((await operator.peek("dead")).messages), [3]);
      assertEquals(await operator.receive(), undefined);
      await queue.receive();
      assertEquals(await test.sizes(), { dead: 1, "dead:at": 1 });
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
    // Connected: on a cluster that takes its time.
    await other.enqueue("warm");
    await (await take(queue)).ack();
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
