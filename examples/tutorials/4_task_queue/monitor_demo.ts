/**
 * @title   Tutorial 4, monitor demo
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/monitor_demo.ts
 * @redis   EVALSHA · BLPOP · TIME · XRANGE · XREAD · XREVRANGE
 *
 * The tutorial's monitor, line by line: what is there, who holds what, what happened last. And what
 * it does not have: events, as they come.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskMonitor, TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "monitored" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 4, monitor demo", flags, defaults);
const redis = await connect({ url: flags.url });
const options = { name: flags.queue, maxAttempts: 1 };
const handlers = {
  async process_data({ data }: { data: number }) {
    await pause(200);
    if (data < 0) throw new Error("negative");
    return { processed_data: data * 2 };
  },
};
const producer = new TaskProducer<typeof handlers>(redis, options);
const monitor = new TaskMonitor<typeof handlers>(redis, options);
const worker = new TaskWorker(redis, { ...options, handlers });
for (const data of [42, -1, 43]) await producer.add("process_data", { data });
const later = await producer.schedule("process_data", { data: 44 }, { delayMs: 60_000 });

// Get queue statistics
const stats = await monitor.queueStats();
say("monitor", `Queue length: ${stats.streamLength}`);
say("monitor", `Delayed: ${stats.counts.delayed}`);

// Who has it: delivered, and not acknowledged.
const since = await monitor.cursor();
void worker.start();
let { tasks: [held] } = await monitor.pending();
while (!held) ({ tasks: [held] } = await monitor.pending());
say("monitor", `Pending: ${held.type}, at consumer ${held.consumer}`);

// As it happens: nobody asks in between.
let open = 3;
for await (const event of monitor.events({ since })) {
  if (event.event === "gap") continue;
  say("monitor", `Event: ${event.event} ${event.type}`);
  if (["done", "dead"].includes(event.event) && --open === 0) break;
}
await later.cancel();
await worker.stop();

// Get recent tasks
for (const task of await monitor.recentTasks(10)) {
  say("monitor", `Task ${task.id}: ${task.state}`);
}
await producer.queue.purge("dead");
await Promise.all([monitor.close(), producer.close(), worker.queue.close()]);
await redis.close();

// Expect:
// [monitor] Queue length: 3
// [monitor] Delayed: 1
// [monitor] Pending: process_data, at consumer <id>
// ~ [monitor] Event: started process_data
// ~ [monitor] Event: started process_data
// ~ [monitor] Event: started process_data
// ~ [monitor] Event: done process_data
// ~ [monitor] Event: done process_data
// ~ [monitor] Event: failed process_data
// ~ [monitor] Event: dead process_data
// [monitor] Task <id>: cancelled
// [monitor] Task <id>: done
// [monitor] Task <id>: dead
// [monitor] Task <id>: done
