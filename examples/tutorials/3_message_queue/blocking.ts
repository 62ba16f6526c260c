/**
 * @title   Tutorial 3, message queue, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/3_message_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/3_message_queue/blocking.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/3_message_queue/blocking.ts --name 3
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/3_message_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/3_message_queue/producer.ts --name 2
 * @redis   EVALSHA · BLPOP
 *
 * The tutorial's receive_messages, waiting in Redis. Returning acknowledges, throwing does not.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../../scoreboard.ts";

const defaults = { name: "1", queue: "my_message_queue", count: 2 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Tutorial 3, message queue, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const queue = new ReliableQueue<string>(redis, flags.queue);
const score = new Scoreboard();
say("worker", `waiting on ${queue.name}`);

const worker = new Worker(queue, (message, { delivery }) => {
  score.received({ madeAt: delivery.enqueuedAt });
  say("worker", `Received Message: ${message}`);
  if (score.messages === Number(flags.count)) stop.abort();
}, { mode: "blocking" });
await worker.run({ signal: stop.signal });
score.print();
await redis.close();

// Expect:
// [worker] waiting on my_message_queue
// [worker] Received Message: Hello (id=<n>)
// [worker] Received Message: Hello (id=<n>)
// [score]  messages 2  commands <n>  wait p50 <ms> ms
