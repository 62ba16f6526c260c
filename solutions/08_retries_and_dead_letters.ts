/**
 * Solution 08 · Retries and dead letters
 *
 * The cap belongs to the queue, since it counts hand-overs, also those that a crash ended. The
 * reason belongs to each attempt.
 */
import { type ConnectedClient, type Delivery, ReliableQueue } from "@workshop/redis-patterns";

/** The queue of mails, each to somebody. */
export function openMails(redis: ConnectedClient, name: string): ReliableQueue<string> {
  return new ReliableQueue<string>(redis, name, { maxAttempts: 3, backoff: { baseMs: 0 } });
}

/** Sends one mail; gives it back when that fails. */
export async function handle(
  delivery: Delivery<string>,
  send: (to: string) => Promise<void>,
): Promise<void> {
  try {
    await send(delivery.payload);
    await delivery.ack();
  } catch (error) {
    await delivery.nack({ error });
  }
}
