import { setTimeout as pause } from "node:timers/promises";
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
          if (photo !== "done") await released.promise;
        },
      },
    });
  const workers = [worker(), worker()];
  try {
    await using producer = new TaskProducer<Tasks>(look, { name: printer });
    await using monitor = new TaskMonitor<Tasks>(redis, { name: printer });
    must(await findStuck(monitor, 300) === undefined, "Nothing is in hand, and something is stuck");
    const print = async (photo: string, n: number) => {
      workers[n]!.start();
      const { id } = await producer.add("print", photo);
      await until(() => begun.includes(photo), `Nobody prints ${photo}`);
      return id;
    };
    const poster = await print("poster", 0);
    await pause(700); // by now its lease was lengthened
    const mail = await print("mail", 1);
    const stuck = await findStuck(monitor, 300);
    must(stuck !== undefined, "The poster has been in hand for 700 ms, and nothing is stuck");
    must(
      stuck.id !== mail,
      "The mail was called stuck, which was taken this moment: its lease may end first, but that says nothing",
    );
    must(stuck.id === poster, `The poster is stuck, and ${JSON.stringify(stuck.id)} was found`);
    const none = await findStuck(monitor, 60_000);
    must(none === undefined, "Longer than a minute nothing was in hand, and something is stuck");
  } finally {
    released.resolve();
    await Promise.all(workers.map((each) => each.stop()));
  }
});
