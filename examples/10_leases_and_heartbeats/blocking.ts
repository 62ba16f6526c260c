/**
 * @title   Leases and heartbeats, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/10_leases_and_heartbeats/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/10_leases_and_heartbeats/producer.ts
 * @redis   EVALSHA · BLPOP
 *
 * A lease is a promise to be done in time. Who is late is taken for dead: the message goes out
 * again and is done twice. A heartbeat tells slow from dead. Bob waits in Redis.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, LeaseLostError, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "panoramas" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Leases and heartbeats, blocking", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

// A panorama takes 1,400 ms, and the lease is over after 600.
await using redis = await connect({ url: flags.url });
type Panorama = { task: string; madeAt: number };
const ann = new ReliableQueue<Panorama>(redis, flags.queue, { leaseMs: 600 });
const bob = new ReliableQueue<Panorama>(redis, flags.queue, { leaseMs: 600 });
const score = new Scoreboard();
const work = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits in Redis for what there is to take, `waitMs` at most. */
async function take(queue: ReliableQueue<Panorama>, waitMs: number) {
  const delivery = await queue.receive({ waitMs, signal: stop.signal });
  if (delivery) score.received(delivery.payload);
  return delivery;
}

async function rounds(): Promise<void> {
  // 1. Ann is slow, not dead; Redis cannot tell. It gives her panorama to Bob.
  const late = (await take(ann, 60_000))!;
  say("worker", `ann: ${late.payload.task}  attempt ${late.attempt}, no heartbeat`);
  const [again] = await Promise.all([take(bob, 1_000), work(1_400)]);
  say("worker", `bob: ${again?.payload.task}  attempt ${again?.attempt}, meanwhile`);
  await late.ack().catch((error) => {
    if (!(error instanceof LeaseLostError)) throw error;
    say("worker", "ann: done, but too late: LeaseLostError");
  });
  await again?.ack();
  say("worker", "bob: done, so it was done twice");

  // 2. By hand: every 200 ms she says that she needs 600 more.
  const kept = (await take(ann, 60_000))!;
  say("worker", `ann: ${kept.payload.task}  attempt ${kept.attempt}, extends her lease`);
  const other = take(bob, 1_000);
  for (let i = 0; i < 7; i++) await work(200).then(() => kept.extend(600));
  await kept.ack();
  say("worker", `ann: done; bob got ${await other ?? "nothing"}`);

  // 3. A Worker does that by itself, at a third of the lease, for all that it has in hand.
  const worker = new Worker(ann, async (payload, { delivery }) => {
    score.received(payload);
    say("worker", `ann: ${payload.task}  attempt ${delivery.attempt}, in a Worker`);
    const [other] = await Promise.all([take(bob, 1_000), work(1_400)]);
    say("worker", `ann: done; bob got ${other ?? "nothing"}`);
    void worker.stop();
  }, { mode: "blocking" });
  await worker.run({ signal: stop.signal });
}
say("worker", `ann and bob on ${flags.queue}`);
await rounds().catch((error) => {
  if (!stop.signal.aborted) throw error;
});
score.print();
await Promise.all([ann.close(), bob.close()]);

// Expect:
// [worker] ann and bob on panoramas
// [worker] ann: panorama_1  attempt 1, no heartbeat
// [worker] bob: panorama_1  attempt 2, meanwhile
// [worker] ann: done, but too late: LeaseLostError
// [worker] bob: done, so it was done twice
// [worker] ann: panorama_2  attempt 1, extends her lease
// [worker] ann: done; bob got nothing
// [worker] ann: panorama_3  attempt 1, in a Worker
// [worker] ann: done; bob got nothing
// [score]  messages 4  commands <n>  wait p50 <ms> ms
