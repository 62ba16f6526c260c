/**
 * @title   Several workers, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/03_several_workers/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/03_several_workers/blocking.ts --name bob
 * @with    deno run --allow-net=127.0.0.1:6379 examples/03_several_workers/producer.ts
 * @redis   BRPOP
 *
 * Two workers of one queue: each task goes to one of them. Redis gives the next task to the worker
 * that has waited longest, so who is free takes turns, and who is busy is passed over.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { name: "ann", queue: "photo_tasks", count: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Several workers, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const queue = new ListQueue<{ n: number; task: string; madeAt: number }>(redis, flags.queue);
const score = new Scoreboard();
say("worker", `${flags.name} waiting on ${queue.name}`);

// A Worker is the loop of step 02 with your handler in it: one task at a time, and no next one
// before the handler has returned. So the busy do not hoard what the idle could do.
const worker = new Worker(queue, async (payload) => {
  const waited = score.received(payload);
  say("worker", `${flags.name}: ${payload.n} ${payload.task}  waited ${waited} ms`);
  const dots = payload.task.split(".").length - 1;
  await new Promise((resolve) => setTimeout(resolve, dots * 100));

  // Ten tasks each, then home. A worker that is stopped finishes what it has in hand.
  if (score.messages === Number(flags.count)) stop.abort();
}, { mode: "blocking" });
await worker.run({ signal: stop.signal });

score.print();
await redis.close();

// Expect:
// [worker] ann waiting on photo_tasks
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [worker] ann: <n> <any>  waited <ms> ms
// [score]  messages 10  commands <n>  wait p50 <ms> ms
