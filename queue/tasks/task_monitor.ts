/**
 * `TaskMonitor`: what a queue of tasks holds, does and has done, for screens and for operators.
 *
 * It changes nothing, and looks only at what has an index: a question costs the same however much waits,
 * or is answered page by page.
 *
 * @module
 */
import { call } from "../../redis/call.ts";
import type { RedisClient } from "../../redis/client.ts";
import { checkText } from "../../redis/keys.ts";
import { checkOptions, type OptionNames, optionNames } from "../../redis/options.ts";
import type { Send } from "../../redis/script.ts";
import { checkCount } from "../../redis/timers.ts";
import type { ConsumerInfo, Waiting } from "../leased_types.ts";
import type { QueueSnapshot } from "../snapshot.ts";
import { recordHeadsScript, taskSizesScript } from "../task_scripts.ts";
import type { TaskEvent, TaskEventGap } from "./task_event.ts";
import {
  checkOn,
  type EventsOf,
  followEvents,
  newestCursor,
  newestEvents,
  NoTaskEventsError,
  type TaskEventsOptions,
} from "./task_events.ts";
import {
  type DeadTask,
  type DelayedTask,
  letterRecord,
  listed,
  listedPending,
  type ListedTask,
  pageOf,
  type PendingTask,
  type TaskPage,
} from "./task_list.ts";
import type { TaskMap } from "./task_map.ts";
import {
  type AnyTask,
  INSIDE,
  TASK_QUEUE_OPTIONS,
  TaskQueue,
  type TaskQueueOptions,
} from "./task_queue.ts";
import { readRecord, type TaskRecord } from "./task_record.ts";

/** Most entries of events that a look for recent tasks goes through. */
const MOST_ENTRIES = 10_000;

/** Most records of one command. */
const MOST_RECORDS = 1_000;

/** A queue of tasks at a glance. */
export interface TaskQueueStats extends QueueSnapshot {
  /** Entries in the stream: what waits to be started, also what other programs read and left. */
  readonly streamLength: number;
  /** Tasks of which there is a record: those that are there, and those that ended and are kept. */
  readonly records: number;
  /** Entries of events that are kept; each tells of up to 16 tasks. */
  readonly events: number;
}

/** Which page. */
export interface TaskPageOptions {
  /**
   * How many tasks, from 1 to 1,000.
   *
   * @default 20
   */
  limit?: number;
  /** Where the page before ended. */
  cursor?: string;
}

const PAGE_OPTIONS = optionNames<TaskPageOptions>({ limit: true, cursor: true });
const PENDING_OPTIONS: OptionNames = new Set([...PAGE_OPTIONS, "consumer"]);

/**
 * Tells what a queue of tasks holds, does and has done; changes nothing.
 *
 * **Commands:** `queueStats` five scripts in one write, `task` one to three commands, lists one or two
 * scripts a page, `recentTasks` some pages of the events; `events` a connection of its own when blocking.
 * Never `SCAN` or `KEYS`.
 * **Words:** *pending* is the tutorials' and Redis's word for what was delivered and not acknowledged.
 *
 * @typeParam T The map of tasks.
 *
 * @example The state of a queue, and what it did last
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskMonitor, TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * const name = "docs_task_monitor";
 * const handlers = {
 *   process_data: ({ data }: { data: number }) => ({ processed_data: data * 2 }),
 * };
 * await using producer = new TaskProducer<typeof handlers>(redis, { name });
 * await using monitor = new TaskMonitor<typeof handlers>(redis, { name });
 * const task = await producer.add("process_data", { data: 42 });
 * console.log((await monitor.queueStats()).counts.ready); // 1
 *
 * const worker = new TaskWorker(redis, { name, handlers });
 * worker.start();
 * await task.result();
 * const [recent] = await monitor.recentTasks(10);
 * console.log(recent?.state, recent?.result); // done { processed_data: 84 }
 * await worker.stop();
 * await redis.close();
 * ```
 */
export class TaskMonitor<T extends TaskMap<T>> implements AsyncDisposable {
  /** The queue that is looked at. */
  readonly queue: TaskQueue<T>;
  readonly #events: EventsOf;
  readonly #send: Send;
  readonly #closing = new AbortController();

