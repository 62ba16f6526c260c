/**
 * Every Redis key of this library is spelled here and nowhere else.
 *
 * A queue's name becomes part of its keys, so odd names are refused rather than repaired: a repaired
 * name can collide with another one, and then two queues share a key without anybody noticing.
 *
 * @module
 */
import { byteLength } from "./codec.ts";
import { show } from "./show.ts";

/** Longest queue, channel or pattern name, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 200;

/**
 * The key of a `ListQueue`: exactly its name, so that `redis-cli` and other languages meet it there.
 */
export function listKey(name: string): string {
  return checkQueueName(name);
}

/** The keys of a queue with leases. ARCHITECTURE.md says what each holds. */
export interface QueueKeys {
  /** Messages that wait: a LIST, a ZSET by priority and order, or a STREAM. */
  readonly ready: string;
  /** LIST: messages whose last lease lapsed; they wait as well, and go out one at a time. */
  readonly lapsed: string;
  /** HASH: the hands. `<lease>:<i>` to message. */
  readonly leased: string;
  /** HASH: lease to the ids that a stream's group has the messages of its hand on record by. */
  readonly pending: string;
  /** ZSET: leases by deadline. */
  readonly leases: string;
  /** ZSET: messages by the time they are due. */
  readonly delayed: string;
  /** HASH: id to dead letter. */
  readonly dead: string;
  /** ZSET: ids of dead letters by the time they died. */
  readonly dead_at: string;
  /** HASH: ids that a producer chose, to the message that holds each. */
  readonly ids: string;
  /** HASH: keys of deduplication, to the message that holds each. */
  readonly dedupe: string;
  /** ZSET: of these, those taken for a time, by its end. */
  readonly dedupe_until: string;
  /** HASH: producer to the last batch that it has stored, and what was said. */
  readonly replays: string;
  /** LIST of at most one token, for whoever waits. */
  readonly wake: string;
  /** Counter: the order inside a priority. */
  readonly seq: string;
  /** HASH: since when the queue is paused, and until when its rate is used up. */
  readonly control: string;
  /** LIST: what was handed out in the time of the rate limit. */
  readonly grants: string;
  /** LIST: messages that were acknowledged, if they are kept. */
  readonly completed: string;
  /** LIST: attempts that failed, if they are kept. */
  readonly failed: string;
  /** HASH: the statistics. */
  readonly stats: string;
  /** HASH: task to what is on record of it; see tasks/. */
  readonly records: string;
  /** ZSET: of these, tasks that have come to their end, by when they are forgotten. */
  readonly records_until: string;
  /** STREAM: what happened to tasks lately. */
  readonly events: string;
  /** HASH: consumer to what it says of itself. */
  readonly workers: string;
  /** ZSET: consumers by the time their entry expires. */
  readonly workers_until: string;
}

/** What each of these keys is, in the words of TYPE; `ready` depends on the kind of queue. */
export const KEY_TYPES: Readonly<Record<Exclude<keyof QueueKeys, "ready">, string>> = {
  lapsed: "list",
  leased: "hash",
  pending: "hash",
  leases: "zset",
  delayed: "zset",
  dead: "hash",
  dead_at: "zset",
  ids: "hash",
  dedupe: "hash",
  dedupe_until: "zset",
  replays: "hash",
  wake: "list",
  seq: "string",
  control: "hash",
  grants: "list",
  completed: "list",
  failed: "list",
  stats: "hash",
  records: "hash",
  records_until: "zset",
  events: "stream",
  workers: "hash",
  workers_until: "zset",
};

/** The keys of a queue's schedules, beside its own. */
export interface ScheduleKeys {
  /** HASH: a schedule's name to its definition. */
  readonly schedules: string;
  /** ZSET: names of schedules by the time of their next tick. */
  readonly schedules_at: string;
  /** HASH: a schedule's name to its last firing, and how often it fired and was skipped. */
  readonly schedules_fired: string;
}

/** What each of these keys is, in the words of TYPE. */
export const SCHEDULE_KEY_TYPES: Readonly<Record<keyof ScheduleKeys, string>> = {
  schedules: "hash",
  schedules_at: "zset",
  schedules_fired: "hash",
};

/** ZSET of all queues with leases, by last use. It has no queue's slot, so no script touches it. */
export const REGISTRY_KEY = "queue:registry";

/** STRING: how many partitions a queue has; see partitions.ts. */
export function partitionsKey(name: string): string {
  return `queue:{${checkQueueName(name)}}:partitions`;
}

