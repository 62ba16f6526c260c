/**
 * Who takes messages by HTTP, as monitors see it: this server. It keeps the deliveries that it made, and
 * says for each queue that it is there, as workers do, while somebody asks, waits, or has some in hand.
 *
 * @module
 */
import type { Delivery, LeasedQueue } from "@workshop/redis-patterns";
import type { Kind, Queues } from "./queues.ts";

/** How often it is said, and how long somebody who asked is believed to come again, in milliseconds. */
const AGAIN_MS = 10_000;

/** A queue that is taken from. */
export interface Desk {
  readonly name: string;
  readonly kind: Kind;
}

interface Open extends Desk {
  mode: "polling" | "blocking";
  /** How many requests wait. */
  waiting: number;
  askedAt: number;
}

interface Held {
  readonly delivery: Delivery<unknown>;
  readonly key: string;
  until: number;
}

/** See the module. */
export class Attendance {
  readonly #queues: Queues;
  readonly #closing: AbortSignal;
  readonly #open = new Map<string, Open>();
  readonly #held = new Map<string, Held>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Says nothing yet. `closing`: aborts when the server ends. */
  constructor({ queues, closing }: { queues: Queues; closing: AbortSignal }) {
    this.#queues = queues;
    this.#closing = closing;
    closing.addEventListener("abort", () => clearInterval(this.#timer), { once: true });
  }

  /** Somebody takes from a queue, with `run`; `waits`: until something comes. */
  async during<R>(
    { waits, ...desk }: Desk & { waits: boolean },
    queue: LeasedQueue<unknown>,
    run: () => Promise<R>,
  ): Promise<R> {
    const key = keyOf(desk);
    const open = this.#open.get(key) ?? { ...desk, mode: "polling", waiting: 0, askedAt: 0 };
    this.#open.set(key, open);
    open.mode = waits ? "blocking" : "polling";
    open.askedAt = performance.now();
    if (waits) open.waiting++;
    try {
      // Not waited for: it tells of no trouble, and where Redis is slow the message comes first.
      void queue.announce({ mode: open.mode, holds: this.#countOf(key) });
      if (!this.#closing.aborted) this.#timer ??= setInterval(() => this.#tick(), AGAIN_MS);
      return await run();
    } finally {
      if (waits) open.waiting--;
      open.askedAt = performance.now();
    }
  }

  /** Keeps a delivery until its lease must be over: settling it through its own queue clears that away. */
  keep(
    token: string,
    delivery: Delivery<unknown>,
    { leaseMs, ...desk }: Desk & { leaseMs: number },
  ) {
    this.#held.set(token, { delivery, key: keyOf(desk), until: performance.now() + leaseMs });
  }

  /** The delivery of a token, if it was made here and is not settled. */
  get(token: string): Delivery<unknown> | undefined {
    return this.#held.get(token)?.delivery;
  }

  /** Its lease ends later. */
  prolong(token: string, ms: number): void {
    const held = this.#held.get(token);
    if (held) held.until = Math.max(held.until, performance.now() + ms);
  }

  /** It is settled. */
  drop(token: string): void {
    this.#held.delete(token);
  }

  /** Says it again, and forgets what is over. */
  #tick(): void {
    const now = performance.now();
    for (const [token, { delivery, until }] of this.#held) {
      if (until <= now || delivery.settled) this.#held.delete(token);
    }
    for (const [key, open] of this.#open) {
      const holds = this.#countOf(key);
      const isOver = open.waiting === 0 && holds === 0 && now - open.askedAt > AGAIN_MS;
      if (isOver) this.#open.delete(key);
      else void this.#say(open, holds);
    }
    if (this.#open.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #say({ name, kind, mode }: Open, holds: number): Promise<void> {
    try {
      await this.#queues.use(name, { kind, remembers: false }, async (queue) => {
        if (!this.#closing.aborted) await queue.announce({ mode, holds });
      });
    } catch {
      // Redis is away, or the queue's options are refused: whoever asks for it hears of that.
    }
  }

  #countOf(key: string): number {
    let count = 0;
    for (const held of this.#held.values()) {
      if (held.key === key && !held.delivery.settled) count++; // given back: its client went away
    }
    return count;
  }
}

function keyOf({ name, kind }: Desk): string {
  return `${kind} ${name}`;
}
