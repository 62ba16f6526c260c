/**
 * @title   Priority queue, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/06_priority_queue/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/06_priority_queue/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/06_priority_queue/blocking.ts --name 2
 * @redis   EVALSHA
 *
 * Six tasks at once, newsletters first. Then only urgent ones, as many as two consumers can do.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, PriorityQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "priority_tasks", count: 20, rate: 20 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Priority queue, producer", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const queue = new PriorityQueue(redis, flags.queue);
const kinds = [["newsletter", "low"], ["invoice", "medium"], ["email", "high"]] as const;

for (let n = 0; left > 0; n++, left--) {
  const [type, priority] = n < 6 ? kinds[n % 3]! : kinds[2];
  const stored = queue.enqueue({ n, type, priority, madeAt: now() }, { priority });
  const at = new Date().toTimeString().slice(0, 8);
  const what = `Task ID: ${1001 + n}, Type: ${type}, Priority: ${priority}`;
  say("Producer", `Generated task: ${what}, Created at: ${at}`);
  if (n < 5 && left > 1) continue; // what is enqueued in one turn goes to Redis in one call
  await stored;
  await new Promise((resolve) => setTimeout(resolve, 1_000 / Number(flags.rate)));
}
await redis.close();

// Expect:
// [Producer] Generated task: Task ID: 1001, Type: newsletter, Priority: low, Created at: <id>
// [Producer] Generated task: Task ID: 1002, Type: invoice, Priority: medium, Created at: <id>
// [Producer] Generated task: Task ID: 1003, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1004, Type: newsletter, Priority: low, Created at: <id>
// [Producer] Generated task: Task ID: 1005, Type: invoice, Priority: medium, Created at: <id>
// [Producer] Generated task: Task ID: 1006, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1007, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1008, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1009, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1010, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1011, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1012, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1013, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1014, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1015, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1016, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1017, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1018, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1019, Type: email, Priority: high, Created at: <id>
// [Producer] Generated task: Task ID: 1020, Type: email, Priority: high, Created at: <id>
