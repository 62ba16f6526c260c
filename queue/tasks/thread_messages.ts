/**
 * What a pool and its threads say to each other, and errors on their way between them.
 *
 * @module
 */
import { toText } from "../envelope.ts";

/** What a thread is told when it is made. */
export interface ThreadOrders {
  /** Marks the threads of a pool, so that a pool inside of one is refused. */
  readonly redisPatternsThread: true;
  /** The module whose handlers it runs. */
  readonly module: string;
}

/** To a thread. */
export type ToThread =
  | {
    kind: "run";
    call: number;
    type: string;
    payload: unknown;
    id: string;
    attempt: number;
  }
  | { kind: "abort"; call: number; reason: Thrown }
  | { kind: "heard"; progress: number; error?: Thrown };

/** From a thread. Results and progress are JSON, as Redis keeps them. */
export type FromThread =
  | { kind: "ready"; names: string[] }
  | { kind: "unusable"; error: Thrown }
  | { kind: "done"; call: number; result: string | undefined }
  | { kind: "failed"; call: number; error: Thrown }
  | { kind: "unkept"; call: number; why: string }
  | { kind: "progress"; call: number; progress: number; value: string }
  | { kind: "crashed"; error: Thrown };

/** A message from a thread: a handler's module may speak on the same port, to somebody that it knows of. */
export interface Said {
  readonly redisPatternsThread: FromThread;
}

/** What a thread of a pool has said; undefined for what somebody else says in it. */
export function saidBy(message: unknown): FromThread | undefined {
  return (message as Partial<Said> | null | undefined)?.redisPatternsThread;
}

/** What was thrown, in a form that threads can hand over. */
export type Thrown =
  | { name: string; message: string; stack?: string; code?: string | number }
  | { value: string | number | boolean | null | undefined };

/** Most characters of a message and of a stack. */
const MAX_CHARACTERS = 8_192;

/**
 * Takes an error apart. Structured cloning would do it for the built-in classes, but it loses the names
 * of all others, and fails for an error that has a function or a socket among its properties.
 */
export function pack(error: unknown): Thrown {
  try {
    if (error instanceof Error) return packError(error);
  } catch {
    return { value: toText(error) }; // it throws when it is looked at
  }
  switch (typeof error) {
    case "string":
      return { value: cut(error) };
    case "number":
    case "boolean":
    case "undefined":
      return { value: error };
  }
  return { value: error === null ? null : cut(toText(error)) };
}

function packError(error: Error): Thrown {
  const { stack, code } = error as { stack?: unknown; code?: unknown };
  return {
    name: cut(error.name),
    message: cut(error.message),
    ...(typeof stack === "string" && { stack: cut(stack) }),
    ...((typeof code === "string" || typeof code === "number") && { code }),
  };
}

/** The other way round: an `Error` with that name and stack, or what was thrown if it was no error. */
export function unpack(thrown: Thrown): unknown {
  if ("value" in thrown) return thrown.value;
  const error = new Error(thrown.message);
  for (const key of ["name", "stack", "code"] as const) {
    if (thrown[key] === undefined) continue;
    Object.defineProperty(error, key, {
      value: thrown[key],
      configurable: true,
      writable: true,
      enumerable: key === "code",
    });
  }
  return error;
}

function cut(text: unknown): string {
  const whole = String(text);
  return whole.length > MAX_CHARACTERS ? `${whole.slice(0, MAX_CHARACTERS)}…` : whole;
}
