/**
 * What every queue with leases promises to those who look inside and put things right: counts, peek,
 * find, cancel and redrive. A part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import { assert, assertEquals, assertGreaterOrEqual, assertLess, assertRejects } from "@std/assert";
import {
  type PeekState,
  type RedriveOptions,
  type Waiting,
  Worker,
} from "@workshop/redis-patterns";
import {
  type ContractQueue,
  drain,
  type LeasedFixture,
  type LeasedTest,
  MODES,
  payloads,
  take,
} from "./leased_support.ts";
import { commandsDuring, eventually } from "./support.ts";

const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/** Runs this part of the suite. */
export function leasedInspectionContract(name: string, test: LeasedTest): void {
  counting(name, test);
  glancing(name, test);
  peeking(name, test);
  finding(name, test);
  cancelling(name, test);
  redriving(name, test);
}

/** Enqueues as seven seconds ago. */
async function sevenSecondsAgo<R>(run: () => Promise<R>): Promise<R> {
  const now = Date.now;
  Date.now = () => now() - 7_000;
  try {
    return await run();
  } finally {
    Date.now = now;
  }
}

/** All of a state, page by page. */
async function all<T>(
  queue: ContractQueue<T>,
  state: PeekState,
  limit: number,
): Promise<Waiting<T>[]> {
  const found: Waiting<T>[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.peek(state, { limit, cursor });
    assert(page.messages.length <= limit);
    found.push(...page.messages);
    cursor = page.cursor;
  } while (cursor);
  return found;
}

/** Puts one message into each state; gives their ids by state. "lapsed" is ready as well. */
async function oneInEach(
  test: LeasedFixture,
  queue: ContractQueue<string>,
  own: boolean,
): Promise<Record<"dead" | "lapsed" | "leased" | "delayed" | "ready", string>> {
  const put = async (state: string, delayMs?: number) => {
    const options = { delayMs, dedupe: { key: `key of ${state}` } };
    return (await queue.enqueue(state, own ? { ...options, id: `my ${state}` } : options)).id;
  };
  const dead = await put("dead");
  await (await take(queue)).deadLetter("no");
  const lapsed = await put("lapsed");
  await take(queue);
  await test.lapse();
  await queue.pause();
  assertEquals(await queue.receive(), undefined); // sweeps
  await queue.resume();
  const apart = await test.redis.lPop(test.key("lapsed"));
  const leased = await put("leased");
  await take(queue);
  await test.redis.lPush(test.key("lapsed"), apart!);
  return { dead, lapsed, leased, delayed: await put("delayed", 60_000), ready: await put("ready") };
}

function counting(name: string, test: LeasedTest): void {
  test(`${name}.counts tells the age from when a message could be claimed`, async (test) => {
    const queue = test.queue<number>();
    const age = async () => (await queue.counts()).oldestReadyMs!;
    await sevenSecondsAgo(() => queue.enqueue(1));
    assertGreaterOrEqual(await age(), 6_900);
    const delivery = await take(queue);
    assertEquals((await queue.counts()).oldestReadyMs, undefined, "nothing is ready");
    await delivery.nack({ delayMs: 0 });
    assertLess(await age(), 1_000, "came back");
    await take(queue);
    await test.lapse();
    await queue.pause();
    await queue.receive(); // sweeps
    await queue.resume();
    assertLess(await age(), 1_000, "lapsed");
    await (await take(queue)).deadLetter("no");
    await queue.redrive();
    assertLess(await age(), 1_000, "redriven");
    await drain(queue);
    await sevenSecondsAgo(() => queue.enqueue(2, { delayMs: 7_000 }));
    await test.makeDue();
    await queue.pause();
    await queue.receive(); // promotes
    const { oldestReadyMs, ...counts } = await queue.counts();
    assertEquals(counts, { ...NONE, ready: 1, paused: true });
    assertLess(oldestReadyMs!, 1_000, "was delayed");
  });
}

