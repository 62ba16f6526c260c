/**
 * @title   Deduplication, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/blocking.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/blocking.ts --name 3
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/producer.ts --name 2
 * @redis   EVALSHA · BLPOP · SET · GET
 *
 * Every order is published twice and stored once; one is still handed over twice, after a crash. So
 * the charge itself has to be safe to repeat. Three workers wait in Redis.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { name: "1", queue: "my_message_queue", count: 3, window: 2_000 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Deduplication, blocking", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

// The success log and the failure log are off by default. Here both keep an hour.
const redis = await connect({ url: flags.url });
const log = { count: 1_000, ageMs: 3_600_000 };
const queue = new ReliableQueue<{ order: string; total: number; madeAt?: number }>(
  redis,
  flags.queue,
  { backoff: { baseMs: 0 }, keepCompleted: log, keepFailed: log },
);
const score = new Scoreboard();
say("worker", `waiting on ${queue.name}`);

const worker = new Worker(queue, async ({ order, total, madeAt }, { delivery: { attempt } }) => {
  score.received({ madeAt });
  // Charging and noting that it is charged is one command: there is no crash between the two.
  const note = { condition: "NX", expiration: { type: "EX", value: 60 } } as const;
  const charged = await redis.set(`charge:${queue.name}:${order}`, `attempt ${attempt}`, note);
  const what = charged ? `charged ${total} EUR` : "charged already, done";
  say("worker", `Received Message: ${order}  attempt ${attempt} … ${what}`);
  if (score.messages >= Number(flags.count)) void worker.stop();
  if (order === "order_103" && attempt === 1) throw new Error("crash between charge and ack");
}, { mode: "blocking" });
await worker.run({ signal });

// Nine deliveries, three for each worker. The first one then reads both logs.
const isClerk = flags.name === "1";
let { messages } = await queue.peek("completed");
for (; isClerk && messages.length < 8 && !signal.aborted; await pause(200)) {
  ({ messages } = await queue.peek("completed"));
}
if (isClerk && !signal.aborted) {
  for (const { payload, attempts } of messages) {
    const charge = await redis.get(`charge:${queue.name}:${payload!.order}`);
    say("worker", `completed: ${payload!.order} at attempt ${attempts + 1}, charged at ${charge}`);
  }
  for (const { payload, errors } of (await queue.peek("failed")).messages) {
    say(
      "worker",
      `failed: ${payload!.order} at attempt ${errors[0]?.attempt}, ${errors[0]?.message}`,
    );
  }

  // The window is over: the order is stored again. Only the charge itself knows better now.
  await pause(Number(flags.window), undefined, { signal }).catch(() => {});
  const late = { order: "order_101", total: 21 };
  const { duplicate } = await queue.enqueue(late, { dedupe: { key: late.order } });
  say("worker", `order_101 comes late: ${duplicate ? "is there already" : "stored again"}`);
  await worker.run({ signal });
  await Promise.all([queue.purge("completed"), queue.purge("failed")]);
}
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] waiting on my_message_queue
// [worker] Received Message: <any>  attempt <n> … <any>
// [worker] Received Message: <any>  attempt <n> … <any>
// [worker] Received Message: <any>  attempt <n> … <any>
// ~ [worker] completed: order_101 at attempt 1, charged at attempt 1
// ~ [worker] completed: order_102 at attempt 1, charged at attempt 1
// ~ [worker] completed: order_103 at attempt 2, charged at attempt 1
// ~ [worker] completed: order_104 at attempt 1, charged at attempt 1
// ~ [worker] completed: order_105 at attempt 1, charged at attempt 1
// ~ [worker] completed: order_106 at attempt 1, charged at attempt 1
// ~ [worker] completed: order_107 at attempt 1, charged at attempt 1
// ~ [worker] completed: yearly_fee at attempt 1, charged at attempt 1
// [worker] failed: order_103 at attempt 1, Error: crash between charge and ack
// [worker] order_101 comes late: stored again
// [worker] Received Message: order_101  attempt 1 … charged already, done
// [score]  messages 4  commands <n>  wait p50 <ms> ms
