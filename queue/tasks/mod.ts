/**
 * Tasks: messages that name a handler.
 *
 * @module
 */
export type {
  PayloadOf,
  ResultOf,
  TaskContext,
  TaskHandlers,
  TaskMap,
  TaskName,
} from "./task_map.ts";
export { ThreadPool, type ThreadPoolEvent, type ThreadPoolOptions } from "./thread_pool.ts";
export type { CallContext } from "./live_thread.ts";
export type { HandlerSource } from "./handler_source.ts";
export { stopSignal } from "./stop_signal.ts";
export {
  type RestartBackoff,
  supervise,
  type SuperviseEvent,
  type SuperviseOptions,
  type Supervisor,
} from "./supervise.ts";
