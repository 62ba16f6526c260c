/**
 * `TaskQueue`: a queue in a stream whose messages name a handler, and that keeps a record of each.
 *
 * A message's body is the task's name in a line, and its payload as JSON behind it:
 *
 * ```
 * 0mb3k…-7 0 0 1795320605230 0 0⏎process_data⏎{"data":42}
 * ```
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { call } from "../../redis/call.ts";
import type { RedisClient } from "../../redis/client.ts";
import { checkClient } from "../../redis/topology.ts";
import { type Codec, codecOf } from "../../redis/codec.ts";
import { checkText, type QueueKeys, queueKeys } from "../../redis/keys.ts";
import { checkOptions, checkSignal, type OptionNames } from "../../redis/options.ts";
import { show } from "../../redis/show.ts";
import { checkCount } from "../../redis/timers.ts";
import { LeasedQueue } from "../leased_queue.ts";
import {
  ENQUEUE_MANY_OPTIONS,
  ENQUEUE_OPTIONS,
  type Enqueued,
  type EnqueueManyOptions,
  type EnqueueOptions,
  type LeasedQueueOptions,
  QUEUE_OPTIONS,
} from "../leased_types.ts";
import { type LogLimits, logLimits } from "../limits.ts";
import { checkStandard, type SchemaResult, type StandardSchema } from "../schema.ts";
import { Asker } from "./asker.ts";
import type { BareTaskName, PayloadOf, TaskMap, TaskName } from "./task_map.ts";
import { readRecord, type TaskRecord } from "./task_record.ts";

/** A task of a map, by its name. */
export type AnyTask<T extends TaskMap<T>> = {
  [K in TaskName<T>]: {
    /** Its name. */
    readonly type: K;
    /** What its handler gets. */
    readonly payload: PayloadOf<T, K>;
  };
}[TaskName<T>];

/** A task that is to be added: it needs no payload where its handler takes none. */
export type NewTask<T extends TaskMap<T>> =
  | AnyTask<T>
  | {
    [K in BareTaskName<T>]: {
      /** Its name. */
      readonly type: K;
      /** Left out. */
      readonly payload?: never;
    };
  }[BareTaskName<T>];

/**
 * Options of a `TaskQueue`, and of all that work on one: give them the same. Besides these it takes what
 * every queue with leases takes.
 *
 * @typeParam T The map of its tasks.
 */
export interface TaskQueueOptions<T extends TaskMap<T>>
  extends Omit<LeasedQueueOptions<AnyTask<T>>, "codec" | "schema"> {
  /**
   * The queue's name.
   *
   * @default "tasks"
   */
  name?: string;
  /**
   * The name of the consumer group.
   *
   * @default "workers"
   */
  group?: string;
  /**
   * Checks payloads, by the task's name; as `schema` of the other queues does. It has to give what the handler
   * takes, and may take more: with `z.coerce.date()` a `Date`, which travels as text, is one again.
   *
   * @default payloads are not checked
   */
  schemas?: { readonly [K in TaskName<T>]?: StandardSchema<unknown, PayloadOf<T, K>> };
  /**
   * How much is kept of tasks that have come to their end, their results with them: `count` (10,000 by
   * default) and `ageMs` (a day by default). Of the others there is a record as long as they are there.
   */
  keepRecords?: LogLimits;
  /**
   * How many entries of events are kept, about; each tells of up to 16 tasks. 0 for none.
   *
   * @default 10_000
   */
  maxEvents?: number;
}

/** What only this kind of queue takes. */
const OWN_OPTIONS = ["name", "group", "schemas", "keepRecords", "maxEvents"] as const;

/** The names of these options. */
export const TASK_QUEUE_OPTIONS: OptionNames = new Set([
  ...[...QUEUE_OPTIONS].filter((name) => name !== "codec" && name !== "schema"),
  ...OWN_OPTIONS,
]);

