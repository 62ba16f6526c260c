/**
 * Dead letters, and looking at what is there. A part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { drain, type LeasedTest, payloads, take } from "./leased_support.ts";

/** Runs this part. */
export function leasedDeadContract(name: string, test: LeasedTest): void {
  deadLetters(name, test);
  looking(name, test);
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
