/**
 * Exercise 11 · Delays and schedules
 *
 * A reminder that was delivered enqueues the next one, twice as late; the third is the last. The
 * worker may die on each line, and then the reminder is handed out again. Nobody may be forgotten,
 * and nobody reminded twice.
 *
 * Check it: deno task learn 11        A hint: deno task hint 11
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
  // TODO: what if it dies after this line?
  await delivery.ack();
  if (n === 3) return;
  // TODO: what if this is done a second time?
  await queue.enqueue({ to, n: n + 1, delayMs: 2 * delayMs }, { delayMs: 2 * delayMs });
}