/** What is at hand for those that work on a task queue, beside its methods. */
export const INSIDE: unique symbol = Symbol("inside");

/** Beside a queue's methods: for the other classes of tasks/. */
export interface Inside {
  readonly client: RedisClient;
  readonly keys: QueueKeys;
  readonly asker: Asker;
  /** What only scripts of this kind are told. */
  readonly own: { group: string; records_kept: string; ended: string };
  readonly maxEvents: number;
}

/**
 * The queue that tasks are in: a {@linkcode StreamQueue} whose messages name a handler, and that keeps a
 * record of each. {@linkcode TaskProducer} and {@linkcode TaskWorker} make it for themselves; this is for
 * operators: counts, dead letters, `redrive`, `pause`.
 *
 * **Guarantee:** at least once, as `StreamQueue`. A task's record is written in the script that moves its
 * message, so it is never behind.
 * **Redis types:** as `StreamQueue`; a HASH of records, a ZSET of those to be forgotten, a STREAM of events.
 * **Commands:** as `StreamQueue`.
 *
 * @typeParam T The map of its tasks.
 *
 * @example What is waiting, and what died
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskProducer, TaskQueue } from "@workshop/redis-patterns/tasks";
 *
 * interface Tasks {
 *   process_data(payload: { data: number }): { processed_data: number };
 * }
 * const redis = await connect();
 * await using producer = new TaskProducer<Tasks>(redis, { name: "docs_task_queue" });
 * const { id } = await producer.add("process_data", { data: 42 });
 *
 * await using queue = new TaskQueue<Tasks>(redis, { name: "docs_task_queue" });
 * console.log((await queue.counts()).ready, (await queue.task(id))?.state); // 1 ready
 * await queue.purge("ready");
 * console.log(await queue.task(id)); // undefined
 * await redis.close();
 * ```
 */
export class TaskQueue<T extends TaskMap<T>> extends LeasedQueue<AnyTask<T>> {
  readonly #inside: Inside;

  /**
   * Makes the queue object; sends nothing.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @throws {TypeError} for a bad name, group, schema or client, or an unknown option.
   * @throws {RangeError} for a measure out of range.
   */
  constructor(client: RedisClient, options: TaskQueueOptions<T> = {}) {
    checkOptions("TaskQueue", options, TASK_QUEUE_OPTIONS);
    const { name = "tasks", group = "workers", schemas, keepRecords = {}, maxEvents = 10_000 } =
      options;
    const kept = logLimits("keepRecords", { count: 10_000, ...keepRecords });
    checkCount("maxEvents", maxEvents, { min: 0 });
    const keys = queueKeys(name);
    const leased: Record<string, unknown> = {};
    for (const option of QUEUE_OPTIONS) {
      const value = options[option as keyof typeof options];
      if (value !== undefined) leased[option] = value;
    }
    const own = {
      group: checkText("group", group),
      records_kept: `${kept.count} ${kept.ageMs} ${maxEvents}`,
      ended: endedChannel(keys),
    };
    super(client, name, "tasks", {
      ...leased,
      codec: taskCodec as Codec<AnyTask<T>>,
      ...(schemas && { schema: schemaOf(schemas as Schemas) as StandardSchema<AnyTask<T>> }),
    }, own);
    checkClient(client);
    this.#inside = {
      client,
      keys,
      own,
      asker: new Asker(client, keys.records, endedChannel(keys)),
      maxEvents,
    };
  }

  /**
   * Adds a task to the stream. When the reply is lost it is sent again, and still stored once.
   *
   * @throws {TypeError} for a name or payload that cannot be carried. Nothing was sent then.
   * @throws As {@linkcode StreamQueue.enqueue}.
   */
  enqueue(task: AnyTask<T>, options: EnqueueOptions = {}): Promise<Enqueued> {
    try {
      checkSignal(checkOptions("enqueue", options, ENQUEUE_OPTIONS).signal);
      return this.store(task, { ...options, priority: 0 });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Adds several tasks to the stream, in their order. All are checked before the first is sent.
   *
   * @throws As {@linkcode TaskQueue.enqueue}; then some of them may be stored.
   */
  async enqueueMany(
    tasks: readonly AnyTask<T>[],
    options: EnqueueManyOptions = {},
  ): Promise<Enqueued[]> {
    checkSignal(checkOptions("enqueueMany", options, ENQUEUE_MANY_OPTIONS).signal);
    return await this.storeMany(tasks, { ...options, priority: 0 });
  }

  /**
   * What is on record of a task, if there is a record. O(1).
   *
   * @throws {TypeError} for what can be no id.
   */
  async task(id: string): Promise<TaskRecord | undefined> {
    const [record] = await this.tasks([id]);
    return record;
  }

  /**
   * The same for several, each in its place; undefined for each of which there is none. One command.
   *
   * @throws {TypeError} for what can be no id.
   */
  async tasks(ids: readonly string[]): Promise<(TaskRecord | undefined)[]> {
    for (const id of ids) checkText("task id", id);
    if (ids.length === 0) return [];
    const raw = await call(this.#inside.client, ["HMGET", this.#inside.keys.records, ...ids], {
      raw: true,
    }) as (Buffer | null)[];
    return raw.map((record, i) => record ? readRecord(ids[i]!, record) : undefined);
  }

  /** Closes also what waits for results; see {@linkcode LeasedQueue.close}. */
  override async close(): Promise<void> {
    await this.#inside.asker.close();
    await super.close();
  }

  /**
   * For the other classes of tasks/.
   *
   * @ignore
   */
  [INSIDE](): Inside {
    return this.#inside;
  }
}

