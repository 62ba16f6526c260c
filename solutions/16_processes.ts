/**
 * Solution 16 · Processes
 *
 * A pause that is called off throws, and that is no error here. `supervise()` does all of this, and
 * begins anew when a process has run well for ten seconds.
 */
import { setTimeout as pause } from "node:timers/promises";

/** How the waits grow, in milliseconds. */
export const WAIT = { first: 50, most: 1_000 };

/** Keeps a process running: until its exit code is 0, or `signal` aborts. */
export async function keepRunning(
  start: () => Promise<{ code: number }>,
  signal: AbortSignal,
): Promise<void> {
  for (let waitMs = WAIT.first; !signal.aborted; waitMs = Math.min(2 * waitMs, WAIT.most)) {
    const { code } = await start();
    if (code === 0) return;
    await pause(waitMs, undefined, { signal }).catch(() => {});
  }
}