function glancing(name: string, test: LeasedTest): void {
  test(`${name}.snapshot tells what counts, stats and consumers tell, and how old it is`, async (test) => {
    const queue = test.queue<string>();
    const empty = await queue.snapshot();
    assertEquals([empty.name, empty.counts, empty.consumers], [test.name, NONE, []]);
    assertEquals([empty.nextDueInMs, empty.oldestDeadMs], [undefined, undefined]);
    assertLess(Math.abs(empty.at - Date.now()), 10_000);

    const released = Promise.withResolvers<void>();
    await using worker = new Worker(queue, () => released.promise, { concurrency: 1 });
    await queue.enqueueMany(["dead", "leased"]);
    await (await take(queue)).deadLetter("no");
    worker.start();
    await eventually(async () => assertEquals((await queue.counts()).leased, 1));
    await queue.enqueue("ready");
    await queue.enqueue("delayed", { delayMs: 60_000 });
    await queue.enqueue("later", { delayMs: 120_000 });
    await test.redis.zAdd(test.key("dead:at"), {
      score: Date.now() - 5_000,
      value: (await queue.peek("dead")).messages[0]!.id,
    });
    const before = await test.dump();
    const { counts, stats, consumers, ...rest } = await queue.snapshot({ windowMs: 60_000 });
    assertEquals(await test.dump(), before);
    const { oldestReadyMs, ...states } = counts;
    assertEquals(states, { ready: 1, leased: 1, delayed: 2, dead: 1 });
    assertLess(oldestReadyMs!, 5_000);
    assertEquals([stats.totals.enqueued, stats.totals.dead], [5, 1]);
    assertEquals(consumers.map(({ mode }) => mode), ["blocking"]);
    assert(rest.nextDueInMs! > 50_000 && rest.nextDueInMs! <= 60_000, String(rest.nextDueInMs));
    assert(rest.oldestDeadMs! > 4_000 && rest.oldestDeadMs! < 15_000, String(rest.oldestDeadMs));
    released.resolve();
  });

  test(`${name}.snapshot says that what is due is late where nobody claims`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("late", { delayMs: 60_000 });
    await test.makeDue();
    assertLess((await queue.snapshot()).nextDueInMs!, 1);
    await assertRejects(() => queue.snapshot({ windowMs: 1 }), RangeError, "windowMs");
    const misspelt = { windowsMs: 60_000 } as { windowMs?: number };
    await assertRejects(() => queue.snapshot(misspelt), TypeError, "windowsMs");
  });

  test(`${name}.snapshot costs the same however much there is: four scripts`, async (test) => {
    const queue = test.queue<number>();
    await queue.snapshot(); // Redis has the scripts
    const asked = () => commandsDuring(test.url, async () => void await queue.snapshot());
    const empty = await asked();
    await queue.enqueueMany(numbers(3_000));
    await queue.enqueueMany(numbers(3_000), { delayMs: 60_000 });
    assertEquals([empty, await asked()], [Array(4).fill("EVALSHA"), Array(4).fill("EVALSHA")]);
  });
}

