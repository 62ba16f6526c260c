/**
 * Exercise 18 · Monitoring
 *
 * One worker is stuck. It is alive and says so, and so its lease never ends: that does not find it.
 * This looks for the task that was added first, and accuses whoever has just begun what was
 * scheduled yesterday.
 *
 * Check it: deno task learn 18        A hint: deno task hint 18
 */
import type { PendingTask, TaskMonitor } from "@workshop/redis-patterns/tasks";

/** The task that has been in hand the longest, if that is longer than `longMs`. */
export async function findStuck(
  monitor: TaskMonitor<{ print(payload: string): void }>,
  longMs: number,
): Promise<PendingTask | undefined> {
  const { tasks } = await monitor.pending({ limit: 1_000 });
  // TODO: since when has it been in hand? And is that long?
  const [stuck] = tasks.toSorted((a, b) => a.addedAt - b.addedAt);
  return longMs > 0 ? stuck : undefined;
}
