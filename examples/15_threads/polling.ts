/**
 * @title   Threads, polling
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-read examples/15_threads/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/15_threads/producer.ts
 * @redis   EVALSHA
 *
 * A handler that computes stops everything else in its thread: other tasks, heartbeats, timers. In
 * threads of their own, handlers use the other cores, and this one keeps its clock. With `--own`
 * they run here: look at how long it was deaf.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskWorker, type TaskWorkerEvent } from "@workshop/redis-patterns/tasks";
import { help, now, say, Scoreboard } from "../scoreboard.ts";
import { handlers } from "./work/handlers.ts";

const defaults = { queue: "raw_photos", count: 12, threads: 2, own: false };
const options = { string: ["url", "queue"], boolean: ["own"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Threads, polling", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const score = new Scoreboard();
let [startedAt, workMs] = [0, 0];

// The module goes to the threads by its URL: functions cannot be handed to another thread.
const module = new URL("./work/handlers.ts", import.meta.url);
const where = flags.own ? { handlers } : { module, threads: Number(flags.threads) };
const worker = new TaskWorker<typeof handlers>(redis, {
  name: flags.queue,
  mode: "polling",
  ...where,
  onEvent,
});
function onEvent(event: TaskWorkerEvent<typeof handlers>): void {
  if (event.type !== "done") return;
  const { payload: { payload: { photo, madeAt } }, receivedAt } = event.delivery;
  startedAt ||= now() - event.ms;
  workMs += event.ms;
  score.received({ madeAt: madeAt + now() - receivedAt });
  say("worker", `${photo} … developed in ${Math.round(event.ms)} ms`);
  if (score.messages === Number(flags.count)) stop.abort();
}

// The heart of this thread: it should beat every 20 ms. Counted from the first photo on, since
// loading the program takes its time, too.
let [beatAt, deafMs] = [now(), 0];
const heart = setInterval(() => {
  if (startedAt) deafMs = Math.max(deafMs, now() - beatAt - 20);
  beatAt = now();
}, 20);
say("worker", `asking ${flags.queue}, handlers in ${flags.own ? "this thread" : "threads"}`);
await worker.run({ signal: stop.signal });
clearInterval(heart);
const share = startedAt && workMs / (now() - startedAt);
say("worker", `${share.toFixed(1)} photos at a time, deaf for ${Math.round(deafMs)} ms at most`);
score.print();
await worker.queue.close();
await redis.close();

// Expect:
// [worker] asking raw_photos, handlers in threads
// ~ [worker] photo_1 … developed in <ms> ms
// ~ [worker] photo_2 … developed in <ms> ms
// ~ [worker] photo_3 … developed in <ms> ms
// ~ [worker] photo_4 … developed in <ms> ms
// ~ [worker] photo_5 … developed in <ms> ms
// ~ [worker] photo_6 … developed in <ms> ms
// ~ [worker] photo_7 … developed in <ms> ms
// ~ [worker] photo_8 … developed in <ms> ms
// ~ [worker] photo_9 … developed in <ms> ms
// ~ [worker] photo_10 … developed in <ms> ms
// ~ [worker] photo_11 … developed in <ms> ms
// ~ [worker] photo_12 … developed in <ms> ms
// [worker] <ms> photos at a time, deaf for <n> ms at most
// [score]  messages 12  commands <n>  wait p50 <ms> ms
