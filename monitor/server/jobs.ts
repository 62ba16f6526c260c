/**
 * The job queue server: producers and consumers in any language, by HTTP.
 *
 * ```
 * POST /queues/emails/messages      {"payload": …}            201 {"id": …}
 * POST /queues/emails/receive       {"waitMs": 20000}         200 {"deliveries": [{"token": …}]}, or 204
 * POST /deliveries/<token>/ack                                204
 * POST /deliveries/<token>/nack     {"delayMs": …}            200 {"state": "delayed"}
 * POST /deliveries/<token>/extend   {"ms": 60000}             204
 * ```
 *
 * The guarantees are those of the queues: at least once, under a lease. A message that is taken for a
 * client that has gone away meanwhile is given back without an attempt; one whose answer was on its way
 * comes back when its lease is over. A producer that did not hear an answer asks again with the same `id`.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  type Delivery,
  type EnqueueOptions,
  type LeasedQueue,
  queueKeys,
  type Settlement,
} from "@workshop/redis-patterns";
import { type Context, Hono } from "hono";
import { Attendance } from "./attendance.ts";
import { asking, badRequest, notFound, Problem, unavailable } from "./problem.ts";
import type { Kind, Queues } from "./queues.ts";

/** Longest wait of one request, in milliseconds. */
export const MAX_WAIT_MS = 60_000;

/** Most messages of one request. */
export const MAX_MESSAGES = 1_000;

/** What the routes need of the server. */
export interface JobsOptions {
  /** The queues that requests name. */
  queues: Queues;
  /** How many requests may wait at the same time: each holds a connection to Redis. */
  maxWaiting: number;
  /** Aborts when the server ends. */
  closing: AbortSignal;
  /** How many wait, for the metrics. */
  figures: { waiting: number };
}

/** What the routes know of a request, besides. */
export interface RequestEnv {
  /** Read late, since reading it has a price: aborts when the client goes away. */
  Bindings: {
    signal: () => AbortSignal;
    /** Rejects when the answer could not be sent; where the server tells that. */
    completed?: Promise<void> | undefined;
  };
}

