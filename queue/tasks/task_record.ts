/**
 * What is on record of a task: one string in a HASH, written by the scripts that move its message. See
 * ../task_lua.ts for its form.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import type { AttemptError } from "../envelope.ts";

/**
 * Where a task is: waiting to be started (`ready`; `delayed` if it is for later, or tried again later), in
 * the hands of a worker (`running`), or at its end.
 */
export type TaskState = "ready" | "delayed" | "running" | "done" | "dead" | "cancelled";

const ENDS: ReadonlySet<string> = new Set<TaskState>(["done", "dead", "cancelled"]);
const STATES: ReadonlySet<string> = new Set<TaskState>([
  "ready",
  "delayed",
  "running",
  "done",
  "dead",
  "cancelled",
]);

/** What is on record of a task. */
export interface TaskRecord {
  /** Its id. */
  readonly id: string;
  /** Its name. */
  readonly type: string;
  /** Where it is. */
  readonly state: TaskState;
  /**
   * How often it was started. What a stopped worker gave back does not count, nor an attempt that was under
   * way when the task was cancelled.
   */
  readonly attempts: number;
  /** When it was added, in milliseconds since 1970, by its producer's clock. */
  readonly addedAt: number;
  /** When it was last started, in milliseconds since 1970, by Redis's clock; of `running` and `done`. */
  readonly startedAt?: number;
  /** Since when it is in this state, or when its progress was told, in milliseconds since 1970, by Redis's clock. */
  readonly changedAt: number;
  /** Who has it, or had it last. */
  readonly consumer?: string;
  /** Running: what its handler said last of how far it is. */
  readonly progress?: unknown;
  /** Done: what its handler gave. */
  readonly result?: unknown;
  /** Ready or delayed again, and dead: what the last attempt ended with. */
  readonly error?: AttemptError;
  /** Dead: why. */
  readonly reason?: string;
}

/** Whether a task has come to its end. */
export function hasEnded({ state }: { readonly state: string }): boolean {
  return ENDS.has(state);
}

/** Reads a record; undefined for what is none. */
export function readRecord(id: string, raw: Buffer): TaskRecord | undefined {
  const end = raw.indexOf(10);
  if (end < 0) return undefined;
  const [state, changedAt, addedAt, startedAt, type, attempts, consumer] = raw
    .toString("utf8", 0, end).split("\t");
  if (!STATES.has(state!) || consumer === undefined) return undefined;
  const known = {
    id,
    type: type!,
    state: state as TaskState,
    attempts: Number(attempts),
    addedAt: Number(addedAt),
    ...(startedAt !== "" && { startedAt: Number(startedAt) }),
    changedAt: Number(changedAt),
    ...(consumer !== "" && { consumer }),
  };
  return { ...known, ...readDetail(known.state, raw.subarray(end + 1)) };
}

/** What stands behind the line, as JSON. */
function readDetail(
  state: TaskState,
  raw: Buffer,
): Pick<TaskRecord, "progress" | "result" | "error" | "reason"> {
  if (raw.length === 0) return {};
  const detail = readJson(raw.toString("utf8"));
  if (detail === undefined) return {}; // what is in the line is true all the same
  if (state === "done") return { result: detail };
  if (state === "running") return { progress: detail };
  return state === "dead" ? readDeath(detail) : readError(detail);
}

/** JSON that a script has put behind a line; undefined for somebody else's writing. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an attempt ended with. */
export function readError(detail: unknown): { error?: AttemptError } {
  return isError(detail) ? { error: detail } : {};
}

/** What a task died of. */
export function readDeath(detail: unknown): { reason?: string; error?: AttemptError } {
  const { reason, error } = Object(detail) as { reason?: unknown; error?: unknown };
  return { ...(typeof reason === "string" && { reason }), ...readError(error) };
}

function isError(value: unknown): value is AttemptError {
  return typeof (value as AttemptError | null)?.message === "string";
}

/** Largest report of progress, in characters. */
const MAX_PROGRESS = 8_192;

/**
 * How far a task is, as it is sent.
 *
 * @throws {TypeError} for what JSON cannot carry.
 * @throws {RangeError} for more than 8 KiB.
 */
export function writeProgress(value: unknown): string {
  const text = writeJson("How far a task is", value);
  if (text.length > MAX_PROGRESS) {
    throw new RangeError(
      `How far a task is may have ${MAX_PROGRESS} characters as JSON, but this has ${text.length}`,
    );
  }
  return text;
}

function writeJson(what: string, value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new TypeError(`${what} must be JSON: ${(cause as Error).message}`, { cause });
  }
  if (text === undefined) throw new TypeError(`${what} must be JSON, but is ${String(value)}`);
  return text;
}
