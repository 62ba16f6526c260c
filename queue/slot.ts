/**
 * One handler at work in a worker: what it gets, since when, and whether its message was settled, which happens
 * once: by the handler's end, by its time, or by the worker's end.
 *
 * @module
 */
import type { Intake } from "./intake.ts";
import type { HandlerContext } from "./worker_types.ts";

/** Why a handler's signal aborts when its worker goes. */
export function stopReason(): DOMException {
  return new DOMException("The worker was stopped", "AbortError");
}

/** See the module. */
export class Slot<D> implements HandlerContext<D> {
  readonly delivery: D;
  readonly intake: Intake<D>;
  readonly startedAt: number = performance.now();
  /** Whether the delivery was settled, by the handler's end or without it. */
  settled = false;
  /** Whether the worker's stop aborted it. */
  stopped = false;
  timer: ReturnType<typeof setTimeout> | undefined;
  #reason: unknown;

  constructor(intake: Intake<D>, delivery: D) {
    this.intake = intake;
    this.delivery = delivery;
  }

  /** A controller for each message would halve a worker's rate, and most handlers never look. */
  get signal(): AbortSignal {
    const signal = this.intake.signal(this.delivery);
    if (this.#reason !== undefined) this.intake.abort(this.delivery, this.#reason);
    return signal;
  }

  /** Aborts the signal, also one that is first looked at later. */
  abort(reason: unknown): void {
    this.#reason ??= reason;
    this.intake.abort(this.delivery, reason);
  }

  /** Aborts it because the worker's grace is over. */
  stop(): void {
    this.stopped = true;
    this.abort(stopReason());
  }
}
