/**
 * @title   Streams, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/13_streams/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/13_streams/blocking.ts
 * @redis   XADD
 *
 * Eight orders for the log, ten a second. Redis gives each an id by its clock, and no later one a
 * smaller id. What is over a thousand goes, the oldest first; else the log would grow for ever.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { stream: "photo_orders", count: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "stream"], default: defaults });
help("Streams, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const TRIM = { strategy: "MAXLEN", strategyModifier: "~", threshold: 1_000 } as const;

for (let n = 1; left > 0; n++, left--) {
  const order = { order: `order_${n}`, of: n % 2 ? "ann" : "bob", madeAt: `${now()}` };
  const id = await redis.xAdd(flags.stream, "*", order, { TRIM });
  say("producer", `${order.order} is entry ${id}`);
  await pause(50 + 100 * Math.random());
}
await redis.close();

// Expect:
// [producer] order_1 is entry <id>
// [producer] order_2 is entry <id>
// [producer] order_3 is entry <id>
// [producer] order_4 is entry <id>
// [producer] order_5 is entry <id>
// [producer] order_6 is entry <id>
// [producer] order_7 is entry <id>
// [producer] order_8 is entry <id>
