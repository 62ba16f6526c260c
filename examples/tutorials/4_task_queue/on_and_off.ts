/**
 * @title   Tutorial 4, every feature on and off
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/on_and_off.ts
 * @redis   EVALSHA · BLPOP · HMGET · XADD · XLEN · ZADD · ZRANGE · ZREM · DEL
 *
 * The list of features of the tutorial, one after the other: with it, and without it.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer, TaskQueue, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "features_4" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 4, every feature on and off", flags, defaults);
const redis = await connect({ url: flags.url });
const handlers = {
  process_data: ({ data }: { data: number }) => ({ processed_data: data * 2 }),
  flaky(_: null, { attempt }: { attempt: number }) {
    if (attempt < 3) throw new Error("not yet");
    return `attempt ${attempt}`;
  },
};
const asking = { mode: "polling", pollMs: 20 } as const;

for (const tag of ["on", "off"] as const) {
  const [maxAttempts, count, delayMs] = tag === "on" ? [3, 1_000, 200] : [1, 1, 0];
  const queue = { name: `${flags.queue}_${tag}`, maxAttempts, keepRecords: { count } };
  await using producer = new TaskProducer<typeof handlers>(redis, queue);
  await using worker = new TaskWorker(redis, { ...queue, handlers, backoff: { baseMs: 0 } });

  // Delayed tasks. Off: it is there at once.
  const later = await producer.schedule("process_data", { data: 1 }, { delayMs });
  say(tag, `delayed tasks: ${(await later.record())?.state}`);
  void worker.start();
  await later.result(asking);

  // Automatic retries, and what was given up.
  const flaky = await (await producer.add("flaky", null)).outcome(asking);
  say(tag, `retries: ${flaky.state === "done" ? flaky.result : flaky.state}`);

  // Result storage. Off: only the last result is kept.
  const first = await producer.add("process_data", { data: 42 });
  const last = await producer.add("process_data", { data: 43 });
  await last.result(asking);
  await worker.stop();
  const stored = await first.outcome({ waitMs: 0 });
  say(tag, `results: ${stored.state === "done" ? stored.result.processed_data : stored.state}`);
  await producer.queue.purge("dead");
}

// The scheduler: two of them find the same task due. Off: by hand, ZRANGE, XADD and ZREM.
const queue = { name: `${flags.queue}_two` };
const tasks = new TaskQueue<typeof handlers>(redis, queue);
const same = new TaskQueue<typeof handlers>(redis, queue);
await tasks.enqueue({ type: "flaky", payload: null }, { delayMs: 20 });
const [stream, delayed] = [`${flags.queue}:tasks`, `${flags.queue}:delayed:tasks`];
await redis.zAdd(delayed, { score: 1, value: "task" });
await pause(40);
const taken = await Promise.all([tasks.receive(), same.receive()]);
say("on", `two schedulers: added ${taken.filter(Boolean).length} time`);
const found = await Promise.all([0, 1].map(() => redis.zRange(delayed, 0, -1)));
for (const [task] of found) await redis.xAdd(stream, "*", { task: task! });
await redis.zRem(delayed, "task");
say("off", `two schedulers: added ${await redis.xLen(stream)} times`);
for (const delivery of taken) await delivery?.ack();
await redis.del(stream);
await Promise.all([tasks.close(), same.close()]);
await redis.close();

// Expect:
// [on] delayed tasks: delayed
// [on] retries: attempt 3
// [on] results: 84
// [off] delayed tasks: ready
// [off] retries: dead
// [off] results: unknown
// [on] two schedulers: added 1 time
// [off] two schedulers: added 2 times
