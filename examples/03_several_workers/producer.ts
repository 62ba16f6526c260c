/**
 * @title   Several workers, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/03_several_workers/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/03_several_workers/blocking.ts --name ann
 * @with    deno run --allow-net=127.0.0.1:6379 examples/03_several_workers/blocking.ts --name bob
 * @redis   LPUSH
 *
 * Twenty tasks, eight a second. That is more than one worker can do, and less than two can.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "photo_tasks", count: 20, rate: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Several workers, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new ListQueue(redis, flags.queue);

// A dot is 100 ms of work, so a task takes 200 ms on average and comes every 125 ms.
const steps = ["mail .", "thumbnail ..", "poster ....", "invoice ."];
say("producer", `${left} tasks for ${queue.name}, ${flags.rate} a second`);
for (let n = 1; left > 0; n++, left--) {
  const waiting = await queue.enqueue({ n, task: steps[n % 4], madeAt: now() });
  if (n % 5 === 0) say("producer", `${n} stored, ${waiting} waiting`);
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [producer] 20 tasks for photo_tasks, 8 a second
// [producer] 5 stored, <n> waiting
// [producer] 10 stored, <n> waiting
// [producer] 15 stored, <n> waiting
// [producer] 20 stored, <n> waiting
