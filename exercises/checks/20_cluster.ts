import { connect } from "@workshop/redis-patterns";
import { listsOf, take } from "#ex/20_cluster.ts";
import { RedisCluster } from "../../tools/redis_cluster.ts";
import { exercise, must } from "./room.ts";

const CUSTOMERS = ["ann", "bob", "cem", "dora", "eve", "finn", "gus", "ida"];

exercise("20", async ({ name }) => {
  // One master with all slots refuses what three would, and starts in a moment.
  await using cluster = await RedisCluster.start({ masters: 1, replicas: 0 });
  await using redis = await connect({ cluster: { nodes: cluster.addresses } });
  const slotOf = (key: string) => cluster.nodes[0]!.cli("CLUSTER", "KEYSLOT", key);
  const slots = new Set<string>();
  const keys = new Set<string>();
  for (const customer of CUSTOMERS) {
    const lists = listsOf(name("photos"), customer);
    const { waiting, hand } = lists;
    must(
      waiting.startsWith(name("photos")) && hand.startsWith(name("photos")),
      `The keys ${waiting} and ${hand} do not begin with the shop: others may have such names, too`,
    );
    keys.add(waiting).add(hand);
    await redis.lPush(waiting, `${customer}_1`);
    let taken: string | null = null;
    let refused = "";
    try {
      taken = await take(redis, lists);
    } catch (error) {
      refused = (error as Error).message;
    }
    const [one, other] = [await slotOf(waiting), await slotOf(hand)];
    must(
      !refused.startsWith("CROSSSLOT"),
      `CROSSSLOT: ${waiting} is in slot ${one} and ${hand} in slot ${other}; two masters may have them`,
    );
    must(refused === "", `take() was refused: ${refused}`);
    must(taken === `${customer}_1`, `${customer}_1 was waiting, and take() gave ${taken}`);
    must(await redis.lLen(hand) === 1, `${customer}_1 was taken, and is not in the hand`);
    must(await redis.lLen(waiting) === 0, `${customer}_1 was taken, and is waiting as well`);
    slots.add(one);
  }
  must(
    keys.size === 2 * CUSTOMERS.length,
    "Two customers share a list: one gets the photos of the other",
  );
  must(
    slots.size > CUSTOMERS.length / 2,
    `The lists of ${CUSTOMERS.length} customers are in ${slots.size} slot${
      slots.size === 1 ? "" : "s"
    }: one master has all the work`,
  );
}, { limitMs: 15_000 });
