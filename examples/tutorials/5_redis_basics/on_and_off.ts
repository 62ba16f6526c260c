/**
 * @title   Tutorial 5, every feature on and off
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/5_redis_basics/on_and_off.ts
 * @redis   BRPOP · EVALSHA · LPUSH · PUBLISH · RPOP · SUBSCRIBE
 *
 * The tutorial's table of differences, and what it says of queues: with and without.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, Publisher, ReliableQueue, Subscriber } from "@workshop/redis-patterns";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "features_5" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 5, every feature on and off", flags, defaults);
const redis = await connect({ url: flags.url });
const publisher = new Publisher(redis);
const queue = new ListQueue<string>(redis, `${flags.queue}_tasks`);
const created = { order_id: 123, status: "created" };

// Delivery: an event goes to many subscribers, a task to one worker.
const subscribers = [new Subscriber(redis), new Subscriber(redis)];
for (const subscriber of subscribers) await subscriber.subscribe(flags.queue);
say("on", `to all: heard by ${await publisher.publish(flags.queue, created)}`);
await queue.enqueue("resize_photo_1");
const taken = [await queue.receive(), await queue.receive()];
say("off", `to all: at ${taken.filter(Boolean).length} of 2 workers`);

// Storage: a task waits while nobody works. Pub/sub: what nobody hears is gone.
await queue.enqueue("resize_photo_2");
say("on", `storage: ${(await queue.receive())?.payload} is there, whoever comes when`);
await Promise.all(subscribers.map((subscriber) => subscriber.close()));
const heard = await publisher.publish(flags.queue, created);
const late = new Subscriber(redis);
await late.subscribe(flags.queue);
say("off", `storage: heard by ${heard}; who comes late gets ${late.take() ?? "nothing"}`);
await late.close();

// "Reliable for critical operations": under a lease. Off: the tutorial's RPOP, and then a crash.
const leased = new ReliableQueue<string>(redis, `${flags.queue}_leased`, { leaseMs: 100 });
for (const each of [leased, queue]) {
  await each.enqueue("send_email");
  await each.receive(); // and crash
}
await pause(150);
const again = await leased.receive();
say("on", `reliable: ${again?.payload}, attempt ${again?.attempt}`);
say("off", `reliable: ${(await queue.receive())?.payload ?? "send_email is lost"}`);
await again?.ack();
await leased.close();

// "Waits if queue is empty": in Redis. Off: the tutorial's sleep of half a second.
for (const tag of ["on", "off"]) {
  const begun = performance.now();
  setTimeout(() => queue.enqueue("label"), 20);
  if (tag === "on") await queue.receive({ waitMs: 5_000 });
  else while (!await queue.receive()) await pause(500);
  say(tag, `no sleep: ${performance.now() - begun < 450 ? "at once" : "after half a second"}`);
}

// Its strings, as its Python sends them. Off: what is no JSON is refused, and shown.
for (const codec of ["text", "json"] as const) {
  await redis.lPush(queue.name, "send_email_to_user@example.com");
  const strings = new ListQueue<string>(redis, queue.name, { codec });
  const task = await strings.receive().catch((error: Error) => ({ payload: error.name }));
  say(codec === "text" ? "on" : "off", `plain strings: ${task?.payload}`);
}
await redis.close();

// Expect:
// [on] to all: heard by 2
// [off] to all: at 1 of 2 workers
// [on] storage: resize_photo_2 is there, whoever comes when
// [off] storage: heard by 0; who comes late gets nothing
// [on] reliable: send_email, attempt 2
// [off] reliable: send_email is lost
// [on] no sleep: at once
// [off] no sleep: after half a second
// [on] plain strings: send_email_to_user@example.com
// [off] plain strings: DecodeError
