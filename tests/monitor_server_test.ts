/** The job queue server: what programs in other languages rely on. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { PriorityQueue, ReliableQueue, StreamQueue } from "@workshop/redis-patterns";
import { TaskMonitor } from "@workshop/redis-patterns/tasks";
import { libraryEnv } from "../tools/debian.ts";
import { findRedisPy, unpackDebian } from "../tools/provision.ts";
import { run, which } from "../tools/run.ts";
import { post, serve } from "./monitor_web_support.ts";
import { eventually, limit, redisTest, serverTest } from "./support.ts";

interface Delivered {
  id: string;
  payload: unknown;
  attempt: number;
  token: string;
}

const deliveriesOf = (body: Record<string, unknown>) => body["deliveries"] as Delivered[];

for (
  const [kind, Queue] of [
    ["list", ReliableQueue],
    ["priority", PriorityQueue],
    ["stream", StreamQueue],
  ] as const
) {
  redisTest(`the job server takes a message of a ${kind} from enqueue to ack`, async (test) => {
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${encodeURIComponent(test.name)}`;
    const sent = await post(`${at}/messages?kind=${kind}`, {
      payload: { to: "ann" },
      id: "order 1/7",
    });
    assertEquals([sent.status, sent.body], [201, { id: "order 1/7", duplicate: false }]);
    const again = await post(`${at}/messages`, { payload: { to: "ann" }, id: "order 1/7" });
    assertEquals([again.status, again.body["duplicate"]], [200, true]);

    const received = await post(`${at}/receive`);
    assertEquals(received.status, 200);
    const [delivery] = deliveriesOf(received.body);
    assertEquals([delivery!.id, delivery!.payload, delivery!.attempt], [
      "order 1/7",
      { to: "ann" },
      1,
    ]);
    assertEquals((await post(`${at}/receive`)).status, 204);

    const settle = `${server.url}/deliveries/${delivery!.token}`;
    assertEquals((await post(`${settle}/extend`, { ms: 60_000 })).status, 204);
    assertEquals((await post(`${settle}/ack`)).status, 204);
    assertEquals((await post(`${settle}/ack`)).status, 204, "a repeated ack is the same success");
    await using queue = new Queue<unknown>(test.redis, test.name);
    const { ready, leased, dead } = await queue.counts();
    assertEquals([ready, leased, dead], [0, 0, 0]);
    const counted = await (await fetch(at)).json();
    assertEquals([counted.kind, counted.stats.totals.acked], [kind, 1]);
  });

  redisTest(`the job server gives a message of a ${kind} back, and buries it`, async (test) => {
    await using server = serve({ redis: test.url, queueOptions: () => ({ maxAttempts: 2 }) });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages?kind=${kind}`, { messages: [{ payload: 1 }, { payload: 2 }] });
    const [one, two] = deliveriesOf((await post(`${at}/receive`, { max: 2 })).body);
    const nack = await post(`${server.url}/deliveries/${one!.token}/nack`, {
      delayMs: 0,
      error: "busy",
    });
    assertEquals([nack.status, nack.body], [200, { state: "ready" }]);
    const bury = await post(`${server.url}/deliveries/${two!.token}/dead-letter`, {
      reason: "no such address",
    });
    assertEquals(bury.status, 204);
    const [again] = deliveriesOf((await post(`${at}/receive`)).body);
    assertEquals([again!.id, again!.attempt], [one!.id, 2]);
    const last = await post(`${server.url}/deliveries/${again!.token}/nack`, { error: "busy" });
    assertEquals(last.body, { state: "dead" });
    await using queue = new Queue<unknown>(test.redis, test.name);
    const { messages } = await queue.peek("dead");
    assertEquals(messages.map(({ reason }) => reason), [
      "no such address",
      "after 2 attempts: Error: busy",
    ]);
    const stacks = messages.flatMap(({ errors }) => errors.map(({ stack }) => stack ?? ""));
    assert(stacks.every((stack) => !stack.includes("jobs.ts")), "no stack of the server's");
  });
}

redisTest(
  "the job server answers a waiting receive as soon as there is a message",
  async (test) => {
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages`, { payload: 0 });
    await post(`${at}/receive`);
    const waiting = post(`${at}/receive`, { waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const startedAt = performance.now();
    await post(`${at}/messages`, { payload: 1 });
    const { body } = await waiting;
    assertEquals(deliveriesOf(body)[0]!.payload, 1);
    assertLess(performance.now() - startedAt, 1_000);
    const none = await post(`${at}/receive`, { waitMs: 100 });
    assertEquals(none.status, 204);
  },
);

redisTest("a client that goes away while it waits gets nothing leased", async (test) => {
  await using server = serve({ redis: test.url, queueOptions: () => ({ maxAttempts: 1 }) });
  const at = `${server.url}/queues/${test.name}`;
  await using queue = new ReliableQueue<number>(test.redis, test.name, { maxAttempts: 1 });
  await queue.enqueue(0);
  await (await queue.receive())!.ack();
  // One that left before there was a message.
  const early = new AbortController();
  const left = post(`${at}/receive`, { waitMs: 20_000 }, { signal: early.signal }).catch(() =>
    "left"
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  early.abort();
  assertEquals(await left, "left");
  await new Promise((resolve) => setTimeout(resolve, 100));
  await queue.enqueue(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals((await queue.counts()).leased, 0);
  // They leave at the moment in which a message comes, so that some are claimed for somebody who is gone.
  for (let round = 0; round < 20; round++) {
    const leaving = Array.from({ length: 5 }, () => new AbortController());
    const waits = leaving.map(({ signal }) => {
      return post(`${at}/receive`, { waitMs: 20_000 }, { signal }).catch(() => undefined);
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([
      queue.enqueueMany([1, 2, 3, 4, 5]),
      ...leaving.map(async (client, i) => {
        await new Promise((resolve) => setTimeout(resolve, i));
        client.abort();
      }),
    ]);
    const got = (await Promise.all(waits)).filter((answer) => answer?.status === 200);
    for (const answer of got) {
      for (const { token } of deliveriesOf(answer!.body)) {
        assertEquals((await post(`${server.url}/deliveries/${token}/ack`)).status, 204);
      }
    }
  }
  // A hundred and two were enqueued; what was not acknowledged is ready, at its first attempt. An answer that had
  // left already, to a client that had, too, may be under its lease until that is over.
  const { acked, dead } = (await queue.stats()).totals;
  assertEquals(dead, 0, "giving back spends no attempt, or maxAttempts: 1 would have buried it");
  await eventually(async () => {
    const { ready, leased } = await queue.counts();
    assertEquals(ready + leased, 102 - acked);
    assertLess(leased, 40);
  });
  const { messages } = await queue.peek("ready", { limit: 200 });
  assert(messages.every(({ attempts }) => attempts === 0));
});

redisTest("what a client was given comes back when the client is gone for good", async (test) => {
  await using server = serve({ redis: test.url, queueOptions: () => ({ leaseMs: 200 }) });
  const at = `${server.url}/queues/${test.name}`;
  await post(`${at}/messages`, { payload: "x" });
  const first = deliveriesOf((await post(`${at}/receive`)).body)[0]!;
  const second = deliveriesOf((await post(`${at}/receive`, { waitMs: 5_000 })).body)[0]!;
  assertEquals([second.id, second.attempt], [first.id, 2]);
  const late = await post(`${server.url}/deliveries/${first.token}/ack`);
  assertEquals([late.status, late.body["type"]], [409, "urn:redis-patterns:problem:lease-lost"]);
  assertEquals(late.headers.get("content-type"), "application/problem+json");
  assertEquals((await post(`${server.url}/deliveries/${second.token}/ack`)).status, 204);
});

redisTest(
  "bad input to the job server is refused with a problem document, and loses nothing",
  async (test) => {
    await using server = serve({ redis: test.url, maxBodyBytes: 20_000 });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages`, { payload: "kept" });
    const json = { "content-type": "application/json" };
    const token = deliveriesOf((await post(`${at}/receive`)).body)[0]!.token;
    const settle = `${server.url}/deliveries/${token}`;
    const cases: [what: string, status: number, url: string, body: unknown, init?: RequestInit][] =
      [
        ["malformed JSON", 400, `${at}/messages`, '{"payload": '],
        ["no object", 400, `${at}/messages`, "[1]"],
        ["no payload", 400, `${at}/messages`, {}],
        ["unknown field", 400, `${at}/messages`, { payload: 1, delay: 5 }],
        ["negative delay", 400, `${at}/messages`, { payload: 1, delayMs: -1 }],
        ["a bad id", 400, `${at}/messages`, { payload: 1, id: "" }],
        ["messages that are none", 400, `${at}/messages`, { messages: 7 }],
        ["a priority in a list", 400, `${at}/messages`, { payload: 1, priority: 1 }],
        ["another kind", 409, `${at}/messages?kind=stream`, { payload: 1 }],
        ["no kind", 400, `${at}/messages?kind=heap`, { payload: 1 }],
        ["too large", 413, `${at}/messages`, { payload: "x".repeat(10_000_000) }],
        ["too large, in chunks", 413, `${at}/messages`, undefined, {
          headers: json,
          body: new ReadableStream({
            start(controller) {
              controller.enqueue(new TextEncoder().encode(`{"payload":"${"x".repeat(100_000)}"}`));
              controller.close();
            },
          }),
        }],
        ["no JSON", 415, `${at}/messages`, undefined, {
          body: "payload=1",
          headers: { "content-type": "text/plain" },
        }],
        [
          "a queue that cannot be",
          400,
          `${server.url}/queues/${encodeURIComponent("a{b}")}/messages`,
          { payload: 1 },
        ],
        ["an unknown queue", 404, `${server.url}/queues/${test.name}:no/receive`, {}],
        ["a negative wait", 400, `${at}/receive`, { waitMs: -1 }],
        ["a wait of text", 400, `${at}/receive`, { waitMs: "5" }],
        ["a wait too long", 400, `${at}/receive`, { waitMs: 600_000 }],
        ["too many", 400, `${at}/receive`, { max: 100_000 }],
        ["none", 400, `${at}/receive`, { max: 0 }],
        ["a lease too short", 400, `${at}/receive`, { leaseMs: 5 }],
        ["no token", 404, `${server.url}/deliveries/xyz/ack`, {}],
        ["a token of nobody", 409, `${server.url}/deliveries/l.eA.abc:1:0:1/ack`, {}],
        ["a bad extend", 400, `${settle}/extend`, { ms: 0 }],
        ["an extend of nothing", 400, `${settle}/extend`, {}],
        ["a bad nack", 400, `${settle}/nack`, { delayMs: -1 }],
        ["an error that is none", 400, `${settle}/nack`, { error: {} }],
        ["no reason", 400, `${settle}/dead-letter`, {}],
        ["no such route", 404, `${at}/nothing`, {}],
      ];
    for (const [what, status, url, body, init] of cases) {
      const answer = await post(url, body, init);
      assertEquals(answer.status, status, `${what}: ${JSON.stringify(answer.body)}`);
      assertEquals(answer.headers.get("content-type"), "application/problem+json", what);
      assertEquals(answer.body["status"], status, what);
      const text = JSON.stringify(answer.body);
      assert(!/\.tsx?|at .*:\d+:\d+|node_modules/.test(text), `${what} shows a stack: ${text}`);
      assertLess(text.length, 1_000, what);
    }
    await using queue = new ReliableQueue<string>(test.redis, test.name);
    const { ready, leased } = await queue.counts();
    assertEquals([ready, leased], [0, 1], "what was in hand still is, and nothing came in");
    assertEquals((await post(`${settle}/ack`)).status, 204);
  },
);

redisTest(
  "the job server asks for its token, and for nothing else when it has it",
  async (test) => {
    await using server = serve({ redis: test.url, token: "s3cret" });
    const at = `${server.url}/queues/${test.name}/messages`;
    const withToken = (token: string) => ({
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    });
    const without = await post(at, { payload: 1 });
    assertEquals([without.status, without.headers.get("www-authenticate")], [401, "Bearer"]);
    for (const wrong of ["", "s3cre", "s3cret ", "S3CRET", "x".repeat(10_000)]) {
      const headers = { "content-type": "application/json", authorization: `Bearer ${wrong}x` };
      assertEquals((await post(at, { payload: 1 }, { headers })).status, 401, wrong.slice(0, 20));
    }
    assertEquals((await post(at, { payload: 1 }, withToken("s3cret"))).status, 201);
    for (const path of ["/queues", "/metrics", "/live/", "/queues/x"]) {
      const response = await fetch(server.url + path);
      await response.body?.cancel();
      assertEquals(response.status, 401, path);
    }
  },
);

redisTest("a read-only server refuses every change, also of programs", async (test) => {
  await using queue = new ReliableQueue<number>(test.redis, test.name);
  await queue.enqueue(1);
  await using server = serve({ redis: test.url, readOnly: true });
  for (
    const path of [
      `/queues/${test.name}/messages`,
      `/queues/${test.name}/receive`,
      `/queues/${test.name}/pause`,
      `/queues/${test.name}/plan`,
      "/deliveries/l.eA.abc:1:0:1/ack",
      "/operations/1/run",
      "/nowhere",
    ]
  ) {
    const { status, body } = await post(server.url + path, { payload: 1 });
    assertEquals([status, body["type"]], [403, "urn:redis-patterns:problem:read-only"], path);
  }
  const { ready, paused } = await queue.counts();
  assertEquals([ready, paused], [1, undefined]);
  assertEquals((await (await fetch(`${server.url}/queues/${test.name}`)).json()).counts.ready, 1);
});

redisTest("a foreign Host or Origin is refused", async (test) => {
  await using server = serve({ redis: test.url, hosts: ["queues.example.com"] });
  const ask = (headers: Record<string, string>, method = "GET") => {
    return server.dashboard.fetch(new Request(`${server.url}/queues`, { method, headers }));
  };
  const statusOf = async (headers: Record<string, string>, method?: string) =>
    (await ask(headers, method)).status;
  for (
    const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example:80",
      "",
      "0.0.0.0",
    ]
  ) {
    assertEquals(await statusOf({ host }), 421, host);
  }
  for (
    const host of [
      "localhost:8080",
      "127.0.0.1",
      "[::1]:9",
      "queues.example.com",
      "QUEUES.example.com:443",
    ]
  ) {
    assertEquals(await statusOf({ host }), 200, host);
  }
  const host = "localhost:8080";
  for (
    const from of [
      { origin: "http://evil.example" },
      { origin: "http://localhost:9999" },
      { origin: "null" },
      { origin: "http://localhost:8080", "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ]
  ) {
    assertEquals(
      await statusOf({ host, ...from } as Record<string, string>, "POST"),
      403,
      JSON.stringify(from),
    );
  }
  assertEquals(
    await statusOf({ host, origin: "http://localhost:8080" }, "POST"),
    404,
    "ours gets further",
  );
});

redisTest("no more requests wait than may, and the others are told so", async (test) => {
  await using server = serve({ redis: test.url, maxWaiting: 2 });
  const at = `${server.url}/queues/${test.name}`;
  await post(`${at}/messages`, { payload: 0 });
  await post(`${at}/receive`);
  const stop = new AbortController();
  const waits = [1, 2].map(() =>
    post(`${at}/receive`, { waitMs: 20_000 }, { signal: stop.signal }).catch(() => "left")
  );
  await eventually(async () => {
    assertMatch(await (await fetch(`${server.url}/metrics`)).text(), /waiting_requests 2\n/);
  });
  const third = await post(`${at}/receive`, { waitMs: 1_000 });
  assertEquals([third.status, third.headers.get("retry-after")], [503, "1"]);
  assertEquals(
    (await post(`${at}/receive`)).status,
    204,
    "one that does not wait holds no connection",
  );
  stop.abort();
  assertEquals(await Promise.all(waits), ["left", "left"]);
  await eventually(async () => {
    assertEquals((await post(`${at}/receive`, { waitMs: 10 })).status, 204);
  });
});

redisTest(
  "a server that ends answers those who wait, and keeps nothing of theirs",
  async (test) => {
    const server = serve({ redis: test.url });
    const at = `${server.url}/queues/${test.name}`;
    await post(`${at}/messages`, { payload: 0 });
    await post(`${at}/receive`);
    const wait = post(`${at}/receive`, { waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const startedAt = performance.now();
    await server[Symbol.asyncDispose]();
    assertEquals((await wait).status, 503);
    assertLess(performance.now() - startedAt, 3_000);
  },
);

serverTest(
  "the job server says that Redis is away, whether it was sent, and goes on",
  async (redis) => {
    await using server = serve({ redis: redis.url });
    const at = `${server.url}/queues/mails`;
    assertEquals((await post(`${at}/messages`, { payload: 1 })).status, 201);
    await redis.kill();
    const { status, body } = await post(`${at}/messages`, { payload: 2, id: "two" });
    assertEquals([status, body["type"]], [503, "urn:redis-patterns:problem:redis-away"]);
    assertEquals(typeof body["sent"], "boolean");
    const health = await fetch(`${server.url}/health`);
    assertEquals([health.status, (await health.json()).title], [503, "Redis cannot be reached"]);
    await redis.restart();
    await eventually(async () => {
      assertEquals((await post(`${at}/messages`, { payload: 2, id: "two" })).status, 201);
    }, 8_000);
  },
);

serverTest(
  "the programs of step 21 in Python, and its curl lines, do what they say",
  async (redis) => {
    await using server = serve({ redis: redis.url });
    const py = await findRedisPy();
    assert(py, "there is no python3");
    const step = new URL("../examples/21_queue_server/", import.meta.url);
    const python = async (name: string) => {
      const text = await Deno.readTextFile(new URL(name, step));
      const here = text.replace("http://127.0.0.1:8021", server.url);
      const { ok, stdout, stderr } = await run(py.python, ["-c", here], { env: py.env });
      assert(ok, stderr);
      return stdout.trim().split("\n");
    };
    const ids = [1, 2, 3].map((n) => `from_python_${n}`);
    assertEquals(await python("producer.py"), ids.map((id) => `201 ${id}`));
    assertEquals(
      await python("producer.py"),
      ids.map((id) => `200 ${id}`),
      "sent again, stored once",
    );
    assertEquals(await python("consumer.py"), ids.map((id) => `${id} . attempt 1`));

    const readme = await Deno.readTextFile(new URL("README.md", step));
    const lines = readme.replaceAll("\\\n", "").split("\n").filter((line) =>
      /^curl (-X|localhost)/.test(line)
    );
    assertEquals(lines.length, 4);
    const curl = await which("curl") ?? `${await unpackDebian(["curl"])}/usr/bin/curl`;
    const env = curl.startsWith("/usr/")
      ? {}
      : await libraryEnv(curl.replace(/\/usr\/bin\/curl$/, ""));
    let token = "";
    const answers: string[] = [];
    for (const line of lines) {
      const here = line.replace("localhost:8021", new URL(server.url).host).replace(
        "<token>",
        token,
      );
      const args = [...here.slice("curl ".length).matchAll(/'([^']*)'|(\S+)/g)].map(([, a, b]) =>
        a ?? b!
      );
      const { ok, stdout, stderr } = await run(curl, ["-s", ...args], { env });
      assert(ok, `${here}: ${stderr}`);
      answers.push(stdout);
      token = /"token":"([^"]+)"/.exec(stdout)?.[1] ?? token;
    }
    assertMatch(answers[0]!, /^\{"id":"[^"]+","duplicate":false\}$/);
    assertMatch(answers[1]!, /"print":"by hand \."/);
    assertEquals(answers[2], "");
    assertEquals(JSON.parse(answers[3]!).counts, { ready: 0, leased: 0, delayed: 0, dead: 0 });
  },
);

/** `deno task dashboard`, as a process. */
function program(...args: string[]): Deno.ChildProcess {
  const script = new URL("../monitor/server.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
}

Deno.test("the dashboard's program refuses what it cannot do, and says why", async () => {
  const cases: [args: string[], says: RegExp][] = [
    [["--host", "0.0.0.0"], /^Others can reach 0\.0\.0\.0: give a token/],
    [["--port", "many"], /^--port must be a number from 0 to 65535, but is "many"/],
    [["--prot", "80"], /^There is no --prot/],
    [["--write", "--read-only"], /^Either/],
    [["--lease-ms", "1"], /--lease-ms/],
  ];
  await Promise.all(cases.map(async ([args, says]) => {
    const { code, stderr, stdout } = await program(...args).output();
    assertEquals([code, stdout.length], [2, 0], args.join(" "));
    assertMatch(new TextDecoder().decode(stderr), says);
  }));
  const { code, stdout } = await program("--help").output();
  assertEquals(code, 0);
  assert(new TextDecoder().decode(stdout).includes("deno task dashboard"));
});

serverTest(
  "the dashboard's program is read-only for others, and ends with SIGTERM while somebody waits",
  async (redis) => {
    const child = program(
      "--port",
      "0",
      "--host",
      "0.0.0.0",
      "--name",
      "queues.example",
      "--token",
      "auto",
      "--url",
      redis.url,
    );
    const errors = new Response(child.stderr).text();
    let text = "";
    const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    while (!text.includes("token ")) text += (await said.read()).value ?? "";
    const [, port, token] = /^http:\/\/queues\.example:(\d+) {2}\(read-only\)\ntoken (\S{24})\n/
      .exec(text)!;
    const url = `http://127.0.0.1:${port}`;
    const ask = (path: string, headers: Record<string, string> = {}) => {
      return fetch(url + path, { headers: { authorization: `Bearer ${token}`, ...headers } });
    };
    assertEquals((await post(`${url}/queues/mails/messages`, { payload: 1 })).status, 401);
    const refused = await fetch(`${url}/queues/mails/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
    assertEquals([refused.status, (await refused.json()).title], [403, "Read-only"]);
    const queues = await ask("/queues");
    assertEquals([queues.status, await queues.json()], [200, { queues: [] }]);
    const open = await ask("/live/");
    const stoppedAt = performance.now();
    child.kill("SIGTERM");
    await open.text();
    const { code } = await child.status;
    assertEquals([code, await errors], [0, ""]);
    assertLess(performance.now() - stoppedAt, 3_000);
    await said.cancel();
  },
);

Deno.test("deno task demo --dashboard shows the demo's queues on a page, until Ctrl-C", async () => {
  const script = new URL("../tools/demo.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, "--dashboard"],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    env: { NO_COLOR: "1", REDIS_URL: "" },
  }).spawn();
  const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    let text = "";
    let url: string | undefined;
    while (!(url = /(http:\S+) shows its queues/.exec(text)?.[1])) {
      const { value, done } = await limit(said.read(), "the demo says its address");
      assert(!done, text);
      text += value;
    }
    await eventually(async () => {
      const { queues } = await (await fetch(`${url}/queues`)).json();
      assert(queues.length > 0);
    }, 20_000);
    child.kill("SIGINT");
    while (!(await limit(said.read(), "the demo ends")).done);
    assertEquals((await child.status).code, 130);
  } finally {
    await said.cancel();
    await child.status;
  }
});

redisTest(
  "a task is added, received and settled by HTTP, and its record tells of it",
  async (test) => {
    const { redis, name } = test;
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${name}`;
    const payload = { type: "double", payload: { data: 42 } };
    const stored = await post(`${at}/messages?kind=tasks`, { id: "one", payload });
    assertEquals([stored.status, stored.body], [201, { id: "one", duplicate: false }]);
    for (const wrong of [7, null, { data: 42 }, { type: "" }, { type: 1, payload: 2 }]) {
      const { status } = await post(`${at}/messages`, { payload: wrong });
      assertEquals(status, 400, JSON.stringify(wrong));
    }
    assertEquals((await post(`${at}/messages?kind=list`, { payload })).status, 409);
    await using monitor = new TaskMonitor(redis, { name });
    assertEquals((await monitor.task("one"))?.state, "ready");
    const { status, body } = await post(`${at}/receive`, {});
    const [delivery] = body["deliveries"] as { payload: unknown; token: string }[];
    assertEquals([status, delivery!.payload], [200, payload]);
    assertEquals((await monitor.task("one"))?.state, "running");
    assertEquals((await post(`${server.url}/deliveries/${delivery!.token}/ack`)).status, 204);
    assertEquals((await monitor.task("one"))?.state, "done");
  },
);
