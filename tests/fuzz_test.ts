/**
 * Everything that reads what Redis returns, given what nobody has written: more than 100,000 inputs. What
 * stands in Redis may come from somebody else, from another version, or from an attacker; it is read or
 * refused, and never throws in a wrong place, hangs, or reaches a prototype.
 *
 * `FUZZ_SEED` repeats a run.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import {
  type CommandArgument,
  DecodeError,
  PriorityQueue,
  type RedisClient,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { readEnvelope, readHistory, writeEnvelope, writeError } from "../queue/envelope.ts";
import { Hand, rangesOf } from "../queue/hand.ts";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { readLogEntry } from "../queue/logs.ts";
import { readStats } from "../queue/stats.ts";
import { codecOf } from "../redis/codec.ts";
import { describe, explain, isFatal, isRetryable, redact, replyWord } from "../redis/errors.ts";
import { queueKeys } from "../redis/keys.ts";
import { preview, show } from "../redis/show.ts";
import { redisTest } from "./support.ts";

const RUNS = 15_000;
const seed = Number(Deno.env.get("FUZZ_SEED") ?? Date.now() % 2 ** 31);
let inputs = 0;

/** Checks a property of many inputs, and that none of them has reached a prototype. */
function holds<T>(arbitrary: fc.Arbitrary<T>, check: (input: T) => void, runs = RUNS): void {
  const before = Object.getOwnPropertyNames(Object.prototype).join();
  const property = fc.property(arbitrary, (input) => {
    inputs++;
    check(input);
  });
  fc.assert(property, { numRuns: runs, seed });
  assertEquals(Object.getOwnPropertyNames(Object.prototype).join(), before);
  assertEquals(({} as Record<string, unknown>)["polluted"], undefined);
}

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
/** Text as attackers like it. */
const nasty = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom(
    '{"__proto__":{"polluted":1}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '{"message":"m","at":1,"__proto__":{"polluted":1}}',
    '{"message":"m","at":1e999,"attempt":"1","stack":{"toString":1},"worker":[]}',
    "null",
    "[]",
    "-0",
    "1e999",
    "\u0000\u2028\ud800",
    "9".repeat(400),
  ),
  fc.json({ maxDepth: 3 }),
);
const number = fc.oneof(
  fc.nat().map(String),
  fc.constantFrom("", "-1", "0", "00", "1e5", "9".repeat(30), "9".repeat(320), "NaN", "1.5", " "),
);
/** Nearly a message: a header whose parts are mostly right, history and body. */
const almost = fc.tuple(
  fc.tuple(
    fc.string({ maxLength: 12 }),
    number,
    fc.constantFrom("0", "1", "x", "2", ""),
    number,
    number,
  )
    .map((parts) => parts.join(" ")),
  number,
  fc.option(fc.tuple(nasty, nasty)),
  fc.array(nasty, { maxLength: 3 }),
  bytes,
).map(([front, priority, names, history, body]) => {
  const header = `${front} ${priority}${names ? ` ${names.join("\t")}` : ""}`;
  return Buffer.concat([Buffer.from(`${header}\n${history.join("\n")}\n`), body]);
});
/** A message of ours with a byte changed, added or missing. */
const damaged = fc.tuple(
  fc.record({
    uid: fc.stringMatching(/^[a-z0-9]{1,20}$/),
    id: fc.constantFrom("", "own", "grüße"),
    key: fc.constantFrom("", "key"),
    enqueuedAt: fc.nat(),
    delayMs: fc.nat(),
    priority: fc.integer({ min: -1_024, max: 1_023 }),
  }),
  bytes,
  fc.nat(),
  fc.nat({ max: 255 }),
  fc.constantFrom("change", "insert", "cut"),
).map(([header, body, at, byte, how]) => {
  const whole = Buffer.from(writeEnvelope(header, body));
  const place = at % whole.length;
  const rest = whole.subarray(how === "insert" ? place : place + 1);
  if (how === "cut") return Buffer.from(whole.subarray(0, place));
  return Buffer.concat([whole.subarray(0, place), Buffer.from([byte]), rest]);
});
const entries = fc.oneof(bytes, almost, damaged, nasty.map((text) => Buffer.from(text)));

Deno.test("readEnvelope takes any bytes apart, or says that they are none", () => {
  holds(entries, (entry) => {
    const envelope = readEnvelope(entry);
    if (!envelope) return;
    const { history, body, attempts, enqueuedAt, waitsFrom, priority } = envelope;
    for (const n of [attempts, enqueuedAt, waitsFrom, priority]) assert(!Number.isNaN(n));
    const end = Buffer.concat([history, body]);
    assertEquals(entry.subarray(entry.length - end.length).equals(end), true);
  });
});

