import { Buffer } from "node:buffer";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { createClient } from "redis";
import {
  DecodeError,
  ListQueue,
  type Message,
  type Mode,
  RedisConnectionError,
} from "@workshop/redis-patterns";
import { commandsDuring, connectedClients, eventually, redisTest } from "./support.ts";

const MODES = ["polling", "blocking"] as const;
const waitMs = (mode: Mode) => mode === "blocking" ? 200 : 0;
const payloads = (messages: Message<unknown>[]) => messages.map((message) => message.payload);

redisTest(
  "ListQueue keeps exactly the payloads under exactly its name",
  async ({ redis, name }) => {
    const queue = new ListQueue(redis, name);
    await queue.enqueue({ to: "ann@example.com" });
    await queue.enqueue("text");
    assertEquals(queue.name, name);
    assertEquals(await redis.lRange(name, 0, -1), ['"text"', '{"to":"ann@example.com"}']);
  },
);

redisTest("ListQueue.enqueue resolves with the number of messages waiting", async (test) => {
  const queue = new ListQueue(test.redis, test.name);
  assertEquals(await Promise.all([queue.enqueue(1), queue.enqueue(2)]), [1, 2]);
  assertEquals(await queue.enqueueMany([3, 4, 5]), 5);
  assertEquals(await queue.enqueueMany([]), 0);
});

redisTest("ListQueue.enqueue merges the calls of a turn into one LPUSH", async (test) => {
  const queue = new ListQueue(test.redis, test.name);
  const commands = await commandsDuring(test.url, async () => {
    await Promise.all(Array.from({ length: 900 }, (_, i) => queue.enqueue(i)));
  });
  assertEquals(commands, ["LPUSH"]);
});

redisTest(
  "ListQueue.enqueue never puts more than 1,000 messages into one command",
  async (test) => {
    const queue = new ListQueue<number>(test.redis, test.name);
    const commands = await commandsDuring(test.url, async () => {
      assertEquals(await queue.enqueueMany(Array.from({ length: 2_500 }, (_, i) => i)), 2_500);
    });
    assertEquals(commands, ["LPUSH", "LPUSH", "LPUSH"]);
    const received = [];
    for (let i = 0; i < 3; i++) received.push(...await queue.receiveMany(1_000));
    assertEquals(payloads(received), Array.from({ length: 2_500 }, (_, i) => i));
  },
);

