/**
 * A consumer says that it is there: every ten seconds, from the loop that it runs anyway, for half a
 * minute each time. A killed one is named until then.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import process from "node:process";
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import type { QueueKeys } from "../redis/keys.ts";
import { defineScript, type Send } from "../redis/script.ts";
import { show } from "../redis/show.ts";
import type { Mode } from "./message.ts";
import { Registration } from "./registry.ts";

/** How often it is said, and how long that is believed. */
export const PRESENCE_MS = 10_000;
export const PRESENCE_TTL_MS = 30_000;

/**
 * That a consumer is paused stands beside what it says of itself, and goes with it: an operator's word
 * outlives no consumer. Claims look at this field.
 */
export const PAUSED_FIELD = '"paused:" .. consumer';

/** A consumer says that it is there; entries of those that stopped saying so go, ten at a time. */
const presentScript = defineScript({
  name: "present",
  keys: ["workers", "workers_until"],
  args: ["consumer", "ttl_ms", "info"],
  lua: `
redis.call("HLEN", workers)
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call("ZRANGE", workers_until, "-inf", now, "BYSCORE", "LIMIT", 0, 10)) do
  redis.call("ZREM", workers_until, gone)
  redis.call("HDEL", workers, gone, "paused:" .. gone)
end
if info == "" then
  redis.call("ZREM", workers_until, consumer)
  redis.call("HDEL", workers, consumer, ${PAUSED_FIELD})
else
  redis.call("HSET", workers, consumer, info)
  redis.call("ZADD", workers_until, now + ttl_ms, consumer)
  -- The last one to say so may have been killed, and then nobody is there to remove it.
  redis.call("PEXPIRE", workers, ttl_ms)
  redis.call("PEXPIRE", workers_until, ttl_ms)
end
return 1`,
  reply: Number,
});

/**
 * `how`: "pause" or "resume". Gives 1 if the consumer is there, and else changes nothing. Removes first:
 * also at `maxmemory` a consumer can be resumed.
 */
export const pauseConsumerScript = defineScript({
  name: "pause_consumer",
  keys: ["workers", "workers_until"],
  args: ["consumer", "how"],
  lua: `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call("ZSCORE", workers_until, consumer)
if redis.call("HEXISTS", workers, consumer) == 0 or not ends or tonumber(ends) <= now then return 0 end
redis.call("HDEL", workers, ${PAUSED_FIELD})
if how == "pause" then redis.call("HSET", workers, ${PAUSED_FIELD}, string.format("%.0f", now)) end
return 1`,
  reply: (raw) => Number(raw) === 1,
});

/**
 * Checks a consumer's name.
 *
 * @throws {TypeError} for what can be none.
 */
export function checkConsumer(consumer: string): string {
  if (typeof consumer === "string" && /^[\w-]{1,200}$/.test(consumer)) return consumer;
  throw new TypeError(
    `A consumer's name comes from consumers(), but this is ${show(consumer, "string")}`,
  );
}

/** The consumers that have said lately that they are there: name and what they said. */
export const consumersScript = defineScript({
  name: "consumers",
  keys: ["workers", "workers_until"],
  args: [],
  lua: `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for _, consumer in ipairs(redis.call("ZRANGE", workers_until, now, "+inf", "BYSCORE", "LIMIT", 0, 1000)) do
  local info = redis.call("HGET", workers, consumer)
  if info then
    found[#found + 1] = consumer
    found[#found + 1] = info
    found[#found + 1] = redis.call("ZSCORE", workers_until, consumer) - now
    found[#found + 1] = redis.call("HEXISTS", workers, ${PAUSED_FIELD})
  end
end
return found`,
  reply: (raw) => raw as (Buffer | number)[],
});

/** See the module. */
export class Presence {
  readonly #client: RedisClient;
  readonly #keys: QueueKeys;
  readonly #consumer: string;
  readonly #mode: Mode;
  readonly #registration: Registration;
  readonly #startedAt = Date.now();
  #again = -Infinity;

  constructor(
    { client, keys, kind, name, consumer, mode }: {
      client: RedisClient;
      keys: QueueKeys;
      kind: string;
      name: string;
      consumer: string;
      mode: Mode;
    },
  ) {
    this.#client = client;
    this.#keys = keys;
    this.#consumer = consumer;
    this.#mode = mode;
    this.#registration = new Registration(kind, name);
  }

  /** Says it, if it is time again. */
  async renew(send: Send, holds: number): Promise<void> {
    const now = performance.now();
    if (now < this.#again) return;
    this.#again = now + PRESENCE_MS - 500; // a loop that comes every ten seconds is not early
    const [mode, startedAt] = [this.#mode, this.#startedAt];
    const { pid } = process;
    await this.#say(send, JSON.stringify({ host: hostname(), pid, mode, startedAt, holds }));
    // Not over a connection of the queue's own: on a cluster the registry is at another master.
    this.#registration.renew((args) => call(this.#client, args, { raw: true }));
  }

  /** Says goodbye, if it ever said that it was there. */
  async leave(send: Send): Promise<void> {
    if (this.#again > -Infinity) await this.#say(send, "");
  }

  async #say(send: Send, info: string): Promise<void> {
    try {
      const args = { consumer: this.#consumer, ttl_ms: PRESENCE_TTL_MS, info };
      await presentScript.run(send, this.#keys, args);
    } catch {
      // Work goes on unseen: Redis is away, at maxmemory, or does not permit it.
    }
  }
}

/** The machine's name where reading it is allowed already, else "". */
function hostname(): string {
  const { Deno } = globalThis as {
    Deno?: { hostname(): string; permissions: { querySync(what: object): { state: string } } };
  };
  if (!Deno) return process.env["HOSTNAME"] ?? "";
  const query = { name: "sys", kind: "hostname" };
  return Deno.permissions.querySync(query).state === "granted" ? Deno.hostname() : "";
}
