/**
 * @title   Tasks, worker
 * @run     deno run --allow-net=127.0.0.1:6379 examples/12_tasks/worker.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/12_tasks/producer.ts
 * @redis   EVALSHA · BLPOP · HMGET
 *
 * A task names its handler. What the handler returns is kept as the task's result, and what it says
 * on the way as its progress. The types of all tasks come from here: producers import them.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { type TaskContext, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, now, say } from "../scoreboard.ts";

/** Each task, what it takes and what it gives. */
export type Tasks = typeof handlers;
const handlers = {
  async thumbnail({ photo }: { photo: string }) {
    await pause(50 + 100 * Math.random());
    return { file: `${photo}_small.jpg`, doneAt: now() };
  },
  async album({ photos }: { photos: number }, { progress }: TaskContext) {
    for (let done = 1; done <= photos; done++) {
      await pause(100);
      await progress({ done, of: photos });
    }
    return { pages: Math.ceil(photos / 2) };
  },
  async poster(_photo: { photo: string }, { signal }: TaskContext) {
    await pause(60_000, undefined, { signal }); // the large printer is slow today
  },
  invoice({ to }: { to: string }, { attempt }: TaskContext) {
    say("worker", `invoice for ${to}  attempt ${attempt} … no such customer`);
    throw new Error("no such customer");
  },
  go_home: () => void worker.stop(),
};

const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: { queue: "photo_work" } });
help("Tasks, worker", flags);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const worker = new TaskWorker(redis, {
  name: flags.queue,
  handlers,
  maxAttempts: 2,
  backoff: { baseMs: 50 },
  onEvent(event) {
    if (event.type === "done") say("worker", `${event.delivery.payload.type} … done`);
  },
});
say("worker", `waiting on ${flags.queue}`);
await worker.run({ signal: stop.signal });
await worker.queue.close();
await redis.close();

// Expect:
// [worker] waiting on photo_work
// [worker] thumbnail … done
// [worker] thumbnail … done
// [worker] album … done
// [worker] go_home … done
