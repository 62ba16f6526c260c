/**
 * @title   Graceful shutdown, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/17_graceful_shutdown/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/17_graceful_shutdown/blocking.ts
 * @redis   EVALSHA
 *
 * Eight orders to pack, all at once: there is always one more to take.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "orders", count: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Graceful shutdown, producer", flags, defaults);

const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
const numbers = Array.from({ length: Number(flags.count) }, (_, i) => i + 1);
await queue.enqueueMany(numbers.map((n) => ({ task: `pack_order_${n}`, madeAt: now() })));
say("producer", `${numbers.length} orders stored`);
await redis.close();

// Expect:
// [producer] 8 orders stored
