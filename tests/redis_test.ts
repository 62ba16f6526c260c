/** The foundation: keys, codecs, scripts, merging, errors. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type CommandArgument,
  connect,
  ListQueue,
  type RedisClient,
  RedisConnectionError,
  RedisFullError,
} from "@workshop/redis-patterns";
import { call } from "../redis/call.ts";
import { codecOf, encode } from "../redis/codec.ts";
import { explain, isFatal, isRetryable, redact, replyWord } from "../redis/errors.ts";
import { listKey } from "../redis/keys.ts";
import { Merger } from "../redis/merge.ts";
import { defineScript } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import { backoffMs, nextTurn } from "../redis/timers.ts";
import { commandsDuring, redisTest, serverTest } from "./support.ts";

Deno.test("queue names are refused, not repaired, with the name in the message", () => {
  const bad: [unknown, string][] = [
    ["", "must not be empty"],
    ["a{b}", 'must not contain "{"'],
    ["b}", 'must not contain "}"'],
    ["mail*", 'must not contain "*"'],
    ["mail?", 'must not contain "?"'],
    ["[mail", 'must not contain "["'],
    ["mail]", 'must not contain "]"'],
    ["a\\b", "must not contain"],
    ["a\nb", '"a\\nb"'],
    ["a\u0000", "control characters"],
    ["a\u007f", "control characters"],
    ["\ud800", "broken Unicode"],
    ["x".repeat(201), "has 201"],
    ["€".repeat(67), "has 201"],
    [undefined, "must be a string, but is undefined"],
    [7, "must be a string, but is the number 7"],
  ];
  for (const [name, message] of bad) {
    assertThrows(() => listKey(name as string), TypeError, message);
    assertThrows(() => new ListQueue({} as never, name as string), TypeError);
  }
  for (const name of ["a", "task_queue", "queue:dlq", "grüße", "x".repeat(200), "a b.c/d-e"]) {
    assertEquals(listKey(name), name);
  }
});

Deno.test("show names a value by its type, but where that type is expected", () => {
  class Mail {}
  const shown: [unknown, string][] = [
    [undefined, "undefined"],
    [null, "null"],
    ["10", 'the string "10"'],
    ["", 'the string ""'],
    [NaN, "the number NaN"],
    [5n, "the BigInt 5n"],
    [true, "the boolean true"],
    [Symbol("s"), "Symbol(s)"],
    [/x/, "a RegExp"],
    [[1], "an Array"],
    [{ a: 1 }, "an object"],
    [Object.create(null), "an object"],
    [{ constructor: "x" }, "an object"],
    [new Mail(), "a Mail"],
    [new Error("x"), "an Error"],
    [new Uint8Array(), "a Uint8Array"],
    [function late() {}, "the function late"],
    [(() => () => {})(), "the function (anonymous)"],
    ["x".repeat(100), `the string "${"x".repeat(80)}…"`],
  ];
  for (const [value, says] of shown) assertEquals(show(value), says);
  assertEquals([show("10", "string"), show(-1, "number")], ['"10"', "-1"]);
  assertEquals([show("10", "number"), show(-1, "string")], ['the string "10"', "the number -1"]);
});

Deno.test("codec json carries what JSON carries", () => {
  const json = codecOf<unknown>("json");
  const date = new Date(0);
  const bare = Object.assign(Object.create(null), { a: 1 });
  class Mail {
    constructor(readonly to: string) {}
  }
  const carried: [unknown, unknown][] = [
    [null, null],
    ["", ""],
    [0, 0],
    [false, false],
    [[], []],
    [{ a: undefined, b: [{ c: null }] }, { b: [{ c: null }] }],
    [{ at: date }, { at: "1970-01-01T00:00:00.000Z" }],
    [bare, { a: 1 }],
    [new Mail("ann"), { to: "ann" }],
    ["\ud800", "\ud800"], // JSON escapes it, so it comes back
    [Object(1), 1],
  ];
  for (const [payload, back] of carried) {
    const raw = new TextEncoder().encode(json.encode(payload) as string);
    assertEquals(json.decode(raw), back);
  }
});

Deno.test("codec json refuses what JSON would change, and says where", () => {
  const json = codecOf<unknown>("json");
  const cases: [unknown, string][] = [
    [{ a: { b: new Set([1]) } }, "payload.a.b: it is a Set"],
    [[new Uint8Array(2)], "payload[0]: it is a Uint8Array"],
    [new Error("x"), "payload: it is an Error"],
    [{ list: [1, , 3] }, "payload.list"], // deno-lint-ignore no-sparse-arrays
    [Infinity, "the number Infinity"],
    [{ f() {} }, "payload.f: it is the function f"],
    [{ toJSON: () => 1n }, "JSON cannot carry"],
    [{ toJSON: () => Number.NaN }, "JSON cannot carry"],
    [{ toJSON() {} }, "JSON cannot carry"],
    [{ at: new Date(Number.NaN) }, "payload.at: it is a Date"],
    [new Headers(), "payload: it is a Headers"],
    [[Object(Number.NaN)], "payload[0]: it is a Number"],
    [{ rows: [1].values() }, "payload.rows"],
  ];
  for (const [payload, message] of cases) {
    assertThrows(() => json.encode(payload), TypeError, message);
  }
});

Deno.test("a codec of one's own has to give text or bytes", () => {
  const bad = { encode: () => 7 as unknown as string, decode: () => 7 };
  assertThrows(() => encode(bad, 1, 100), TypeError, "the number 7");
});

Deno.test("codecs text and bytes refuse other payloads", () => {
  assertThrows(() => codecOf<unknown>("text").encode(1), TypeError, "the number 1");
  assertThrows(() => codecOf<string>("text").encode("\ud800"), TypeError, "well-formed");
  assertThrows(() => codecOf<unknown>("bytes").encode("a"), TypeError, 'the string "a"');
  assertThrows(() => codecOf<string>("text").decode(Uint8Array.of(0xff)), TypeError);
  assertThrows(() => codecOf("yaml" as "json"), TypeError, '"yaml"');
  assertThrows(() => codecOf("toString" as "json"), TypeError, '"toString"');
  assertThrows(() => codecOf({ encode: 1 } as never), TypeError, "object");
});

Deno.test("defineScript refuses names that are no Lua variables, or used twice", () => {
  const base = { name: "s", lua: "return 1", reply: Number };
  assertThrows(() => defineScript({ ...base, keys: ["a-b"], args: [] }), TypeError, '"a-b"');
  assertThrows(() => defineScript({ ...base, keys: ["a"], args: ["a"] }), TypeError, '"a"');
  assertThrows(() => defineScript({ ...base, keys: ["KEYS"], args: [] }), TypeError, '"KEYS"');
});

/** As the queues send their scripts. */
const send = (client: RedisClient) => (args: readonly CommandArgument[]) => call(client, args);

