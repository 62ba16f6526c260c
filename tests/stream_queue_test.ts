/**
 * What is special to a `StreamQueue`: other programs at the same stream and group, and what the group
 * knows of who holds what.
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
import { connect, type ConnectedClient, StreamQueue, Worker } from "@workshop/redis-patterns";
import { queueKeys } from "../redis/keys.ts";
import {
  drain,
  leasedTests,
  MODES,
  pause,
  payloads,
  take,
  text,
  waitMs,
} from "./leased_support.ts";
import { eventually, serverTest } from "./support.ts";

const GROUP = "workers";
const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

const test = leasedTests((client, name, options) => new StreamQueue(client, name, options));

/** How many entries wait, what is on record of the hands, and the consumers of the group. */
async function books(redis: ConnectedClient, key: string, group = GROUP) {
  const [entries, { pending }, consumers] = await Promise.all([
    redis.xLen(key),
    redis.xPending(key, group),
    redis.xInfoConsumers(key, group),
  ]);
  return { entries, pending, consumers: consumers.map(({ name }) => String(name)) };
}

/** Another program takes entries from the group, as tutorials do it. */
async function foreignRead(redis: ConnectedClient, key: string, count: number, consumer = "other") {
  const streams = [{ key, id: ">" }];
  const read = await redis.xReadGroup(GROUP, consumer, streams, { COUNT: count });
  const [{ messages }] = read as unknown as [{ messages: { id: string }[] }];
  return messages.map(({ id }) => id);
}

for (const mode of MODES) {
  test(`StreamQueue.receive is first in, first out (${mode})`, async (test) => {
    const queues = [test.queue<number>(), test.queue<number>({}, await test.connect())];
    for (let i = 0; i < 40; i++) await queues[i % 2]!.enqueue(i);
    await queues[0]!.enqueueMany([40, 41, 42]);
    const seen: number[] = [];
    for (let i = 0; i < 43; i++) {
      const delivery = await take(queues[i % 2]!, mode);
      seen.push(delivery.payload);
      await delivery.ack();
    }
    assertEquals(seen, numbers(43));
  });

  test(`StreamQueue delivers what was there before the group, and the stream (${mode})`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueueMany([1, 2]);
    assertEquals(await test.redis.xInfoGroups(test.key("ready")), []);
    assertEquals((await take(queue, mode)).payload, 1);
    assertEquals((await test.redis.xInfoGroups(test.key("ready"))).map(({ name }) => name), [
      GROUP,
    ]);
    assertEquals((await take(queue, mode)).payload, 2);
  });

  test(`StreamQueue buries what XADD adds with other fields, with its bytes (${mode})`, async (test) => {
    const queue = test.queue<string>();
    const key = test.key("ready");
    await test.redis.xAdd(key, "*", { field: "value" });
    await test.redis.xAdd(key, "*", { a: "1", m: "2" });
    await test.redis.sendCommand(["XADD", key, "*", "m", "x", "m", "y"]);
    await test.redis.xAdd(key, "*", { m: "no header" });
    assertEquals((await queue.counts()).ready, 4);
    assertEquals(
      (await queue.peek("ready")).messages.map(({ raw }) => text(raw))[0],
      "field\nvalue",
    );
    await queue.enqueue("fine");
    const delivery = await take(queue, mode);
    assertEquals(delivery.payload, "fine");
    await delivery.ack();
    const { messages } = await queue.peek("dead");
    assertEquals(
      messages.map(({ raw }) => text(raw)).toSorted(),
      ["a\n1\nm\n2", "field\nvalue", "m\nx\nm\ny", "no header"],
    );
    assertEquals((await books(test.redis, key)).pending, 0);
  });
}

test("StreamQueue hears of a foreign XADD while it waits", async (test) => {
  const queue = test.queue<string>();
  const entry = async () => {
    await queue.enqueue("x", { delayMs: 60_000 });
    const [message] = await test.redis.zRange(test.key("delayed"), 0, -1);
    await test.redis.zRem(test.key("delayed"), message!);
    return message!;
  };
  const message = await entry();
  await test.redis.unlink(test.key("wake"));
  const received = queue.receive({ waitMs: 4_000 });
  await test.blocked(1);
  await test.redis.xAdd(test.key("ready"), "*", { m: message });
  const startedAt = performance.now();
  assertEquals((await received)?.payload, "x");
  assert(performance.now() - startedAt < 1_500);
});

