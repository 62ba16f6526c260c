/**
 * @title   Capstone, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/22_capstone/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 --allow-run=deno examples/22_capstone/blocking.ts
 * @redis   EVALSHA
 *
 * Forty orders, thirty a second. The customers are impatient and press the button twice.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "shop_orders", count: 40, rate: 30, lossy: false };
const options = { string: ["url", "queue"], boolean: ["lossy"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Capstone, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

// The order's number is the message's id, so that the second press is not stored. A plain list has
// no ids.
const redis = await connect({ url: flags.url });
const list = new ListQueue(redis, flags.queue);
const queue = new ReliableQueue(redis, flags.queue);
say("producer", `${left} orders, each sent twice`);
let refused = 0;
for (let order = 1; left > 0; order++, left--) {
  const payload = { order, madeAt: now() };
  if (flags.lossy) await list.enqueue(payload);
  else {
    await queue.enqueue(payload, { id: `order-${order}` });
    if ((await queue.enqueue(payload, { id: `order-${order}` })).duplicate) refused++;
  }
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
say("producer", `${refused} refused as duplicates`);
await redis.close();

// Expect:
// [producer] 40 orders, each sent twice
// [producer] <n> refused as duplicates
