/**
 * Exercise 10 · Leases and heartbeats
 *
 * No heartbeat here. When the lease is shorter than the work, the panorama is done twice; when it
 * is longer than needed, the panorama of a dead worker waits for its end. One in a hundred may be
 * done twice.
 *
 * Check it: deno task learn 10        A hint: deno task hint 10
 */

/** The lease for work that has taken so many milliseconds each time. */
export function leaseFor(durations: number[]): number {
  // TODO: the average is a bad guess
  return durations.reduce((sum, ms) => sum + ms, 0) / durations.length;
}
