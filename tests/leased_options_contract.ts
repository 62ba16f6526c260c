/**
 * What every queue with leases promises when it is asked for more: deduplication, and a pause.
 * A part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { type DedupeOptions, type LeasedQueueOptions, Worker } from "@workshop/redis-patterns";
import {
  type ContractQueue,
  drain,
  ENQUEUES,
  type LeasedFixture,
  type LeasedTest,
  MODES,
  pause,
  take,
  waitMs,
} from "./leased_support.ts";
import { commandsDuring, eventually } from "./support.ts";

const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };

/** Runs this part of the suite. */
export function leasedOptionsContract(name: string, test: LeasedTest): void {
  deduplicating(name, test);
  freeingKeys(name, test);
  pausing(name, test);
}

/** The keys that are taken, each with its holder. */
async function taken(test: LeasedFixture): Promise<Record<string, string>> {
  return { ...await test.redis.hGetAll(test.key("dedupe")) };
}

/** Ends all windows as time would. */
async function endWindows(test: LeasedFixture): Promise<void> {
  for (const key of await test.redis.zRange(test.key("dedupe:until"), 0, -1)) {
    await test.redis.zAdd(test.key("dedupe:until"), { score: 1, value: key });
  }
}

function deduplicating(name: string, test: LeasedTest): void {
  for (const mode of MODES) {
    test(`${name}.enqueue stores nothing while its key is taken, until the message is settled (${mode})`, async (test) => {
      const queue = test.queue<string>();
      const dedupe = { key: "order 17" };
      const { id, duplicate } = await queue.enqueue("a", { dedupe });
      assertEquals(duplicate, false);
      const again = () => queue.enqueue("b", { dedupe });
      assertEquals(await again(), { id, duplicate: true }, "ready");
      assertEquals(await taken(test), { "order 17": id });
      assertEquals(await test.sizes(), { ready: 1, dedupe: 1, wake: 1 });
      const first = await take(queue, mode);
      assertEquals([first.id, first.payload], [id, "a"]);
      assertEquals(await again(), { id, duplicate: true }, "leased");
      await first.nack({ delayMs: 60_000 });
      assertEquals(await again(), { id, duplicate: true }, "delayed");
      await test.makeDue();
      await take(queue, mode);
      await test.lapse();
      const second = await take(queue, mode);
      assertEquals([second.id, second.attempt], [id, 3]);
      assertEquals(await again(), { id, duplicate: true }, "after a lease lapsed");
      await second.ack();
      const other = await again();
      assertEquals([other.duplicate, other.id === id], [false, false]);
      assertEquals(await taken(test), { "order 17": other.id });
      await (await take(queue, mode)).ack();
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), {});
    });

    test(`${name}.enqueue keeps a key for ttlMs, whatever becomes of the message (${mode})`, async (test) => {
      const queue = test.queue<string>();
      const dedupe = { key: "k", ttlMs: 60_000 };
      const before = Date.now();
      const { id } = await queue.enqueue("a", { dedupe });
      const until = (await test.redis.zScore(test.key("dedupe:until"), "k"))!;
      assert(Math.abs(until - before - 60_000) < 2_000, String(until - before));
      assertEquals(await queue.enqueue("b", { dedupe }), { id, duplicate: true });
      await (await take(queue, mode)).ack();
      assertEquals(await queue.enqueue("c", { dedupe }), { id, duplicate: true }, "after the ack");
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), { dedupe: 1, "dedupe:until": 1 });
      await endWindows(test);
      const next = await queue.enqueue("d", { dedupe });
      assertEquals(next.duplicate, false, "after the window");
      await (await take(queue, mode)).deadLetter("no");
      assertEquals(await queue.enqueue("e", { dedupe }), { id: next.id, duplicate: true }, "dead");
      assertEquals((await queue.counts()).dead, 1);
    });
  }

  test(`${name}.enqueue gives the id that the first one's producer chose`, async (test) => {
    const queue = test.queue<string>();
    const dedupe = { key: "k" };
    await queue.enqueue("a", { id: "invoice 17", dedupe });
    const taken = { id: "invoice 17", duplicate: true };
    assertEquals(await queue.enqueue("b", { dedupe }), taken);
    assertEquals(await queue.enqueue("c", { id: "invoice 18", dedupe }), taken, "another id");
    assertEquals(await queue.enqueue("d", { id: "invoice 17", dedupe: { key: "l" } }), taken);
    assertEquals(await test.sizes(), { ready: 1, ids: 1, dedupe: 1, wake: 1 });
    assertEquals(await drain(queue), ["a"]);
    assertEquals(await queue.enqueue("e", { id: "invoice 18", dedupe }), {
      id: "invoice 18",
      duplicate: false,
    });
  });

  test(`${name}.enqueue compares contents with dedupe: true`, async (test) => {
    const queue = test.queue<{ to: string } | string>();
    const first = await queue.enqueue({ to: "ann" }, { dedupe: true });
    assertEquals(await queue.enqueue({ to: "ann" }, { dedupe: true }), {
      ...first,
      duplicate: true,
    });
    assertEquals((await queue.enqueue({ to: "bob" }, { dedupe: true })).duplicate, false);
    assertEquals((await queue.enqueue({ to: "ann" })).duplicate, false, "not asked for");
    assertEquals(await queue.enqueue({ to: "ann" }, { dedupe: {} }), { ...first, duplicate: true });
    // The same content as a key of one's own: that is another name.
    assertEquals((await queue.enqueue("x", { dedupe: { key: '{"to":"ann"}' } })).duplicate, false);
    assertEquals((await test.sizes())["dedupe"], 3);
  });

  test(`${name} with dedupe: true compares contents of all messages`, async (test) => {
    const queue = test.queue<number>({ dedupe: true });
    const { id } = await queue.enqueue(1);
    assertEquals(await queue.enqueue(1), { id, duplicate: true });
    assertEquals((await queue.enqueue(1, { dedupe: false })).duplicate, false, "switched off");
    assertEquals((await queue.enqueue(1, { dedupe: { key: "k" } })).duplicate, false, "its own");
    assertEquals((await queue.enqueue(2, { dedupe: { key: "k" } })).duplicate, true);
    assertEquals(Object.keys(await taken(test)).length, 2);
    assertEquals(await drain(queue), [1, 1, 1]);
    assertEquals(await taken(test), {});
  });

  test(`${name} with a key function asks it for each message`, async (test) => {
    const queue = test.queue<{ user: string; n: number }>({
      dedupe: { key: ({ user }) => `user ${user}`, ttlMs: 60_000 },
    });
    const results = await queue.enqueueMany([
      { user: "ann", n: 1 },
      { user: "bob", n: 2 },
      { user: "ann", n: 3 },
    ]);
    assertEquals(results.map(({ duplicate }) => duplicate), [false, false, true]);
    assertEquals(results[2]!.id, results[0]!.id);
    assertEquals(await taken(test), { "user ann": results[0]!.id, "user bob": results[1]!.id });
    assertEquals((await test.sizes())["dedupe:until"], 2);
    // A message may have another window, and its own key the queue's window.
    await queue.enqueue({ user: "eve", n: 4 }, { dedupe: { until: "settled" } });
    await queue.enqueue({ user: "eve", n: 5 }, { dedupe: { key: "own" } });
    assertEquals((await drain(queue)).map(({ n }) => n), [1, 2, 4, 5]);
    assertEquals(Object.keys(await taken(test)).toSorted(), ["own", "user ann", "user bob"]);
  });

  test(`${name}.enqueueMany takes dedupe for all its messages`, async (test) => {
    const queue = test.queue<number>();
    const sent = Array.from({ length: 2_500 }, (_, i) => i % 1_250);
    const results = await queue.enqueueMany(sent, { dedupe: true });
    const stored = results.filter(({ duplicate }) => !duplicate);
    assertEquals(stored.length, 1_250);
    assertEquals(results.slice(1_250).map(({ id }) => id), stored.map(({ id }) => id));
    assertEquals(await test.sizes(), { ready: 1_250, dedupe: 1_250, wake: 1 });
    assertEquals(await drain(queue), sent.slice(0, 1_250));
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue finds duplicates inside a turn, and keeps the order of all others`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(-1, { dedupe: true }); // Redis knows the script now
    await drain(queue);
    const results: { duplicate: boolean }[] = [];
    const commands = await commandsDuring(test.url, async () => {
      results.push(
        ...await Promise.all([
          queue.enqueue(0),
          queue.enqueue(1, { dedupe: { key: "a" } }),
          queue.enqueue(2),
          queue.enqueue(3, { dedupe: { key: "a" } }),
          queue.enqueue(4, { id: "x" }),
          queue.enqueue(5, { dedupe: { key: "b", ttlMs: 60_000 } }),
          queue.enqueue(6, { dedupe: { key: "b" } }),
          queue.enqueue(7),
          queue.enqueue(8, { dedupe: { key: "a" }, delayMs: 60_000 }),
          queue.enqueue(9, { dedupe: { key: "c" }, delayMs: 60_000 }),
        ]),
      );
    });
    assertEquals(commands, ["EVALSHA"]);
    const refused = results.flatMap(({ duplicate }, i) => duplicate ? [i] : []);
    assertEquals(refused, [3, 6, 8]);
    assertEquals(await test.sizes(), {
      ready: 6,
      delayed: 1,
      ids: 1,
      dedupe: 3,
      "dedupe:until": 1,
      wake: 1,
    });
    assertEquals(await drain(queue), [0, 1, 2, 4, 5, 7]);
  });

  test(`${name}.enqueue names the same duplicate again when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<string>({}, client), test.queue<string>()];
    const dedupe = { key: "k" };
    const first = await other.enqueue("first", { dedupe });
    const holder = await take(other);
    const lost = proxy.dropReplies(1, { after: ENQUEUES });
    const enqueued = Promise.all([
      queue.enqueue("second", { dedupe }),
      queue.enqueue("third", { dedupe: { key: "l" } }),
    ]);
    await lost;
    await holder.ack(); // before the enqueue is repeated: now nobody holds the key
    const [second, third] = await enqueued;
    assertEquals(second, { id: first.id, duplicate: true });
    assertEquals(third.duplicate, false, "what was stored is no duplicate of itself");
    assertEquals(await taken(test), { l: third.id });
    assertEquals(await drain(other), ["third"]);
  });

  test(`${name}.enqueue refuses bad dedupe options, naming the value`, async (test) => {
    const queue = test.queue<number>();
    const bad: [unknown, typeof TypeError | typeof RangeError, string][] = [
      ["yes", TypeError, '"yes"'],
      [null, TypeError, "null"],
      [1, TypeError, "1"],
      [{ key: "" }, TypeError, "dedupe key must not be empty"],
      [{ key: "x".repeat(201) }, TypeError, "201"],
      [{ key: "a\nb" }, TypeError, "control characters"],
      [{ key: "a\tb" }, TypeError, "control characters"],
      [{ key: 17 }, TypeError, "17"],
      [{ key: null }, TypeError, "null"],
      [{ key: () => "k" }, TypeError, "must be a string"],
      [{ key: "k", ttlMs: 0 }, RangeError, "but is 0"],
      [{ key: "k", ttlMs: NaN }, RangeError, "NaN"],
      [{ key: "k", ttlMs: -1 }, RangeError, "-1"],
      [{ key: "k", ttlMs: Infinity }, RangeError, "Infinity"],
      [{ key: "k", ttlMs: "5" }, RangeError, "5"],
      [{ key: "k", ttlMs: 5, until: "settled" }, TypeError, "not both"],
      [{ key: "k", until: "acked" }, TypeError, '"acked"'],
    ];
    for (const [dedupe, kind, says] of bad) {
      const options = { dedupe: dedupe as DedupeOptions };
      await assertRejects(() => queue.enqueue(1, options), kind, says);
      await assertRejects(() => queue.enqueueMany([1], options), kind, says);
    }
    const badForQueues: [unknown, typeof TypeError | typeof RangeError, string][] = [
      ["yes", TypeError, '"yes"'],
      [{ key: "k" }, TypeError, '"k"'],
      [{ ttlMs: 0 }, RangeError, "but is 0"],
      [{ ttlMs: NaN }, RangeError, "NaN"],
      [{ ttlMs: 5, until: "settled" }, TypeError, "not both"],
    ];
    for (const [dedupe, kind, says] of badForQueues) {
      const options = { dedupe } as LeasedQueueOptions<number>;
      assertThrows(() => test.queue(options), kind, says);
    }
    const numbered = test.queue<number>({ dedupe: { key: (n) => n as unknown as string } });
    await assertRejects(() => numbered.enqueue(17), TypeError, "17");
    const thrown = test.queue<number>({
      dedupe: {
        key: () => {
          throw new Error("no user");
        },
      },
    });
    await assertRejects(() => thrown.enqueue(1), Error, "no user");
    await assertRejects(() => thrown.enqueueMany([1]), Error, "no user");
    assertEquals(await test.sizes(), {});
  });
}

