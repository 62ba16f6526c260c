/**
 * @title   Doctor, can we wait?
 * @run     deno run --allow-net=127.0.0.1:6379 examples/00_doctor/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/00_doctor/producer.ts
 * @redis   BRPOP
 *
 * Blocking needs a connection that may be silent for a while without being cut. This waits for the
 * test message, and then once more in vain, to see that Redis ends a wait in time.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "doctor_test", count: 1 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Doctor, can we wait?", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new ListQueue<{ text: string; madeAt: number }>(redis, flags.queue);
const score = new Scoreboard();
say("worker", `waiting on ${queue.name}`);

while (left > 0) {
  // One BRPOP. It is answered the moment a message is there, or with undefined after a second.
  const message = await queue.receive({ waitMs: 1_000 });
  if (!message) continue;
  left--;
  say("worker", `heard: ${message.payload.text}  waited ${score.received(message.payload)} ms`);
}

// The queue is empty now. After 500 ms Redis itself has to say: nothing came.
const askedAt = performance.now();
await queue.receive({ waitMs: 500 });
say("worker", `a wait of 500 ms in vain took ${(performance.now() - askedAt).toFixed(0)} ms`);

score.print();
await redis.close();

// Expect:
// [worker] waiting on doctor_test
// [worker] heard: can you hear me? (1)  waited <ms> ms
// [worker] a wait of 500 ms in vain took <ms> ms
// [score]  messages 1  commands <n>  wait p50 <ms> ms
