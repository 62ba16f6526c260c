/**
 * The handlers of exercise 15, in a file of their own: each thread loads it, and nothing else.
 *
 * @module
 */
import { threadId } from "node:worker_threads";

/** Handlers by the names of their tasks. */
export const handlers = {
  /** Some 30 ms of arithmetic; tells which thread did it, where 0 is the program's own. */
  develop(_payload: { photo: string }): { thread: number } {
    let light = 1;
    for (let pixel = 0; pixel < 2_000_000; pixel++) {
      light = (light * 1_103_515_245 + 12_345) % 2 ** 31;
    }
    return { thread: light < 0 ? -1 : threadId };
  },
};
