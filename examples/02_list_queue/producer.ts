/**
 * @title   List queue, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/02_list_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/02_list_queue/blocking.ts
 * @redis   LPUSH
 *
 * An order makes five tasks. They go into a Redis list, eight a second, worker or no worker.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "task_queue", count: 20, rate: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("List queue, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

// The queue's name is its key in Redis: `redis-cli LRANGE task_queue 0 -1` shows what waits.
const redis = await connect({ url: flags.url });
const queue = new ListQueue(redis, flags.queue);

// enqueue() tells how many wait, this one included, before anybody takes it.
const steps = [
  "send_email_to_user@example.com",
  "resize_photo_1",
  "resize_photo_2",
  "invoice",
  "label",
];
say("producer", `${left} tasks for ${queue.name}, ${flags.rate} a second`);
for (let n = 0; left > 0; n++, left--) {
  const order = 123 + Math.floor(n / 5);
  const waiting = await queue.enqueue({ order, task: steps[n % 5], madeAt: now() });
  if (n % 5 === 4) say("producer", `order ${order} stored, ${waiting} waiting`);
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [producer] 20 tasks for task_queue, 8 a second
// [producer] order 123 stored, <n> waiting
// [producer] order 124 stored, <n> waiting
// [producer] order 125 stored, <n> waiting
// [producer] order 126 stored, <n> waiting
