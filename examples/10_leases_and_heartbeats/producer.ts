/**
 * @title   Leases and heartbeats, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/10_leases_and_heartbeats/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/10_leases_and_heartbeats/blocking.ts
 * @redis   EVALSHA
 *
 * Three panoramas, one at a time: the next one when nobody has the last one any more.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "panoramas" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Leases and heartbeats, producer", flags, defaults);
let stopped = false;
Deno.addSignalListener("SIGINT", () => stopped = true);

const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
for (let n = 1; n <= 3 && !stopped; n++) {
  await queue.enqueue({ task: `panorama_${n}`, madeAt: now() });
  say("producer", `panorama_${n} stored`);
  for (let counts = await queue.counts(); counts.ready + counts.leased > 0 && !stopped;) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    counts = await queue.counts();
  }
}
await redis.close();

// Expect:
// [producer] panorama_1 stored
// [producer] panorama_2 stored
// [producer] panorama_3 stored
