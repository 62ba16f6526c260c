/**
 * @title   Back-pressure and rate limits, polling
 * @run     deno run --allow-net=127.0.0.1:6379
 *          examples/19_back_pressure_and_rate_limits/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/19_back_pressure_and_rate_limits/polling.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/19_back_pressure_and_rate_limits/producer.ts
 * @redis   EVALSHA
 *
 * The print lab takes five portraits in half a second, from both workers together. Redis counts. A
 * worker asks every 100 ms, and is given nothing while the limit is reached, though there is work.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { name: "1", queue: "portraits", count: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Back-pressure and rate limits, polling", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const [count, perMs] = [5, 500];
const queue = new ReliableQueue<{ n: number; madeAt: number }>(redis, flags.queue, {
  rateLimit: { count, perMs }, // the same for every worker: each tells Redis how much it may have
  keepCompleted: {},
});
const score = new Scoreboard();
say("worker", `asking ${queue.name} every 100 ms, at most ${count} in ${perMs} ms`);

const worker = new Worker(queue, (payload) => {
  const waited = score.received(payload);
  say("worker", `${flags.name}: portrait_${payload.n} to the lab, waited ${waited} ms`);
  if (score.messages === Number(flags.count)) void worker.stop();
}, { mode: "polling", pollMs: 100 });
await worker.run({ signal });

// The success log of the queue says when each was handed out, to whomever: was the limit kept?
const isClerk = flags.name === "1";
let { messages } = await queue.peek("completed", { limit: 1_000 });
for (; isClerk && messages.length < 2 * Number(flags.count) && !signal.aborted; await pause(200)) {
  ({ messages } = await queue.peek("completed", { limit: 1_000 }));
}
if (isClerk && !signal.aborted) {
  const times = messages.map(({ receivedAt }) => receivedAt!);
  const counts = times.map((from) => times.filter((at) => at >= from && at < from + perMs).length);
  say("worker", `both: ${times.length}, in any ${perMs} ms at most ${Math.max(...counts)}`);
  await queue.purge("completed");
}
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] asking portraits every 100 ms, at most 5 in 500 ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] 1: portrait_<n> to the lab, waited <ms> ms
// [worker] both: 20, in any 500 ms at most 5
// [score]  messages 10  commands <n>  wait p50 <ms> ms
