import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  connect,
  type ConnectedClient,
  type ConnectionEvent,
  ListQueue,
  RedisConnectionError,
} from "@workshop/redis-patterns";
import { freePort } from "../tools/redis_server.ts";
import { FaultyProxy } from "./proxy.ts";
import { connectedClients, eventually, redisTest, serverTest } from "./support.ts";

Deno.test("connect names host, port and the way out when there is no server", async () => {
  const port = freePort();
  const startedAt = performance.now();
  const error = await assertRejects(
    () => connect({ url: `redis://127.0.0.1:${port}`, timeoutMs: 300 }),
    RedisConnectionError,
    `Redis at 127.0.0.1:${port}: connection refused (tried for 300 ms). Is it running?`,
  );
  assertStringIncludes(error.message, "redis-server");
  assertEquals([error.sent, error.fatal], [false, false]);
  assertLess(performance.now() - startedAt, 2_000);
});

Deno.test("connect gives up on a server that accepts and never answers", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) accepted.push(connection);
  })();
  const url = `redis://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  await assertRejects(() => connect({ url, timeoutMs: 300 }), RedisConnectionError, "300 ms");
  listener.close();
  for (const connection of accepted) connection.close();
  await accepting;
});

Deno.test("connect refuses a URL that is none, without its password", async () => {
  const bad = [
    "http://ann:hunter2@localhost",
    "ann:hunter2@localhost:6379",
    "redis://ann:hunter2@host:port",
    "redis://ann:hunter2@localhost/first",
    "redis://ann:hun ter2-hunter2@host:port",
    "redis://ann:it's-hunter2@host:port",
    "redis://ann:12/hunter2@host",
    "redis://ann:12?hunter2@host",
    "",
  ];
  for (const url of bad) {
    const error = await assertRejects(() => connect({ url, timeoutMs: 100 }), TypeError);
    assert(!error.message.includes("hunter2"), error.message);
  }
  await assertRejects(() => connect({ url: "http://x" }), TypeError, '"http://x"');
});

Deno.test("connect refuses options that would not do what they say", async () => {
  const tls = { ca: "certificate" };
  await assertRejects(() => connect({ url: "redis://127.0.0.1:1", tls }), TypeError, "rediss://");
  await assertRejects(() => connect({ name: "my app" }), TypeError, '"my app"');
  // Otherwise these would be let in as "default", where that has no password.
  for (const options of [{ username: "ann" }, { url: "redis://ann@127.0.0.1:1" }]) {
    await assertRejects(() => connect(options), TypeError, 'The account "ann" needs a password');
  }
  const signal = new AbortController() as unknown as AbortSignal;
  await assertRejects(() => connect({ signal }), TypeError, "did you mean controller.signal?");
  const secrets = ["redis://:hunter2@127.0.0.1:1", { pasword: "hunter2" }];
  for (const options of secrets as object[]) {
    const error = await assertRejects(() => connect(options), TypeError, "{ url, ");
    assert(!error.message.includes("hunter2"), error.message);
  }
});

Deno.test("connect ends with its signal", async () => {
  const signal = AbortSignal.timeout(50);
  const startedAt = performance.now();
  const url = `redis://127.0.0.1:${freePort()}`;
  await assertRejects(() => connect({ url, signal }), DOMException, "timeout");
  assertLess(performance.now() - startedAt, 1_000);
});

Deno.test("connect refuses durations that are none, naming them", async () => {
  await assertRejects(() => connect({ timeoutMs: -1 }), RangeError, "timeoutMs");
  await assertRejects(() => connect({ timeoutMs: Number.NaN }), RangeError, "NaN");
  await assertRejects(() => connect({ heartbeatMs: -5 }), RangeError, "-5");
});

serverTest("connect stops at once at a wrong password and never prints it", async (server) => {
  const right = new URL(server.url);
  right.password = "hunter2-wrong";
  for (
    const options of [
      { url: right.href },
      { url: `redis://127.0.0.1:${server.port}`, username: "default", password: "hunter2-wrong" },
      { url: `redis://127.0.0.1:${server.port}` }, // none at all
    ]
  ) {
    const startedAt = performance.now();
    const error = await assertRejects(() => connect(options), RedisConnectionError);
    assertLess(performance.now() - startedAt, 2_000, "not retried until the deadline");
    assert(error.fatal);
    assert(/WRONGPASS|NOAUTH/.test(error.message), error.message);
    assert(!Deno.inspect(error).includes("hunter2"), "no password, also not in a cause");
  }
  const redis = await connect({ url: `redis://127.0.0.1:${server.port}`, password: "p@ss/w:rd%" });
  assertEquals(await redis.ping(), "PONG");
  await redis.close();
}, { password: "p@ss/w:rd%" });

