/**
 * A queue with leases at a glance, for whoever watches it: what is where, how old it is, what was done
 * and how fast, and who is there. Four scripts in one write; each reads what is counted already, so it
 * costs the same however much waits.
 *
 * @module
 */
import { defineScript } from "../redis/script.ts";
import { TIME } from "./leased_lua.ts";
import type { ConsumerInfo, Counts } from "./leased_types.ts";
import type { QueueStats } from "./stats.ts";

/** A queue with leases at a glance. Its parts are read one after the other, within some milliseconds. */
export interface QueueSnapshot {
  /** The queue's name. */
  readonly name: string;
  /** `"list"`, `"priority"`, `"stream"` or `"tasks"`, as in `listQueues`. */
  readonly kind: "list" | "priority" | "stream" | "tasks";
  /** When it was taken, in milliseconds since 1970, by Redis's clock. */
  readonly at: number;
  /** How many messages are in each state, and for how long the next one has waited. */
  readonly counts: Counts;
  /**
   * In how many milliseconds the first delayed message is due, if there is one. Negative where it is late:
   * nobody claims from the queue.
   */
  readonly nextDueInMs?: number;
  /** How long the oldest dead letter has been dead, in milliseconds, if there is one. */
  readonly oldestDeadMs?: number;
  /** What the queue has done: totals, rates, latencies. */
  readonly stats: QueueStats;
  /** Who takes from it; see `consumers()`. */
  readonly consumers: readonly ConsumerInfo[];
}

/** How old things are, where that is the front of an index. */
export interface Ages {
  /** Redis's clock, in milliseconds since 1970. */
  at: number;
  nextDueInMs?: number;
  oldestDeadMs?: number;
}

/** Redis's clock, when the first delayed message is due, and when the oldest dead letter died; or "". */
export const agesScript = defineScript({
  name: "ages",
  keys: ["delayed", "dead_at"],
  args: [],
  lua: `
${TIME}
local function first(key) return redis.call("ZRANGE", key, 0, 0, "WITHSCORES")[2] or "" end
return {now, first(delayed), first(dead_at)}`,
  reply: (raw): Ages => {
    const [now, due, died] = (raw as unknown[]).map(String);
    const at = Number(now);
    return {
      at,
      ...(due !== "" && { nextDueInMs: Math.ceil(Number(due) - at) }),
      ...(died !== "" && { oldestDeadMs: Math.max(0, at - Number(died)) }),
    };
  },
});
