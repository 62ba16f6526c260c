/**
 * @title   Reliable queue, polling
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/07_reliable_queue/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/07_reliable_queue/producer.ts
 * @redis   EVALSHA
 *
 * A photo in hand stays in Redis, under a lease, until it is acknowledged. Ann is killed with one,
 * so her lease runs out and Bob, who asks every 100 ms, gets it.
 */
import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import { connect, Delivery, ListQueue, ReliableQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

type Photo = { n: number; task: string; madeAt: number };
const defaults = { queue: "photo_prints", count: 10, lossy: false, ann: false };
const options = { string: ["url", "queue"], boolean: ["lossy", "ann"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Reliable queue, polling", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

// A lease of 600 ms is short, so that you need not wait. The usual one is 30 seconds.
const redis = await connect({ url: flags.url });
const queue = flags.lossy
  ? new ListQueue<Photo>(redis, flags.queue)
  : new ReliableQueue<Photo>(redis, flags.queue, { leaseMs: 600 });
const score = new Scoreboard();

// Ann is this program again, in a process of her own, so that she can really be killed.
if (!flags.ann) {
  say("worker", `bob waiting on ${queue.name}, asking every 100 ms, ann goes first`);
  const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
  const args = ["run", `--allow-net=${host}`, import.meta.url, ...Deno.args, "--ann"];
  await new Deno.Command("deno", { args, signal }).spawn().status;
  if (!signal.aborted) say("worker", "ann is dead, bob takes over");
}
for await (const message of queue.consume({ mode: "polling", pollMs: 100, signal })) {
  const { payload } = message;
  const attempt = message instanceof Delivery ? `attempt ${message.attempt}` : "at most once";
  if (flags.ann) {
    say("worker", `ann: ${payload.task}  ${attempt} … kill -9`);
    process.kill(process.pid, "SIGKILL"); // the same as `kill -9` with her pid
  }
  const waited = score.received(payload);
  await new Promise((resolve) => setTimeout(resolve, 100)); // the dot in the task
  say("worker", `bob: ${payload.task}  ${attempt}, waited ${waited} ms … done`);

  // Only now may Redis forget it. A plain list forgot it when it gave it away.
  if (message instanceof Delivery) await message.ack();
  const isLast = flags.lossy && payload.n === Number(flags.count);
  if (isLast || score.messages === Number(flags.count)) break;
}
say("worker", `${score.messages} of ${flags.count} photos printed`);
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] bob waiting on photo_prints, asking every 100 ms, ann goes first
// [worker] ann: print_photo_1 .  attempt 1 … kill -9
// [worker] ann is dead, bob takes over
// ~ [worker] bob: print_photo_1 .  attempt 2, waited <ms> ms … done
// ~ [worker] bob: print_photo_2 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_3 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_4 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_5 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_6 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_7 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_8 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_9 .  attempt 1, waited <ms> ms … done
// ~ [worker] bob: print_photo_10 .  attempt 1, waited <ms> ms … done
// [worker] 10 of 10 photos printed
// [score]  messages 10  commands <n>  wait p50 <ms> ms
