import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  channel,
  connect,
  type ConnectedClient,
  DecodeError,
  Publisher,
  RedisConnectionError,
  Subscriber,
  type SubscriberEvent,
} from "@workshop/redis-patterns";
import { FaultyProxy } from "./proxy.ts";
import {
  commandsDuring,
  connectedClients,
  eventually,
  limit,
  redisTest,
  serverTest,
} from "./support.ts";

interface Order {
  order_id: number;
}

const orderOf = (value: unknown): Order => {
  const { order_id } = value as Partial<Order>;
  if (typeof order_id !== "number") throw new TypeError(`order_id is no number: ${order_id}`);
  return { order_id };
};

/** What is in the inbox, once `count` messages have come. */
async function taken<T>(subscriber: Subscriber<T>, count: number) {
  const messages: unknown[] = [];
  await eventually(() => {
    for (let message; (message = subscriber.take());) messages.push(message);
    assertEquals(messages.length, count);
  });
  return messages;
}

redisTest("Publisher.publish resolves with the number of receivers", async (test) => {
  const publisher = new Publisher(test.redis);
  assertEquals(await publisher.publish(test.name, 1), 0);
  await using one = new Subscriber(test.redis);
  await using two = new Subscriber(test.redis);
  await Promise.all([one.subscribe(test.name), two.subscribe(test.name)]);
  assertEquals(await publisher.publish(test.name, 2), 2);
  assertEquals(await taken(one, 1), [{ channel: test.name, payload: 2 }]);
  assertEquals(await taken(two, 1), [{ channel: test.name, payload: 2 }]);
});

redisTest("Subscriber.take asks the inbox and does not wait (polling)", async (test) => {
  await using subscriber = new Subscriber(test.redis);
  assertEquals(subscriber.take(), undefined);
  await subscriber.subscribe(test.name);
  assertEquals(subscriber.take(), undefined);
  const publisher = new Publisher(test.redis);
  for (let i = 0; i < 3; i++) await publisher.publish(test.name, i);
  const messages = await taken(subscriber, 3);
  assertEquals(messages, [0, 1, 2].map((payload) => ({ channel: test.name, payload })));
});

redisTest("Subscriber waits for messages by for await (blocking)", async (test) => {
  await using subscriber = new Subscriber<number>(test.redis);
  await subscriber.subscribe(test.name);
  const publisher = new Publisher(test.redis);
  setTimeout(() => void publisher.publish(test.name, 1), 20);
  setTimeout(() => void publisher.publish(test.name, 2), 40);
  const seen: number[] = [];
  for await (const { payload } of subscriber) {
    seen.push(payload);
    if (payload === 2) break;
  }
  assertEquals(seen, [1, 2]);
  await publisher.publish(test.name, 3);
  assertEquals(await taken(subscriber, 1), [{ channel: test.name, payload: 3 }]);
});

redisTest("Subscriber.messages ends when its signal aborts, and on close", async (test) => {
  const subscriber = new Subscriber(test.redis);
  await subscriber.subscribe(test.name);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 20);
  for await (const _ of subscriber.messages({ signal: stop.signal })) assert(false);
  setTimeout(() => void subscriber.close(), 20);
  for await (const _ of subscriber) assert(false);
  await assertRejects(() => subscriber.subscribe(test.name), TypeError, "closed");
});

redisTest("Subscriber hears a message once for each matching subscription", async (test) => {
  await using subscriber = new Subscriber(test.redis);
  await subscriber.subscribe(`${test.name}.new`);
  await subscriber.psubscribe(`${test.name}.*`, `${test.name}.n?w`);
  assertEquals(await new Publisher(test.redis).publish(`${test.name}.new`, "x"), 3);
  const messages = await taken(subscriber, 3) as { pattern?: string; channel: string }[];
  assertEquals(messages.map((message) => message.channel), Array(3).fill(`${test.name}.new`));
  assertEquals(
    messages.map((message) => message.pattern).toSorted(),
    [undefined, `${test.name}.*`, `${test.name}.n?w`].toSorted(),
  );
});