test("XPENDING tells who holds what, until it is settled", async (test) => {
  const queue = test.queue<number>({ maxAttempts: 2, backoff: { baseMs: 0 } });
  const key = test.key("ready");
  await queue.enqueueMany(numbers(6));
  const hand = await queue.receiveMany(6);
  const lease = hand[0]!.token.split(":").slice(0, 3).join(":"); // to the group it is a consumer
  const holds = async () =>
    (await test.redis.xPendingRange(key, GROUP, "-", "+", 10)).map(({ consumer }) => consumer);
  assertEquals(await holds(), numbers(6).map(() => lease));
  assertEquals(await test.redis.xLen(key), 0, "what is in a hand has left the stream");
  await hand[0]!.ack();
  await queue.delivery(hand[1]!.token).ack();
  await hand[2]!.deadLetter("no");
  assertEquals(await hand[3]!.nack({ delayMs: 0 }), "ready");
  assertEquals(await queue.cancel(hand[4]!.id), "leased");
  assertEquals((await holds()).length, 2, "also a mark is in a hand");
  await hand[4]!.ack();
  await test.lapse();
  assertEquals(payloads(await queue.receiveMany(5)).toSorted(), [3, 5]);
  assertEquals((await holds()).length, 2, "what had lapsed is on record as well");
  await test.lapse();
  await queue.receive();
  assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: [] });
});

test("XINFO CONSUMERS forgets a hand that ends as a whole at once, and no other", async (test) => {
  const queue = test.queue<number>();
  const key = test.key("ready");
  await queue.enqueueMany(numbers(9));
  const [whole, part, kept] = [
    await queue.receiveMany(3),
    await queue.receiveMany(3),
    await queue.receiveMany(3),
  ];
  const leaseOf = ([delivery]: typeof whole) => delivery!.token.split(":").slice(0, 3).join(":");
  await Promise.all(whole.map((delivery) => delivery.ack()));
  await part[2]!.ack();
  assertEquals(await books(test.redis, key), {
    entries: 0,
    pending: 5,
    consumers: [leaseOf(part), leaseOf(kept)].sort(),
  });
  await Promise.all([part[0]!, part[1]!, ...kept].map((delivery) => delivery.ack()));
  await queue.receive();
  assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: [] });
});

test("StreamQueue adds what comes back under a new id", async (test) => {
  const queue = test.queue<string>({ leaseMs: 60_000 });
  const key = test.key("ready");
  await queue.enqueue("x");
  const [old] = (await test.redis.xRange(key, "-", "+"))!;
  const delivery = await take(queue);
  await delivery.nack({ delayMs: 0 });
  const [again] = (await test.redis.xRange(key, "-", "+"))!;
  assert(again!.id !== old!.id);
  await take(queue);
  assertEquals(await test.redis.xAck(key, GROUP, old!.id), 0, "the old one cannot be settled");
  assertEquals((await books(test.redis, key)).pending, 1);
});

test("StreamQueue takes a group's name", async (test) => {
  const { redis, name } = test;
  await using queue = new StreamQueue<number>(redis, name, { group: "my group" });
  await queue.enqueueMany([1, 2]);
  assertEquals(payloads(await queue.receiveMany(2)), [1, 2]);
  assertEquals((await books(redis, test.key("ready"), "my group")).pending, 2);
  for (const group of ["", "a\nb", 7 as unknown as string]) {
    assertThrows(() => new StreamQueue(redis, name, { group }), TypeError, "group");
  }
});

test("StreamQueue hands out again what a foreign consumer left", async (test) => {
  const queue = test.queue<number>({ leaseMs: 60, maxAttempts: 3 });
  const key = test.key("ready");
  await queue.enqueueMany(numbers(10));
  await (await take(queue)).ack(); // makes the group
  const theirs = await foreignRead(test.redis, key, 4); // 1 to 4, and dies
  assertEquals(theirs.length, 4);
  assertEquals((await queue.counts()).ready, 5, "what was handed out to others is not ready");
  assertEquals(payloads((await queue.peek("ready", { limit: 100 })).messages), numbers(5, 5));
  assertEquals(await drain(queue), numbers(5, 5));
  assertEquals(await queue.receive(), undefined, "it may be at work on them");
  await pause(70);
  const seen: number[] = [];
  for (let delivery; (delivery = await queue.receive());) {
    assertEquals(delivery.attempt, 2);
    assertEquals(delivery.errors.map(({ message, worker }) => [message, worker]), [
      ["lease lapsed", "other"],
    ]);
    seen.push(delivery.payload);
    await delivery.ack();
  }
  assertEquals(seen, numbers(4, 1));
  assertEquals(await queue.counts(), NONE);
  assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: [] });
  assertEquals((await queue.stats()).totals.lapsed, 4);
});

