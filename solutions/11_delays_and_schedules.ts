/**
 * Solution 11 · Delays and schedules
 *
 * First the next one, then the ack: dying in between does it again, which the id makes harmless.
 * An id stays taken while its message is there.
 */
import type { Delivery, ReliableQueue } from "@workshop/redis-patterns";

/** One reminder. */
export interface Reminder {
  /** Who is reminded. */
  to: string;
  /** For the first, second, third time. */
  n: number;
  /** How long it has waited. */
  delayMs: number;
}

/** Ends one reminder, and enqueues the next one. */
export async function remind(
  queue: ReliableQueue<Reminder>,
  delivery: Delivery<Reminder>,
): Promise<void> {
  const { to, n, delayMs } = delivery.payload;
  if (n < 3) {
    const next = { to, n: n + 1, delayMs: 2 * delayMs };
    await queue.enqueue(next, { delayMs: next.delayMs, id: `${to}:${next.n}` });
  }
  await delivery.ack();
}
