/**
 * @title   Delays, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/11_delays_and_schedules/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/11_delays_and_schedules/producer.ts
 * @redis   EVALSHA · BLPOP
 *
 * A reminder waits in Redis until its time has come, by Redis's clock. The worker waits in Redis,
 * too: just as long as the next one takes, and it is told when an earlier one comes in between.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "reminders" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Delays, blocking", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
type Reminder = { to: string; delayMs: number; madeAt: number };
const queue = new ReliableQueue<Reminder>(redis, flags.queue);
const score = new Scoreboard();
say("worker", `waiting on ${queue.name}`);

for await (const delivery of queue.consume({ mode: "blocking", signal })) {
  // For the score, it has waited from when it was due.
  const { to, delayMs, madeAt } = delivery.payload;
  const late = score.received({ madeAt: madeAt + delayMs });
  say("worker", `${to}: your photos are ready  due after ${delayMs} ms, ${late} ms late`);
  await delivery.ack();
  if (score.messages === 4) break;
}
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] waiting on reminders
// [worker] dora: your photos are ready  due after 300 ms, <ms> ms late
// [worker] bob: your photos are ready  due after 1000 ms, <ms> ms late
// [worker] emil: your photos are ready  due after 1200 ms, <ms> ms late
// [worker] ann: your photos are ready  due after 1500 ms, <ms> ms late
// [score]  messages 4  commands <n>  wait p50 <ms> ms
