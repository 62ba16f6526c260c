/** What one can search for in the web dashboard, and dead letters by error. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ReliableQueue, type Waiting } from "@workshop/redis-patterns";
import { groupOf } from "../monitor/web/groups.ts";
import { readSearch, SearchError } from "../monitor/web/search.ts";
import { bury, page, serve } from "./monitor_web_support.ts";
import { redisTest } from "./support.ts";

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
