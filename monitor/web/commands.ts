/**
 * What stands behind a page and behind every button: the keys, the redis-cli command that looks at them,
 * the call that does the same in a program, and what Redis runs for it. `tests/monitor_acts_test.ts`
 * presses the buttons and compares this with what MONITOR shows.
 *
 * @module
 */
import { queueKeys } from "@workshop/redis-patterns";
import { scheduleKeys } from "@workshop/redis-patterns/tasks";
import type { Kind } from "../server/queues.ts";
import type { Verb } from "./operations.ts";

/** A state whose messages can be looked at. */
export type State = "ready" | "leased" | "delayed" | "dead" | "completed" | "failed";

/** Where a message may be; of a task there is a record when it is gone from the queue. */
export type Place = State | "gone";

/** One key, what it is, and how to look into it. */
export interface KeyUse {
  /** The key. */
  readonly key: string;
  /** Its type. */
  readonly type: string;
  /** What it holds. */
  readonly holds: string;
  /** The command for redis-cli. */
  readonly look: string;
}

/** What a button does. */
export interface Behind {
  /** In a program. */
  readonly call: string;
  /** The script, and the writes in it; each is run in one step with the others. */
  readonly redis: readonly string[];
}

/** In quotes where redis-cli needs them. */
function word(text: string): string {
  return /^[\w:@.{}+-]+$/.test(text) ? text : JSON.stringify(text);
}

const READY: Record<Kind, (key: string) => KeyUse> = {
  list: (key) => ({
    key,
    type: "LIST",
    holds: "what waits, the next one at the right",
    look: `LRANGE ${word(key)} -10 -1`,
  }),
  priority: (key) => ({
    key,
    type: "ZSET",
    holds: "what waits, by priority and order",
    look: `ZRANGE ${word(key)} 0 9 WITHSCORES`,
  }),
  stream: (key) => ({
    key,
    type: "STREAM",
    holds: "what waits",
    look: `XRANGE ${word(key)} - + COUNT 10`,
  }),
  tasks: (key) => ({
    key,
    type: "STREAM",
    holds: "tasks that wait",
    look: `XRANGE ${word(key)} - + COUNT 10`,
  }),
};

/** The keys of a queue that a person may want to look at. */
export function keysOf(name: string, kind: Kind): KeyUse[] {
  const keys = queueKeys(name);
  const use = (key: string, type: string, holds: string, look: string): KeyUse => {
    return { key, type, holds, look: look.replace("KEY", word(key)) };
  };
  return [
    READY[kind](keys.ready),
    use(keys.leased, "HASH", "what is in hand, by lease", "HSCAN KEY 0"),
    use(keys.leases, "ZSET", "leases, by when they end", "ZRANGE KEY 0 9 WITHSCORES"),
    use(keys.lapsed, "LIST", "what came back because a lease ran out", "LRANGE KEY -10 -1"),
    use(
      keys.delayed,
      "ZSET",
      "what waits for its time, by when that is",
      "ZRANGE KEY 0 9 WITHSCORES",
    ),
    use(keys.dead, "HASH", "what was given up, by id", "HSCAN KEY 0"),
    use(keys.dead_at, "ZSET", "their ids, by when they died", "ZRANGE KEY 0 9 WITHSCORES"),
    use(keys.stats, "HASH", "what is counted", "HGETALL KEY"),
    use(keys.workers, "HASH", "who says to be there", "HGETALL KEY"),
    use(keys.control, "HASH", "whether it is paused", "HGETALL KEY"),
    ...(kind === "tasks" ? keysOfTasks(name) : []),
  ];
}

function keysOfTasks(name: string): KeyUse[] {
  const keys = { ...queueKeys(name), ...scheduleKeys(name) };
  const use = (key: string, type: string, holds: string, look: string): KeyUse => {
    return { key, type, holds, look: look.replace("KEY", word(key)) };
  };
  return [
    use(keys.records, "HASH", "what is on record of each task, by id", "HSCAN KEY 0"),
    use(
      keys.records_until,
      "ZSET",
      "tasks that ended, by when they are forgotten",
      "ZRANGE KEY 0 9 WITHSCORES",
    ),
    use(keys.events, "STREAM", "what happened to tasks lately", "XREVRANGE KEY + - COUNT 10"),
    use(keys.schedules, "HASH", "what is added by the clock", "HGETALL KEY"),
    use(keys.schedules_at, "ZSET", "schedules, by their next tick", "ZRANGE KEY 0 9 WITHSCORES"),
    use(keys.schedules_fired, "HASH", "when they fired, and how often", "HGETALL KEY"),
  ];
}

/** What is on record of a task. */
function recordOf(name: string, id: string, hasEnded: boolean): KeyUse[] {
  const { records, records_until } = queueKeys(name);
  return [
    {
      key: records,
      type: "HASH",
      holds: "what is on record of the task: where it is, and how far or what it gave",
      look: `HGET ${word(records)} ${word(id)}`,
    },
    ...(hasEnded
      ? [{
        key: records_until,
        type: "ZSET",
        holds: "when that is forgotten",
        look: `ZSCORE ${word(records_until)} ${word(id)}`,
      }]
      : []),
  ];
}

/** Where one message is, and what is on record of it. */
interface Where {
  name: string;
  kind: Kind;
  state: Place;
  id: string;
  dueAt?: number | undefined;
  lease?: string | undefined;
}

/** Where one message is. */
export function keysOfMessage(where: Where): KeyUse[] {
  const { name, kind, state, id } = where;
  return [
    ...placesOf(where),
    ...(kind === "tasks" ? recordOf(name, id, state === "gone" || state === "dead") : []),
  ];
}

