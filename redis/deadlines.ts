/**
 * Deadlines of the commands of one client, with one timer for all of them.
 *
 * A timer for each command, made and cleared again, takes as long as all else that is done here for it. So
 * there is one for the earliest deadline; when it is over, and what it was for was answered long ago, it
 * moves on to the next. It keeps no program alive (the connection does), and ends with the client.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import type { RedisClient } from "./client.ts";
import { whenEnded } from "./supervise.ts";

/** A command that waits for its reply. */
export interface Deadline {
  /** By `performance.now()`. */
  readonly at: number;
  /** Called when it is over. */
  readonly over: () => void;
}

/** See the module. */
export class Deadlines {
  readonly #waiting = new Set<Deadline>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #firesAt = Infinity;
  #ended = false;

  /** From now on, until it is removed or over. */
  add(deadline: Deadline): void {
    this.#waiting.add(deadline);
    if (deadline.at < this.#firesAt) this.#arm(deadline.at);
  }

  /** The reply is there. */
  remove(deadline: Deadline): void {
    this.#waiting.delete(deadline);
    if (this.#ended) this.#disarm();
  }

  /** The client is closed: nothing stays behind, as soon as nothing waits. */
  end(): void {
    this.#ended = true;
    this.#disarm();
  }

  #disarm(): void {
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#firesAt = Infinity;
  }

  #arm(at: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = at;
    // Rounded up, or it would fire a little early, and again.
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.ceil(at - performance.now())));
    this.#timer.unref();
  }

  #look(): void {
    this.#firesAt = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const deadline of this.#waiting) {
      if (deadline.at > now) {
        next = Math.min(next, deadline.at);
        continue;
      }
      this.#waiting.delete(deadline);
      deadline.over();
    }
    if (next < this.#firesAt) this.#arm(next);
  }
}

const known = new WeakMap<RedisClient, Deadlines>();

/** Those of a client. */
export function deadlinesOf(client: RedisClient): Deadlines {
  let deadlines = known.get(client);
  if (!deadlines) {
    const created = deadlines = new Deadlines();
    known.set(client, created);
    whenEnded(client, () => created.end());
  }
  return deadlines;
}
