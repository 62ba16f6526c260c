/**
 * @title   Tasks, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/12_tasks/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/12_tasks/worker.ts
 * @redis   EVALSHA · HMGET · SUBSCRIBE · UNSUBSCRIBE
 *
 * The asker adds a task and listens: the end of a task is published with its result. One connection
 * listens for all who ask here, and nothing is sent while a task takes long.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskError, TaskProducer } from "@workshop/redis-patterns/tasks";
import { help, say, Scoreboard } from "../scoreboard.ts";
import type { Tasks } from "./worker.ts";

const defaults = { queue: "photo_work", count: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tasks, blocking", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const producer = new TaskProducer<Tasks>(redis, { name: flags.queue });
const score = new Scoreboard();
const how = { mode: "blocking", signal } as const;

async function ask(): Promise<void> {
  // 1. Results. Their types come from the handlers.
  for (let n = 1; n <= Number(flags.count); n++) {
    const task = await producer.add("thumbnail", { photo: `photo_${n}` });
    const { file, doneAt } = await task.result(how);
    say("asker", `${file} heard of ${score.received({ madeAt: doneAt })} ms after it was done`);
  }
  // 2. Progress: what an impatient asker gets.
  const album = await producer.add("album", { photos: 6 });
  const early = await album.outcome({ ...how, waitMs: 350 });
  if (early.state === "running") say("asker", `album: running, ${JSON.stringify(early.progress)}`);
  say("asker", `album: ${(await album.result(how)).pages} pages`);

  // 3. No result: it died, or it takes too long. Then the asker calls it off.
  const invoice = await producer.add("invoice", { to: "nobody" });
  await invoice.result(how).catch(tell);
  const poster = await producer.add("poster", { photo: "photo_1" });
  await poster.result({ ...how, waitMs: 200 }).catch(tell);
  say("asker", `poster: ${await poster.cancel() ? "called off" : "has ended"}`);
  await poster.result(how).catch(tell);
  await producer.add("go_home");
}
function tell(error: unknown): void {
  if (!(error instanceof TaskError)) throw error;
  say("asker", error.message);
}

say("asker", `asking ${flags.queue} for results`);
await ask().catch(async (error) => {
  if (!signal.aborted) throw error;
  await producer.queue.purge("ready"); // nobody asks for them any more
});
score.print();
await producer.queue.purge("dead");
await producer.close();
await redis.close();

// Expect:
// [asker] asking photo_work for results
// [asker] photo_1_small.jpg heard of <ms> ms after it was done
// [asker] photo_2_small.jpg heard of <ms> ms after it was done
// [asker] photo_3_small.jpg heard of <ms> ms after it was done
// [asker] photo_4_small.jpg heard of <ms> ms after it was done
// [asker] photo_5_small.jpg heard of <ms> ms after it was done
// [asker] photo_6_small.jpg heard of <ms> ms after it was done
// [asker] photo_7_small.jpg heard of <ms> ms after it was done
// [asker] photo_8_small.jpg heard of <ms> ms after it was done
// [asker] photo_9_small.jpg heard of <ms> ms after it was done
// [asker] photo_10_small.jpg heard of <ms> ms after it was done
// [asker] album: running, {"done":<n>,"of":6}
// [asker] album: 3 pages
// [asker] Task "<any>" (invoice) is dead: after 2 attempts: Error: no such customer
// [asker] Task "<any>" (poster) has not ended within 200 ms: it is running
// [asker] poster: called off
// [asker] Task "<any>" (poster) was cancelled
// [score]  messages 10  commands <n>  wait p50 <ms> ms
