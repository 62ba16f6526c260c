/**
 * A task whose handler runs: what the handler is told, how it reports, and how it hears that it was cancelled. It
 * is over when the worker has settled its message.
 *
 * @module
 */
import { type Delivery, WORKED } from "../delivery.ts";
import { LeaseLostError } from "../hand.ts";
import type { Progressed } from "../task_scripts.ts";
import type { HandlerContext } from "../worker_types.ts";
import type { TaskContext } from "./task_map.ts";
import { writeProgress } from "./task_record.ts";

/**
 * A task was cancelled while its handler ran: the reason of its signal.
 *
 * @example Tell it from other reasons
 * ```ts
 * import { TaskCancelledError } from "@workshop/redis-patterns/tasks";
 *
 * const reason = new TaskCancelledError("0mb3k");
 * console.log(reason.message); // Task "0mb3k" was cancelled
 * ```
 */
export class TaskCancelledError extends Error {
  /** The name that stack traces show. */
  override readonly name = "TaskCancelledError";

  /** Makes the error. */
  constructor(id: string) {
    super(`Task ${JSON.stringify(id)} was cancelled`);
  }
}

/** A report of progress, as it is sent. */
export interface Report {
  words: readonly string[];
  length: number;
}

/** What a handler is told, and what its end is written from. */
export class RunningTask implements TaskContext {
  readonly delivery: Delivery<{ readonly type: string; readonly payload: unknown }>;
  readonly type: string;
  readonly begunAt = performance.now();
  readonly #context: { readonly signal: AbortSignal };
  readonly #report: (report: Report) => Promise<Progressed>;
  #cancelled: TaskCancelledError | undefined;

  constructor(
    context: HandlerContext<Delivery<{ readonly type: string; readonly payload: unknown }>>,
    type: string,
    report: (report: Report) => Promise<Progressed>,
  ) {
    this.delivery = context.delivery;
    this.#context = context;
    this.type = type;
    this.#report = report;
  }

  get id(): string {
    return this.delivery.id;
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  /** The worker's, and not the delivery's own: it may have aborted before it is first looked at. */
  get signal(): AbortSignal {
    const { signal } = this.#context;
    if (this.#cancelled) this.delivery[WORKED]().abort(this.#cancelled);
    return signal;
  }

  /** A function of its own, since handlers take it out of the context. */
  get progress(): TaskContext["progress"] {
    return (value) => {
      let text: string;
      try {
        text = writeProgress(value);
      } catch (error) {
        return Promise.reject(error);
      }
      const telling = this.#tell(text);
      // Whoever does not wait for it may be at its end before it is there. That, or a Redis that is away, must
      // not end the program by a rejection that nobody handles, and with it all other tasks that it has.
      telling.catch(() => {});
      return telling;
    };
  }

  async #tell(text: string): Promise<void> {
    const { delivery, id } = this;
    const [lease, index] = splitToken(delivery.token);
    const words = [lease, index, id, this.#told(lease), this.#times(), text];
    const said = await this.#report({ words, length: text.length });
    if (said === "cancelled") {
      this.cancel();
      throw new TaskCancelledError(id);
    }
    if (said === "lost") throw new LeaseLostError(lease);
  }

  cancel(): void {
    this.#cancelled ??= new TaskCancelledError(this.id);
    this.delivery[WORKED]().abort(this.#cancelled);
  }

  #told(lease: string): string {
    return `${this.type}\t${this.attempt}\t${lease.slice(0, lease.indexOf(":"))}`;
  }

  #times(): string {
    return `${this.delivery.enqueuedAt}\t${this.delivery.receivedAt}`;
  }
}

/** The lease, which has colons itself, and the index in the hand. */
function splitToken(token: string): [lease: string, index: string] {
  const [consumer, asked, count, index] = token.split(":");
  return [`${consumer}:${asked}:${count}`, index!];
}
