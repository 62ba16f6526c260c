/**
 * @title   Tutorial 3, every feature on and off
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/3_message_queue/on_and_off.ts
 * @redis   EVALSHA · BLPOP · LPUSH · RPOP
 *
 * "These features are optional and can be disabled": one after the other, with and without.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "features_3" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 3, every feature on and off", flags, defaults);
await using redis = await connect({ url: flags.url });
let n = 0;
const name = () => `${flags.queue}_${n++}`; // a queue for each line

// Deduplication: the same content is stored once, here for as long as the first is not done.
for (const dedupe of [true, false]) {
  await using queue = new ReliableQueue<string>(redis, name(), { dedupe });
  await queue.enqueueMany(["Hello (id=1)", "Hello (id=1)"]);
  say(dedupe ? "on" : "off", `deduplication: 2 sent, ${await queue.purge("ready")} stored`);
}

// Acknowledgement: what nobody has acknowledged comes again. Off: a plain list has forgotten it.
const options = { leaseMs: 500, backoff: { baseMs: 0 } };
const queue = new ReliableQueue<string>(redis, name(), options);
const list = new ListQueue<string>(redis, name());
for (const each of [queue, list]) {
  await each.enqueue("Hello (id=2)");
  await each.receive(); // and crash
}
await pause(550);
const again = await queue.receive();
say("on", `acknowledgement: crash, then ${again?.payload} at attempt ${again?.attempt}`);
say("off", `acknowledgement: crash, then ${(await list.receive())?.payload ?? "nothing"}`);
await again?.ack();

// Success and failure logs: one message, which fails once. Off, nothing is kept.
for (const [tag, log] of [["on", { count: 100, ageMs: 60_000 }], ["off", undefined]] as const) {
  const logs = { keepCompleted: log, keepFailed: log };
  await using logged = new ReliableQueue<string>(redis, name(), { ...options, ...logs });
  await logged.enqueue("Hello (id=3)");
  await (await logged.receive())?.nack({ error: new Error("printer jam") });
  await (await logged.receive())?.ack();
  const [failed] = (await logged.peek("failed")).messages;
  say(tag, `failure log: ${failed?.errors[0]?.message ?? "nothing"}`);
  const [done] = (await logged.peek("completed")).messages;
  say(tag, `success log: ${done ? `${done.payload}, attempt ${done.attempts + 1}` : "nothing"}`);
  await Promise.all([logged.purge("completed"), logged.purge("failed")]);
}

// Heartbeats of idle consumers: a Worker says that it is there. Off: receive() does not.
const [seen] = await Promise.all([queue.consumers(), queue.receive({ waitMs: 100 })]);
say("off", `heartbeat: ${seen.length} consumers seen`);

// Graceful shutdown: what is in hand is finished. Off: its signal aborts, and it is given back.
for (const graceMs of [5_000, 0]) {
  let end = "";
  const worker = new Worker(queue, (_, { signal }) => pause(100, undefined, { signal }), {
    onEvent: (event) => end = event.type === "failed" ? "given back" : event.type,
  });
  void worker.start();
  while ((await queue.consumers()).length === 0) await pause(10);
  if (graceMs > 0) say("on", `heartbeat: ${(await queue.consumers()).length} consumers seen`);
  await queue.enqueue("Hello (id=4)");
  while (worker.active === 0) await pause(10);
  await worker.stop({ graceMs });
  say(graceMs > 0 ? "on" : "off", `graceful shutdown: Hello (id=4) is ${end}`);
}
await Promise.all([queue.purge("ready"), queue.close()]);

// Expect:
// [on] deduplication: 2 sent, 1 stored
// [off] deduplication: 2 sent, 2 stored
// [on] acknowledgement: crash, then Hello (id=2) at attempt 2
// [off] acknowledgement: crash, then nothing
// [on] failure log: Error: printer jam
// [on] success log: Hello (id=3), attempt 2
// [off] failure log: nothing
// [off] success log: nothing
// [off] heartbeat: 0 consumers seen
// [on] heartbeat: 1 consumers seen
// [on] graceful shutdown: Hello (id=4) is done
// [off] graceful shutdown: Hello (id=4) is given back
