/**
 * @title   Capstone, one worker
 * @run     deno run --allow-net=127.0.0.1:6379 examples/22_capstone/worker.ts --count 4
 * @with    deno run --allow-net=127.0.0.1:6379 examples/22_capstone/producer.ts --count 4
 * @redis   EVALSHA · BLPOP · HSETNX · DEL
 *
 * Charges and prints, and can be killed between any two lines. The order's number makes the charge
 * safe to repeat. It tells what it does, since what it knows may be gone in a moment.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "shop_orders", count: 0, lossy: false, careless: false, polling: false };
const flags = parseArgs(Deno.args, {
  string: ["url", "queue"],
  boolean: ["lossy", "careless", "polling"],
  default: defaults,
});
help("Capstone, one worker", flags, defaults);

type Order = { order: number; madeAt: number };
const redis = await connect({ url: flags.url });
const bank = `${flags.queue}:bank`; // order to how often it was charged
const score = new Scoreboard();

let [done, sent] = [0, 0];
function tell(what: string, { order, madeAt }: Order): void {
  console.log(`${what} ${order} ${madeAt} ${score.commands - sent}`);
  sent = score.commands;
}
async function serve(order: Order): Promise<void> {
  // HSETNX charges once, however often it is asked. `--careless` just adds.
  if (flags.careless) await redis.hIncrBy(bank, `${order.order}`, 1);
  else await redis.hSetNX(bank, `${order.order}`, "1");
  tell("charged", order);
  await pause(100); // the work
  tell("printed", order);
  if (++done === Number(flags.count)) void worker.stop();
}
const mode = flags.polling ? "polling" : "blocking";
const options = { mode, pollMs: 100, concurrency: 2 } as const;
const list = new ListQueue<Order>(redis, flags.queue);
const queue = new ReliableQueue<Order>(redis, flags.queue, { leaseMs: 800, maxAttempts: 20 });
const worker = flags.lossy ? new Worker(list, serve, options) : new Worker(queue, serve, options);
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.addSignalListener(signal, () => void worker.stop());
}
if (Number(flags.count) > 0) console.log("ready"); // alone: the producer may begin
await worker.run();
if (Number(flags.count) > 0) await redis.del(bank); // alone: nobody else keeps the books
await queue.close();
await redis.close();

// Expect:
// ready
// charged 1 <ms> <n>
// ~ charged 2 <ms> <n>
// ~ charged 3 <ms> <n>
// ~ charged 4 <ms> <n>
// ~ printed 1 <ms> <n>
// ~ printed 2 <ms> <n>
// ~ printed 3 <ms> <n>
// ~ printed 4 <ms> <n>
