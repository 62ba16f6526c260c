/**
 * @title   Tutorial 2, job queue, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/producer.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/blocking.ts --name 2
 * @redis   EVALSHA
 *
 * The tutorial's producer, and a second one beside it. Every third job has no address.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../../scoreboard.ts";

const defaults = { name: "1", queue: "queue", count: 3 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Tutorial 2, job queue, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
for (let n = 1; n <= Number(flags.count); n++) {
  const job = { id: `job_${flags.name}${n}`, to: n % 3 === 0 ? "" : "ann", madeAt: now() };
  await queue.enqueue(job); // LPUSH queue
  say("producer", `enqueued ${job.id}`);
}
await redis.close();

// Expect:
// [producer] enqueued job_11
// [producer] enqueued job_12
// [producer] enqueued job_13