redisTest("Subscriber stops hearing what it has left", async (test) => {
  await using subscriber = new Subscriber<string>(test.redis);
  const publisher = new Publisher(test.redis);
  const [a, b] = [`${test.name}.a`, `${test.name}.b`];
  await subscriber.subscribe(a, b);
  await subscriber.psubscribe(`${test.name}:*`);
  await subscriber.unsubscribe(a);
  await subscriber.punsubscribe(`${test.name}:*`);
  assertEquals(await publisher.publish(a, "left"), 0);
  assertEquals(await publisher.publish(`${test.name}:x`, "left"), 0);
  assertEquals(await publisher.publish(b, "heard"), 1);
  assertEquals(await taken(subscriber, 1), [{ channel: b, payload: "heard" }]);
});

redisTest(
  "Subscriber hears once what was subscribed twice, and again what was left",
  async (test) => {
    await using subscriber = new Subscriber<number>(test.redis);
    const publisher = new Publisher(test.redis);
    await subscriber.subscribe(test.name, test.name);
    await subscriber.subscribe(test.name);
    assertEquals(await publisher.publish(test.name, 1), 1);
    await Promise.all([subscriber.unsubscribe(test.name), subscriber.subscribe(test.name)]);
    assertEquals(await publisher.publish(test.name, 2), 1);
    const messages = await taken(subscriber, 2) as { payload: number }[];
    assertEquals(messages.map((message) => message.payload), [1, 2]);
  },
);

serverTest(
  "Subscriber.subscribe resolves when Redis has it, also while connecting",
  async (server) => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    const redis = await connect({ url: proxy.url });
    const direct = await connect({ url: server.url });
    proxy.delay(50);
    const subscriber = new Subscriber(redis);
    const names = Array.from({ length: 8 }, (_, i) => `news:${i}`);
    await Promise.all(names.map(async (name, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 30));
      await subscriber.subscribe(name);
      assertEquals(await direct.publish(name, "1"), 1, name);
    }));
    await subscriber.close();
    await redis.close();
    await direct.close();
  },
);

redisTest("Subscriber.close ends a subscription that is being made", async (test) => {
  const subscriber = new Subscriber(test.redis);
  const subscribing = subscriber.subscribe(test.name);
  const closing = subscriber.close();
  await assertRejects(() => subscribing, Error, "closed");
  await closing;
});

redisTest("Subscriber.close ends at whatever moment it comes", async (test) => {
  const redis = await test.connect();
  for (let i = 0; i < 300; i++) {
    const subscriber = new Subscriber(redis, { sharded: i % 2 === 0 });
    const heard = (async () => {
      for await (const _ of subscriber) assert(false);
    })();
    const calls = [subscriber.subscribe("{a}"), subscriber.subscribe("{a}b", "{a}c")];
    const settled = Promise.allSettled([...calls, subscriber.unsubscribe("{a}b")]);
    // By time, and by whether promises have had their turns.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
    for (let turns = i % 17; turns > 0; turns--) await null;
    await limit(subscriber.close(), `close() number ${i}`, 2_000);
    await limit(Promise.all([heard, settled]), "who waited", 2_000);
  }
});

redisTest("channel refuses a bad payload at both ends", async (test) => {
  const orders = channel<Order>(test.name, { parse: orderOf });
  const publisher = new Publisher(test.redis);
  const commands = await commandsDuring(test.url, async () => {
    const bad = { order_id: "123" } as unknown as Order;
    await assertRejects(() => publisher.publish(orders, bad), TypeError, "order_id is no number");
    await assertRejects(() => publisher.publish(test.name, undefined), TypeError, "undefined");
    const small = new Publisher(test.redis, { maxPayloadBytes: 4 });
    await assertRejects(() => small.publish(test.name, "12345"), RangeError, "has 7");
  });
  assertEquals(commands, []);

  const events: SubscriberEvent[] = [];
  const onEvent = (event: SubscriberEvent) => void events.push(event);
  await using subscriber = new Subscriber<Order>(test.redis, { onEvent });
  await subscriber.subscribe(orders);
  await publisher.publish(test.name, { order_id: "123" });
  await test.redis.publish(test.name, "{oops");
  await publisher.publish(orders, { order_id: 7 });
  assertEquals(await taken(subscriber, 1), [{ channel: test.name, payload: { order_id: 7 } }]);
  assertEquals(events.map((event) => event.type), ["refused", "refused"]);
  const [first, second] = events as { channel: string; error: DecodeError }[];
  assertInstanceOf(first!.error, DecodeError);
  assertStringIncludes(first!.error.message, "order_id is no number: 123");
  assertEquals(new TextDecoder().decode(second!.error.raw), "{oops");
});

