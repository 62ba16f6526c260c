/**
 * bee-queue. Its best settings here: no events, nothing stored in the client, finished ones removed,
 * 500 at a time.
 *
 * @module
 */
import { createRequire } from "node:module";
import BeeQueue from "bee-queue";
import { inBulk, type OpenPeer, payload, singly, untilCalled } from "../peer.ts";

const { version } = createRequire(import.meta.url)("bee-queue/package.json") as { version: string };

const open: OpenPeer = async (url, name) => {
  const settings = {
    redis: { url },
    isWorker: false,
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
    activateDelayedJobs: false,
    removeOnSuccess: true,
    removeOnFailure: true,
  };
  const queue = new BeeQueue(name, settings);
  await queue.ready();
  const item = () => queue.createJob(payload);
  return {
    label: `bee-queue ${version}`,
    enqueue: {
      save: (work) => singly(work, () => item().save()),
      saveAll: (work) => inBulk(work, item, (items) => queue.saveAll(items)),
    },
    drain: {
      "process, 500": async ({ count }) => {
        const consumer = new BeeQueue(name, { ...settings, isWorker: true });
        await consumer.ready();
        const ms = await untilCalled(count, (done) => {
          consumer.on("succeeded", done);
          consumer.process(500, async () => {});
        });
        await consumer.close(5_000);
        return ms;
      },
    },
    fill: (work) => inBulk(work, item, (items) => queue.saveAll(items)),
    empty: () => queue.destroy(),
    close: () => queue.close(5_000),
  };
};
export default open;
