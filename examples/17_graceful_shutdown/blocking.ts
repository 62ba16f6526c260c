/**
 * @title   Graceful shutdown, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/17_graceful_shutdown/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/17_graceful_shutdown/producer.ts
 * @redis   EVALSHA · BLPOP
 *
 * Every deploy stops workers. Asked once, a worker takes no more, finishes what it has in hand, and
 * leaves. Asked twice, it gives that back and leaves at once. A wait in Redis ends in both cases.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "orders", count: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Graceful shutdown, blocking", flags, defaults);

const redis = await connect({ url: flags.url });
type Order = { task: string; madeAt: number };
const queue = new ReliableQueue<Order>(redis, flags.queue, { backoff: { baseMs: 0 } });
const score = new Scoreboard();
let [shift, last, begun, done, signals] = [1, 3, 0, 0, 0];

// Two orders at a time, 400 ms each. The handler passes its signal on, so that it can be stopped.
const worker = new Worker(queue, async (payload, { signal, delivery }) => {
  score.received(payload);
  say("worker", `${payload.task}  attempt ${delivery.attempt} … begun`);
  if (++begun === 2) deploy();
  await pause(400, undefined, { signal });
}, {
  concurrency: 2,
  mode: "blocking",
  graceMs: 5_000,
  onEvent: (event) => {
    if (event.type === "done") say("worker", `${event.delivery.payload.task} … done`);
    if (event.type === "failed") {
      say("worker", `${event.delivery.payload.task} … ${event.to} again`);
    }
    if (event.type === "done" && ++done === Number(flags.count)) void worker.stop();
  },
});

// What the process manager does when it wants us gone: ask, and lose patience.
function deploy(): void {
  if (shift <= 2) process.kill(process.pid, "SIGTERM");
  if (shift === 2) setTimeout(() => process.kill(process.pid, "SIGTERM"), 100);
}

// The whole cure: the first signal stops with grace, the second without.
function onSignal(): void {
  say("worker", ++signals === 1 ? "asked to stop: takes no more, finishes" : "asked again: now");
  void worker.stop(signals === 1 ? {} : { graceMs: 0 });
}
Deno.addSignalListener("SIGTERM", onSignal);
Deno.addSignalListener("SIGINT", () => (last = shift, onSignal())); // Ctrl-C: no further shift

for (; shift <= last; shift++) {
  [begun, signals] = [0, 0];
  say("worker", `shift ${shift} on ${queue.name}`);
  await worker.run();
  const { ready, leased } = await queue.counts();
  say("worker", `shift ${shift} is over: ready ${ready}, leased ${leased}`);
}
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] shift 1 on orders
// [worker] pack_order_1  attempt 1 … begun
// [worker] pack_order_2  attempt 1 … begun
// [worker] asked to stop: takes no more, finishes
// ~ [worker] pack_order_1 … done
// ~ [worker] pack_order_2 … done
// [worker] shift 1 is over: ready 6, leased 0
// [worker] shift 2 on orders
// [worker] pack_order_3  attempt 1 … begun
// [worker] pack_order_4  attempt 1 … begun
// [worker] asked to stop: takes no more, finishes
// [worker] asked again: now
// ~ [worker] pack_order_3 … ready again
// ~ [worker] pack_order_4 … ready again
// [worker] shift 2 is over: ready 6, leased 0
// [worker] shift 3 on orders
// ~ [worker] pack_order_3  attempt 1 … begun
// ~ [worker] pack_order_4  attempt 1 … begun
// ~ [worker] pack_order_3 … done
// ~ [worker] pack_order_4 … done
// ~ [worker] pack_order_5  attempt 1 … begun
// ~ [worker] pack_order_6  attempt 1 … begun
// ~ [worker] pack_order_5 … done
// ~ [worker] pack_order_6 … done
// ~ [worker] pack_order_7  attempt 1 … begun
// ~ [worker] pack_order_8  attempt 1 … begun
// ~ [worker] pack_order_7 … done
// ~ [worker] pack_order_8 … done
// [worker] shift 3 is over: ready 0, leased 0
// [score]  messages 10  commands <n>  wait p50 <ms> ms