serverTest("connect waits while the server loads its data", async (server) => {
  const redis = await connect({ url: server.url });
  await redis.sendCommand(["DEBUG", "POPULATE", "10000", "key", "100"]);
  await redis.sendCommand(["SAVE"]);
  redis.destroy();
  await server.kill();
  const restarting = server.restart();
  const startedAt = performance.now();
  const again = await connect({ url: server.url, timeoutMs: 20_000 });
  assertGreater(performance.now() - startedAt, 500, "there was something to wait for");
  assertEquals(await again.exists("key:1"), 1); // LOADING would be an error reply
  await restarting;
  await again.close();
}, { config: { "enable-debug-command": "yes", "key-load-delay": "100" } });

serverTest(
  "connect goes on when the connection is lost before the first answer",
  async (server) => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    const lost = proxy.dropReplies((request) => /ping/i.test(request));
    await using redis = await connect({ url: proxy.url, timeoutMs: 5_000 });
    await lost;
    assertEquals(await redis.ping(), "PONG");
  },
);

redisTest(
  "connect's client is closed by await using, also where it was closed already",
  async (test) => {
    let open: ConnectedClient;
    {
      await using redis = await connect({ url: test.url });
      open = redis;
      assertEquals(await redis.ping(), "PONG");
    }
    assertEquals(open.isOpen, false);
    {
      await using redis = await connect({ url: test.url });
      await redis.close();
    }
  },
);

serverTest("connect tells of a server that evicts, once", async (server) => {
  const events: ConnectionEvent[] = [];
  const redis = await connect({ url: server.url, onEvent: (event) => events.push(event) });
  const address = `127.0.0.1:${server.port}`;
  assertEquals(events, [{ type: "evicting", address, policy: "allkeys-lru" }]);
  await redis.close();
}, { config: { "maxmemory-policy": "allkeys-lru" } });

redisTest("connect says nothing of a server that does not evict", async (test) => {
  const events: ConnectionEvent[] = [];
  await test.connect({ onEvent: (event) => events.push(event) });
  assertEquals(events, []);
});

redisTest("connect works for an account with no rights at all", async (test) => {
  const user = test.name.replaceAll(":", "_");
  await test.redis.aclSetUser(user, ["on", ">secret", "-@all"]);
  try {
    const events: ConnectionEvent[] = [];
    const onEvent = (event: ConnectionEvent) => events.push(event);
    const redis = await test.connect({ username: user, password: "secret", onEvent });
    assertEquals(events, [], "what it may not ask, it does not tell");
    await assertRejects(() => redis.get("x"), Error, "NOPERM");
    await assertRejects(() => new ListQueue(redis, "x").enqueue(1), Error, "NOPERM");
  } finally {
    await test.redis.aclDelUser(user);
  }
});

redisTest("connect needs no permission but --allow-net=host:port", async (test) => {
  const { host } = new URL(test.url);
  const program = `
    import { connect, ListQueue } from "@workshop/redis-patterns";
    const redis = await connect({ url: "redis://${host}" });
    await using queue = new ListQueue(redis, "${test.name}");
    await queue.enqueue("permitted");
    console.log((await queue.receive({ waitMs: 100 }))?.payload);
    await queue.close();
    await redis.close();`;
  const file = await Deno.makeTempFile({ dir: import.meta.dirname, suffix: "_scratch.ts" });
  try {
    await Deno.writeTextFile(file, program);
    const run = (net: string) =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", `--allow-net=${net}`, file],
        env: { NO_COLOR: "1" },
      }).output();
    const allowed = await run(host);
    assertEquals(new TextDecoder().decode(allowed.stderr), "");
    assertEquals(new TextDecoder().decode(allowed.stdout), "permitted\n");
    const refused = await run("127.0.0.1:1");
    const said = new TextDecoder().decode(refused.stderr);
    assertStringIncludes(said, `net access to "${host}"`);
    assert(!said.includes("Is it running?"), said);
    assertEquals(refused.code, 1);
  } finally {
    await Deno.remove(file);
  }
});

