/**
 * @title   Tutorial 4, scheduler
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/scheduler.ts
 * @redis   EVALSHA · BLPOP · HMGET
 *
 * The tutorial's scheduler moves delayed tasks when they are due; so does this one, also while no
 * worker runs. And it adds what comes again: once a tick, with any number of schedulers.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer, TaskScheduler, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "scheduled" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 4, scheduler", flags, defaults);
const redis = await connect({ url: flags.url });
const name = flags.queue;
const again = Promise.withResolvers<void>();
const handlers = {
  process_data({ data }: { data: number }) {
    if (data === 21 && ++ticks === 3) again.resolve();
    if (ticks <= 3) say("worker", `process_data of ${data}`);
    return { processed_data: data * 2 };
  },
};
let ticks = 0;

// Two of them: if one dies, the other goes on. Each tick is one task all the same.
const scheduler = new TaskScheduler<typeof handlers>(redis, { name });
const other = new TaskScheduler<typeof handlers>(redis, { name });
void scheduler.start();
void other.start();

// The tutorial's: a delayed task is moved to the stream when it is due.
const producer = new TaskProducer<typeof handlers>(redis, { name });
const task = await producer.schedule("process_data", { data: 42 }, { delayMs: 300 });
say("scheduler", `at first: ${(await task.record())?.state}`);
while ((await task.record())?.state === "delayed") await pause(50);
say("scheduler", `later: ${(await task.record())?.state}, though no worker runs`);

// Again and again, here every 200 ms; scheduler.cron() takes a pattern and a time zone.
const worker = new TaskWorker(redis, { name, handlers });
void worker.start();
await task.result({ mode: "polling", pollMs: 20 });
await scheduler.every("pulse", 200, "process_data", { data: 21 });
await again.promise;
await scheduler.remove("pulse");

// When done
await Promise.all([scheduler.stop(), other.stop(), worker.stop()]);
await producer.queue.purge("ready"); // a tick that nobody waits for any more
await Promise.all([producer.close(), worker.queue.close()]);
await redis.close();

// Expect:
// [scheduler] at first: delayed
// [scheduler] later: ready, though no worker runs
// [worker] process_data of 42
// [worker] process_data of 21
// [worker] process_data of 21
// [worker] process_data of 21
