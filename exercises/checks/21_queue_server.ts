import { ReliableQueue } from "@workshop/redis-patterns";
import { Dashboard } from "@workshop/redis-patterns/dashboard";
import { consume } from "#ex/21_queue_server.ts";
import { exercise, must } from "./room.ts";

exercise("21", async ({ redis, look, name }) => {
  await using queue = new ReliableQueue<string>(look, name("orders"));
  await queue.enqueueMany(["print_1", "print_2", "print_3"]);
  const board = new Dashboard({ redis });
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const listener = Deno.serve(options, board.fetch);
  try {
    const server = `http://127.0.0.1:${listener.addr.port}`;
    const printed: unknown[] = [];
    let paper = false;
    await consume({ server, queue: queue.name }, (payload) => {
      if (payload === "print_2" && !paper) {
        paper = true;
        throw new Error("no paper");
      }
      printed.push(payload);
    });
    const { ready, leased, delayed, dead } = await queue.counts();
    must(
      leased !== 3,
      "3 orders were received and none was acknowledged: all of them are leased, and come back in 30 s",
    );
    must(leased === 0, `${leased} of 3 orders are leased still: one was printed, or had no paper`);
    must(
      delayed === 0,
      "print_2 had no paper and was given back for later, not to be taken at once",
    );
    must(dead === 0, "print_2 had no paper, once, and was given up");
    must(ready === 0, `${ready} orders are still waiting`);
    const each = printed.toSorted().join();
    must(
      each === "print_1,print_2,print_3",
      `Each of 3 orders was to be printed once, and it was ${each}`,
    );
  } finally {
    await board.close();
    await listener.shutdown();
  }
});
