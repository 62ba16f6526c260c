/**
 * Solution 04 · Pub/sub
 *
 * What nobody hears is gone, so the others wait until `PUBSUB NUMSUB` says that somebody listens.
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
  const [first, ...others] = events;
  await publisher.publish(channel, first);
  letIn();
  while ((await redis.pubSubNumSub([channel]))[channel] === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for (const event of others) await publisher.publish(channel, event);
}
