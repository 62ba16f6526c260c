/**
 * @title   Reliable queue, producer for a plain list
 * @run     deno run --allow-net=127.0.0.1:6379 examples/07_reliable_queue/list_producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/07_reliable_queue/by_hand.ts
 * @redis   LPUSH
 *
 * The same ten photos for a plain list, as `--lossy` and `by_hand.ts` read it.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "photo_prints", count: 10, rate: 4 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Reliable queue, producer for a plain list", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new ListQueue(redis, flags.queue);

say("producer", `${left} photos for ${queue.name}, a plain list, ${flags.rate} a second`);
for (let n = 1; left > 0; n++, left--) {
  await queue.enqueue({ n, task: `print_photo_${n} .`, madeAt: now() });
  if (n % 5 === 0) say("producer", `${n} stored`);
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [producer] 10 photos for photo_prints, a plain list, 4 a second
// [producer] 5 stored
// [producer] 10 stored
