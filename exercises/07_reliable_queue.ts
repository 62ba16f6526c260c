/**
 * Exercise 07 · Reliable queue
 *
 * A photo in hand lies on a second list until it is printed, so that a killed worker loses nothing.
 * That is what it says here. Where must it be killed to lose one?
 *
 * Check it: deno task learn 07        A hint: deno task hint 07
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Takes the oldest photo from `queue` to `processing`; null if there is none. */
export async function take(
  redis: ConnectedClient,
  queue: string,
  processing: string,
): Promise<string | null> {
  // TODO: one command, not two
  const photo = await redis.rPop(queue);
  if (photo !== null) await redis.lPush(processing, photo);
  return photo;
}
