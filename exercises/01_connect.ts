/**
 * Exercise 01 · Connect
 *
 * `listen()` waits at a door of the shop for two seconds, at most. Everybody else in this program
 * uses the same client, for small questions that should be answered at once.
 *
 * Check it: deno task learn 01        A hint: deno task hint 01
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Who rang at `door`; undefined if nobody did. */
export async function listen(redis: ConnectedClient, door: string): Promise<string | undefined> {
  // TODO: give the command that waits a connection of its own, and close that in the end
  const rang = await redis.brPop(door, 2);
  return rang?.element;
}
