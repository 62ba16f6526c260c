/**
 * What is wrong, as a JSON problem document (RFC 9457): for programs that ask, and for the page that is
 * shown to people. It never has a stack in it.
 *
 * @module
 */
import {
  LeaseLostError,
  QueueFullError,
  RedisConnectionError,
  SchemaError,
} from "@workshop/redis-patterns";
import { UnknownQueueError } from "../snapshot.ts";

/** What a problem document says besides. */
export interface ProblemDetails {
  /** The HTTP status. */
  status: number;
  /** Names the kind of problem, for programs: `lease-lost`. */
  kind: string;
  /** The kind in words. */
  title: string;
  /** What happened here, in a sentence. */
  detail: string;
  /** Further members of the document. */
  more?: Record<string, unknown>;
  /** Further headers of the answer. */
  headers?: Record<string, string>;
}

/** A request that cannot be answered as it was meant. */
export class Problem extends Error {
  /** The name that stack traces show. */
  override readonly name = "Problem";

  /** Makes the error. */
  constructor(readonly details: ProblemDetails) {
    super(details.detail);
  }
}

/** The answer as `application/problem+json`. */
export function problemResponse({ details }: Problem): Response {
  const { status, kind, title, detail, more, headers } = details;
  const type = `urn:redis-patterns:problem:${kind}`;
  return Response.json({ type, title, status, detail, ...more }, {
    status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}

/** The request is wrong. */
export function badRequest(detail: string): Problem {
  return new Problem({ status: 400, kind: "bad-request", title: "Bad request", detail });
}

/** There is no such thing. */
export function notFound(detail: string): Problem {
  return new Problem({ status: 404, kind: "not-found", title: "Not found", detail });
}

/** Not now, perhaps later. */
export function unavailable(kind: string, title: string, detail: string): Problem {
  return new Problem({ status: 503, kind, title, detail, headers: { "retry-after": "1" } });
}

/**
 * What the library threw because of what it was given: its `TypeError`s and `RangeError`s name the value.
 * Anywhere else they would be mistakes of ours.
 */
export async function asking<T>(run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof TypeError) && !(error instanceof RangeError)) throw error;
    const other = error.cause instanceof Error && error.cause.message.includes("WRONGTYPE");
    if (!other) throw badRequest(error.message);
    throw new Problem({
      status: 409,
      kind: "wrong-type",
      title: "A key of another type",
      detail: error.message,
    });
  }
}

/** Whatever was thrown, as a problem; undefined for what nobody expected. */
export function toProblem(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (error instanceof UnknownQueueError) return notFound(error.message);
  if (error instanceof SchemaError) {
    const title = "The payload is not what the queue takes";
    return new Problem({ status: 422, kind: "schema", title, detail: error.message });
  }
  if (error instanceof LeaseLostError) {
    const title = "The lease is over";
    return new Problem({ status: 409, kind: "lease-lost", title, detail: error.message });
  }
  if (error instanceof QueueFullError) {
    return unavailable("queue-full", "The queue is full", error.message);
  }
  if (error instanceof RedisConnectionError) {
    const { details } = unavailable("redis-away", "Redis cannot be reached", error.message);
    return new Problem({ ...details, more: { sent: error.sent } });
  }
  const word = error instanceof Error
    ? /^(OOM|NOPERM|MISCONF|READONLY|LOADING)\b/.exec(error.message)
    : null;
  if (word) return unavailable("redis-refuses", "Redis refuses", (error as Error).message);
  return undefined;
}
