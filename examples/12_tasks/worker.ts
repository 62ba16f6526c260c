/**
 * @title   Tasks, worker
 * @run     deno run --allow-net=127.0.0.1:6379 examples/12_tasks/worker.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/12_tasks/producer.ts
 * @redis   EVALSHA · BLPOP · HMGET
 *
 * A task names its handler. What the handler returns is kept as the task's result, and what it says
 * on the way as its progress. Producers import the types of the tasks from here, and nothing else.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { type TaskHandlers, TaskWorker } from "@workshop/redis-patterns/tasks";
import { help, now, say } from "../scoreboard.ts";

/** Each task: what it takes and what it gives. Who adds tasks and who does them agree on this. */
export interface Tasks {
  thumbnail(payload: { photo: string }): { file: string; doneAt: number };
  album(payload: { photos: number }): { pages: number };
  poster(payload: { photo: string }): void;
  invoice(payload: { to: string }): void;
  go_home(): void;
}
const handlers: TaskHandlers<Tasks> = {
  async thumbnail({ photo }) {
    await pause(50 + 100 * Math.random());
    return { file: `${photo}_small.jpg`, doneAt: now() };
  },
  async album({ photos }, { progress }) {
    for (let done = 1; done <= photos; done++) {
      await pause(100);
      await progress({ done, of: photos });
    }
    return { pages: Math.ceil(photos / 2) };
  },
  async poster(_photo, { signal }) {
    await pause(60_000, undefined, { signal }); // the large printer is slow today
  },
  invoice({ to }, { attempt }) {
    say("worker", `invoice for ${to}  attempt ${attempt} … no such customer`);
    throw new Error("no such customer");
  },
  go_home: () => void worker.stop(),
};

const defaults = { queue: "photo_work" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tasks, worker", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const worker = new TaskWorker<Tasks>(redis, {
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
