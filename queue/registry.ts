/**
 * Which queues there are. Every queue with leases enters itself when it is used, so nobody has to search
 * Redis for keys.
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import { checkClient } from "../redis/topology.ts";
import { REGISTRY_KEY } from "../redis/keys.ts";
import { checkOptions, optionNames } from "../redis/options.ts";
import { defineScript, type Send } from "../redis/script.ts";
import { checkCount, within } from "../redis/timers.ts";
import { TIME } from "./leased_lua.ts";

/** The longest-unused queues go when there are more. */
const MAX_QUEUES = 10_000;

/** How often one object says that it uses a queue, in milliseconds. */
const AGAIN_MS = 600_000;
const RETRY_MS = 60_000;

/** By Redis's clock, since those of hosts differ. */
const registerScript = defineScript({
  name: "register",
  keys: ["registry"],
  args: ["member", "most"],
  lua: `
${TIME}
redis.call("ZADD", registry, now, member)
redis.call("ZREMRANGEBYRANK", registry, 0, -most - 1)
return 1`,
  reply: Number,
});

const LIST_OPTIONS = optionNames<{ limit?: number }>({ limit: true });

/** A queue with leases that has been used. */
export interface RegisteredQueue {
  /** Its name. */
  readonly name: string;
  /**
   * `"list"` for a `ReliableQueue`, `"priority"` for a `PriorityQueue`, `"stream"` for a `StreamQueue`,
   * `"tasks"` for a `TaskQueue`.
   */
  readonly kind: "list" | "priority" | "stream" | "tasks";
  /** When it was used last, to some ten minutes, in milliseconds since 1970. */
  readonly lastUsedAt: number;
}

/**
 * Enters a queue, now and then, while work goes on: on a cluster the list is at a master that the queue has
 * nothing to do with, and that may be away.
 */
export class Registration {
  readonly #member: string;
  #again = 0;
  #entering: Promise<void> | undefined;

  constructor(kind: string, name: string) {
    this.#member = `${kind} ${name}`;
  }

  /** Enters it, if that was not said lately. Work goes on unseen if Redis does not permit it. */
  renew(send: Send): void {
    const now = performance.now();
    if (now < this.#again) return;
    this.#again = now + AGAIN_MS;
    this.#entering = this.#enter(send, now);
  }

  /** Waits until what was begun is done, for `ms` at most: for whoever leaves. */
  async settled(ms: number): Promise<void> {
    if (this.#entering) await within(this.#entering, ms).catch(() => {}); // the next one enters it
  }

  async #enter(send: Send, now: number): Promise<void> {
    try {
      const args = { member: this.#member, most: MAX_QUEUES };
      await registerScript.run(send, { registry: REGISTRY_KEY }, args);
    } catch {
      this.#again = now + RETRY_MS; // Redis is away, at maxmemory, or does not permit it
    }
    this.#entering = undefined;
  }
}

/**
 * The queues with leases on this Redis, the one that was used last in front: a queue enters itself when
 * something is enqueued, and while a worker or a `consume` loop runs.
 *
 * @param client From `connect()`, or any client of `npm:redis`.
 * @param options `limit`: how many at most, 1,000 by default.
 * @throws {RangeError} for a bad `limit`.
 *
 * @example
 * ```ts
 * import { connect, listQueues, ReliableQueue } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * await using queue = new ReliableQueue<string>(redis, "docs_registry");
 * await queue.enqueue("hello");
 * const queues = await listQueues(redis);
 * console.log(queues.some(({ name }) => name === "docs_registry")); // true
 * await queue.purge("ready");
 * await redis.close();
 * ```
 */
export async function listQueues(
  client: RedisClient,
  options: { limit?: number } = {},
): Promise<RegisteredQueue[]> {
  const { limit = 1_000 } = checkOptions("listQueues", options, LIST_OPTIONS);
  checkCount("limit", limit, { max: MAX_QUEUES });
  checkClient(client);
  const args = ["ZRANGE", REGISTRY_KEY, "0", String(limit - 1), "REV", "WITHSCORES"];
  const reply = await call(client, args) as (string | number | [string, number])[];
  const flat = reply.flat();
  return Array.from({ length: flat.length / 2 }, (_, i) => {
    const [kind, ...name] = String(flat[2 * i]).split(" ");
    return { name: name.join(" "), kind: kind as "list", lastUsedAt: Number(flat[2 * i + 1]) };
  });
}
