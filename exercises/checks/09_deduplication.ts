import { charge } from "#ex/09_deduplication.ts";
import { exercise, must, names } from "./room.ts";

exercise("09", async ({ redis, look, name, during }) => {
  const ledger = name("ledger");
  let said: boolean[] = [];
  const sent = await during(async () => {
    const twice = [1, 2].map(() => charge(redis, ledger, "order_103", 23));
    said = await Promise.all(twice);
  });
  const paid = await look.hGet(ledger, "order_103");
  must(
    paid === "23",
    `Handed over twice, order_103 has paid ${paid ?? "nothing"} instead of 23: ` +
      `Redis received ${names(sent)}`,
  );
  must(said.filter(Boolean).length === 1, `Two were charged at once, and the answers were ${said}`);
  const again = await charge(redis, ledger, "order_103", 23);
  must(!again, "order_103 came a third time, and charge() says that it was not charged yet");
  must(
    await look.hGet(ledger, "order_103") === "23",
    "order_103 came a third time, and paid again",
  );
  must(await charge(redis, ledger, "order_104", 24), "order_104 is new, and was not charged");
  must(
    sent.length === 2,
    `Two calls are two commands; Redis received ${names(sent)} — what is between two may crash`,
  );
});