function peeking(name: string, test: LeasedTest): void {
  test(`${name}.peek tells since when a message could be claimed, also of one in hand`, async (test) => {
    const queue = test.queue<string>();
    const since = async (state: PeekState) => (await queue.peek(state)).messages[0]!.readyAt;
    await sevenSecondsAgo(() => queue.enqueue("a"));
    const readyAt = await since("ready");
    assertLess(Math.abs(Date.now() - 7_000 - readyAt), 1_000);
    const delivery = await take(queue);
    assertEquals(await since("leased"), readyAt);
    await delivery.nack({ delayMs: 0 });
    assertLess(Math.abs(Date.now() - await since("ready")), 1_000, "came back");
    await drain(queue);
    const { id } = await queue.enqueue("b", { delayMs: 60_000 });
    const [delayed] = (await queue.peek("delayed")).messages;
    assertEquals([delayed!.id, delayed!.readyAt], [id, delayed!.enqueuedAt + 60_000]);
  });

  test(`${name}.peek leaves payloads in Redis when it is told to, and says how large they are`, async (test) => {
    const kept = { keepCompleted: { count: 10 }, keepFailed: { count: 10 }, maxAttempts: 9 };
    const queue = test.queue<string>(kept);
    const large = "secret".repeat(20_000);
    for (const payload of [large, "secret\nof two lines", ""]) {
      await queue.enqueue(payload);
      await (await take(queue)).ack();
      await queue.enqueue(payload);
      const error = new Error("an error stays");
      await (await take(queue)).nack({ delayMs: 0, error });
      await (await take(queue)).deadLetter("no\nsuch address");
      await queue.enqueue(payload, { id: `my ${payload.length}` });
      await take(queue);
      await queue.enqueue(payload, { delayMs: 60_000, dedupe: { key: "some key" } });
    }
    await test.redis.lPush(test.key("completed"), "somebody else's");
    await queue.pause();
    for (const payload of [large, "secret", ""]) await queue.enqueue(payload);
    const before = await test.dump();
    for (const state of ["ready", "leased", "delayed", "dead", "completed", "failed"] as const) {
      const whole = (await queue.peek(state)).messages;
      const { messages } = await queue.peek(state, { payloads: false });
      assertGreaterOrEqual(messages.length, state === "delayed" ? 1 : 3, state);
      const known = whole.map(({ payload: _, raw, ...rest }) => ({ ...rest, bytes: raw.length }));
      assertEquals(messages.map(({ raw: _, ...rest }) => rest), known, state);
      for (const message of messages) {
        assert(!("payload" in message), state);
        assertEquals(message.raw.length, 0, state);
      }
    }
    assertEquals(await test.dump(), before);
    assertEquals((await queue.peek("dead", { payloads: false })).messages[0]!.errors.length, 1);
    const not = { payloads: "no" } as unknown as { payloads: boolean };
    await assertRejects(() => queue.peek("dead", not), TypeError, "payloads");
  });

  test(`${name}.peek without payloads is no more for Redis to send than their headers`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueueMany(Array.from({ length: 20 }, () => "x".repeat(100_000)));
    const sent = async () => {
      const info = await test.redis.info("stats");
      return Number(/total_net_output_bytes:(\d+)/.exec(info)![1]);
    };
    const first = await sent();
    const { messages } = await queue.peek("ready", { payloads: false });
    const cost = await sent() - first;
    assertEquals(messages.map(({ bytes }) => bytes), Array(20).fill(100_002));
    assertLess(cost, 100_000); // with payloads, 2,000,000
  });

  test(`${name}.peek shows who has what is leased, until when, and how to settle it`, async (test) => {
    const [queue, other] = [test.queue<string>({ leaseMs: 60_000 }), test.queue<string>()];
    await queue.enqueue("a", { id: "mine" });
    await queue.enqueueMany(["b", "c"]);
    const deliveries = await queue.receiveMany(3);
    const before = await test.dump();
    const messages = await all(other, "leased", 10);
    assertEquals(await test.dump(), before);
    const inOrder = messages.toSorted((a, b) => a.payload! < b.payload! ? -1 : 1);
    assertEquals(
      inOrder.map(({ id, payload, attempts, consumer, leaseExpiresAt }) => {
        return { id, payload, attempts, consumer, leaseExpiresAt };
      }),
      deliveries.map(({ id, payload, token, leaseExpiresAt }) => {
        return { id, payload, attempts: 0, consumer: token.split(":")[0], leaseExpiresAt };
      }),
    );
    const [a, b, c] = inOrder.map(({ token }) => other.delivery(token!));
    await a!.ack();
    assertEquals(await b!.nack({ delayMs: 0, error: "stuck" }), "ready");
    await c!.deadLetter("stuck");
    const { oldestReadyMs: _, ...counts } = await queue.counts();
    assertEquals(counts, { ...NONE, ready: 1, dead: 1 });
    assertEquals((await queue.enqueue("a", { id: "mine" })).duplicate, false);
    assertEquals((await take(queue)).errors[0]?.attempt, 1);
  });

  for (const [size, count] of [["small", 7], ["large", 180]] as const) {
    test(`${name}.peek goes through a ${size} hand one by one`, async (test) => {
      const queue = test.queue<string>();
      const wide = size === "large" ? 100 : 1; // Redis packs what is small
      await queue.enqueueMany(numbers(count).map((n) => String(n).padStart(wide, "0")));
      await queue.receiveMany(count);
      const encoding = await test.redis.sendCommand(["OBJECT", "ENCODING", test.key("leased")]);
      assertEquals(String(encoding) === "hashtable", size === "large", String(encoding));
      for (const limit of [1, 3, 1_000]) {
        const seen = payloads(await all(queue, "leased", limit)).map(Number);
        assertEquals(seen.toSorted((a, b) => a - b), numbers(count), `limit ${limit}`);
      }
    });
  }

  test(`${name}.peek passes marks over and shows foreign entries`, async (test) => {
    const queue = test.queue<number>();
    const stored = await queue.enqueueMany([1, 2, 3, 4]);
    await queue.receiveMany(2);
    for (const i of [0, 2]) await queue.cancel(stored[i]!.id);
    await test.redis.hSet(test.key("leased"), "somebody's", "garbage");
    const leased = await all(queue, "leased", 1);
    assertEquals(leased.map(({ id }) => id).toSorted(), ["", stored[1]!.id]);
    assertEquals(payloads(await all(queue, "ready", 1)), [4]);
  });

  test(`${name}.peek refuses a cursor that it did not give`, async (test) => {
    const queue = test.queue<number>();
    for (const state of ["ready", "leased", "dead", "completed"] as const) {
      for (const cursor of ["", "-1", "a", "1.x", "1e3", ".5", 1 as unknown as string]) {
        await assertRejects(() => queue.peek(state, { cursor }), RangeError, String(cursor));
      }
      for (const limit of [0, 1_001, 1.5, NaN]) {
        await assertRejects(() => queue.peek(state, { limit }), RangeError, String(limit));
      }
    }
    await assertRejects(() => queue.peek("ready", { cursor: "1.5" }), RangeError, "1.5");
  });
}

