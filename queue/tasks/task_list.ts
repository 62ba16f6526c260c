/**
 * Tasks in lists, as a `TaskMonitor` shows them: without payloads, which may be large and may be secret.
 *
 * @module
 */
import type { AttemptError } from "../envelope.ts";
import type { Waiting } from "../leased_types.ts";
import type { TaskRecord } from "./task_record.ts";

/** One page of tasks. */
export interface TaskPage<P> {
  /** The tasks. */
  readonly tasks: P[];
  /** Where the next page begins; undefined after the last one. */
  readonly cursor?: string;
  /** How long the oldest of this page has been what it is, in milliseconds; undefined if there is none. */
  readonly oldestMs?: number;
}

/** A task in a list: without its payload, which `queue.peek` shows. */
export interface ListedTask {
  /** Its id; empty for an entry that is no message of this library. */
  readonly id: string;
  /** Its name; empty for what is no task. */
  readonly type: string;
  /** How often it was started. */
  readonly attempts: number;
  /** When it was added, in milliseconds since 1970, by its producer's clock. */
  readonly addedAt: number;
  /** What its last attempt ended with, if it was tried before. */
  readonly error?: AttemptError;
}

/** A task that was handed to a consumer, and has not come to an end. */
export interface PendingTask extends ListedTask {
  /** Who has it. */
  readonly consumer: string;
  /** When it was handed over, in milliseconds since 1970, by Redis's clock. */
  readonly startedAt?: number;
  /** When it is somebody else's turn, unless its consumer says again that it is at work; in ms since 1970, by Redis's clock. */
  readonly leaseExpiresAt: number;
  /** What its handler said last of how far it is. */
  readonly progress?: unknown;
  /** Settles it in the place of its consumer, by `queue.delivery(token)`. */
  readonly token: string;
}

/** A task whose time has not come. */
export interface DelayedTask extends ListedTask {
  /** When it has, in milliseconds since 1970, by Redis's clock. */
  readonly dueAt: number;
}

/** A task that was given up. */
export interface DeadTask extends ListedTask {
  /** When, in milliseconds since 1970, by Redis's clock. */
  readonly deadAt: number;
  /** Why. */
  readonly reason: string;
}

/** A page with the age of its oldest task. */
export function pageOf<P>(
  tasks: P[],
  cursor: string | undefined,
  now: number,
  sinceOf: (task: P) => number | undefined,
): TaskPage<P> {
  const since = tasks.map(sinceOf).filter((at) => at !== undefined);
  return {
    tasks,
    ...(cursor !== undefined && { cursor }),
    ...(since.length > 0 && { oldestMs: Math.max(0, now - Math.min(...since)) }),
  };
}

/** What every list tells of a task. */
export function listed(message: Waiting<unknown>): ListedTask {
  const error = message.errors.at(-1);
  return {
    id: message.id,
    type: typeOf(message),
    attempts: message.attempts,
    addedAt: message.enqueuedAt,
    ...(error && { error }),
  };
}

/** With what its record tells, if that is of the same attempt. */
export function listedPending(
  message: Waiting<unknown>,
  record: TaskRecord | undefined,
): PendingTask {
  const { consumer = "", leaseExpiresAt = 0, token = "" } = message;
  // It may have come to its end, or to another consumer, since it was looked at.
  const running = record?.state === "running" && record.consumer === consumer ? record : undefined;
  return {
    ...listed(message),
    attempts: message.attempts + 1,
    consumer,
    ...(running?.startedAt !== undefined && { startedAt: running.startedAt }),
    leaseExpiresAt,
    ...(running && "progress" in running && { progress: running.progress }),
    token,
  };
}

/** What a dead letter tells, in the form of a record. */
export function letterRecord(letter: Waiting<unknown>): TaskRecord {
  const { reason, deadAt = 0 } = letter;
  const { error, ...rest } = listed(letter);
  return {
    ...rest,
    state: "dead",
    changedAt: deadAt,
    ...(error?.worker !== undefined && { consumer: error.worker }),
    ...(error && { error }),
    ...(reason !== undefined && { reason }),
  };
}

/** The name in the first line of the body, also where the payload cannot be read. */
function typeOf({ id, raw }: Waiting<unknown>): string {
  const end = id === "" ? -1 : raw.subarray(0, 201).indexOf(10);
  return end < 0 ? "" : new TextDecoder().decode(raw.subarray(0, end));
}
