/**
 * The message as it stands in Redis: one string, a line of header and the payload.
 *
 * ```
 * 0mb3k…-7 2 0 1795320605233+5000 118 0 invoice-17⇥ann⏎{"message":"timed out",…}⏎{"total":12}
 * uid      │ │ enqueuedAt    │    │   │ │          └ the key that it takes, if it is deduplicated
 *   attempts │               │    │   │ id, if the producer chose one
 *            │               │    │   priority
 *            │               │    bytes of history: errors of past attempts, a JSON line each
 *            │               how much later it began to wait: it was delayed, or came back
 *            1 if the last lease was not given back but ran out; x if it was cancelled
 * ```
 *
 * A message is moved, never copied, so nothing can point at it and dangle. Lua reads and rewrites the
 * header line; the payload is opaque to it.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/** What one attempt ended with, when it did not end with an ack. */
export interface AttemptError {
  /** The number of the attempt, counted from 1; absent where a lease lapsed. */
  readonly attempt?: number;
  /** What was thrown, or the reason that was given. */
  readonly message: string;
  /** Where, if it was an `Error`; cut to 4 KiB. */
  readonly stack?: string;
  /** When, in milliseconds since 1970. */
  readonly at: number;
  /** The consumer that had the message. */
  readonly worker?: string;
}

/** A message, taken apart. */
export interface Envelope {
  /** Unique, made by the producer's library, ordered by time. */
  readonly uid: string;
  /** The id that the producer chose, or else the uid. */
  readonly id: string;
  /** How often it was handed over and came back. */
  readonly attempts: number;
  /** Whether its last lease ran out, as when a process dies. */
  readonly lapsed: boolean;
  /** Whether somebody has cancelled it: only the mark is left, to be thrown away. */
  readonly cancelled: boolean;
  /** When it was enqueued, in milliseconds since 1970, by the producer's clock. */
  readonly enqueuedAt: number;
  /** From when on it waited to be claimed, by the clocks of its producer and of Redis. */
  readonly waitsFrom: number;
  /** The key that it takes, or "". */
  readonly key: string;
  /** Its priority; 0 in queues that have none. */
  readonly priority: number;
  /** Errors of past attempts, a JSON line each. */
  readonly history: Buffer;
  /** The payload, as the codec wrote it. */
  readonly body: Buffer;
}

const HEADER = /^(\S+) (\d+) ([01x]) (\d+)(?:\+(\d+))? (\d+) (-?\d+)(?: ([^\t]*)(?:\t(.+))?)?$/;

/** The header longer than this is none: ids and keys have 200 bytes at most. */
const MAX_HEADER_BYTES = 600;

/** The string of a new message. */
export function writeEnvelope(
  { uid, id = "", key = "", enqueuedAt, delayMs = 0, priority }: {
    uid: string;
    /** If the producer chose one. */
    id?: string;
    /** If it is deduplicated. */
    key?: string;
    enqueuedAt: number;
    delayMs?: number;
    priority: number;
  },
  body: string | Buffer,
): string | Buffer {
  const since = delayMs > 0 ? `${enqueuedAt}+${delayMs}` : enqueuedAt;
  const names = key ? ` ${id}\t${key}` : id && ` ${id}`;
  const header = `${uid} 0 0 ${since} 0 ${priority}${names}\n`;
  return typeof body === "string" ? header + body : Buffer.concat([Buffer.from(header), body]);
}

/** Takes a message apart; undefined for an entry that is none of ours. */
export function readEnvelope(entry: Buffer): Envelope | undefined {
  const end = entry.indexOf(10);
  if (end < 0 || end > MAX_HEADER_BYTES) return undefined;
  const match = HEADER.exec(entry.toString("utf8", 0, end));
  if (!match) return undefined;
  const [, uid, attempts, flag, enqueuedAt, later = "0", historyBytes, priority, id, key = ""] =
    match;
  const bodyAt = end + 1 + Number(historyBytes);
  if (bodyAt > entry.length) return undefined;
  return {
    uid: uid!,
    id: id || uid!,
    key,
    attempts: Number(attempts),
    lapsed: flag === "1",
    cancelled: flag === "x",
    enqueuedAt: Number(enqueuedAt),
    waitsFrom: Number(enqueuedAt) + Number(later),
    priority: Number(priority),
    history: entry.subarray(end + 1, bodyAt),
    body: entry.subarray(bodyAt),
  };
}

/** Most bytes of one error: message and stack together stay below 8 KiB. */
const MAX_MESSAGE = 2_048;
const MAX_STACK = 4_096;

/** What was thrown, in a line; anything can be thrown, also what has no text. */
export function toText(error: unknown): string {
  try {
    if (error instanceof Error) return `${error.name}: ${error.message}`;
    if (typeof error !== "object" || error === null) return String(error);
    const { message } = error as { message?: unknown };
    return typeof message === "string" ? message : JSON.stringify(error) ?? String(error);
  } catch {
    return `a thrown ${typeof error} that has no text`;
  }
}

/** One line of history; Redis puts the number of the attempt in front. */
export function writeError(
  error: unknown,
  { at, worker }: { at: number; worker?: string },
): string {
  const message = toText(error);
  const stack = stackOf(error)?.slice(0, MAX_STACK);
  const line: AttemptError = { message: message.slice(0, MAX_MESSAGE), stack, at, worker };
  return JSON.stringify(line) + "\n";
}

/** A stack may be anything as well: a getter that throws, or the frames of `Error.prepareStackTrace`. */
function stackOf(error: unknown): string | undefined {
  try {
    const stack: unknown = error instanceof Error ? error.stack : undefined;
    return typeof stack === "string" ? stack : undefined;
  } catch {
    return undefined;
  }
}

/** The errors in a history, oldest first; lines that are none of ours are left out. */
export function readHistory(history: Buffer): AttemptError[] {
  const errors: AttemptError[] = [];
  for (const line of history.toString("utf8").split("\n")) {
    try {
      const error = asError(JSON.parse(line));
      if (error) errors.push(error);
    } catch {
      // The empty line at the end, or somebody else's writing: the payload is not affected.
    }
  }
  return errors;
}

/** Only what belongs there, and is what its type says: somebody else may have written it. */
function asError(parsed: unknown): AttemptError | undefined {
  const { attempt, message, stack, at, worker } = Object(parsed) as Record<string, unknown>;
  if (typeof message !== "string" || typeof at !== "number") return undefined;
  return {
    ...(typeof attempt === "number" && { attempt }),
    message,
    ...(typeof stack === "string" && { stack }),
    at,
    ...(typeof worker === "string" && { worker }),
  };
}
