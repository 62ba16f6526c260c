/**
 * What all open pages look at, looked at once: a page that is shown twice, or by a hundred people, costs
 * Redis as much as one.
 *
 * Counts are up to 0.3 s old, what takes longer to gather up to 2 s. Nothing is gathered while nobody looks.
 *
 * @module
 */
import type { Counts, QueueStats, RegisteredQueue } from "@workshop/redis-patterns";
import { NoTaskEventsError, type TaskRecord } from "@workshop/redis-patterns/tasks";
import type { Source } from "../server/source.ts";
import { type AnyQueue, type AnyTasks, messageOf, type QueueSnapshot } from "../snapshot.ts";
import { ErrorIndex } from "./groups.ts";
import type { Schedule, Schedules } from "./schedules.ts";
import { lookAtStream, type Stream } from "./streams.ts";

/** How old what is shown may be, in milliseconds. */
const COUNTS_MS = 300;
const LIST_MS = 1_000;
const DETAILS_MS = 2_000;

/** Of how many messages in hand the age of the oldest is told. */
const HANDS = 20;

/** How many tasks are told to which something happened last. */
const RECENT = 12;

/** How many queues are asked in one go. */
const TOGETHER = 100;

/** A queue with its counts, or why there are none. */
export interface Listed extends RegisteredQueue {
  /** Messages in each state. */
  readonly counts?: Counts;
  /** Why it could not be looked at. */
  readonly trouble?: string;
}

/** What a queue is doing, with the last hour minute by minute. */
export interface Details extends QueueSnapshot {
  /** Over the last hour. */
  readonly hour: QueueStats;
}

interface Kept {
  value: Promise<unknown>;
  until: number;
}

/** See the module. */
export class Watch {
  readonly #source: Source;
  readonly #kept = new Map<string, Kept>();
  readonly #indexes = new Map<string, ErrorIndex>();
  #heardAt = 0;

  /** Looks through this source. */
  constructor(source: Source) {
    this.#source = source;
  }

  /** When something was last heard of Redis, by our clock; 0 if nothing was. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Redis's clock now, in milliseconds since 1970; the difference to ours is asked for now and then. */
  async now(): Promise<number> {
    const ahead = await this.#keep("clock", 30_000, async () => {
      const before = Date.now();
      const now = await (await this.#source.monitor()).now();
      return now - (before + Date.now()) / 2;
    });
    await this.#source.monitor(); // says so if Redis is away
    return Date.now() + ahead;
  }

  /** All queues with their counts, by name. */
  async queues(): Promise<Listed[]> {
    const monitor = await this.#source.monitor();
    return await this.#keep("queues", COUNTS_MS, async () => {
      const listed = await this.#keep("list", LIST_MS, () => monitor.list());
      const found: Listed[] = [];
      for (let i = 0; i < listed.length; i += TOGETHER) {
        const some = listed.slice(i, i + TOGETHER);
        const counts = await Promise.allSettled(some.map((one) => this.counts(one)));
        counts.forEach((counted, j) => {
          if (counted.status === "fulfilled") {
            found.push({ ...some[j]!, counts: counted.value });
          } else if (counted.reason?.name === "RedisConnectionError") throw counted.reason;
          else found.push({ ...some[j]!, trouble: messageOf(counted.reason) });
        });
      }
      return found;
    });
  }

  /** A queue of the registry. */
  async registered(name: string): Promise<RegisteredQueue> {
    const monitor = await this.#source.monitor();
    return await this.#keep(`registered ${name}`, DETAILS_MS, () => monitor.registered(name));
  }

  /** A queue, to peek and to change. */
  async queue(name: string): Promise<AnyQueue> {
    return (await this.#source.monitor()).open(await this.registered(name));
  }

  /** Messages in each state. */
  async counts(queue: RegisteredQueue): Promise<Counts> {
    const monitor = await this.#source.monitor();
    return await this.#keep(`counts ${queue.name}`, COUNTS_MS, () => monitor.open(queue).counts());
  }

  /** What a queue is doing. */
  async details(queue: RegisteredQueue): Promise<Details> {
    const monitor = await this.#source.monitor();
    const details = await this.#keep(`details ${queue.name}`, DETAILS_MS, async () => {
      const at = await this.now();
      const [snapshot, hour] = await Promise.all([
        monitor.lookAt(queue, at, { hands: HANDS }),
        monitor.open(queue).stats({ windowMs: 3_600_000 }),
      ]);
      return { ...snapshot, hour };
    });
    return { ...details, counts: await this.counts(queue) };
  }

  /** The dead letters of a queue by error. */
  async errors(queue: RegisteredQueue, waitMs: number) {
    const monitor = await this.#source.monitor();
    let index = this.#indexes.get(queue.name);
    if (!index) {
      if (this.#indexes.size >= 100) this.#indexes.clear();
      this.#indexes.set(queue.name, index = new ErrorIndex(monitor.open(queue)));
    }
    return await index.look((await this.counts(queue)).dead, waitMs);
  }

  /** Some of the messages in hand. */
  async inHand(name: string) {
    const queue = await this.queue(name);
    return await this.#keep(
      `leased ${name}`,
      DETAILS_MS,
      () => queue.peek("leased", { limit: 200, payloads: false }),
    );
  }

  /** The messages that are due next. */
  async dueNext(name: string) {
    const queue = await this.queue(name);
    return await this.#keep(
      `due ${name}`,
      DETAILS_MS,
      () => queue.peek("delayed", { limit: 20, payloads: false }),
    );
  }

  /** What looks at the tasks of a queue; undefined for a queue of another kind. */
  async tasks(queue: RegisteredQueue): Promise<AnyTasks | undefined> {
    return (await this.#source.monitor()).tasks(queue);
  }

  /** The tasks to which something happened last; undefined where the queue keeps no events. */
  async recentTasks(queue: RegisteredQueue, tasks: AnyTasks): Promise<TaskRecord[] | undefined> {
    return await this.#keep(`tasks ${queue.name}`, LIST_MS, async () => {
      try {
        return await tasks.recentTasks(RECENT);
      } catch (error) {
        if (error instanceof NoTaskEventsError) return undefined;
        throw error;
      }
    });
  }

  /** The schedules, from whoever fires them. */
  async schedules(list: Schedules): Promise<readonly Schedule[]> {
    return await this.#keep("schedules", DETAILS_MS, list);
  }

  /** A stream, as Redis sees it. */
  async stream(name: string): Promise<Stream> {
    const { client } = await this.#source.monitor();
    return await this.#keep(`stream ${name}`, DETAILS_MS, () => lookAtStream(client, name));
  }

  /** Forgets what is kept: something was changed here. */
  forget(): void {
    this.#kept.clear();
  }

  /** The value that is kept, or a new one; one that failed is not kept. */
  #keep<T>(key: string, ms: number, load: () => Promise<T>): Promise<T> {
    const now = performance.now();
    const kept = this.#kept.get(key);
    if (kept && now < kept.until) return kept.value as Promise<T>;
    if (this.#kept.size > 5_000) this.#kept.clear();
    const value = load();
    const entry = { value, until: now + ms };
    this.#kept.set(key, entry);
    value.then(() => {
      this.#heardAt = Date.now();
    }, () => {
      if (this.#kept.get(key) === entry) this.#kept.delete(key);
    });
    return value;
  }
}
