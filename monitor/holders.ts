/**
 * Who has which messages: what consumers say of themselves, and what Redis says they hold. A consumer's own
 * word may be ten seconds old, and one that was killed says nothing; the messages in hand name them both.
 *
 * @module
 */
import type { ConsumerInfo, RegisteredQueue } from "@workshop/redis-patterns";
import type { Monitor } from "./snapshot.ts";

/** A consumer of a queue. */
export interface Holder {
  /** The queue. */
  readonly queue: string;
  /** Its name in leases, histories and logs. */
  readonly consumer: string;
  /** What it said of itself, within thirty seconds; absent for one that is silent. */
  readonly info?: ConsumerInfo;
  /** How many messages are in its hands. */
  readonly holds: number;
  /** The id of the oldest of them, since it could be claimed. */
  readonly oldestId?: string;
  /** Its age, in milliseconds. */
  readonly oldestMs?: number;
}

/** How many messages in hand of a queue are looked at. */
export const HANDS = 1_000;

/** The consumers of a queue, those that said that they are there in front; `now` is Redis's clock. */
export async function holdersOf(
  monitor: Monitor,
  registered: RegisteredQueue,
  now: number,
): Promise<Holder[]> {
  const queue = monitor.open(registered);
  const [infos, { messages }] = await Promise.all([
    queue.consumers(),
    queue.peek("leased", { limit: HANDS, payloads: false }),
  ]);
  const byName = new Map<string, Holder>();
  for (const info of infos) {
    const { consumer } = info;
    byName.set(consumer, { queue: registered.name, consumer, info, holds: 0 });
  }
  for (const { id, readyAt, consumer = "" } of messages) {
    const known = byName.get(consumer) ?? { queue: registered.name, consumer, holds: 0 };
    const age = Math.max(0, now - readyAt);
    const older = readyAt > 0 && age >= (known.oldestMs ?? 0);
    byName.set(consumer, {
      ...known,
      holds: known.holds + 1,
      ...(older && { oldestId: id, oldestMs: age }),
    });
  }
  return [...byName.values()];
}
