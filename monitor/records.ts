/**
 * Messages by what became of them: the one with an id, and those to which something happened last.
 *
 * {@linkcode Records} is what the command line asks. {@linkcode QueueRecords} answers from the queues
 * themselves, so it knows what they still hold: what is acknowledged and not kept (`keepCompleted`) is gone.
 * Whoever keeps a record of each message, as tasks do, answers in its place.
 *
 * @module
 */
import type { PeekState, RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import type { AnyQueue, Monitor } from "./snapshot.ts";

/** A message, where it was met, and when something last happened to it. */
export interface MessageRecord {
  /** Its queue. */
  readonly queue: string;
  /** What kind of queue that is. */
  readonly kind: RegisteredQueue["kind"];
  /** Where it is, or how the attempt ended that was logged. */
  readonly state: PeekState;
  /** When that happened, in milliseconds since 1970; when it will be, for one that is delayed. */
  readonly at: number;
  /** The message as the queue shows it. */
  readonly message: Waiting<unknown>;
}

/** What is known of messages. */
export interface Records {
  /** Those to which something happened last, the latest in front. */
  recent(options: { limit: number; queues?: readonly string[] }): Promise<MessageRecord[]>;
  /** Everything that is known of an id: several queues may have one, and logs the attempts before. */
  find(
    id: string,
    options?: { queues?: readonly string[]; onQueue?: (name: string) => void },
  ): Promise<MessageRecord[]>;
}

/** How many entries of a log are looked at for an id, a page at a time. */
const LOG_PAGE = 500;
const LOG_MOST = 100_000;

/** Answers from the queues; see the module. */
export class QueueRecords implements Records {
  readonly #monitor: Monitor;

  /** Asks through this monitor. */
  constructor(monitor: Monitor) {
    this.#monitor = monitor;
  }

  /** See {@linkcode Records}; of a long queue, what waits is met at its new end only. */
  async recent(
    { limit, queues }: { limit: number; queues?: readonly string[] },
  ): Promise<MessageRecord[]> {
    const found: MessageRecord[] = [];
    for (const registered of await this.#queues(queues)) {
      const queue = this.#monitor.open(registered);
      const { ready, dead, leased } = await queue.counts();
      const pages: [state: PeekState, from: number | undefined][] = [
        ["completed", 0],
        ["failed", 0],
        ["dead", Math.max(0, dead - limit)],
        ["leased", leased > 0 ? 0 : undefined],
        // Only a list has its newest at a position that is known.
        ["ready", registered.kind === "list" ? Math.max(0, ready - limit) : 0],
      ];
      for (const [state, from] of pages) {
        if (from === undefined) continue;
        const { messages } = await queue.peek(state, { limit, cursor: String(from) });
        found.push(...messages.map((message) => record(registered, state, message)));
      }
    }
    return found.sort((a, b) => b.at - a.at).slice(0, limit);
  }

  /** See {@linkcode Records}. A queue is gone through in short steps. */
  async find(
    id: string,
    { queues, onQueue }: { queues?: readonly string[]; onQueue?: (name: string) => void } = {},
  ): Promise<MessageRecord[]> {
    const found: MessageRecord[] = [];
    for (const registered of await this.#queues(queues)) {
      onQueue?.(registered.name);
      const queue = this.#monitor.open(registered);
      const there = await queue.find(id);
      if (there) found.push(record(registered, there.state, there));
      for (const state of ["completed", "failed"] as const) {
        const logged = await inLog(queue, state, id);
        found.push(...logged.map((message) => record(registered, state, message)));
      }
    }
    return found;
  }

  async #queues(names: readonly string[] | undefined): Promise<RegisteredQueue[]> {
    if (!names) return await this.#monitor.list();
    return await Promise.all(names.map((name) => this.#monitor.registered(name)));
  }
}

async function inLog(
  queue: AnyQueue,
  state: "completed" | "failed",
  id: string,
): Promise<Waiting<unknown>[]> {
  const found: Waiting<unknown>[] = [];
  let cursor: string | undefined;
  for (let seen = 0; seen < LOG_MOST; seen += LOG_PAGE) {
    const page = await queue.peek(state, { limit: LOG_PAGE, ...(cursor && { cursor }) });
    found.push(...page.messages.filter((message) => message.id === id));
    cursor = page.cursor;
    if (!cursor) break;
  }
  return found;
}

function record(
  { name: queue, kind }: RegisteredQueue,
  state: PeekState,
  message: Waiting<unknown>,
): MessageRecord {
  const { finishedAt, deadAt, dueAt, readyAt } = message;
  return { queue, kind, state, at: finishedAt ?? deadAt ?? dueAt ?? readyAt, message };
}
