import { LeaseLostError, ReliableQueue } from "@workshop/redis-patterns";
import { remind, type Reminder } from "#ex/11_delays_and_schedules.ts";
import { exercise, must, until } from "./room.ts";

exercise("11", async ({ redis, name, heard }) => {
  const reminders = name("reminders");
  await using queue = new ReliableQueue<Reminder>(redis, reminders, { leaseMs: 100 });
  await queue.enqueue({ to: "ann", n: 1, delayMs: 30_000 });

  // Ann's first reminder, by two workers: the first one was so slow that it was taken for dead.
  const slow = await queue.receive();
  let second: Awaited<ReturnType<typeof queue.receive>>;
  const back = async () => (second = await queue.receive()) !== undefined;
  await until(back, "The reminder did not come back when its lease was over", 1_500);
  const before = (await heard()).length;
  await remind(queue, second!);
  const order = (await heard()).slice(before).filter(({ port }) => port === undefined)
    .map(({ words: [command, key] }) => `${command} ${key?.split("}:")[1]}`);
  const [acked, stored] = [order.indexOf("HDEL leased"), order.indexOf("ZADD delayed")];
  must(stored >= 0, "The first reminder was done, and no next one is delayed");
  must(acked >= 0, "The first reminder was done, and not acknowledged");
  must(
    stored < acked,
    "The ack came before the enqueue — a crash between them, and Ann is never reminded again",
  );
  await remind(queue, slow!).catch((error) => {
    if (!(error instanceof LeaseLostError)) throw error; // it was too late: that is to be expected
  });
  const { messages } = await queue.peek("delayed");
  const [next] = messages;
  must(
    messages.length === 1,
    `Two workers have done Ann's reminder, and ${messages.length} next ones are delayed: ` +
      "what stores the second one must say that it is the same",
  );
  const { n, delayMs } = next!.payload!;
  must(n === 2 && delayMs === 60_000, `The next one is number ${n} after ${delayMs} ms`);
  const waits = next!.dueAt! - Date.now();
  must(waits > 50_000 && waits <= 60_500, `It is due in ${Math.round(waits)} ms, not in 60000`);

  await queue.purge("delayed");
  await queue.enqueue({ to: "bob", n: 3, delayMs: 120_000 });
  await remind(queue, (await queue.receive())!);
  const { ready, leased, delayed } = await queue.counts();
  must(delayed === 0, "The third reminder is the last, and there is a fourth");
  must(ready + leased === 0, "The third reminder was done, and not acknowledged");
});
