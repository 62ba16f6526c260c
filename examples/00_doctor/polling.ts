/**
 * @title   Doctor, can we ask?
 * @run     deno run --allow-net=127.0.0.1:6379 examples/00_doctor/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/00_doctor/producer.ts
 * @redis   RPOP
 *
 * Polling needs quick answers. This asks for the test message every 100 ms until it is there, and
 * tells how long an answer takes: about a millisecond on your own machine, more over a network.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "doctor_test", count: 1 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Doctor, can we ask?", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new ListQueue<{ text: string; madeAt: number }>(redis, flags.queue);
const score = new Scoreboard();
const answers: number[] = [];
say("worker", `asking ${queue.name} every 100 ms`);

while (left > 0) {
  // Without `waitMs`, receive() answers at once: with the message, or with undefined.
  const askedAt = performance.now();
  const message = await queue.receive();
  answers.push(performance.now() - askedAt);

  if (message) {
    left--;
    say("worker", `heard: ${message.payload.text}  waited ${score.received(message.payload)} ms`);
  } else {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const median = answers.toSorted((a, b) => a - b)[answers.length >> 1] ?? 0;
say("worker", `asked ${answers.length} times, an answer took ${median.toFixed(1)} ms`);
score.print();
await redis.close();

// Expect:
// [worker] asking doctor_test every 100 ms
// [worker] heard: can you hear me? (1)  waited <ms> ms
// [worker] asked <n> times, an answer took <ms> ms
// [score]  messages 1  commands <n>  wait p50 <ms> ms
