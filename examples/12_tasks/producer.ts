/**
 * @title   Tasks, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/12_tasks/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/12_tasks/worker.ts
 * @redis   EVALSHA
 *
 * The shop adds tasks and does not wait. Their results are kept for a day, for whoever knows an id.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer } from "@workshop/redis-patterns/tasks";
import { help, say } from "../scoreboard.ts";
import type { Tasks } from "./worker.ts"; // its types alone: nothing of the worker runs here

const defaults = { queue: "photo_work" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tasks, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const producer = new TaskProducer<Tasks>(redis, { name: flags.queue });

// Several at once, of one kind or of many: each is checked against its handler.
const tasks = await producer.addMany([
  { type: "thumbnail", payload: { photo: "photo_1" } },
  { type: "thumbnail", payload: { photo: "photo_2" } },
  { type: "album", payload: { photos: 15 } },
]);
for (const { type, id } of tasks) say("producer", `${type} added, its id is ${id}`);
await producer.add("go_home");
await producer.close();
await redis.close();

// Expect:
// [producer] thumbnail added, its id is <id>
// [producer] thumbnail added, its id is <id>
// [producer] album added, its id is <id>
