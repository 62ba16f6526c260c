/**
 * @title   Tutorial 1, priority queue, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/1_priority_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/1_priority_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/1_priority_queue/blocking.ts --name 2
 * @redis   EVALSHA
 *
 * The tutorial's producer: tasks with random priorities, until Ctrl-C or the sixth.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, PriorityQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../../scoreboard.ts";

const defaults = { queue: "priority_queue", count: 6, rate: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 1, priority queue, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new PriorityQueue(redis, flags.queue);
for (let taskId = 1234; left > 0; taskId++, left--) {
  const priority = (["high", "medium", "low"] as const)[Math.floor(Math.random() * 3)]!;
  const at = new Date().toTimeString().slice(0, 8);
  const lines = [`Task ID: ${taskId}`, "Type: email", `Priority: ${priority}`, `Created at: ${at}`];
  say("Producer", ["Generated task:", ...lines].join("\n  - "));
  await queue.enqueue({ taskId, type: "email", priority, madeAt: now() }, { priority }); // ZADD
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [Producer] Generated task:
//   - Task ID: 1234
//   - Type: email
//   - Priority: <id>
//   - Created at: <id>
// [Producer] Generated task:
//   - Task ID: 1235
//   - Type: email
//   - Priority: <id>
//   - Created at: <id>
// [Producer] Generated task:
//   - Task ID: 1236
//   - Type: email
//   - Priority: <id>
//   - Created at: <id>
// [Producer] Generated task:
//   - Task ID: 1237
//   - Type: email
//   - Priority: <id>
//   - Created at: <id>
// [Producer] Generated task:
//   - Task ID: 1238
//   - Type: email
//   - Priority: <id>
//   - Created at: <id>
// [Producer] Generated task:
//   - Task ID: 1239
//   - Type: email
//   - Priority: <id>
//   - Created at: <id>
