/**
 * @title   Tutorial 3, message queue, publisher
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/3_message_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/3_message_queue/producer.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379 examples/tutorials/3_message_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/3_message_queue/blocking.ts --name 2
 * @with    deno run --allow-net=127.0.0.1:6379
 *          examples/tutorials/3_message_queue/blocking.ts --name 3
 * @redis   EVALSHA
 *
 * The tutorial's send_messages. Each greeting is published twice, which the tutorial's never are.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, say } from "../../scoreboard.ts";

const defaults = { name: "1", queue: "my_message_queue", count: 3, rate: 10 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "name"], default: defaults });
help("Tutorial 3, message queue, publisher", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new ReliableQueue<string>(redis, flags.queue, { dedupe: true }); // by content
for (; left > 0; left--) {
  const hello = `Hello (id=${Math.floor(Math.random() * 1_000_000)})`;
  const [first, second] = await queue.enqueueMany([hello, hello]);
  say(
    "publisher",
    `${hello}: duplicate ${first?.duplicate}, again: duplicate ${second?.duplicate}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [publisher] Hello (id=<n>): duplicate false, again: duplicate true
// [publisher] Hello (id=<n>): duplicate false, again: duplicate true
// [publisher] Hello (id=<n>): duplicate false, again: duplicate true