/** The channel on which ends are published; see asker.ts. */
function endedChannel(keys: QueueKeys): string {
  return `${keys.records}:ended`;
}

/** A task that may be of any map. */
interface AnyPayload {
  readonly type: string;
  readonly payload?: unknown;
}

/** What is left out is null; what is undefined was meant to be something, and is refused as such. */
function payloadOf(task: AnyPayload): unknown {
  return "payload" in task ? task.payload : null;
}

const json = codecOf<unknown>("json");

/** A task as a message's body: its name in a line, its payload behind it. */
const taskCodec: Codec<AnyPayload> = {
  encode(task) {
    if (typeof task !== "object" || task === null || !("type" in task)) {
      throw new TypeError(`A task is { type, payload }, but this is ${show(task)}`);
    }
    return `${checkText("task's name", task.type)}\n${json.encode(payloadOf(task))}`;
  },
  decode(raw) {
    const end = raw.indexOf(10);
    if (end < 0) throw new TypeError("no task: a task has its name in the first line");
    const type = Buffer.from(raw.subarray(0, end)).toString("utf8");
    return { type, payload: json.decode(raw.subarray(end + 1)) };
  },
};

type Schemas = Record<string, StandardSchema | undefined>;

/** Goes by the task's name; a name that has no schema is not checked. */
function schemaOf(schemas: Schemas): StandardSchema<AnyPayload> {
  for (const [type, schema] of Object.entries(schemas)) {
    if (schema !== undefined) checkStandard(`schemas.${type}`, schema);
  }
  return {
    "~standard": {
      version: 1,
      vendor: "redis-patterns",
      validate(value) {
        const { type } = value as AnyPayload;
        const payload = payloadOf(value as AnyPayload);
        const schema = Object.hasOwn(schemas, type) ? schemas[type] : undefined;
        if (!schema) return { value: { type, payload } };
        const named = (result: SchemaResult<unknown>): SchemaResult<AnyPayload> =>
          typeof result !== "object" || result === null || result.issues
            ? result // refused; or nonsense, which is said where schemas are judged
            : { value: { type, payload: result.value } };
        const result = schema["~standard"].validate(payload);
        return result instanceof Promise ? result.then(named) : named(result);
      },
    },
  };
}