redisTest(
  "connect says at once that a permission is missing, for an address and a name",
  async () => {
    const program = `
    import { connect } from "@workshop/redis-patterns";
    for (const url of ["redis://127.0.0.1:1", "redis://localhost:1"]) {
      const startedAt = performance.now();
      const error = await connect({ url, timeoutMs: 20_000 }).catch((error) => error);
      console.log(error.fatal, performance.now() - startedAt < 10_000, error.message);
    }`;
    const file = await Deno.makeTempFile({ dir: import.meta.dirname, suffix: "_scratch.ts" });
    try {
      await Deno.writeTextFile(file, program);
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", file],
        env: { NO_COLOR: "1" },
      }).output();
      const [address, name] = new TextDecoder().decode(stdout).split("\n");
      assertStringIncludes(address!, `true true Redis at 127.0.0.1:1: Requires net access`);
      assertStringIncludes(name!, "true true Redis at localhost:1: ");
      assertStringIncludes(name!, "a host name needs --allow-net=<host> without a port");
    } finally {
      await Deno.remove(file);
    }
  },
);

serverTest("connect's client comes back after kill -9 and restart", async (server) => {
  const events: ConnectionEvent["type"][] = [];
  const redis = await connect({ url: server.url, onEvent: (event) => events.push(event.type) });
  const queue = new ListQueue<string>(redis, "mail");
  await queue.enqueue("kept");
  await server.kill();
  await eventually(() => assert(events.includes("lost")));
  const error = await assertRejects(() => queue.enqueue("later"), RedisConnectionError);
  assertEquals(error.sent, false, "nothing is kept back to be sent later");
  assertStringIncludes(error.message, "not connected (connection refused)");
  await server.restart();
  const restartedAt = performance.now();
  await eventually(async () => assertEquals((await queue.receive())?.payload, "kept"));
  assertLess(performance.now() - restartedAt, 2_000);
  await eventually(() => assert(events.includes("ready")));
  await redis.close();
}, { aof: true });

serverTest("a command without a reply ends in an error that says it was sent", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const redis = await connect({ url: proxy.url });
  const queue = new ListQueue<string>(redis, "mail");
  proxy.dropReplies(1, { after: /LPUSH/i });
  const error = await assertRejects(() => queue.enqueue("once"), RedisConnectionError);
  assertEquals([error.sent, error.fatal], [true, false]);
  await eventually(async () => assertEquals(await queue.counts(), { ready: 1 }));
  await redis.close();
});

serverTest("the supervisor notices a half-open connection and makes a new one", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const events: ConnectionEvent["type"][] = [];
  const redis = await connect({
    url: proxy.url,
    heartbeatMs: 200,
    onEvent: (event) => events.push(event.type),
  });
  const queue = new ListQueue<string>(redis, "mail");
  proxy.blackHole(true);
  await eventually(() => assert(events.includes("lost")), 5_000);
  proxy.blackHole(false);
  const openAt = performance.now();
  await eventually(async () => {
    await queue.enqueue("through");
  });
  assertLess(performance.now() - openAt, 2_000);
  await redis.close();
});

serverTest("a paused server delays a blocked consumer and loses nothing", async (server) => {
  const redis = await connect({ url: server.url });
  await using queue = new ListQueue<string>(redis, "mail");
  const received = queue.receive({ waitMs: 20_000 });
  await eventually(async () => {
    assertStringIncludes(await redis.info("clients"), "blocked_clients:1");
  });
  await server.pause();
  const enqueued = queue.enqueue("late");
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await server.resume();
  await enqueued;
  assertEquals((await received)?.payload, "late");
  await queue.close();
  await redis.close();
});

serverTest("a blocked consumer behind a black hole works again", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const direct = await connect({ url: server.url });
  const redis = await connect({ url: proxy.url, heartbeatMs: 500 });
  await using queue = new ListQueue<string>(redis, "mail");
  const stop = new AbortController();
  const seen: string[] = [];
  const consumed = (async () => {
    for await (const { payload } of queue.consume({ signal: stop.signal })) seen.push(payload);
  })();
  await eventually(async () => {
    assertStringIncludes(await direct.info("clients"), "blocked_clients:1");
  });
  proxy.blackHole(true);
  // The block time is 5 s and the grace another 5: then the connection counts as dead.
  await new Promise((resolve) => setTimeout(resolve, 11_000));
  proxy.blackHole(false);
  const openAt = performance.now();
  await direct.lPush("mail", ['"one"', '"two"']);
  await eventually(() => assert(seen.length > 0), 8_000);
  assertLess(performance.now() - openAt, 8_000);
  stop.abort();
  await consumed;
  await queue.close();
  await redis.close();
  await direct.close();
});

