/**
 * Names that messages hold, so that the same thing is not enqueued twice: the id that a producer chose,
 * and the key of its deduplication.
 *
 * An id is taken while its message is there, dead counts as there. A key is taken until its message is
 * acknowledged or dead, or for a time, whatever becomes of it. Both are taken in the script that
 * stores the message, given up by whatever removes it, and only by the message that holds them: after a
 * redrive somebody else may.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { checkText } from "../redis/keys.ts";
import { checkOptions, optionNames } from "../redis/options.ts";
import { show } from "../redis/show.ts";
import { checkMs } from "../redis/timers.ts";

/**
 * How long a key stays taken; one of the two. A message that brings neither takes the queue's.
 *
 * A window that is shorter than a message's delay lets a second one in; dead letters that are redriven
 * do not take their key again.
 */
export interface DedupeWindow {
  /**
   * For so many milliseconds from the enqueueing, at least 1, whatever becomes of the message; less only if it is
   * cancelled, purged or dropped from the dead letters.
   */
  ttlMs?: number;
  /**
   * Until the message is acknowledged or dead.
   *
   * @default "settled" where there is no `ttlMs`
   */
  until?: "settled";
}

/** Deduplication of one message. */
export interface DedupeOptions extends DedupeWindow {
  /**
   * What makes two messages the same: 1 to 200 bytes without control characters.
   *
   * @default the queue's key function, or else the content, as stored
   */
  key?: string;
}

/** Deduplication of all messages of a queue that do not bring their own. */
export interface QueueDedupeOptions<I> extends DedupeWindow {
  /**
   * What makes two messages the same.
   *
   * @default the content, as stored: with JSON, objects whose members are in another order are others
   */
  key?: (payload: I) => string;
}

const DEDUPE_OPTIONS = optionNames<DedupeOptions>({ key: true, ttlMs: true, until: true });

/** A key that a message takes, and for how long: milliseconds, or 0 for until it is settled. */
export interface Taken {
  key: string;
  ttlMs: number;
}

/** Gives the key that a message takes, if any. */
export type Deduper<I> = (
  payload: I,
  body: string | Uint8Array,
  option: boolean | DedupeOptions | undefined,
) => Taken | undefined;

/**
 * A queue's deduplication.
 *
 * @throws {TypeError} for options that are none, or that contradict each other.
 * @throws {RangeError} for a `ttlMs` out of range.
 */
export function deduper<I>(queue: boolean | QueueDedupeOptions<I> | undefined): Deduper<I> {
  const common = optionsOf<QueueDedupeOptions<I>>(queue);
  const commonTtl = common && ttlOf(common);
  const keyOf = common?.key;
  if (keyOf !== undefined && typeof keyOf !== "function") {
    throw new TypeError(
      `dedupe.key of a queue must be a function of the payload, but is ${show(keyOf)}`,
    );
  }
  return (payload, body, option) => {
    if (option === undefined && !common) return undefined;
    const own = option === undefined ? {} : optionsOf<DedupeOptions>(option);
    if (!own) return undefined;
    const { key = keyOf ? keyOf(payload) : contentKey(body) } = own;
    return {
      key: checkText("dedupe key", key),
      ttlMs: ttlOf(own, commonTtl),
    };
  };
}

/**
 * Checks the deduplication of several messages, before it comes to any of them.
 *
 * @throws {TypeError} for options that are none, or that contradict each other.
 * @throws {RangeError} for a `ttlMs` out of range.
 */
export function checkDedupe(option: boolean | DedupeOptions | undefined): void {
  const own = optionsOf<DedupeOptions>(option);
  if (!own) return;
  if (own.key !== undefined) checkText("dedupe key", own.key);
  ttlOf(own);
}

function optionsOf<O extends object>(option: unknown): O | undefined {
  if (option === undefined || option === false) return undefined;
  if (option === true) return {} as O;
  if (typeof option === "object" && option !== null) {
    return checkOptions("dedupe", option as O, DEDUPE_OPTIONS);
  }
  throw new TypeError(`dedupe must be true, false or an object, but is ${show(option)}`);
}

function ttlOf({ ttlMs, until }: DedupeWindow, otherwise = 0): number {
  if (until !== undefined && until !== "settled") {
    throw new TypeError(`dedupe.until must be "settled", but is ${show(until, "string")}`);
  }
  if (ttlMs === undefined) return until ? 0 : otherwise;
  if (until) throw new TypeError(`Either dedupe.ttlMs (${ttlMs}) or dedupe.until, not both`);
  return Math.ceil(checkMs("dedupe.ttlMs", ttlMs, { min: 1, max: Number.MAX_SAFE_INTEGER }));
}

function contentKey(body: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(body).digest("base64url")}`;
}

/** holder_of: who holds the id or the key. hold: takes them. free: gives them up. */
export const NAMES = `
-- The id of the message that holds one of the names, or nil.
local function holder_of(id, key)
  if id ~= "" and redis.call("HEXISTS", ids, id) == 1 then return id end
  local holder = key ~= "" and redis.call("HGET", dedupe, key)
  if not holder then return nil end
  local ends = redis.call("ZSCORE", dedupe_until, key)
  if ends and tonumber(ends) <= now then return nil end
  return string.match(holder, "^%S+ (.+)$") or holder
end

-- Adds first: see leased_script.ts on maxmemory. ttl 0: until it is settled.
local function hold(uid, id, key, ttl)
  if id ~= "" then redis.call("HSET", ids, id, uid) end
  if key == "" then return end
  redis.call("HSET", dedupe, key, id ~= "" and uid .. " " .. id or uid)
  if tonumber(ttl) > 0 then redis.call("ZADD", dedupe_until, now + ttl, key)
  else redis.call("ZREM", dedupe_until, key) end
end

-- A window goes on after the message was settled, but not after it was removed undone.
local function free_key(h, undone)
  local holder = h.key ~= "" and redis.call("HGET", dedupe, h.key)
  if not holder or string.match(holder, "^%S+") ~= h.uid then return end
  if not undone and redis.call("ZSCORE", dedupe_until, h.key) then return end
  redis.call("HDEL", dedupe, h.key)
  redis.call("ZREM", dedupe_until, h.key)
end

local function free(h, undone)
  if h.id ~= "" and redis.call("HGET", ids, h.id) == h.uid then redis.call("HDEL", ids, h.id) end
  free_key(h, undone)
end

-- Where all keys have a window, the last one ends them all: nobody need come by.
local function end_windows(most)
  local over = redis.call("ZRANGE", dedupe_until, "-inf", now, "BYSCORE", "LIMIT", 0, most)
  if #over > 0 then
    redis.call("ZREM", dedupe_until, unpack(over))
    redis.call("HDEL", dedupe, unpack(over))
  end
  local windows = redis.call("ZCARD", dedupe_until)
  if windows > 0 and windows == redis.call("HLEN", dedupe) then
    local last = redis.call("ZRANGE", dedupe_until, -1, -1, "WITHSCORES")[2]
    redis.call("PEXPIREAT", dedupe, last)
    redis.call("PEXPIREAT", dedupe_until, last)
  else
    redis.call("PERSIST", dedupe)
    redis.call("PERSIST", dedupe_until)
  end
end`;