for (const mode of MODES) {
  redisTest(`ListQueue.receive gives messages first in, first out (${mode})`, async (test) => {
    await using queue = new ListQueue<string>(test.redis, test.name);
    await queue.enqueueMany(["a", "b", "c"]);
    const before = Date.now();
    const first = await queue.receive({ waitMs: waitMs(mode) });
    assertEquals(first?.payload, "a");
    assert(first!.receivedAt >= before && first!.receivedAt <= Date.now());
    assertEquals((await queue.receive({ waitMs: waitMs(mode) }))?.payload, "b");
    assertEquals((await queue.receive({ waitMs: waitMs(mode) }))?.payload, "c");
    assertEquals(await queue.receive({ waitMs: waitMs(mode) / 10 }), undefined);
    assertEquals(await test.redis.exists(test.name), 0);
  });

  redisTest(`ListQueue.receiveMany takes up to max, oldest first (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    await queue.enqueueMany([1, 2, 3, 4]);
    assertEquals(payloads(await queue.receiveMany(3, { waitMs: waitMs(mode) })), [1, 2, 3]);
    assertEquals(payloads(await queue.receiveMany(3, { waitMs: waitMs(mode) })), [4]);
    assertEquals(await queue.receiveMany(3, { waitMs: waitMs(mode) / 10 }), []);
  });

  redisTest(`ListQueue.consume yields until its signal aborts (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    const stop = new AbortController();
    const seen: number[] = [];
    await queue.enqueue(1);
    for await (const { payload } of queue.consume({ mode, pollMs: 5, signal: stop.signal })) {
      seen.push(payload);
      if (payload < 3) await queue.enqueue(payload + 1);
      else setTimeout(() => stop.abort(), 20); // while the loop waits for a fourth
    }
    assertEquals(seen, [1, 2, 3]);
  });

  redisTest(`ListQueue.consume takes the next only when asked (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    await queue.enqueueMany([1, 2, 3]);
    for await (const _ of queue.consume({ mode })) break;
    assertEquals(await queue.counts(), { ready: 2 });
  });

  redisTest(`ListQueue.consume survives CLIENT KILL (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    const admin = await test.connect();
    const stop = new AbortController();
    const seen: number[] = [];
    const retries: string[] = [];
    const consumed = (async () => {
      const options = {
        mode,
        pollMs: 5,
        signal: stop.signal,
        onEvent: (event: { type: string }) => retries.push(event.type),
      };
      for await (const { payload } of queue.consume(options)) seen.push(payload);
    })();
    for (let i = 0; i < 5; i++) {
      await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
      const sentAt = performance.now();
      await eventually(() => admin.lPush(test.name, String(i)));
      await eventually(() => assertEquals(seen.length, i + 1));
      assertLess(performance.now() - sentAt, 2_000, "working again within 2 s");
    }
    stop.abort();
    await consumed;
    assertEquals(seen, [0, 1, 2, 3, 4]);
    if (mode === "blocking") assert(retries.includes("retrying"));
  });

  redisTest(`ListQueue.consume ends with an entry it cannot decode (${mode})`, async (test) => {
    await using queue = new ListQueue(test.redis, test.name);
    await test.redis.lPush(test.name, "{oops");
    const error = await assertRejects(async () => {
      for await (const _ of queue.consume({ mode })) assert(false, "nothing to yield");
    }, DecodeError);
    assertEquals(new TextDecoder().decode(error.raw), "{oops");
  });

  redisTest(
    `ListQueue.consume reports a bad entry to onEvent and goes on (${mode})`,
    async (test) => {
      await using queue = new ListQueue(test.redis, test.name);
      await test.redis.lPush(test.name, ["{oops", '"fine"']);
      const events: string[] = [];
      const onEvent = (event: { type: string }) => void events.push(event.type);
      for await (const { payload } of queue.consume({ mode, onEvent })) {
        assertEquals(payload, "fine");
        break;
      }
      assertEquals(events, ["undecodable"]);
    },
  );
}

redisTest("ListQueue.receive waits on its own connection, by BRPOP", async (test) => {
  await using queue = new ListQueue<string>(test.redis, test.name);
  const commands = await commandsDuring(test.url, async () => {
    setTimeout(() => queue.enqueue("late"), 30);
    assertEquals((await queue.receive({ waitMs: 2_000 }))?.payload, "late");
  });
  assertEquals(commands.toSorted(), ["BRPOP", "LPUSH"]);
});

redisTest("ListQueue.receive returns undefined when waitMs is over", async (test) => {
  await using queue = new ListQueue(test.redis, test.name);
  const startedAt = performance.now();
  assertEquals(await queue.receive({ waitMs: 150 }), undefined);
  const ms = performance.now() - startedAt;
  assert(ms > 140 && ms < 1_000, `${ms} ms`);
});

redisTest("ListQueue.receive rejects with the reason when its signal aborts", async (test) => {
  await using queue = new ListQueue(test.redis, test.name);
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("enough")), 30);
  const startedAt = performance.now();
  await assertRejects(() => queue.receive({ waitMs: 9_000, signal: stop.signal }), Error, "enough");
  assertLess(performance.now() - startedAt, 1_000);
  await assertRejects(() => queue.receive({ signal: stop.signal }), Error, "enough");
});

redisTest("ListQueue.receive loses nothing when aborts and messages race", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  const seen: number[] = [];
  const total = 200;
  for (let i = 0; i < total; i++) {
    const stop = new AbortController();
    const received = queue.receive({ waitMs: 1_000, signal: stop.signal }).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, i % 4));
    await Promise.all([queue.enqueue(i), Promise.resolve().then(() => stop.abort())]);
    const message = await received;
    if (message) seen.push(message.payload);
  }
  for (;;) {
    const rest = await queue.receiveMany(1_000);
    if (rest.length === 0) break;
    seen.push(...payloads(rest) as number[]);
  }
  assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: total }, (_, i) => i));
});

