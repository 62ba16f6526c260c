/**
 * Is all well? A verdict on a snapshot, for whoever has to wake somebody up: limits in, one sentence out.
 *
 * @module
 */
import { duration, inert, whole } from "./format.ts";
import type { QueueSnapshot, Snapshot } from "./snapshot.ts";

/** What must not be exceeded; what is absent is not looked at. */
export interface Limits {
  /** How old a message that is ready or in hand may be, in milliseconds. */
  readonly maxOldestMs?: number;
  /** How many may be ready in a queue. */
  readonly maxReady?: number;
  /** How many may be dead in a queue. */
  readonly maxDead?: number;
  /** How many consumers a queue has at least. */
  readonly minWorkers?: number;
}

/** What came of it. */
export interface Verdict {
  /** Whether every limit is kept by every queue. */
  readonly healthy: boolean;
  /** Why, in one line. */
  readonly reason: string;
}

/** Whether there is a limit at all. */
export function hasLimits(limits: Limits): boolean {
  return Object.values(limits).some((limit) => limit !== undefined);
}

/** Judges all queues; the reason names the worst offence, and how many other queues have one. */
export function judge({ queues, unreadable }: Snapshot, limits: Limits): Verdict {
  const [broken, ...alike] = unreadable;
  if (broken) {
    const reason = `${inert(broken.name)} cannot be looked at: ${inert(broken.trouble)}`;
    return { healthy: false, reason: reason + andMore(alike.length) };
  }
  const offences = queues.map((queue) => offenceOf(queue, limits))
    .filter((offence) => offence !== undefined)
    .sort((a, b) => b.severity - a.severity);
  const [worst, ...others] = offences;
  if (worst) {
    return { healthy: false, reason: worst.text + andMore(others.length) };
  }
  const ages = queues.map(({ oldestMs = 0 }) => oldestMs);
  const oldest = ages.some((age) => age > 0)
    ? `the oldest message is ${duration(Math.max(...ages))} old`
    : "no message waits or is in hand";
  const all = queues.length === 1 ? inert(queues[0]!.name) : `${queues.length} queues`;
  return { healthy: true, reason: `${all}, ${oldest}` };
}

/** What is wrong with a queue, and by how much it is beyond the limit. */
function offenceOf(
  { name, counts, consumers, oldestMs = 0, oldestLeasedMs = 0 }: QueueSnapshot,
  { maxOldestMs = Infinity, maxReady = Infinity, maxDead = Infinity, minWorkers = 0 }: Limits,
): { severity: number; text: string } | undefined {
  const around = [
    `${whole(counts.ready)} ready`,
    `${whole(counts.leased)} in hand`,
    consumers.length === 0 ? "no worker" : `${consumers.length} worker${s(consumers.length)}`,
    ...(counts.paused ? ["paused"] : []),
  ].join(", ");
  const severity = (value: number, limit: number) => value / Math.max(1, limit);
  const offences = [
    oldestMs > maxOldestMs && {
      severity: severity(oldestMs, maxOldestMs),
      text: `the oldest message is ${duration(oldestMs)} old and ` +
        `${oldestLeasedMs >= oldestMs ? "in hand" : "ready"}, the limit is ${
          duration(maxOldestMs)
        }`,
    },
    counts.ready > maxReady && {
      severity: severity(counts.ready, maxReady),
      text: `${whole(counts.ready)} are ready, the limit is ${whole(maxReady)}`,
    },
    counts.dead > maxDead && {
      severity: severity(counts.dead, maxDead),
      text: `${whole(counts.dead)} are dead, the limit is ${whole(maxDead)}`,
    },
    consumers.length < minWorkers && {
      severity: severity(minWorkers, consumers.length),
      text: `${consumers.length} of at least ${minWorkers} workers are there`,
    },
  ].filter((offence) => offence !== false);
  const [worst] = offences.sort((a, b) => b.severity - a.severity);
  return worst && { severity: worst.severity, text: `${inert(name)}: ${worst.text} (${around})` };
}

function andMore(n: number): string {
  return n > 0 ? ` (and ${n} more queue${s(n)})` : "";
}

function s(n: number): string {
  return n === 1 ? "" : "s";
}