redisTest("channel carries text and bytes as they are", async (test) => {
  const text = channel<string>(`${test.name}:text`, { codec: "text" });
  const bytes = channel<Uint8Array>(`${test.name}:bytes`, { codec: "bytes" });
  await using subscriber = new Subscriber<string | Uint8Array>(test.redis);
  await subscriber.subscribe(text, bytes);
  const publisher = new Publisher(test.redis);
  await publisher.publish(text, "grüße");
  await publisher.publish(bytes, Uint8Array.from([0, 255]));
  assertEquals(await taken(subscriber, 2), [
    { channel: text.name, payload: "grüße" },
    { channel: bytes.name, payload: Uint8Array.from([0, 255]) },
  ]);
});

redisTest("Subscriber keeps a bounded inbox and reports what it dropped", async (test) => {
  const drops: number[] = [];
  await using subscriber = new Subscriber<number>(test.redis, {
    inbox: 3,
    onEvent: (event) => event.type === "dropped" && drops.push(event.dropped),
  });
  await subscriber.subscribe(test.name);
  const publisher = new Publisher(test.redis);
  for (let i = 0; i < 5; i++) await publisher.publish(test.name, i);
  await eventually(() => assertEquals(subscriber.dropped, 2));
  assertEquals(drops, [1, 2]);
  const messages = await taken(subscriber, 3) as { payload: number }[];
  assertEquals(messages.map((message) => message.payload), [2, 3, 4]);
});

redisTest(
  "Subscriber subscribes again after CLIENT KILL and says that there is a gap",
  async (test) => {
    const events: string[] = [];
    await using subscriber = new Subscriber<string>(test.redis, {
      onEvent: (event) => void events.push(event.type),
    });
    await subscriber.subscribe(`${test.name}:a`);
    await subscriber.psubscribe(`${test.name}:p*`);
    await test.redis.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
    const killedAt = performance.now();
    await eventually(() => assertEquals(events, ["lost", "gap"]));
    assertLess(performance.now() - killedAt, 2_000);
    const publisher = new Publisher(test.redis);
    assertEquals(await publisher.publish(`${test.name}:a`, "again"), 1);
    assertEquals(await publisher.publish(`${test.name}:pattern`, "again"), 1);
    await taken(subscriber, 2);
  },
);

redisTest("Subscriber notices by its heartbeat what nobody told it of", async (test) => {
  const redis = await test.connect();
  const made: ConnectedClient[] = [];
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = ((...args: Parameters<typeof duplicate>) => {
    made.push(duplicate(...args) as unknown as ConnectedClient);
    return made.at(-1);
  }) as typeof redis.duplicate;
  const events: string[] = [];
  await using subscriber = new Subscriber<string>(redis, {
    heartbeatMs: 100,
    onEvent: (event) => void events.push(event.type),
  });
  await subscriber.subscribe(test.name);
  // As when it is given up in the very turn in which the subscription was confirmed.
  const [client] = made;
  for (const name of ["error", "end"]) {
    client!.off(name, client!.listeners(name).at(-1) as () => void); // the subscriber's
  }
  client!.destroy();
  await eventually(() => assertEquals(events, ["lost", "gap"]));
  assertEquals(await new Publisher(test.redis).publish(test.name, "again"), 1);
  await taken(subscriber, 1);
});

