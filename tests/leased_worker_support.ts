/**
 * What the tests of the worker on queues with leases share: one that every kind of queue passes, in both modes.
 *
 * @module
 */
import type { Mode } from "@workshop/redis-patterns";
import { KINDS } from "./leased_kinds.ts";
import { MODES } from "./leased_support.ts";
import { redisTest } from "./support.ts";

/** Of which kind a worker's queue is, and how it waits. */
export interface WorkerKind {
  /** Makes a queue of this kind. */
  make: (typeof KINDS)[keyof typeof KINDS];
  /** What the worker is made with. */
  options: { mode: Mode; pollMs: number };
  /** Defines a test of it. */
  test: (title: string, run: Parameters<typeof redisTest>[1]) => void;
}

/** Defines tests for each kind of queue, in both modes. */
export function onEachKind(define: (kind: WorkerKind) => void): void {
  for (const [name, make] of Object.entries(KINDS)) {
    for (const mode of MODES) {
      define({
        make,
        options: { mode, pollMs: 5 },
        test: (title, run) => redisTest(`Worker on ${name} (${mode}) ${title}`, run),
      });
    }
  }
}
