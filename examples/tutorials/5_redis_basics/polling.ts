/**
 * @title   Tutorial 5, Redis basics, polling
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/5_redis_basics/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/5_redis_basics/polling.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/5_redis_basics/producer.ts
 * @redis   RPOP · SUBSCRIBE
 *
 * The tutorial's subscriber and its queue worker in one program, both looking every half second, as
 * its worker does. Start two: each hears every event, and each task is at one of them.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, Subscriber } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../../scoreboard.ts";

const defaults = { name: "1", queue: "task_queue", channel: "order_events", count: 4, poll: 500 };
const strings = ["url", "queue", "channel", "name"] as const;
const flags = parseArgs(Deno.args, { string: strings, default: defaults });
help("Tutorial 5, Redis basics, polling", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
const pollMs = Number(flags.poll);
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const score = new Scoreboard();
const queue = new ListQueue<{ task: string; madeAt: number }>(redis, flags.queue);
const subscriber = new Subscriber<{ order_id: number; status: string; madeAt: number }>(redis);
await subscriber.subscribe(flags.channel);
score.commands++; // the client does not announce SUBSCRIBE
say(`subscriber ${flags.name}`, `listening to ${flags.channel}, looking every ${flags.poll} ms`);

// subscriber.py has no such form, nor has Redis: what is pushed to us waits in an inbox of ours.
async function listen(): Promise<void> {
  while (!signal.aborted) {
    for (let message; (message = subscriber.take());) {
      const { madeAt, ...event } = message.payload;
      if (event.status === "closed") return;
      score.received({ madeAt });
      say(`subscriber ${flags.name}`, `Received: ${JSON.stringify(event)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

// queue_worker.py: `rpop`, and a sleep of half a second if there was nothing.
async function work(): Promise<void> {
  let left = Number(flags.count);
  for await (const { payload } of queue.consume({ mode: "polling", pollMs, signal })) {
    score.received(payload);
    say(`worker ${flags.name}`, `Processing: ${payload.task}`);
    await new Promise((resolve) => setTimeout(resolve, 100)); // the work
    if (--left === 0) break;
  }
}

await Promise.all([listen(), work()]);
score.print();
await subscriber.close();
await redis.close();

// Expect:
// [subscriber 1] listening to order_events, looking every 500 ms
// ~ [subscriber 1] Received: {"order_id":123,"status":"created"}
// ~ [worker 1] Processing: <any>
// ~ [subscriber 1] Received: {"order_id":124,"status":"created"}
// ~ [worker 1] Processing: <any>
// ~ [subscriber 1] Received: {"order_id":125,"status":"created"}
// ~ [worker 1] Processing: <any>
// ~ [subscriber 1] Received: {"order_id":126,"status":"created"}
// ~ [worker 1] Processing: <any>
// [score]  messages 8  commands <n>  wait p50 <ms> ms
