/**
 * Exercise 13 · Streams
 *
 * The bookkeeper reads the log of orders from time to time, and books what is new. Where the last
 * run has ended, the key `bookmark` is to say, also when it ended in the middle.
 *
 * Check it: deno task learn 13        A hint: deno task hint 13
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Books all orders that were not booked by an earlier run. */
export async function catchUp(
  redis: ConnectedClient,
  { stream, bookmark }: { stream: string; bookmark: string },
  book: (order: string) => void,
): Promise<void> {
  // TODO: begin behind the id that the bookmark has, and keep it up to date
  const from = "0";
  const reply = await redis.xRead({ key: stream, id: from });
  for (const { message } of reply?.[0]?.messages ?? []) {
    book(message.order!);
  }
  await redis.del(bookmark);
}
