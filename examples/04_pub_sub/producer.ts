/**
 * @title   Pub/sub, publisher
 * @run     deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/polling.ts
 * @redis   PUBLISH
 *
 * Tells the life of four orders. Each call says how many heard it; what nobody hears is gone.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, Publisher } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { channel: "order_events", count: 20, rate: 6 };
const flags = parseArgs(Deno.args, { string: ["url", "channel"], default: defaults });
help("Pub/sub, publisher", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

// PUBLISH answers with the number of those who listened at that moment.
const redis = await connect({ url: flags.url });
const publisher = new Publisher(redis);
const life = ["created", "paid", "printed", "packed", "shipped"];
say("publisher", `${left} events on ${flags.channel}, ${flags.rate} a second`);
for (let n = 0; left > 0; n++, left--) {
  const event = { order_id: 123 + Math.floor(n / 5), status: life[n % 5], madeAt: now() };
  const heard = await publisher.publish(flags.channel, event);
  say("publisher", `order_id ${event.order_id} ${event.status}, heard by ${heard}`);
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await publisher.publish(flags.channel, { status: "closed" }); // so that the listeners go home
await redis.close();

// Expect:
// [publisher] 20 events on order_events, 6 a second
// [publisher] order_id 123 created, heard by <n>
// [publisher] order_id 123 paid, heard by <n>
// [publisher] order_id 123 printed, heard by <n>
// [publisher] order_id 123 packed, heard by <n>
// [publisher] order_id 123 shipped, heard by <n>
// [publisher] order_id 124 created, heard by <n>
// [publisher] order_id 124 paid, heard by <n>
// [publisher] order_id 124 printed, heard by <n>
// [publisher] order_id 124 packed, heard by <n>
// [publisher] order_id 124 shipped, heard by <n>
// [publisher] order_id 125 created, heard by <n>
// [publisher] order_id 125 paid, heard by <n>
// [publisher] order_id 125 printed, heard by <n>
// [publisher] order_id 125 packed, heard by <n>
// [publisher] order_id 125 shipped, heard by <n>
// [publisher] order_id 126 created, heard by <n>
// [publisher] order_id 126 paid, heard by <n>
// [publisher] order_id 126 printed, heard by <n>
// [publisher] order_id 126 packed, heard by <n>
// [publisher] order_id 126 shipped, heard by <n>
