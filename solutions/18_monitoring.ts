/**
 * Solution 18 · Monitoring
 *
 * A heartbeat moves the end of the lease, not its beginning; and when a task was added says nothing
 * about who has it since when. What tells is the time in hand.
 */
import type { PendingTask, TaskMonitor } from "@workshop/redis-patterns/tasks";

/** The task that has been in hand the longest, if that is longer than `longMs`. */
export async function findStuck(
  monitor: TaskMonitor<{ print(payload: string): void }>,
  longMs: number,
): Promise<PendingTask | undefined> {
  const { tasks } = await monitor.pending({ limit: 1_000 });
  const age = ({ startedAt = Date.now() }: PendingTask) => Date.now() - startedAt;
  const [oldest] = tasks.toSorted((a, b) => age(b) - age(a));
  return oldest && age(oldest) > longMs ? oldest : undefined;
}