Deno.test("readEnvelope reads what writeEnvelope wrote", () => {
  const text = fc.stringMatching(/^[ -~äöü€]{1,60}$/).filter((text) => text.trim() === text);
  const header = fc.record({
    uid: fc.stringMatching(/^[a-z0-9-]{1,30}$/),
    id: fc.option(text, { nil: undefined }),
    key: fc.option(text, { nil: undefined }),
    enqueuedAt: fc.nat(),
    delayMs: fc.nat(),
    priority: fc.integer({ min: -1_024, max: 1_023 }),
  });
  holds(fc.tuple(header, bytes), ([header, body]) => {
    const envelope = readEnvelope(Buffer.from(writeEnvelope(header, body)))!;
    const { uid, id, key = "", enqueuedAt, delayMs, priority } = header;
    assertEquals(
      [envelope.uid, envelope.id, envelope.key, envelope.enqueuedAt, envelope.priority],
      [uid, id ?? uid, key, enqueuedAt, priority],
    );
    assertEquals(envelope.waitsFrom, enqueuedAt + delayMs);
    assert(envelope.body.equals(body));
  });
});

Deno.test("readHistory gives errors that are what their type says, and nothing else", () => {
  const line = fc.oneof(
    nasty,
    fc.record({ message: fc.anything(), at: fc.anything() }, { requiredKeys: [] })
      .map((value) => JSON.stringify(value) ?? ""),
    fc.string().map((text) => writeError(new Error(text), { at: 1, worker: "w" }).trimEnd()),
  );
  const types: Record<string, string> = {
    attempt: "number",
    message: "string",
    stack: "string",
    at: "number",
    worker: "string",
  };
  holds(fc.array(line, { maxLength: 5 }), (lines) => {
    for (const error of readHistory(Buffer.from(lines.join("\n")))) {
      assertEquals(Object.getPrototypeOf(error), Object.prototype);
      for (const [name, value] of Object.entries(error)) assertEquals(typeof value, types[name]);
    }
  });
});

Deno.test("readLogEntry takes any bytes apart, or says that they are none", () => {
  const entry = fc.oneof(
    entries,
    fc.tuple(number, number, fc.string(), entries).map(([received, finished, worker, message]) =>
      Buffer.concat([Buffer.from(`${received} ${finished} ${worker}\n`), message])
    ),
  );
  holds(entry, (entry) => {
    const log = readLogEntry(entry);
    if (log) assert(!Number.isNaN(log.finishedAt) && entry.includes(log.message));
  });
});

Deno.test("readStats makes numbers of whatever fields there are", () => {
  const field = fc.oneof(
    nasty,
    fc.tuple(fc.nat({ max: 120 }), fc.constantFrom("acked", "w3", "r120", "w999", "__proto__"))
      .map(([minute, what]) => `${minute} ${what}`),
  );
  holds(fc.array(fc.tuple(field, nasty.filter((text) => text.length < 50))), (pairs) => {
    const stats = readStats({ fields: new Map(pairs), now: 120 * 60_000 }, 3_600_000);
    for (const n of Object.values(stats.totals)) assertEquals(typeof n, "number");
    for (const n of Object.values(stats.perSecond)) assert(!Number.isNaN(n));
  }, RUNS / 3);
});

Deno.test("codecs read any bytes, or throw an error that can be told", () => {
  const codecs = [codecOf<unknown>("json"), codecOf<string>("text"), codecOf<Uint8Array>("bytes")];
  holds(fc.tuple(entries, fc.constantFrom(...codecs)), ([raw, codec]) => {
    try {
      const payload = codec.decode(raw);
      assertEquals(typeof show(payload), "string");
    } catch (cause) {
      assert(cause instanceof Error);
      const error = new DecodeError("q", raw, cause);
      assertLess(error.message.length, 1_000); // as long as the bytes may be
    }
    assertLess(preview(raw).length, 600);
  });
});

Deno.test("a claim's reply is read whatever its messages and ids are", async () => {
  const raws: Buffer[] = [];
  holds(entries, (entry) => void raws.push(entry), RUNS / 3);
  const { claim } = LEASED_SCRIPTS.stream;
  const args = {
    ...{ lease: "c:1:0", most: 1, room: 1, lease_ms: 1, policy: "", rate: "", counting: "0" },
    ...{ group: "g", idle_ms: 1 },
  };
  for (const ids of raws.slice(0, 1_000)) {
    const raw = [1, -1, 1, 0, raws, ids];
    const reply = await claim.run(() => Promise.resolve(raw), queueKeys("q"), args);
    assertEquals(reply.messages, raws);
    assertEquals(reply.ids, String(ids));
    const { leaseMs } = reply;
    const size = raws.length;
    const hand = new Hand({ lease: "c:1:0", size, receivedAt: 1, leaseMs, ids: reply.ids });
    assertEquals(typeof hand.idsOf([1, raws.length]), "string");
  }
});

