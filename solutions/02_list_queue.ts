/**
 * Solution 02 · List queue
 *
 * The same end twice is a pile, two ends are a queue. Which end is which does not matter.
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Last in, first out: the newest task is on top. */
export const pile = {
  put: (redis: ConnectedClient, key: string, task: string) => redis.lPush(key, task),
  take: (redis: ConnectedClient, key: string) => redis.lPop(key),
};

/** First in, first out, with `RPUSH` for a change. */
export const queue = {
  put: (redis: ConnectedClient, key: string, task: string) => redis.rPush(key, task),
  take: (redis: ConnectedClient, key: string) => redis.lPop(key),
};
