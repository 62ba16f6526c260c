/**
 * @title   Connect, the door bell
 * @run     deno run --allow-net=127.0.0.1:6379 examples/01_connect/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/01_connect/blocking.ts
 * @redis   LPUSH
 *
 * Rings at the front door of the photo shop, so that whoever waits there has something to hear.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "front_door", count: 3, rate: 2 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Connect, the door bell", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

// connect() gives the client of npm:redis: every Redis command is a method of it.
const redis = await connect({ url: flags.url });
say("producer", `${left} rings at ${flags.queue}`);
for (; left > 0; left--) {
  await redis.lPush(flags.queue, String(now()));
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [producer] 3 rings at front_door
