/**
 * Exercise 15 · Threads
 *
 * Developing a photo is arithmetic. Here all of it runs in the worker's own thread: one core works,
 * and the worker hears nothing meanwhile. Let it run in as many threads as there are cores.
 *
 * Check it: deno task learn 15        A hint: deno task hint 15
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
export function openLab(redis: ConnectedClient, { name, handlers }: Lab): TaskWorker<Tasks> {
  // TODO: in threads, and not more of them than there are cores
  return new TaskWorker<Tasks>(redis, { name, handlers, concurrency: 12 });
}