test("StreamQueue buries what foreign consumers left too often, and what is none of ours", async (test) => {
  const queue = test.queue<number>({ leaseMs: 30, maxAttempts: 1 });
  const key = test.key("ready");
  await queue.enqueue(1);
  await (await take(queue)).ack();
  await queue.enqueue(2);
  await test.redis.xAdd(key, "*", { field: "value" });
  await foreignRead(test.redis, key, 2, 'o"dd\n');
  await pause(40);
  assertEquals(await queue.receive(), undefined);
  const { messages } = await queue.peek("dead");
  assertEquals(messages.map(({ reason }) => reason), ["lease lapsed", "lease lapsed"]);
  assertEquals(messages.map(({ raw }) => text(raw)).toSorted(), ["2", "field\nvalue"]);
  assert(messages.every(({ errors }) => errors[0]!.worker === "odd"));
  assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: [] });
});

test("StreamQueue works beside a foreign consumer that acknowledges", async (test) => {
  const queue = test.queue<number>({ leaseMs: 60_000 });
  const key = test.key("ready");
  await queue.enqueueMany(numbers(1_500));
  await (await take(queue)).ack();
  const theirs = await foreignRead(test.redis, key, 1_200);
  await test.redis.xAck(key, GROUP, theirs);
  assertGreaterOrEqual((await queue.counts()).ready, 299); // they count for a thousand
  assertEquals(await drain(queue), numbers(299, 1_201));
  assertEquals(await queue.receive(), undefined);
  for (let i = 0; i < 12; i++) await queue.receive(); // a hundred at a time
  const { entries, pending } = await books(test.redis, key);
  assertEquals({ entries, pending }, { entries: 0, pending: 0 }, "or the stream would grow");
  assertEquals(await queue.counts(), NONE);
  assertEquals(await test.redis.exists(test.key("wake")), 0);
});

test("StreamQueue looks at few of somebody else's entries where they are large", async (test) => {
  const queue = test.queue<string>({ leaseMs: 60_000 });
  const key = test.key("ready");
  await queue.enqueue("first");
  await (await take(queue)).ack();
  const large = "x".repeat(900_000);
  for (let i = 0; i < 40; i++) await queue.enqueue(large);
  await foreignRead(test.redis, key, 40);
  await queue.enqueue("mine");
  await test.redis.configResetStat();
  assertGreaterOrEqual((await queue.counts()).ready, 1);
  assertEquals((await take(queue)).payload, "mine");
  assertEquals(await queue.receive(), undefined);
  const stats = await test.redis.info("commandstats");
  const [, calls, usec] = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(stats)!;
  // To have read all of them once would be this, which a call is to stay well below.
  await test.redis.configResetStat();
  await test.redis.eval("for i = 1, 2 do redis.call('XRANGE', KEYS[1], '-', '+') end", {
    keys: [key],
  });
  const all = /cmdstat_eval:calls=\d+,usec=(\d+)/.exec(await test.redis.info("commandstats"))![1];
  assertLess(Number(usec) / Number(calls), Number(all), `${calls} calls took ${usec} us`);
});

test("StreamQueue keeps no token while everything is in foreign hands", async (test) => {
  const queue = test.queue<number>({ leaseMs: 60_000 });
  await queue.enqueue(0);
  await (await take(queue)).ack();
  await queue.enqueueMany(numbers(5));
  await foreignRead(test.redis, test.key("ready"), 5);
  assertEquals(await queue.receive(), undefined);
  assertEquals(await test.redis.lLen(test.key("wake")), 0);
  assertEquals(await queue.receive({ waitMs: 30 }), undefined);
  assertEquals(await test.redis.lLen(test.key("wake")), 0);
});

