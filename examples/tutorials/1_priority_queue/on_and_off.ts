/**
 * @title   Tutorial 1, every feature on and off
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/1_priority_queue/on_and_off.ts
 * @redis   EVALSHA · BLPOP · ZADD · ZRANGE · ZREM
 *
 * The list of features of the tutorial, one after the other: with it, and without it.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, PriorityQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "features_1" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 1, every feature on and off", flags, defaults);
const redis = await connect({ url: flags.url });
const options = { backoff: { baseMs: 0 } };
const byPriority = new PriorityQueue<string>(redis, `${flags.queue}_priority`, options);
const inOrder = new ReliableQueue<string>(redis, `${flags.queue}_in_order`);
async function takeAll(queue: typeof byPriority | typeof inOrder): Promise<string> {
  const deliveries = await queue.receiveMany(10);
  for (const delivery of deliveries) await delivery.ack();
  return deliveries.map(({ payload }) => payload).join(", ");
}

// Priority-based processing: 1 is high, 2 medium, 3 low. A ReliableQueue has no priorities.
for (const priority of ["low", "medium", "high"] as const) {
  await byPriority.enqueue(priority, { priority });
  await inOrder.enqueue(priority);
}
say("on", `priorities: ${await takeAll(byPriority)}`);
say("off", `priorities: ${await takeAll(inOrder)}`);

// No duplicate processing, with several consumers. Off: the tutorial's ZRANGE, and then its ZREM.
await byPriority.enqueue("1234");
const claims = await Promise.all([byPriority.receive(), byPriority.receive()]);
say("on", `nothing twice: ${claims.filter(Boolean).length} of 2 consumers has task 1234`);
await claims[0]?.ack();
const zset = `${flags.queue}_zset`;
await redis.zAdd(zset, { score: 1, value: "1234" });
const read = await Promise.all([redis.zRange(zset, 0, 0), redis.zRange(zset, 0, 0)]);
const removed = await Promise.all(read.map(([task]) => redis.zRem(zset, task!)));
say(
  "off",
  `nothing twice: ${read.length} of 2 have read it; ZREM told them ${removed.join(" and ")}`,
);

// Real-time distribution: who waits in Redis gets it at once. Off: who asks may ask too early.
const [waiting, asked] = [byPriority.receive({ waitMs: 5_000 }), byPriority.receive()];
say("off", `real time: ${(await asked)?.payload ?? "nothing there yet, ask again"}`);
await byPriority.enqueue("1235");
say("on", `real time: ${(await waiting)?.payload} as soon as it came`);
await (await waiting)?.ack();

// Graceful shutdown: what is in hand is finished. Off: it is given back, and somebody else does it.
for (const graceMs of [5_000, 0]) {
  await byPriority.enqueue("1236");
  let end = "";
  const worker = new Worker(byPriority, (_, { signal }) => pause(100, undefined, { signal }), {
    onEvent: (event) => end = event.type === "failed" ? "given back" : event.type,
  });
  void worker.start();
  while (worker.active === 0) await pause(10);
  await worker.stop({ graceMs });
  say(graceMs > 0 ? "on" : "off", `graceful shutdown: task 1236 is ${end}`);
}
await byPriority.purge("ready");
await Promise.all([byPriority.close(), inOrder.close()]);
await redis.close();

// Expect:
// [on] priorities: high, medium, low
// [off] priorities: low, medium, high
// [on] nothing twice: 1 of 2 consumers has task 1234
// [off] nothing twice: 2 of 2 have read it; ZREM told them 1 and 0
// [off] real time: nothing there yet, ask again
// [on] real time: 1235 as soon as it came
// [on] graceful shutdown: task 1236 is done
// [off] graceful shutdown: task 1236 is given back
