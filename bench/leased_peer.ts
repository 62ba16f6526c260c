/**
 * What our queues with leases have in common as peers: they differ in how a message is enqueued.
 *
 * @module
 */
import {
  connect,
  type ConnectedClient,
  type Delivery,
  type EnqueueOptions,
  type LeasedQueue,
  Worker,
} from "@workshop/redis-patterns";
import deno from "../deno.json" with { type: "json" };
import { queueKeys, REGISTRY_KEY } from "../redis/keys.ts";
import { blockedProbes } from "./blocked_probes.ts";
import { type Payload, type Peer, singly, spaced, untilCalled, type Work } from "./peer.ts";

/** A queue, and its way to take a message. */
export interface LeasedUnderTest {
  queue: LeasedQueue<Payload>;
  kind: string;
  enqueue: (payload: Payload, options?: EnqueueOptions) => Promise<unknown>;
}

const CONCURRENCY = [100, 200, 500, 1_000];

/** Connects, and makes the peer. */
export async function leasedPeer(
  { url, name, payload }: { url: string; name: string; payload: Payload },
  make: (redis: ConnectedClient) => LeasedUnderTest,
): Promise<Peer> {
  const redis = await connect({ url, name }); // by the name, kills find the right connections
  const { queue, kind, enqueue } = make(redis);
  const fill = (work: Work) => singly(work, () => enqueue(payload));
  return {
    label: `${kind} ${deno.version}`,
    enqueue: { "enqueue, merged": fill },
    drain: Object.fromEntries(CONCURRENCY.map((concurrency) => [
      `Worker, blocking, ${concurrency}`,
      ({ count }) => drain(queue, count, concurrency),
    ])),
    probe: {
      latency: (work) =>
        spaced(work, enqueue, async (handle) => {
          const worker = new Worker<Delivery<Payload>>(
            queue,
            // deno-lint-ignore require-await -- the handler that BullMQ gets, too
            async (payload) => handle(payload),
            { mode: "blocking" },
          );
          void worker.start();
          return await Promise.resolve(() => worker.stop());
        }),
      ...blockedProbes({ queue, enqueue, redis, name }),
    },
    fill,
    empty: () => removeQueue(redis, name),
    close: async () => {
      await queue.close();
      await redis.close();
    },
  };
}

/** Removes every key of a queue. */
export async function removeQueue(
  redis: ConnectedClient,
  name: string,
): Promise<void> {
  await redis.unlink(Object.values(queueKeys(name)));
  const members = await redis.zRange(REGISTRY_KEY, 0, -1);
  const own = members.filter((member) => member.endsWith(` ${name}`));
  if (own.length > 0) await redis.zRem(REGISTRY_KEY, own);
}

/** Until the last ack was answered, as the others are timed. */
export async function drain(
  queue: LeasedQueue<Payload>,
  count: number,
  concurrency: number,
): Promise<number> {
  let worker: Worker<Delivery<Payload>> | undefined;
  const ms = await untilCalled(count, (done) => {
    const onEvent = ({ type }: { type: string }) => {
      if (type === "done") done();
    };
    worker = new Worker(queue, async () => {}, {
      concurrency,
      mode: "blocking",
      onEvent,
    });
    void worker.start();
  });
  await worker?.stop();
  const left = Object.values(await queue.counts()).reduce((sum, n) => sum + n);
  if (left > 0) throw new Error(`${left} messages are left`);
  return ms;
}
