import { TaskMonitor, TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { findStuck } from "#ex/18_monitoring.ts";
import { exercise, must, until } from "./room.ts";

type Tasks = { print(payload: string): void };

exercise("18", async ({ redis, look, name }) => {
  const printer = name("printer");
  const released = Promise.withResolvers<void>();
  const begun: string[] = [];
  // Leases of 600 ms, a heartbeat every 200: the stuck one is never taken for dead.
  const worker = () =>
    new TaskWorker<Tasks>(look, {
      name: printer,
      leaseMs: 600,
      concurrency: 1,
      handlers: {
        async print(photo) {
          begun.push(photo);
          await released.promise;
        },
      },
    });
  const workers = [worker(), worker()];
  try {
    await using producer = new TaskProducer<Tasks>(look, { name: printer });
    await using monitor = new TaskMonitor<Tasks>(redis, { name: printer });
    must(await findStuck(monitor, 300) === undefined, "Nothing is in hand, and something is stuck");
    const begins = (photo: string) => until(() => begun.includes(photo), `Nobody prints ${photo}`);
    const { id: mail } = await producer.schedule("print", "mail", { delayMs: 700 });
    const { id: poster } = await producer.add("print", "poster");
    for (const worker of workers) worker.start();
    await begins("poster");
    await begins("mail"); // by now the poster's lease was lengthened
    const stuck = await findStuck(monitor, 300);
    must(stuck !== undefined, "The poster has been in hand for 700 ms, and nothing is stuck");
    must(
      stuck.id !== mail,
      "The mail was called stuck: it was added first, but it has been in hand for a moment only",
    );
    must(stuck.id === poster, `The poster is stuck, and ${JSON.stringify(stuck.id)} was found`);
    const none = await findStuck(monitor, 60_000);
    must(none === undefined, "Longer than a minute nothing was in hand, and something is stuck");
  } finally {
    released.resolve();
    await Promise.all(workers.map((each) => each.stop()));
  }
});