const addBoth = defineScript({
  name: "add_both",
  keys: ["first", "second"],
  args: ["by", "label"],
  lua: `
    redis.call("INCRBY", first, by)
    return label .. redis.call("INCRBY", second, by * 2)`,
  reply: String,
});

redisTest("defineScript runs by hash, and by text where the hash is not known", async (test) => {
  const keys = { first: `${test.name}:1`, second: `${test.name}:2` };
  const commands = await commandsDuring(test.url, async () => {
    await test.redis.scriptFlush();
    assertEquals(await addBoth.run(send(test.redis), keys, { by: 1, label: "n=" }), "n=2");
    assertEquals(await addBoth.run(send(test.redis), keys, { by: 1, label: "n=" }), "n=4");
  });
  assertEquals(commands, ["SCRIPT", "EVALSHA", "EVAL", "EVALSHA"]);
  assertEquals(await test.redis.get(keys.first), "2");
});

redisTest("defineScript survives SCRIPT FLUSH under load", async (test) => {
  const keys = { first: `${test.name}:1`, second: `${test.name}:2` };
  const flushing = setInterval(() => void test.redis.scriptFlush(), 5);
  try {
    for (let i = 0; i < 20; i++) {
      const runs = Array.from(
        { length: 20 },
        () => addBoth.run(send(test.redis), keys, { by: 1, label: "" }),
      );
      await Promise.all(runs);
    }
  } finally {
    clearInterval(flushing);
  }
  assertEquals(await test.redis.get(keys.first), "400");
});

redisTest("defineScript refuses numbers that are none before anything is sent", async (test) => {
  const keys = { first: `${test.name}:1`, second: `${test.name}:2` };
  await assertRejects(
    () => addBoth.run(send(test.redis), keys, { by: Number.NaN, label: "" }),
    RangeError,
    "argument by must be finite, but is NaN",
  );
  assertEquals(await test.redis.exists(keys.first), 0);
});

Deno.test("Merger rejects the calls of a failed command, and no others", async () => {
  const merger = new Merger<string, number>((items) => {
    if (items.includes("bad")) return Promise.reject(new Error("refused"));
    return Promise.resolve(items.map((item) => item.length));
  });
  const first = [merger.add("bad"), merger.add("worse")];
  await Promise.allSettled(first);
  assertEquals((await Promise.allSettled(first)).map((r) => r.status), ["rejected", "rejected"]);
  assertEquals(await Promise.all([merger.add("a"), merger.add("bb")]), [1, 2]);
});

