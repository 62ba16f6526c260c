import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { firstVisit, nextVisit, PLACEHOLDER, type Tasks } from "#ex/12_tasks.ts";
import { exercise, must, until, within } from "./room.ts";

exercise("12", async ({ redis, look, name }) => {
  const options = { name: name("work") };
  const printed = Promise.withResolvers<void>();
  const worker = new TaskWorker<Tasks>(look, {
    ...options,
    handlers: {
      async thumbnail({ photo }) {
        if (photo === "large") await printed.promise;
        return { file: `${photo}_small.jpg` };
      },
    },
  });
  worker.start();
  try {
    await using producer = new TaskProducer<Tasks>(redis, options);
    const quick = await firstVisit(producer, "tiny");
    must(
      quick.picture === "tiny_small.jpg",
      `A quick thumbnail was there, and the page shows ${quick.picture}`,
    );

    const slow = "The page has shown nothing for 1 s: it waits for a thumbnail that takes long";
    const { picture, id } = await within(firstVisit(producer, "large"), slow);
    must(picture === PLACEHOLDER, `No thumbnail was there in time, and the page shows ${picture}`);
    const early = await nextVisit(producer, id);
    must(early === PLACEHOLDER, `The thumbnail is not there yet, and the next page shows ${early}`);

    printed.resolve();
    await using other = new TaskProducer<Tasks>(look, options); // a process of its own
    const done = async () => (await other.task("thumbnail", id).record())?.state === "done";
    await until(done, `firstVisit() gave the id ${id}, and no task of that id was done`);
    const later = await nextVisit(other, id);
    must(
      later === "large_small.jpg",
      `The thumbnail is there by now, and the next page shows ${later}`,
    );
  } finally {
    printed.resolve();
    await worker.stop();
  }
});
