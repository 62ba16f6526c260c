import { Subscriber } from "@workshop/redis-patterns";
import { tell } from "#ex/04_pub_sub.ts";
import { exercise, must, until } from "./room.ts";

const EVENTS = Array.from({ length: 20 }, (_, i) => `event_${i + 1}`);

exercise("04", async ({ redis, look, name, during }) => {
  const channel = name("events");
  const subscriber = new Subscriber<string>(look);
  let coming: Promise<void> | undefined;
  const letIn = () => {
    coming ??= new Promise<void>((resolve) => setTimeout(resolve, 150 + 200 * Math.random()))
      .then(() => subscriber.subscribe(channel));
  };
  const sent = await during(() => tell(redis, channel, EVENTS, letIn));
  must(coming !== undefined, "The subscriber was never let in: letIn() was not called");
  await coming;
  const published = sent.filter(([command]) => command === "PUBLISH").length;
  must(published === 20, `20 events were to be published, and Redis received ${published} PUBLISH`);
  const heard: string[] = [];
  await look.publish(channel, JSON.stringify("end")); // behind all others
  await until(() => {
    for (let message; (message = subscriber.take());) heard.push(message.payload);
    return heard.at(-1) === "end";
  }, "The subscriber hears nothing");
  await subscriber.close();
  const missed = 20 - (heard.length - 1);
  must(
    missed === 1,
    `The late subscriber missed ${missed} of 20 events, and was to miss exactly 1`,
  );
  must(
    `${heard}` === `${[...EVENTS.slice(1), "end"]}`,
    `It missed another than the first: ${heard}`,
  );
});
