/**
 * Solution 14 · Consumer groups
 *
 * `XPENDING` counts how often each was handed out, this claim included. The move is one `MULTI`, so
 * that the label is in one stream or in the other.
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
    if (!entry) continue; // deleted meanwhile
    const [pending] = await redis.xPendingRange(stream, group, entry.id, entry.id, 1);
    if (!pending || pending.deliveriesCounter <= 3) {
      alive.push(entry);
      continue;
    }
    await redis.multi()
      .xAdd(`${stream}:dead`, "*", entry.message)
      .xAck(stream, group, entry.id)
      .xDel(stream, entry.id)
      .exec();
  }
  return alive;
}
