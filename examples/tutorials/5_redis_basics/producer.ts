/**
 * @title   Tutorial 5, Redis basics, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/5_redis_basics/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/5_redis_basics/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/5_redis_basics/blocking.ts --name 2
 * @redis   LPUSH · PUBLISH
 *
 * The tutorial's publisher and its queue producer: each order is an event for all, and two tasks.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, Publisher } from "@workshop/redis-patterns";
import { help, now, say } from "../../scoreboard.ts";

const defaults = { queue: "task_queue", channel: "order_events", count: 8, rate: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "channel"], default: defaults });
help("Tutorial 5, Redis basics, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const [publisher, queue] = [new Publisher(redis), new ListQueue(redis, flags.queue)];
const tasks = ["send_email_to_user@example.com", "resize_photo_1"];
for (let n = 0; left > 0; n++, left--) {
  if (n % 2 === 0) {
    const event = { order_id: 123 + n / 2, status: "created", madeAt: now() };
    const heard = await publisher.publish(flags.channel, event); // r.publish('order_events', …)
    say("publisher", `order_id ${event.order_id} created, heard by ${heard}`);
  }
  const task = tasks[n % 2];
  const waiting = await queue.enqueue({ task, madeAt: now() }); // r.lpush('task_queue', …)
  say("producer", `${task} stored, ${waiting} waiting`);
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await publisher.publish(flags.channel, { status: "closed" }); // so that the listeners go home
await redis.close();

// Expect:
// [publisher] order_id 123 created, heard by <n>
// [producer] send_email_to_user@example.com stored, <n> waiting
// [producer] resize_photo_1 stored, <n> waiting
// [publisher] order_id 124 created, heard by <n>
// [producer] send_email_to_user@example.com stored, <n> waiting
// [producer] resize_photo_1 stored, <n> waiting
// [publisher] order_id 125 created, heard by <n>
// [producer] send_email_to_user@example.com stored, <n> waiting
// [producer] resize_photo_1 stored, <n> waiting
// [publisher] order_id 126 created, heard by <n>
// [producer] send_email_to_user@example.com stored, <n> waiting
// [producer] resize_photo_1 stored, <n> waiting
