/**
 * Exercise 04 · Pub/sub
 *
 * A subscriber comes late: `letIn()` opens the door, and a moment later it listens. It shall miss
 * the first event, and no other one. Do not count seconds: Redis knows who listens.
 *
 * Check it: deno task learn 04        A hint: deno task hint 04
 */
import { type ConnectedClient, Publisher } from "@workshop/redis-patterns";

/** Publishes all events, each once, in their order. */
export async function tell(
  redis: ConnectedClient,
  channel: string,
  events: string[],
  letIn: () => void,
): Promise<void> {
  const publisher = new Publisher(redis);
  letIn();
  // TODO: the first event before it is let in, the others when it listens
  for (const event of events) await publisher.publish(channel, event);
}