redisTest("ListQueue waits without CLIENT UNBLOCK where that is not allowed", async (test) => {
  const user = test.name.replaceAll(":", "_");
  await test.redis.aclSetUser(user, [
    "on",
    ">secret",
    `~${test.name}`,
    "-@all",
    "+lpush",
    "+rpop",
    "+brpop",
    "+llen",
  ]);
  try {
    const few = await test.connect({ username: user, password: "secret" });
    await using queue = new ListQueue<string>(few, test.name);
    setTimeout(() => queue.enqueue("allowed"), 20);
    assertEquals((await queue.receive({ waitMs: 3_000 }))?.payload, "allowed");
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    const startedAt = performance.now();
    await assertRejects(() => queue.receive({ waitMs: 9_000, signal: stop.signal }), DOMException);
    assertLess(performance.now() - startedAt, 2_500);
    await assertRejects(() => queue.purge(), Error, "NOPERM");
    await test.redis.set(test.name, "a string");
    await assertRejects(() => queue.enqueue("x"), TypeError, "holds a value of another type");
  } finally {
    await test.redis.aclDelUser(user);
  }
});

redisTest("ListQueue.peek looks from the front, page by page, and takes nothing", async (test) => {
  const queue = new ListQueue<number>(test.redis, test.name);
  await queue.enqueueMany([1, 2, 3, 4, 5]);
  const seen: unknown[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.peek("ready", { limit: 2, cursor });
    assert(page.messages.length <= 2);
    seen.push(...page.messages.map((message) => message.payload));
    cursor = page.cursor;
  } while (cursor);
  assertEquals(seen, [1, 2, 3, 4, 5]);
  assertEquals(await queue.counts(), { ready: 5 });
  assertEquals(await new ListQueue(test.redis, `${test.name}:none`).peek(), {
    messages: [],
    cursor: undefined,
  });
});

redisTest("ListQueue.peek shows the raw bytes of what it cannot decode", async (test) => {
  const queue = new ListQueue(test.redis, test.name);
  const bytes = Uint8Array.from([0xff, 0x00, 0x7b]);
  await test.redis.lPush(test.name, ["1", Buffer.from(bytes)]);
  const { messages: [fine, bad] } = await queue.peek();
  assertEquals(fine?.payload, 1);
  assertInstanceOf(bad?.error, DecodeError);
  assertEquals(bad?.raw, bytes);
});

redisTest("ListQueue.purge removes what waits and says how many", async (test) => {
  const queue = new ListQueue<number>(test.redis, test.name);
  await queue.enqueueMany([1, 2, 3]);
  assertEquals(await queue.purge(), 3);
  assertEquals(await queue.purge(), 0);
  assertEquals(await test.redis.exists(test.name), 0);
});

redisTest("ListQueue carries text and bytes as they are", async (test) => {
  const text = new ListQueue<string>(test.redis, `${test.name}:text`, { codec: "text" });
  await text.enqueue("grüße, 世界 🎉");
  assertEquals(await test.redis.lRange(text.name, 0, -1), ["grüße, 世界 🎉"]);
  assertEquals((await text.receive())?.payload, "grüße, 世界 🎉");

  const bytes = new ListQueue<Uint8Array>(test.redis, `${test.name}:bytes`, { codec: "bytes" });
  const value = Uint8Array.from({ length: 256 }, (_, i) => i);
  const enqueued = bytes.enqueue(value);
  value.fill(0); // what happens to the buffer after the call is the caller's business
  await enqueued;
  assertEquals((await bytes.receive())?.payload, Uint8Array.from({ length: 256 }, (_, i) => i));
});

redisTest("ListQueue keeps __proto__ and constructor inert", async (test) => {
  const queue = new ListQueue<Record<string, unknown>>(test.redis, test.name);
  await test.redis.lPush(test.name, '{"__proto__":{"admin":true},"constructor":1}');
  const message = await queue.receive();
  assertEquals(({} as { admin?: boolean }).admin, undefined);
  assertEquals(Object.getPrototypeOf(message!.payload), Object.prototype);
});

