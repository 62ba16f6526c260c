/**
 * @title   Consumer groups, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/14_consumer_groups/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/14_consumer_groups/producer.ts
 * @redis   EVALSHA · BLPOP · XPENDING · XINFO · XLEN
 *
 * A group shares a stream: each label goes to one consumer, and Redis has on record who holds what.
 * Ann is killed with three, so her lease ends and Bob, who waits in Redis, gets them.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, StreamQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "labels", count: 10, ann: false };
const options = { string: ["url", "queue"], boolean: ["ann"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Consumer groups, blocking", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

// A lease of 600 ms is short, so that you need not wait. The usual one is 30 seconds.
const redis = await connect({ url: flags.url });
type Label = { label: string; madeAt: number };
const [group, leaseMs] = ["printers", 600];
const queue = new StreamQueue<Label>(redis, flags.queue, { group, leaseMs });
const stream = `queue:{${queue.name}}:ready`; // to look at: nothing below writes to it by hand
const score = new Scoreboard();

if (flags.ann) {
  const hers = await queue.receiveMany(3, { waitMs: 60_000 });
  say("worker", `ann: ${hers.map(({ payload }) => payload.label)} … kill -9`);
  process.kill(process.pid, "SIGKILL"); // the same as `kill -9` with her pid
}
say("worker", `bob waiting on ${queue.name}, ann goes first`);
const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
const args = ["run", `--allow-net=${host}`, import.meta.url, ...Deno.args, "--ann"];
await new Deno.Command("deno", { args, signal }).spawn().status;

if (!signal.aborted) {
  const { consumers } = await redis.xPending(stream, group);
  for (const { name, deliveriesCounter } of consumers ?? []) {
    say("worker", `ann is dead; pending in her hand ${name}: ${deliveriesCounter}`);
  }
}
for await (const delivery of queue.consume({ mode: "blocking", signal })) {
  const { payload, attempt } = delivery;
  const waited = score.received(payload);
  await pause(100); // the dot in the task
  await delivery.ack();
  say("worker", `bob: ${payload.label}  attempt ${attempt}, waited ${waited} ms … done`);
  if (score.messages === Number(flags.count)) break;
}
await queue.close();
if (!signal.aborted) {
  const [{ pending }, { length }, left] = await Promise.all([
    redis.xPending(stream, group),
    redis.xInfoConsumers(stream, group),
    redis.xLen(stream),
  ]);
  say("worker", `pending ${pending}, consumers ${length}, in the stream ${left}`);
}
score.print();
await redis.close();

// Expect:
// [worker] bob waiting on labels, ann goes first
// [worker] ann: label_1,label_2,label_3 … kill -9
// [worker] ann is dead; pending in her hand <id>: 3
// ~ [worker] bob: label_1  attempt 2, waited <ms> ms … done
// ~ [worker] bob: label_2  attempt 2, waited <ms> ms … done
// ~ [worker] bob: label_3  attempt 2, waited <ms> ms … done
// ~ [worker] bob: label_4  attempt 1, waited <ms> ms … done
// ~ [worker] bob: label_5  attempt 1, waited <ms> ms … done
// ~ [worker] bob: label_6  attempt 1, waited <ms> ms … done
// ~ [worker] bob: label_7  attempt 1, waited <ms> ms … done
// ~ [worker] bob: label_8  attempt 1, waited <ms> ms … done
// ~ [worker] bob: label_9  attempt 1, waited <ms> ms … done
// ~ [worker] bob: label_10  attempt 1, waited <ms> ms … done
// [worker] pending 0, consumers 0, in the stream 0
// [score]  messages 10  commands <n>  wait p50 <ms> ms
