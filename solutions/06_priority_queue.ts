/**
 * Solution 06 · Priority queue
 *
 * Nothing needs to be changed while it waits: those that come later get a worse number. A level is
 * worth ten seconds. The range is finite, so a shop that is open for longer begins anew.
 */
import type { PriorityQueue } from "@workshop/redis-patterns";

/** What there is to do. */
export interface Task {
  /** What it is. */
  what: string;
  /** How urgent: 1 before 2 before 3. */
  level: 1 | 2 | 3;
  /** When it was made, in seconds since the shop has opened. */
  second: number;
}

/** Puts a task into the queue; what has the lower priority comes out first. */
export async function put(queue: PriorityQueue<Task>, task: Task): Promise<void> {
  await queue.enqueue(task, { priority: 10 * task.level + task.second });
}