/** The routes. */
export function jobRoutes({ queues, maxWaiting, closing, figures }: JobsOptions): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  const attendance = new Attendance({ queues, closing });

  app.post("/queues/:name/messages", async (c) => {
    const body = await readBody(c);
    const isMany = "messages" in body;
    if (isMany) checkFields(body, ["messages"]);
    const messages: unknown = isMany ? body["messages"] : [body];
    if (!Array.isArray(messages)) {
      throw badRequest(`messages must be an array, but is ${JSON.stringify(messages)}`);
    }
    if (messages.length > MAX_MESSAGES) {
      throw badRequest(`At most ${MAX_MESSAGES} messages at a time, not ${messages.length}`);
    }
    const orders = messages.map(readOrder);
    return await queues.use(
      c.req.param("name"),
      { kind: kindOf(c), creates: true },
      async (queue) => {
        // In one turn, so that they share a command; each is stored or not by itself.
        const stored = await Promise.all(orders.map(({ payload, options }) => {
          return asking(() => queue.enqueue(payload, options));
        }));
        if (isMany) return c.json({ messages: stored }, 201);
        return c.json(stored[0], stored[0]!.duplicate ? 200 : 201);
      },
    );
  });

  app.post("/queues/:name/receive", async (c) => {
    const body = await readBody(c);
    checkFields(body, ["waitMs", "max", "leaseMs"]);
    const waitMs = readNumber(body, "waitMs", { default: 0, min: 0, max: MAX_WAIT_MS });
    const max = readNumber(body, "max", { default: 1, min: 1, max: MAX_MESSAGES });
    const leaseMs = readNumber(body, "leaseMs", { default: 0, min: 1, max: 86_400_000 });
    if (waitMs > 0 && figures.waiting >= maxWaiting) {
      const detail =
        `${figures.waiting} requests wait already, and no more may; ask again without waitMs`;
      throw unavailable("too-many-waiting", "Too many are waiting", detail);
    }
    const client = c.env.signal();
    const signal = AbortSignal.any([client, closing]);
    const waits = waitMs > 0 ? 1 : 0;
    figures.waiting += waits;
    try {
      const name = c.req.param("name");
      return await queues.use(name, { kind: kindOf(c) }, async (queue, { kind, leaseMs: own }) => {
        if (leaseMs !== 0 && leaseMs < own) {
          throw badRequest(`leaseMs must be at least this server's, ${own}, but is ${leaseMs}`);
        }
        const deliveries = await attendance.during(
          { name, kind, waits: waitMs > 0 },
          queue,
          () => receive(queue, max, { waitMs, signal }),
        );
        if (!deliveries || closing.aborted) {
          throw unavailable("closing", "The server ends", "It was told to stop");
        }
        if (deliveries.length === 0) return c.body(null, 204);
        // They share one lease.
        if (leaseMs > own) await deliveries[0]!.extend(leaseMs);
        for (const one of deliveries) {
          const token = writeToken({ name, kind, token: one.token });
          attendance.keep(token, one, { name, kind, leaseMs: Math.max(own, leaseMs) });
        }
        if (client.aborted) await giveBack(deliveries);
        // It may go while the answer is on its way.
        c.env.completed?.catch(() => giveBack(deliveries));
        return c.json({ deliveries: deliveries.map((one) => shown(one, { name, kind })) });
      });
    } finally {
      figures.waiting -= waits;
    }
  });

  /** One delivery, by the token that its receiver was given. */
  const settling = (
    verb: string,
    settle: (delivery: Settlement, body: Record<string, unknown>, c: Context) => Promise<Response>,
  ) =>
    app.post(`/deliveries/:token/${verb}`, async (c) => {
      const whole = c.req.param("token");
      const { name, kind, token } = readToken(whole);
      const body = await readBody(c);
      return await queues.use(name, { kind, creates: true, remembers: false }, async (queue) => {
        // Of another server, or from before a restart, the token is enough.
        const delivery = attendance.get(whole) ?? deliveryOf(queue, token, whole);
        const answer = await asking(() => settle(delivery, body, c));
        if (verb !== "extend") attendance.drop(whole);
        return answer;
      });
    });

  settling("ack", async (delivery, body, c) => {
    checkFields(body, []);
    await delivery.ack();
    return c.body(null, 204);
  });
  settling("nack", async (delivery, body, c) => {
    checkFields(body, ["delayMs", "error"]);
    const { delayMs, error } = body;
    if (error !== undefined && typeof error !== "string") {
      throw badRequest(`error must be a text, but is ${JSON.stringify(error)}`);
    }
    const state = await delivery.nack({
      ...(delayMs !== undefined && { delayMs: delayMs as number }),
      ...(error !== undefined && { error: sentError(error) }),
    });
    return c.json({ state });
  });
  settling("dead-letter", async (delivery, body, c) => {
    checkFields(body, ["reason"]);
    await delivery.deadLetter(body["reason"] as string);
    return c.body(null, 204);
  });
  settling("extend", async (delivery, body, c) => {
    checkFields(body, ["ms"]);
    const ms = readNumber(body, "ms", { min: 1, max: 86_400_000 });
    await delivery.extend(ms);
    attendance.prolong(c.req.param("token") ?? "", ms);
    return c.body(null, 204);
  });

  return app;
}

/** Takes messages; undefined when nobody is there any more to have them. */
async function receive(
  queue: LeasedQueue<unknown>,
  max: number,
  { waitMs, signal }: { waitMs: number; signal: AbortSignal },
): Promise<Delivery<unknown>[] | undefined> {
  if (signal.aborted) return undefined;
  try {
    const deliveries = await queue.receiveMany(max, { waitMs, ...(waitMs > 0 && { signal }) });
    if (!signal.aborted) return deliveries;
    await giveBack(deliveries);
    return undefined;
  } catch (error) {
    if (signal.aborted) return undefined; // what was claimed meanwhile was given back
    throw error;
  }
}

/** What cannot be given back now comes back when its lease is over. */
async function giveBack(deliveries: readonly Delivery<unknown>[]): Promise<void> {
  await Promise.allSettled(deliveries.map((delivery) => delivery.release()));
}