function freeingKeys(name: string, test: LeasedTest): void {
  type Way = (queue: ContractQueue<string>, id: string, test: LeasedFixture) => Promise<unknown>;
  // Whether the message was done, so that a window goes on.
  const ways: [string, boolean, Way][] = [
    ["an ack", true, async (queue) => (await take(queue)).ack()],
    ["a dead letter", true, async (queue) => (await take(queue)).deadLetter("no")],
    ["the last attempt", true, async (queue) => (await take(queue)).nack({ error: "no" })],
    ["the last lease that lapsed", true, async (queue, _, test) => {
      await take(queue);
      await test.lapse();
      assertEquals(await queue.receive(), undefined);
    }],
    ["a purge", false, (queue) => queue.purge("ready")],
    ["a purge of the delayed", false, async (queue) => {
      await (await take(queue)).nack({ delayMs: 60_000 });
      assertEquals(await queue.purge("delayed"), 1);
    }],
    ["cancelling it", false, (queue, id) => queue.cancel(id)],
    ["cancelling it in hand", false, async (queue, id) => {
      await take(queue);
      assertEquals(await queue.cancel(id), "leased");
    }],
    ["cancelling it among the dead", false, async (queue, id) => {
      await (await take(queue)).deadLetter("no");
      assertEquals(await queue.cancel(id), "dead");
    }],
    ["a purge of the dead", false, async (queue) => {
      await (await take(queue)).deadLetter("no");
      assertEquals(await queue.purge("dead"), 1);
    }],
    ["being dropped from the dead", false, async (queue) => {
      await (await take(queue)).deadLetter("no");
      await queue.enqueue("next");
      await (await take(queue)).deadLetter("no"); // maxDead is 1
      assertEquals((await queue.counts()).dead, 1);
    }],
  ];
  for (const [what, done, way] of ways) {
    test(`${name} frees the key of a message by ${what}`, async (test) => {
      const maxAttempts = what.includes("delayed") ? 2 : 1;
      const queue = test.queue<string>({ maxDead: 1, maxAttempts });
      const { id } = await queue.enqueue("a", { dedupe: { key: "k" } });
      assertEquals(await taken(test), { k: id });
      await way(queue, id, test);
      assertEquals(await taken(test), {});
      const windowed = await queue.enqueue("b", { dedupe: { key: "w", ttlMs: 60_000 } });
      assertEquals(windowed.duplicate, false);
      await way(queue, windowed.id, test);
      assertEquals(await taken(test), done ? { w: windowed.id } : {}, "a window");
      assertEquals(await test.redis.zCard(test.key("dedupe:until")), done ? 1 : 0);
    });
  }

  test(`${name} frees a key only by the message that holds it`, async (test) => {
    const queue = test.queue<string>();
    const dedupe = { key: "k" };
    const first = await queue.enqueue("first", { dedupe });
    await (await take(queue)).deadLetter("no");
    const second = await queue.enqueue("second", { id: "mine", dedupe });
    assertEquals(second, { id: "mine", duplicate: false });
    assertEquals(await queue.redrive({ ids: [first.id] }), 1);
    for (const delivery of await queue.receiveMany(2)) {
      if (delivery.id === first.id) await delivery.ack();
      else await delivery.nack({ delayMs: 0 });
    }
    assertEquals(await queue.enqueue("third", { dedupe }), { id: "mine", duplicate: true });
    assertEquals(await drain(queue), ["second"]);
    assertEquals(await taken(test), {});
  });

  test(`${name} leaves a key to whoever took it after the window`, async (test) => {
    const queue = test.queue<string>();
    await queue.enqueue("first", { dedupe: { key: "k", ttlMs: 60_000 } });
    const first = await take(queue);
    await endWindows(test);
    const second = await queue.enqueue("second", { dedupe: { key: "k" } });
    assertEquals(second.duplicate, false);
    await first.ack();
    assertEquals(await taken(test), { k: second.id });
    assertEquals(await test.redis.exists(test.key("dedupe:until")), 0, "until it is settled");
    await (await take(queue)).ack();
    assertEquals(await taken(test), {});
  });

  test(`${name}.delivery frees id and key when it acknowledges by token`, async (test) => {
    const [queue, other] = [test.queue<string>(), test.queue<string>({}, await test.connect())];
    const first = await queue.enqueue("a", { id: "mine", dedupe: { key: "k" } });
    const { token } = await take(queue);
    await other.delivery(token).nack({ delayMs: 0 });
    assertEquals(await queue.enqueue("b", { dedupe: { key: "k" } }), { ...first, duplicate: true });
    await other.delivery((await take(queue)).token).ack();
    assertEquals(await queue.receive(), undefined);
    assertEquals((await queue.enqueue("b", { id: "mine", dedupe: { key: "k" } })).duplicate, false);
  });

  test(`${name} forgets windows that are over, a hundred with each enqueue`, async (test) => {
    const queue = test.queue<number>();
    const old = Array.from({ length: 450 }, (_, i) => `old-${i}`);
    await test.redis.zAdd(test.key("dedupe:until"), old.map((value) => ({ score: 1, value })));
    await test.redis.hSet(test.key("dedupe"), Object.fromEntries(old.map((key) => [key, "uid"])));
    await queue.enqueue(1);
    assertEquals((await test.sizes())["dedupe"], 450, "who does not deduplicate does not pay");
    await queue.enqueue(2, { dedupe: { key: "k" } });
    assertEquals([(await test.sizes())["dedupe"], (await test.sizes())["dedupe:until"]], [
      351,
      350,
    ]);
    await queue.enqueue(3, { dedupe: { key: "l", ttlMs: 60_000 } });
    assertEquals([(await test.sizes())["dedupe"], (await test.sizes())["dedupe:until"]], [
      252,
      251,
    ]);
    await drain(queue);
    await queue.enqueue(4, { delayMs: 300 }); // not due before somebody waits for it
    assertEquals((await test.sizes())["dedupe"], 151);
    await (await take(queue, "blocking")).ack(); // whoever waits for it does the rest
    assertEquals(Object.keys(await taken(test)), ["l"]);
  });
}