function placesOf({ name, kind, state, id, dueAt, lease }: Where): KeyUse[] {
  const keys = queueKeys(name);
  switch (state) {
    case "gone":
      return [];
    case "ready":
      return [READY[kind](keys.ready)];
    case "leased":
      return [
        {
          key: keys.leased,
          type: "HASH",
          holds: "the message, under the name of its lease",
          look: lease
            ? `HGET ${word(keys.leased)} ${word(lease.split(":").slice(0, 4).join(":"))}`
            : `HGETALL ${word(keys.leased)}`,
        },
        {
          key: keys.leases,
          type: "ZSET",
          holds: "when the lease ends",
          look: `ZSCORE ${word(keys.leases)} ${
            word(lease?.split(":").slice(0, 3).join(":") ?? "")
          }`,
        },
      ];
    case "delayed":
      return [{
        key: keys.delayed,
        type: "ZSET",
        holds: "the message, by when it is due",
        look: `ZRANGE ${word(keys.delayed)} ${dueAt ?? 0} ${dueAt ?? "+inf"} BYSCORE WITHSCORES`,
      }];
    case "dead":
      return [
        {
          key: keys.dead,
          type: "HASH",
          holds: "why it was given up, and the message",
          look: `HGET ${word(keys.dead)} ${word(id)}`,
        },
        {
          key: keys.dead_at,
          type: "ZSET",
          holds: "when it died",
          look: `ZSCORE ${word(keys.dead_at)} ${word(id)}`,
        },
      ];
    default:
      return [{
        key: keys[state],
        type: "LIST",
        holds: "the log, the newest at the left",
        look: `LRANGE ${word(keys[state])} 0 9`,
      }];
  }
}

/** What each kind does to put a message among those that wait. */
const TO_READY: Record<Kind, string> = {
  list: "LPUSH",
  priority: "ZADD",
  stream: "XADD",
  tasks: "XADD",
};

/** Which button, on what. */
interface Press {
  name: string;
  kind: Kind;
  state: State;
  verb: Verb;
  ids?: readonly string[];
}

/** What stands behind a button that acts on messages. */
export function behind(press: Press): Behind {
  const { call, redis } = moving(press);
  if (press.kind !== "tasks") return { call, redis };
  const { records, events } = queueKeys(press.name);
  if (press.verb === "purge") return { call, redis: [...redis, `HDEL ${word(records)}`] };
  return { call, redis: [...redis, `HSET ${word(records)}`, `XADD ${word(events)}`] };
}

function moving({ name, kind, state, verb, ids = [] }: Press): Behind {
  const keys = queueKeys(name);
  const id = ids[0] === undefined ? "<id>" : word(ids[0]);
  const list = JSON.stringify(ids.slice(0, 3)).replace(/\]$/, ids.length > 3 ? ", …]" : "]");
  const ready = `${TO_READY[kind]} ${word(keys.ready)}`;
  switch (verb) {
    case "redrive":
      return {
        call: ids.length > 0
          ? `await queue.redrive({ ids: ${list} })`
          : "await queue.redrive({ ids })",
        redis: [
          "EVALSHA redrive",
          `HDEL ${word(keys.dead)} ${id}`,
          `ZREM ${word(keys.dead_at)} ${id}`,
          ready,
        ],
      };
    case "delete": {
      const call = `await queue.cancel(${ids[0] === undefined ? "id" : JSON.stringify(ids[0])})`;
      if (state === "dead") {
        const redis = [`HDEL ${word(keys.dead)} ${id}`, `ZREM ${word(keys.dead_at)} ${id}`];
        return { call, redis: ["EVALSHA remove_dead", ...redis] };
      }
      if (state === "delayed") {
        return { call, redis: ["EVALSHA scan", `ZREM ${word(keys.delayed)}`] };
      }
      const out = { list: "LSET", priority: "ZREM", stream: "XDEL", tasks: "XDEL" }[kind];
      return { call, redis: ["EVALSHA scan", `${out} ${word(keys.ready)}`] };
    }
    case "purge":
      return {
        call: `await queue.purge(${JSON.stringify(state)})`,
        redis: [
          "EVALSHA purge",
          ...(state === "dead" ? [`HDEL ${word(keys.dead)}`, `ZREM ${word(keys.dead_at)}`] : []),
        ],
      };
    case "give back":
      return {
        call: "await queue.delivery(token).nack({ delayMs: 0 })",
        redis: ["EVALSHA give_back", `HDEL ${word(keys.leased)}`, ready],
      };
    case "bury":
      return {
        call: 'await queue.delivery(token).deadLetter("buried by hand")',
        redis: [
          "EVALSHA give_back",
          `HDEL ${word(keys.leased)}`,
          `HSET ${word(keys.dead)}`,
          `ZADD ${word(keys.dead_at)}`,
        ],
      };
  }
}

/** What stands behind pausing one consumer. */
export function behindPauseConsumer(
  { name, consumer, how }: { name: string; consumer: string; how: "pause" | "resume" },
): Behind {
  const { workers } = queueKeys(name);
  const field = `${word(workers)} paused:${consumer}`;
  return {
    call: `await queue.${how}Consumer(${JSON.stringify(consumer)})`,
    redis: [
      "EVALSHA pause_consumer",
      `HDEL ${field}`,
      ...(how === "pause" ? [`HSET ${field}`] : []),
    ],
  };
}

/** What stands behind pausing. */
export function behindPause(name: string, how: "pause" | "resume"): Behind {
  const keys = queueKeys(name);
  return how === "pause"
    ? { call: "await queue.pause()", redis: ["EVALSHA pause", `HSET ${word(keys.control)}`] }
    : { call: "await queue.resume()", redis: ["EVALSHA pause", `HDEL ${word(keys.control)}`] };
}
