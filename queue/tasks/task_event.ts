/**
 * What happened to a task, and how it is read from the stream of events: an entry has one field, what
 * happened, and a line for each task that it happened to. See ../task_lua.ts.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import type { AttemptError } from "../envelope.ts";
import { readDeath, readError, readJson } from "./task_record.ts";

/** What all events say. */
export interface TaskEventBase {
  /** Where to go on after this event: give it to `since`. A text to be stored, not to be taken apart. */
  readonly cursor: string;
  /** When, in milliseconds since 1970, by Redis's clock. */
  readonly at: number;
  /** The task's id. */
  readonly id: string;
  /** Its name. */
  readonly type: string;
  /** The number of the attempt, from 1; of what was not started, how often it was before. */
  readonly attempt: number;
  /** Who has it, or had it. */
  readonly consumer?: string;
}

/** What happened to a task. */
export type TaskEvent =
  | TaskEventBase & {
    /** It was added, for now or for later; handed to a worker; its handler returned; somebody cancelled it,
     * or made it ready again after it was dead. */
    readonly event: "added" | "started" | "done" | "cancelled" | "redriven";
  }
  | TaskEventBase & {
    /** Its handler said how far it is. */
    readonly event: "progress";
    /** What it said. */
    readonly progress: unknown;
  }
  | TaskEventBase & {
    /** An attempt failed, or its lease lapsed. It is tried again, or a `"dead"` follows. */
    readonly event: "failed";
    /** What it ended with, where that was said. */
    readonly error?: AttemptError;
  }
  | TaskEventBase & {
    /** It was given up. */
    readonly event: "dead";
    /** Why. */
    readonly reason: string;
    /** What the last attempt ended with, where that is known. */
    readonly error?: AttemptError;
  };

/** Events may have been trimmed, or the stream was removed, before they were read here. */
export interface TaskEventGap {
  /** Tells it from what happened to tasks. */
  readonly event: "gap";
  /** Where to go on: in front of the oldest event that is still there. */
  readonly cursor: string;
  /** When what is still there happened, in milliseconds since 1970, by Redis's clock. */
  readonly at: number;
  /** Where the gap begins: the cursor of the last event that was read. */
  readonly after: string;
}

/** An entry as Redis gives it. */
export type Entry = [id: Buffer, fields: Buffer[]];

/** When an entry was written, by its id. */
export function timeOf(id: string): number {
  return Number(id.slice(0, id.indexOf("-")));
}

/** What an entry tells, after so many of its lines; nothing, if it is somebody else's. */
export function readEntry([rawId, fields]: Entry, skipped: number): TaskEvent[] {
  const [event, text] = fields.length === 2 ? fields.map((field) => field.toString("utf8")) : [];
  if (event === undefined || text === undefined || !Object.hasOwn(DETAILS, event)) return [];
  const id = String(rawId);
  const at = timeOf(id);
  const lines = text.split("\n");
  const told: TaskEvent[] = [];
  for (let i = skipped; i < lines.length; i++) {
    const cursor = i === lines.length - 1 ? id : `${id}.${i + 1}`;
    const read = readLine(event as TaskEvent["event"], lines[i]!, { cursor, at });
    if (read) told.push(read);
  }
  return told;
}

function readLine(
  event: TaskEvent["event"],
  line: string,
  where: { cursor: string; at: number },
): TaskEvent | undefined {
  const [id, type, attempt, consumer, detail = ""] = line.split("\t");
  if (!id || !type || !/^\d+$/.test(attempt ?? "") || consumer === undefined) return undefined;
  return {
    ...where,
    event,
    id,
    type,
    attempt: Number(attempt),
    ...(consumer !== "" && { consumer }),
    ...DETAILS[event](detail === "" ? undefined : readJson(detail)),
  } as TaskEvent;
}

/** What stands behind a line, by the event. */
const DETAILS: Record<TaskEvent["event"], (detail: unknown) => object> = {
  added: () => ({}),
  started: () => ({}),
  progress: (progress) => ({ progress }),
  done: () => ({}),
  failed: readError,
  dead: (detail) => ({ reason: "no reason on record", ...readDeath(detail) }),
  cancelled: () => ({}),
  redriven: () => ({}),
};