function finding(name: string, test: LeasedTest): void {
  for (const own of [true, false]) {
    const whose = own ? "its producer's id" : "the id that it was given";
    test(`${name}.find finds a message in every state by ${whose}`, async (test) => {
      const queue = test.queue<string>();
      const ids = await oneInEach(test, queue, own);
      await test.intrude("garbage", `${ids.ready}`, `${ids.ready}\n`, "\n\n");
      await test.redis.hSet(test.key("leased"), "somebody's", `${ids.ready} 0 0\nx`);
      const before = await test.dump();
      for (const [place, id] of Object.entries(ids)) {
        const found = await queue.find(id);
        const state = place === "lapsed" ? "ready" : place;
        assertEquals([found?.id, found?.state, found?.payload], [id, state, place]);
        assertEquals(found?.attempts, place === "dead" || place === "lapsed" ? 1 : 0);
        assertEquals(found?.reason, place === "dead" ? "no" : undefined);
        assertEquals(found?.dueAt !== undefined, place === "delayed");
        assertEquals(found?.token !== undefined, place === "leased");
      }
      for (const id of ["nobody", ids.ready.slice(0, -1), `${ids.ready}0`, "0", " ", "garbage"]) {
        assertEquals(await queue.find(id), undefined, id);
      }
      assertEquals(await test.dump(), before);
      await queue.delivery((await queue.find(ids.leased))!.token!).ack();
      assertEquals(await queue.find(ids.leased), undefined, "acknowledged");
    });
  }

  test(`${name}.find looks only where it is told to`, async (test) => {
    const queue = test.queue<string>();
    const ids = await oneInEach(test, queue, false);
    const STATES = ["ready", "leased", "delayed", "dead"] as const;
    for (const [place, id] of Object.entries(ids)) {
      const state = place === "lapsed" ? "ready" : place;
      for (const only of STATES) {
        const found = await queue.find(id, { states: [only] });
        assertEquals(found?.state, only === state ? state : undefined, `${place} in ${only}`);
      }
    }
    const dead = await commandsDuring(test.url, async () => {
      await queue.find("nobody", { states: ["dead"] });
    });
    assertEquals(dead, ["HGET", "ZSCORE"], "no search");
    for (const states of ["dead", ["completed"]] as never[]) {
      await assertRejects(() => queue.find(ids.dead, { states }), TypeError);
    }
  });

  test(`${name}.find finds both ends of a long queue, and large messages`, async (test) => {
    const queue = test.queue<string>();
    const ends = [];
    for (const delayMs of [undefined, 60_000]) {
      const stored = await queue.enqueueMany(numbers(4_000).map(String), { delayMs });
      ends.push(stored[0]!.id, stored[1_999]!.id, stored.at(-1)!.id);
    }
    const large = await queue.enqueueMany(numbers(5).map((n) => `${n}`.repeat(300_000)));
    for (const id of ends) assertEquals((await queue.find(id))?.id, id);
    for (const [i, { id }] of large.entries()) {
      assertEquals((await queue.find(id))?.payload?.slice(0, 2), `${i}${i}`);
    }
    await queue.receiveMany(1_000);
    assertEquals((await queue.find(ends[0]!))?.state, "leased");
  });

  test(`${name}.find and cancel refuse what can be no id`, async (test) => {
    const queue = test.queue<string>();
    for (const id of ["", "x".repeat(201), "a\nb", 17 as unknown as string, null as never]) {
      await assertRejects(() => queue.find(id), TypeError, "message id");
      await assertRejects(() => queue.cancel(id), TypeError, "message id");
    }
  });
}

