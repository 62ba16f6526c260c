/**
 * @title   Tutorial 4, task queue, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/4_task_queue/producer.ts
 * @redis   EVALSHA · BLPOP
 *
 * The tutorial's worker, waiting in Redis.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { type TaskHandlers, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, say, Scoreboard } from "../../scoreboard.ts";

/** Each task: what it takes and what it gives. The producer imports this, and no code. */
export interface Tasks {
  process_data(payload: { data: number }): { processed_data: number };
}
const handlers: TaskHandlers<Tasks> = {
  process_data({ data }) {
    say("worker", `process_data of ${data} … ${data * 2}`);
    return { processed_data: data * 2 };
  },
};
const defaults = { queue: "tasks" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 4, task queue, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const score = new Scoreboard();
const worker = new TaskWorker<Tasks>(redis, {
  name: flags.queue,
  handlers,
  concurrency: 2, // thread_count=2: for work that waits; for work that computes, see step 15
  mode: "blocking",
  onEvent(event) {
    if (event.type !== "done") return;
    score.received({ madeAt: event.delivery.enqueuedAt });
    if (score.messages === 6) void worker.stop();
  },
});
say("worker", `waiting on ${flags.queue}`);
await worker.run({ signal: stop.signal });
score.print();
await worker.queue.close();
await redis.close();

// Expect:
// [worker] waiting on tasks
// [worker] process_data of 42 … 84
// [worker] process_data of 43 … 86
// [worker] process_data of 44 … 88
// [worker] process_data of 45 … 90
// [worker] process_data of 46 … 92
// [worker] process_data of 1 … 2
// [score]  messages 6  commands <n>  wait p50 <ms> ms
