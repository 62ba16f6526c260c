/**
 * Handing messages out: a claim, and what runs beside those who wait for one.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { FIELDS, FORGET, LEASES } from "./leased_lua.ts";
import { type LeasedScript, leasedScript, plainly, rated, working } from "./leased_script.ts";
import { PAUSED_FIELD } from "./presence.ts";
import { type ReadyKind, TRACK } from "./ready_lua.ts";

/** How many messages a claim takes before it knows how heavy they are, and about how many bytes in all. */
const WEIGHED = 16;
const CLAIM_BYTES = 1_048_576;

/**
 * rest: leases that are finished, each with how many messages it had. `room`: how many messages
 * with a lapsed lease may be among them. Gives the time, milliseconds until the next delayed
 * message is due (or -1), milliseconds until the lease ends, how long nothing may be claimed (0 if it
 * may, -1 while the queue is paused, -2 while this consumer is), the messages, and of a stream by which ids
 * they are on record.
 */
export const claimOf = (
  kind: ReadyKind,
): LeasedScript<"lease" | "most" | "room" | "lease_ms" | "policy" | "rate" | "counting", Claim> =>
  leasedScript(kind, {
    name: "claim",
    args: ["lease", "most", "room", "lease_ms", "policy", "rate", "counting"],
    reply: readClaim,
    lua: `${rated(kind)}${TRACK[kind]}
local messages = {}
${FIELDS}
local known = redis.call("ZSCORE", leases, lease)
if known then  -- the reply was lost: the same again, unless it is over
  ${LEASES}
  local ends = lives(lease)
  if not ends then return {now, next_due(waiting_in_all(), first_due()), 0, 0, {}} end
  -- What somebody has settled meanwhile leaves its place empty, or the next one would be taken for it.
  local held, indexes, last = redis.call("HMGET", leased, unpack(fields_of(lease, 1, asked_for(lease)))), {}, 0
  for i, message in ipairs(held) do last = message and i or last end
  for i = 1, last do messages[i], indexes[i] = held[i], i end
  return {now, next_due(waiting_in_all(), first_due()), ends - now, 0, messages, told(lease, indexes)}
end
${FORGET}
local due = first_due()
local ends = redis.call("ZRANGE", leases, 0, 0, "WITHSCORES")[2]
if (due and due <= now) or (ends and tonumber(ends) <= now) or has_strangers() then
  ${working(kind)}
  promote(100)
  sweep()
  adopt()
  due = first_due()
end
-- Before anything is taken: keys of another type fail here.
local waits, fell, tokens = waiting(), redis.call("LLEN", lapsed), redis.call("LLEN", wake)
check_hands()
check_records()
local consumer = string.match(lease, "^[%w-]*")
local is_aside = redis.call("HEXISTS", workers, ${PAUSED_FIELD}) == 1
local free_slots = (paused() or is_aside) and 0 or math.min(tonumber(most), spare_rate)
if fell > 0 and free_slots > 0 and tonumber(room) > 0 then
  messages = hold_again(redis.call("RPOP", lapsed, room), lease)
end
-- A few tell how heavy they are; a claim takes about a megabyte, and at least one.
local function take_more(n)
  if n < 1 or waits < 1 then return end
  local before, more = #messages, take(n, lease)
  if before == 0 then messages = more return end
  for i = 1, #more do messages[before + i] = more[i] end
end
take_more(math.min(free_slots - #messages, ${WEIGHED}))
if #messages >= ${WEIGHED} then
  local bytes = 0
  for _, message in ipairs(messages) do bytes = bytes + #message end
  local fitting = math.floor(${CLAIM_BYTES} / (bytes / #messages))
  take_more(math.min(free_slots, fitting) - #messages)
end
local ids
if #messages > 0 then
  local held, fields = {}, fields_of(lease, 1, #messages)
  for i = 1, #messages do  -- not by ipairs, which calls a function for each
    held[2 * i - 1] = fields[i]
    held[2 * i] = messages[i]
  end
  redis.call("HSET", leased, unpack(held))
  ids = keep_ids(lease)
  redis.call("ZADD", leases, now + lease_ms, lease)
  track_many("running", "started", messages, consumer)
  if rate ~= "" then
    local handed_out = 0  -- the mark of a cancelled message is none
    for _, message in ipairs(messages) do
      if not string.find(message, "^%S+ %d+ x ") then handed_out = handed_out + 1 end
    end
    if handed_out > 0 then grant(handed_out) end
  end
end
local left = waits + fell - #messages
wake_one(left, tokens, due)
local refused = paused() and -1 or (is_aside and -2) or (spare_rate <= 0 and spare_in or 0)
-- Where nothing is left nobody was told until when, and what comes meanwhile has to say so by a token.
if spare_rate <= 0 and left > 0 then
  -- pcall: a hint only, and refused at maxmemory where nothing was taken before.
  redis.pcall("HSET", control, "held_until", string.format("%.0f", now + spare_in))
  if not paused() then redis.call("PEXPIRE", control, math.ceil(spare_in)) end
end
return {now, next_due(left, due), tonumber(lease_ms), refused, messages, ids}`,
  });

