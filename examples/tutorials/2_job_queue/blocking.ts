/**
 * @title   Tutorial 2, job queue, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/blocking.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/producer.ts --name 2
 * @redis   EVALSHA · BLPOP
 *
 * The tutorial's consumer, waiting in Redis. What fails is tried three times and is dead then.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../../scoreboard.ts";

const defaults = { name: "1", queue: "queue", count: 5 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Tutorial 2, job queue, blocking", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

// BRPOPLPUSH queue queue:processing, with a lease; the retries; and queue:dlq: all of it in here.
const redis = await connect({ url: flags.url });
type Job = { id: string; to: string; madeAt: number };
const retry = { maxAttempts: 3, backoff: { baseMs: 50 } };
const queue = new ReliableQueue<Job>(redis, flags.queue, { leaseMs: 5_000, ...retry });
const score = new Scoreboard();
say("worker", `waiting on ${queue.name}`);

const worker = new Worker(queue, (job, { delivery: { attempt } }) => {
  if (attempt === 1) score.received(job);
  say("worker", `${job.id}  attempt ${attempt} … ${job.to ? `mail to ${job.to}` : "no address"}`);
  if (++taken === Number(flags.count)) void worker.stop();
  if (!job.to) throw new Error("no address");
}, { mode: "blocking" });
let taken = 0;
await worker.run({ signal });

// Ten hand-overs for six jobs, five of them here. Then the first consumer shows what has become of
// them: the metrics of the tutorial's "future improvements", and its dead-letter queue.
if (flags.name === "1" && !signal.aborted) {
  while ((await queue.counts()).dead < 2 && !signal.aborted) await pause(100);
  const { acked, dead, enqueued, failed } = (await queue.stats()).totals;
  say("worker", `enqueued ${enqueued}, acked ${acked}, attempts failed ${failed}, dead ${dead}`);
  for (const { payload, reason } of (await queue.peek("dead")).messages) {
    say("worker", `dead: ${payload?.id}, ${reason}`);
  }
  await queue.purge("dead");
}
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] waiting on queue
// [worker] job_<n>  attempt <n> … <any>
// [worker] job_<n>  attempt <n> … <any>
// [worker] job_<n>  attempt <n> … <any>
// [worker] job_<n>  attempt <n> … <any>
// [worker] job_<n>  attempt <n> … <any>
// [worker] enqueued 6, acked 4, attempts failed 6, dead 2
// ~ [worker] dead: job_13, after 3 attempts: Error: no address
// ~ [worker] dead: job_23, after 3 attempts: Error: no address
// [score]  messages <n>  commands <n>  wait p50 <ms> ms
