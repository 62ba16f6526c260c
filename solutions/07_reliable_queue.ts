/**
 * Solution 07 · Reliable queue
 *
 * `LMOVE` is one command: the photo is on one list or on the other, never on none. (`BLMOVE` waits
 * for one; `RPOPLPUSH` is the older name of the same.)
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Takes the oldest photo from `queue` to `processing`; null if there is none. */
export async function take(
  redis: ConnectedClient,
  queue: string,
  processing: string,
): Promise<string | null> {
  return await redis.lMove(queue, processing, "RIGHT", "LEFT");
}
