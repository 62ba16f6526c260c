/**
 * Tasks of this package: records, events and results on, as they are by default.
 *
 * @module
 */
import { connect } from "@workshop/redis-patterns";
import { type Task, TaskProducer, TaskQueue, TaskWorker } from "@workshop/redis-patterns/tasks";
import deno from "../../deno.json" with { type: "json" };
import { removeQueue } from "../leased_peer.ts";
import {
  type OpenPeer,
  pause,
  type Payload,
  payload,
  singly,
  untilCalled,
  type Work,
} from "../peer.ts";

interface Tasks {
  send(payload: Payload): { sent: number };
  wait(payload: null): number;
}

const CONCURRENCY = [100, 200, 500, 1_000];

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url, name });
  const producer = new TaskProducer<Tasks>(redis, { name });
  const asker = new TaskProducer<Tasks>(redis, { name });
  const queue = new TaskQueue<Tasks>(redis, { name });
  const fill = (work: Work) => singly(work, () => producer.add("send", payload));
  const ways = CONCURRENCY.map((concurrency) =>
    [
      `TaskWorker, blocking, ${concurrency}`,
      async ({ count }: Work) => {
        let worker: TaskWorker<Tasks> | undefined;
        const ms = await untilCalled(count, (done) => {
          worker = new TaskWorker<Tasks>(redis, {
            name,
            concurrency,
            handlers: {
              // deno-lint-ignore require-await -- the handler that BullMQ gets, too
              send: async ({ userId }) => ({ sent: userId }),
              wait: () => performance.now(),
            },
            onEvent: ({ type }) => {
              if (type === "done") done();
            },
          });
          void worker.start();
        });
        await worker?.[Symbol.asyncDispose]();
        const left = Object.values(await queue.counts()).reduce((sum, n) => sum + n);
        if (left > 0) throw new Error(`${left} tasks are left`);
        return ms;
      },
    ] as const
  );
  /** From the handler's return to the asker's result, one task after the other. */
  const asked = (mode: "blocking" | "polling") => async ({ count }: Work) => {
    let finish = () => {};
    const worker = new TaskWorker<Tasks>(redis, {
      name,
      handlers: {
        send: () => ({ sent: 1 }),
        wait: () => new Promise((resolve) => finish = () => resolve(performance.now())),
      },
    });
    void worker.start();
    const waits: number[] = [];
    for (let i = 0; i < count; i++) {
      const task: Task<number> = await producer.add("wait", null);
      const asking = asker.task("wait", task.id).result({ mode, pollMs: 10 });
      await pause(15); // idle: the handler runs, the asker waits
      finish();
      const endedAt = await asking;
      waits.push(performance.now() - endedAt);
    }
    await worker[Symbol.asyncDispose]();
    return waits;
  };
  return {
    label: `tasks ${deno.version}`,
    enqueue: { "add, merged": fill },
    drain: Object.fromEntries(ways),
    probe: {
      "result, blocking": asked("blocking"),
      "result, polling": asked("polling"),
    },
    fill,
    empty: () => removeQueue(redis, name),
    close: async () => {
      await Promise.all([producer.close(), asker.close(), queue.close()]);
      await redis.close();
    },
  };
};
export default open;
