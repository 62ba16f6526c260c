/** What must not compile: each `@ts-expect-error` is an error of the compiler if the line is fine. */
import { assert, assertEquals, assertMatch } from "@std/assert";
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
import {
  type PayloadOf,
  type Task,
  type TaskContext,
  type TaskName,
  TaskProducer,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import * as v from "valibot";
import { z } from "zod";
import { defineScript } from "../redis/script.ts";

interface Mail {
  to: string;
}

interface Tasks {
  process_data(payload: { data: number }): { processed_data: number };
  send_mail(payload: Mail): void;
  sweep(): number;
  thin_out(payload?: { keep: number }): void;
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

/** Never run, either: a map of tasks says what fits. */
export async function typesOfTasks(redis: RedisClient): Promise<void> {
  const producer = new TaskProducer<Tasks>(redis);
  const task: Task<{ processed_data: number }> = await producer.add("process_data", { data: 42 });
  const { processed_data }: { processed_data: number } = await task.result();
  // @ts-expect-error there is no such task
  await producer.add("proces_data", { data: 42 });
  // @ts-expect-error another payload
  await producer.add("process_data", { to: "ann" });
  // @ts-expect-error a payload of another task
  await producer.addMany([{ type: "send_mail", payload: { data: 42 } }]);
  // @ts-expect-error no payload, but there has to be one
  await producer.add("send_mail", null);
  // @ts-expect-error a payload is missing
  await producer.add("send_mail");
  // @ts-expect-error nor in one of many
  await producer.addMany([{ type: "send_mail" }]);
  await producer.add("sweep");
  await producer.add("sweep", null, { delayMs: 5 });
  // @ts-expect-error it takes none
  await producer.add("sweep", { all: true });
  await producer.add("thin_out");
  await producer.add("thin_out", { keep: 5 });
  // @ts-expect-error JSON knows no undefined
  await producer.add("thin_out", undefined);
  const generic = <K extends TaskName<Tasks>>(type: K, payload: PayloadOf<Tasks, K>) =>
    producer.add(type, payload);
  await generic("send_mail", { to: "ann" });
  // @ts-expect-error either runAt or delayMs, in milliseconds
  await producer.schedule("sweep", null, { delay: 5 });
  // @ts-expect-error its result is another one
  const wrong: string = await producer.task("process_data", "id").result();
  const [first, second] = await producer.addMany([
    { type: "process_data", payload: { data: processed_data } },
    { type: "sweep" },
  ]);
  const doubled: number = (await first.result()).processed_data;
  const swept: number = await second.result();
  // @ts-expect-error the second is a number
  const mixed: string = await second.result();
  const outcome = await first.outcome();
  if (outcome.state === "done") assertEquals(outcome.result.processed_data, doubled);
  // @ts-expect-error a result is there at the end only
  outcome.result;

  new TaskProducer<Tasks>(redis, { schemas: { send_mail: z.object({ to: z.string() }) } });
  // What it takes may be more than what a handler gets.
  const text = z.object({ to: z.string().default("ann") });
  const number = v.object({ data: v.pipe(v.union([v.number(), v.string()]), v.transform(Number)) });
  new TaskProducer<Tasks>(redis, { schemas: { send_mail: text, process_data: number } });
  // @ts-expect-error the schema gives something else
  new TaskProducer<Tasks>(redis, { schemas: { send_mail: z.object({ to: z.number() }) } });
  // @ts-expect-error there is no such task
  new TaskProducer<Tasks>(redis, { schemas: { sendmail: text } });

  const handlers = {
    process_data: ({ data }: { data: number }) => ({ processed_data: 2 * data }),
    send_mail: async ({ to }: Mail, { progress }: TaskContext) => await progress(to.length),
    sweep: () => swept,
    thin_out: (payload: { keep: number } | null) => void payload?.keep,
  };
  new TaskWorker<Tasks>(redis, { handlers });
  const own = new TaskProducer<typeof handlers>(redis); // the handlers are a map, too
  await own.add("send_mail", { to: wrong + mixed });
  // @ts-expect-error a handler is missing
  new TaskWorker<Tasks>(redis, { handlers: { process_data: handlers.process_data } });
  new TaskWorker<Tasks>(redis, {
    handlers: {
      ...handlers,
      // @ts-expect-error gives another result
      process_data: ({ data }) => ({ processed: data }),
    },
  });
  new TaskWorker<Tasks>(redis, {
    handlers: {
      ...handlers,
      // @ts-expect-error what was left out comes as null, and not as undefined
      thin_out: ({ keep } = { keep: 3 }) => void keep,
    },
  });
  new TaskWorker<Tasks>(redis, {
    handlers: {
      ...handlers,
      // @ts-expect-error takes another payload
      send_mail: ({ address }: { address: string }) => void address,
    },
  });
}

Deno.test("the compiler says what is wrong with a task", async () => {
  const program = `
    import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
    interface Tasks {
      process_data(payload: { data: number }): { processed_data: number };
    }
    const producer = new TaskProducer<Tasks>(null as never);
    await producer.add("proces_data", { data: 42 });
    await producer.add("process_data", { data: "42" });
    await producer.add("process_data");
    new TaskWorker<Tasks>(null as never, { handlers: { process_data: ({ data }) => data * 2 } });
    const result: string = await producer.task("process_data", "id").result();
  `;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const config = new URL("../deno.json", import.meta.url).pathname;
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", config, file],
      env: { NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stderr);
    assertEquals(code, 1);
    for (
      const error of [
        /Argument of type '"proces_data"' is not assignable to parameter of type '"process_data"'/,
        /Type 'string' is not assignable to type 'number'/,
        /Expected 2-3 arguments, but got 1/,
        /Type 'number' is not assignable to type '\{ processed_data: number/,
        /Type '\{ processed_data: number; \}' is not assignable to type 'string'/,
        /Found 5 errors/,
      ]
    ) assertMatch(said, error);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("every client of createClient fits, whatever its options", () => {
  const clients: RedisClient[] = [createClient(), createClient({ RESP: 2 }), createClient({})];
  assert(clients.every((client) => !client.isOpen));
  // @ts-expect-error a pool hands out clients, it is none
  const pool: RedisClient = createClientPool();
  assert(pool);
  for (const client of clients) client.destroy();
});
