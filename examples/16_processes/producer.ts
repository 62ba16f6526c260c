/**
 * @title   Processes, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/16_processes/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 --allow-run examples/16_processes/blocking.ts
 * @redis   EVALSHA
 *
 * Ten photos to print, one of which kills its printer, and closing time a few seconds later.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer } from "@workshop/redis-patterns/tasks";
import { help, now, say } from "../scoreboard.ts";
import type { Tasks } from "./blocking.ts"; // its types alone

const defaults = { queue: "photo_printers", count: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Processes, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const producer = new TaskProducer<Tasks>(redis, { name: flags.queue });

for (let n = 1; n <= Number(flags.count); n++) {
  await producer.add("print", { n, photo: `photo_${n}`, madeAt: now() });
}
// One for each process.
for (let child = 0; child < 2; child++) await producer.add("go_home", null, { delayMs: 3_000 });
say("producer", `${flags.count} photos for ${flags.queue}`);
await producer.close();
await redis.close();

// Expect:
// [producer] 10 photos for photo_printers
