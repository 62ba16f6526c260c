/**
 * Exercise 08 · Retries and dead letters
 *
 * A mail that cannot be sent is tried three times, and then put aside, with the reason. Here it is
 * tried for ever, and nobody learns why.
 *
 * Check it: deno task learn 08        A hint: deno task hint 08
 */
import { type ConnectedClient, type Delivery, ReliableQueue } from "@workshop/redis-patterns";

/** The queue of mails, each to somebody. */
export function openMails(redis: ConnectedClient, name: string): ReliableQueue<string> {
  // TODO: three attempts, then it is dead
  return new ReliableQueue<string>(redis, name, { maxAttempts: 1_000, backoff: { baseMs: 0 } });
}

/** Sends one mail; gives it back when that fails. */
export async function handle(
  delivery: Delivery<string>,
  send: (to: string) => Promise<void>,
): Promise<void> {
  try {
    await send(delivery.payload);
    await delivery.ack();
  } catch {
    // TODO: whoever finds it among the dead wants to know why
    await delivery.nack();
  }
}
