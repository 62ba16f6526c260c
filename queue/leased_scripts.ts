/**
 * The transitions of a queue with leases: one Lua script each.
 *
 * What all have in common: they check types and arguments before the first write, since Lua has no
 * rollback; every loop is bounded; time is Redis's own; and none builds a key. Scripts that take
 * messages begin with a command that removes, so that they still run when Redis is at `maxmemory`;
 * enqueue begins with one that adds, so that it is refused whole. A repeated script has the effect of
 * one: a claim by its lease, settling by its field, enqueue by its batch.
 *
 * The kinds of queue differ in how a message gets into `ready` and out of it, and in nothing else.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { defineScript, type Script } from "../redis/script.ts";
import { CHECK, FORGET, GUARD, MESSAGE, MOVES, READY, type ReadyKind } from "./leased_lua.ts";

export type { ReadyKind } from "./leased_lua.ts";

/** Most messages that one script moves: Redis serves nobody else meanwhile. */
export const MAX_BATCH = 1_000;

/** How long a repeated enqueue is recognised, in milliseconds. */
export const REPLAY_MS = 60_000;

const KEYS = [
  "ready",
  "lapsed",
  "leased",
  "leases",
  "delayed",
  "dead",
  "dead_at",
  "ids",
  "replays",
  "replies",
  "wake",
  "seq",
] as const;

type Key = typeof KEYS[number];
type Caps = "max_attempts" | "dead_most" | "dead_age";

/** The scripts of a kind of queue; each is described where it is defined. */
export interface LeasedScripts {
  enqueue: Script<Key, "batch" | "plain" | "replay_ms", number[]>;
  claim: Script<Key, "lease" | "most" | "room" | "lease_ms" | Caps, Claim>;
  giveBack: Script<
    Key,
    "lease" | "index" | "how" | "delay_ms" | "error" | "reason" | Caps,
    string
  >;
  tick: Script<Key, Caps, number>;
  handOn: Script<Key, never, number>;
  redrive: Script<Key, "most", [seen: number, redriven: number]>;
  purge: Script<Key, "state" | "most", number>;
  peek: Script<Key, "state" | "from" | "most", [entry: Buffer | null, at: Buffer | number][]>;
  counts: Script<Key, never, number[]>;
}

/** Scripts that write nothing. */
const READS = new Set(["counts", "peek"]);

