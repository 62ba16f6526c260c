/**
 * @title   Tutorial 1, priority queue, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/1_priority_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/1_priority_queue/blocking.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/1_priority_queue/producer.ts
 * @redis   EVALSHA · BLPOP
 *
 * The tutorial's consumer, waiting in Redis. Start two of them; each task is at one.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, PriorityQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../../scoreboard.ts";

const defaults = { name: "1", queue: "priority_queue", count: 3 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Tutorial 1, priority queue, blocking", flags, defaults);
const stop = new AbortController(); // graceful shutdown: Ctrl-C ends the loop, not the task in hand
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
type Task = { taskId: number; type: string; priority: "high" | "medium" | "low"; madeAt: number };
const queue = new PriorityQueue<Task>(redis, flags.queue);
const score = new Scoreboard();
const consumer = `Consumer ${flags.name}`;
say(consumer, `waiting on ${queue.name}`);

// ZRANGE and ZREM of the tutorial, as one step that no other consumer can get into.
for await (const delivery of queue.consume({ mode: "blocking", signal: stop.signal })) {
  const { taskId, type, priority } = delivery.payload;
  score.received(delivery.payload);
  const [created, processed] = [delivery.enqueuedAt, delivery.receivedAt]
    .map((at) => new Date(at).toTimeString().slice(0, 8));
  const text = `${priority[0]!.toUpperCase()}${priority.slice(1)} priority ${type} task`;
  const lines = [`Task ID: ${taskId}`, `Created at: ${created}`, `Processed at: ${processed}`];
  lines.push(`Type: ${type}`, `Priority: ${priority}`, `Payload: ${text}`);
  say(consumer, ["Got task:", ...lines].join("\n  - "));

  await new Promise((resolve) => setTimeout(resolve, 100)); // the work
  await delivery.ack(); // the tutorial has none: it removed the task before the work
  if (score.messages === Number(flags.count)) break;
}
score.print();
await queue.close();
await redis.close();

// Expect:
// [Consumer 1] waiting on priority_queue
// [Consumer 1] Got task:
//   - Task ID: <n>
//   - Created at: <id>
//   - Processed at: <id>
//   - Type: email
//   - Priority: <id>
//   - Payload: <id> priority email task
// [Consumer 1] Got task:
//   - Task ID: <n>
//   - Created at: <id>
//   - Processed at: <id>
//   - Type: email
//   - Priority: <id>
//   - Payload: <id> priority email task
// [Consumer 1] Got task:
//   - Task ID: <n>
//   - Created at: <id>
//   - Processed at: <id>
//   - Type: email
//   - Priority: <id>
//   - Payload: <id> priority email task
// [score]  messages 3  commands <n>  wait p50 <ms> ms
