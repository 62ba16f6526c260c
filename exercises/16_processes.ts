/**
 * Exercise 16 · Processes
 *
 * A supervisor by hand: it starts a process again that has crashed, until one ends well. When the
 * process crashes at once, because its settings are wrong, this starts it a thousand times a
 * minute. Wait 50 ms before the second start, and twice as long before each one after that; but not
 * longer than a second.
 *
 * Check it: deno task learn 16        A hint: deno task hint 16
 */
import { setTimeout as pause } from "node:timers/promises";

/** How the waits grow, in milliseconds. */
export const WAIT = { first: 50, most: 1_000 };

/** Keeps a process running: until its exit code is 0, or `signal` aborts. */
export async function keepRunning(
  start: () => Promise<{ code: number }>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { code } = await start();
    if (code === 0) return;
    // TODO: back off; and when `signal` aborts meanwhile, do not wait on
    await pause(0);
  }
}
