/**
 * Exercise 12 · Tasks
 *
 * A page wants a thumbnail and cannot wait for ever. After 300 ms it shows a placeholder. At the
 * next visit, which may be in another process, the thumbnail may be there.
 *
 * Check it: deno task learn 12        A hint: deno task hint 12
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
  // TODO: wait 300 ms at most
  const { file } = await task.result();
  return { picture: file, id: task.id };
}

/** The next visit: what to show by now. It does not wait. */
export function nextVisit(_producer: TaskProducer<Tasks>, _id: string): Promise<string> {
  // TODO: ask for the task by its id
  return Promise.resolve(PLACEHOLDER);
}