serverTest(
  "a client that its owner closes on a half-open connection stays closed",
  async (server) => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    const redis = await connect({ url: proxy.url, heartbeatMs: 100 });
    const other = await connect({
      url: proxy.url,
      heartbeatMs: 100,
      onEvent: (event) => event.type === "lost" && other.destroy(),
    });
    proxy.blackHole(true);
    await new Promise((resolve) => setTimeout(resolve, 150)); // a PING is out
    await redis.close();
    await eventually(() => assertEquals(other.isOpen, false));
    proxy.blackHole(false);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assertEquals([redis.isOpen, other.isOpen], [false, false]);
  },
);

for (const how of ["destroy", "close"] as const) {
  serverTest(
    `a client stays closed whose owner calls ${how}() while it connects anew`,
    async (server) => {
      await using proxy = await FaultyProxy.start({ port: server.port });
      const watcher = await connect({ url: server.url });
      const before = await connectedClients(watcher);
      const redis = await connect({ url: proxy.url });
      const connecting = new Promise<void>((resolve) => redis.once("reconnecting", resolve));
      proxy.cut();
      await connecting; // the socket is made, and not connected yet
      await redis[how]();
      await new Promise((resolve) => setTimeout(resolve, 200));
      assertEquals([redis.isOpen, redis.isReady], [false, false]);
      assertEquals(await connectedClients(watcher), before);
      await watcher.close();
    },
  );
}

serverTest(
  "a busy event loop is no dead connection, and a late reply no lost one",
  async (server) => {
    const events: string[] = [];
    const redis = await connect({
      url: server.url,
      heartbeatMs: 50,
      onEvent: (event) => events.push(event.type),
    });
    const queue = new ListQueue(redis, "mail");
    await redis.set("mail", "a string");
    for (let i = 0; i < 5; i++) {
      const refused = assertRejects(() => queue.enqueue(i), TypeError, "holds a string");
      const until = performance.now() + 200;
      while (performance.now() < until); // a handler that computes
      await refused;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    assertEquals(events, []);
    await redis.close();
  },
);

serverTest("a stop is prompt while Redis does not answer", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const redis = await connect({ url: proxy.url, heartbeatMs: 0 });
  const queue = new ListQueue(redis, "mail");
  await queue.receive({ waitMs: 1 });
  const stop = new AbortController();
  const waiting = queue.receive({ waitMs: 20_000, signal: stop.signal });
  await new Promise((resolve) => setTimeout(resolve, 50));
  proxy.blackHole(true);
  const connecting = queue.receive({ waitMs: 20_000, signal: stop.signal }); // a second connection
  await new Promise((resolve) => setTimeout(resolve, 50));
  const startedAt = performance.now();
  stop.abort(new Error("stopped"));
  await Promise.all([
    assertRejects(() => waiting, Error, "stopped"),
    assertRejects(() => connecting, Error, "stopped"),
  ]);
  assertLess(performance.now() - startedAt, 2_500);
  await queue.close();
  assertLess(performance.now() - startedAt, 4_000);
  redis.destroy();
});

serverTest("a client whose server is frozen closes all the same", async (server) => {
  const redis = await connect({ url: server.url, heartbeatMs: 200 });
  await server.pause();
  const unanswered = assertRejects(() => redis.get("key"));
  const closedAt = performance.now();
  await redis.close();
  await unanswered;
  assertLess(performance.now() - closedAt, 3_000);
  await server.resume();
});

serverTest("a client that is closed waits for replies that are slow", async (server) => {
  const redis = await connect({ url: server.url, heartbeatMs: 200 });
  const slow = redis.sendCommand(["BLPOP", "nothing", "0.15"]);
  await redis.close();
  assertEquals(await slow, null);
});

redisTest("a client closes in time while its queue is blocked", async (test) => {
  const client = await test.connect();
  const queue = new ListQueue(client, test.name);
  const waiting = queue.receive({ waitMs: 20_000 }).catch((error) => error);
  await eventually(async () => {
    assertStringIncludes(await test.redis.info("clients"), "blocked_clients:1");
  });
  const startedAt = performance.now();
  await client.close();
  await waiting;
  assertLess(performance.now() - startedAt, 2_000);
});

redisTest("200 times connect, wait and close leave no connection", async (test) => {
  for (let i = 0; i < 200; i++) {
    const client = await test.connect();
    const queue = new ListQueue(client, test.name);
    await queue.enqueue(i);
    assertEquals((await queue.receive({ waitMs: 1_000 }))?.payload, i);
    await client.close();
  } // redisTest compares connected_clients
});
