/**
 * Solution 12 · Tasks
 *
 * `outcome` tells what became of a task, and throws for none of it. An id is all that is needed to
 * ask again, for a day.
 */
import type { TaskProducer } from "@workshop/redis-patterns/tasks";

/** What the worker can do. */
export type Tasks = {
  thumbnail(payload: { photo: string }): { file: string };
};

/** What a page shows while there is no thumbnail. */
export const PLACEHOLDER = "placeholder.jpg";

/** The first visit: what to show, and the id of the task to ask for at the next one. */
export async function firstVisit(
  producer: TaskProducer<Tasks>,
  photo: string,
): Promise<{ picture: string; id: string }> {
  const task = await producer.add("thumbnail", { photo });
  const outcome = await task.outcome({ waitMs: 300 });
  const picture = outcome.state === "done" ? outcome.result.file : PLACEHOLDER;
  return { picture, id: task.id };
}

/** The next visit: what to show by now. It does not wait. */
export async function nextVisit(producer: TaskProducer<Tasks>, id: string): Promise<string> {
  const outcome = await producer.task("thumbnail", id).outcome({ waitMs: 0 });
  return outcome.state === "done" ? outcome.result.file : PLACEHOLDER;
}
