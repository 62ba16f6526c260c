/**
 * Exercise 20 · Cluster
 *
 * Each customer has a list of photos that wait, and one of photos in the hand of the lab. On one
 * server it works. On a cluster a photo never gets from one list to the other.
 *
 * Check it: deno task learn 20        A hint: deno task hint 20
 */
import type { ConnectedCluster } from "@workshop/redis-patterns";

/** The keys of a customer's lists; `shop` is what they all begin with. */
export function listsOf(shop: string, customer: string): { waiting: string; hand: string } {
  // TODO: tag the keys
  return { waiting: `${shop}:${customer}:waiting`, hand: `${shop}:${customer}:hand` };
}

/** Takes the next photo of a customer into the hand, by one command. */
export async function take(
  redis: ConnectedCluster,
  { waiting, hand }: { waiting: string; hand: string },
): Promise<string | null> {
  return await redis.lMove(waiting, hand, "RIGHT", "LEFT");
}
