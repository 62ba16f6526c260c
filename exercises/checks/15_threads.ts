import { TaskProducer } from "@workshop/redis-patterns/tasks";
import { openLab, type Tasks } from "#ex/15_threads.ts";
import { handlers } from "./15_handlers.ts";
import { exercise, must } from "./room.ts";

const CORES = 2;
const PHOTOS = 24;

exercise("15", async ({ redis, look, name }) => {
  const module = new URL("./15_handlers.ts", import.meta.url);
  const worker = openLab(redis, { name: name("photos"), handlers, module, cores: CORES });
  worker.start();
  try {
    await using producer = new TaskProducer<Tasks>(look, { name: name("photos") });
    const photos = Array.from({ length: PHOTOS }, (_, i) => ({
      type: "develop" as const,
      payload: { photo: `photo_${i + 1}` },
    }));
    const tasks = await producer.addMany(photos);
    const results = await Promise.all(tasks.map((task) => task.result()));
    const threads = new Set(results.map(({ thread }) => thread));
    must(
      !threads.has(0),
      `${PHOTOS} photos were developed in the worker's own thread: one core worked, and nobody heard`,
    );
    must(
      threads.size <= CORES,
      `${threads.size} threads have worked, and there are ${CORES} cores`,
    );
    must(threads.size === CORES, `${threads.size} of ${CORES} cores have worked`);
  } finally {
    await worker.stop();
  }
}, { limitMs: 15_000 });
