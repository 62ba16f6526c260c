/**
 * @title   Reliable queue, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/07_reliable_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/07_reliable_queue/blocking.ts
 * @redis   EVALSHA
 *
 * Ten photos to print, four a second. One is to be in the hand of a worker who is killed.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "photo_prints", count: 10, rate: 4, lossy: false };
const options = { string: ["url", "queue"], boolean: ["lossy"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Reliable queue, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = flags.lossy // a plain list, for a worker that is told the same
  ? new ListQueue(redis, flags.queue)
  : new ReliableQueue(redis, flags.queue);

say("producer", `${left} photos for ${queue.name}, ${flags.rate} a second`);
for (let n = 1; left > 0; n++, left--) {
  await queue.enqueue({ n, task: `print_photo_${n} .`, madeAt: now() });
  if (n % 5 === 0) say("producer", `${n} stored`);
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [producer] 10 photos for photo_prints, 4 a second
// [producer] 5 stored
// [producer] 10 stored