/**
 * Promotes and sweeps; what is too old goes. Gives milliseconds until the next delayed message is
 * due, or until the rate permits a claim, or -1; 0 while more has lapsed.
 */
export const tickOf = (kind: ReadyKind): LeasedScript<"policy" | "rate" | "counting", number> =>
  leasedScript(kind, {
    name: "tick",
    args: ["policy", "rate", "counting"],
    reply: Number,
    lua: `${rated(kind)}${working(kind)}
promote(1000)
sweep()
adopt()
drop_old_dead()
end_windows(1000)
-- Somebody who keeps no log does not trim what others keep.
if limit("completed") > 0 then trim_log(completed, limit("completed_age")) end
if limit("failed") > 0 then trim_log(failed, limit("failed_age")) end
trim_records(1000)
local left, due = waiting_in_all(), first_due()
wake_one(left, redis.call("LLEN", wake), due)
-- A script sweeps a hand or a few: what else has lapsed is not left for the next second.
if redis.call("ZRANGE", leases, "-inf", now, "BYSCORE", "LIMIT", 0, 1)[1] then return 0 end
return next_due(left, due)`,
  });

/**
 * A consumer leaves that knew when the next delayed message is due, or the rate permits a claim:
 * another one is told to look, by a token.
 */
export const handOnOf = (kind: ReadyKind): LeasedScript<never, number> =>
  leasedScript(kind, {
    name: "hand_on",
    args: [],
    reply: Number,
    lua: `${plainly(kind)}
paused()
is_held = false  -- nobody else may know until when
if redis.call("ZCARD", delayed) > 0 or waiting_in_all() > 0 then need_token() end
return 1`,
  });

/** What a claim gives. */
export interface Claim {
  /** Redis's clock, in milliseconds since 1970. */
  now: number;
  /** Milliseconds until the next delayed message is due, or the rate permits a claim; or -1. */
  dueInMs: number;
  /** Milliseconds until the lease ends. */
  leaseMs: number;
  /** For how long nothing may be claimed: 0 if it may, -1 while the queue is paused, -2 while the consumer is. */
  refusedMs: number;
  /** The messages, in their places; null where somebody has settled it before a lost reply was repeated. */
  messages: (Uint8Array | null)[];
  /** In a stream: by which id the group has each on record, or "-"; a space between them. */
  ids?: string;
}

function readClaim(raw: unknown): Claim {
  const [now, due, lease, refused, messages, ids] = raw as [
    number,
    number,
    number,
    number,
    (Uint8Array | null)[],
    Buffer?,
  ];
  return {
    now: Number(now),
    dueInMs: Number(due),
    leaseMs: Number(lease),
    refusedMs: Number(refused),
    messages,
    ...(ids && { ids: String(ids) }),
  };
}
