/**
 * Exercise 02 · List queue
 *
 * A list has two ends. Which of them you write to and which you read from makes it a queue or a
 * pile. Change one command of each.
 *
 * Check it: deno task learn 02        A hint: deno task hint 02
 */
import type { ConnectedClient } from "@workshop/redis-patterns";

/** Last in, first out: the newest task is on top. */
export const pile = {
  put: (redis: ConnectedClient, key: string, task: string) => redis.lPush(key, task),
  // TODO: this is first in, first out
  take: (redis: ConnectedClient, key: string) => redis.rPop(key),
};

/** First in, first out, with `RPUSH` for a change. */
export const queue = {
  put: (redis: ConnectedClient, key: string, task: string) => redis.rPush(key, task),
  // TODO: this is last in, first out
  take: (redis: ConnectedClient, key: string) => redis.rPop(key),
};
