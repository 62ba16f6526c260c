/**
 * BullMQ. Its best settings here: plain ioredis (its auto-pipelining and the node-redis adapter were
 * 40 % slower), finished ones removed, 50 to 200 at a time.
 *
 * @module
 */
import { createRequire } from "node:module";
import { type JobsOptions, Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import {
  inBulk,
  type OpenPeer,
  type Payload,
  payload,
  type Peer,
  singly,
  spaced,
  untilCalled,
} from "../peer.ts";

// Not an import attribute: the version of Node that runs this decides how those are spelled.
const { version } = createRequire(import.meta.url)("bullmq/package.json") as {
  version: string;
};
const remove = { removeOnComplete: true, removeOnFail: true };
const CONCURRENCY = [50, 100, 200];

/** Connects, and makes the peer; `options` gives each message its own. */
export async function bullmq(
  url: string,
  name: string,
  { label, options }: { label: string; options?: () => JobsOptions },
): Promise<Peer> {
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  const queue = new Queue(name, { connection, defaultJobOptions: remove });
  await queue.waitUntilReady();
  const item = () => ({ name: "mail", data: payload, opts: options?.() });
  const drain = async (count: number, concurrency: number) => {
    let worker: Worker | undefined;
    const ms = await untilCalled(count, (done) => {
      worker = new Worker(name, async () => {}, { connection, concurrency });
      worker.on("completed", done);
    });
    await worker?.close();
    return ms;
  };
  return {
    label: `${label} ${version}`,
    enqueue: {
      add: (work) => singly(work, () => queue.add("mail", payload, options?.())),
      addBulk: (work) => inBulk(work, item, (items) => queue.addBulk(items)),
    },
    drain: Object.fromEntries(
      CONCURRENCY.map((
        each,
      ) => [`Worker, ${each}`, ({ count }) => drain(count, each)]),
    ),
    probe: {
      latency: (work) =>
        spaced(
          work,
          (payload) => queue.add("mail", payload),
          async (handle) => {
            // deno-lint-ignore require-await -- BullMQ wants a promise
            const handler = async ({ data }: { data: Payload }) => handle(data);
            const worker = new Worker(name, handler, { connection });
            await worker.waitUntilReady();
            return () => worker.close();
          },
        ),
    },
    fill: (work) => inBulk(work, item, (items) => queue.addBulk(items)),
    empty: () => queue.obliterate({ force: true, count: 10_000 }),
    close: async () => {
      await queue.close();
      await connection.quit();
    },
  };
}

const open: OpenPeer = (url, name) => bullmq(url, name, { label: "BullMQ" });
export default open;
