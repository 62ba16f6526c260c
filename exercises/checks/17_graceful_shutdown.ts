import { ReliableQueue } from "@workshop/redis-patterns";
import { work } from "#ex/17_graceful_shutdown.ts";
import { exercise, must, until, within } from "./room.ts";

exercise("17", async ({ redis, look, name }) => {
  await using queue = new ReliableQueue<string>(redis, name("orders"));
  const orders = Array.from({ length: 8 }, (_, i) => `order_${i + 1}`);
  await queue.enqueueMany(orders);
  const stop = new AbortController();
  const finish = Promise.withResolvers<void>();
  const [begun, packed]: string[][] = [[], []];
  const pack = async (order: string) => {
    begun!.push(order);
    if (begun!.length === 2) await finish.promise;
    packed!.push(order);
  };
  const working = work(queue, pack, stop.signal);
  await until(() => begun!.length === 2, "Nobody packs: two orders were to be begun");
  stop.abort();
  finish.resolve();
  await within(working, "It was told to stop and has finished its order, and is still there");

  await using other = new ReliableQueue<string>(look, name("orders"));
  const { leased, ready, delayed } = await other.counts();
  must(`${begun}` === "order_1,order_2", `Told to stop in the second order, it has begun ${begun}`);
  must(packed!.length === 2, "It was told to stop, and did not finish the order that it had begun");
  must(
    leased === 0,
    `It has gone home, and ${leased} orders are leased: nobody gets them until that is over, in 30 s`,
  );
  must(delayed === 0, `${delayed} orders were given back for later; they could be packed now`);
  must(ready === 6, `2 of 8 orders are packed, and ${ready} are ready`);
});
