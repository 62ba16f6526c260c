/**
 * What the tests of tasks share: a map of tasks, their handlers, and a producer and a worker that end with the test.
 *
 * @module
 */
import {
  type TaskHandlers,
  type TaskMap,
  TaskProducer,
  type TaskQueueOptions,
  TaskWorker,
  type TaskWorkerOptions,
} from "@workshop/redis-patterns/tasks";
import { type Fixture, redisTest } from "./support.ts";

/** How to wait. */
export const MODES = ["polling", "blocking"] as const;
/** Waits. */
export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What the tests are about; a handler may be replaced. */
export interface Tasks {
  process_data(payload: { data: number }): { processed_data: number };
  slow(payload: { ms: number }): string;
  fail(payload: string): void;
  none(): void;
}

/** What they do. */
export const HANDLERS: TaskHandlers<Tasks> = {
  process_data: ({ data }) => ({ processed_data: data * 2 }),
  async slow({ ms }) {
    await pause(ms);
    return "late";
  },
  fail: (message) => {
    throw new TypeError(message);
  },
  none: () => {},
};

/** Of one test: keys of its own, and what ends with it. */
export interface TaskFixture extends Fixture {
  producer<T extends TaskMap<T> = Tasks>(options?: TaskQueueOptions<T>): TaskProducer<T>;
  /** Started, and stopped after the test. */
  worker<T extends TaskMap<T> = Tasks>(options?: Partial<TaskWorkerOptions<T>>): TaskWorker<T>;
  key(suffix: string): string;
}

/** Defines a test. */
export function taskTest(title: string, run: (test: TaskFixture) => Promise<void>): void {
  redisTest(title, async (test) => {
    const opened: AsyncDisposable[] = [];
    const { redis, name } = test;
    try {
      await run({
        ...test,
        producer: <T extends TaskMap<T>>(options: TaskQueueOptions<T> = {}) => {
          const producer = new TaskProducer<T>(redis, { name, ...options });
          opened.push(producer);
          return producer;
        },
        worker: <T extends TaskMap<T>>(options: Partial<TaskWorkerOptions<T>> = {}) => {
          const handlers = HANDLERS as unknown as TaskHandlers<T>;
          const worker = new TaskWorker<T>(redis, {
            name,
            handlers,
            backoff: { baseMs: 0 },
            graceMs: 100,
            ...options,
          });
          worker.start();
          opened.push(worker);
          return worker;
        },
        key: (suffix) => `queue:{${name}}:${suffix}`,
      });
    } finally {
      await Promise.all(opened.map((one) => one[Symbol.asyncDispose]()));
    }
    for await (const keys of redis.scanIterator({ MATCH: `queue:{${name}*` })) {
      if (keys.length > 0) await redis.unlink(keys);
    }
    await redis.zRem("queue:registry", `tasks ${name}`);
  });
}
