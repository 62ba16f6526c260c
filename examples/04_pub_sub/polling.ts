/**
 * @title   Pub/sub, polling
 * @run     deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/04_pub_sub/producer.ts
 * @redis   SUBSCRIBE
 *
 * Redis has no polling form of pub/sub: what is not pushed to a listener is gone. The nearest thing
 * is to let the messages come into an inbox in this process, and to ask the inbox now and then.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, Subscriber } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { channel: "order_events" };
const flags = parseArgs(Deno.args, { string: ["url", "channel"], default: defaults });
help("Pub/sub, polling", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const score = new Scoreboard();

// Messages come unasked, so the subscriber listens on a connection of its own.
const subscriber = new Subscriber<{ order_id: number; status: string; madeAt: number }>(redis);
await subscriber.subscribe(flags.channel);
score.commands++; // the client does not announce SUBSCRIBE
say("subscriber", `listening to ${flags.channel}, looking every 100 ms`);

// take() sends nothing to Redis. The inbox holds 1,000 messages; a slower reader loses the oldest.
while (!stop.signal.aborted) {
  const event = subscriber.take()?.payload;
  if (!event) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    continue;
  }
  if (event.status === "closed") break;
  const waited = score.received(event);
  say("subscriber", `Received: order_id ${event.order_id} ${event.status}, waited ${waited} ms`);
}
score.print();
await subscriber.close();
await redis.close();

// Expect:
// [subscriber] listening to order_events, looking every 100 ms
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