function pausing(name: string, test: LeasedTest): void {
  for (const mode of MODES) {
    test(`${name}.pause refuses claims; all else goes on (${mode})`, async (test) => {
      const queue = test.queue<string>({ maxAttempts: 2 });
      await queue.enqueueMany(["acked", "nacked", "dead", "extended", "lapsed"]);
      const [acked, nacked, dead, extended] = await queue.receiveMany(4);
      await queue.enqueue("delayed", { delayMs: 60_000 });
      await queue.pause();
      const refuses = async (waitMs = 30) =>
        assertEquals(await queue.receive({ waitMs: mode === "blocking" ? waitMs : 0 }), undefined);
      await refuses();
      assertEquals((await queue.enqueue("enqueued")).duplicate, false);
      await acked!.ack();
      assertEquals(await nacked!.nack({ delayMs: 0 }), "ready");
      await dead!.deadLetter("no");
      await extended!.extend(120_000);
      await test.makeDue();
      await refuses();
      const { oldestReadyMs: _, ...counts } = await queue.counts();
      assertEquals(counts, { ready: 4, leased: 1, delayed: 0, dead: 1, paused: true });
      assertEquals(await queue.redrive(), 1);
      await test.lapse();
      await refuses();
      assertEquals(await test.sizes(), { ready: 5, lapsed: 1, control: 1 });
      await queue.resume();
      const seen = [];
      while (seen.length < 6) {
        const delivery = await take(queue, mode);
        seen.push(delivery.payload);
        await delivery.ack();
      }
      const all = ["dead", "delayed", "enqueued", "extended", "lapsed", "nacked"];
      assertEquals(seen.toSorted(), all);
      assertEquals(await queue.counts(), NONE);
      assertEquals(await queue.receive(), undefined);
      assertEquals(await test.sizes(), {});
    });

    test(`${name}.pause stops a worker, resume sets it to work (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const seen: number[] = [];
      await using worker = new Worker(queue, (n) => void seen.push(n), { mode, pollMs: 5 });
      worker.start();
      await queue.enqueue(1);
      await eventually(() => assertEquals(seen, [1]));
      await queue.pause();
      await queue.enqueueMany([2, 3]);
      await queue.enqueue(4, { delayMs: 10 });
      await eventually(async () => assertEquals((await queue.counts()).delayed, 0));
      assertEquals(seen, [1]);
      await queue.resume();
      await eventually(() => assertEquals(seen.toSorted(), [1, 2, 3, 4]), 500);
    });
  }

  test(`${name}.pause outlives the object, and holds for others`, async (test) => {
    const queue = test.queue<number>();
    await queue.pause();
    await queue.close();
    const other = test.queue<number>({}, await test.connect());
    await other.enqueue(1);
    assertEquals(await other.receive(), undefined);
    assertEquals((await other.counts()).paused, true);
    await other.resume();
    assertEquals("paused" in await other.counts(), false);
    assertEquals(await drain(other), [1]);
  });

  test(`${name}.pause and resume twice are the same as once`, async (test) => {
    const queue = test.queue<number>();
    await queue.resume();
    assertEquals(await test.sizes(), {});
    await queue.pause();
    const since = await test.redis.hGet(test.key("control"), "paused");
    assertLess(Math.abs(Number(since) - Date.now()), 2_000, "in redis-cli: since when");
    await pause(2);
    await queue.pause();
    assertEquals(await test.redis.hGet(test.key("control"), "paused"), since);
    await queue.resume();
    await queue.resume();
    assertEquals(await test.sizes(), {});
    await queue.enqueue(1);
    await queue.resume();
    assertEquals(await test.sizes(), { ready: 1, wake: 1 }, "one token");
  });

  for (const delayed of [false, true]) {
    const what = delayed ? "a message that got due meanwhile" : "what waits";
    test(`${name}.resume wakes a blocked consumer at once, for ${what}`, async (test) => {
      const queue = test.queue<number>();
      await queue.pause();
      const receiving = queue.receive({ waitMs: 4_000 });
      await test.blocked(1);
      await queue.enqueue(1, delayed ? { delayMs: 1 } : {});
      assertEquals(await test.redis.lLen(test.key("wake")), 0, "no token while it is paused");
      await pause(20);
      const resumedAt = performance.now();
      await queue.resume();
      assertEquals((await receiving)?.payload, 1);
      assertLess(performance.now() - resumedAt, 500);
    });
  }

  test(`${name}.pause takes the token away`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1);
    assertEquals(await test.sizes(), { ready: 1, wake: 1 });
    await queue.pause();
    assertEquals(await test.sizes(), { ready: 1, control: 1 });
    assertNotEquals(waitMs("blocking"), 0);
    assertEquals(await queue.receive({ waitMs: 30 }), undefined);
  });

  test(`${name}, paused, costs two commands a second for an idle worker, whatever is enqueued`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>({}, await test.connect())];
    await queue.pause();
    await other.enqueue(0); // is in the registry now
    await using worker = new Worker(queue, () => {});
    worker.start();
    await test.blocked(1);
    const commands = await commandsDuring(test.url, async () => {
      const over = pause(2_500);
      for (let i = 0; i < 50; i++) await other.enqueue(i);
      await over;
    });
    assertLess(commands.length - 50, 6, commands.join(" "));
    assertEquals((await queue.counts()).ready, 51);
  });
}