/** The scripts of one kind of queue. */
function scriptsOf(kind: ReadyKind): LeasedScripts {
  const define = <const A extends string, R>(
    name: string,
    args: readonly A[],
    lua: string,
    reply: (raw: unknown) => R,
  ) =>
    defineScript({
      name: `${name}_${kind}`,
      keys: KEYS,
      args,
      lua: [MESSAGE, READY[kind], CHECK, READS.has(name) ? "" : GUARD, FORGET, MOVES, lua].join(
        "\n",
      ),
      reply,
    });

  return {
    /**
     * rest: `plain` messages that are ready, oldest first; then for each other one its due time
     * (ms since 1970, or +ms from now), the id that its producer chose or "", and the message.
     * Gives the positions, from 1, of the others whose id is taken.
     */
    enqueue: define(
      "enqueue",
      ["batch", "plain", "replay_ms"],
      `
if redis.call("ZSCORE", replays, batch) then  -- the reply was lost: the same again
  local said = {}
  for position in string.gmatch(redis.call("HGET", replies, batch) or "", "%d+") do
    said[#said + 1] = tonumber(position)
  end
  return said
end
local first_other = first_of_rest + plain
local taken, ready_now = {}, {}
for i = first_other, #ARGV, 3 do
  local id = ARGV[i + 1]
  if id ~= "" and redis.call("HEXISTS", ids, id) == 1 then
    taken[#taken + 1] = (i - first_other) / 3 + 1
  else
    local due, h = ARGV[i], parse(ARGV[i + 2])
    if string.sub(due, 1, 1) == "+" then due = now + string.sub(due, 2) end
    if tonumber(due) <= now then
      ready_now[#ready_now + 1] = ARGV[i + 2]
    else
      local before = redis.call("ZRANGE", delayed, 0, 0, "WITHSCORES")[2]
      redis.call("ZADD", delayed, due, ARGV[i + 2])
      -- Whoever waits for a later one has to hear of it.
      if (not before or tonumber(due) < tonumber(before)) and redis.call("LLEN", wake) == 0 then
        redis.call("LPUSH", wake, "1")
      end
    end
    if id ~= "" then redis.call("HSET", ids, id, h.uid) end
  end
end
for i = 1, plain, 1000 do
  put({unpack(ARGV, first_of_rest + i - 1, first_of_rest + math.min(plain, i + 999) - 1)})
end
put(ready_now)
if plain + #ready_now > 0 and redis.call("LLEN", wake) == 0 then redis.call("LPUSH", wake, "1") end
redis.call("ZADD", replays, now, batch)
redis.call("PEXPIRE", replays, replay_ms)
if #taken > 0 then
  redis.call("HSET", replies, batch, table.concat(taken, " "))
  redis.call("PEXPIRE", replies, replay_ms)
end
local old = redis.call("ZRANGE", replays, "-inf", now - replay_ms, "BYSCORE", "LIMIT", 0, 100)
if #old > 0 then
  redis.call("ZREM", replays, unpack(old))
  redis.call("HDEL", replies, unpack(old))
end
return taken`,
      (raw) => (raw as number[]).map(Number),
    ),

    /**
     * rest: leases that are finished, each with how many messages it had. `room`: how many messages
     * with a lapsed lease may be among them. Gives the time, milliseconds until the next delayed
     * message is due (or -1), milliseconds until the lease ends, and the messages.
     */
    claim: define(
      "claim",
      ["lease", "most", "room", "lease_ms", "max_attempts", "dead_most", "dead_age"],
      `
local messages = {}
if redis.call("ZSCORE", leases, lease) then  -- the reply was lost: the same again
  for _, message in ipairs(redis.call("HMGET", leased, unpack(fields_of(lease, asked_for(lease))))) do
    if message then messages[#messages + 1] = message end
  end
  return {now, next_due(), redis.call("ZSCORE", leases, lease) - now, messages}
end
forget_finished(first_of_rest)
promote(100)
sweep(max_attempts, dead_most, dead_age)
if tonumber(room) > 0 then messages = redis.call("RPOP", lapsed, room) or {} end
if #messages < tonumber(most) then
  for _, message in ipairs(take(most - #messages)) do messages[#messages + 1] = message end
end
if #messages > 0 then
  local held = {}
  for i, message in ipairs(messages) do
    held[2 * i - 1] = lease .. ":" .. i
    held[2 * i] = message
  end
  redis.call("HSET", leased, unpack(held))
  redis.call("ZADD", leases, now + lease_ms, lease)
end
wake_one()
return {now, next_due(), tonumber(lease_ms), messages}`,
      readClaim,
    ),

    /**
     * Gives one message back, or buries it. `how`: "retry" spends an attempt, "release" does not,
     * "dead" buries. Gives where it is now: "ready", "delayed" or "dead"; "done" if it was settled
     * already; "lost" if the lease is gone.
     */
    giveBack: define(
      "give_back",
      [
        "lease",
        "index",
        "how",
        "delay_ms",
        "error",
        "reason",
        "max_attempts",
        "dead_most",
        "dead_age",
      ],
      `
if not redis.call("ZSCORE", leases, lease) then return "lost" end
local field = lease .. ":" .. index
local message = redis.call("HGET", leased, field)
if not message then return "done" end
redis.call("HDEL", leased, field)
if how == "release" then
  if parse(message).lapsed == "1" then redis.call("RPUSH", lapsed, message) else put_back(message) end
  wake_one()
  return "ready"
end
local h = parse(message)
h.attempts = h.attempts + 1
h.lapsed = "0"
-- The number of the attempt is known here, also to whoever settles by a token.
if error ~= "" then remember(h, '{"attempt":' .. h.attempts .. "," .. string.sub(error, 2)) end
if how == "retry" then reason = '"after ' .. h.attempts .. " attempts: " .. string.sub(reason, 2) end
if how == "dead" or h.attempts >= tonumber(max_attempts) then
  bury(h, reason, dead_most, dead_age)
  return "dead"
end
if tonumber(delay_ms) > 0 then
  local before = next_due()
  redis.call("ZADD", delayed, now + delay_ms, write(h))
  if (before < 0 or tonumber(delay_ms) < before) and redis.call("LLEN", wake) == 0 then
    redis.pcall("LPUSH", wake, "1")
  end
  return "delayed"
end
put({write(h)})
wake_one()
return "ready"`,
      String,
    ),

    /** Promotes and sweeps. Gives milliseconds until the next delayed message is due, or -1. */
    tick: define(
      "tick",
      ["max_attempts", "dead_most", "dead_age"],
      `
promote(1000)
sweep(max_attempts, dead_most, dead_age)
wake_one()
return next_due()`,
      Number,
    ),

    /**
     * A consumer leaves that knew when the next delayed message is due: another one is told to look,
     * by a token.
     */
    handOn: define(
      "hand_on",
      [],
      `
if redis.call("ZCARD", delayed) > 0 and redis.call("LLEN", wake) == 0 then
  redis.call("LPUSH", wake, "1")
end
return 1`,
      Number,
    ),

    /** rest: ids, or none for the oldest. Gives how many it looked at, and how many are ready again. */
    redrive: define(
      "redrive",
      ["most"],
      `
local chosen = {unpack(ARGV, first_of_rest)}
if #chosen == 0 then chosen = redis.call("ZRANGE", dead_at, 0, most - 1) end
local again = {}
for _, id in ipairs(chosen) do
  local record = redis.call("HGET", dead, id)
  redis.call("HDEL", dead, id)
  redis.call("ZREM", dead_at, id)
  if record then
    local h = parse(string.sub(record, (string.find(record, "\\n", 1, true) or 0) + 1))
    h.attempts = 0
    h.lapsed = "0"
    again[#again + 1] = write(h)
  end
end
put(again)
wake_one()
return {#chosen, #again}`,
      (raw) => (raw as number[]).map(Number) as [number, number],
    ),

    /** Removes up to `most` messages of a state. Gives how many. */
    purge: define(
      "purge",
      ["state", "most"],
      `
local gone = {}
if state == "ready" then
  gone = redis.call("RPOP", lapsed, most) or {}
  for _, message in ipairs(take(most - #gone)) do gone[#gone + 1] = message end
elseif state == "delayed" then
  local popped = redis.call("ZPOPMIN", delayed, most)
  for i = 1, #popped, 2 do gone[#gone + 1] = popped[i] end
elseif state == "dead" then
  local oldest = redis.call("ZRANGE", dead_at, 0, most - 1)
  for _, id in ipairs(oldest) do drop_dead(id) end
  return #oldest
end
for _, message in ipairs(gone) do free(parse(message)) end
wake_one()
return #gone`,
      Number,
    ),

    /** Up to `most` entries of a state from position `from` on, each with its time. */
    peek: define(
      "peek",
      ["state", "from", "most"],
      `
local entries = {}
local first, last = tonumber(from), from + most - 1
if state == "ready" then
  local before = redis.call("LLEN", lapsed)
  local page = {}
  if first < before then page = redis.call("LRANGE", lapsed, -1 - last, -1 - first) end
  for i = #page, 1, -1 do entries[#entries + 1] = {page[i], 0} end
  first, last = math.max(0, first - before), last - before
  if last >= first then
    for _, message in ipairs(${
        kind === "list"
          ? `reversed(redis.call("LRANGE", ready, -1 - last, -1 - first))`
          : `redis.call("ZRANGE", ready, first, last)`
      }) do entries[#entries + 1] = {message, 0} end
  end
  return entries
end
local found = redis.call("ZRANGE", state == "dead" and dead_at or delayed, first, last, "WITHSCORES")
for i = 1, #found, 2 do
  local entry = found[i]
  if state == "dead" then entry = redis.call("HGET", dead, entry) end
  entries[#entries + 1] = {entry, found[i + 1]}
end
return entries`,
      (raw) => raw as [Buffer | null, Buffer | number][],
    ),

    /** Ready, leased, delayed, dead; and how long the next one to come out has waited, or -1. */
    counts: define(
      "counts",
      [],
      `
local next_out = redis.call("LINDEX", lapsed, -1)
  or ${kind === "list" ? `redis.call("LINDEX", ready, -1)` : `redis.call("ZRANGE", ready, 0, 0)[1]`}
return {
  waiting_in_all(), redis.call("HLEN", leased), redis.call("ZCARD", delayed),
  redis.call("ZCARD", dead_at), next_out and math.max(0, now - parse(next_out).at) or -1
}`,
      (raw) => (raw as number[]).map(Number),
    ),
  };
}

