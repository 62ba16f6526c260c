/**
 * @title   Retries and dead letters, polling
 * @run     deno run --allow-net=127.0.0.1:6379 examples/08_retries_and_dead_letters/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/08_retries_and_dead_letters/producer.ts
 * @redis   EVALSHA
 *
 * What fails is tried again a little later, three times in all, and then it is dead: out of the
 * way, with its errors. While all wait for their time, this worker asks every 50 ms.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "mails" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Retries and dead letters, polling", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

// Three attempts. The pauses are short, so that you need not wait; the usual ones begin with 1 s.
const redis = await connect({ url: flags.url });
const queue = new ReliableQueue<{ to: string; madeAt: number }>(redis, flags.queue, {
  maxAttempts: 3,
  backoff: { baseMs: 100, maxMs: 1_000 },
});
const score = new Scoreboard();
const templates = ["welcome"];
say("worker", `waiting on ${queue.name}, asking every 50 ms`);

function send(to: string, attempt: number): void {
  if (to === "bob" && attempt < 3) throw new Error("server busy");
  if (to === "nobody") throw new Error("no such address");
  if (["dora", "emil"].includes(to) && !templates.includes("invoice")) {
    throw new Error("no such template");
  }
}

let [open, round] = [5, 1];
for await (const delivery of queue.consume({ mode: "polling", pollMs: 50, signal: stop.signal })) {
  const { id, payload: { to }, attempt, errors } = delivery;
  if (errors.length === 0) score.received(delivery.payload);
  try {
    send(to, attempt);
    await delivery.ack();
    say("worker", `${id} to ${to}  attempt ${attempt} … done`);
    open--;
  } catch (error) {
    const where = await delivery.nack({ error }); // the third time it is dead
    say("worker", `${id} to ${to}  attempt ${attempt} … ${(error as Error).message}: ${where}`);
    if (where === "dead") open--;
  }
  if (open > 0) continue;

  // Nothing is left to do. Why are they dead, and what of it is our fault?
  for (const { id, reason, errors } of (await queue.peek("dead")).messages) {
    say("worker", `dead: ${id}, ${reason} (${errors.length} errors)`);
  }
  if (round === 1) templates.push("invoice"); // deployed
  if (round === 3) break;
  const redriven = await queue.redrive(round++ === 1 ? { ids: ["m4"] } : {}); // one, then all
  say("worker", `redriven: ${redriven}`);
  open = redriven;
}
say("worker", `purged: ${await queue.purge("dead")}`);
score.print();
await queue.close();
await redis.close();

// Expect:
// [worker] waiting on mails, asking every 50 ms
// ~ [worker] m1 to ann  attempt 1 … done
// ~ [worker] m2 to bob  attempt 1 … server busy: delayed
// ~ [worker] m2 to bob  attempt 2 … server busy: delayed
// ~ [worker] m2 to bob  attempt 3 … done
// ~ [worker] m3 to nobody  attempt 1 … no such address: delayed
// ~ [worker] m3 to nobody  attempt 2 … no such address: delayed
// ~ [worker] m3 to nobody  attempt 3 … no such address: dead
// ~ [worker] m4 to dora  attempt 1 … no such template: delayed
// ~ [worker] m4 to dora  attempt 2 … no such template: delayed
// ~ [worker] m4 to dora  attempt 3 … no such template: dead
// ~ [worker] m5 to emil  attempt 1 … no such template: delayed
// ~ [worker] m5 to emil  attempt 2 … no such template: delayed
// ~ [worker] m5 to emil  attempt 3 … no such template: dead
// ~ [worker] dead: m3, after 3 attempts: Error: no such address (3 errors)
// ~ [worker] dead: m4, after 3 attempts: Error: no such template (3 errors)
// ~ [worker] dead: m5, after 3 attempts: Error: no such template (3 errors)
// [worker] redriven: 1
// [worker] m4 to dora  attempt 1 … done
// ~ [worker] dead: m3, after 3 attempts: Error: no such address (3 errors)
// ~ [worker] dead: m5, after 3 attempts: Error: no such template (3 errors)
// [worker] redriven: 2
// ~ [worker] m5 to emil  attempt 1 … done
// ~ [worker] m3 to nobody  attempt 1 … no such address: delayed
// ~ [worker] m3 to nobody  attempt 2 … no such address: delayed
// ~ [worker] m3 to nobody  attempt 3 … no such address: dead
// [worker] dead: m3, after 3 attempts: Error: no such address (6 errors)
// [worker] purged: 1
// [score]  messages 5  commands <n>  wait p50 <ms> ms
