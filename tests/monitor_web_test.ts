/** The pages of the web dashboard as they are sent. Browsers, buttons, frames and searches come in other files. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ReliableQueue, StreamQueue } from "@workshop/redis-patterns";
import { passed, zoned } from "../monitor/web/parts.tsx";
import { bury, page, Reader, serve } from "./monitor_web_support.ts";
import { eventually, redisTest } from "./support.ts";

const PAGES = ["/", "/workers", "/streams", "/schedules", "/operations"];
const EVIL = "<img src=x onerror=alert(1)>";

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

redisTest(
  "a queue that nobody works on comes first, and its dead letters are marked",
  async (test) => {
    const [quiet, stuck] = [`${test.name} a`, `${test.name} b`];
    await using done = new ReliableQueue<unknown>(test.redis, quiet);
    await done.enqueue(1, { delayMs: 60_000 });
    await using waits = new ReliableQueue<unknown>(test.redis, stuck);
    await bury(waits, ["no such address"]);
    await waits.enqueue(1);
    await using server = serve({ redis: test.url });
    const { html } = await page(`${server.url}/?q=${encodeURIComponent(test.name)}`);
    const order = [...html.matchAll(/data-queue="([^"]+)"/g)].map(([, name]) => name);
    assertEquals(order, [stuck, quiet]);
    assertEquals([...html.matchAll(/Dead <b( class="bad")?>(\d)</g)].map((m) => m.slice(1)), [
      [' class="bad"', "1"],
      [undefined, "0"],
    ]);
  },
);

redisTest(
  "a search that cannot be read says what there is to search for, and not that none was found",
  async (test) => {
    await using queue = new ReliableQueue<unknown>(test.redis, test.name);
    await bury(queue, ["no such address"]);
    await using server = serve({ redis: test.url });
    const at = `${server.url}/queues/${test.name}/messages?state=dead`;
    const wrong = await page(`${at}&q=colour:red`);
    assertMatch(wrong.html, /role="alert">There is no field &quot;colour&quot;/);
    assertMatch(wrong.html, /<details class="help" open/);
    assert(!wrong.html.includes("None found"), wrong.html);
    const none = await page(`${at}&q=error:timeout`);
    assert(none.html.includes("None found"));
    assertMatch(none.html, /<details class="help">/);
  },
);

Deno.test("times say how long ago, and by which clock", () => {
  assertEquals(
    [0, 999, -1, -999, 1_000, 61_500, -2_500].map(passed),
    ["just now", "just now", "now", "now", "1 s ago", "1 min 1 s ago", "in 2 s"],
  );
  assertMatch(zoned(Date.UTC(2026, 10, 22)), /^2026-11-2[12] \d\d:\d\d:00 UTC([+−]\d+(:\d\d)?)?$/);
  assertEquals([zoned(0), zoned(NaN)], ["", ""]);
});
