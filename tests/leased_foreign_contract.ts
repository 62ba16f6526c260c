/**
 * Somebody else's entries and keys, payloads of every kind, and options that cannot be: nothing is lost,
 * and all is said by name. A part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { LeasedQueueOptions, Mode } from "@workshop/redis-patterns";
import { commandsDuring } from "./support.ts";
import {
  type LeasedTest,
  type MakeQueue,
  MODES,
  payloads,
  take,
  text,
  waitMs,
} from "./leased_support.ts";

/** Runs this part. */
export function leasedForeignContract(name: string, test: LeasedTest, makeQueue: MakeQueue): void {
  foreign(name, test);
  refusing(name, test, makeQueue);
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