Deno.test("Merger sends at once what comes alone, and a turn's calls while that is under way", async () => {
  const sent: string[][] = [];
  const answers: (() => void)[] = [];
  const merger = new Merger<string, string>((items) => {
    sent.push(items);
    return new Promise((resolve) => answers.push(() => resolve(items)));
  });
  const added = [merger.add("a"), merger.add("b")];
  await Promise.resolve();
  assertEquals(sent, [["a", "b"]]);
  added.push(merger.add("c"));
  await Promise.resolve();
  added.push(merger.add("d"));
  assertEquals(sent.length, 1);
  await nextTurn();
  assertEquals(sent, [["a", "b"], ["c", "d"]]);
  for (const answer of answers) answer();
  assertEquals(await Promise.all(added), ["a", "b", "c", "d"]);
  void merger.add("e");
  await Promise.resolve();
  assertEquals(sent.at(-1), ["e"]);
});

Deno.test("Merger begins a new command when one has enough items or bytes", async () => {
  const sizes: number[] = [];
  const merger = new Merger<string, number>((items) => {
    sizes.push(items.length);
    return Promise.resolve(items.map(() => 0));
  });
  await Promise.all(Array.from({ length: 2_001 }, () => merger.add("x")));
  assertEquals(sizes, [1_000, 1_000, 1]);
  sizes.length = 0;
  await Promise.all(Array.from({ length: 5 }, () => merger.add("x".repeat(500_000))));
  assertEquals(sizes, [2, 2, 1]);
});

serverTest(
  "call ends each of several commands at its own deadline, in any order",
  async (server) => {
    const redis = await connect({ url: server.url });
    await server.pause();
    const ended: number[] = [];
    const end = async (deadlineMs: number) => {
      const startedAt = performance.now();
      const calling = () => call(redis, ["PING"], { deadlineMs });
      await assertRejects(calling, RedisConnectionError, `within ${deadlineMs} ms`);
      assert(performance.now() - startedAt >= deadlineMs);
      ended.push(deadlineMs);
    };
    await Promise.all([300, 100, 200, 400].map(end));
    assertEquals(ended, [100, 200, 300, 400]);
    await server.resume();
    assertEquals(await call(redis, ["PING"]), "PONG");
    await redis.close();
  },
);

Deno.test("errors are sorted by what the caller can do about them", () => {
  const named = (message: string, name = "Error") => Object.assign(new Error(message), { name });
  for (const message of ["WRONGPASS invalid", "NOAUTH Authentication required.", "NOPERM x"]) {
    assert(isFatal(new Error(message)) && !isRetryable(new Error(message)), message);
  }
  const passing = ["LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED"];
  for (const word of [...passing, "ASK", "UNBLOCKED", "NOREPLICAS", "MISCONF"]) {
    assert(isRetryable(new Error(`${word} some text`)), word);
    // As Redis 6 says it of a command in a script.
    const inScript = `ERR Error running script (call to f_8e21): @user_script:7: ` +
      `@user_script: 7: -${word} some text`;
    assert(isRetryable(new Error(inScript)), inScript);
  }
  const full = explain(new Error("OOM command not allowed when used memory > 'maxmemory'."), "h:1");
  assert(full instanceof RedisFullError && isRetryable(full) && !isFatal(full));
  assertEquals(full.address, "h:1");
  assert(isRetryable(Object.assign(new Error("x"), { code: "ECONNRESET" })));
  assert(isFatal(Object.assign(new Error("x"), { code: "SELF_SIGNED_CERT_IN_CHAIN" })));
  assert(isFatal(named('Requires net access to "x"', "NotCapable")));
  for (const error of [new Error("WRONGTYPE x"), new TypeError("x"), "x", undefined]) {
    assert(!isRetryable(error) && !isFatal(error));
  }
  const lost = new RedisConnectionError("lost", { address: "h:1", sent: true });
  assert(isRetryable(lost) && !isFatal(lost));
  assertEquals(replyWord(new Error("OOM command not allowed")), "OOM");
  assertEquals(replyWord(Object.assign(new Error("ECONNRESET x"), { code: "ECONNRESET" })), "");
});

Deno.test("redact leaves no password in any shape of URL", () => {
  for (
    const url of [
      "redis://ann:hunter2@host:6379/0",
      "rediss://:hunter2@host",
      "ann:hunter2@host:6379",
      "redis://ann:hun@ter2:hunter2@host",
    ]
  ) {
    const text = redact(`bad URL "${url}"`);
    assert(!text.includes("hunter2") && text.includes("***@host"), text);
  }
  assertEquals(redact("redis://host:6379"), "redis://host:6379");
});

Deno.test("backoffMs grows, stays below its cap and is never 0", () => {
  for (let attempt = 0; attempt < 40; attempt++) {
    const ms = backoffMs(attempt);
    const ceiling = Math.min(1_000, 50 * 2 ** attempt);
    assert(ms >= ceiling / 4 && ms <= ceiling + 1, `${attempt}: ${ms}`);
  }
});
