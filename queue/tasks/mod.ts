/**
 * Tasks that come again: `@workshop/redis-patterns/tasks`. An export of its own, since it brings a cron
 * library along.
 *
 * @module
 */
export type { CatchUp, CronOptions, Overlap, ScheduleOptions } from "./schedule.ts";
export type {
  Schedule,
  Scheduled,
  SchedulerEvent,
  TaskSchedulerOptions,
} from "./scheduler_types.ts";
export { TaskScheduler } from "./task_scheduler.ts";
export type { PayloadOf, TaskMap, TaskName } from "./task_map.ts";
