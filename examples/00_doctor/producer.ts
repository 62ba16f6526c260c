/**
 * @title   Doctor, test message
 * @run     deno run --allow-net=127.0.0.1:6379 examples/00_doctor/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/00_doctor/blocking.ts
 * @redis   LPUSH
 *
 * Leaves one message. Whoever receives it has proved that two programs can meet in this Redis.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "doctor_test", count: 1 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Doctor, test message", flags, defaults);
Deno.addSignalListener("SIGINT", () => Deno.exit(0));

const redis = await connect({ url: flags.url });
const queue = new ListQueue(redis, flags.queue);
for (let n = 1; n <= Number(flags.count); n++) {
  await queue.enqueue({ text: `can you hear me? (${n})`, madeAt: now() });
}
say("producer", `left ${flags.count} in ${queue.name}`);
await redis.close();

// Expect:
// [producer] left 1 in doctor_test