function cancelling(name: string, test: LeasedTest): void {
  const keepsMarks = name === "ReliableQueue"; // a list is not searched twice

  for (const own of [true, false]) {
    const whose = own ? "its producer's id" : "the id that it was given";
    test(`${name}.cancel takes a message out of every state by ${whose}`, async (test) => {
      const queue = test.queue<string>();
      const ids = await oneInEach(test, queue, own);
      for (const [place, id] of Object.entries(ids)) {
        const state = place === "lapsed" ? "ready" : place;
        assertEquals(await queue.cancel(id), state);
        assertEquals(await queue.find(id), undefined, place);
        assertEquals(await queue.cancel(id), undefined, `${place}, twice`);
        assertEquals(await test.redis.hExists(test.key("ids"), id), 0, place);
        assertEquals(await test.redis.hExists(test.key("dedupe"), `key of ${place}`), 0, place);
      }
      assertEquals((await queue.stats()).totals.cancelled, 5);
      await test.lapse();
      assertEquals(await queue.receive(), undefined, "nothing is left to be handed out");
      assertEquals(await queue.receive(), undefined);
      assertEquals(await queue.counts(), NONE);
      const { leases: _, ...sizes } = await test.sizes();
      assertEquals(sizes, {});
    });
  }

  for (const mode of MODES) {
    test(`${name}.cancel leaves nothing that a consumer would hand out (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const stored = await queue.enqueueMany([1, 2, 3, 4]);
      for (const i of [0, 1, 3]) assertEquals(await queue.cancel(stored[i]!.id), "ready");
      assertEquals((await test.sizes())["ready"], keepsMarks ? 4 : 1);
      assertEquals((await queue.counts()).ready, keepsMarks ? 4 : 1);
      assertEquals(payloads((await queue.peek("ready")).messages), [3]);
      const delivery = await take(queue, mode);
      assertEquals([delivery.payload, delivery.attempt], [3, 1]);
      await delivery.ack();
      assertEquals(await queue.receive({ waitMs: mode === "blocking" ? 50 : 0 }), undefined);
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), {});
      assertEquals((await queue.stats()).totals.acked, 1);
    });

    test(`${name}.cancel does not stop a worker's other work (${mode})`, async (test) => {
      const queue = test.queue<number>({ backoff: { baseMs: 0 } });
      const stored = await queue.enqueueMany(numbers(60));
      for (const { id } of stored.slice(0, 50)) await queue.cancel(id);
      const seen: number[] = [];
      const events: string[] = [];
      const cancelled = Promise.withResolvers<void>();
      await using worker = new Worker(queue, async (n) => {
        seen.push(n);
        if (n !== 55) return;
        assertEquals(await queue.cancel(stored[55]!.id), "leased");
        cancelled.resolve();
        throw new Error("no");
      }, {
        mode,
        pollMs: 5,
        onEvent: (event) => {
          if (event.type === "failed") events.push(event.to);
        },
      });
      worker.start();
      await cancelled.promise;
      await eventually(async () => assertEquals(await queue.counts(), NONE));
      assertEquals([seen, events], [numbers(10, 50), ["cancelled"]]);
    });
  }

  test(`${name}.cancel of what is in hand leaves its consumer in peace`, async (test) => {
    const queue = test.queue<string>();
    const ids = ["acked", "nacked", "buried", "lapsed", "by token"];
    for (const id of ids) await queue.enqueue(id, { id, dedupe: { key: id } });
    const [acked, nacked, buried, , token] = await queue.receiveMany(5);
    for (const id of ids) assertEquals(await queue.cancel(id), "leased");
    assertEquals(await test.sizes(), { leased: 5, leases: 1 }, "ids and keys are free at once");
    const again = await queue.enqueue("again", { id: "acked", dedupe: { key: "acked" } });
    assertEquals(again.duplicate, false);
    await acked!.ack();
    assertEquals(await nacked!.nack({ delayMs: 0 }), "cancelled");
    await buried!.deadLetter("no");
    await queue.delivery(token!.token).ack();
    assertEquals(await queue.enqueue("2", { id: "acked" }), { id: "acked", duplicate: true });
    assertEquals((await queue.counts()).leased, 1);
    await test.lapse();
    assertEquals(await drain(queue), ["again"]);
    assertEquals(await queue.counts(), NONE);
    assertEquals(await test.sizes(), {});
    const { cancelled, lapsed, dead, failed } = (await queue.stats()).totals;
    assertEquals([cancelled, lapsed, dead, failed], [5, 0, 0, 0]);
  });

  test(`${name}.cancel of an id that is not there changes nothing`, async (test) => {
    const queue = test.queue<string>();
    const ids = await oneInEach(test, queue, true);
    await test.intrude("nobody 0 0\nx");
    const before = await test.dump();
    for (const id of ["nobody", "my", ids.dead.slice(1), "key of ready"]) {
      assertEquals(await queue.cancel(id), undefined, id);
    }
    assertEquals(await test.dump(), before);
  });

  test(`${name}.purge counts no message that was cancelled`, async (test) => {
    const queue = test.queue<number>();
    const stored = await queue.enqueueMany([1, 2, 3]);
    await queue.cancel(stored[1]!.id);
    assertEquals(await queue.purge("ready"), 2);
    assertEquals(await test.sizes(), {});
  });
}