test("StreamQueue loses nothing to a foreign XAUTOCLAIM, and keeps its hand", async (test) => {
  const queue = test.queue<number>();
  const key = test.key("ready");
  await queue.enqueueMany(numbers(5));
  const hand = await queue.receiveMany(3);
  await test.redis.xAutoClaim(key, GROUP, "thief", 0, "0");
  await Promise.all(hand.map((delivery) => delivery.ack()));
  assertEquals(await drain(queue), [3, 4]);
  assertEquals(await test.sizes(), {});
});

for (const how of ["is acknowledged as a whole", "is acknowledged one by one", "lapses"]) {
  test(`StreamQueue loses nothing that somebody read by the name of a hand that ${how}`, async (test) => {
    const queue = test.queue<number>({ leaseMs: 200, maxAttempts: 9 });
    const key = test.key("ready");
    await queue.enqueueMany(numbers(9));
    const hand = await queue.receiveMany(3);
    const lease = hand[0]!.token.split(":").slice(0, 3).join(":");
    // As one goes on with a consumer of one's own after a crash; and one that stood there with somebody else.
    assertEquals((await foreignRead(test.redis, key, 2, lease)).length, 2);
    const [id] = await foreignRead(test.redis, key, 1);
    await test.redis.xClaimJustId(key, GROUP, lease, 0, id!);
    const isLapsing = how === "lapses";
    if (how.endsWith("whole")) await Promise.all(hand.map((delivery) => delivery.ack()));
    else if (!isLapsing) { for (const delivery of hand) await delivery.ack(); }
    else await test.lapse();
    const seen = await drain(queue);
    await eventually(async () => {
      seen.push(...await drain(queue));
      assertEquals(seen.toSorted(), numbers(isLapsing ? 9 : 6, isLapsing ? 0 : 3));
    });
    await queue.receive();
    assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: ["other"] });
    assertEquals(await test.sizes(), {});
    assertEquals(await test.redis.exists(test.key("pending")), 0);
    // What is acknowledged by others is deleted again, and not handed out.
    await queue.enqueueMany([20, 21]);
    await test.redis.xAck(key, GROUP, await foreignRead(test.redis, key, 1));
    assertEquals(await drain(queue), [21]);
    await queue.receive();
    assertEquals((await books(test.redis, key)).entries, 0);
  });
}

test("Worker on StreamQueue does everything, whatever redis-cli does to its group", async (test) => {
  const options = { leaseMs: 400, maxAttempts: 100, backoff: { baseMs: 0 } };
  const queue = test.queue<number>(options);
  const [redis, key] = [test.redis, test.key("ready")];
  const seen = new Set<number>();
  await using worker = new Worker(queue, async (n) => {
    await pause(Math.random() * 5);
    if (Math.random() < 0.1) throw new Error("once more");
    seen.add(n);
  }, { concurrency: 20, onEvent: () => {} });
  worker.start();
  const hands = async () =>
    (await redis.xInfoConsumers(key, GROUP)).map(({ name }) => String(name)).filter((name) =>
      name.includes(":")
    );
  const read = (consumer: string, COUNT: number) =>
    redis.xReadGroup(GROUP, consumer, [{ key, id: ">" }], { COUNT });
  const acts = [
    () => redis.sendCommand(["XGROUP", "SETID", key, GROUP, "0"]),
    () => read("thief", 3),
    () => redis.xAutoClaim(key, GROUP, "thief", 0, "0"),
    async () => await read((await hands())[0] ?? "nobody", 2),
    async () => {
      const theirs = await redis.xPendingRange(key, GROUP, "-", "+", 5, { consumer: "thief" });
      const [hand] = await hands();
      if (!hand || theirs.length === 0) return;
      await redis.xClaimJustId(key, GROUP, hand, 0, theirs.map(({ id }) => id));
    },
    async () => {
      for (const hand of await hands()) {
        const holds = await redis.xPendingRange(key, GROUP, "-", "+", 99, { consumer: hand });
        const waits = await redis.xRange(key, "-", "+");
        // One that holds what stands in the stream would take it along: that is said of XGROUP, not of us.
        const ids = new Set(waits!.map(({ id }) => String(id)));
        if (holds.some(({ id }) => ids.has(id))) continue;
        if (Math.random() < 0.2) await redis.xGroupDelConsumer(key, GROUP, hand);
      }
    },
    async () => {
      await redis.xGroupDestroy(key, GROUP);
      await redis.xGroupCreate(key, GROUP, "0");
    },
  ];
  let sent = 0;
  for (let round = 0; round < 60; round++) {
    await queue.enqueueMany(numbers(20, sent));
    sent += 20;
    // The worker's first claim makes the group, and whatever comes between two of these may be gone.
    await acts[round % acts.length]!().catch((error) =>
      assertMatch(String(error), /NOGROUP|BUSYGROUP/)
    );
  }
  await eventually(() => assertEquals(seen.size, sent), 10_000);
  await eventually(async () => assertEquals(await queue.counts(), NONE));
  await worker.stop();
  await queue.receive();
  const { entries, pending, consumers } = await books(redis, key);
  assertEquals({ entries, pending }, { entries: 0, pending: 0 });
  assertEquals(consumers.filter((name) => name.includes(":")), []);
});

