/**
 * @title   Back-pressure and rate limits, producer
 * @run     deno run --allow-net=127.0.0.1:6379
 *          examples/19_back_pressure_and_rate_limits/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/19_back_pressure_and_rate_limits/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/19_back_pressure_and_rate_limits/blocking.ts --name 2
 * @redis   EVALSHA
 *
 * A queue that holds five. While the lab is closed the sixth portrait is refused; then it may wait.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, QueueFullError, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "portraits", count: 20 };
const flags = parseArgs(Deno.args, {
  string: ["url", "queue"],
  default: defaults,
});
help("Back-pressure and rate limits, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const strict = new ReliableQueue(redis, flags.queue, { maxReady: 5 });
const patient = new ReliableQueue(redis, flags.queue, { maxReady: 5, onFull: "wait" });

await strict.pause(); // kept in Redis: for all workers, also those that start later
let n = 1;
try {
  for (; n <= Number(flags.count); n++) await strict.enqueue({ n, madeAt: now() });
} catch (error) {
  if (!(error instanceof QueueFullError)) throw error;
  const { ready, paused } = await strict.counts();
  say("producer", `portrait_${n} refused: ready ${ready} of ${error.maxReady}, paused ${paused}`);
}
await strict.resume();
for (; n <= Number(flags.count); n++) {
  const begun = now();
  await patient.enqueue({ n, madeAt: now() });
  const waited = now() - begun;
  say("producer", `portrait_${n} stored${waited > 20 ? `, waited ${waited.toFixed(0)} ms` : ""}`);
}
await redis.close();

// Expect:
// [producer] portrait_6 refused: ready 5 of 5, paused true
// [producer] portrait_6 stored<any>
// [producer] portrait_7 stored<any>
// [producer] portrait_8 stored<any>
// [producer] portrait_9 stored<any>
// [producer] portrait_10 stored<any>
// [producer] portrait_11 stored<any>
// [producer] portrait_12 stored<any>
// [producer] portrait_13 stored<any>
// [producer] portrait_14 stored<any>
// [producer] portrait_15 stored<any>
// [producer] portrait_16 stored<any>
// [producer] portrait_17 stored<any>
// [producer] portrait_18 stored<any>
// [producer] portrait_19 stored<any>
// [producer] portrait_20 stored<any>
