/**
 * @title   Connect, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/01_connect/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/01_connect/producer.ts
 * @redis   BRPOP
 *
 * One connection is one queue of commands: what stands behind a BRPOP waits as long as the BRPOP
 * does. So a blocking command gets a connection of its own.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "front_door", count: 3 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Connect, blocking", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

const redis = await connect({ url: flags.url });
const score = new Scoreboard();
/** How long a PING takes on the first connection. */
async function ping(): Promise<string> {
  const sentAt = performance.now();
  await redis.ping();
  return (performance.now() - sentAt).toFixed(1);
}

// Shared: at the back door nobody rings, and the PING stands behind that wait of two seconds.
const [, shared] = await Promise.all([redis.brPop("back_door", 2), ping()]);
say("worker", `shared with BRPOP: a PING took ${shared} ms`);

// Own: a duplicate is a second connection with the same options. It needs an error listener, since
// without one a lost connection ends the program.
const own = redis.duplicate();
own.on("error", () => {});
await own.connect();
while (left > 0) {
  const [rang, beside] = await Promise.all([own.brPop(flags.queue, 1), ping()]);
  if (!rang) continue;
  left--;
  const waited = score.received({ madeAt: Number(rang.element) });
  say("worker", `a ring, waited ${waited} ms; a PING beside BRPOP took ${beside} ms`);
}
score.print();
await own.close();
await redis.close();

// Expect:
// [worker] shared with BRPOP: a PING took <ms> ms
// [worker] a ring, waited <ms> ms; a PING beside BRPOP took <ms> ms
// [worker] a ring, waited <ms> ms; a PING beside BRPOP took <ms> ms
// [worker] a ring, waited <ms> ms; a PING beside BRPOP took <ms> ms
// [score]  messages 3  commands <n>  wait p50 <ms> ms