/**
 * All keys of a queue with leases, on one slot of a cluster: the name is the hash tag. For looking: what
 * writes there is the queue.
 *
 * @throws {TypeError} for a name that cannot be a queue's.
 *
 * @example Where to look with redis-cli
 * ```ts
 * import { queueKeys } from "@workshop/redis-patterns";
 *
 * console.log(queueKeys("emails").dead); // queue:{emails}:dead
 * ```
 */
export function queueKeys(name: string): QueueKeys {
  const prefix = `queue:{${checkQueueName(name)}}:`;
  return {
    ready: `${prefix}ready`,
    lapsed: `${prefix}lapsed`,
    leased: `${prefix}leased`,
    pending: `${prefix}pending`,
    leases: `${prefix}leases`,
    delayed: `${prefix}delayed`,
    dead: `${prefix}dead`,
    dead_at: `${prefix}dead:at`,
    ids: `${prefix}ids`,
    dedupe: `${prefix}dedupe`,
    dedupe_until: `${prefix}dedupe:until`,
    replays: `${prefix}replays`,
    wake: `${prefix}wake`,
    seq: `${prefix}seq`,
    control: `${prefix}control`,
    grants: `${prefix}grants`,
    completed: `${prefix}completed`,
    failed: `${prefix}failed`,
    stats: `${prefix}stats`,
    records: `${prefix}records`,
    records_until: `${prefix}records:until`,
    events: `${prefix}events`,
    workers: `${prefix}workers`,
    workers_until: `${prefix}workers:until`,
  };
}

/**
 * The keys of a queue's schedules, on the queue's slot. For looking: what writes there is `TaskScheduler`.
 *
 * @throws {TypeError} for a name that cannot be a queue's.
 *
 * @example Where to look with redis-cli
 * ```ts
 * import { scheduleKeys } from "@workshop/redis-patterns/tasks";
 *
 * console.log(scheduleKeys("tasks").schedules); // queue:{tasks}:schedules
 * ```
 */
export function scheduleKeys(name: string): ScheduleKeys {
  const prefix = `queue:{${checkQueueName(name)}}:`;
  return {
    schedules: `${prefix}schedules`,
    schedules_at: `${prefix}schedules:at`,
    schedules_fired: `${prefix}schedules:fired`,
  };
}

/**
 * Checks the name of a queue: 1 to 200 bytes, no braces (they choose the slot on a cluster), no
 * glob characters (a `KEYS`-like pattern would match more than one queue), no control characters.
 *
 * @throws {TypeError} naming the value and what is wrong with it.
 */
export function checkQueueName(name: string): string {
  checkText("queue name", name);
  const odd = /[{}*?[\]\\]/.exec(name);
  if (odd) {
    throw new TypeError(
      `A queue name must not contain ${JSON.stringify(odd[0])} ` +
        `(no braces, no * ? [ ] \\): ${JSON.stringify(name)}`,
    );
  }
  return name;
}

/**
 * Checks the name of a channel or a pattern: 1 to 200 bytes, no control characters. Glob characters
 * are what patterns are made of, and channels may have them.
 *
 * @throws {TypeError} naming the value and what is wrong with it.
 */
export function checkChannelName(name: string): string {
  return checkText("channel name", name);
}

/**
 * Checks an id that a producer chose: 1 to 200 bytes, no control characters.
 *
 * @throws {TypeError} naming the value and what is wrong with it.
 */
export function checkMessageId(id: string): string {
  return checkText("message id", id);
}

/**
 * Checks a text that becomes part of a key or a message's header: 1 to 200 bytes, no control characters.
 *
 * @throws {TypeError} naming the value and what is wrong with it.
 */
export function checkText(what: string, name: string): string {
  if (typeof name !== "string") {
    throw new TypeError(`A ${what} must be a string, but is ${show(name)}`);
  }
  if (name === "") throw new TypeError(`A ${what} must not be empty: ""`);
  const bytes = byteLength(name);
  if (bytes > MAX_NAME_BYTES) {
    throw new TypeError(
      `A ${what} must be at most ${MAX_NAME_BYTES} bytes long, but ` +
        `${JSON.stringify(name.slice(0, 40) + "…")} has ${bytes}`,
    );
  }
  // A lone surrogate would reach Redis as U+FFFD, and two different names would share a key.
  // deno-lint-ignore no-control-regex -- control characters are exactly what is refused here
  if (!name.isWellFormed() || /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) {
    throw new TypeError(
      `A ${what} must not contain control characters or broken Unicode: ${JSON.stringify(name)}`,
    );
  }
  return name;
}
