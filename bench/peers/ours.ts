/**
 * `ListQueue` of this package. At most once, so compare its drain with that in mind.
 *
 * @module
 */
import { connect, ListQueue, Worker } from "@workshop/redis-patterns";
import deno from "../../deno.json" with { type: "json" };
import {
  inBulk,
  type OpenPeer,
  type Payload,
  payload,
  singly,
  spaced,
  untilCalled,
} from "../peer.ts";

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url });
  const queue = new ListQueue<Payload>(redis, name);
  return {
    label: `ListQueue ${deno.version}`,
    enqueue: {
      "enqueue, merged": (work) => singly(work, () => queue.enqueue(payload)),
      enqueueMany: (work) => inBulk(work, () => payload, (items) => queue.enqueueMany(items)),
    },
    drain: {
      "receiveMany(100), polling": async ({ count }) => {
        const start = performance.now();
        for (let left = count; left > 0;) {
          left -= (await queue.receiveMany(100)).length;
        }
        return performance.now() - start;
      },
      "Worker, blocking, 100": async ({ count }) => {
        const stop = new AbortController();
        let running: Promise<void> | undefined;
        const ms = await untilCalled(count, (done) => {
          // deno-lint-ignore require-await -- the handler that BullMQ gets, too
          const worker = new Worker(queue, async () => done(), {
            concurrency: 100,
            mode: "blocking",
          });
          running = worker.run({ signal: stop.signal });
        });
        stop.abort();
        await running;
        return ms;
      },
    },
    probe: {
      latency: (work) =>
        spaced(work, (payload) => queue.enqueue(payload), async (handle) => {
          // deno-lint-ignore require-await -- the handler that BullMQ gets, too
          const worker = new Worker(queue, async (payload) => handle(payload), {
            mode: "blocking",
          });
          void worker.start();
          return await Promise.resolve(() => worker.stop());
        }),
    },
    fill: (work) => inBulk(work, () => payload, (items) => queue.enqueueMany(items)),
    empty: async () => void await queue.purge(),
    close: async () => {
      await queue.close();
      await redis.close();
    },
  };
};
export default open;