redisTest("ListQueue.receive hands out the raw bytes of a foreign entry", async (test) => {
  const queue = new ListQueue(test.redis, test.name);
  const bytes = Uint8Array.from([0x22, 0xc3, 0x28, 0x22]); // a JSON string with broken UTF-8 in it
  await test.redis.lPush(test.name, Buffer.from(bytes));
  const error = await assertRejects(() => queue.receive(), DecodeError, test.name);
  assertEquals(error.raw, bytes);
  assertEquals(error.taken, [error]);
  assertEquals(await queue.counts(), { ready: 0 });
});

redisTest("ListQueue.receiveMany hands out what came with a foreign entry", async (test) => {
  const queue = new ListQueue(test.redis, test.name);
  await test.redis.lPush(test.name, ["1", "{oops", "2", ""]);
  const error = await assertRejects(() => queue.receiveMany(10), DecodeError);
  const taken = error.taken.map((item) =>
    item instanceof DecodeError
      ? new TextDecoder().decode(item.raw)
      : (item as Message<unknown>).payload
  );
  assertEquals(taken, [1, "{oops", 2, ""]);
});

redisTest("ListQueue says so when its key has another type, and leaves the key", async (test) => {
  await using queue = new ListQueue(test.redis, test.name);
  await test.redis.hSet(test.name, "field", "value");
  const expected = `The key "${test.name}" holds a hash, but a ListQueue needs a list`;
  for (
    const action of [
      () => queue.enqueue(1),
      () => queue.enqueueMany([1, 2]),
      () => queue.receive(),
      () => queue.receive({ waitMs: 50 }),
      () => queue.receiveMany(2, { waitMs: 50 }),
      () => queue.counts(),
      () => queue.peek(),
      () => queue.purge(),
    ]
  ) {
    await assertRejects(async () => await action(), TypeError, expected);
  }
  await assertRejects(() => queue.consume().next(), TypeError, expected);
  assertEquals({ ...await test.redis.hGetAll(test.name) }, { field: "value" });
});

redisTest("ListQueue refuses bad payloads before anything is sent", async (test) => {
  const queue = new ListQueue(test.redis, test.name, { maxPayloadBytes: 10 });
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
    [{ later: Promise.resolve(1) }, "payload.later: it is a Promise"],
  ];
  const commands = await commandsDuring(test.url, async () => {
    for (const [payload, message] of bad) {
      await assertRejects(() => queue.enqueue(payload), TypeError, message);
    }
    await assertRejects(() => queue.enqueueMany([1, undefined]), TypeError, "undefined");
    const error = await assertRejects(() => queue.enqueue("0123456789"), RangeError);
    assertEquals(error.message.includes("10 bytes (maxPayloadBytes), but this one has 12"), true);
    // Three bytes a character: the cap counts bytes, not characters.
    await assertRejects(() => queue.enqueue("€€€€"), RangeError, "has 14");
  });
  assertEquals(commands, []);
  assertEquals(await queue.enqueue("01234567"), 1);
});

redisTest("ListQueue refuses bad options, naming the value", async ({ redis, name }) => {
  const queue = new ListQueue(redis, name);
  for (const waitMs of [-1, Number.NaN, Infinity]) {
    const message = `waitMs must be a number of milliseconds`;
    const error = await assertRejects(() => queue.receive({ waitMs }), RangeError, message);
    assert(error.message.endsWith(`but is ${waitMs}`), error.message);
  }
  for (const max of [0, -1, 1.5, 1_001, Number.NaN]) {
    await assertRejects(() => queue.receiveMany(max), RangeError, `but is ${max}`);
  }
  await assertRejects(() => queue.peek("ready", { limit: 0 }), RangeError, "limit");
  await assertRejects(() => queue.peek("ready", { cursor: "-1" }), RangeError, "cursor");
  await assertRejects(() => queue.peek("dead" as "ready"), TypeError, '"dead"');
  await assertRejects(() => queue.purge("dead" as "ready"), TypeError, '"dead"');
  assertThrows(
    () => queue.consume({ mode: "waiting" as Mode }),
    TypeError,
    'mode must be "polling" or "blocking", but is "waiting"',
  );
  assertThrows(() => queue.consume({ pollMs: 0 }), RangeError, "pollMs");
  assertThrows(() => queue.consume({ onEvent: "x" as never }), TypeError, "string");
  const text = { waitMs: "5" as unknown as number };
  await assertRejects(() => queue.receive(text), RangeError, 'but is the string "5"');
  await assertRejects(() => queue.peek("ready", { cursor: 1 as never }), RangeError, "number 1");
  const late = { waitMS: 5 } as object;
  const says = 'receive has no option "waitMS" (the number 5): it takes { waitMs, signal }';
  await assertRejects(() => queue.receive(late), TypeError, says);
  await assertRejects(() => queue.receive(5_000 as never), TypeError, "this is the number 5000");
  const signal = new AbortController() as unknown as AbortSignal;
  await assertRejects(() => queue.receive({ signal }), TypeError, "controller.signal?");
  await assertRejects(() => queue.receiveMany(1, { signal }), TypeError, "controller.signal?");
  assertThrows(() => queue.consume({ signal }), TypeError, "controller.signal?");
  await assertRejects(() => queue.enqueueMany("abc" as never), TypeError, 'the string "abc"');
  assertThrows(() => new ListQueue(redis, name, null as never), TypeError, "this is null");
  assertThrows(() => new ListQueue(redis, name, { leaseMs: 1 } as object), TypeError, '"leaseMs"');
});

