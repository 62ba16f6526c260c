/**
 * Solution 13 · Streams
 *
 * The bookmark is written behind each order that was booked. So a crash in between books one order
 * twice, and none is left out: at least once. Before the work it would be at most once.
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Books all orders that were not booked by an earlier run. */
export async function catchUp(
  redis: ConnectedClient,
  { stream, bookmark }: { stream: string; bookmark: string },
  book: (order: string) => void,
): Promise<void> {
  const from = await redis.get(bookmark) ?? "0"; // smaller than any id
  const reply = await redis.xRead({ key: stream, id: from });
  for (const { id, message } of reply?.[0]?.messages ?? []) {
    book(message.order!);
    await redis.set(bookmark, id);
  }
}
