/**
 * Solution 10 · Leases and heartbeats
 *
 * The p99: ninety-nine of a hundred took no longer. The one that took 900 ms does not make all the
 * dead wait.
 */

/** The lease for work that has taken so many milliseconds each time. */
export function leaseFor(durations: number[]): number {
  const sorted = durations.toSorted((a, b) => a - b);
  return sorted[Math.ceil(0.99 * sorted.length) - 1]!;
}
