/**
 * Exercise 17 · Graceful shutdown
 *
 * The packer takes up to five orders at once. Told to stop, it finishes the one it has begun, and
 * goes home; with the others in its pocket, where nobody finds them until their lease is over.
 *
 * Check it: deno task learn 17        A hint: deno task hint 17
 */
import type { ReliableQueue } from "@workshop/redis-patterns";

/** Packs orders until `signal` aborts; then it finishes what it has begun, and returns. */
export async function work(
  queue: ReliableQueue<string>,
  pack: (order: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const hand = await queue.receiveMany(5, { waitMs: 100 });
    for (const delivery of hand) {
      // TODO: nothing may be leased when it has gone
      if (signal.aborted) return;
      await pack(delivery.payload);
      await delivery.ack();
    }
  }
}