  /**
   * Makes the monitor; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param options Those of the queue.
   * @throws As {@linkcode TaskQueue}.
   */
  constructor(client: RedisClient, options: TaskQueueOptions<T> = {}) {
    this.queue = new TaskQueue<T>(client, checkOptions("TaskMonitor", options, TASK_QUEUE_OPTIONS));
    this.#events = { ...this.queue[INSIDE](), name: this.queue.name };
    this.#send = (args) => call(client, args, { raw: true });
  }

  /**
   * The queue at a glance: counts, ages, totals, rates, percentiles of waiting and running, workers, and how
   * long the stream is.
   *
   * @param options `windowMs`: over which time rates and percentiles are taken; see {@linkcode LeasedQueue.stats}.
   * @throws {RangeError} for a bad window.
   */
  async queueStats(options: { windowMs?: number } = {}): Promise<TaskQueueStats> {
    const [snapshot, sizes] = await Promise.all([
      this.queue.snapshot(options),
      taskSizesScript.run(this.#send, this.#events.keys, {}),
    ]);
    return { ...snapshot, ...sizes };
  }

  /**
   * The tasks to which something happened last, newest first, as they are now; a result over 16 KiB is left
   * out. Events tell which they are: a task of which none is kept any more, or no record, is not among them.
   *
   * @param limit How many, from 1 to 1,000.
   * @throws {RangeError} for a bad limit.
   * @throws {NoTaskEventsError} when the queue keeps no events.
   */
  async recentTasks(limit = 20): Promise<TaskRecord[]> {
    checkCount("limit", limit, { max: 1_000 });
    checkOn(this.#events);
    const seen = new Set<string>();
    const recent: TaskRecord[] = [];
    for await (const events of newestEvents(this.#events, MOST_ENTRIES)) {
      const fresh = [...new Set(events.map(({ id }) => id))].filter((id) => !seen.has(id));
      for (const id of fresh) seen.add(id);
      for (let from = 0; from < fresh.length && recent.length < limit;) {
        const some = fresh.slice(from, from + limit - recent.length);
        recent.push(...(await this.#records(some)).filter((record) => record !== undefined));
        from += some.length;
      }
      if (recent.length >= limit) break;
    }
    if (seen.size === 0) await this.#checkTold();
    return recent.sort((a, b) => b.changedAt - a.changedAt);
  }

  /**
   * What is known of a task: its record, or, where that was forgotten, its dead letter. O(1).
   * `queue.find` has its payload.
   *
   * @throws {TypeError} for what can be no id.
   */
  async task(id: string): Promise<TaskRecord | undefined> {
    checkText("task id", id);
    const record = await this.queue.task(id);
    if (record) return record;
    const letter = await this.queue.find(id, { states: ["dead"] });
    return letter && letterRecord(letter);
  }

  /**
   * The workers and `consume` loops: since when they are there, how many tasks they hold, how long ago they
   * said so. What one of them holds is told by {@linkcode TaskMonitor.pending}.
   */
  async consumers(): Promise<ConsumerInfo[]> {
    return await this.queue.consumers();
  }

  /**
   * Tasks that wait to be started, the next one in front.
   *
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async ready(options: TaskPageOptions = {}): Promise<TaskPage<ListedTask>> {
    const { messages, now, cursor } = await this.#look("ready", options, PAGE_OPTIONS);
    return pageOf(messages.map(listed), cursor, now, ({ addedAt }) => addedAt);
  }

  /**
   * Tasks that were handed to a consumer and have not come to an end, in no order.
   *
   * @param options `consumer`: only what this one holds, of the `limit` tasks that are looked at: go on
   * while there is a `cursor`.
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async pending(
    options: TaskPageOptions & { consumer?: string } = {},
  ): Promise<TaskPage<PendingTask>> {
    const { consumer, ...page } = checkOptions("pending", options, PENDING_OPTIONS);
    const { messages, now, cursor } = await this.#look("leased", page, PAGE_OPTIONS);
    const held = messages.filter((one) => consumer === undefined || one.consumer === consumer);
    const records = await this.#records(held.map(({ id }) => id));
    const tasks = held.map((message, i) => listedPending(message, records[i]));
    return pageOf(tasks, cursor, now, ({ startedAt }) => startedAt);
  }

  /**
   * Tasks whose time has not come, the next one in front.
   *
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async delayed(options: TaskPageOptions = {}): Promise<TaskPage<DelayedTask>> {
    const { messages, now, cursor } = await this.#look("delayed", options, PAGE_OPTIONS);
    const tasks = messages.map((one) => ({ ...listed(one), dueAt: one.dueAt ?? 0 }));
    return pageOf(tasks, cursor, now, ({ addedAt }) => addedAt);
  }

  /**
   * Tasks that were given up, the oldest in front.
   *
   * @throws {RangeError} for a bad `limit` or `cursor`.
   */
  async dead(options: TaskPageOptions = {}): Promise<TaskPage<DeadTask>> {
    const { messages, now, cursor } = await this.#look("dead", options, PAGE_OPTIONS);
    const tasks = messages.map((one) => ({
      ...listed(one),
      deadAt: one.deadAt ?? 0,
      reason: one.reason ?? "",
    }));
    return pageOf(tasks, cursor, now, ({ deadAt }) => deadAt);
  }

  /**
   * What happens to tasks, as it happens, and, with `since`, what happened before as far as it is kept;
   * until `signal` aborts or the loop is left. A lost connection does not end it: it goes on where it was,
   * and nothing is told twice.
   *
   * What was trimmed before it was read is told as a `"gap"`: events may be missing there.
   *
   * @throws {TypeError} at once, for a bad `mode`, `signal` or `onEvent`, or an unknown option.
   * @throws {RangeError} at once, for a `pollMs` out of range or a `since` that is no cursor.
   * @throws {NoTaskEventsError} at once, with `maxEvents: 0`.
   *
   * @example From the oldest on, and later from where that ended
   * ```ts
   * import { connect } from "@workshop/redis-patterns";
   * import { TaskMonitor, TaskProducer } from "@workshop/redis-patterns/tasks";
   *
   * const redis = await connect();
   * const name = "docs_task_events";
   * await using producer = new TaskProducer<{ ping(): string }>(redis, { name });
   * await using monitor = new TaskMonitor<{ ping(): string }>(redis, { name });
   * const since = await monitor.cursor();
   * const task = await producer.add("ping");
   * let cursor: string | undefined;
   * for await (const event of monitor.events({ since })) {
   *   if (event.event !== "gap") console.log(event.event, event.type); // added ping
   *   cursor = event.cursor;
   *   break;
   * }
   * await task.cancel();
   * for await (const { event } of monitor.events({ since: cursor, mode: "polling" })) {
   *   console.log(event); // cancelled
   *   break;
   * }
   * await redis.close();
   * ```
   */
  events(
    options: TaskEventsOptions = {},
  ): AsyncGenerator<TaskEvent | TaskEventGap, void, void> {
    return followEvents(this.#events, options, this.#closing.signal);
  }

  /** Where the events end now: `events({ since })` tells what happens from here on. */
  async cursor(): Promise<string> {
    return await newestCursor(this.#events);
  }

  /** Ends all loops over events, with their connections; closes the queue object. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.queue.close();
  }

  /** Closes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #look(
    state: "ready" | "leased" | "delayed" | "dead",
    options: TaskPageOptions,
    names: OptionNames,
  ): Promise<{ messages: Waiting<AnyTask<T>>[]; cursor?: string; now: number }> {
    const what = state === "leased" ? "pending" : state;
    const [page, time] = await Promise.all([
      this.queue.peek(state, { ...checkOptions(what, options, names), payloads: false }),
      this.#send(["TIME"]),
    ]);
    const [seconds, micros] = (time as unknown[]).map(Number);
    return { ...page, now: seconds! * 1_000 + Math.floor(micros! / 1_000) };
  }

  /** Records for a list, each in its place. */
  async #records(ids: readonly string[]): Promise<(TaskRecord | undefined)[]> {
    const records: (TaskRecord | undefined)[] = [];
    while (records.length < ids.length) {
      const some = ids.slice(records.length, records.length + MOST_RECORDS);
      const heads = await recordHeadsScript.run(this.#send, this.#events.keys, {}, some);
      heads.forEach((head, i) => records.push(head ? readRecord(some[i]!, head) : undefined));
    }
    return records;
  }

  /** An empty stream is a queue in which nothing happened yet, or one that keeps no events. */
  async #checkTold(): Promise<void> {
    const { records } = await taskSizesScript.run(this.#send, this.#events.keys, {});
    if (records === 0) return;
    throw new NoTaskEventsError(
      this.queue.name,
      `there are records of ${records} tasks and no event, so its workers and producers ` +
        "have maxEvents: 0, or somebody has removed the events",
    );
  }
}
