import { take } from "#ex/07_reliable_queue.ts";
import { exercise, must, names, within } from "./room.ts";

exercise("07", async ({ redis, look, name, during }) => {
  const [queue, processing] = [name("photos"), name("photos:processing")];
  await look.lPush(queue, ["photo_1", "photo_2"]); // photo_1 is the oldest, at the right end
  let photo: string | null = null;
  const sent = await during(async () => photo = await take(redis, queue, processing));
  must(photo === "photo_1", `take() gave ${photo}, and the oldest is photo_1`);
  const held = await look.lRange(processing, 0, -1);
  must(`${held}` === "photo_1", `photo_1 is in hand, and on the second list is: ${held}`);
  const left = await look.lRange(queue, 0, -1);
  must(`${left}` === "photo_2", `photo_1 is in hand, and still waiting is: ${left}`);
  const received = `Redis received ${sent.length} commands: ${names(sent)}`;
  must(sent.length === 1, `${received} — a crash between them loses the photo`);

  await look.del(queue);
  const none = take(redis, queue, processing);
  const nothing = await within(none, "With no photo there, take() is to answer null, not to wait");
  must(nothing === null, `With no photo there, take() gave ${nothing}`);
});
