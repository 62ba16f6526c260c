/**
 * What all queues on a Redis are doing right now: read through the package's public API, for the command
 * line, the terminal dashboard and the web alike. It only reads; whoever wants to change something asks
 * for the queue and calls its methods.
 *
 * A look at a queue is a handful of commands whose cost does not grow with the queue. Nothing is searched
 * for: queues enter themselves in a registry, consumers in their queue.
 *
 * @module
 */
import {
  type ConsumerInfo,
  type Counts,
  type LeasedQueue,
  listQueues,
  PriorityQueue,
  type QueueStats,
  type RedisClient,
  type RegisteredQueue,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import { type Schedule, TaskMonitor, TaskScheduler } from "@workshop/redis-patterns/tasks";
import { pagesOf } from "./paging.ts";

/** A queue of any kind, as the monitor sees it: payloads are whatever they are. */
export type AnyQueue = LeasedQueue<unknown>;

/** A queue of tasks whose map nobody knows here. */
export type AnyTasks = TaskMonitor<Record<string, (payload: unknown) => unknown>>;

/** A schedule, and the queue of its tasks. */
export interface QueueSchedule extends Schedule {
  /** The queue's name. */
  readonly queue: string;
}

/** One queue at one moment. */
export interface QueueSnapshot extends RegisteredQueue {
  /** Messages in each state. */
  readonly counts: Counts;
  /** What it has done, with rates and percentiles over the window. */
  readonly stats: QueueStats;
  /** Workers and `consume` loops that said lately that they are there. */
  readonly consumers: readonly ConsumerInfo[];
  /**
   * Of the messages in hand, the age of the oldest, in milliseconds since it could be claimed; absent when
   * none is in hand. Of as many hands as {@linkcode LookOptions.hands} says.
   */
  readonly oldestLeasedMs?: number;
  /** The age of the oldest message that is not done, ready or in hand, in milliseconds. */
  readonly oldestMs?: number;
  /** When the next delayed message is due, in milliseconds from now, if one is delayed. */
  readonly nextDueInMs?: number;
}

/** A queue that could not be looked at: a key of another type, say, or a missing right. */
export interface UnreadableQueue extends RegisteredQueue {
  /** Why, in a sentence. */
  readonly trouble: string;
}

/** All queues at one moment. */
export interface Snapshot {
  /** When, in milliseconds since 1970, by Redis's clock. */
  readonly at: number;
  /** The queues by name. */
  readonly queues: readonly QueueSnapshot[];
  /** Those that could not be looked at, by name. */
  readonly unreadable: readonly UnreadableQueue[];
}

/** How to look. */
export interface LookOptions {
  /**
   * Only these queues.
   *
   * @default all in the registry, up to 1,000
   */
  queues?: readonly string[];
  /**
   * Over which time rates and percentiles are taken, in whole minutes up to an hour, in milliseconds.
   *
   * @default 300_000
   */
  windowMs?: number;
  /**
   * How many messages in hand are looked at for the age of the oldest, in each queue; 0 for none.
   *
   * @default 100
   */
  hands?: number;
  /**
   * How old statistics may be that were read before, in milliseconds: they are the heavier part of a look,
   * and change slowly.
   *
   * @default 0
   */
  statsAgeMs?: number;
}

/** There is no queue of this name in the registry. */
export class UnknownQueueError extends Error {
  /** The name that stack traces show. */
  override readonly name = "UnknownQueueError";

  /** Names the queue, and those that there are. */
  constructor(readonly queue: string, known: readonly string[]) {
    const some = known.slice(0, 10).map((name) => JSON.stringify(name)).join(", ");
    const more = known.length > 10 ? ` and ${known.length - 10} more` : "";
    super(
      `There is no queue ${JSON.stringify(queue)}: ` +
        (known.length > 0 ? `there are ${some}${more}` : "none has been used on this Redis yet"),
    );
  }
}

/** How many queues are looked at together: Redis serves others in between. */
const TOGETHER = 50;

/** How many messages in hand are looked at in one go. */
const HANDS_PAGE = 100;

/**
 * Which options the queue's own programs use nobody can tell, and Redis does not keep them. So these bury
 * no message that has attempts left, and throw no dead letter away, whatever is settled through here.
 */
const UNKNOWN_OPTIONS = {
  maxAttempts: 1_000_000,
  maxDead: 1_000_000,
  maxDeadAgeMs: Number.MAX_SAFE_INTEGER,
};

/** Nor forget what is on record of a task. */
const UNKNOWN_RECORDS = {
  keepRecords: { count: 1_000_000, ageMs: Number.MAX_SAFE_INTEGER },
  maxEvents: 1_000_000,
};

/** How each kind is opened. A program of another version may have entered one that is not among these. */
const KINDS = new Map<string, (client: RedisClient, name: string) => AnyQueue | AnyTasks>([
  ["list", (client, name) => new ReliableQueue<unknown>(client, name, UNKNOWN_OPTIONS)],
  ["priority", (client, name) => new PriorityQueue<unknown>(client, name, UNKNOWN_OPTIONS)],
  ["stream", (client, name) => new StreamQueue<unknown>(client, name, UNKNOWN_OPTIONS)],
  [
    "tasks",
    (client, name): AnyTasks =>
      new TaskMonitor(client, { name, ...UNKNOWN_OPTIONS, ...UNKNOWN_RECORDS }),
  ],
]);

/** Looks at queues; see the module. It owns no connection, and the client stays yours to close. */
export class Monitor {
  /** Where the queues are. */
  readonly client: RedisClient;
  readonly #queues = new Map<string, AnyQueue>();
  readonly #tasks = new Map<AnyQueue, AnyTasks>();
  readonly #stats = new Map<AnyQueue, { at: number; windowMs?: number; stats: QueueStats }>();

  /** Looks through this client; sends nothing yet. */
  constructor(client: RedisClient) {
    this.client = client;
  }

  /** The queues in the registry, by name. */
  async list(options: { limit?: number } = {}): Promise<RegisteredQueue[]> {
    const queues = await listQueues(this.client, options);
    return queues.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  }

  /**
   * A queue by its name, to peek, redrive, pause …. Its payloads are read as JSON; others have `raw` only.
   *
   * @throws {UnknownQueueError} for a name that is not in the registry.
   */
  async queue(name: string): Promise<AnyQueue> {
    return this.open(await this.registered(name));
  }

  /**
   * What the registry says of a queue.
   *
   * @throws {UnknownQueueError} for a name that is not in it.
   */
  async registered(name: string): Promise<RegisteredQueue> {
    const queues = await this.list({ limit: 10_000 });
    const found = queues.find((queue) => queue.name === name);
    if (!found) throw new UnknownQueueError(name, queues.map(({ name }) => name));
    return found;
  }

  /**
   * The object for a queue of the registry; sends nothing, and is the same one each time.
   *
   * @throws {TypeError} for a kind that this version does not know.
   */
  open({ name, kind }: Pick<RegisteredQueue, "name" | "kind">): AnyQueue {
    const key = `${kind} ${name}`;
    const known = this.#queues.get(key);
    if (known) return known;
    const make = KINDS.get(kind);
    if (!make) {
      throw new TypeError(
        `${JSON.stringify(name)} is a queue of the kind ${
          JSON.stringify(kind)
        }, which is not known here`,
      );
    }
    const made = make(this.client, name);
    const queue = made instanceof TaskMonitor ? made.queue as unknown as AnyQueue : made;
    if (made instanceof TaskMonitor) this.#tasks.set(queue, made);
    this.#queues.set(key, queue);
    return queue;
  }

  /** What looks at the tasks of a queue of the registry; undefined for a queue of another kind. */
  tasks(registered: Pick<RegisteredQueue, "name" | "kind">): AnyTasks | undefined {
    return this.#tasks.get(this.open(registered));
  }

  /**
   * The schedules of all queues of tasks, or of those that are named: what fires next in front.
   *
   * @param options `upcoming`: as for {@linkcode TaskScheduler.list}.
   * @throws {UnknownQueueError} for a name that is not in the registry.
   */
  async schedules(
    { queues, upcoming = 0 }: { queues?: readonly string[]; upcoming?: number } = {},
  ): Promise<QueueSchedule[]> {
    const registered = queues
      ? await Promise.all(queues.map((name) => this.registered(name)))
      : await this.list();
    const found: QueueSchedule[] = [];
    for (const { name: queue } of registered.filter(({ kind }) => kind === "tasks")) {
      const scheduler = new TaskScheduler(this.client, { name: queue });
      for (const one of await scheduler.list({ upcoming })) found.push({ ...one, queue });
    }
    return found.sort((a, b) => (a.nextAt ?? Infinity) - (b.nextAt ?? Infinity) || 0);
  }

  /** Redis's clock, in milliseconds since 1970. */
  async now(): Promise<number> {
    const [seconds, micros] = await this.client.sendCommand(["TIME"]) as unknown as string[];
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  }

  /**
   * All queues, or those that are named.
   *
   * @throws {UnknownQueueError} for a name that is not in the registry.
   * @throws {RedisConnectionError} when Redis does not answer.
   */
  async look(options: LookOptions = {}): Promise<Snapshot> {
    const { queues: names, ...how } = options;
    const wanted = names
      ? await Promise.all([...new Set(names)].map((name) => this.registered(name)))
      : await this.list();
    const at = await this.now();
    const queues: QueueSnapshot[] = [];
    const unreadable: UnreadableQueue[] = [];
    for (let i = 0; i < wanted.length; i += TOGETHER) {
      const some = wanted.slice(i, i + TOGETHER);
      const looks = await Promise.allSettled(some.map((queue) => this.lookAt(queue, at, how)));
      for (const [j, look] of looks.entries()) {
        if (look.status === "fulfilled") queues.push(look.value);
        // Not the fault of one queue: whoever asked has to know.
        else if (isConnectionLost(look.reason)) throw look.reason;
        else unreadable.push({ ...some[j]!, trouble: messageOf(look.reason) });
      }
    }
    return { at, queues, unreadable };
  }

  /** One queue of the registry; `at` is Redis's clock. */
  async lookAt(
    registered: RegisteredQueue,
    at: number,
    { windowMs, hands = 100, statsAgeMs = 0 }: Omit<LookOptions, "queues"> = {},
  ): Promise<QueueSnapshot> {
    const queue = this.open(registered);
    const { counts, stats, consumers, nextDueInMs } = await this.#glance(queue, {
      at,
      windowMs,
      statsAgeMs,
    });
    const oldestLeasedMs = counts.leased > 0 && hands > 0
      ? await oldestInHand(queue, at, hands)
      : undefined;
    const ages = [counts.oldestReadyMs, oldestLeasedMs].filter((age) => age !== undefined);
    return {
      ...registered,
      counts,
      stats,
      consumers,
      ...(oldestLeasedMs !== undefined && { oldestLeasedMs }),
      ...(ages.length > 0 && { oldestMs: Math.max(...ages) }),
      ...(nextDueInMs !== undefined && { nextDueInMs }),
    };
  }

  async #glance(
    queue: AnyQueue,
    { at, windowMs, statsAgeMs }: { at: number; windowMs?: number; statsAgeMs: number },
  ): Promise<Pick<QueueSnapshot, "counts" | "stats" | "consumers" | "nextDueInMs">> {
    const known = this.#stats.get(queue);
    const age = known ? at - known.at : Infinity;
    if (known && known.windowMs === windowMs && age >= 0 && age < statsAgeMs) {
      const [counts, consumers] = await Promise.all([queue.counts(), queue.consumers()]);
      return { counts, stats: known.stats, consumers };
    }
    const glance = await queue.snapshot({ windowMs });
    if (statsAgeMs > 0) this.#stats.set(queue, { at, windowMs, stats: glance.stats });
    return glance;
  }
}

/** The age of the oldest of up to `most` messages in hand. */
async function oldestInHand(
  queue: AnyQueue,
  at: number,
  most: number,
): Promise<number | undefined> {
  let oldest: number | undefined;
  const pages = pagesOf(queue, "leased", { page: HANDS_PAGE, most, payloads: false });
  for await (const messages of pages) {
    for (const { readyAt } of messages) {
      if (readyAt > 0) oldest = Math.max(oldest ?? 0, at - readyAt);
    }
  }
  return oldest;
}

function isConnectionLost(error: unknown): boolean {
  return error instanceof Error && error.name === "RedisConnectionError";
}

/** What an error says, in a line. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}
