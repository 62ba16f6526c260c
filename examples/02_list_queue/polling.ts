/**
 * @title   List queue, polling
 * @run     deno run --allow-net=127.0.0.1:6379 examples/02_list_queue/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/02_list_queue/producer.ts
 * @redis   RPOP
 *
 * The worker asks for the oldest task, and after a "nothing there" asks again 100 ms later. So it
 * asks in vain while the shop is quiet, and a task that comes during the pause waits for its end.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "task_queue", count: 20 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("List queue, polling", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const queue = new ListQueue<{ order: number; task: string; madeAt: number }>(redis, flags.queue);
const score = new Scoreboard();
say("worker", `waiting on ${queue.name}, asking every 100 ms`);

// Each turn of the loop is as many RPOPs as it takes. A lost connection does not end it.
const { signal } = stop;
for await (const { payload } of queue.consume({ mode: "polling", pollMs: 100, signal })) {
  const waited = score.received(payload);
  say("worker", `Processing: ${payload.task}  order ${payload.order}, waited ${waited} ms`);

  // A dot is 100 ms of work. Redis has forgotten the task already: crash here, and it is lost.
  const dots = payload.task.split(".").length - 1;
  await new Promise((resolve) => setTimeout(resolve, dots * 100));

  if (score.messages === Number(flags.count)) break;
}
score.print();
await redis.close();

// Expect:
// [worker] waiting on task_queue, asking every 100 ms
// [worker] Processing: send_email_to_user@example.com  order 123, waited <ms> ms
// [worker] Processing: resize_photo_1  order 123, waited <ms> ms
// [worker] Processing: resize_photo_2  order 123, waited <ms> ms
// [worker] Processing: invoice  order 123, waited <ms> ms
// [worker] Processing: label  order 123, waited <ms> ms
// [worker] Processing: send_email_to_user@example.com  order 124, waited <ms> ms
// [worker] Processing: resize_photo_1  order 124, waited <ms> ms
// [worker] Processing: resize_photo_2  order 124, waited <ms> ms
// [worker] Processing: invoice  order 124, waited <ms> ms
// [worker] Processing: label  order 124, waited <ms> ms
// [worker] Processing: send_email_to_user@example.com  order 125, waited <ms> ms
// [worker] Processing: resize_photo_1  order 125, waited <ms> ms
// [worker] Processing: resize_photo_2  order 125, waited <ms> ms
// [worker] Processing: invoice  order 125, waited <ms> ms
// [worker] Processing: label  order 125, waited <ms> ms
// [worker] Processing: send_email_to_user@example.com  order 126, waited <ms> ms
// [worker] Processing: resize_photo_1  order 126, waited <ms> ms
// [worker] Processing: resize_photo_2  order 126, waited <ms> ms
// [worker] Processing: invoice  order 126, waited <ms> ms
// [worker] Processing: label  order 126, waited <ms> ms
// [score]  messages 20  commands <n>  wait p50 <ms> ms
