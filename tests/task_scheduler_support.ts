/** What the tests of schedules share: their tasks, a worker that is done at once, ticks, a scheduler that tells. */
import { assertEquals } from "@std/assert";
import { type ConnectedClient, type RedisClient, Worker } from "@workshop/redis-patterns";
import {
  type Schedule,
  type SchedulerEvent,
  TaskQueue,
  TaskScheduler,
  type TaskSchedulerOptions,
} from "@workshop/redis-patterns/tasks";
import { eventually } from "./support.ts";

/** The tasks of these tests. */
export interface Tasks {
  ping(): void;
  send_report(payload: { to: string }): { sent: boolean };
}

/** So many milliseconds. */
export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The queue as a worker sees it. */
export const queueOf = (redis: RedisClient, name: string) => new TaskQueue<Tasks>(redis, { name });

/** Everything that is ready, acknowledged: the ids, in their order. */
export async function drain(queue: TaskQueue<Tasks>): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const deliveries = await queue.receiveMany(1_000);
    if (deliveries.length === 0) return ids;
    ids.push(...deliveries.map(({ id }) => id));
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
  }
}

/**
 * A worker that is done at once, and the ids that it was given: what is done holds its id no more, so nothing
 * but the schedule itself keeps a tick from firing twice.
 */
export function working(redis: RedisClient, name: string) {
  const queue = queueOf(redis, name);
  const ids: string[] = [];
  const worker = new Worker(queue, (_, { delivery }) => void ids.push(delivery.id), {
    concurrency: 100,
  });
  const running = worker.start();
  running.catch(() => {}); // thrown by end()
  const end = async () => {
    await eventually(async () => assertEquals((await queue.counts()).ready, 0));
    await worker.stop();
    await running;
    await queue.close();
    return ids;
  };
  return { end };
}

/** The tick that an id tells. */
export const tickOf = (id: string) => Number(id.slice(id.lastIndexOf("@") + 1));

/** Fails unless these are all ticks between the first and the last, each once. */
export function assertEachTickOnce(ids: string[], everyMs: number): void {
  const ticks = ids.map(tickOf).sort((a, b) => a - b);
  const [first, last] = [ticks[0]!, ticks.at(-1)!];
  const expected = Array.from(
    { length: (last - first) / everyMs + 1 },
    (_, i) => first + i * everyMs,
  );
  assertEquals(ticks, expected);
}

/** Redis's clock. */
export async function redisNow(redis: ConnectedClient): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}

/** A scheduler and what it told. */
export function scheduling(redis: RedisClient, name: string, options: TaskSchedulerOptions = {}) {
  const events: SchedulerEvent[] = [];
  const onEvent = (event: SchedulerEvent) => void events.push(event);
  const scheduler = new TaskScheduler<Tasks>(redis, { name, onEvent, ...options });
  const of = <K extends SchedulerEvent["type"]>(type: K) =>
    events.filter((event): event is Extract<SchedulerEvent, { type: K }> => event.type === type);
  return { scheduler, events, of };
}

/** The only schedule there is. */
export async function only(scheduler: TaskScheduler<Tasks>): Promise<Schedule> {
  const [schedule, ...others] = await scheduler.list();
  assertEquals(others, []);
  return schedule!;
}
