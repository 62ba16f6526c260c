/**
 * @title   Consumer groups, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/14_consumer_groups/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/14_consumer_groups/blocking.ts
 * @redis   EVALSHA
 *
 * Ten address labels to print: three at once, then four a second. They become entries of a stream.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, StreamQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "labels", count: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Consumer groups, producer", flags, defaults);
let stopped = false;
Deno.addSignalListener("SIGINT", () => stopped = true);

const redis = await connect({ url: flags.url });
const queue = new StreamQueue(redis, flags.queue, { group: "printers" });

const label = (n: number) => ({ label: `label_${n}`, madeAt: now() });
await queue.enqueueMany([label(1), label(2), label(3)]);
say("producer", `3 labels for ${queue.name}, now 4 a second`);
for (let n = 4; n <= Number(flags.count) && !stopped; n++) {
  await pause(250);
  await queue.enqueue(label(n));
  if (n % 5 === 0) say("producer", `${n} stored`);
}
await queue.close();
await redis.close();

// Expect:
// [producer] 3 labels for labels, now 4 a second
// [producer] 5 stored
// [producer] 10 stored
