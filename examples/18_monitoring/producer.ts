/**
 * @title   Monitoring, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/18_monitoring/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379,127.0.0.1:8018 examples/18_monitoring/blocking.ts
 * @redis   EVALSHA
 *
 * Eight prints, all at once. One of them will get stuck, and nobody will throw an error.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "prints", count: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Monitoring, producer", flags, defaults);

const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
const ids = Array.from({ length: Number(flags.count) }, (_, i) => `print_${i + 1}`);
await Promise.all(ids.map((id) => queue.enqueue({ task: id, madeAt: now() }, { id })));
say("producer", `${ids.length} prints stored`);
await redis.close();

// Expect:
// [producer] 8 prints stored
