/**
 * @title   Deduplication, publisher
 * @run     deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/producer.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/blocking.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/09_deduplication/blocking.ts --name 3
 * @redis   EVALSHA
 *
 * Two publishers, and both hear of every order. Whoever is second is told so, and stores nothing.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { name: "1", queue: "my_message_queue", count: 7, rate: 15, window: 2_000 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Deduplication, publisher", flags, defaults);
const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
const ttlMs = Number(flags.window); // so late may a second one come

const tell = (order: string, { duplicate }: { duplicate: boolean }) =>
  say("publisher", `${flags.name}: ${order} ${duplicate ? "is there already" : "stored"}`);

// By key: orders are the same when their numbers are. The contents differ, by the time in them.
for (let n = 101; n <= 100 + Number(flags.count); n++) {
  const payload = { order: `order_${n}`, total: n - 80, madeAt: now() };
  tell(payload.order, await queue.enqueue(payload, { dedupe: { key: payload.order, ttlMs } }));
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
// By content: the same bytes are the same message. Nothing in these may differ, no time either.
const fee = { order: "yearly_fee", total: 30 };
for (let i = 0; i < 2; i++) tell(fee.order, await queue.enqueue(fee, { dedupe: { ttlMs } }));
await redis.close();

// Expect:
// [publisher] 1: order_101 <any>
// [publisher] 1: order_102 <any>
// [publisher] 1: order_103 <any>
// [publisher] 1: order_104 <any>
// [publisher] 1: order_105 <any>
// [publisher] 1: order_106 <any>
// [publisher] 1: order_107 <any>
// [publisher] 1: yearly_fee <any>
// [publisher] 1: yearly_fee is there already
