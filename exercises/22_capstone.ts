/**
 * Exercise 22 · Capstone
 *
 * The shop under chaos gives loyalty points, too: one for each euro. An order is handed over again
 * when its worker died before the ack, wherever that was. Keep the books true.
 *
 * Check it: deno task learn 22        A hint: deno task hint 22
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
  const isNew = await redis.hSetNX(charged, order, String(euros)) === 1;
  chaos();
  // TODO: points for each order, once, wherever the worker dies
  if (isNew) await redis.hIncrBy(points, order, euros);
  chaos();
}
