import { rescue } from "#ex/14_consumer_groups.ts";
import { exercise, must, names } from "./room.ts";

const GROUP = "printers";

exercise("14", async ({ redis, look, name, during }) => {
  const stream = name("labels");
  await look.xGroupCreate(stream, GROUP, "0", { MKSTREAM: true });
  const bad = await look.xAdd(stream, "*", { label: "label_1" });
  await look.xReadGroup(GROUP, "ann", { key: stream, id: ">" });
  for (const printer of ["bob", "carl"]) await look.xClaim(stream, GROUP, printer, 0, bad);
  await look.xAdd(stream, "*", { label: "label_2" });
  await look.xReadGroup(GROUP, "carl", { key: stream, id: ">" });
  await new Promise((resolve) => setTimeout(resolve, 60)); // all three are silent

  let alive: string[] = [];
  const sent = await during(async () => {
    const entries = await rescue(redis, { stream, group: GROUP, consumer: "dora" });
    alive = entries.map(({ message }) => message.label!);
  });
  const dead = (await look.xRange(`${stream}:dead`, "-", "+")) ?? [];
  const isDead = dead.some(({ message }) => message.label === "label_1");
  must(
    !alive.includes("label_1"),
    "label_1 was handed out three times before, and now to dora, who will be the fourth to die",
  );
  must(
    isDead,
    "label_1 is not given out any more, and is not in the dead stream either: it is lost",
  );
  must(
    `${alive}` === "label_2",
    `Dora was to get label_2, and got ${alive.join(", ") || "nothing"}`,
  );
  must(dead.length === 1, `Only label_1 is dead, and the dead stream has ${dead.length} entries`);
  const { pending } = await look.xPending(stream, GROUP);
  must(pending === 1, `label_2 is pending, at dora, and the group has ${pending} pending`);
  const left = await look.xLen(stream);
  must(
    left === 1,
    `label_1 is dead, and the stream still has ${left} entries: XACK deletes nothing`,
  );
  const writes = sent.filter(([command]) =>
    /^X(ADD|ACK|DEL)|^MULTI|^EXEC|^EVALSHA|^FCALL/.test(command!)
  );
  const isOne = /^(EVALSHA|FCALL)$|^MULTI,.*EXEC$/.test(names(writes).replaceAll(" ", ""));
  must(
    isOne,
    `Redis received ${names(writes)} — a crash between them leaves label_1 in both, or in none`,
  );
});
