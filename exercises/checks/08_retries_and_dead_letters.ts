import { handle, openMails } from "#ex/08_retries_and_dead_letters.ts";
import { exercise, must } from "./room.ts";

exercise("08", async ({ redis, name }) => {
  await using mails = openMails(redis, name("mails"));
  await mails.enqueueMany(["ann", "bob"]);
  const sent: string[] = [];
  let tries = 0;
  const send = (to: string) => {
    if (to === "ann") return Promise.resolve(void sent.push(to));
    tries++;
    return Promise.reject(new Error("no such address"));
  };
  for (let delivery; tries < 12 && (delivery = await mails.receive());) {
    await handle(delivery, send);
  }
  must(sent.length === 1, `The mail to ann can be sent, and was sent ${sent.length} times`);
  const { messages: [letter] } = await mails.peek("dead");
  must(
    letter !== undefined,
    `The mail to bob was tried ${tries} times and is not among the dead: nothing caps its attempts`,
  );
  must(tries === 3, `The mail to bob is dead after ${tries} attempts; it was to be tried 3 times`);
  const reasons = letter.errors.map(({ message }) => message);
  const known = reasons.filter((message) => message.includes("no such address")).length;
  must(
    known > 0,
    `The dead letter says "${letter.reason}", and not why: no attempt told its error`,
  );
  must(known === 3, `There were 3 attempts, and the errors of ${known} are kept`);
  const { ready, leased, delayed } = await mails.counts();
  must(ready + leased + delayed === 0, "Something is left in the queue besides the dead letter");
});
