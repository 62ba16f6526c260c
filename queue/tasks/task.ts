/**
 * `Task`: what its producer, or whoever knows its id, has in hand of a task.
 *
 * @module
 */
import { checkOptions, checkSignal, optionNames } from "../../redis/options.ts";
import { checkMs } from "../../redis/timers.ts";
import type { AttemptError } from "../envelope.ts";
import { checkMode, type Mode } from "../message.ts";
import { INSIDE, type Inside, type NewTask } from "./task_queue.ts";
import type { ResultOf, TaskMap, TaskName } from "./task_map.ts";
import type { TaskRecord, TaskState } from "./task_record.ts";

/** How to wait for a task's end. */
export interface ResultOptions {
  /**
   * How: `"blocking"` hears of it the moment it is there; `"polling"` asks every `pollMs`.
   *
   * @default "blocking"
   */
  mode?: Mode;
  /**
   * Pause between two questions in polling mode, in milliseconds.
   *
   * @default 100
   */
  pollMs?: number;
  /**
   * For how long at most, in milliseconds.
   *
   * @default for as long as it takes
   */
  waitMs?: number;
  /** Ends the waiting; its reason is thrown. */
  signal?: AbortSignal;
}

const RESULT_OPTIONS = optionNames<ResultOptions>({
  mode: true,
  pollMs: true,
  waitMs: true,
  signal: true,
});

/**
 * What became of a task, as far as it is known.
 *
 * @typeParam R What its handler gives.
 */
export type TaskOutcome<R> =
  | {
    /** Its handler returned. */
    readonly state: "done";
    /** What it gave. */
    readonly result: R;
    /** How often it was started. */
    readonly attempts: number;
  }
  | {
    /** It was given up. */
    readonly state: "dead";
    /** Why. */
    readonly reason: string;
    /** What the last attempt ended with, where that is known. */
    readonly error?: AttemptError;
    /** How often it was started. */
    readonly attempts: number;
  }
  | {
    /** Somebody cancelled it. */
    readonly state: "cancelled";
  }
  | {
    /** There is no record of it: its id is of none, or it ended so long ago that it was forgotten. */
    readonly state: "unknown";
  }
  | {
    /** It has not ended within `waitMs`. */
    readonly state: Exclude<TaskState, "done" | "dead" | "cancelled">;
    /** How far its handler says it is. */
    readonly progress?: unknown;
    /** How often it was started. */
    readonly attempts: number;
  };

/**
 * A task has no result, or none in time: {@linkcode TaskError.outcome} tells what became of it.
 *
 * @example Tell what went wrong
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskError, TaskProducer } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * await using producer = new TaskProducer<{ ping(): string }>(redis, { name: "docs_task_error" });
 * try {
 *   await producer.task("ping", "no such id").result();
 * } catch (error) {
 *   if (error instanceof TaskError) console.log(error.outcome.state); // unknown
 * }
 * await redis.close();
 * ```
 */
export class TaskError extends Error {
  /** The name that stack traces show. */
  override readonly name = "TaskError";
  /** The task's id. */
  readonly id: string;
  /** What became of it; never `done`. */
  readonly outcome: Exclude<TaskOutcome<never>, { state: "done" }>;

  /** Makes the error. */
  constructor(
    id: string,
    type: string,
    outcome: Exclude<TaskOutcome<never>, { state: "done" }>,
    waitMs?: number,
  ) {
    super(`Task ${JSON.stringify(id)} (${type}) ${describe(outcome, waitMs)}`);
    this.id = id;
    this.outcome = outcome;
  }
}

function describe(
  outcome: Exclude<TaskOutcome<never>, { state: "done" }>,
  waitMs: number | undefined,
): string {
  switch (outcome.state) {
    case "dead":
      return `is dead: ${outcome.reason}`;
    case "cancelled":
      return "was cancelled";
    case "unknown":
      return "is unknown: there is no such task, or it ended so long ago that it was forgotten";
    default:
      return `has not ended within ${waitMs} ms: it is ${outcome.state}`;
  }
}

/**
 * A task that was added, by its id: ask for its result, look how far it is, cancel it.
 *
 * @typeParam R What its handler gives.
 *
 * @example The asker waits, the asker polls
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * const name = "docs_task";
 * const handlers = {
 *   process_data: ({ data }: { data: number }) => ({ processed_data: data * 2 }),
 * };
 * const worker = new TaskWorker(redis, { name, handlers });
 * worker.start();
 * await using producer = new TaskProducer<typeof handlers>(redis, { name });
 *
 * const task = await producer.add("process_data", { data: 42 });
 * console.log(await task.result()); // { processed_data: 84 }
 * console.log(await task.result({ mode: "polling", pollMs: 10 })); // the same, as often as you like
 *
 * await worker.stop();
 * await redis.close();
 * ```
 */
