/** The web dashboard as it is sent: pages, their live parts, buttons, metrics. Browsers come in another file. */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import parsePrometheusTextFormat from "parse-prometheus-text-format";
import {
  connect,
  type LeasedQueueOptions,
  PriorityQueue,
  type RedisClient,
  ReliableQueue,
  StreamQueue,
  type Waiting,
  Worker,
} from "@workshop/redis-patterns";
import {
  type TaskContext,
  TaskProducer,
  TaskQueue,
  TaskScheduler,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { groupOf } from "../monitor/web/groups.ts";
import { readSearch, SearchError } from "../monitor/web/search.ts";
import { page, post, Reader, serve } from "./monitor_web_support.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

const PAGES = ["/", "/workers", "/streams", "/schedules", "/operations"];
const EVIL = "<img src=x onerror=alert(1)>";

/** Messages that died of several errors. */
async function bury(
  queue: ReliableQueue<unknown>,
  errors: readonly string[],
  payload: unknown = { to: "ann" },
) {
  await queue.enqueueMany(errors.map(() => payload));
  for (const [i, delivery] of (await queue.receiveMany(errors.length)).entries()) {
    await delivery.deadLetter(errors[i]!);
  }
}

/** Frames of a page's live part. */
async function* frames(
  url: string,
  signal: AbortSignal,
): AsyncGenerator<{ html: string; event: string; at: number }> {
  const response = await fetch(url, { signal, headers: { accept: "text/event-stream" } });
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  let text = "";
  try {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const lines = text.slice(0, end).split("\n");
        const of = (field: string) =>
          lines.filter((line) => line.startsWith(`${field}: `)).map((line) =>
            line.slice(field.length + 2)
          );
        yield { html: of("data").join("\n"), event: of("event").join(), at: performance.now() };
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

redisTest(
  "every page answers, with a policy that permits no script or style but our files",
  async (test) => {
    await using queue = new StreamQueue<number>(test.redis, test.name);
    await queue.enqueue(1);
    await using server = serve({ redis: test.url });
    const at = `/queues/${encodeURIComponent(test.name)}`;
    const states = ["ready", "leased", "delayed", "dead", "completed", "failed"].map((s) =>
      `${at}/messages?state=${s}`
    );
    for (const path of [...PAGES, at, `${at}/errors`, ...states]) {
      const { status, html, headers } = await page(server.url + path);
      assertEquals(status, 200, path);
      const policy = headers.get("content-security-policy") ?? "";
      assert(policy.includes("default-src 'none'") && !policy.includes("unsafe"), policy);
      assertEquals(headers.get("x-frame-options"), "DENY");
      assert(
        !/ style=| on[a-z]+="|<script>|https?:\/\/(?!www\.w3\.org)/.test(html),
        `${path} has something inline`,
      );
      assertEquals((html.match(/<h1/g) ?? []).length, 1, path);
      for (const [, file] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
        const asset = await fetch(server.url + file);
        assert((await asset.bytes()).length > 100, file);
        assertEquals(asset.status, 200, file);
        assertMatch(asset.headers.get("cache-control")!, /immutable/);
      }
    }
    for (
      const [path, status] of [
        ["/nowhere", 404],
        ["/queues/no", 404],
        [`${at}/messages/no`, 404],
        [`${at}/messages?state=lost`, 400],
        [`${at}/messages?state=dead&cursor=x`, 400],
        ["/operations/1", 404],
        ["/assets/1/..%2fapp.ts", 404],
      ] as const
    ) {
      const { status: got, html } = await page(server.url + path);
      assertEquals(got, status, path);
      assert(!/\.tsx?:\d/.test(html), "no stack");
    }
  },
);

redisTest(
  "what somebody else wrote does nothing in a page, and payloads are in no list",
  async (test) => {
    const name = `${test.name} ${EVIL}`;
    await using queue = new ReliableQueue<unknown>(test.redis, name, {
      maxAttempts: 1,
      keepFailed: { count: 10 },
    });
    await queue.enqueue({ secret: `payload ${EVIL}` }, { id: EVIL });
    const error = new Error(EVIL);
    error.stack = `Error: ${EVIL}\n    at ${EVIL}`;
    await (await queue.receive())!.nack({ error });
    await queue.enqueue({ secret: `payload ${EVIL}` }, { id: `${EVIL}2` });
    await queue.enqueue({ secret: `payload ${EVIL}` }, { id: `${EVIL}3`, delayMs: 60_000 });
    await using server = serve({ redis: test.url });
    const at = `/queues/${encodeURIComponent(name)}`;
    const message = `${at}/messages/${encodeURIComponent(EVIL)}`;
    const lists = ["ready", "delayed", "dead", "failed"].map((state) =>
      `${at}/messages?state=${state}`
    );
    for (
      const path of [
        ...PAGES,
        at,
        `${at}/errors`,
        ...lists,
        `${at}/messages?q=${encodeURIComponent(`error:"${EVIL}"`)}`,
        message,
      ]
    ) {
      const { html } = await page(server.url + path);
      assert(!html.includes("<img"), `${path} is not inert`);
      assert(!html.includes("payload &lt;"), `${path} shows a payload`);
    }
    const shown = await page(`${server.url}${message}?payload=1`);
    assert(
      shown.html.includes("payload &lt;img src=x onerror=alert(1)&gt;") &&
        !shown.html.includes("<img"),
    );
    assert(shown.html.includes("HGET"), "the command that shows it");
  },
);

redisTest("a page can be read, searched and worked without script", async (test) => {
  await using queue = new ReliableQueue<unknown>(test.redis, test.name);
  await bury(queue, ["timeout after 5000 ms", "timeout after 5100 ms", "no such address"]);
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  const found = await reader.open(`${at}/messages?state=dead&q=error:timeout`);
  assertEquals(found.html.match(/name="id"/g)?.length, 2);
  assert(found.html.includes('value="error:timeout"'), "the query stands in its field");

  const plan = await reader.press(`${at}/plan`, found, [["state", "dead"], ["q", "error:timeout"], [
    "act",
    "redrive:matching",
  ]]);
  assertMatch(plan.path, /^\/operations\/[0-9a-f]{12}$/);
  const asking = await eventually(async () => {
    const shown = await reader.open(plan.path);
    assert(shown.html.includes('data-phase="asking"'), shown.html);
    return shown;
  });
  assert(asking.html.includes("2 messages") && asking.html.includes("queue.redrive"));
  assertEquals((await queue.counts()).dead, 3, "nothing is changed before somebody says yes");
  await reader.press(`${plan.path}/run`, asking, [["perSecond", ""]]);
  await eventually(async () => {
    assert((await reader.open(plan.path)).html.includes('data-phase="done"'));
  });
  const { ready, dead } = await queue.counts();
  assertEquals([ready, dead], [2, 1]);
  const twice = await reader.press(`${plan.path}/run`, asking, []);
  assertEquals(twice.status, 409, "a page that is sent again does it once");

  const queuePage = await reader.open(at);
  assert((await reader.press(`${at}/pause`, queuePage, [])).html.includes("Paused"));
  assertEquals((await queue.counts()).paused, true);
  await reader.press(`${at}/resume`, queuePage, []);
  assertEquals((await queue.counts()).paused, undefined);
});

redisTest("a form without the page's token, or from before, changes nothing", async (test) => {
  await using queue = new ReliableQueue<unknown>(test.redis, test.name);
  await queue.enqueue(1);
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const shown = await reader.open(`/queues/${test.name}`);
  const stranger = new Reader(server.url);
  for (const who of [stranger, new Reader(server.url)]) {
    const { status } = await who.press(`/queues/${test.name}/pause`, shown, []);
    assertEquals(status, 403);
  }
  assertEquals((await stranger.press(`/queues/${test.name}/pause`, { html: "" }, [])).status, 403);
  const asJson = await post(`${server.url}/queues/${test.name}/pause`, { _token: "x" });
  assertEquals(asJson.status, 400);
  assertEquals((await queue.counts()).paused, undefined);
});

redisTest("one signs in with the token, once, and out again", async (test) => {
  await using queue = new ReliableQueue<number>(test.redis, test.name);
  await queue.enqueue(1);
  await using server = serve({ redis: test.url, token: "s3cret" });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  const door = await reader.open(at);
  assert(
    door.html.includes("Sign in") && !door.html.includes("Workers"),
    "it tells nothing before",
  );
  assertEquals(door.path, `/login?next=${encodeURIComponent(at)}`);
  const wrong = await reader.press("/login", door, [["token", "s3cre"], ["next", at]]);
  assertEquals([wrong.status, wrong.html.includes("That is not the token")], [403, true]);
  const inside = await reader.press("/login", door, [["token", "s3cret"], ["next", at]]);
  assertEquals([inside.status, inside.path], [200, at]);
  assert((await reader.open("/")).html.includes("Sign out"));
  await reader.press("/logout", inside, []);
  assert((await reader.open("/")).html.includes("Sign in"));
  for (const next of ["//evil.example", "https://evil.example", "/\\evil.example", "evil"]) {
    const other = new Reader(server.url);
    const { path } = await other.press("/login", await other.open("/login"), [["token", "s3cret"], [
      "next",
      next,
    ]]);
    assertEquals(path, "/", next);
  }
});

redisTest("selected messages are given back, buried and deleted, and no others", async (test) => {
  await using queue = new ReliableQueue<unknown>(test.redis, test.name);
  await queue.enqueueMany([1, 2, 3]);
  const held = await queue.receiveMany(3);
  // Its own programs may allow more attempts, and keep more dead letters, than is usual.
  await test.redis.hSet(`queue:{${test.name}}:dead`, "old", "x");
  await test.redis.zAdd(`queue:{${test.name}}:dead:at`, { score: 1, value: "old" });
  await queue.enqueue(4, { id: "four", delayMs: 60_000 });
  await queue.enqueue(5, { id: "five", delayMs: 60_000 });
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  const act = async (state: string, act: string, ids: string[]) => {
    const list = await reader.open(`${at}/messages?state=${state}`);
    const fields = ids.map((id): [string, string] => ["id", id]);
    const plan = await reader.press(`${at}/plan`, list, [
      ["state", state],
      ["act", act],
      ...fields,
    ]);
    if (plan.status !== 200) return plan.status;
    const asking = await eventually(async () => {
      const shown = await reader.open(plan.path);
      assert(shown.html.includes('data-phase="asking"'));
      return shown;
    });
    await reader.press(`${plan.path}/run`, asking, []);
    await eventually(async () =>
      assert((await reader.open(plan.path)).html.includes('data-phase="done"'))
    );
    return 200;
  };
  const now = async () => {
    const { ready, leased, delayed, dead } = await queue.counts();
    return [ready, leased, delayed, dead];
  };
  await act("leased", "give back:selected", [held[0]!.id]);
  assertEquals(await now(), [1, 2, 2, 1]);
  await act("leased", "bury:selected", [held[1]!.id]);
  assertEquals(
    await test.redis.zRem(`queue:{${test.name}}:dead:at`, "old"),
    1,
    "it was thrown away",
  );
  await test.redis.hDel(`queue:{${test.name}}:dead`, "old");
  assertEquals(await now(), [1, 1, 2, 1]);
  await act("delayed", "delete:selected", ["four"]);
  assertEquals(await now(), [1, 1, 1, 1]);
  await act("dead", "delete:selected", [held[1]!.id]);
  assertEquals(await now(), [1, 1, 1, 0]);
  await act("delayed", "purge:matching", []);
  assertEquals(await now(), [1, 1, 0, 0]);
  assertEquals(await act("ready", "redrive:selected", ["x"]), 400);
  assertEquals(await act("dead", "delete:selected", []), 400);
  assertEquals(await act("dead", "delete:everything", ["x"]), 400);
  await held[2]!.ack();
});

/** A queue of tasks, made as the others are. */
class AnyTaskQueue extends TaskQueue<Record<string, (payload: unknown) => unknown>> {
  constructor(client: RedisClient, name: string, options: LeasedQueueOptions<unknown>) {
    const { backoff } = options;
    super(client, { name, ...(backoff && { backoff }) });
  }
}

for (
  const [kind, Queue] of [["list", ReliableQueue], ["priority", PriorityQueue], [
    "stream",
    StreamQueue,
  ], ["tasks", AnyTaskQueue]] as const
) {
  serverTest(`what stands behind the buttons of a ${kind} is what MONITOR shows`, async (redis) => {
    const client = await connect({ url: redis.url, heartbeatMs: 0 });
    const monitor = await connect({ url: redis.url, heartbeatMs: 0 });
    try {
      const queue = new Queue<unknown>(client, "mails", { backoff: { baseMs: 0 } });
      const payload = (n: number) => ({ type: "send", payload: n });
      await queue.enqueueMany([1, 2, 3, 4, 5, 6].map(payload));
      for (const delivery of await queue.receiveMany(2)) await delivery.deadLetter("boom");
      await queue.receiveMany(2);
      await queue.enqueue(payload(7), { delayMs: 60_000, id: "seven" });
      await using server = serve({ redis: redis.url });
      const reader = new Reader(server.url);
      let seen: string[] = [];
      await monitor.monitor((line) =>
        void seen.push(String(line).replaceAll('"', "").replace(/^.*?\] /, ""))
      );
      for (
        const [state, verb] of [
          ["dead", "redrive"],
          ["dead", "delete"],
          ["leased", "give back"],
          ["leased", "bury"],
          ["delayed", "delete"],
          ["ready", "delete"],
        ] as const
      ) {
        const { messages: [message] } = await queue.peek(state);
        const shown = await reader.open(`/queues/mails/messages/${message!.id}?state=${state}`);
        const told = [...shown.html.matchAll(/<pre>(await queue\.[\s\S]*?)<\/pre>/g)]
          .map(([, text]) => text!.split("\n").slice(2)).find((_, i) =>
            i === (verb === "delete" && state === "dead" || verb === "bury" ? 1 : 0)
          )!;
        const plan = await reader.press("/queues/mails/plan", shown, [["state", state], [
          "id",
          message!.id,
        ], ["act", `${verb}:selected`]]);
        const asking = await eventually(async () => {
          const page = await reader.open(plan.path);
          assert(page.html.includes('data-phase="asking"'), page.html);
          return page;
        });
        seen = [];
        await reader.press(`${plan.path}/run`, asking, []);
        await eventually(() => {
          for (const command of told) {
            // A script is sent by its hash, or the first time as a whole, which begins with its name.
            const [, script] = /^EVALSHA (\w+)$/.exec(command) ?? [];
            const found = seen.some((line) =>
              script ? /^EVAL(SHA)? /.test(line) : line.startsWith(command)
            );
            assert(
              found,
              `${state} ${verb}: ${command} is not among\n${seen.join("\n").slice(0, 3_000)}`,
            );
          }
        });
      }
      await queue.close();
    } finally {
      client.destroy();
      monitor.destroy();
    }
  });
}

redisTest(
  "the live part comes within a second of a change, and no more than twice a second",
  async (test) => {
    await using queue = new ReliableQueue<number>(test.redis, test.name);
    await queue.enqueue(1);
    await using server = serve({ redis: test.url });
    const stop = new AbortController();
    const stream = frames(`${server.url}/live/queues/${test.name}`, stop.signal);
    assert((await stream.next()).value!.html.includes(">1<"));
    const changedAt = performance.now();
    await queue.enqueueMany([2, 3]);
    for await (
      const { html, at } of { [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) }
    ) {
      if (!html.includes('<b class="figure">3</b>')) continue;
      assertLess(at - changedAt, 1_000);
      break;
    }
    const busy = (async () => {
      for (let i = 0; i < 200; i++) {
        await queue.enqueue(i);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const times: number[] = [];
    for (let i = 0; i < 4; i++) times.push((await stream.next()).value!.at);
    await busy;
    assert(times[3]! - times[0]! > 3 * 450, `${times.map((at) => Math.round(at - times[0]!))}`);
    stop.abort();
    await eventually(async () => {
      assertMatch(await (await fetch(`${server.url}/metrics`)).text(), /event_streams 0\n/);
    });
  },
);

redisTest("no more pages listen than may", async (test) => {
  await using server = serve({ redis: test.url, maxStreams: 1 });
  const stop = new AbortController();
  const stream = frames(`${server.url}/live/`, stop.signal);
  await stream.next();
  const refused = await fetch(`${server.url}/live/`);
  assertEquals([refused.status, (await refused.json()).title], [503, "Too many pages"]);
  stop.abort();
  await stream.next();
});

serverTest(
  "the dashboard opens while Redis is away, says so, and goes on when it is back",
  async (redis) => {
    const client = await connect({ url: redis.url });
    await new ReliableQueue<number>(client, "mails").enqueue(1);
    client.destroy();
    await redis.kill();
    await using server = serve({ redis: redis.url });
    const away = await page(`${server.url}/queues/mails`);
    assertEquals(away.status, 503);
    assert(
      away.html.includes("Redis cannot be reached") && away.html.includes("connection refused"),
      away.html,
    );
    const stop = new AbortController();
    const stream = frames(`${server.url}/live/queues/mails`, stop.signal);
    assert((await stream.next()).value!.html.includes("Redis cannot be reached"));
    assertMatch(await (await fetch(`${server.url}/metrics`)).text(), /^redis_queue_up 0$/m);
    await redis.restart();
    let next = (await stream.next()).value!;
    while (next.html.includes("cannot be reached")) next = (await stream.next()).value!;
    assertEquals(next.event, "reload", "the rest of the page was not there");
    const back = await page(`${server.url}/queues/mails`);
    assertEquals([back.status, back.html.includes("Redis cannot be reached")], [200, false]);

    const second = frames(`${server.url}/live/queues/mails`, stop.signal);
    assert((await second.next()).value!.html.includes("mails"));
    await redis.kill();
    assert((await second.next()).value!.html.includes("Redis cannot be reached"));
    await redis.restart();
    for (
      let frame;
      (frame = (await second.next()).value!).html.includes("cannot be reached");
    ) assertEquals(frame.event, "");
    stop.abort();
    await Promise.all([stream.next(), second.next()]);
  },
  { aof: true },
);

redisTest(
  "dead letters are grouped by error, and a group can be looked at and redriven",
  async (test) => {
    await using queue = new ReliableQueue<unknown>(test.redis, test.name);
    const timeouts = Array.from({ length: 30 }, (_, i) => `Error: timeout after ${5_000 + i} ms`);
    await bury(queue, [
      ...timeouts,
      'no such address "ann@x"',
      'no such address "bob@y"',
      "lease lapsed",
    ]);
    await using server = serve({ redis: test.url });
    const { html } = await page(`${server.url}/queues/${test.name}/errors`);
    const groups = [...html.matchAll(/<b>(\d+) messages?<\/b>/g)].map(([, n]) => Number(n));
    assertEquals(groups, [30, 2, 1], html);
    const { key } = groupOf(timeouts[0]!);
    const list = await page(`${server.url}/queues/${test.name}/messages?state=dead&q=group:${key}`);
    assertEquals(list.html.match(/name="id"/g)?.length, 30);
  },
);

redisTest("lists go on where they ended, and show each message once", async (test) => {
  await using queue = new ReliableQueue<unknown>(test.redis, test.name);
  await bury(queue, Array.from({ length: 170 }, (_, i) => (i % 2 ? "odd" : "even")), {
    to: "ann",
    n: 7,
  });
  await using server = serve({ redis: test.url });
  const walk = async (query: string) => {
    const ids: string[] = [];
    let path: string | undefined = `/queues/${test.name}/messages?state=dead${query}`;
    for (let pages = 0; path && pages < 20; pages++) {
      const { html } = await page(server.url + path);
      ids.push(...[...html.matchAll(/name="id" value="([^"]+)"/g)].map(([, id]) => id!));
      path = /rel="next" href="([^"]+)"/.exec(html)?.[1]?.replaceAll("&amp;", "&");
    }
    return ids;
  };
  const all = await walk("");
  assertEquals([all.length, new Set(all).size], [170, 170]);
  assertEquals((await walk("&q=error:odd")).length, 85);
  assertEquals((await walk("&q=payload.to:ann+-error:odd")).length, 85);
  const one = await page(`${server.url}/queues/${test.name}/messages?state=dead&q=id:${all[99]}`);
  assertEquals(one.html.match(/name="id"/g)?.length, 1);
});

Deno.test("a search finds what it says, and says what it does not understand", () => {
  const message = (more: Partial<Waiting<unknown>>): Waiting<unknown> => ({
    id: "order-17",
    raw: new TextEncoder().encode(JSON.stringify(more.payload ?? null)),
    attempts: 3,
    enqueuedAt: Date.now() - 600_000,
    bytes: 0,
    readyAt: 0,
    priority: 1,
    errors: [],
    ...more,
  });
  const mail = message({
    payload: { type: "mail", to: "Ann <ann@x>", deep: { n: 5 } },
    reason: "Timeout after 5 s",
  });
  const fits = [
    "",
    "timeout",
    "id:order",
    "error:timeout",
    "type:mail",
    "payload.to:ann",
    "payload.deep.n:5",
    "attempts:3",
    "attempts:>2",
    "attempts:<4",
    "older:5m",
    "priority:high",
    "-error:address",
    '"ann <ann"',
    'error:"after 5"',
    "error:timeout payload.to:ann",
  ];
  for (const query of fits) assert(readSearch(query)(mail), query);
  const misses = [
    "nobody",
    "id:order-18",
    "error:address",
    "type:mai",
    "payload.to:bob",
    "payload.constructor:object",
    "payload.__proto__:x",
    "attempts:4",
    "attempts:>3",
    "older:11m",
    "priority:low",
    "-error:timeout",
    "error:timeout payload.to:bob",
  ];
  for (const query of misses) assert(!readSearch(query)(mail), query);
  for (const query of ["colour:red", "attempts:many", "older:soon"]) {
    assertThrows(() => readSearch(query), SearchError, query.split(":")[0]!);
  }
});

Deno.test("errors that differ only in numbers and names are one group, and others are not", () => {
  const same = [
    [
      "after 5 attempts: Error: timeout after 5000 ms",
      "after 2 attempts: Error: timeout after 12345 ms",
    ],
    ['no user "ann"', "no user 'bob'"],
    [
      "order 5f3c2a1b-1111-4222-8333-0123456789ab is gone",
      "order 00000000-1111-4222-8333-0123456789ab is gone",
    ],
    ["connect ECONNREFUSED 10.0.0.7:5432", "connect ECONNREFUSED 10.0.0.8:5433"],
    ["TypeError: x is undefined\n    at a.ts:1", "TypeError: x is undefined\n    at b.ts:2"],
  ];
  for (const [a, b] of same) assertEquals(groupOf(a!), groupOf(b!));
  const different = [
    "HTTP 503",
    "HTTP 404",
    "timeout",
    "no address",
    "utf8 is broken",
    "lease lapsed",
    "",
  ];
  assertEquals(new Set(different.map((reason) => groupOf(reason).key)).size, different.length);
});

serverTest(
  "/metrics is what a Prometheus parser takes, with counters and histograms that add up",
  async (redis) => {
    const name = 'mails "urgent" ü';
    const client = await connect({ url: redis.url });
    await using queue = new ReliableQueue<number>(client, name, {
      maxAttempts: 2,
      backoff: { baseMs: 0 },
    });
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    const stop = new AbortController();
    const worker = new Worker(queue, (n) => {
      if (n === 5) throw new Error("no");
    });
    const running = worker.run({ signal: stop.signal });
    await eventually(async () => assertEquals((await queue.counts()).dead, 1));
    await using server = serve({ redis: redis.url });
    const response = await fetch(`${server.url}/metrics`);
    assertMatch(response.headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    stop.abort();
    await running;
    type Sample = {
      labels?: Record<string, string>;
      value?: string;
      buckets?: Record<string, string>;
      count?: string;
      sum?: string;
    };
    // The parser knows histograms without labels only; there is one queue here.
    const bare = text.replace(
      /_seconds_(bucket|sum|count)\{.*?kind="list",?(.*?)\}/g,
      (_, suffix, le) => {
        return `_seconds_${suffix}${le && `{${le}}`}`;
      },
    );
    assertMatch(
      text,
      /^redis_queue_run_seconds_bucket\{queue="mails \\"urgent\\" ü",kind="list",le="\+Inf"\} 4$/m,
    );
    const families = parsePrometheusTextFormat(bare) as {
      name: string;
      type: string;
      help: string;
      metrics: Sample[];
    }[];
    const of = (metric: string) => {
      const family = families.find((one) => one.name === `redis_queue_${metric}`);
      assert(family, `${metric} is not in\n${text}`);
      assert(family.help.length > 5);
      return {
        ...family,
        mine: family.metrics.filter(({ labels }) =>
          labels?.["queue"] === undefined || labels["queue"] === name
        ),
      };
    };
    assertEquals(of("up").metrics[0]!.value, "1");
    for (
      const [what, n] of [["enqueued", 5], ["acked", 4], ["failed", 2], ["dead", 1], [
        "redriven",
        0,
      ]] as const
    ) {
      const { type, mine } = of(`${what}_total`);
      assertEquals([type, mine.map(({ value }) => Number(value))], ["COUNTER", [n]], what);
    }
    const states = Object.fromEntries(
      of("messages").mine.map(({ labels, value }) => [labels!["state"], Number(value)]),
    );
    assertEquals(states, { ready: 0, leased: 0, delayed: 0, dead: 1 });
    assertEquals(of("consumers").mine[0]!.value, "1");
    assert(Number(of("consumer_heartbeat_age_seconds").mine[0]!.value) < 10);
    for (const what of ["wait_seconds", "run_seconds"]) {
      const { type, mine: [sample] } = of(what);
      assertEquals([type, Number(sample!.count)], ["HISTOGRAM", 4]);
      const counts = Object.entries(sample!.buckets!).map(([, n]) => Number(n));
      assertEquals(counts.at(-1), 4);
      assert(counts.every((n, i) => i === 0 || n >= counts[i - 1]!), "they are cumulative");
      assert(Number(sample!.sum) > 0);
    }
    client.destroy();
  },
);

redisTest("schedules are shown, from whoever fires them", async (test) => {
  const nextAt = Date.now() + 3_600_000;
  await using server = serve({
    redis: test.url,
    schedules: () =>
      Promise.resolve([{
        name: EVIL,
        queue: "reports",
        pattern: "0 9 * * 1-5",
        timeZone: "Europe/Berlin",
        nextAt,
      }]),
  });
  const { html } = await page(`${server.url}/schedules`);
  assert(
    html.includes("0 9 * * 1-5") && html.includes("Europe/Berlin") && /in 59 min|in 1 h/.test(html),
    html,
  );
  assert(!html.includes("<img"));
});

/** The tasks of these tests. */
type Tasks = {
  double(payload: { data: number }): { doubled: number };
  mail(payload: { to: string }): void;
  album(payload: { pages: number }): void;
  ping(): void;
};

redisTest(
  "tasks are shown by their records, and what they gave when it is asked for",
  async (test) => {
    const { redis, name } = test;
    const released = Promise.withResolvers<void>();
    const handlers = {
      double: ({ data }: { data: number }) => ({ doubled: 2 * data, note: EVIL }),
      mail: ({ to }: { to: string }): void => {
        throw new Error(`no such address ${to} ${EVIL}`);
      },
      album: async (_: { pages: number }, { progress }: TaskContext) => {
        await progress({ done: 3, of: 12, note: EVIL });
        await released.promise;
      },
      ping: () => {},
    };
    await using producer = new TaskProducer<typeof handlers>(redis, { name });
    const worker = new TaskWorker(redis, { name, handlers, maxAttempts: 1, concurrency: 4 });
    worker.start();
    await producer.add("double", { data: 42 }, { id: "done" });
    await producer.add("mail", { to: "dora" }, { id: "died" });
    await producer.add("album", { pages: 12 }, { id: "runs" });
    await producer.add("double", { data: 1 }, { id: "waits", delayMs: 600_000 });
    await eventually(async () => {
      const records = await producer.queue.tasks(["done", "died", "runs"]);
      assertEquals(records.map((record) => record?.state), ["done", "dead", "running"]);
      assert("progress" in records[2]!);
    });
    await using server = serve({ redis: test.url });
    const reader = new Reader(server.url);
    const seen = async (path: string, ...texts: string[]) => {
      const { html, status } = await reader.open(`/queues/${name}${path}`);
      assertEquals(status, 200, path);
      assert(!html.includes("<img"), `${path} has live markup`);
      for (const text of texts) assertStringIncludes(html, text, path);
      return html;
    };
    const front = await seen(
      "",
      "Lately",
      ">Done<",
      ">Running<",
      ">Delayed<",
      ">Dead<",
      "no such address",
    );
    for (const id of ["done", "died", "runs", "waits"]) {
      assertStringIncludes(front, `/messages/${id}"`);
    }
    for (const key of ["records", "records:until", "events", "schedules", "schedules:at"]) {
      assertStringIncludes(front, `queue:{${name}}:${key}`);
    }
    assert(!front.includes("doubled"), "no result in a list");

    const done = await seen(
      "/messages/done",
      "double",
      "Show the result",
      `HGET queue:{${name}}:records`,
    );
    assert(!done.includes("doubled"), "a result is shown when it is asked for");
    await seen("/messages/done?result=1", "doubled", "84");
    const runs = await seen("/messages/runs", "album", "Running", 'value="0.25"', "Give back");
    assert(!runs.includes("pages"), "a payload is shown when it is asked for");
    await seen("/messages/runs?state=leased&payload=1", "pages");
    await seen("/messages/died", "mail", "no such address dora", "Redrive", "Attempt 1");
    await seen("/messages/waits", "Delayed", "double");
    assertEquals((await reader.open(`/queues/${name}/messages/nobody`)).status, 404);

    await seen("/messages?state=leased", "album", 'value="0.25"');
    const found = async (state: string, q: string) => {
      const html = await seen(`/messages?state=${state}&q=${encodeURIComponent(q)}`);
      return [...html.matchAll(/name="id" value="(\w+)"/g)].map(([, id]) => id);
    };
    assertEquals(await found("delayed", "type:double"), ["waits"]);
    assertEquals(await found("delayed", "type:mail"), []);
    assertEquals(await found("dead", "type:mail payload.to:dora"), ["died"]);
    assertEquals(await found("dead", "-type:mail"), []);
    const plan = await reader.press(`/queues/${name}/plan`, await reader.open(`/queues/${name}`), [
      ["state", "dead"],
      ["act", "redrive:matching"],
      ["q", "type:mail"],
    ]);
    await eventually(async () => {
      assertStringIncludes((await reader.open(plan.path)).html, "1 message");
    });
    released.resolve();
    await worker.stop();
  },
);

redisTest("a queue of tasks that keeps no events has a page all the same", async (test) => {
  const { redis, name } = test;
  await using producer = new TaskProducer<Tasks>(redis, { name, maxEvents: 0 });
  await producer.add("double", { data: 42 }, { id: "waits" });
  await using server = serve({ redis: test.url });
  const { html, status } = await page(`${server.url}/queues/${name}`);
  assertEquals(status, 200);
  assertStringIncludes(html, "maxEvents: 0");
  assertStringIncludes((await page(`${server.url}/queues/${name}/messages/waits`)).html, "double");
});

redisTest("the schedules of queues of tasks are shown by themselves", async (test) => {
  const { redis, name } = test;
  const scheduler = new TaskScheduler<Tasks>(redis, { name });
  const timeZone = "Europe/Vienna";
  await scheduler.cron(EVIL, "0 3 * * *", "mail", { to: "secret" }, { timeZone });
  await scheduler.every("pulse", 3_600_000, "ping", null);
  await using server = serve({ redis: test.url });
  const { html } = await page(`${server.url}/schedules`);
  for (const text of ["0 3 * * *", timeZone, "mail", "every 1 h", "pulse", "ping", "then "]) {
    assertStringIncludes(html, text);
  }
  assert(!html.includes("<img") && !html.includes("secret"));
  for (const schedule of await scheduler.list()) await scheduler.remove(schedule.name);
});
