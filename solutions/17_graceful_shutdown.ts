/**
 * Solution 17 · Graceful shutdown
 *
 * What was not begun is given back, without spending an attempt. A `Worker` does the same, and
 * takes no more than it can begin: `await new Worker(queue, pack).run({ signal })`.
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
      if (signal.aborted) {
        await delivery.release();
        continue;
      }
      await pack(delivery.payload);
      await delivery.ack();
    }
  }
}
