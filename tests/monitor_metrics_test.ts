/** What Prometheus reads. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import parsePrometheusTextFormat from "parse-prometheus-text-format";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { serve } from "./monitor_web_support.ts";
import { eventually, serverTest } from "./support.ts";

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
