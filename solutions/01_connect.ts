/**
 * Solution 01 · Connect
 *
 * One connection is one queue of commands, so what waits gets a second one.
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Who rang at `door`; undefined if nobody did. */
export async function listen(redis: ConnectedClient, door: string): Promise<string | undefined> {
  const own = redis.duplicate();
  own.on("error", () => {}); // without a listener, a lost connection may end the program
  await own.connect();
  try {
    const rang = await own.brPop(door, 2);
    return rang?.element;
  } finally {
    await own.close();
  }
}