test("StreamQueue says so where its account may not make or remove consumers", async (test) => {
  const user = test.name.replaceAll(":", "_");
  await test.redis.aclSetUser(user, ["on", ">secret", "~*", "&*", "+@all", "-xgroup"]);
  try {
    const few = await test.connect({ url: test.url, username: user, password: "secret" });
    const queue = test.queue<number>({}, few);
    const key = test.key("ready");
    await queue.enqueueMany(numbers(6));
    await assertRejects(() => queue.receive(), Error, "script can't run this command");
    assertEquals((await queue.counts()).ready, 6, "nothing was taken");
    await test.redis.xGroupCreate(key, GROUP, "0");
    await Promise.all((await queue.receiveMany(3)).map((delivery) => delivery.ack()));
    assertEquals((await books(test.redis, key)).pending, 0, "what is done is off the books");
    await assertRejects(() => queue.receive(), Error, "script can't run this command");
    const { ready, leased } = await queue.counts();
    assertEquals({ ready, leased }, { ready: 3, leased: 0 });
  } finally {
    await test.redis.aclDelUser(user);
  }
});

for (const how of ["XGROUP DESTROY", "DEL"]) {
  test(`StreamQueue goes on after ${how}, and hands nothing out twice`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 5 });
    const key = test.key("ready");
    await queue.enqueueMany(numbers(9));
    const [a, b, c, d, e] = await queue.receiveMany(5);
    if (how === "DEL") await test.redis.del(key);
    else await test.redis.xGroupDestroy(key, GROUP);
    const left = how === "DEL" ? [] : numbers(4, 5);
    assertEquals((await queue.counts()).ready, left.length);
    await a!.ack();
    assertEquals(await b!.nack({ delayMs: 0 }), "ready");
    await c!.extend(60_000);
    await queue.delivery(c!.token).ack();
    await d!.deadLetter("no");
    assertEquals(e!.payload, 4);
    await test.lapse();
    const seen: number[] = [];
    for (let delivery; (delivery = await queue.receive());) {
      seen.push(delivery.payload);
      await delivery.ack();
    }
    assertEquals(seen.toSorted(), [1, 4, ...left]);
    assertEquals(await queue.redrive(), 1);
    assertEquals(await drain(queue), [3]);
    const { entries, pending } = await books(test.redis, key);
    assertEquals({ entries, pending }, { entries: 0, pending: 0 });
    assertEquals(await queue.counts(), NONE);
  });

  test(`Worker on StreamQueue goes on while ${how} happens all the time`, async (test) => {
    const queue = test.queue<number>();
    const seen = new Set<number>();
    await using worker = new Worker(queue, async (n) => {
      await pause(1);
      assert(!seen.has(n), `${n} was handed out twice`);
      seen.add(n);
    }, { concurrency: 20, onEvent: () => {} });
    worker.start();
    let sent = 0;
    for (let i = 0; i < 30; i++) {
      await queue.enqueueMany(numbers(20, sent));
      sent += 20;
      if (how === "DEL") await eventually(() => assertEquals(seen.size, sent));
      if (how === "DEL") await test.redis.del(test.key("ready"));
      else await test.redis.xGroupDestroy(test.key("ready"), GROUP);
    }
    await eventually(() => assertEquals(seen.size, sent));
    await eventually(async () => assertEquals(await queue.counts(), NONE));
  });
}

