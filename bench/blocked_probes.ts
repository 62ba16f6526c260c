/**
 * How long a message waits for workers that block: delayed messages, and eight workers with and
 * without connections that are killed.
 *
 * @module
 */
import { type ConnectedClient, type Delivery, Worker } from "@workshop/redis-patterns";
import { pause, type Payload, payload, type Probe, untilCalled } from "./peer.ts";
import type { LeasedUnderTest } from "./leased_peer.ts";

type Options = Pick<LeasedUnderTest, "queue" | "enqueue"> & {
  redis: ConnectedClient;
  name: string;
};

const HOUR_MS = 3_600_000;
const SOON_MS = 50;
/** When messages become due, after the first moment and within this time. */
const DUE_MS = 5_000;
const EIGHT = 8;
const BURST = 50;
/** Slots of each: more in all than the largest burst has messages, so that none waits for a handler. */
const SLOTS = 10;

/** The probes, by what they show. */
export function blockedProbes(
  { queue, enqueue, redis, name }: Options,
): Record<string, Probe> {
  /** Runs `work` beside workers that are blocked already. */
  const beside = async (
    workers: number,
    handle: (payload: Payload) => void,
    work: () => Promise<unknown>,
  ) => {
    const all = Array.from(
      { length: workers },
      () =>
        new Worker<Delivery<Payload>>(queue, handle, {
          mode: "blocking",
          concurrency: SLOTS,
          onEvent: () => {}, // killed connections are reported here
        }),
    );
    for (const worker of all) void worker.start();
    await pause(300);
    await work();
    await Promise.all(all.map((worker) => worker.stop()));
  };

  /** Bursts and single messages; gives how long each waited for its handler. */
  const eight = async (
    count: number,
    disturb: () => Promise<unknown>,
  ): Promise<number[]> => {
    const waits: number[] = [];
    let done = () => {};
    const handle = ({ sentAt }: Payload) => {
      waits.push(performance.now() - sentAt!);
      done();
    };
    await beside(EIGHT, handle, async () => {
      while (waits.length < count) {
        const single = Math.random() < 0.9;
        const size = single ? 1 : Math.ceil(Math.random() * BURST);
        await untilCalled(size, (each) => {
          done = each;
          void disturb();
          for (let i = 0; i < size; i++) {
            void enqueue({ ...payload, sentAt: performance.now() });
          }
        });
        await pause(2 + Math.random() * 20);
      }
    });
    return waits;
  };

  /** Kills one or all of the connections that are blocked at the moment. */
  const kill = async () => {
    if (Math.random() < 0.5) return;
    const waiting = (await redis.sendCommand(["CLIENT", "LIST"]) as string)
      .split("\n")
      .filter((line) => line.includes(` name=${name} `) && line.includes(" cmd=blpop"))
      .map((line) => line.match(/^id=(\d+)/)![1]!);
    const unlucky = Math.random() < 0.2 ? waiting : waiting.slice(0, 1);
    await Promise.all(
      unlucky.map((id) => redis.sendCommand(["CLIENT", "KILL", "ID", id])),
    );
  };

  return {
    "due within 5 s": async ({ count }) => {
      const late: number[] = [];
      const handle = ({ sentAt }: Payload) => void late.push(wallClock() - sentAt!);
      await beside(1, handle, async () => {
        const from = Date.now() + 50; // while they are stored, none is due
        await Promise.all(Array.from({ length: count }, () => {
          const runAt = from + Math.floor(Math.random() * DUE_MS);
          return enqueue({ ...payload, sentAt: runAt }, { runAt });
        }));
        while (late.length < count) await pause(100);
      });
      return late;
    },
    "50 ms beside an hour": async ({ count }) => {
      const late: number[] = [];
      let done = () => {};
      const handle = ({ sentAt }: Payload) => {
        late.push(wallClock() - sentAt!);
        done();
      };
      await enqueue(payload, { delayMs: HOUR_MS });
      await beside(4, handle, async () => {
        while (late.length < count) {
          await pause(100 + Math.random() * 200);
          await untilCalled(1, (each) => {
            done = each;
            void enqueue({ ...payload, sentAt: wallClock() + SOON_MS }, {
              delayMs: SOON_MS,
            });
          });
        }
      });
      return late;
    },
    "eight workers": ({ count }) => eight(count, () => Promise.resolve()),
    "eight workers, killed": ({ count }) => eight(count, kill),
  };
}

/** Now, in milliseconds since 1970, with their fractions. */
function wallClock(): number {
  return performance.timeOrigin + performance.now();
}