Deno.test("rangesOf names each index once, in its place", () => {
  const indexes = fc.uniqueArray(fc.integer({ min: 1, max: 1_000 }), { minLength: 1 });
  holds(indexes, (indexes) => {
    const named = rangesOf(indexes).split(" ").flatMap((range) => {
      const [from = 0, to = from] = range.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
    assertEquals(named, indexes);
  });
  assertEquals(rangesOf([1, 2, 3, 7, 9, 10, 4]), "1-3 7 9-10 4");
});

Deno.test("errors of Redis are sorted and told whatever they say, and no password is", () => {
  const message = fc.oneof(
    nasty,
    fc.tuple(fc.constantFrom("OOM", "ERR", "MOVED"), nasty).map((a) => a.join(" ")),
  );
  const made = fc.tuple(message, fc.option(fc.constantFrom("ECONNRESET", "CERT_HAS_EXPIRED", "x")));
  holds(made, ([message, code]) => {
    const error = Object.assign(new Error(message), code === null ? {} : { code });
    for (const say of [describe, replyWord]) assertEquals(typeof say(error), "string");
    assertEquals([typeof isFatal(error), typeof isRetryable(error)], ["boolean", "boolean"]);
    assert(explain(error, "h:1") instanceof Error);
  });
  const secret = fc.stringMatching(/^[a-z0-9@:/?#%!$&*+=-]{0,12}$/).map((text) => `hunter2${text}`);
  holds(
    fc.tuple(secret, fc.constantFrom("redis://", "rediss://ann", "ann")),
    ([password, front]) => {
      const text = redact(`cannot use ${front}:${password}@host:6379, or can one?`);
      assert(!text.includes("hunter2"), text);
    },
  );
});

Deno.test("a long error of Redis is told in no time", () => {
  for (
    const text of [
      "a:".repeat(50_000),
      "redis://".repeat(20_000),
      "a".repeat(100_000),
      ":@".repeat(50_000),
    ]
  ) {
    const startedAt = performance.now();
    for (const say of [describe, replyWord]) say(new Error(text));
    redact(text);
    explain(new Error(text), "h:1");
    assertLess(performance.now() - startedAt, 1_000, text.slice(0, 20));
  }
});

Deno.test("a token that is none is refused, whatever it is", () => {
  const client = {
    sendCommand: () => Promise.reject(),
    duplicate: () => client,
    on() {},
    off() {},
  };
  const queue = new ReliableQueue(client as unknown as RedisClient, "q");
  holds(fc.oneof(nasty, fc.anything()), (token) => {
    if (typeof token === "string" && /^[\w-]+:\d+:\d+:\d+(:\d+)?$/.test(token)) return;
    assertThrows(() => queue.delivery(token as string), TypeError);
  });
});

const CLASSES = { reliable: ReliableQueue, priority: PriorityQueue, stream: StreamQueue };

for (const [kind, Queue] of Object.entries(CLASSES)) {
  redisTest(
    `${kind}: what anybody puts into Redis is handed out or buried, and looked at`,
    async (test) => {
      const { redis, name } = test;
      await using queue = new Queue<unknown>(redis, name, { maxAttempts: 1, maxDead: 100_000 });
      const { ready, lapsed, delayed, completed } = queueKeys(name);
      const raws = fc.sample(entries, { numRuns: 3_000, seed });
      inputs += raws.length;
      const put: Record<string, (entry: Buffer, i: number) => CommandArgument[]> = {
        reliable: (entry) => ["LPUSH", ready, entry],
        priority: (entry, i) => ["ZADD", ready, String(i), entry],
        stream: (entry) => ["XADD", ready, "*", "m", entry],
      };
      await Promise.all(raws.map((entry, i) => {
        if (i % 5 === 1) return redis.sendCommand(["LPUSH", lapsed, entry]);
        if (i % 5 === 2) return redis.sendCommand(["ZADD", delayed, "1", entry]);
        if (i % 5 === 3) return redis.sendCommand(["LPUSH", completed, entry]);
        return redis.sendCommand(put[kind]!(entry, i));
      }));
      await queue.enqueue("ours");
      await queue.stats();
      for (const state of ["ready", "delayed", "completed"] as const) {
        for (let cursor: string | undefined = "0"; cursor !== undefined;) {
          ({ cursor } = await queue.peek(state, { limit: 1_000, cursor }));
        }
      }
      let ours = 0;
      for (let empty = 0; empty < 5;) {
        const deliveries = await queue.receiveMany(100);
        empty = deliveries.length === 0 ? empty + 1 : 0;
        for (const { payload } of deliveries) if (payload === "ours") ours++;
        await Promise.all(deliveries.map((delivery) => delivery.ack()));
      }
      const { ready: left, leased, delayed: later, dead } = await queue.counts();
      assertEquals([ours, left, leased, later], [1, 0, 0, 0]);
      assert(dead > 500, "most of them are none of ours");
      await queue.peek("dead", { limit: 1_000 });
      assertEquals(await queue.purge("dead"), dead);
      await redis.sendCommand(["UNLINK", ...Object.values(queueKeys(name))]);
    },
  );
}

Deno.test("the fuzz tests had more than 100,000 inputs", () => {
  assert(inputs > 100_000, `only ${inputs}`);
});