test("StreamQueue survives XTRIM under load: what is in a hand is not touched", async (test) => {
  const queue = test.queue<number>({ leaseMs: 60_000 });
  const key = test.key("ready");
  const seen: number[] = [];
  await using worker = new Worker(queue, (n) => void seen.push(n), { concurrency: 10 });
  worker.start();
  let sent = 0, trimmed = 0;
  for (let i = 0; i < 60; i++) {
    await queue.enqueueMany(numbers(50, sent));
    sent += 50;
    trimmed += await test.redis.xTrim(key, "MAXLEN", 20);
  }
  await eventually(async () => assertEquals(await queue.counts(), NONE));
  await eventually(() => assertEquals(seen.length, sent - trimmed));
  assert(trimmed > 0, "nothing was trimmed");
  assertEquals(new Set(seen).size, seen.length);
  await worker.stop();
  const { totals } = await queue.stats();
  assertEquals(totals.enqueued - totals.acked, trimmed, "the statistics tell how many are missing");
});

test("StreamQueue is not stopped by foreign entries that were handed out, then trimmed", async (test) => {
  const queue = test.queue<number>({ leaseMs: 30 });
  const key = test.key("ready");
  await queue.enqueue(0);
  await (await take(queue)).ack();
  await queue.enqueueMany(numbers(10));
  await foreignRead(test.redis, key, 5);
  await test.redis.xTrim(key, "MAXLEN", 7);
  assertEquals((await queue.counts()).ready, 5);
  assertEquals(await drain(queue), numbers(5, 5));
  await pause(40);
  const seen: number[] = [];
  for (let delivery; (delivery = await queue.receive());) {
    seen.push(delivery.payload);
    await delivery.ack();
  }
  assertEquals(seen, [3, 4]);
  assertEquals(await queue.counts(), NONE);
});

test("StreamQueue keeps messages where the ids of the stream are used up", async (test) => {
  const queue = test.queue<number>({ maxAttempts: 9 });
  const key = test.key("ready");
  await queue.enqueueMany([1, 2]);
  const [a, b] = await queue.receiveMany(2);
  await test.redis.xAdd(key, "18446744073709551615-18446744073709551615", { m: "last" });
  await a!.nack({ delayMs: 0 });
  await b!.nack({ delayMs: 0 });
  await queue.enqueue(3);
  const seen: number[] = [];
  for (let delivery; (delivery = await queue.receive());) {
    seen.push(delivery.payload);
    await delivery.ack();
  }
  assertEquals(seen.toSorted(), [1, 2, 3]);
  assertEquals(await queue.counts(), { ...NONE, dead: 1 });
});

for (const mode of MODES) {
  test(`StreamQueue leaves no ghosts: 1,000 entries, consumers that vanish (${mode})`, async (test) => {
    const key = test.key("ready");
    const queue = test.queue<number>({ maxAttempts: 100, leaseMs: 60_000 });
    await queue.enqueueMany(numbers(1_000));
    // Each is another consumer; it takes some, settles a part or all of it, and is never heard of again.
    for (let i = 0; i < 40; i++) {
      const ghost = test.queue<number>({ maxAttempts: 100, leaseMs: 60_000 });
      const hand = await ghost.receiveMany(20, { waitMs: waitMs(mode) });
      const done = i % 3 === 0 ? hand : hand.slice(0, i % 20);
      await Promise.all(done.map((delivery) => delivery.ack()));
      if (i % 10 === 0) await test.lapse();
    }
    assert((await books(test.redis, key)).consumers.length > 5);
    await test.lapse();
    await eventually(async () => {
      await Promise.all((await queue.receiveMany(100)).map((delivery) => delivery.ack()));
      assertEquals(await queue.counts(), NONE);
    }, 10_000);
    await queue.receive();
    assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: [] });
    assertEquals(await test.sizes(), {});
  });
}

test("Worker on StreamQueue leaves the group when it stops", async (test) => {
  const queue = test.queue<number>();
  const key = test.key("ready");
  await queue.enqueueMany(numbers(50));
  let done = 0;
  const worker = new Worker(queue, () => void done++, { concurrency: 5 });
  worker.start();
  await eventually(() => assertEquals(done, 50));
  await worker.stop();
  assertEquals(await books(test.redis, key), { entries: 0, pending: 0, consumers: [] });
});

