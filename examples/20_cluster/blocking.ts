/**
 * @title   Cluster, blocking
 * @run     deno run --allow-net=127.0.0.1 --allow-env=REDIS_URL examples/20_cluster/blocking.ts
 * @with    deno run --allow-net=127.0.0.1 --allow-env=REDIS_URL examples/20_cluster/producer.ts
 * @with    deno run --allow-net=127.0.0.1 --allow-env=REDIS_URL examples/20_cluster/failover.ts
 * @server  cluster
 * @redis   EVALSHA · LPOP · UNLINK
 *
 * One queue on three masters, in six partitions. Each master tells the worker when there is
 * something, over one connection. A master hands over meanwhile, and nothing is lost.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, PartitionedQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "lab_photos", count: 24 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Cluster, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

type Photo = { customer: string; photo: number; madeAt: number };
const redis = await connect({ url: flags.url });
const queue = new PartitionedQueue<Photo>(redis, flags.queue, {
  partitions: 6,
  make: (client, name) => new ReliableQueue<Photo>(client, name),
});
const score = new Scoreboard();
const printed = new Map<string, number[]>();
let [lastAt, longestMs] = [Infinity, 0];
say("worker", `told by each master what is in ${queue.name}`);

const worker = new Worker(queue, (payload) => {
  const { customer, photo } = payload;
  const waited = score.received(payload);
  printed.set(customer, [...printed.get(customer) ?? [], photo]);
  longestMs = Math.max(longestMs, performance.now() - lastAt);
  lastAt = performance.now();
  say("worker", `${customer}'s photo ${photo}, waited ${waited} ms`);
  if (score.messages === Number(flags.count)) void worker.stop();
}, { mode: "blocking" });
await worker.run({ signal: stop.signal });

for (const [customer, photos] of [...printed].sort()) {
  say("worker", `${customer}: ${photos.join(" ")}`);
}
const shares = queue.partitions.map(async (part) => (await part.stats()).totals.acked);
say("worker", `of the partitions ${(await Promise.all(shares)).join(" ")}`);
say("worker", `longest pause ${longestMs.toFixed(0)} ms`);
if ((await queue.counts()).ready === 0) await queue.dissolve(); // another number may come next
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] told by each master what is in lab_photos
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] <any>'s photo <n>, waited <ms> ms
// [worker] ann: 1 2 3 4
// [worker] bob: 1 2 3 4
// [worker] cem: 1 2 3 4
// [worker] dora: 1 2 3 4
// [worker] eve: 1 2 3 4
// [worker] finn: 1 2 3 4
// [worker] of the partitions 4 4 4 4 4 4
// [worker] longest pause <ms> ms
// [score]  messages 24  commands <n>  wait p50 <ms> ms
