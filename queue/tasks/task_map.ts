/**
 * The types of tasks: one map names every task, what it takes and what it gives. Producers, handlers and
 * results are checked against it.
 *
 * ```ts ignore
 * interface Tasks {
 *   process_data(payload: { data: number }): { processed_data: number };
 *   send_mail(payload: { to: string }): void;
 *   sweep(): number;
 * }
 * ```
 *
 * The type of an object of handlers is such a map, too: `typeof handlers`.
 *
 * @module
 */

/** What a map of tasks is made of: for each name a function from its payload to its result. */
export type TaskMap<T> = { [K in keyof T]: (payload: never, context: never) => unknown };

/** The names of the tasks of a map. */
export type TaskName<T> = keyof T & string;

/**
 * What a task takes: `null` where its function takes nothing, and, since JSON knows no `undefined`, also
 * where a payload that may be left out (`payload?: …`) is left out.
 */
export type PayloadOf<T, K extends keyof T> = T[K] extends
  (payload: infer P, context: never) => unknown
  ? T[K] extends () => unknown ? unknown extends P ? null : Exclude<P, undefined> | null : P
  : never;

/** The names of the tasks of a map that can be added without a payload: those that take `null`. */
export type BareTaskName<T extends TaskMap<T>> = {
  [K in TaskName<T>]: null extends PayloadOf<T, K> ? K : never;
}[TaskName<T>];

/**
 * What a task gives. It goes to the asker as JSON, as a payload goes to the handler: of a `Date` comes a
 * text, so say `string` in the map.
 */
export type ResultOf<T, K extends keyof T> = T[K] extends
  (payload: never, context: never) => infer R ? Awaited<R>
  : never;

/** What a handler is told besides its payload. */
export interface TaskContext {
  /** The task's id. */
  readonly id: string;
  /** The task's name. */
  readonly type: string;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  /**
   * Aborts when the task was cancelled, when its time is over, when its lease was lost, or when the worker
   * was stopped and its grace time is over. Made when first looked at.
   */
  readonly signal: AbortSignal;
  /**
   * Says how far it is, in whatever form askers understand: `0.5`, or `{ done: 3, of: 10 }`. Calls while
   * one is under way are merged: the newest is what is kept. It need not be awaited: then nobody hears
   * of one that came too late, or did not reach Redis.
   *
   * @throws {TypeError} for what JSON cannot carry.
   * @throws {RangeError} for more than 8 KiB.
   * @throws {LeaseLostError} when the task is somebody else's by now.
   */
  readonly progress: (value: unknown) => Promise<void>;
}

/** Your code for each task of a map. */
export type TaskHandlers<T extends TaskMap<T>> = {
  [K in TaskName<T>]: (
    payload: PayloadOf<T, K>,
    context: TaskContext,
  ) => ResultOf<T, K> | PromiseLike<ResultOf<T, K>>;
};

/**
 * What stands behind a task's name where one is added: its payload and options, or nothing where the task
 * takes nothing.
 */
export type WithPayload<T extends TaskMap<T>, K extends TaskName<T>, O> =
  | [payload: PayloadOf<T, K>, options?: O]
  | (null extends PayloadOf<T, K> ? [] : never);
