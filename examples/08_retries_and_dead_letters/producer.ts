/**
 * @title   Retries and dead letters, producer
 * @run     deno run --allow-net=127.0.0.1:6379 examples/08_retries_and_dead_letters/producer.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/08_retries_and_dead_letters/blocking.ts
 * @redis   EVALSHA
 *
 * Five mails. Ann's is fine, Bob's server is busy, nobody has no address, and two need a template
 * that we forgot to deploy.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, now, say } from "../scoreboard.ts";

const defaults = { queue: "mails" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Retries and dead letters, producer", flags, defaults);
const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);

// An id of your own is easy to find again among the dead. By default the queue makes one.
for (const [n, to] of ["ann", "bob", "nobody", "dora", "emil"].entries()) {
  const { id, duplicate } = await queue.enqueue({ to, madeAt: now() }, { id: `m${n + 1}` });
  say("producer", `${id} to ${to} ${duplicate ? "is there already" : "stored"}`);
}
await redis.close();

// Expect:
// [producer] m1 to ann stored
// [producer] m2 to bob stored
// [producer] m3 to nobody stored
// [producer] m4 to dora stored
// [producer] m5 to emil stored
