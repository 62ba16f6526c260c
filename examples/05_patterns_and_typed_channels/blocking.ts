/**
 * @title   Patterns and typed channels, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/05_patterns_and_typed_channels/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/05_patterns_and_typed_channels/producer.ts
 * @redis   PSUBSCRIBE · SUBSCRIBE
 *
 * A pattern hears many channels. What matches a name and a pattern is delivered twice, and counted
 * twice. A typed channel refuses what does not fit; a plain pattern takes anything.
 */
import { parseArgs } from "@std/cli/parse-args";
import { channel, connect, Subscriber } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { channel: "shop" };
const flags = parseArgs(Deno.args, { string: ["url", "channel"], default: defaults });
help("Patterns and typed channels, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

// `parse` looks at every payload that comes in; what it throws makes a "refused" event.
type Event = { order_id?: number; photo?: string; madeAt: number };
const orders = channel<Event>(`${flags.channel}:orders`, {
  parse(value) {
    const order = value as Event;
    if (Number.isInteger(order.order_id)) return order;
    throw new TypeError(`not a whole number: ${order.order_id}`);
  },
});

const redis = await connect({ url: flags.url });
const score = new Scoreboard();
const subscriber = new Subscriber<Event>(redis, {
  onEvent(event) {
    if (event.type === "refused") say("subscriber", `refused: ${event.error.message}`);
  },
});

// An order matches twice: by the channel's name, and by the pattern.
const pattern = `${flags.channel}:*`;
await subscriber.subscribe(orders);
await subscriber.psubscribe(pattern);
score.commands += 2; // the client does not announce SUBSCRIBE and PSUBSCRIBE
say("subscriber", `listening to ${orders.name} and ${pattern}`);

for await (const message of subscriber.messages({ signal: stop.signal })) {
  const { pattern: matched = "name", payload } = message;
  if (message.channel === `${flags.channel}:closed`) break;
  const waited = score.received(payload);
  const what = payload.order_id ?? payload.photo;
  say("subscriber", `${message.channel} by ${matched}: ${what}, waited ${waited} ms`);
}
score.print();
await subscriber.close();
await redis.close();

// Expect:
// [subscriber] listening to shop:orders and shop:*
// [subscriber] shop:orders by name: 123, waited <ms> ms
// [subscriber] shop:orders by shop:*: 123, waited <ms> ms
// [subscriber] shop:photos by shop:*: IMG_1.jpg, waited <ms> ms
// [subscriber] shop:orders by name: 124, waited <ms> ms
// [subscriber] shop:orders by shop:*: 124, waited <ms> ms
// [subscriber] shop:photos by shop:*: IMG_3.jpg, waited <ms> ms
// [subscriber] shop:orders by name: 125, waited <ms> ms
// [subscriber] shop:orders by shop:*: 125, waited <ms> ms
// [subscriber] shop:photos by shop:*: IMG_5.jpg, waited <ms> ms
// [subscriber] shop:orders by name: 126, waited <ms> ms
// [subscriber] shop:orders by shop:*: 126, waited <ms> ms
// [subscriber] shop:photos by shop:*: IMG_7.jpg, waited <ms> ms
// [subscriber] refused: <any>not a whole number: 12c<any>
// [subscriber] shop:orders by shop:*: 12c, waited <ms> ms
// [score]  messages 13  commands 2  wait p50 <ms> ms
