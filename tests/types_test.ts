/** What must not compile: each `@ts-expect-error` is an error of the compiler if the line is fine. */
import { assert } from "@std/assert";
import { createClient, createClientPool } from "redis";
import {
  type Channel,
  channel,
  type CommandArgument,
  type Delivery,
  ListQueue,
  type Message,
  PriorityQueue,
  Publisher,
  type RedisClient,
  ReliableQueue,
  type StandardSchema,
  Subscriber,
  Worker,
} from "@workshop/redis-patterns";
import * as v from "valibot";
import { z } from "zod";
import { defineScript } from "../redis/script.ts";

interface Mail {
  to: string;
}

const toDate = (text: string) => new Date(text);

/** Never run; checked by the compiler together with the tests. */
export async function typesOf(redis: RedisClient): Promise<void> {
  const mails = new ListQueue<Mail>(redis, "mail");
  await mails.enqueue({ to: "ann@example.com" });
  // @ts-expect-error a member is missing
  await mails.enqueue({});
  // @ts-expect-error not a list of mails
  await mails.enqueueMany([{ to: 1 }]);
  const message: Message<Mail> | undefined = await mails.receive();
  // @ts-expect-error it may be undefined
  message.payload;
  // @ts-expect-error at most once: there is nothing to acknowledge
  await message?.ack();
  // @ts-expect-error text is for strings
  new ListQueue<Mail>(redis, "mail", { codec: "text" });
  new ListQueue<string>(redis, "mail", { codec: "text" });
  new ListQueue<Uint8Array>(redis, "mail", { codec: "bytes" });
  // @ts-expect-error a plain list has no such state
  await mails.peek("dead");

  const orders2 = new ReliableQueue<Mail>(redis, "orders");
  const delivery: Delivery<Mail> | undefined = await orders2.receive();
  await delivery?.ack();
  // @ts-expect-error a list has no priorities
  await orders2.enqueue({ to: "ann" }, { priority: "high" });
  await new PriorityQueue<Mail>(redis, "orders").enqueue({ to: "ann" }, { priority: "high" });
  // @ts-expect-error no such name
  await new PriorityQueue<Mail>(redis, "orders").enqueue({ to: "ann" }, { priority: "urgent" });
  // @ts-expect-error leased messages belong to their consumers
  await orders2.purge("leased");
  new Worker(orders2, async (mail, { delivery }) => {
    await delivery.extend(mail.to.length);
  });
  // @ts-expect-error a plain message is not settled
  new Worker(mails, (_, { delivery }) => delivery.ack());

  const schema: StandardSchema<{ at: string }, { at: Date }> = z.object({
    at: z.iso.datetime().transform((text) => new Date(text)),
  });
  for (const validator of [schema, v.object({ at: v.pipe(v.string(), v.transform(toDate)) })]) {
    const calendar = new ReliableQueue(redis, "calendar", { schema: validator });
    await calendar.enqueue({ at: "2026-05-01T10:00:00Z" });
    // @ts-expect-error a producer gives what the schema takes
    await calendar.enqueue({ at: new Date() });
    const at: Date | undefined = (await calendar.receive())?.payload.at;
    // @ts-expect-error a consumer gets what the schema gives
    const text: string | undefined = (await calendar.receive())?.payload.at;
    new Worker(calendar, (entry) => entry.at.getTime());
    // @ts-expect-error not a text any more
    new Worker(calendar, (entry) => entry.at.toUpperCase());
    await calendar.redrive({ match: ({ payload }) => payload?.at === at || text === "" });
    new PriorityQueue(redis, "calendar", { schema: validator, dedupe: { key: ({ at }) => at } });
  }
  // @ts-expect-error the schema gives something else
  new ReliableQueue<Mail>(redis, "mail", { schema });
  // @ts-expect-error a key function gives a text
  new ReliableQueue<Mail>(redis, "mail", { dedupe: { key: () => 17 } });
  // @ts-expect-error one of two
  new ReliableQueue<Mail>(redis, "mail", { maxReady: 5, onFull: "drop" });

  new Worker(mails, (mail) => mail.to.toUpperCase());
  // @ts-expect-error a mail has no subject
  new Worker(mails, (mail) => mail.subject);

  const orders: Channel<Mail> = channel<Mail>("orders");
  await new Publisher(redis).publish(orders, { to: "ann" });
  // @ts-expect-error not what the channel carries
  await new Publisher(redis).publish(orders, { from: "ann" });
  const subscriber = new Subscriber<Mail>(redis);
  await subscriber.subscribe(orders);
  // @ts-expect-error a channel of something else
  await subscriber.subscribe(channel<number>("numbers"));
  const to: string | undefined = subscriber.take()?.payload.to;
  assert(to);

  const send = (args: readonly CommandArgument[]) => redis.sendCommand(args);
  const script = defineScript({
    name: "s",
    keys: ["list"],
    args: ["most"],
    lua: "return 1",
    reply: Number,
  });
  await script.run(send, { list: "a" }, { most: 1 });
  // @ts-expect-error a misspelt key
  await script.run(send, { lst: "a" }, { most: 1 });
  // @ts-expect-error a missing argument
  await script.run(send, { list: "a" }, {});
}

Deno.test("every client of createClient fits, whatever its options", () => {
  const clients: RedisClient[] = [createClient(), createClient({ RESP: 2 }), createClient({})];
  assert(clients.every((client) => !client.isOpen));
  // @ts-expect-error a pool hands out clients, it is none
  const pool: RedisClient = createClientPool();
  assert(pool);
  for (const client of clients) client.destroy();
});