/** One set of scripts for each kind. */
export const LEASED_SCRIPTS: Record<ReadyKind, LeasedScripts> = {
  list: scriptsOf("list"),
  priority: scriptsOf("priority"),
};

/**
 * Done with messages. rest, for each lease: its name; how many messages, and their indexes; how many
 * further ones with a chosen id, and for each its index, the id and the uid. Gives for each lease how many messages
 * it removed, or -1 where the lease is gone. The lease stays, so that a repeated ack succeeds; a later claim removes it.
 */
export const ackScript = defineScript({
  name: "ack",
  keys: ["leased", "leases", "ids"],
  args: [],
  lua: `
redis.call("HLEN", leased); redis.call("HLEN", ids)
local removed, i = {}, first_of_rest
while i <= #ARGV do
  local lease, messages, fields = ARGV[i], tonumber(ARGV[i + 1]), {}
  local chosen = tonumber(ARGV[i + 2 + messages])
  local count = -1
  if redis.call("ZSCORE", leases, lease) then
    for j = 1, messages do fields[j] = lease .. ":" .. ARGV[i + 1 + j] end
    count = messages > 0 and redis.call("HDEL", leased, unpack(fields)) or 0
    for j = i + 3 + messages, i + 2 + messages + 3 * chosen, 3 do
      local gone = redis.call("HDEL", leased, lease .. ":" .. ARGV[j]) == 1
      if gone then count = count + 1 end
      -- Settled in another way before, the message may be alive, and with it its id.
      if gone and redis.call("HGET", ids, ARGV[j + 1]) == ARGV[j + 2] then
        redis.call("HDEL", ids, ARGV[j + 1])
      end
    end
  end
  removed[#removed + 1] = count
  i = i + 3 + messages + 3 * chosen
end
return removed`,
  reply: (raw) => (raw as number[]).map(Number),
});