function shown(delivery: Delivery<unknown>, where: { name: string; kind: Kind }) {
  const { id, payload, attempt, priority, enqueuedAt, receivedAt, leaseExpiresAt } = delivery;
  const token = writeToken({ ...where, token: delivery.token });
  return { id, payload, attempt, priority, enqueuedAt, receivedAt, leaseExpiresAt, token };
}

/** A delivery's token knows its queue: `p.ZW1haWxz.k3x…:1:0:1:…` for the PriorityQueue "emails". */
interface Token {
  name: string;
  kind: Kind;
  token: string;
}

const LETTERS: Record<string, Kind> = { l: "list", p: "priority", s: "stream", t: "tasks" };

function writeToken({ name, kind, token }: Token): string {
  return `${kind[0]}.${Buffer.from(name).toString("base64url")}.${token}`;
}

/** @throws {Problem} 404: it stands in the path, so what names no delivery is a page that is not there. */
function readToken(text: string): Token {
  const [, letter = "", coded = "", token = ""] = /^([lpst])\.([\w-]+)\.([\w:-]+)$/.exec(text) ??
    [];
  const kind = LETTERS[letter];
  const name = Buffer.from(coded, "base64url").toString();
  if (!kind || !isName(name)) throw noDelivery(text);
  return { kind, name, token };
}

function deliveryOf(queue: LeasedQueue<unknown>, token: string, whole: string): Settlement {
  try {
    return queue.delivery(token);
  } catch (error) {
    if (error instanceof TypeError) throw noDelivery(whole);
    throw error;
  }
}

function isName(name: string): boolean {
  try {
    return queueKeys(name) !== undefined;
  } catch {
    return false;
  }
}

function noDelivery(token: string): Problem {
  return notFound(`There is no delivery ${JSON.stringify(token.slice(0, 200))}`);
}

/** One message, as a producer writes it. */
function readOrder(order: unknown): { payload: unknown; options: EnqueueOptions } {
  if (typeof order !== "object" || order === null || Array.isArray(order)) {
    throw badRequest(`A message must be an object, but is ${JSON.stringify(order)}`);
  }
  checkFields(order, ["payload", "id", "delayMs", "runAt", "priority", "dedupe"]);
  const { payload, ...options } = order as { payload?: unknown } & EnqueueOptions;
  if (payload === undefined) throw badRequest('A message needs a "payload"');
  return { payload, options };
}

/** A JSON object; none is an empty one. */
async function readBody(c: Context): Promise<Record<string, unknown>> {
  const text = await c.req.text();
  if (text === "") return {};
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/(.+\+)?json\b/i.test(type)) {
    throw new Problem({
      status: 415,
      kind: "not-json",
      title: "Not JSON",
      detail: `The body must be application/json, but is ${type || "of no type"}`,
    });
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw badRequest(`The body is no JSON: ${(error as Error).message}`);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw badRequest("The body must be a JSON object");
  }
  return body as Record<string, unknown>;
}

function checkFields(body: object, known: readonly string[]): void {
  for (const field of Object.keys(body)) {
    if (known.includes(field)) continue;
    const some = known.length > 0 ? `; there are ${known.join(", ")}` : "";
    throw badRequest(`There is no field ${JSON.stringify(field)} here${some}`);
  }
}

function readNumber(
  body: Record<string, unknown>,
  field: string,
  { default: none, min, max }: { default?: number; min: number; max: number },
): number {
  const value = body[field] ?? none;
  if (typeof value === "number" && value >= min && value <= max) return Math.ceil(value);
  if (value === none && none !== undefined) return none;
  throw badRequest(
    `${field} must be a number from ${min} to ${max}, but is ${JSON.stringify(value)}`,
  );
}

function kindOf(c: Context): Kind | undefined {
  const kind = c.req.query("kind");
  switch (kind) {
    case undefined:
    case "list":
    case "priority":
    case "stream":
    case "tasks":
      return kind;
  }
  throw badRequest(`kind must be list, priority, stream or tasks, but is ${JSON.stringify(kind)}`);
}

/** Somebody else's error: its own stack would be ours. */
function sentError(message: string): Error {
  const error = new Error(message);
  error.stack = `Error: ${message}`;
  return error;
}
