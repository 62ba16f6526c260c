/**
 * `ReliableQueue` with one option at a time, and with none: what each costs.
 *
 * @module
 */
import {
  connect,
  type LeasedQueueOptions,
  ReliableQueue,
  type StandardSchema,
} from "@workshop/redis-patterns";
import deno from "../../deno.json" with { type: "json" };
import { drain, removeQueue } from "../leased_peer.ts";
import { type OpenPeer, type Payload, payload, singly } from "../peer.ts";

const schema: StandardSchema<Payload> = {
  "~standard": {
    version: 1,
    vendor: "bench",
    validate: (value) => ({ value: value as Payload }),
  },
};

const OPTIONS: Record<string, LeasedQueueOptions<Payload>> = {
  "none": {},
  "stats: false": { stats: false },
  "keepCompleted": { keepCompleted: {} },
  "keepFailed": { keepFailed: {} },
  "maxReady": { maxReady: 1_000_000 },
  "rateLimit": { rateLimit: { count: 100_000, perMs: 1 } },
  "schema": { schema },
  "dedupe by key": { dedupe: { key: ({ userId }) => `user:${userId}` } },
  "dedupe by content": { dedupe: true },
};

const CONCURRENCY = 500;

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url, name });
  const queues = Object.entries(OPTIONS).map(([option, options]) => {
    const queue = new ReliableQueue<Payload>(redis, name, options);
    let userId = 0;
    const fill = (work: { count: number; atATime: number }) =>
      singly(work, () => queue.enqueue({ ...payload, userId: userId++ }));
    return { option, queue, fill };
  });
  const [{ fill }] = queues as [typeof queues[number]];
  return {
    label: `ReliableQueue ${deno.version}`,
    enqueue: Object.fromEntries(
      queues.map(({ option, fill }) => [option, fill]),
    ),
    drain: Object.fromEntries(
      queues.map(({ option, queue, fill }) => [option, async (work) => {
        // Messages that hold keys are others than those that the queue was filled with.
        await queue.purge("ready");
        await fill(work);
        return await drain(queue, work.count, CONCURRENCY);
      }]),
    ),
    fill,
    empty: () => removeQueue(redis, name),
    close: async () => {
      for (const { queue } of queues) await queue.close();
      await redis.close();
    },
  };
};
export default open;
