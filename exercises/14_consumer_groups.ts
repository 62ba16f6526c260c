/**
 * Exercise 14 · Consumer groups
 *
 * Labels that a dead printer had in hand go to `consumer`. But a label that was handed out three
 * times before will kill the fourth printer, too: it belongs into the stream `<stream>:dead`.
 *
 * Check it: deno task learn 14        A hint: deno task hint 14
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** One entry of the stream. */
export interface Entry {
  /** Its id. */
  id: string;
  /** Its fields. */
  message: Record<string, string>;
}

/** Takes over what nobody has touched for 50 ms; what was handed out three times is dead. */
export async function rescue(
  redis: ConnectedClient,
  { stream, group, consumer }: { stream: string; group: string; consumer: string },
): Promise<Entry[]> {
  const { messages } = await redis.xAutoClaim(stream, group, consumer, 50, "0");
  const alive: Entry[] = [];
  for (const entry of messages) {
    // TODO: to the dead, if this is more than its third time
    if (entry) alive.push(entry);
  }
  return alive;
}
