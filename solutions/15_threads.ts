/**
 * Solution 15 · Threads
 *
 * The module goes to the threads by its URL. More threads than cores develop no more photos in a
 * second: each of them only takes longer.
 */
import type { ConnectedClient } from "@workshop/redis-patterns";
import { type TaskHandlers, TaskWorker } from "@workshop/redis-patterns/tasks";

/** The tasks: a photo, and who has developed it. */
export type Tasks = {
  develop(payload: { photo: string }): { thread: number };
};

/** What there is to make a worker of. */
export interface Lab {
  /** The name of the queue. */
  name: string;
  /** The handlers. */
  handlers: TaskHandlers<Tasks>;
  /** The file that has the handlers. */
  module: URL;
  /** How many cores this machine has. */
  cores: number;
}

/** A worker that develops photos. */
export function openLab(redis: ConnectedClient, { name, module, cores }: Lab): TaskWorker<Tasks> {
  return new TaskWorker<Tasks>(redis, { name, module, threads: cores });
}