test("StreamQueue.peek and find go through what waits by its ids", async (test) => {
  const queue = test.queue<number>();
  const stored = await queue.enqueueMany(numbers(25));
  await queue.receiveMany(2);
  await test.lapse();
  await (await take(queue)).ack(); // sweeps; one of the two waits apart
  const seen: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.peek("ready", { limit: 4, cursor });
    seen.push(...page.messages.map(({ payload }) => payload!));
    cursor = page.cursor;
    if (seen.length === 8) await queue.cancel(stored[4]!.id); // shifts nothing
  } while (cursor);
  assertEquals(seen.slice(1), numbers(23, 2));
  assertEquals((await queue.find(stored[20]!.id))?.payload, 20);
  assertEquals(await queue.cancel(stored[20]!.id), "ready");
  assertEquals(await queue.cancel(stored[20]!.id), undefined);
  assertEquals((await queue.counts()).ready, 22);
  assertEquals(await test.redis.xLen(test.key("ready")), 21, "no mark is left");
});

test("StreamQueue is not disturbed by foreign entries in its hands", async (test) => {
  const queue = test.queue<string>();
  await queue.enqueueMany(["a", "b"]);
  const [a, b] = await queue.receiveMany(9);
  const lease = a!.token.split(":").slice(0, 3).join(":");
  const foreign = ["x", "", "no message", "-"];
  for (const [i, held] of foreign.entries()) {
    await test.redis.hSet(test.key("leased"), `${lease}:${3 + i}`, held);
  }
  const ids = await test.redis.hGet(test.key("pending"), lease);
  await test.redis.hSet(test.key("pending"), lease, `${ids} 99999999999999999999999-1 1-1 no-id`);
  await test.redis.hSet(test.key("pending"), "nobody:1:0", "1-1");
  await queue.delivery(`${lease}:3`).ack();
  await a!.ack();
  assertEquals((await books(test.redis, test.key("ready"))).pending, 1);
  await test.lapse();
  for (let i = 0; i < 5; i++) await (await queue.receive())?.ack();
  assertEquals(b!.payload, "b");
  assertEquals((await queue.counts()).leased, 0);
  const { messages } = await queue.peek("dead");
  assertEquals(messages.map(({ raw }) => text(raw)).toSorted(), ["", "-", "no message"]);
});

serverTest("StreamQueue keeps its hands and its books when Redis is killed", async (server) => {
  const redis = await connect({ url: server.url });
  const queue = new StreamQueue<number>(redis, "q", { leaseMs: 60_000 });
  const key = queueKeys("q").ready;
  await queue.enqueueMany(numbers(10));
  const hand = await queue.receiveMany(6);
  await hand[0]!.ack();
  await queue.receive();
  for (const rewrite of [false, true]) {
    if (rewrite) {
      await redis.bgRewriteAof();
      await eventually(async () => {
        assert((await redis.info("persistence")).includes("aof_rewrite_in_progress:0"));
      });
    }
    await server.kill("SIGKILL");
    await server.restart();
    await eventually(async () => assertEquals((await books(redis, key)).pending, 6));
    assertEquals((await books(redis, key)).entries, 3);
  }
  await Promise.all(hand.map((delivery) => delivery.ack()));
  const { oldestReadyMs: _, ...counts } = await queue.counts();
  assertEquals(counts, { ...NONE, ready: 3, leased: 1 });
  assertEquals((await books(redis, key)).pending, 1);
  assertEquals(await drain(queue), [7, 8, 9]);
  await queue.close();
  await redis.close();
}, { aof: true });

serverTest("StreamQueue needs no more memory after a drain than before", async (server) => {
  const redis = await connect({ url: server.url });
  const queue = new StreamQueue<string>(redis, "q", { stats: false });
  const key = queueKeys("q").ready;
  const usage = async () => Number(await redis.memoryUsage(key, { SAMPLES: 0 }));
  await queue.enqueue("x");
  await (await queue.receive())!.ack();
  const empty = await usage();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) await queue.enqueueMany(numbers(1_000).map(String));
    await drain(queue);
  }
  assertEquals(await redis.xLen(key), 0);
  const grown = await usage() - empty;
  assert(grown < 10_000, `${grown} bytes`);
  await queue.close();
  await redis.close();
});
