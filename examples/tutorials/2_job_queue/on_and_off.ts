/**
 * @title   Tutorial 2, every feature on and off
 * @run     deno run --allow-net=127.0.0.1:6379 examples/tutorials/2_job_queue/on_and_off.ts
 * @redis   EVALSHA · BLPOP · LPUSH · RPOP
 *
 * What the tutorial has, and its "future improvements", one after the other: with and without.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, PriorityQueue, ReliableQueue } from "@workshop/redis-patterns";
import { help, say } from "../../scoreboard.ts";

const defaults = { queue: "features_2" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Tutorial 2, every feature on and off", flags, defaults);
const redis = await connect({ url: flags.url });
let n = 0;
const name = () => `${flags.queue}_${n++}`; // a queue for each line

// Blocking consumption: the question waits in Redis. Off: it is answered at once.
const waiting = new ReliableQueue<string>(redis, name());
say("off", `blocking: ${await waiting.receive() ?? "nothing, ask again"}`);
const receiving = waiting.receive({ waitMs: 5_000 });
await waiting.enqueue("job_1");
const blocked = await receiving;
say("on", `blocking: ${blocked?.payload}`);
await blocked?.ack();

// Crash of a consumer: a visibility timeout is a lease here. Off: RPOP, and it is gone.
const leased = new ReliableQueue<string>(redis, name(), { leaseMs: 100 });
const list = new ListQueue<string>(redis, name());
for (const queue of [leased, list]) {
  await queue.enqueue("job_2");
  await queue.receive(); // and crash
}
await pause(150);
const again = await leased.receive();
say("on", `visibility timeout: ${again?.payload}, attempt ${again?.attempt}`);
say("off", `visibility timeout: ${await list.receive() ?? "job_2 is lost"}`);
await again?.ack();

// Retries: three attempts, or one. Dead letters: what failed for good is kept, or acknowledged.
for (const [tag, maxAttempts] of [["on", 3], ["off", 1]] as const) {
  await using queue = new ReliableQueue<string>(redis, name(), { maxAttempts });
  await queue.enqueue("job_3");
  const ends: string[] = [];
  for (let job; (job = await queue.receive());) ends.push(await job.nack({ delayMs: 0 }));
  say(tag, `retries: ${ends.join(", ")}`);
  await queue.purge("dead");
  await queue.enqueue("job_4");
  const failed = await queue.receive();
  await (tag === "on" ? failed?.deadLetter("no address") : failed?.ack());
  say(tag, `dead letters: ${await queue.purge("dead")}`);
}

// Delayed jobs: ready when their time has come. Priorities: the urgent first. Metrics: counted.
for (const [tag, delayMs, priority] of [["on", 100, "high"], ["off", 0, "low"]] as const) {
  await using queue = new PriorityQueue<string>(redis, name(), { stats: tag === "on" });
  await queue.enqueue("job_5", { delayMs });
  const early = await queue.receive();
  const job = early ?? await queue.receive({ waitMs: 5_000 });
  say(tag, `delays: ${early ? "" : "not yet, but then "}${job?.payload}`);
  await queue.enqueue("job_6", { priority: "low" });
  await queue.enqueue("job_7", { priority });
  const jobs = await queue.receiveMany(2);
  say(tag, `priorities: ${jobs.map(({ payload }) => payload).join(", ")}`);
  for (const done of [job, ...jobs]) await done?.ack();
  say(tag, `metrics: acked ${(await queue.stats()).totals.acked}`);
}
await Promise.all([waiting.close(), leased.close()]);
await redis.close();

// Expect:
// [off] blocking: nothing, ask again
// [on] blocking: job_1
// [on] visibility timeout: job_2, attempt 2
// [off] visibility timeout: job_2 is lost
// [on] retries: ready, ready, dead
// [on] dead letters: 1
// [off] retries: dead
// [off] dead letters: 0
// [on] delays: not yet, but then job_5
// [on] priorities: job_7, job_6
// [on] metrics: acked 3
// [off] delays: job_5
// [off] priorities: job_6, job_7
// [off] metrics: acked 0
