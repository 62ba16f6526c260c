/**
 * `TaskProducer`: adds tasks, for now or for later, and asks for their results.
 *
 * @module
 */
import type { RedisClient } from "../../redis/client.ts";
import { checkText } from "../../redis/keys.ts";
import { checkOptions } from "../../redis/options.ts";
import { ENQUEUE_OPTIONS, type EnqueueManyOptions, type EnqueueOptions } from "../leased_types.ts";
import { Task, type TaskOf, type TasksOf } from "./task.ts";
import type { PayloadOf, ResultOf, TaskMap, TaskName, WithPayload } from "./task_map.ts";
import {
  type AnyTask,
  type NewTask,
  TASK_QUEUE_OPTIONS,
  TaskQueue,
  type TaskQueueOptions,
} from "./task_queue.ts";

/** When a task is to be started, and what else is said of it; one of the first two. */
export interface ScheduleOptions extends EnqueueOptions {
  /** In milliseconds since 1970. */
  runAt?: number;
  /** In milliseconds from now. */
  delayMs?: number;
}

/**
 * Adds tasks to a queue, and asks for their results.
 *
 * **Guarantee:** as {@linkcode StreamQueue.enqueue}: a task that was added is stored once, also when a reply
 * was lost.
 * **Commands:** one `EVALSHA` for all that is added in a turn of the event loop; for results see
 * {@linkcode Task}.
 *
 * @typeParam T The map of tasks: what each takes and gives.
 *
 * @example The map says what fits
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskProducer } from "@workshop/redis-patterns/tasks";
 *
 * interface Tasks {
 *   process_data(payload: { data: number }): { processed_data: number };
 *   send_mail(payload: { to: string }): void;
 * }
 * const redis = await connect();
 * await using producer = new TaskProducer<Tasks>(redis, { name: "docs_task_producer" });
 * const task = await producer.add("process_data", { data: 42 });
 * const later = await producer.schedule("send_mail", { to: "ann" }, { delayMs: 60_000 });
 * // Neither compiles: producer.add("proces_data", { data: 42 }), producer.add("send_mail", { data: 42 })
 *
 * console.log(task.type, (await later.record())?.state); // process_data delayed
 * console.log(await later.cancel()); // true
 * await producer.queue.purge("ready");
 * await redis.close();
 * ```
 */
export class TaskProducer<T extends TaskMap<T>> implements AsyncDisposable {
  /** The queue that the tasks go to. */
  readonly queue: TaskQueue<T>;

  /**
   * Makes the producer; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @param options Those of the queue: give its workers the same.
   * @throws As {@linkcode TaskQueue}.
   */
  constructor(client: RedisClient, options: TaskQueueOptions<T> = {}) {
    this.queue = new TaskQueue<T>(
      client,
      checkOptions("TaskProducer", options, TASK_QUEUE_OPTIONS),
    );
  }

  /**
   * Adds a task, to be started as soon as a worker is free.
   *
   * @param type Its name.
   * @param rest Its payload, and options: an `id` of your own, `dedupe`, `delayMs` or `runAt`, a `signal`. Where
   * its handler takes nothing the payload may be left out; it is `null` if options follow.
   * @returns The task; with `duplicate`, the one that was there already; with `durability`, whether it is
   * `confirmed`.
   * @throws As {@linkcode TaskQueue.enqueue}.
   *
   * @example A task that takes nothing
   * ```ts
   * import { connect } from "@workshop/redis-patterns";
   * import { TaskProducer } from "@workshop/redis-patterns/tasks";
   *
   * const redis = await connect();
   * await using producer = new TaskProducer<{ sweep(): number }>(redis, { name: "docs_add" });
   * const task = await producer.add("sweep");
   * const same = await producer.add("sweep", null, { id: task.id });
   * console.log(same.duplicate); // true
   * await producer.queue.purge("ready");
   * await redis.close();
   * ```
   */
  async add<K extends TaskName<T>>(
    type: K,
    ...rest: WithPayload<T, K, EnqueueOptions>
  ): Promise<TaskOf<T, K>> {
    const [payload, options = {}] = rest;
    const task = rest.length === 0 ? { type } : { type, payload };
    const enqueued = await this.queue.enqueue(
      task as AnyTask<T>,
      checkOptions("add", options, ENQUEUE_OPTIONS),
    );
    return new Task(this.queue, enqueued, type);
  }

  /**
   * Adds several tasks, in their order: `{ type, payload }` each. All are checked before the first is sent.
   *
   * @returns The tasks, each in its place.
   * @throws As {@linkcode TaskProducer.add}; then some of them may be stored.
   */
  async addMany<const L extends readonly NewTask<T>[]>(
    tasks: L,
    options: EnqueueManyOptions = {},
  ): Promise<TasksOf<T, L>> {
    const enqueued = await this.queue.enqueueMany(tasks as readonly AnyTask<T>[], options);
    return enqueued.map((one, i) => new Task(this.queue, one, tasks[i]!.type)) as TasksOf<T, L>;
  }

  /**
   * Adds a task, to be started when its time has come.
   *
   * @throws {TypeError} without `runAt` and `delayMs`, or with both.
   * @throws As {@linkcode TaskProducer.add}.
   */
  async schedule<K extends TaskName<T>>(
    type: K,
    payload: PayloadOf<T, K>,
    options: ScheduleOptions,
  ): Promise<TaskOf<T, K>> {
    const { runAt, delayMs } = checkOptions("schedule", options, ENQUEUE_OPTIONS);
    if (runAt === undefined && delayMs === undefined) {
      throw new TypeError("schedule needs runAt (in ms since 1970) or delayMs");
    }
    return await this.add(type, payload, options);
  }

  /**
   * A task that was added before, maybe by somebody else.
   *
   * @param type Its name, which says what it gives.
   * @throws {TypeError} for what can be no id or name.
   */
  task<K extends TaskName<T>>(type: K, id: string): TaskOf<T, K> {
    return new Task<ResultOf<T, K>>(
      this.queue,
      { id: checkText("task id", id) },
      checkText("task's name", type),
    );
  }

  /** Calls back what waits for results; see {@linkcode TaskQueue.close}. */
  async close(): Promise<void> {
    await this.queue.close();
  }

  /** Closes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
