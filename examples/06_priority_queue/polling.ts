/**
 * @title   Priority queue, polling
 * @run     deno run --allow-net=127.0.0.1:6379 examples/06_priority_queue/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/06_priority_queue/polling.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/06_priority_queue/producer.ts
 * @redis   EVALSHA
 *
 * One producer, two consumers: high before low, nothing twice. Each consumer asks for the most
 * urgent task there is, and after a "nothing there" asks again 100 ms later.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, PriorityQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { name: "1", queue: "priority_tasks", count: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Priority queue, polling", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

type Task = { n: number; type: string; priority: "high" | "medium" | "low"; madeAt: number };
const redis = await connect({ url: flags.url });
const queue = new PriorityQueue<Task>(redis, flags.queue);
const score = new Scoreboard();
const consumer = `Consumer ${flags.name}`;
const longest = { high: 0, medium: 0, low: 0 };
say(consumer, `waiting on ${queue.name}, asking every 100 ms`);

// Each delivery is the most urgent task that there is at that moment. One script in Redis takes it
// out and notes whose it is, so no two consumers get the same.
for await (const delivery of queue.consume({ mode: "polling", pollMs: 100, signal: stop.signal })) {
  const { n, type, priority, madeAt } = delivery.payload;
  const waited = score.received(delivery.payload);
  longest[priority] = Math.max(longest[priority], Math.round(Number(waited)));
  const at = new Date(madeAt).toTimeString().slice(0, 8);
  say(consumer, `Got task: Task ID: ${1001 + n}, Created at: ${at}, waited ${waited} ms`);
  const payload = `${priority[0]!.toUpperCase()}${priority.slice(1)} priority ${type} task`;
  say(consumer, `  Type: ${type}, Priority: ${priority}, Payload: ${payload}`);

  await new Promise((resolve) => setTimeout(resolve, 100)); // the work
  await delivery.ack();
  if (score.messages === Number(flags.count)) break;
}
const { high, medium, low } = longest;
say(consumer, `waited at most: high ${high} ms, medium ${medium} ms, low ${low} ms`);
score.print();
await queue.close();
await redis.close();

// Expect:
// [Consumer 1] waiting on priority_tasks, asking every 100 ms
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: email, Priority: high, Payload: High priority email task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] Got task: Task ID: <n>, Created at: <id>, waited <ms> ms
// [Consumer 1]   Type: <any>, Priority: <any>, Payload: <any> priority <any> task
// [Consumer 1] waited at most: high <n> ms, medium <n> ms, low <n> ms
// [score]  messages 10  commands <n>  wait p50 <ms> ms
