/**
 * Four workers on one queue with a rate limit: how many messages they handle, and what they send
 * while they wait.
 *
 * @module
 */
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import deno from "../../deno.json" with { type: "json" };
import { removeQueue } from "../leased_peer.ts";
import { type OpenPeer, pause, type Payload, payload } from "../peer.ts";
import { SentCommands } from "../sent_commands.ts";

const WORKERS = 4;
const RATE = { count: 100, perMs: 1_000 };
const SECONDS = 10;

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url, name });
  const queue = new ReliableQueue<Payload>(redis, name, { rateLimit: RATE });
  return {
    label: `ReliableQueue ${deno.version}`,
    enqueue: {},
    drain: {},
    probe: {
      /** Handled in ten seconds; commands a worker and second between 300 and 900 ms after a burst. */
      "100 a second": async () => {
        await queue.enqueueMany(
          Array.from({ length: 2 * SECONDS * RATE.count }, () => payload),
        );
        let handled = 0;
        const workers = Array.from(
          { length: WORKERS },
          () => new Worker(queue, () => void handled++, { concurrency: 10 }),
        );
        await pause(100);
        for (const worker of workers) void worker.start();
        while (handled === 0) await pause(1);
        const end = performance.now() + SECONDS * 1_000;
        await pause(300); // the burst is over, and the next one is 700 ms away
        const watch = await SentCommands.watch(redis);
        await pause(600);
        const waiting = await watch.end() / 0.6 / WORKERS;
        await pause(end - performance.now() - 20); // before the next burst begins
        const inTime = handled;
        await Promise.all(workers.map((worker) => worker.stop()));
        return [inTime, waiting];
      },
    },
    fill: () => Promise.resolve(),
    empty: () => removeQueue(redis, name),
    close: async () => {
      await queue.close();
      await redis.close();
    },
  };
};
export default open;
