/**
 * The queues that requests name: opened when somebody asks, of the kind that the registry knows, and
 * closed when many others were asked for since.
 *
 * @module
 */
import {
  type LeasedQueue,
  type LeasedQueueOptions,
  PriorityQueue,
  queueKeys,
  type RedisClient,
  type RegisteredQueue,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import { TaskQueue, type TaskQueueOptions } from "@workshop/redis-patterns/tasks";
import { UnknownQueueError } from "../snapshot.ts";
import { asking, Problem } from "./problem.ts";
import type { Source } from "./source.ts";

/** What a queue is made of. */
export type Kind = RegisteredQueue["kind"];

/** The tasks of any queue. */
export type AnyTasks = Record<string, (payload: unknown) => unknown>;

/**
 * Options of the queues that the server opens; what is not said is as everywhere. Those of a queue of tasks
 * are a `TaskQueue`'s: it takes `schemas` by the name of the task, and has a codec of its own.
 */
export type QueueOptions = LeasedQueueOptions<unknown> | Omit<TaskQueueOptions<AnyTasks>, "name">;

/** Says which; asked whenever a request names a queue. */
export type QueueOptionsOf = (name: string, kind: Kind) => QueueOptions;

/** How many stay open that nobody uses. */
const MAX_IDLE = 200;

/** For how long it is believed what kind a queue is, in milliseconds. */
const BELIEVED_MS = 10_000;

type Leased = LeasedQueueOptions<unknown>;

/** How each kind is opened. Of tasks a payload is `{ type, payload }`. */
const OPEN: Record<
  Kind,
  (client: RedisClient, name: string, options: QueueOptions) => LeasedQueue<unknown>
> = {
  list: (client, name, options) => new ReliableQueue(client, name, options as Leased),
  priority: (client, name, options) => new PriorityQueue(client, name, options as Leased),
  stream: (client, name, options) => new StreamQueue(client, name, options as Leased),
  tasks: (client, name, options) => {
    const queue: unknown = new TaskQueue<AnyTasks>(client, {
      ...options as TaskQueueOptions<AnyTasks>,
      name,
    });
    return queue as LeasedQueue<unknown>;
  },
};

interface Open {
  queue: LeasedQueue<unknown>;
  users: number;
}

/** See the module. */
export class Queues implements AsyncDisposable {
  readonly #source: Source;
  readonly #optionsOf: QueueOptionsOf;
  readonly #open = new Map<string, Open>();
  readonly #kinds = new Map<string, { kind: Kind; until: number }>();

  /** Opens nothing yet. */
  constructor(source: Source, optionsOf: QueueOptionsOf) {
    this.#source = source;
    this.#optionsOf = optionsOf;
  }

  /**
   * Does something with a queue. `kind`: what it has to be; that of the registry, or a list, if nobody says.
   * `creates`: it may be new.
   *
   * @throws {Problem} 400 for what can be no name, 409 for a queue of another kind.
   * @throws {UnknownQueueError} if it is in no registry, and neither `kind` nor `creates` is given.
   */
  async use<R>(
    name: string,
    { kind: wanted, creates = false, remembers = true }: {
      kind?: Kind | undefined;
      creates?: boolean;
      remembers?: boolean;
    },
    run: (queue: LeasedQueue<unknown>, about: { kind: Kind; leaseMs: number }) => Promise<R>,
  ): Promise<R> {
    const { client } = await this.#source.monitor();
    const kind = remembers
      ? await this.#kindOf(name, wanted, creates || wanted !== undefined)
      : wanted!;
    await asking(() => queueKeys(name)); // a bad name is the asker's mistake, a bad option is ours
    const options = this.#optionsOf(name, kind);
    const key = `${kind} ${name}`;
    let open = this.#open.get(key);
    if (!open) {
      open = { queue: OPEN[kind](client, name, options), users: 0 };
      this.#open.set(key, open);
    }
    // Last in line again.
    this.#open.delete(key);
    this.#open.set(key, open);
    open.users++;
    try {
      return await run(open.queue, { kind, leaseMs: options.leaseMs ?? 30_000 });
    } finally {
      open.users--;
      await this.#closeIdle();
    }
  }

  async #kindOf(name: string, wanted: Kind | undefined, creates: boolean): Promise<Kind> {
    const now = performance.now();
    let known = this.#kinds.get(name);
    if (!known || known.until < now) {
      const monitor = await this.#source.monitor();
      try {
        known = { kind: (await monitor.registered(name)).kind, until: now + BELIEVED_MS };
      } catch (error) {
        if (!(error instanceof UnknownQueueError) || !creates) throw error;
        known = { kind: wanted ?? "list", until: 0 };
      }
      if (this.#kinds.size >= 10_000) this.#kinds.clear();
      this.#kinds.set(name, known);
    }
    if (wanted === undefined || wanted === known.kind) return known.kind;
    throw new Problem({
      status: 409,
      kind: "wrong-kind",
      title: "A queue of another kind",
      detail: `The queue ${JSON.stringify(name)} is of kind ${known.kind}, not ${wanted}`,
    });
  }

  async #closeIdle(): Promise<void> {
    if (this.#open.size <= MAX_IDLE) return;
    for (const [key, { queue, users }] of this.#open) {
      if (users > 0) continue;
      this.#open.delete(key);
      await queue.close();
      if (this.#open.size <= MAX_IDLE) return;
    }
  }

  /** Closes all. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ queue }) => queue.close()));
    this.#open.clear();
  }
}
