import { Publisher, Subscriber } from "@workshop/redis-patterns";
import { type Photo, photos } from "#ex/05_patterns_and_typed_channels.ts";
import { exercise, must, until } from "./room.ts";

exercise("05", async ({ redis, look, name }) => {
  const channel = photos(name("photos"));
  must(
    channel.name === name("photos"),
    `The channel is to be called as was asked, ${name("photos")}`,
  );
  const refused: string[] = [];
  await using subscriber = new Subscriber<Photo>(redis, {
    onEvent: (event) => event.type === "refused" && refused.push(event.error.message),
  });
  await subscriber.subscribe(channel);

  // Whoever does not know the type publishes what he likes.
  for (const bad of [{ file: "IMG_9.exe" }, { file: 9 }, null]) {
    await look.publish(channel.name, JSON.stringify(bad));
  }
  await look.publish(channel.name, JSON.stringify({ file: "IMG_1.jpg" }));
  const came: unknown[] = [];
  await until(() => {
    for (let message; (message = subscriber.take());) {
      came.push((message.payload as Photo | null)?.file ?? null);
    }
    return came.at(-1) === "IMG_1.jpg";
  }, "IMG_1.jpg is a photo, and did not arrive");
  must(!came.includes("IMG_9.exe"), "IMG_9.exe came in as a photo: nothing looks at what arrives");
  must(came.length === 1, `${JSON.stringify(came[0])} came in as the file of a photo`);
  must(refused.length === 3, `3 bad photos were published, and ${refused.length} refused`);

  const publisher = new Publisher(look);
  const error = await publisher.publish(channel, { file: "IMG_9.exe" }).catch((error) => error);
  must(error instanceof Error, "publish() sent IMG_9.exe, although the channel refuses it");
});