serverTest("Subscriber notices a half-open connection", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const redis = await connect({ url: proxy.url, heartbeatMs: 200 });
  const direct = await connect({ url: server.url });
  const events: string[] = [];
  const subscriber = new Subscriber<string>(redis, {
    heartbeatMs: 150,
    onEvent: (event) => void events.push(event.type),
  });
  await subscriber.subscribe("news");
  proxy.blackHole(true);
  await eventually(() => assert(events.includes("lost"), "not noticed"));
  proxy.blackHole(false);
  await eventually(() => assert(events.includes("gap"), "not back"), 12_000);
  await new Publisher(direct).publish("news", "hello");
  await taken(subscriber, 1);
  await subscriber.close();
  redis.destroy(); // close() waits for replies, and what went into the hole is never answered
  await direct.close();
});

serverTest("Subscriber survives kill -9 of the server and its restart", async (server) => {
  const redis = await connect({ url: server.url });
  const events: string[] = [];
  const subscriber = new Subscriber<string>(redis, {
    onEvent: (event) => void events.push(event.type),
  });
  await subscriber.subscribe("news");
  await server.kill();
  await eventually(() => assertEquals(events, ["lost"]));
  await server.restart();
  await eventually(() => assertEquals(events, ["lost", "gap"]));
  const publisher = new Publisher(redis);
  await eventually(async () => assertEquals(await publisher.publish("news", "back"), 1));
  await taken(subscriber, 1);
  await subscriber.close();
  await redis.close();
});

redisTest("Subscriber ends with an error that no waiting mends", async (test) => {
  const user = test.name.replaceAll(":", "_");
  await test.redis.aclSetUser(user, ["on", ">secret", "-@all", "+subscribe", "&allowed"]);
  try {
    const few = await test.connect({ username: user, password: "secret" });
    const events: SubscriberEvent["type"][] = [];
    await using fine = new Subscriber(few);
    await fine.subscribe("allowed");
    await assertRejects(() => fine.subscribe("secret"), Error, "NOPERM");
    await test.redis.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
    await eventually(async () => {
      assertEquals(await new Publisher(test.redis).publish("allowed", "still"), 1);
    });
    const subscriber = new Subscriber(few, { onEvent: (event) => void events.push(event.type) });
    await assertRejects(() => subscriber.subscribe("secret"), Error, "NOPERM");
    assertEquals(events, ["ended"]);
    assertThrows(() => subscriber.take(), Error, "NOPERM");
    await assertRejects(() => subscriber.messages().next(), Error, "NOPERM");
    await subscriber.close();
  } finally {
    await test.redis.aclDelUser(user);
  }
});

redisTest(
  "Subscriber keeps what it has where more is refused, and hears nothing twice",
  async (test) => {
    const [user, a, b] = [test.name.replaceAll(":", "_"), `${test.name}:a`, `${test.name}:b`];
    const rights = ["-@all", "+subscribe", "+unsubscribe", "+psubscribe", `&${a}`, `&${b}`];
    await test.redis.aclSetUser(user, ["on", ">secret", ...rights]);
    try {
      const few = await test.connect({ url: test.url, username: user, password: "secret" });
      await using subscriber = new Subscriber<number>(few);
      const publisher = new Publisher(test.redis);
      await subscriber.subscribe(a);
      const text = channel<number>(a, { parse: () => -1 });
      await assertRejects(() => subscriber.subscribe(text, b, "secret"), Error, "NOPERM");
      assertEquals(await publisher.publish(a, 1), 1);
      assertEquals(await publisher.publish(b, 2), 0, "what came with it was left again");
      assertEquals(await taken(subscriber, 1), [{ channel: a, payload: 1 }]);
      // Calls that cross: each hears of its own.
      const [one, two, three, four] = await Promise.allSettled([
        subscriber.subscribe("secret"),
        subscriber.subscribe(b),
        subscriber.subscribe("secret", b),
        subscriber.psubscribe("secret*"),
      ]);
      assertEquals(
        [one, two, three, four].map(({ status }) => status),
        ["rejected", "fulfilled", "rejected", "rejected"],
      );
      assertEquals(await publisher.publish(b, 3), 1);
      await test.redis.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      await eventually(async () => assertEquals(await publisher.publish(b, 4), 1));
      assertEquals(await publisher.publish(a, 5), 1);
      assertEquals(await taken(subscriber, 3), [
        { channel: b, payload: 3 },
        { channel: b, payload: 4 },
        { channel: a, payload: 5 },
      ]);
    } finally {
      await test.redis.aclDelUser(user);
    }
  },
);

