/**
 * bee-queue. Its best settings here: no events, nothing stored in the client, finished ones removed,
 * 100 or 500 at a time.
 *
 * @module
 */
import { createRequire } from "node:module";
import BeeQueue from "bee-queue";
import {
  inBulk,
  type OpenPeer,
  type Payload,
  payload,
  singly,
  spaced,
  untilCalled,
} from "../peer.ts";

const { version } = createRequire(import.meta.url)(
  "bee-queue/package.json",
) as { version: string };

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
  const drain = async (count: number, concurrency: number) => {
    const consumer = new BeeQueue(name, { ...settings, isWorker: true });
    await consumer.ready();
    const ms = await untilCalled(count, (done) => {
      consumer.on("succeeded", done);
      consumer.process(concurrency, async () => {});
    });
    await consumer.close(5_000);
    return ms;
  };
  return {
    label: `bee-queue ${version}`,
    enqueue: {
      save: (work) => singly(work, () => item().save()),
      saveAll: (work) => inBulk(work, item, (items) => queue.saveAll(items)),
    },
    drain: {
      "process, 100": ({ count }) => drain(count, 100),
      "process, 500": ({ count }) => drain(count, 500),
    },
    probe: {
      latency: (work) =>
        spaced(
          work,
          (payload) => queue.createJob(payload).save(),
          async (handle) => {
            const consumer = new BeeQueue<Payload>(name, {
              ...settings,
              isWorker: true,
            });
            await consumer.ready();
            // deno-lint-ignore require-await -- bee-queue wants a promise
            consumer.process(1, async ({ data }) => handle(data));
            return () => consumer.close(5_000);
          },
        ),
    },
    fill: (work) => inBulk(work, item, (items) => queue.saveAll(items)),
    empty: () => queue.destroy(),
    close: () => queue.close(5_000),
  };
};
export default open;