/** rest: finished leases, each with how many messages it had; for consumers that claim no more. */
export const forgetScript = defineScript({
  name: "forget",
  keys: ["leased", "leases"],
  args: [],
  lua: `${FORGET}\nforget_finished(first_of_rest)\nreturn 1`,
  reply: Number,
});

/**
 * Prolongs leases to `ms` from now, never shortens one. rest: leases. Gives those that are gone.
 * Removed and added again, since an adding command first would be refused at `maxmemory`.
 */
export const extendScript = defineScript({
  name: "extend",
  keys: ["leases"],
  args: ["ms"],
  lua: `
local time = redis.call("TIME")
local until_then, gone = time[1] * 1000 + math.floor(time[2] / 1000) + ms, {}
for i = first_of_rest, #ARGV do
  local deadline = redis.call("ZSCORE", leases, ARGV[i])
  if deadline then
    redis.call("ZREM", leases, ARGV[i])
    redis.call("ZADD", leases, math.max(deadline, until_then), ARGV[i])
  else
    gone[#gone + 1] = ARGV[i]
  end
end
return gone`,
  reply: (raw) => (raw as unknown[]).map(String),
});

/** A consumer says that it is there; entries of those that stopped saying so go, ten at a time. */
export const presentScript = defineScript({
  name: "present",
  keys: ["workers", "workers_until"],
  args: ["consumer", "ttl_ms", "info"],
  lua: `
redis.call("HLEN", workers)
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call("ZRANGE", workers_until, "-inf", now, "BYSCORE", "LIMIT", 0, 10)) do
  redis.call("ZREM", workers_until, gone)
  redis.call("HDEL", workers, gone)
end
if info == "" then
  redis.call("ZREM", workers_until, consumer)
  redis.call("HDEL", workers, consumer)
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

/** What a claim gives. */
export interface Claim {
  /** Redis's clock, in milliseconds since 1970. */
  now: number;
  /** Milliseconds until the next delayed message is due, or -1. */
  dueInMs: number;
  /** Milliseconds until the lease ends. */
  leaseMs: number;
  /** The messages, as they stand in the hand. */
  messages: Uint8Array[];
}

function readClaim(raw: unknown): Claim {
  const [now, dueInMs, leaseMs, messages] = raw as [number, number, number, Uint8Array[]];
  return { now: Number(now), dueInMs: Number(dueInMs), leaseMs: Number(leaseMs), messages };
}
