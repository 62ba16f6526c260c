/**
 * `GET /metrics`: what the queues are doing, in Prometheus's text format. Counters and histograms count
 * from a queue's beginning and are kept in Redis, so a restart of this server resets nothing, and any
 * number of servers say the same: scrape one.
 *
 * @module
 */
import type { Counted, Histogram } from "@workshop/redis-patterns";
import type { Snapshot } from "./snapshot.ts";

/** The media type of the format. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** What the server knows of itself. */
export interface ServerFigures {
  /** How often the connection to Redis was lost and found again. */
  reconnects: number;
  /** How many requests wait for a message. */
  waiting: number;
  /** How many pages listen for changes. */
  streams: number;
}

const COUNTERS: Record<Counted, string> = {
  enqueued: "Messages enqueued.",
  acked: "Messages acknowledged.",
  failed: "Attempts that were given back or buried by their consumer.",
  lapsed: "Attempts whose lease ran out.",
  dead: "Messages that were given up.",
  redriven: "Dead letters that were made ready again.",
  cancelled: "Messages that were cancelled.",
};

/** Buckets in milliseconds: every fourth of the library's, a doubling each. */
const BOUNDS = Array.from({ length: 21 }, (_, i) => 2 ** i); // 1 ms to 17 min

type Labels = Record<string, string>;

/** One metric: its name, type and help, and its samples. */
interface Metric {
  name: string;
  type: "counter" | "gauge" | "histogram";
  help: string;
  samples: [suffix: string, labels: Labels, value: number][];
}

/** Writes the page; without a snapshot (Redis is away) it says so and no more. */
export function metricsText(snapshot: Snapshot | undefined, server: ServerFigures): string {
  const queues = snapshot?.queues ?? [];
  const per = (value: (queue: Snapshot["queues"][number]) => number | undefined) =>
    queues.flatMap((queue): Metric["samples"] => {
      const found = value(queue);
      return found === undefined ? [] : [["", labelsOf(queue), found]];
    });
  const metrics: Metric[] = [
    gauge("up", "Whether Redis answers.", [["", {}, snapshot ? 1 : 0]]),
    {
      name: "monitor_reconnects_total",
      type: "counter",
      help: "Connections of this server to Redis that were lost and found again.",
      samples: [["", {}, server.reconnects]],
    },
    gauge("monitor_waiting_requests", "Requests that wait for a message.", [[
      "",
      {},
      server.waiting,
    ]]),
    gauge("monitor_event_streams", "Pages that listen for changes.", [["", {}, server.streams]]),
    gauge(
      "messages",
      "Messages in each state.",
      queues.flatMap((queue) =>
        (["ready", "leased", "delayed", "dead"] as const).map(
          (state): Metric["samples"][number] => [
            "",
            { ...labelsOf(queue), state },
            queue.counts[state],
          ],
        )
      ),
    ),
    gauge(
      "oldest_ready_seconds",
      "How long the message that comes out next has waited; 0 if there is none.",
      per(({ counts }) => (counts.oldestReadyMs ?? 0) / 1_000),
    ),
    gauge(
      "oldest_seconds",
      "The age of the oldest message that is not done, ready or in hand; 0 if there is none.",
      per(({ oldestMs = 0 }) => oldestMs / 1_000),
    ),
    gauge("paused", "Whether the queue is paused.", per(({ counts }) => counts.paused ? 1 : 0)),
    gauge(
      "consumers",
      "Consumers that said lately that they are there.",
      per((q) => q.consumers.length),
    ),
    gauge(
      "consumers_paused",
      "Of these, how many are paused: they finish what they have and take no more.",
      per((q) => q.consumers.filter(({ paused }) => paused).length),
    ),
    gauge(
      "consumer_heartbeat_age_seconds",
      "How long ago the quietest of the consumers said that it is there.",
      per(({ consumers }) =>
        consumers.length > 0
          ? Math.max(...consumers.map(({ seenMs }) => seenMs)) / 1_000
          : undefined
      ),
    ),
    ...Object.entries(COUNTERS).map(([what, help]): Metric => ({
      name: `${what}_total`,
      type: "counter",
      help,
      samples: per(({ stats }) => stats.totals[what as Counted]),
    })),
    histogram(
      "wait_seconds",
      "From when a message could be claimed until it was, of those acknowledged.",
      queues.map((queue) => [labelsOf(queue), queue.stats.waits]),
    ),
    histogram(
      "run_seconds",
      "From the claim to the ack.",
      queues.map((queue) => [labelsOf(queue), queue.stats.runs]),
    ),
  ];
  return metrics.filter(({ samples }) => samples.length > 0).map(write).join("");
}

function labelsOf({ name, kind }: { name: string; kind: string }): Labels {
  return { queue: name, kind };
}

function gauge(name: string, help: string, samples: Metric["samples"]): Metric {
  return { name, type: "gauge", help, samples };
}

function histogram(name: string, help: string, of: [Labels, Histogram | undefined][]): Metric {
  const samples = of.flatMap(([labels, times]): Metric["samples"] => {
    if (!times) return [];
    const { buckets, count, sumMs } = times;
    const within = (ms: number) =>
      buckets.findLast((bucket) => bucket.ms <= ms * 1.001)?.count ?? 0;
    return [
      ...BOUNDS.map((ms): Metric["samples"][number] => [
        "_bucket",
        { ...labels, le: String(ms / 1_000) },
        within(ms),
      ]),
      ["_bucket", { ...labels, le: "+Inf" }, count],
      ["_sum", labels, sumMs / 1_000],
      ["_count", labels, count],
    ];
  });
  return { name, type: "histogram", help, samples };
}

function write({ name, type, help, samples }: Metric): string {
  const full = `redis_queue_${name}`;
  const lines = samples.map(([suffix, labels, value]) => {
    const inner = Object.entries(labels).map(([key, text]) => `${key}="${escape(text)}"`).join(",");
    return `${full}${suffix}${inner && `{${inner}}`} ${value}\n`;
  });
  return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join("")}`;
}

/** As the format wants it in a label's value. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
