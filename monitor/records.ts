/**
 * Messages by what became of them: the one with an id, and those to which something happened last.
 *
 * {@linkcode Records} is what the command line asks. {@linkcode QueueRecords} answers from the queues
 * themselves, so it knows what they still hold: what is acknowledged and not kept (`keepCompleted`) is gone.
 * Of tasks there is a record each, also of those that are done, and it answers from these.
 *
 * @module
 */
import type { FoundState, PeekState, RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import { NoTaskEventsError, type TaskRecord, type TaskState } from "@workshop/redis-patterns/tasks";
import { pagesOf } from "./paging.ts";
import type { AnyQueue, AnyTasks, Monitor } from "./snapshot.ts";

/** Where a message is, or what became of it; a task has words of its own for that. */
export type RecordState = PeekState | TaskState;

/** A message, where it was met, and when something last happened to it. */
export interface MessageRecord {
  /** Its queue. */
  readonly queue: string;
  /** What kind of queue that is. */
  readonly kind: RegisteredQueue["kind"];
  /** Its id. */
  readonly id: string;
  /** Where it is, or how the attempt ended that was logged. */
  readonly state: RecordState;
  /** When that happened, in milliseconds since 1970; when it will be, for one that is delayed. */
  readonly at: number;
  /** The message as the queue shows it; absent of a task that is gone from it, or is only listed. */
  readonly message?: Waiting<unknown>;
  /** What is on record of a task; in a list without its result. */
  readonly task?: TaskRecord;
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
      const tasks = this.#monitor.tasks(registered);
      const records = tasks && await recentTasks(tasks, registered, limit);
      found.push(...records ?? await this.#recentMessages(registered, limit));
    }
    return found.sort((a, b) => b.at - a.at).slice(0, limit);
  }

  async #recentMessages(registered: RegisteredQueue, limit: number): Promise<MessageRecord[]> {
    const found: MessageRecord[] = [];
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
    return found;
  }

  /** See {@linkcode Records}. A queue is gone through in short steps; of a task there is a record. */
  async find(
    id: string,
    { queues, onQueue }: { queues?: readonly string[]; onQueue?: (name: string) => void } = {},
  ): Promise<MessageRecord[]> {
    const found: MessageRecord[] = [];
    for (const registered of await this.#queues(queues)) {
      onQueue?.(registered.name);
      const queue = this.#monitor.open(registered);
      const tasks = this.#monitor.tasks(registered);
      const there = tasks
        ? await findTask(tasks, registered, id)
        : await findMessage(queue, registered, id);
      if (there) found.push(there);
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

/** What is on record of messages that are tasks. */
export async function recordsOf(
  tasks: AnyTasks | undefined,
  messages: readonly Waiting<unknown>[],
): Promise<Map<string, TaskRecord>> {
  const ids = messages.map(({ id }) => id).filter((id) => id !== "");
  const records = await tasks?.queue.tasks(ids) ?? [];
  return new Map(records.flatMap((record) => record ? [[record.id, record]] : []));
}

/** From records; undefined where nothing tells which they are. */
async function recentTasks(
  tasks: AnyTasks,
  { name: queue, kind }: RegisteredQueue,
  limit: number,
): Promise<MessageRecord[] | undefined> {
  try {
    const recent = await tasks.recentTasks(limit);
    return recent.map(({ result: _, ...task }) => {
      return { queue, kind, id: task.id, state: task.state, at: task.changedAt, task };
    });
  } catch (error) {
    if (error instanceof NoTaskEventsError) return undefined;
    throw error;
  }
}

/** Where the message of a task is, by its record. */
const PLACES: Partial<Record<TaskState, FoundState>> = {
  ready: "ready",
  delayed: "delayed",
  running: "leased",
  dead: "dead",
};

/** A task by its record, and its message if there is one. */
export async function findTask(
  tasks: AnyTasks,
  registered: RegisteredQueue,
  id: string,
): Promise<MessageRecord | undefined> {
  const queue = tasks.queue as unknown as AnyQueue;
  const task = await tasks.task(id);
  if (!task) return await findMessage(queue, registered, id);
  const place = PLACES[task.state];
  const message = place && await queue.find(id, { states: [place] });
  const { name, kind } = registered;
  const at = message?.dueAt ?? task.changedAt;
  return { queue: name, kind, id, state: task.state, at, task, ...(message && { message }) };
}

async function findMessage(
  queue: AnyQueue,
  registered: RegisteredQueue,
  id: string,
): Promise<MessageRecord | undefined> {
  const there = await queue.find(id);
  return there && record(registered, there.state, there);
}

async function inLog(
  queue: AnyQueue,
  state: "completed" | "failed",
  id: string,
): Promise<Waiting<unknown>[]> {
  const found: Waiting<unknown>[] = [];
  for await (const messages of pagesOf(queue, state, { page: LOG_PAGE, most: LOG_MOST })) {
    found.push(...messages.filter((message) => message.id === id));
  }
  return found;
}

function record(
  { name: queue, kind }: RegisteredQueue,
  state: PeekState,
  message: Waiting<unknown>,
): MessageRecord {
  const { id, finishedAt, deadAt, dueAt, readyAt } = message;
  return { queue, kind, id, state, at: finishedAt ?? deadAt ?? dueAt ?? readyAt, message };
}
