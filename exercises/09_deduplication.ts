/**
 * Exercise 09 · Deduplication
 *
 * The ledger is a HASH: order → what its customer has paid. An order may be handed over twice, also
 * to two workers at the same moment. Its customer pays once.
 *
 * Check it: deno task learn 09        A hint: deno task hint 09
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Charges an order; false if it was charged already. */
export async function charge(
  redis: ConnectedClient,
  ledger: string,
  order: string,
  euros: number,
): Promise<boolean> {
  // TODO: look and charge in one step
  if (await redis.hExists(ledger, order)) return false;
  await redis.hIncrBy(ledger, order, euros);
  return true;
}
