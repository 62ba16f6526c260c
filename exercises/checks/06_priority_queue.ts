import { PriorityQueue } from "@workshop/redis-patterns";
import { put, type Task } from "#ex/06_priority_queue.ts";
import { exercise, must } from "./room.ts";

exercise("06", async ({ redis, look, name }) => {
  await using queue = new PriorityQueue<Task>(redis, name("tasks"));
  const mail = (second: number): Task => ({ what: `mail_${second}`, level: 1, second });
  await put(queue, { what: "newsletter", level: 3, second: 0 });
  for (const second of [0, 10, 19, 21, 30]) await put(queue, mail(second));

  await using reader = new PriorityQueue<Task>(look, name("tasks"));
  const out: string[] = [];
  for (let delivery; (delivery = await reader.receive());) {
    out.push(delivery.payload.what);
    await delivery.ack();
  }
  must(out.length === 6, `6 tasks went in, and ${out.length} came out: ${out.join(", ")}`);
  const last = out.at(-1);
  must(
    last !== "newsletter",
    "The newsletter of second 0 came after the mail of second 30: it starves",
  );
  const before = out.slice(0, out.indexOf("newsletter"));
  must(before.includes("mail_0"), "The newsletter came before the mail of the same second");
  must(
    before.includes("mail_19"),
    "The newsletter came before the mail of second 19: that is too soon",
  );
  must(
    !before.includes("mail_21"),
    "The newsletter came after the mail of second 21: that is too late",
  );
  const mails = out.filter((what) => what !== "newsletter");
  must(`${mails}` === "mail_0,mail_10,mail_19,mail_21,mail_30", `The mails came out as ${mails}`);
});
