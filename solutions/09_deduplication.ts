/**
 * Solution 09 · Deduplication
 *
 * `HSETNX` writes only where nothing is, and says whether it did. To do it again changes nothing:
 * that is idempotent.
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Charges an order; false if it was charged already. */
export async function charge(
  redis: ConnectedClient,
  ledger: string,
  order: string,
  euros: number,
): Promise<boolean> {
  return await redis.hSetNX(ledger, order, String(euros)) === 1;
}
