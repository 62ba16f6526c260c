/**
 * @title   Typed channels, publisher
 * @run     deno run --allow-net=127.0.0.1:6379 examples/05_patterns_and_typed_channels/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/05_patterns_and_typed_channels/blocking.ts
 * @redis   PUBLISH
 *
 * Orders on a typed channel, whose check runs before anything is sent; photos on a plain one; and a
 * bad order that goes round the type.
 */
import { parseArgs } from "@std/cli/parse-args";
import { channel, connect, Publisher } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { channel: "shop", count: 8, rate: 2 };
const flags = parseArgs(Deno.args, { string: ["url", "channel"], default: defaults });
help("Typed channels, publisher", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const orders = channel<{ order_id: number; madeAt: number }>(`${flags.channel}:orders`, {
  parse(value) {
    const order = value as { order_id: number; madeAt: number };
    if (Number.isInteger(order.order_id)) return order;
    throw new TypeError(`not a whole number: ${order.order_id}`);
  },
});

const redis = await connect({ url: flags.url });
const publisher = new Publisher(redis);
say("publisher", `${left} events on ${flags.channel}:*, ${flags.rate} a second`);
for (let n = 0; left > 0; n++, left--) {
  if (n % 2 === 0) await publisher.publish(orders, { order_id: 123 + n / 2, madeAt: now() });
  else await publisher.publish(`${flags.channel}:photos`, { photo: `IMG_${n}.jpg`, madeAt: now() });
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}

// With the type, a bad order does not compile, and if forced it is not sent. Without, it is sent.
const bad = { order_id: "12c", madeAt: now() };
// @ts-expect-error -- order_id is no number
await publisher.publish(orders, bad).catch((e) => say("publisher", `refused here: ${e.message}`));
say("publisher", `sent without it, heard ${await publisher.publish(orders.name, bad)} times`);
await publisher.publish(`${flags.channel}:closed`, {}); // so that the listeners go home
await redis.close();

// Expect:
// [publisher] 8 events on shop:*, 2 a second
// [publisher] refused here: not a whole number: 12c
// [publisher] sent without it, heard <n> times
