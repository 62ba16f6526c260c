/**
 * @title   Threads, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/15_threads/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 --allow-read examples/15_threads/blocking.ts
 * @redis   EVALSHA
 *
 * Twelve raw photos to develop, all at once. The types come from the handlers.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { TaskProducer } from "@workshop/redis-patterns/tasks";
import { help, now, say } from "../scoreboard.ts";
import type { handlers } from "./work/handlers.ts"; // its types alone

const defaults = { queue: "raw_photos", count: 12 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Threads, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const producer = new TaskProducer<typeof handlers>(redis, { name: flags.queue });

const photos = Array.from({ length: Number(flags.count) }, (_, i) => `photo_${i + 1}`);
await producer.addMany(
  photos.map((photo) => ({ type: "develop", payload: { photo, madeAt: now() } }) as const),
);
say("producer", `${photos.length} raw photos for ${flags.queue}`);
await producer.close();
await redis.close();

// Expect:
// [producer] 12 raw photos for raw_photos
