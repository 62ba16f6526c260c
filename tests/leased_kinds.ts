/**
 * The kinds of queues with leases, by their names: for tests that each of them has to pass.
 *
 * @module
 */
import {
  type LeasedQueueOptions,
  PriorityQueue,
  type RedisClient,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";

/** Makes a queue of each kind; of numbers, where nothing else is said. */
export const KINDS = {
  ReliableQueue: <T = number>(client: RedisClient, name: string, options?: LeasedQueueOptions<T>) =>
    new ReliableQueue<T>(client, name, options),
  PriorityQueue: <T = number>(client: RedisClient, name: string, options?: LeasedQueueOptions<T>) =>
    new PriorityQueue<T>(client, name, options),
  StreamQueue: <T = number>(client: RedisClient, name: string, options?: LeasedQueueOptions<T>) =>
    new StreamQueue<T>(client, name, options),
};

/** The name of one. */
export type Kind = keyof typeof KINDS;

/** 0, 1, 2 … */
export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
