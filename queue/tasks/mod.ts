/**
 * Tasks: messages that name a handler, and may keep a result.
 *
 * @example A handler, a task, its result
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * const name = "docs_tasks";
 * const handlers = {
 *   process_data: ({ data }: { data: number }) => ({ processed_data: data * 2 }),
 * };
 * const worker = new TaskWorker(redis, { name, handlers });
 * worker.start();
 *
 * await using producer = new TaskProducer<typeof handlers>(redis, { name });
 * const task = await producer.add("process_data", { data: 42 });
 * console.log(await task.result()); // { processed_data: 84 }
 *
 * await worker.stop();
 * await redis.close();
 * ```
 *
 * @module
 */
export { type ScheduleKeys, scheduleKeys } from "../../redis/keys.ts";
export type { CatchUp, CronOptions, EveryOptions, Overlap } from "./schedule.ts";
export type {
  Schedule,
  Scheduled,
  SchedulerEvent,
  TaskSchedulerOptions,
} from "./scheduler_types.ts";
export {
  type AnyTaskQueue,
  type ResultOptions,
  Task,
  TaskError,
  type TaskOf,
  type TaskOutcome,
  type TasksOf,
} from "./task.ts";
export type { TaskEvent, TaskEventBase, TaskEventGap } from "./task_event.ts";
export { NoTaskEventsError, type TaskEventsOptions } from "./task_events.ts";
export type { DeadTask, DelayedTask, ListedTask, PendingTask, TaskPage } from "./task_list.ts";
export type {
  BareTaskName,
  PayloadOf,
  ResultOf,
  TaskContext,
  TaskHandlers,
  TaskMap,
  TaskName,
  WithPayload,
} from "./task_map.ts";
export { TaskMonitor, type TaskPageOptions, type TaskQueueStats } from "./task_monitor.ts";
export { type ScheduleOptions, TaskProducer } from "./task_producer.ts";
export { type AnyTask, type NewTask, TaskQueue, type TaskQueueOptions } from "./task_queue.ts";
export type { TaskRecord, TaskState } from "./task_record.ts";
export { type HandlerSource, ResultError } from "./handler_source.ts";
export { stopSignal } from "./stop_signal.ts";
export {
  type RestartBackoff,
  supervise,
  type SuperviseEvent,
  type SuperviseOptions,
  type Supervisor,
} from "./supervise.ts";
export type { CallContext } from "./live_thread.ts";
export { ThreadPool, type ThreadPoolEvent, type ThreadPoolOptions } from "./thread_pool.ts";
export { TaskScheduler } from "./task_scheduler.ts";
export { TaskCancelledError } from "./running_task.ts";
export { TaskWorker, type TaskWorkerEvent, type TaskWorkerOptions } from "./task_worker.ts";
