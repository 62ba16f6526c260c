/**
 * Solution 22 · Capstone
 *
 * "Charged already" does not mean "points given already": the worker may have died between the two.
 * Each effect asks for itself whether it has happened, so each is safe to repeat.
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** The books of the shop: names of keys. */
export interface Books {
  /** HASH: order to what its customer has paid. */
  charged: string;
  /** HASH: order to the points that it has given. */
  points: string;
}

/** Serves an order. `chaos` may kill the worker where it is called: then it throws. */
export async function serve(
  redis: ConnectedClient,
  { charged, points }: Books,
  { order, euros, chaos }: { order: string; euros: number; chaos: () => void },
): Promise<void> {
  chaos();
  await redis.hSetNX(charged, order, String(euros));
  chaos();
  await redis.hSetNX(points, order, String(euros));
  chaos();
}
