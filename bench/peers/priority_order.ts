/**
 * `PriorityQueue` of this package, with messages that tell their place: what comes out is compared
 * with the order in which Redis had it.
 *
 * @module
 */
import { connect, type Delivery, PriorityQueue, Worker } from "@workshop/redis-patterns";
import { queueKeys } from "../../redis/keys.ts";
import { type OpenPeer, singly } from "../peer.ts";

interface Numbered {
  producer: string;
  priority: number;
  n: number;
}

interface Claimed {
  consumer: number;
  receivedAt: number;
  rank: number;
}

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url });
  const queue = new PriorityQueue<Numbered>(redis, name);
  const producer = crypto.randomUUID();

  /** Two workers; gives how many are missing, were handled twice, and came out of order. */
  const consume = async (
    count: number,
    concurrency: number,
  ): Promise<number[]> => {
    const { ranks, disorder } = await line(queue);
    const claims: Claimed[] = [];
    const all = Promise.withResolvers<void>();
    const workers = [0, 1].map((consumer) =>
      new Worker<Delivery<Numbered>>(
        queue,
        (_, { delivery: { id, receivedAt } }) => {
          claims.push({ consumer, receivedAt, rank: ranks.get(id) ?? -1 });
          if (claims.length === count) all.resolve();
        },
        { concurrency, mode: "blocking" },
      )
    );
    for (const worker of workers) void worker.start();
    await all.promise;
    await Promise.all(workers.map((worker) => worker.stop()));
    const handled = new Set(claims.map(({ rank }) => rank)).size;
    return [
      count - handled,
      claims.length - handled,
      disorder + outOfOrder(claims),
    ];
  };

  let n = 0;
  return {
    label: "PriorityQueue",
    enqueue: {
      numbered: (work) =>
        singly(work, () => {
          const priority = 1 + Math.floor(Math.random() * 3);
          return queue.enqueue({ producer, priority, n: n++ }, { priority });
        }),
    },
    drain: {},
    probe: Object.fromEntries(
      [1, 10, 100].map((
        each,
      ) => [`concurrency ${each}`, ({ count }) => consume(count, each)]),
    ),
    fill: () => Promise.resolve(),
    empty: async () => void await redis.unlink(Object.values(queueKeys(name))),
    close: async () => {
      await queue.close();
      await redis.close();
    },
  };
};
export default open;

/** Each message's place in Redis, and how many of them are not by priority and each producer's order. */
async function line(queue: PriorityQueue<Numbered>) {
  const ranks = new Map<string, number>();
  const last = new Map<string, number>();
  let [disorder, lowest] = [0, -Infinity];
  for (let cursor: string | undefined = "0"; cursor !== undefined;) {
    const page = await queue.peek("ready", { limit: 1_000, cursor });
    for (const { id, payload } of page.messages) {
      const { producer, priority, n } = payload!;
      ranks.set(id, ranks.size);
      const key = `${producer} ${priority}`;
      if (priority < lowest || n < (last.get(key) ?? -1)) disorder++;
      lowest = Math.max(lowest, priority);
      last.set(key, n);
    }
    cursor = page.cursor;
  }
  return { ranks, disorder };
}

/**
 * Claims of one consumer come one after the other. Those of two are compared by Redis's clock; what
 * both took in the same millisecond may have been taken in either order.
 */
function outOfOrder(claims: Claimed[]): number {
  let count = 0;
  for (const consumer of [0, 1]) {
    const own = claims.filter((claim) => claim.consumer === consumer);
    for (const [i, { rank }] of own.entries()) {
      if (i > 0 && rank <= own[i - 1]!.rank) count++;
    }
  }
  const byTime = Map.groupBy(claims, ({ receivedAt }) => receivedAt);
  let highest = -1;
  for (const at of [...byTime.keys()].toSorted((a, b) => a - b)) {
    const ranks = byTime.get(at)!.map(({ rank }) => rank);
    for (const rank of ranks) if (rank < highest) count++;
    for (const rank of ranks) highest = Math.max(highest, rank);
  }
  return count;
}