function redriving(name: string, test: LeasedTest): void {
  /** Dead letters with the payloads 0 to `count` - 1, in this order. */
  const bury = async (test: LeasedFixture, queue: ContractQueue<number>, count: number) => {
    const stored = await queue.enqueueMany(numbers(count));
    while ((await queue.counts()).ready > 0) {
      const deliveries = await queue.receiveMany(1_000);
      await Promise.all(
        deliveries.map((delivery) => delivery.deadLetter(`no ${delivery.payload}`)),
      );
    }
    const ages = stored.map(({ id }, i) => ({ score: Date.now() - 60_000 + i, value: id }));
    await test.redis.zAdd(test.key("dead:at"), ages);
    return stored.map(({ id }) => id);
  };
  const state = async (queue: ContractQueue<number>) => {
    const { ready, dead } = await queue.counts();
    return [ready, dead];
  };

  test(`${name}.redrive and purge tell how far they are, and end with their signal`, async (test) => {
    const queue = test.queue<number>();
    await bury(test, queue, 2_500);
    const told: number[] = [];
    const onProgress = (count: number) => void told.push(count);
    assertEquals(await queue.redrive({ match: () => true, limit: 150, onProgress }), 150);
    assertEquals([told.at(-1), told.length > 1], [150, true], told.join(" "));
    told.length = 0;
    assertEquals(await queue.redrive({ onProgress }), 2_350);
    assertEquals([told.at(-1), told.length > 1], [2_350, true], told.join(" "));
    assertEquals(told.toSorted((a, b) => a - b), told);
    told.length = 0;
    const stop = new AbortController();
    const purged = await queue.purge("ready", {
      signal: stop.signal,
      onProgress: (count) => (told.push(count), stop.abort()),
    });
    assertEquals([told, await state(queue)], [[purged], [2_500 - purged, 0]]);
    assertLess(purged, 2_500);
    await assertRejects(() => queue.redrive({ onProgress: "no" as never }), TypeError, '"no"');
    await assertRejects(
      () => queue.purge("dead", { onProgress: 1 as never }),
      TypeError,
      "number 1",
    );
    await queue.purge("ready");
    await bury(test, queue, 300);
    let asked = 0;
    const nobody = () => (++asked === 150 && stopScan.abort(), false);
    const stopScan = new AbortController();
    assertEquals(await queue.redrive({ match: nobody, signal: stopScan.signal }), 0);
    assertEquals(asked, 200, "no page after the one in which it was ended");
  });

  test(`${name}.redrive takes ids, or those that match, up to a limit`, async (test) => {
    const queue = test.queue<number>();
    const ids = await bury(test, queue, 12);
    const before = await test.dump();
    const even = (message: Waiting<number>) => message.payload! % 2 === 0;
    const counts: [RedriveOptions<number>, number][] = [
      [{}, 12],
      [{ limit: 5 }, 5],
      [{ limit: 50 }, 12],
      [{ ids: ids.slice(0, 3) }, 3],
      [{ ids: [ids[0]!, ids[0]!, "nobody"] }, 1],
      [{ ids: ids.slice(0, 3), limit: 2 }, 2],
      [{ ids: [] }, 0],
      [{ match: even }, 6],
      [{ match: even, limit: 4 }, 4],
      [{ match: () => false }, 0],
    ];
    for (const [options, count] of counts) {
      const what = JSON.stringify(options);
      assertEquals(await queue.redrive({ ...options, dryRun: true }), count, `dry: ${what}`);
      assertEquals(await test.dump(), before, what);
    }
    assertEquals(await queue.redrive({ ids: [ids[7]!, ids[7]!, "nobody"] }), 1);
    assertEquals(await queue.redrive({ match: even, limit: 4 }), 4);
    assertEquals(await queue.redrive({ match: even }), 2);
    assertEquals(await queue.redrive({ match: ({ reason }) => reason === "no 9" }), 1);
    assertEquals(await state(queue), [8, 4]);
    assertEquals(await drain(queue), [7, 0, 2, 4, 6, 8, 10, 9]);
    assertEquals(await queue.redrive({ limit: 3 }), 3);
    assertEquals(await drain(queue), [1, 3, 5]);
    assertEquals([await queue.redrive(), await queue.redrive()], [1, 0]);
    assertEquals(await drain(queue), [11]);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.redrive looks at all letters when it passes some over`, async (test) => {
    const queue = test.queue<number>();
    await bury(test, queue, 2_500);
    const third = ({ payload }: Waiting<number>) => payload! % 3 === 0;
    assertEquals(await queue.redrive({ match: third, dryRun: true }), 834);
    assertEquals(await queue.redrive({ match: third, limit: 500 }), 500);
    assertEquals(await queue.redrive({ match: third }), 334);
    assertEquals(await drain(queue), numbers(834).map((i) => 3 * i));
    assertEquals(await state(queue), [0, 1_666]);
  });

  for (const match of [undefined, () => true]) {
    const what = match ? "those that match" : "all";
    test(`${name}.redrive of ${what} leaves those that die again meanwhile`, async (test) => {
      const queue = test.queue<number>({ maxAttempts: 1 });
      await bury(test, queue, 40);
      let runs = 0;
      await using worker = new Worker(queue, () => {
        runs++;
        throw new Error("no");
      }, { concurrency: 10 });
      worker.start();
      assertEquals(await queue.redrive({ match, perSecond: 100 }), 40);
      await eventually(async () => assertEquals(await state(queue), [0, 40]));
      assertEquals(runs, 40);
    });

    test(`${name}.redrive of ${what} keeps to perSecond, and ends with its signal`, async (test) => {
      const queue = test.queue<number>();
      await bury(test, queue, 60);
      const startedAt = performance.now();
      assertEquals(await queue.redrive({ match, perSecond: 40, limit: 20 }), 20);
      const took = performance.now() - startedAt;
      assert(took > 200 && took < 1_500, `${took} ms`);
      const stop = new AbortController();
      const redriving = queue.redrive({ match, perSecond: 8, signal: stop.signal });
      await eventually(async () => assertGreaterOrEqual((await queue.counts()).ready, 24));
      stop.abort();
      const redriven = await redriving;
      assert(redriven >= 4 && redriven < 20, String(redriven));
      assertEquals(await state(queue), [20 + redriven, 40 - redriven]);
      assertEquals(await queue.redrive({ match, signal: stop.signal }), 0);
      assertEquals(await state(queue), [20 + redriven, 40 - redriven]);
    });
  }

  test(`${name}.redrive refuses options that are bad or contradict each other`, async (test) => {
    const queue = test.queue<number>();
    const [id] = await bury(test, queue, 1);
    const bad: [object, typeof TypeError | typeof RangeError, string][] = [
      [{ ids: [id], match: () => true }, TypeError, "not both"],
      [{ match: "7" }, TypeError, '"7"'],
      [
        { match: () => "yes" },
        TypeError,
        'match must give true or false, but gave the string "yes"',
      ],
      [{ match: () => undefined }, TypeError, "but gave undefined"],
      [{ match: () => Promise.resolve(true), dryRun: true }, TypeError, "but gave a Promise"],
      [{ dryRun: "yes" }, TypeError, 'dryRun must be true or false, but is the string "yes"'],
      [{ dryRun: null }, TypeError, "but is null"],
      [{ ids: "abc" }, TypeError, 'ids must be an array of message ids, but is the string "abc"'],
      [{ ids: null }, TypeError, "but is null"],
      [{ ids: [""] }, TypeError, "message id"],
      [{ ids: [7] }, TypeError, "7"],
      [{ limit: 0 }, RangeError, "but is 0"],
      [{ limit: 1.5 }, RangeError, "1.5"],
      [{ limit: NaN }, RangeError, "NaN"],
      [{ perSecond: 0 }, RangeError, "but is 0"],
      [{ perSecond: -1 }, RangeError, "-1"],
      [{ perSecond: NaN }, RangeError, "NaN"],
      [{ perSecond: "5" }, RangeError, "5"],
    ];
    for (const [options, kind, says] of bad) {
      await assertRejects(() => queue.redrive(options as RedriveOptions<number>), kind, says);
    }
    assertEquals(await state(queue), [0, 1]);
  });
}
