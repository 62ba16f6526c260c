/**
 * @title   Tutorial 4, task queue, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/blocking.ts
 * @redis   EVALSHA
 *
 * The tutorial's producer: one task for later, and five for now.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer } from "@workshop/redis-patterns/tasks";
import { help, say } from "../../scoreboard.ts";
import type { Tasks } from "./blocking.ts";

const defaults = { queue: "tasks" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 4, task queue, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const producer = new TaskProducer<Tasks>(redis, { name: flags.queue });

await producer.schedule("process_data", { data: 1 }, { delayMs: 1_200 });
say("producer", "scheduled process_data of 1");
for (let data = 42; data < 47; data++) {
  await pause(50 + 100 * Math.random());
  await producer.add("process_data", { data });
  say("producer", `added process_data of ${data}`);
}
await producer.close();
await redis.close();

// Expect:
// [producer] scheduled process_data of 1
// [producer] added process_data of 42
// [producer] added process_data of 43
// [producer] added process_data of 44
// [producer] added process_data of 45
// [producer] added process_data of 46