redisTest("ListQueue.close ends its connections, and receive says so then", async (test) => {
  const before = await connectedClients(test.redis);
  const queue = new ListQueue(test.redis, test.name);
  const waiting = queue.receive({ waitMs: 9_000 });
  await eventually(async () => assertEquals(await connectedClients(test.redis), before + 1));
  await Promise.all([queue.close(), waiting.catch(() => {})]);
  await eventually(async () => assertEquals(await connectedClients(test.redis), before));
  await assertRejects(() => queue.receive({ waitMs: 10 }), RedisConnectionError, "closed");
});

redisTest("ListQueue ends its connections when the client is closed", async (test) => {
  const client = await test.connect();
  const queue = new ListQueue(client, test.name);
  await queue.receive({ waitMs: 1 });
  const before = await connectedClients(test.redis);
  await client.close();
  await eventually(async () => assertEquals(await connectedClients(test.redis), before - 2));
  const error = await assertRejects(() => queue.enqueue(1), RedisConnectionError, "closed");
  assertEquals([error.sent, error.fatal], [false, true]);
});

redisTest("ListQueue works with a client that its user made", async (test) => {
  const client = createClient({ url: test.url, RESP: 2 });
  client.on("error", () => {});
  await client.connect();
  await using queue = new ListQueue<string>(client, test.name);
  await queue.enqueue("yours");
  assertEquals((await queue.receive({ waitMs: 100 }))?.payload, "yours");
  await client.close();
});

redisTest("ListQueue keeps enqueue quick while eight consumers are blocked", async (test) => {
  const idle = new ListQueue<number>(test.redis, `${test.name}:idle`);
  let queue = new ListQueue<number>(test.redis, test.name);
  const medianMs = async () => {
    const times: number[] = [];
    for (let i = 0; i < 300; i++) {
      const startedAt = performance.now();
      await idle.enqueue(i);
      times.push(performance.now() - startedAt);
    }
    return times.toSorted((a, b) => a - b)[150]!;
  };
  await medianMs(); // warm
  // A round trip takes one of two times here, as the machine sleeps between turns or does not; so the
  // medians of interleaved rounds are compared, not one sample with another.
  const [without, withEight] = [[] as number[], [] as number[]];
  const before = await connectedClients(test.redis);
  for (let round = 0; round < 5; round++) {
    without.push(await medianMs());
    const stop = new AbortController();
    const consumers = Array.from({ length: 8 }, async () => {
      for await (const _ of queue.consume({ signal: stop.signal })) assert(false);
    });
    await eventually(async () => assertEquals(await connectedClients(test.redis), before + 8));
    withEight.push(await medianMs());
    stop.abort();
    await Promise.all(consumers);
    await queue.close();
    queue = new ListQueue<number>(test.redis, test.name);
    await eventually(async () => assertEquals(await connectedClients(test.redis), before));
  }
  const median = (times: number[]) => times.toSorted((a, b) => a - b)[2]!;
  assertLess(
    median(withEight),
    median(without) * 3,
    `${withEight} with, ${without} without`,
  );
});
