/**
 * @title   Pub/sub, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/producer.ts
 * @redis   SUBSCRIBE
 *
 * Every subscriber hears every message, as long as it listens. After SUBSCRIBE there is nothing to
 * ask for: Redis pushes, and the loop wakes. What was said before is not repeated.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, Subscriber } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { channel: "order_events" };
const flags = parseArgs(Deno.args, { string: ["url", "channel"], default: defaults });
help("Pub/sub, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const score = new Scoreboard();

// Messages come unasked, so the subscriber listens on a connection of its own.
const subscriber = new Subscriber<{ order_id: number; status: string; madeAt: number }>(redis);
await subscriber.subscribe(flags.channel);
score.commands++; // the client does not announce SUBSCRIBE
say("subscriber", `listening to ${flags.channel}`);

// It ends when the shop closes, or with Ctrl-C. After a lost connection it subscribes again; what
// was said meanwhile is missed (`onEvent` of the Subscriber tells of such gaps).
for await (const { payload: event } of subscriber.messages({ signal: stop.signal })) {
  if (event.status === "closed") break;
  const waited = score.received(event);
  say("subscriber", `Received: order_id ${event.order_id} ${event.status}, waited ${waited} ms`);
}
score.print();
await subscriber.close();
await redis.close();

// Expect:
// [subscriber] listening to order_events
// [subscriber] Received: order_id 123 created, waited <ms> ms
// [subscriber] Received: order_id 123 paid, waited <ms> ms
// [subscriber] Received: order_id 123 printed, waited <ms> ms
// [subscriber] Received: order_id 123 packed, waited <ms> ms
// [subscriber] Received: order_id 123 shipped, waited <ms> ms
// [subscriber] Received: order_id 124 created, waited <ms> ms
// [subscriber] Received: order_id 124 paid, waited <ms> ms
// [subscriber] Received: order_id 124 printed, waited <ms> ms
// [subscriber] Received: order_id 124 packed, waited <ms> ms
// [subscriber] Received: order_id 124 shipped, waited <ms> ms
// [subscriber] Received: order_id 125 created, waited <ms> ms
// [subscriber] Received: order_id 125 paid, waited <ms> ms
// [subscriber] Received: order_id 125 printed, waited <ms> ms
// [subscriber] Received: order_id 125 packed, waited <ms> ms
// [subscriber] Received: order_id 125 shipped, waited <ms> ms
// [subscriber] Received: order_id 126 created, waited <ms> ms
// [subscriber] Received: order_id 126 paid, waited <ms> ms
// [subscriber] Received: order_id 126 printed, waited <ms> ms
// [subscriber] Received: order_id 126 packed, waited <ms> ms
// [subscriber] Received: order_id 126 shipped, waited <ms> ms
// [score]  messages 20  commands 1  wait p50 <ms> ms
