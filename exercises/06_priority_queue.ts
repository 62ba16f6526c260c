/**
 * Exercise 06 · Priority queue
 *
 * Level 1 is a mail, level 3 a newsletter. While mails keep coming, the newsletter never goes out:
 * it starves. Let tasks age: who has waited 20 seconds longer is as urgent as one two levels above.
 *
 * Check it: deno task learn 06        A hint: deno task hint 06
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
  // TODO: whoever came earlier should have an advantage that grows
  await queue.enqueue(task, { priority: task.level });
}
