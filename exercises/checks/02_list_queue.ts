import { pile, queue } from "#ex/02_list_queue.ts";
import { exercise, must, names, type Room } from "./room.ts";

const TASKS = ["mail", "invoice", "label"];

exercise("02", async (room) => {
  const onPile = await outcome(room, pile, "pile");
  const sent = `Redis received ${names(onPile.sent)}`;
  must(onPile.first !== "mail", `The pile gave mail, the oldest, first; ${sent}`);
  must(`${onPile.all}` === "label,invoice,mail", `The pile gave ${onPile.all}; ${sent}`);

  const inQueue = await outcome(room, queue, "queue");
  const received = `Redis received ${names(inQueue.sent)}`;
  must(inQueue.first !== "label", `The queue gave label, the newest, first; ${received}`);
  must(`${inQueue.all}` === `${TASKS}`, `The queue gave ${inQueue.all}; ${received}`);
  must(inQueue.sent[0]![0] === "RPUSH", `The queue was to be written with RPUSH; ${received}`);
});

async function outcome({ redis, look, name, during }: Room, list: typeof pile, part: string) {
  const key = name(part);
  const all: (string | null)[] = [];
  const sent = await during(async () => {
    for (const task of TASKS) await list.put(redis, key, task);
    for (const _ of TASKS) all.push(await list.take(redis, key));
  });
  must(
    sent.length === 6,
    `Three put and three taken are 6 commands; Redis received ${names(sent)}`,
  );
  must(await look.lLen(key) === 0, `After three were put and taken, ${key} is not empty`);
  return { first: all[0], all, sent };
}
