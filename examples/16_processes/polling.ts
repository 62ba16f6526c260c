/**
 * @title   Processes, polling
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-run examples/16_processes/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/16_processes/producer.ts
 * @redis   EVALSHA
 *
 * A thread shares its process's fate; a process does not share its neighbour's. Photo 3 kills the
 * one that prints it: the supervisor starts another, and the lease gives the photo back.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import {
  stopSignal,
  supervise,
  type TaskContext,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "photo_printers", count: 10, child: false };
const options = { string: ["url", "queue"], boolean: ["child"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Processes, polling", flags, defaults);

type Photo = { n: number; photo: string; madeAt: number };
/** Each task, what it takes and what it gives. */
export interface Tasks {
  print(photo: Photo, context: TaskContext): Promise<void>;
  go_home(): void;
}

// This program twice, each a process of its own: with `--child` it works, without it supervises.
async function lead(): Promise<void> {
  const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
  const crew = supervise({
    module: import.meta.url,
    args: [...Deno.args, "--child"],
    processes: 2,
    runtimeArgs: [`--allow-net=${host}`],
    backoff: { baseMs: 200 },
    onEvent(event) {
      if (event.type === "started") say("supervisor", `process ${event.child} started`);
      if (event.type === "restarting") say("supervisor", `a process crashed: again in a moment`);
      if (event.type === "stopped") say("supervisor", "all have gone home");
    },
  });
  await crew.ended; // Ctrl-C stops them in order; a second one at once
}

async function work(): Promise<void> {
  const redis = await connect({ url: flags.url });
  const print: Tasks["print"] = async (photo, { attempt }) => {
    score.received(photo);
    await pause(100);
    if (photo.n === 3 && attempt === 1) process.kill(process.pid, "SIGKILL"); // as `kill -9` does
    say("worker", `${photo.photo}  attempt ${attempt} … printed`);
  };
  const handlers = { print, go_home: () => void worker.stop() };
  const name = flags.queue;
  const worker = new TaskWorker<Tasks>(redis, { name, handlers, mode: "polling", leaseMs: 600 });
  await worker.run({ signal: stopSignal() });
  await worker.queue.close();
  await redis.close();
  score.print();
}

const score = new Scoreboard();
if (import.meta.main) await (flags.child ? work() : lead());

// Expect:
// [supervisor] process 0 started
// [supervisor] process 1 started
// ~ [supervisor] a process crashed: again in a moment
// ~ [supervisor] process <n> started
// ~ [worker] photo_1  attempt 1 … printed
// ~ [worker] photo_2  attempt 1 … printed
// ~ [worker] photo_4  attempt 1 … printed
// ~ [worker] photo_5  attempt 1 … printed
// ~ [worker] photo_6  attempt 1 … printed
// ~ [worker] photo_7  attempt 1 … printed
// ~ [worker] photo_8  attempt 1 … printed
// ~ [worker] photo_9  attempt 1 … printed
// ~ [worker] photo_10  attempt 1 … printed
// ~ [worker] photo_3  attempt 2 … printed
// [score]  messages <n>  commands <n>  wait p50 <ms> ms
// [score]  messages <n>  commands <n>  wait p50 <ms> ms
// [supervisor] all have gone home
