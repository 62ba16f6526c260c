import { ListQueue, Worker } from "@workshop/redis-patterns";
import { crew, prediction } from "#ex/03_several_workers.ts";
import { exercise, must, until } from "./room.ts";

exercise("03", async ({ redis, look, name, sent }) => {
  must(`${crew}` === "ann,bob,cem", `The crew is ${crew.join(", ")}: cem is to be the third`);
  must(prediction.length === 6, `There are 6 tasks, and ${prediction.length} predictions`);
  const got: string[] = [];
  const poster = Promise.withResolvers<void>();
  const tasks = new ListQueue<number>(look, name("tasks"));
  const waits = async (times: number) => {
    const asked = async () => (await sent()).filter(([command]) => command === "BRPOP").length;
    await until(async () => await asked() >= times, "The workers do not wait");
  };
  const workers = [];
  for (const who of crew) {
    const handler = async (task: number) => {
      got.push(who);
      if (task === 2) await poster.promise;
    };
    workers.push(new Worker(new ListQueue<number>(redis, name("tasks")), handler));
    workers.at(-1)!.start();
    await waits(workers.length); // so that they wait in this order
  }
  try {
    for (let task = 1, asked = 3; task <= 6; task++) {
      await tasks.enqueue(task);
      await until(() => got.length === task, `Nobody has got task ${task}`);
      if (task !== 2) await waits(++asked);
    }
  } finally {
    poster.resolve();
    await Promise.all(workers.map((worker) => worker.stop()));
  }
  for (const [i, who] of got.entries()) {
    const why = i > 1 ? `; ${got[1]} prints the poster, task 2, until the end` : "";
    must(who === prediction[i], `Task ${i + 1} went to ${who}, not to ${prediction[i]}${why}`);
  }
});
