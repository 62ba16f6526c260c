/**
 * @title   Delays, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/11_delays_and_schedules/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/11_delays_and_schedules/blocking.ts
 * @redis   EVALSHA · TIME
 *
 * Five reminders, each with its time. One is called off, and the last one is due first.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "reminders" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Delays, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
const remind = async (to: string, delayMs: number) => {
  await queue.enqueue({ to, delayMs, madeAt: now() }, { id: to, delayMs });
  say("producer", `${to}: in ${delayMs} ms`);
};

await Promise.all([remind("ann", 1_500), remind("bob", 1_000), remind("cleo", 900)]);
// By the clock on the wall. `delayMs` needs no clock but Redis's; for this, yours must be right.
const at = Date.now() + 1_200;
await queue.enqueue({ to: "emil", delayMs: 1_200, madeAt: now() }, { id: "emil", runAt: at });
const [seconds, micros] = await redis.time();
const off = Math.abs(Date.now() - Number(seconds) * 1_000 - Number(micros) / 1_000);
say("producer", `emil: at ${at}, by a clock that is ${off.toFixed(1)} ms off Redis's`);

const { messages: [next] } = await queue.peek("delayed"); // a ZSET, so in the order of their times
const state = await queue.cancel("cleo");
say("producer", `next is ${next?.id}, who has paid: was ${state}, is cancelled`);
await pause(300); // the worker waits for bob now
await remind("dora", 300);
await redis.close();

// Expect:
// [producer] ann: in 1500 ms
// [producer] bob: in 1000 ms
// [producer] cleo: in 900 ms
// [producer] emil: at <n>, by a clock that is <ms> ms off Redis's
// [producer] next is cleo, who has paid: was delayed, is cancelled
// [producer] dora: in 300 ms
