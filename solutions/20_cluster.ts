/**
 * Solution 20 · Cluster
 *
 * Of a name with braces only what stands in them is hashed. The customer stands there: both lists
 * of one are in the same slot, and those of another are somewhere else. With the shop in the braces
 * one master would have everything.
 */
import type { ConnectedCluster } from "@workshop/redis-patterns";

/** The keys of a customer's lists; `shop` is what they all begin with. */
export function listsOf(shop: string, customer: string): { waiting: string; hand: string } {
  return { waiting: `${shop}:{${customer}}:waiting`, hand: `${shop}:{${customer}}:hand` };
}

/** Takes the next photo of a customer into the hand, by one command. */
export async function take(
  redis: ConnectedCluster,
  { waiting, hand }: { waiting: string; hand: string },
): Promise<string | null> {
  return await redis.lMove(waiting, hand, "RIGHT", "LEFT");
}
