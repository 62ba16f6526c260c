/**
 * @title   Cluster, producer
 * @run     deno run --allow-net=127.0.0.1 --allow-env=REDIS_URL examples/20_cluster/producer.ts
 * @with    deno run --allow-net=127.0.0.1 --allow-env=REDIS_URL examples/20_cluster/blocking.ts
 * @server  cluster
 * @redis   LMOVE · EVALSHA
 *
 * A command can name keys of one slot only: of names whose text in braces is the same. Then photos
 * of six customers, each customer's in order.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, PartitionedQueue, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "lab_photos", count: 24, rate: 12 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Cluster, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
for (const [from, to] of [["lab:ready", "lab:hand"], ["{lab}:ready", "{lab}:hand"]] as const) {
  const moved = redis.lMove(from, to, "RIGHT", "LEFT").then(() => "one slot");
  say("producer", `${from} to ${to}: ${await moved.catch(({ message }) => message)}`);
}

const queue = new PartitionedQueue(redis, flags.queue, {
  partitions: 6,
  make: (client, name) => new ReliableQueue(client, name),
});
const customers = ["ann", "bob", "cem", "dora", "eve", "finn"];
for (let n = 0; left > 0; n++, left--) {
  const [customer, photo] = [customers[n % 6]!, 1 + Math.floor(n / 6)];
  await queue.enqueue({ customer, photo, madeAt: now() }, { orderKey: customer });
  await pause(1_000 / Number(flags.rate));
}
say("producer", `${flags.count} photos of ${customers.length} customers`);
await redis.close();

// Expect:
// [producer] lab:ready to lab:hand: CROSSSLOT Keys in request don't hash to the same slot
// [producer] {lab}:ready to {lab}:hand: one slot
// [producer] 24 photos of 6 customers
