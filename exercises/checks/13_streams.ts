import { catchUp } from "#ex/13_streams.ts";
import { exercise, must } from "./room.ts";

exercise("13", async ({ redis, look, name }) => {
  const keys = { stream: name("orders"), bookmark: name("bookmark") };
  const ids: string[] = [];
  const order = async (n: number) => {
    ids[n] = await look.xAdd(keys.stream, "*", { order: `order_${n}` });
  };
  const run = async (book?: (order: string) => void) => {
    const booked: string[] = [];
    await catchUp(redis, keys, (order) => {
      book?.(order);
      booked.push(order);
    });
    return booked;
  };
  for (const n of [1, 2, 3]) await order(n);
  const first = await run();
  must(`${first}` === "order_1,order_2,order_3", `The first run has booked ${first || "nothing"}`);
  for (const n of [4, 5]) await order(n);
  const second = await run();
  must(
    !second.includes("order_1"),
    "The second run has booked order_1 again: it began at the beginning",
  );
  must(
    !second.includes("order_3"),
    "The second run has booked order_3 again: it was to begin behind it",
  );
  must(
    `${second}` === "order_4,order_5",
    `order_4 and order_5 were new, and it has booked ${second}`,
  );

  // It dies at order_7: 6 is booked, 7 is not.
  for (const n of [6, 7, 8]) await order(n);
  await run((order) => {
    if (order === "order_7") throw new Error("dies");
  }).catch((error: Error) => must(error.message === "dies", `It ended with ${error.message}`));
  const mark = await look.get(keys.bookmark);
  const at = ids.findIndex((id) => id === mark);
  must(at !== 7, "It has died at order_7, and the bookmark is behind it: order_7 is never booked");
  const third = await run();
  must(!third.includes("order_6"), "order_6 was booked before it died, and was booked again");
  must(
    `${third}` === "order_7,order_8",
    `It has died at order_7, and the next run booked ${third || "nothing"}`,
  );
  must(await look.xLen(keys.stream) === 8, "The log is for others, too: no order may be removed");
});
