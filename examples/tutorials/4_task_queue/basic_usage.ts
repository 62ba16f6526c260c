/**
 * @title   Tutorial 4, basic usage
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/basic_usage.ts
 * @redis   EVALSHA · BLPOP · HMGET · SUBSCRIBE · UNSUBSCRIBE
 *
 * The tutorial's first program, line by line: worker and producer in one. It goes on where the
 * tutorial ends, to the result.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, say } from "../../scoreboard.ts";

// Stream `tasks` and group `workers` are the defaults, as in the tutorial.
const defaults = { queue: "tasks" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 4, basic usage", flags, defaults);
const redis = await connect({ url: flags.url });
const name = flags.queue;

// Define a task handler
function process_data(payload: { data: number }) {
  const data = payload.data;
  const result = data * 2;
  return { processed_data: result };
}

// Create a worker with the task handler
const handlers = { process_data };
const worker = new TaskWorker(redis, { name, handlers, concurrency: 2 });
void worker.start();

// Add a task to the queue
const producer = new TaskProducer<typeof handlers>(redis, { name });
const task = await producer.add("process_data", { data: 42 });
say("producer", `Added task with ID: ${task.id}`);

// Schedule a task for future execution
const soon = await producer.schedule("process_data", { data: 21 }, { runAt: Date.now() + 500 });
say("producer", `Scheduled, and ${(await soon.record())?.state}: ${soon.id}`);

// Retrieve the results
const { processed_data } = await task.result(); // a number: the handler says so
say("producer", `${task.type} gave ${processed_data}`);
say("producer", `${soon.type} gave ${(await soon.result()).processed_data}, later`);

// When done
await worker.stop();
await Promise.all([worker.queue.close(), producer.close()]);
await redis.close();

// Expect:
// [producer] Added task with ID: <id>
// [producer] Scheduled, and delayed: <id>
// [producer] process_data gave 84
// [producer] process_data gave 42, later
