/**
 * Looking into a long queue: how long each look takes, and how long it holds Redis meanwhile, as a
 * second connection sees it that says PING all the time.
 *
 * @module
 */
import { connect, PriorityQueue, ReliableQueue } from "@workshop/redis-patterns";
import deno from "../../deno.json" with { type: "json" };
import { removeQueue } from "../leased_peer.ts";
import { type OpenPeer, type Payload, payload, type Probe, singly } from "../peer.ts";

const open: OpenPeer = async (url, name) => {
  const redis = await connect({ url, name });
  const bystander = await connect({ url, name });
  const queues = {
    list: new ReliableQueue<Payload>(redis, name),
    priority: new PriorityQueue<Payload>(redis, `${name}-p`),
  };

  /** The look's own time, and the longest that the bystander waited. */
  async function held(
    look: () => Promise<unknown>,
  ): Promise<[ms: number, longest: number]> {
    let over = false;
    let longest = 0;
    const pings = (async () => {
      while (!over) {
        const start = performance.now();
        await bystander.ping();
        longest = Math.max(longest, performance.now() - start);
      }
    })();
    const start = performance.now();
    await look();
    const ms = performance.now() - start;
    over = true;
    await pings;
    return [ms, longest];
  }

  const probe = Object.fromEntries(
    Object.entries(queues).map((
      [kind, queue],
    ): [string, Probe] => [kind, async (work) => {
      const { id } = await queue.enqueue(payload); // the oldest: a scan meets it last
      await singly(work, () => queue.enqueue(payload));
      const looks = [
        () => queue.counts(),
        () => queue.peek("ready", { limit: 100 }),
        () => queue.peek("ready", { limit: 100, cursor: String(work.count / 2) }),
        async () => {
          if ((await queue.find(id))?.state !== "ready") {
            throw new Error("not found");
          }
        },
        async () => {
          if (await queue.cancel(id) !== "ready") {
            throw new Error("not cancelled");
          }
        },
      ];
      await queue.counts(); // Redis knows the scripts now
      await queue.find("nobody");
      const figures = [];
      for (const look of looks) figures.push(await held(look));
      await queue.purge("ready");
      return figures.flat();
    }]),
  );
  return {
    label: `@workshop/redis-patterns ${deno.version}`,
    enqueue: {},
    drain: {},
    probe,
    fill: () => Promise.resolve(),
    empty: async () => {
      await removeQueue(redis, name);
      await removeQueue(redis, `${name}-p`);
    },
    close: async () => {
      for (const queue of Object.values(queues)) await queue.close();
      await redis.close();
      await bystander.close();
    },
  };
};
export default open;
