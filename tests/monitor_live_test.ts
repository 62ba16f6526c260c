/** The live part of the web dashboard: frames as they are sent, how many may listen, and Redis away. */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { page, serve } from "./monitor_web_support.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

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
      away.html.includes("Redis cannot be reached") && away.html.includes("connection refused") &&
        !away.html.includes("last heard"),
      away.html,
    );
    // Only for browsers without script, which would else be reloaded under somebody's hands.
    const refreshes = away.html.match(/(<noscript>)?<meta http-equiv="refresh"/g);
    assertEquals(refreshes, ['<noscript><meta http-equiv="refresh"']);
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
    const gone = (await second.next()).value!.html;
    assert(gone.includes("Redis cannot be reached"));
    assertMatch(gone, /It was last heard of at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/);
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
