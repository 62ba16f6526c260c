/**
 * BullMQ. Its best settings here: plain ioredis (its auto-pipelining and the node-redis adapter were
 * 40 % slower), finished ones removed, 100 at a time.
 *
 * @module
 */
import { createRequire } from "node:module";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { inBulk, type OpenPeer, payload, singly, untilCalled } from "../peer.ts";

// Not an import attribute: the version of Node that runs this decides how those are spelled.
const { version } = createRequire(import.meta.url)("bullmq/package.json") as { version: string };
const remove = { removeOnComplete: true, removeOnFail: true };
const item = () => ({ name: "mail", data: payload });

const open: OpenPeer = async (url, name) => {
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  const queue = new Queue(name, { connection, defaultJobOptions: remove });
  await queue.waitUntilReady();
  return {
    label: `BullMQ ${version}`,
    enqueue: {
      add: (work) => singly(work, () => queue.add("mail", payload)),
      addBulk: (work) => inBulk(work, item, (items) => queue.addBulk(items)),
    },
    drain: {
      "Worker, 100": async ({ count }) => {
        let worker: Worker | undefined;
        const ms = await untilCalled(count, (done) => {
          worker = new Worker(name, async () => {}, { connection, concurrency: 100 });
          worker.on("completed", done);
        });
        await worker?.close();
        return ms;
      },
    },
    fill: (work) => inBulk(work, item, (items) => queue.addBulk(items)),
    empty: () => queue.obliterate({ force: true, count: 10_000 }),
    close: async () => {
      await queue.close();
      await connection.quit();
    },
  };
};
export default open;