export class Task<R = unknown> {
  /** Its id: the one its producer chose, or one that was made. */
  readonly id: string;
  /** Its name. */
  readonly type: string;
  /** Whether a task with this id or key was there already, so that this is that one. */
  readonly duplicate: boolean;
  /**
   * Where its producer has a `durability`: whether enough replicas had the task in time. False is no
   * failure: it is stored, and lost only if its master dies before they have it. Undefined where nobody asked.
   */
  readonly confirmed?: boolean;
  readonly #queue: AnyTaskQueue;

  /** Made by a {@linkcode TaskProducer}. */
  constructor(
    queue: AnyTaskQueue,
    { id, duplicate = false, confirmed }: { id: string; duplicate?: boolean; confirmed?: boolean },
    type: string,
  ) {
    this.#queue = queue;
    this.id = id;
    this.type = type;
    this.duplicate = duplicate;
    if (confirmed !== undefined) this.confirmed = confirmed;
  }

  /**
   * What its handler gave, when it is there.
   *
   * @throws {TaskError} when it is dead, was cancelled, is unknown, or has not ended within `waitMs`.
   * @throws {TypeError} for a bad `mode` or `signal`, or an unknown option.
   * @throws {RangeError} for a time out of range.
   * @throws {RedisConnectionError} when Redis did not answer, and no waiting mends that.
   * @throws The reason of `signal`.
   */
  async result(options: ResultOptions = {}): Promise<R> {
    const outcome = await this.#outcome("result", options);
    if (outcome.state === "done") return outcome.result;
    throw new TaskError(this.id, this.type, outcome, options.waitMs);
  }

  /**
   * What became of it: as {@linkcode Task.result}, and what is no result is no error either.
   *
   * @throws As {@linkcode Task.result}, except for `TaskError`.
   */
  async outcome(options: ResultOptions = {}): Promise<TaskOutcome<R>> {
    return await this.#outcome("outcome", options);
  }

  /** What is on record of it now; undefined if there is no record. O(1). */
  async record(): Promise<TaskRecord | undefined> {
    return await this.#queue.task(this.id);
  }

  /**
   * Takes it out of the queue; if a worker has it, its handler's signal aborts within about a second, and what
   * it gives is not kept. Whoever waits for its result hears of it at once.
   *
   * @returns Whether it was there to be cancelled; false if it has ended.
   */
  async cancel(): Promise<boolean> {
    return await this.#queue.cancel(this.id) !== undefined;
  }

  async #outcome(what: string, options: ResultOptions): Promise<TaskOutcome<R>> {
    const { mode = "blocking", pollMs = 100, waitMs = Infinity, signal } = checkOptions(
      what,
      options,
      RESULT_OPTIONS,
    );
    checkMode(mode);
    checkSignal(signal);
    checkMs("pollMs", pollMs, { min: 1 });
    if (waitMs !== Infinity) checkMs("waitMs", waitMs);
    const asked = { mode, pollMs, waitMs, signal };
    const record = await this.#queue[INSIDE]().asker.ask(this.id, asked);
    return outcomeOf(record) as TaskOutcome<R>;
  }
}

/** A queue of whatever tasks. */
export interface AnyTaskQueue {
  /**
   * Used by the task.
   *
   * @ignore
   */
  [INSIDE](): Inside;
  /** See {@linkcode TaskQueue.task}. */
  task(id: string): Promise<TaskRecord | undefined>;
  /** See {@linkcode LeasedQueue.cancel}. */
  cancel(id: string): Promise<string | undefined>;
}

/** A task of a map by its name. */
export type TaskOf<T extends TaskMap<T>, K extends TaskName<T>> = Task<ResultOf<T, K>>;

/** Tasks of a map, in the order of what was added. */
export type TasksOf<T extends TaskMap<T>, L extends readonly NewTask<T>[]> = {
  -readonly [I in keyof L]: L[I] extends { readonly type: infer K extends TaskName<T> }
    ? TaskOf<T, K>
    : never;
};

function outcomeOf(record: TaskRecord | undefined): TaskOutcome<unknown> {
  if (!record) return { state: "unknown" };
  const { state, attempts } = record;
  switch (state) {
    case "done":
      return { state, attempts, result: record.result };
    case "dead": {
      const { reason = "no reason on record", error } = record;
      return { state, attempts, reason, ...(error && { error }) };
    }
    case "cancelled":
      return { state };
    default:
      return { state, attempts, ...("progress" in record && { progress: record.progress }) };
  }
}
