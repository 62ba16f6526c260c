/**
 * What the watch page is made of: lines of MONITOR, lists followed by their commands, looks, declared
 * keys; and who may see it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ListQueue, PriorityQueue, ReliableQueue, StreamQueue } from "@workshop/redis-patterns";
import { exampleFiles, listSteps, readExample, ROOT } from "../tools/example.ts";
import { widthOf } from "../tools/example_stage.ts";
import { picture } from "../tools/picture.ts";
import { run } from "../tools/run.ts";
import { Board, DENSE, MOUTH_MS } from "../tools/watch/board.ts";
import { cardOf } from "../tools/watch/card.ts";
import { matches } from "../tools/watch/channels.ts";
import { declaredIn } from "../tools/watch/declared.ts";
import { Lists } from "../tools/watch/lists.ts";
import { look } from "../tools/watch/look.ts";
import { frameOf } from "../tools/watch/page.tsx";
import { openWatch } from "../tools/watch/server.ts";
import { parseLine } from "../tools/watch/wire.ts";
import { redisTest } from "./support.ts";

Deno.test("parseLine() takes a line of MONITOR apart, bytes and quotes and all", () => {
  assertEquals(
    parseLine('1700000000.000001 [0 127.0.0.1:50000] "lpush" "key" "a \\"b\\" \\\\ \\xc3\\xa9\\n"'),
    {
      from: "127.0.0.1:50000",
      args: ["LPUSH", "key", 'a "b" \\ é\n'],
    },
  );
  assertEquals(parseLine('1700000000.000001 [0 lua] "RPOP" "queue"')?.from, undefined);
  assertEquals(parseLine("OK"), undefined);
});

Deno.test("Lists follows who has which entry, first come, first served", () => {
  const lists = new Lists(new Set(["q", "q:processing"]));
  lists.hear("ann", ["BRPOP", "q", "0"]);
  lists.hear("bob", ["BLMOVE", "q", "q:processing", "RIGHT", "LEFT", "0"]);
  assertEquals(lists.waiting, ["ann", "bob"]);
  lists.hear("shop", ["LPUSH", "q", "1", "2", "3"]);
  assertEquals(lists.hands.get("ann"), ["1"]);
  assertEquals(lists.hear("eve", ["RPOP", "q:processing"]), 1);
  assertEquals(lists.hands.get("eve"), ["2"]); // what bob moved
  assertEquals(lists.hear("eve", ["LPOP", "q", "5"]), 1);
  assertEquals(lists.hands.get("eve"), ["3"]);
  lists.hear("ann", ["BRPOP", "q", "0"]);
  assertEquals(lists.hands.has("ann"), false); // asking for the next, she has done the last
  lists.hear("ann", ["PING"]);
  assertEquals(lists.waiting, []);
  assertEquals(lists.hear("shop", ["LPUSH", "another", "1"]), 0); // nobody follows that one
});

Deno.test("matches() knows what a pattern of PSUBSCRIBE means", () => {
  assert(matches("shop:*", "shop:orders"));
  assert(!matches("shop:*", "shops:orders"));
  assert(matches("h?llo.[ab]", "hello.a"));
  assert(!matches("h?llo.[ab]", "hello_a"));
});

Deno.test("every step but the doctor declares what there is to watch", async () => {
  for (const step of await listSteps()) {
    const files = exampleFiles([step]).filter((path) =>
      /\/(polling|blocking|producer)\.ts$/.test(path)
    );
    const code = await Promise.all(files.map(async (path) => (await readExample(path)).code));
    const { names, channels } = declaredIn(code.flat());
    assert(names.length + channels.length > 0, `${step.path} declares nothing`);
  }
});

redisTest(
  "look() sees every structure at one moment, and picture() draws it",
  async ({ redis, name }) => {
    await using list = new ListQueue(redis, name);
    await list.enqueueMany(["a", "b"].map((task) => ({ task })));
    const leased = `${name}:leased`;
    await using reliable = new ReliableQueue<unknown>(redis, leased, { leaseMs: 60_000 });
    await reliable.enqueueMany([{ task: "print_1" }, { task: "print_2" }, { task: "print_3" }]);
    await reliable.enqueue({ task: "later" }, { delayMs: 60_000 });
    const inHand = await reliable.receive();
    await (await reliable.receive())!.deadLetter("no paper");
    await using urgent = new PriorityQueue<unknown>(redis, `${name}:urgent`);
    await urgent.enqueue({ task: "call" }, { priority: 1 });
    await using stream = new StreamQueue<unknown>(redis, `${name}:stream`);
    await stream.enqueueMany([{ task: "label_1" }, { task: "label_2" }]);
    const label = await stream.receive();

    const seen = await look(redis, {
      names: [name, leased, `${name}:urgent`, `${name}:stream`],
      channels: [name],
    });
    const byKey = new Map(seen.structures.map((each) => [each.key, each]));
    assertEquals(byKey.get(name)?.kind, "list");
    assertEquals(byKey.get(`queue:{${leased}}:ready`)?.size, 1);
    const delayed = byKey.get(`queue:{${leased}}:delayed`);
    assert(delayed?.kind === "zset" && delayed.byTime);
    const ready = byKey.get(`queue:{${name}:urgent}:ready`);
    assert(ready?.kind === "zset" && !ready.byTime);
    assertEquals(byKey.get(`queue:{${name}:stream}:ready`)?.kind, "stream");
    assertEquals(seen.hands.flatMap(({ cards }) => cards.map(({ label }) => label)), [
      "print_1",
      "label_1",
    ]);
    assert(seen.hands[0]!.leaseEndsAt! > seen.now);
    assertEquals(seen.dead.map(({ cards }) => cards.map(({ label }) => label)), [["print_2"]]);

    const lines = picture(seen, 120, ({ consumer }) => consumer.slice(0, 3));
    const text = lines.join("\n");
    for (const line of lines) assert(widthOf(line) <= 120, line);
    for (const word of ["LIST", "ZSET", "STREAM", "IN HAND", "DEAD", "nobody listens", "later"]) {
      assertStringIncludes(text, word);
    }
    await inHand!.ack();
    await label!.ack();
    for (const queue of [reliable, urgent, stream]) {
      for (const state of ["ready", "delayed", "dead"] as const) await queue.purge(state);
    }
  },
);

Deno.test("a message is the same card wherever it lies, and says what it is about", () => {
  const payload = JSON.stringify({ order: 123, task: "resize_photo_1 .", madeAt: 1.5 });
  const message = `0abc-1 0 0 1795320605233 0 0\n${payload}`;
  assertEquals(cardOf(message).label, "123 resize_photo_1");
  assertEquals(cardOf(message).id, cardOf(message.replace(" 0 0 ", " 2 1 ")).id);
  assertEquals(cardOf(message.replace(" 0 0 ", " 2 1 ")).attempts, 2);
  assertEquals(cardOf("\x1b[31m<img src=x>").label, "·[31m<img src=x>");
});

Deno.test("Board shows counts in the place of cards above ten moves a second", async () => {
  const board = new Board({ names: ["q"], channels: ["news"] });
  const push = (n: number, at: number) =>
    board.hear({ from: "127.0.0.1:1", args: ["LPUSH", "q", `{"n":${n},"task":"t${n}"}`] }, at);
  push(1, 0);
  assertEquals(board.scene(10).isDense, false);
  for (let n = 2; n <= 2 * DENSE + 2; n++) push(n, 20);
  const scene = board.scene(30);
  assert(scene.isDense);
  const { event } = await frameOf(scene, undefined);
  assertStringIncludes(event, "transition:false");
  assert(!event.includes("view-transition-name:p"), "cards still fly");
  assertEquals(board.scene(3_000).isDense, false);
});

Deno.test("Board counts a message that comes and is taken at once as one move", () => {
  const board = new Board({ names: ["q"], channels: [] });
  for (let n = 1; n <= 2 * DENSE; n++) { // ten a second, as far as the picture goes
    board.hear({ from: "127.0.0.1:1", args: ["BRPOP", "q", "0"] }, 10);
    board.hear({ from: "127.0.0.1:2", args: ["LPUSH", "q", `${n}`] }, 10);
  }
  assertEquals(board.scene(20).movesPerSecond, DENSE);
  assertEquals(board.scene(20).isDense, false);
});

Deno.test("Board lets what is published go from the mouth to those who heard it", async () => {
  const board = new Board(
    { names: [], channels: ["news"] },
    ({ port }) => ({ 1: "ann", 2: "shop" })[port ?? 0],
  );
  board.hear({ from: "127.0.0.1:1", args: ["PSUBSCRIBE", "new?"] }, 0);
  board.hear({ from: "127.0.0.1:2", args: ["PUBLISH", "news", '{"headline":"paper"}'] }, 0);
  const heard = (at: number) => board.scene(at).channels[0]!;
  assertEquals(heard(1).listeners, ["ann"]);
  assertEquals(heard(1).said.map(({ isFresh, heardBy }) => ({ isFresh, heardBy })), [
    { isFresh: true, heardBy: ["ann"] },
  ]);
  assertEquals(heard(MOUTH_MS + 1).said[0]!.isFresh, false);
  board.present(new Set(), 1_000); // ann is gone
  board.hear({ from: "127.0.0.1:2", args: ["PUBLISH", "news", '{"headline":"ink"}'] }, 1_000);
  assertEquals(heard(1_001).said[1]!.heardBy, []);
  assertMatch((await frameOf(board.scene(1_002), undefined)).event, /ink.*heard by 0: gone/);
});

Deno.test("what comes from Redis is text in the page, never markup", async () => {
  const board = new Board({ names: ["q"], channels: [] });
  const evil = '<img src=x onerror="alert(1)">';
  board.hear({ from: "127.0.0.1:1", args: ["LPUSH", "q", evil] }, 0);
  board.hear({ from: "127.0.0.1:1", args: ["RPOP", "q"] }, 0);
  const { event } = await frameOf(board.scene(1), undefined);
  assertStringIncludes(event, "&lt;img");
  assert(!event.includes("<img"), event);
});

Deno.test("the watch page refuses a Redis on another machine, and says what lets it", async () => {
  const declared = { names: ["q"], channels: [] };
  const error = assertThrows(
    () => openWatch({ url: "redis://:pw@redis.example:6379", declared }),
    RangeError,
  );
  assertStringIncludes(error.message, "redis.example:6379 is not this machine");
  assertStringIncludes(error.message, "--allow-remote");
  assert(!error.message.includes("pw"));
  const cwd = ROOT.pathname;
  const tool = (...args: string[]) =>
    run(Deno.execPath(), ["run", "-A", "tools/watch.ts", ...args], { cwd, deadlineMs: 30_000 });
  const [far, none, odd, help] = await Promise.all([
    tool("--url", "redis://192.0.2.1:6379"),
    tool("--url", "localhost:6379"),
    tool("99"),
    tool("--help"),
  ]);
  assertStringIncludes(far.stderr, "192.0.2.1:6379 is not this machine");
  assertStringIncludes(none.stderr, "must be redis://host:port");
  assertStringIncludes(odd.stderr, "Not understood: 99");
  assertStringIncludes(help.stdout, "deno task watch 07");
});

redisTest("the watch page answers to names of this machine only", async ({ url, name }) => {
  const watch = openWatch({ url, port: 0, declared: { names: [name], channels: [] } });
  try {
    const page = await fetch(watch.url);
    assertStringIncludes(page.headers.get("content-security-policy")!, "default-src 'none'");
    assertStringIncludes(await page.text(), "Nothing is in Redis yet");
    const conn = await Deno.connect({
      hostname: "127.0.0.1",
      port: Number(new URL(watch.url).port),
    });
    await conn.write(
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    );
    assertMatch(await new Response(conn.readable).text(), /^HTTP\/1.1 421/);
  } finally {
    await watch.close();
  }
});