redisTest("Subscriber ends with the client it was made from", async (test) => {
  const client = await test.connect();
  const before = await connectedClients(test.redis);
  const subscriber = new Subscriber(client);
  await subscriber.subscribe(test.name);
  const loop = (async () => {
    for await (const _ of subscriber) assert(false);
  })();
  await client.close();
  await loop;
  await eventually(async () => assertEquals(await connectedClients(test.redis), before - 1));
  const error = await assertRejects(() => new Subscriber(client).subscribe("x"));
  assertInstanceOf(error, RedisConnectionError);
});

redisTest(
  "Subscriber and Publisher refuse bad names and options, naming the value",
  async (test) => {
    const publisher = new Publisher(test.redis);
    const subscriber = new Subscriber(test.redis);
    for (const name of ["", "a\nb", "\ud800", "x".repeat(201)]) {
      await assertRejects(() => publisher.publish(name, 1), TypeError, "channel name");
      await assertRejects(() => subscriber.subscribe(name), TypeError, "channel name");
      await assertRejects(() => subscriber.psubscribe(name), TypeError, "channel name");
    }
    assertThrows(() => new Subscriber(test.redis, { inbox: 0 }), RangeError, "inbox");
    assertThrows(() => new Subscriber(test.redis, { heartbeatMs: -1 }), RangeError, "-1");
    assertThrows(() => new Publisher(test.redis, { maxPayloadBytes: 0 }), RangeError, "0");
    assertThrows(() => new Publisher(undefined as never), TypeError, "undefined");
    assertThrows(() => new Subscriber(null as never), TypeError, "null");
    for (const target of [undefined, 5, 5n, { name: "x" }] as never[]) {
      await assertRejects(() => publisher.publish(target, 1), TypeError, "A channel is a name");
      await assertRejects(() => subscriber.subscribe(target), TypeError, "A channel is a name");
    }
    assertThrows(() => channel("x", { parse: "y" as never }), TypeError, "string");
    assertThrows(() => channel("x", { codec: "xml" as "json" }), TypeError, '"xml"');
    assertThrows(() => channel("x", { schema: 1 } as object), TypeError, 'no option "schema"');
    assertThrows(() => new Subscriber(test.redis, { size: 1 } as object), TypeError, '"size"');
    assertThrows(() => new Subscriber(test.redis, { onEvent: 1 as never }), TypeError, "number 1");
    assertThrows(() => new Publisher(test.redis, 5 as never), TypeError, "this is the number 5");
    const signal = new AbortController() as unknown as AbortSignal;
    const messages = subscriber.messages({ signal });
    await assertRejects(() => messages.next(), TypeError, "did you mean controller.signal?");
    await subscriber.close();
  },
);

redisTest("Subscriber without onEvent ends with a message that it cannot read", async (test) => {
  await using subscriber = new Subscriber(test.redis);
  await subscriber.subscribe(test.name);
  const publisher = new Publisher(test.redis);
  await publisher.publish(test.name, "read");
  await test.redis.publish(test.name, "{oops");
  const messages = subscriber.messages();
  assertEquals((await messages.next()).value?.payload, "read");
  await assertRejects(() => messages.next(), DecodeError, "{oops");
});

redisTest("Subscriber ends with the error of an onEvent that throws", async (test) => {
  await using subscriber = new Subscriber(test.redis, {
    onEvent: () => {
      throw new Error("broken listener");
    },
  });
  await subscriber.subscribe(test.name);
  await test.redis.publish(test.name, "{oops");
  await assertRejects(() => subscriber.messages().next(), Error, "broken listener");
});
