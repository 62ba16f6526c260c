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
import { NAMES } from "./dedupe.ts";
import {
  ADOPT,
  BUDGET_BYTES,
  CHECK,
  FORGET,
  LET_GO,
  LOOK,
  MESSAGE,
  MOVES,
  OWN_ARGS,
  READY,
  type ReadyKind,
  TIME,
  WAKE,
} from "./leased_lua.ts";
import { LOG_FAILED, LOGS } from "./logs.ts";
import { HOLD, NO_RATE, RATE } from "./rate_limit.ts";
import { STATS } from "./stats.ts";

export type { ReadyKind } from "./leased_lua.ts";

/** Most messages that one script moves: Redis serves nobody else meanwhile. */
export const MAX_BATCH = 1_000;

/** How many messages a claim takes before it knows how heavy they are, and about how many bytes in all. */
const WEIGHED = 16;
const CLAIM_BYTES = 1_048_576;

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
  "dedupe",
  "dedupe_until",
  "replays",
  "replies",
  "wake",
  "seq",
  "control",
  "grants",
  "completed",
  "failed",
  "stats",
] as const;

type Key = typeof KEYS[number];

/** Where a kind keeps books of what is in the hands, beside the hands. */
const BOOKS: Record<ReadyKind, readonly Key[]> = { list: [], priority: [], stream: ["ready"] };

/** States whose messages can be looked at. */
export type PeekState = "ready" | "leased" | "delayed" | "dead" | "completed" | "failed";

/** Where a scan looks: the parts of a queue that have no index by id. */
export type Place = "delayed" | "ready" | "lapsed" | "leased";

/** An entry that was looked at, its time, and the field of the HASH that it is in, if it is in one. */
export type Seen = [entry: Buffer | null, at: Buffer | number, field: Buffer | string | null];

/** The scripts of a kind of queue; each is described where it is defined. */
export interface LeasedScripts {
  enqueue: Script<Key, "batch" | "plain" | "replay_ms" | "max_ready" | "counting", Stored>;
  claim: Script<
    Key,
    "lease" | "most" | "room" | "lease_ms" | "policy" | "rate" | "counting",
    Claim
  >;
  giveBack: Script<
    Key,
    | "lease"
    | "index"
    | "how"
    | "delay_ms"
    | "error"
    | "reason"
    | "received"
    | "policy"
    | "counting",
    string
  >;
  tick: Script<Key, "policy" | "rate" | "counting", number>;
  handOn: Script<Key, never, number>;
  redrive: Script<Key, "most" | "counting", { dead: number; seen: number; redriven: number }>;
  purge: Script<Key, "state" | "most", [more: number, purged: number]>;
  pause: Script<Key, "how", number>;
  peek: Script<Key, "state" | "from" | "most", Page>;
  scan: Script<Key, "place" | "from" | "most" | "id" | "how" | "counting", Scan>;
  removeDead: Script<Key, "id" | "counting", number>;
  counts: Script<Key, never, number[]>;
  ack: Script<Key, "looking" | "keep" | "times" | "counting", number[]>;
  forget: Script<Key, never, number>;
}

/** The scripts of one kind of queue. */
function scriptsOf(kind: ReadyKind): LeasedScripts {
  /** What moves a message that does not just come, go out and end well; it checks all keys first. */
  const WORK = [CHECK, MESSAGE, STATS, NAMES, LOGS, LOG_FAILED, MOVES, ADOPT[kind]].join("\n");
  const define = <const A extends string, R>(
    name: string,
    { args, lua, reply, rated = false, works = true }: {
      args: readonly A[];
      lua: string;
      reply: (raw: unknown) => R;
      /** Whether it hands messages out, or tells somebody to take some. */
      rated?: boolean;
      /** Whether all of WORK stands in front; else it is where the text needs it. */
      works?: boolean;
    },
  ) =>
    defineScript({
      name: `${name}_${kind}`,
      keys: KEYS,
      args: withOwn(kind, args),
      lua: [
        TIME,
        READY[kind],
        rated ? RATE : NO_RATE,
        WAKE,
        rated ? HOLD : "",
        FORGET,
        works ? WORK : "",
        lua,
      ].join("\n"),
      reply,
    });

  return {
    /**
     * rest: `plain` messages that are ready, oldest first; then for each other one its due time
     * (ms since 1970, or +ms from now), the id that its producer chose or "", the key that it takes or
     * "", for how long, and the message. Gives how many of the plain ones were stored, and for each
     * other one that was not its position, from 1, and why: "full", or "=" and the id of the message
     * that is there already.
     */
    enqueue: define("enqueue", {
      args: ["batch", "plain", "replay_ms", "max_ready", "counting"],
      works: false,
      reply: readStored,
      lua: `
if redis.call("ZSCORE", replays, batch) then  -- the reply was lost: the same again
  local said = {}
  for word in string.gmatch(redis.call("HGET", replies, batch) or plain, "[^\\n]+") do
    said[#said + 1] = word
  end
  return said
end
${STATS}
local room = math.huge
if tonumber(max_ready) > 0 then room = math.max(0, max_ready - waiting_in_all()) end
local stored_plain = math.min(tonumber(plain), room)
local stored, said, ready_now = stored_plain, {tostring(stored_plain)}, {}
local first_other = first_of_rest + plain
-- Before anything is written: keys of another type fail here.
local tell = redis.call("LLEN", wake) == 0 and not paused() and not is_held
check_ready()
if tonumber(max_ready) > 0 then redis.call("HLEN", replies) end
local end_some_windows = function() end
if first_other <= #ARGV then
  ${NAMES}
  redis.call("HLEN", ids); redis.call("HLEN", dedupe); redis.call("ZCARD", dedupe_until)
  redis.call("HLEN", replies); waiting()
  local earliest = first_due()
  room = room - stored_plain
  for i = first_other, #ARGV, 5 do
    local due, id, key, ttl, message = unpack(ARGV, i, i + 4)
    local holder = holder_of(id, key)
    if string.sub(due, 1, 1) == "+" then due = now + string.sub(due, 2) end
    due = tonumber(due)
    if holder or (due <= now and room < 1) then
      said[#said + 1] = tostring((i - first_other) / 5 + 1)
      said[#said + 1] = holder and "=" .. holder or "full"
    else
      if due <= now then
        ready_now[#ready_now + 1] = message
        room = room - 1
      else
        redis.call("ZADD", delayed, due, message)
        -- Whoever waits for a later one has to hear of it.
        if tell and (not earliest or due < earliest) then
          redis.call("LPUSH", wake, "1")
          tell = false
        end
        earliest = math.min(earliest or due, due)
      end
      hold(string.match(message, "^%S+"), id, key, ttl)
      stored = stored + 1
    end
  end
  function end_some_windows() end_windows(100) end
end
for i = 1, stored_plain, 1000 do
  put({unpack(ARGV, first_of_rest + i - 1, first_of_rest + math.min(stored_plain, i + 999) - 1)})
end
put(ready_now)
if tell and stored_plain + #ready_now > 0 then redis.call("LPUSH", wake, "1") end
redis.call("ZADD", replays, now, batch)
redis.call("PEXPIRE", replays, replay_ms)
if #said > 1 or stored_plain < tonumber(plain) then
  redis.call("HSET", replies, batch, table.concat(said, "\\n"))
  redis.call("PEXPIRE", replies, replay_ms)
end
if now % 8 == 0 then  -- now and then; they all go when nothing is enqueued for a minute
  local old = redis.call("ZRANGE", replays, "-inf", now - replay_ms, "BYSCORE", "LIMIT", 0, 1000)
  if #old > 0 then
    redis.call("ZREM", replays, unpack(old))
    redis.call("HDEL", replies, unpack(old))
  end
end
end_some_windows()  -- last: enqueue begins with a command that adds
count("enqueued", stored)
return said`,
    }),

    /**
     * rest: leases that are finished, each with how many messages it had. `room`: how many messages
     * with a lapsed lease may be among them. Gives the time, milliseconds until the next delayed
     * message is due (or -1), milliseconds until the lease ends, how long nothing may be claimed (0 if it
     * may, -1 while the queue is paused), and the messages.
     */
    claim: define("claim", {
      args: ["lease", "most", "room", "lease_ms", "policy", "rate", "counting"],
      rated: true,
      works: false,
      reply: kind === "stream" ? readStreamClaim : readClaim,
      lua: `
local messages = {}
local known = redis.call("ZSCORE", leases, lease)
if known then  -- the reply was lost: the same again, unless it is over
  local ends = lives(lease)
  if not ends then return {now, next_due(waiting_in_all(), first_due()), 0, 0, {}} end
  for _, message in ipairs(redis.call("HMGET", leased, unpack(fields_of(lease, asked_for(lease))))) do
    if message then messages[#messages + 1] = message end
  end
  return {now, next_due(waiting_in_all(), first_due()), ends - now, 0, messages}
end
forget_finished(first_of_rest)
local due = first_due()
local ends = redis.call("ZRANGE", leases, 0, 0, "WITHSCORES")[2]
if (due and due <= now) or (ends and tonumber(ends) <= now) or has_strangers() then
  ${WORK}
  promote(100)
  sweep()
  adopt()
  due = first_due()
end
-- Before anything is taken: keys of another type fail here.
local waits, fell, tokens = waiting(), redis.call("LLEN", lapsed), redis.call("LLEN", wake)
redis.call("HLEN", leased)
local free_slots = paused() and 0 or math.min(tonumber(most), spare_rate)
if fell > 0 and free_slots > 0 and tonumber(room) > 0 then
  messages = hold_again(redis.call("RPOP", lapsed, room), lease)
end
-- A few tell how heavy they are; a claim takes about a megabyte, and at least one.
local function take_more(n)
  if n < 1 or waits < 1 then return end
  for _, message in ipairs(take(n, lease)) do messages[#messages + 1] = message end
end
take_more(math.min(free_slots - #messages, ${WEIGHED}))
if #messages >= ${WEIGHED} then
  local bytes = 0
  for _, message in ipairs(messages) do bytes = bytes + #message end
  local fitting = math.floor(${CLAIM_BYTES} / (bytes / #messages))
  take_more(math.min(free_slots, fitting) - #messages)
end
if #messages > 0 then
  local held = {}
  for i, message in ipairs(messages) do
    held[2 * i - 1] = lease .. ":" .. i
    held[2 * i] = message
  end
  redis.call("HSET", leased, unpack(held))
  redis.call("ZADD", leases, now + lease_ms, lease)
  if rate ~= "" then
    local handed_out = 0  -- the mark of a cancelled message is none
    for _, in_hand in ipairs(messages) do
      local _, message = bare(in_hand)
      if not string.find(message, "^%S+ %d+ x ") then handed_out = handed_out + 1 end
    end
    if handed_out > 0 then grant(handed_out) end
  end
elseif #ARGV >= first_of_rest then
  dismiss(string.match(lease, "^[%w-]*"))
end
local left = waits + fell - #messages
wake_one(left, tokens, due)
local refused = paused() and -1 or (spare_rate <= 0 and spare_in or 0)
if rate ~= "" and spare_rate <= 0 then hold_back() end
return {now, next_due(left, due), tonumber(lease_ms), refused, messages}`,
    }),

    /**
     * Gives one message back, or buries it. `how`: "retry" spends an attempt, "release" does not,
     * "dead" buries. Gives where it is now: "ready", "delayed" or "dead", or "cancelled" if somebody
     * has cancelled it meanwhile; "done" if it was settled already; "lost" if the lease is gone.
     */
    giveBack: define("give_back", {
      args: [
        "lease",
        "index",
        "how",
        "delay_ms",
        "error",
        "reason",
        "received",
        "policy",
        "counting",
      ],
      reply: String,
      lua: `
if not lives(lease) then return "lost" end
local field = lease .. ":" .. index
local held = redis.call("HGET", leased, field)
if not held then return "done" end
redis.call("HDEL", leased, field)
let_go({held})
local _, message = bare(held)
local h = parse(message)
if h.flag == "x" then return "cancelled" end
if how == "release" then
  if h.flag == "1" then redis.call("RPUSH", lapsed, message) else put_back(message) end
  look_and_wake_one()
  return "ready"
end
h.attempts = h.attempts + 1
h.flag = "0"
count("failed", 1)
-- The number of the attempt is known here, also to whoever settles by a token.
if error ~= "" then remember(h, '{"attempt":' .. h.attempts .. "," .. string.sub(error, 2)) end
log_failed(h, received, string.match(lease, "^[%w-]*"))
if how == "retry" then
  local attempts = h.attempts == 1 and " attempt: " or " attempts: "
  reason = '"after ' .. h.attempts .. attempts .. string.sub(reason, 2)
end
if how == "dead" or h.attempts >= limit("attempts") then
  bury(h, reason)
  return "dead"
end
waits_from(h, now + delay_ms)
if tonumber(delay_ms) > 0 then
  local due = first_due()
  redis.call("ZADD", delayed, now + delay_ms, write(h))
  if not due or now + delay_ms < due then need_token() end
  return "delayed"
end
put({write(h)})
look_and_wake_one()
return "ready"`,
    }),

    /**
     * Promotes and sweeps; what is too old goes. Gives milliseconds until the next delayed message is
     * due, or until the rate permits a claim, or -1.
     */
    tick: define("tick", {
      args: ["policy", "rate", "counting"],
      rated: true,
      reply: Number,
      lua: `
promote(1000)
sweep()
adopt()
drop_old_dead()
end_windows(1000)
-- Somebody who keeps no log does not trim what others keep.
if limit("completed") > 0 then trim_log(completed, limit("completed_age")) end
if limit("failed") > 0 then trim_log(failed, limit("failed_age")) end
local left, due = waiting_in_all(), first_due()
wake_one(left, redis.call("LLEN", wake), due)
return next_due(left, due)`,
    }),

    /**
     * A consumer leaves that knew when the next delayed message is due, or the rate permits a claim:
     * another one is told to look, by a token.
     */
    handOn: define("hand_on", {
      args: [],
      works: false,
      reply: Number,
      lua: `
paused()
is_held = false  -- nobody else may know until when
if redis.call("ZCARD", delayed) > 0 or waiting_in_all() > 0 then need_token() end
return 1`,
    }),

    /**
     * rest: ids, or none for the oldest. Gives how many were dead, how many it looked at, and how many
     * are ready again.
     */
    redrive: define("redrive", {
      args: ["most", "counting"],
      reply: (raw) => {
        const [dead = 0, seen = 0, redriven = 0] = (raw as number[]).map(Number);
        return { dead, seen, redriven };
      },
      lua: `
local chosen, dead_before = {unpack(ARGV, first_of_rest)}, redis.call("ZCARD", dead_at)
if #chosen == 0 then chosen = redis.call("ZRANGE", dead_at, 0, most - 1) end
local again, seen, bytes = {}, 0, 0
for _, id in ipairs(chosen) do
  if bytes > ${BUDGET_BYTES} then break end
  seen = seen + 1
  local record = redis.call("HGET", dead, id)
  redis.call("HDEL", dead, id)
  redis.call("ZREM", dead_at, id)
  if record then
    bytes = bytes + #record
    local h = parse(string.sub(record, (string.find(record, "\\n", 1, true) or 0) + 1))
    h.attempts = 0
    h.flag = "0"
    waits_from(h, now)
    again[#again + 1] = write(h)
  end
end
put(again)
look_and_wake_one()
count("redriven", #again)
return {dead_before, seen, #again}`,
    }),

    /**
     * Removes up to `most` messages of a state, or a whole log. Gives 1 if there may be more, and how many
     * messages went: what was cancelled is none any more.
     */
    purge: define("purge", {
      args: ["state", "most"],
      reply: (raw) => (raw as number[]).map(Number) as [number, number],
      lua: `
local purged, more = 0, false
if state == "completed" or state == "failed" then
  local list = state == "failed" and failed or completed
  local entries = redis.call("LLEN", list)
  redis.call("UNLINK", list)
  return {0, entries}
elseif state == "dead" then
  more = in_steps(tonumber(most), function(n)
    local oldest, bytes = redis.call("ZRANGE", dead_at, 0, n - 1), 0
    for _, id in ipairs(oldest) do
      bytes = bytes + redis.call("HSTRLEN", dead, id)
      drop_dead(id)
    end
    purged = purged + #oldest
    return #oldest, bytes
  end)
  return {more and 1 or 0, purged}
end
more = in_steps(tonumber(most), function(n)
  local gone = {}
  if state == "delayed" then
    local popped = redis.call("ZPOPMIN", delayed, n)
    for i = 1, #popped, 2 do gone[#gone + 1] = popped[i] end
  else
    gone = redis.call("RPOP", lapsed, n) or {}
    if #gone < n then
      for _, message in ipairs(take(n - #gone)) do gone[#gone + 1] = message end
    end
  end
  for _, message in ipairs(gone) do
    local h = parse(message)
    if h.flag ~= "x" then purged = purged + 1 end
    free(h, true)
  end
  return #gone, weight(gone)
end)
look_and_wake_one()
return {more and 1 or 0, purged}`,
    }),

    /** `how`: "pause" or "resume". Removes first: also at `maxmemory` a queue can be paused. */
    pause: define("pause", {
      args: ["how"],
      reply: Number,
      lua: `
if how == "pause" then
  redis.call("DEL", wake)
  redis.call("HSETNX", control, "paused", string.format("%.0f", now))
  redis.call("PERSIST", control)
else
  redis.call("DEL", control)
  look_and_wake_one()
  if redis.call("ZCARD", delayed) > 0 then need_token() end
end
return 1`,
    }),

    /**
     * Up to `most` entries of a state from position `from` on, each with its time; leased ones with when
     * the lease ends, and their field; dead ones with their id. Where the positions are not numbers from 0 on (the hands are a
     * HASH, which has no order) the next one is given.
     */
    peek: define("peek", {
      args: ["state", "from", "most"],
      works: false,
      reply: readPage,
      lua: `${LOOK[kind]}
local entries, following = {}, {}
if state == "leased" then
  -- A small hash comes whole, whatever is asked for: then the position inside it goes behind a dot.
  local at, skip = string.match(from, "^(%d+)%.?(%d*)$")
  skip = tonumber(skip) or 0
  local found = redis.call("HSCAN", leased, at, "COUNT", most)
  for i = 2 * skip + 1, #found[2], 2 do
    if #entries == tonumber(most) then return {entries, at .. "." .. (i - 1) / 2} end
    local field = found[2][i]
    local ends = redis.call("ZSCORE", leases, (string.gsub(field, ":%d+$", "")))
    local _, message = bare(found[2][i + 1])
    entries[#entries + 1] = {message, ends or 0, field}
  end
  return {entries, found[1] ~= "0" and found[1] .. ".0" or ""}
end
local first = tonumber(from) or redis.call("LLEN", lapsed)  -- behind an id there is what never lapsed
local last = first + most  -- one more, to know whether there are more
if state == "completed" or state == "failed" then
  for _, entry in ipairs(redis.call("LRANGE", state == "failed" and failed or completed, first, last)) do
    entries[#entries + 1] = {entry, 0, false}
  end
elseif state == "ready" then
  local before = redis.call("LLEN", lapsed)
  local apart = {}
  if first < before then apart = redis.call("LRANGE", lapsed, -1 - last, -1 - first) end
  for i = #apart, 1, -1 do entries[#entries + 1] = {apart[i], 0, false} end
  local next_first, next_last = math.max(0, first - before), last - before
  if next_last >= next_first then
    local messages, afters = page(next_first, next_last, from)
    for i, message in ipairs(messages) do
      entries[#entries + 1] = {message, 0, false}
      following[#entries] = afters and afters[i]
    end
  end
else
  local found = redis.call("ZRANGE", state == "dead" and dead_at or delayed, first, last, "WITHSCORES")
  for i = 1, #found, 2 do
    local entry, id = found[i], false
    if state == "dead" then entry, id = redis.call("HGET", dead, entry), entry end
    entries[#entries + 1] = {entry, found[i + 1], id}
  end
end
if #entries <= tonumber(most) then return {entries, ""} end
entries[#entries] = nil
return {entries, following[#entries] or string.format("%d", first + most)}`,
    }),

    /**
     * Looks for a message by its id, or the uid that the queue gave it, among up to `most` entries of a
     * place, newest first: what is taken out at the old end meanwhile shifts nothing. `how`: "find", or
     * "cancel", which takes it out. In a list and in a hand, a mark stays in its place, for the
     * consumer to throw away. Gives where to go on ("" at the end), how many bytes it looked
     * at, and what it found.
     */
    scan: define("scan", {
      args: ["place", "from", "most", "id", "how", "counting"],
      reply: readScan,
      lua: `${LOOK[kind]}
local function is_it(message)
  local eol = string.find(message, "\\n", 1, true)
  if not eol or eol > 601 or not string.find(string.sub(message, 1, eol), id, 1, true) then return end
  local h = parse(message)
  return (h.uid == id or h.id == id) and h.flag ~= "x" and h or nil
end

local first, page, afters, stride, following = tonumber(from) or 0, nil, nil, 1, ""
if place == "leased" then
  local found = redis.call("HSCAN", leased, from, "COUNT", most)
  page, stride, following = found[2], 2, found[1] ~= "0" and found[1] or ""
elseif place == "delayed" then
  page = redis.call("ZRANGE", delayed, first, first + most - 1, "REV")
elseif place == "lapsed" then
  page = redis.call("LRANGE", lapsed, first, first + most - 1)
else
  page, afters = newest(first, tonumber(most), from)
end
if stride == 1 and #page == tonumber(most) then
  following = afters and afters[#page] or string.format("%d", first + #page)
end
local bytes = 0
for i = stride, #page, stride do
  local front, message = "", page[i]
  if place == "leased" then front, message = bare(message) end
  bytes = bytes + #message
  local h = is_it(message)
  if h then
    local at, field = 0, false
    if place == "delayed" then at = redis.call("ZSCORE", delayed, message) end
    if place == "leased" then
      field = page[i - 1]
      at = redis.call("ZSCORE", leases, (string.gsub(field, ":%d+$", ""))) or 0
    end
    if how == "cancel" then
      redis.call("HDEL", leased, "")  -- LSET counts as adding: at \`maxmemory\` a removal goes first
      local mark = write({uid = h.uid, attempts = h.attempts, flag = "x", at = h.at, later = h.later,
        history = "", priority = h.priority, id = "", key = "", message = "", body_at = 1})
      if place == "leased" then
        redis.call("HDEL", leased, field)
        redis.call("HSET", leased, field, front .. mark)
      elseif place == "delayed" then
        redis.call("ZREM", delayed, message)
      elseif place == "lapsed" then
        redis.call("LSET", lapsed, first + i - 1, mark)
      else
        strike(first + i - 1, message, mark, afters and afters[i])
      end
      free(h, true)
      count("cancelled", 1)
      look_and_wake_one()
    end
    return {"", bytes, {message, at, field}}
  end
end
return {following, bytes}`,
    }),

    /** Removes one dead letter. Gives 1 if it was there. */
    removeDead: define("remove_dead", {
      args: ["id", "counting"],
      reply: Number,
      lua: `
if redis.call("HEXISTS", dead, id) == 0 then return 0 end
drop_dead(id)
count("cancelled", 1)
return 1`,
    }),

    /**
     * Ready, leased, delayed, dead; how long the next one to come out has waited, or -1; and 1 if the
     * queue is paused.
     */
    counts: define("counts", {
      args: [],
      works: false,
      reply: (raw) => (raw as number[]).map(Number),
      lua: `${MESSAGE}${LOOK[kind]}
local next_message = redis.call("LINDEX", lapsed, -1) or next_out()
local h = next_message and parse(next_message)
return {
  waiting_in_all(), redis.call("HLEN", leased), redis.call("ZCARD", delayed),
  redis.call("ZCARD", dead_at), h and math.max(0, now - h.at - h.later) or -1, paused() and 1 or 0
}`,
    }),

    ack: ackOf(kind),
    forget: forgetOf(kind),
  };
}

/**
 * Done with messages. rest, for each lease: its name; when it was claimed; "1" if one of its messages holds
 * a name, or may, or if what was done is kept: then they are looked at, and what they hold is freed; how
 * many messages, and their indexes (in a stream with the id that is on record: `17 1795320605233-0`, if the
 * consumer knows it). `looking`: "1" if this is so for any lease. `keep`: how many of the log of what was done are kept, and for how long, or
 * "". `times`: how long they waited and ran. Gives for each lease how many messages it removed, or -1
 * where the lease is gone. The lease stays, so that a repeated ack succeeds; a later claim removes it.
 */
function ackOf(kind: ReadyKind): LeasedScripts["ack"] {
  return defineScript({
    name: "ack",
    keys: [
      "leased",
      "leases",
      "ids",
      "dedupe",
      "dedupe_until",
      "completed",
      "stats",
      ...BOOKS[kind],
    ],
    args: withOwn(kind, ["looking", "keep", "times", "counting"]),
    lua: `
${TIME}
${STATS}
${LET_GO[kind]}
local look
if looking == "1" then
  redis.call("HLEN", leased); redis.call("HLEN", ids); redis.call("HLEN", dedupe)
  redis.call("ZCARD", dedupe_until); redis.call("LLEN", completed)
  ${MESSAGE}
  ${NAMES}
  ${LOGS}
  local keep_most, keep_age = string.match(keep, "^(%d+) (%d+)$")
  function look(fields, lease, received)
    local entries = {}
    local held = redis.call("HMGET", leased, unpack(fields))
    -- Removes first: also at \`maxmemory\`.
    local gone = redis.call("HDEL", leased, unpack(fields))
    for _, message in ipairs(held) do
      -- What was settled in another way before may be alive, and with it what it holds.
      if message then
        local _, message = bare(message)
        local h = parse(message)
        free(h)
        if keep_most and h.flag ~= "x" then
          entries[#entries + 1] = log_entry(received, string.match(lease, "^[%w-]*"), message)
        end
      end
    end
    if #entries > 0 then log(completed, tonumber(keep_most), tonumber(keep_age), entries) end
    return gone
  end
end

local removed, acked, i = {}, 0, first_of_rest
while i <= #ARGV do
  local lease, received, looks, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local gone = -1
  local ends = redis.call("ZSCORE", leases, lease)
  if ends and tonumber(ends) > 0 then
    local fields = fields_at(lease, i + 4, n)
    let_go_of(fields)
    if looks == "1" then gone = look(fields, lease, received)
    else gone = redis.call("HDEL", leased, unpack(fields)) end
    acked = acked + gone
  end
  removed[#removed + 1] = gone
  i = i + 4 + n
end
if acked > 0 then
  count("acked", acked)
  count_times(times)
end
return removed`,
    reply: (raw) => (raw as number[]).map(Number),
  });
}

/** rest: finished leases, each with how many messages it had; for consumers that claim no more. */
function forgetOf(kind: ReadyKind): LeasedScripts["forget"] {
  return defineScript({
    name: "forget",
    keys: ["leased", "leases", ...BOOKS[kind]],
    args: withOwn(kind, []),
    lua: `${FORGET}
${LET_GO[kind]}
forget_finished(first_of_rest)
for i = first_of_rest, #ARGV, 2 do dismiss(string.match(ARGV[i], "^[%w-]*")) end
return 1`,
    reply: Number,
  });
}

/** One set of scripts for each kind. */
export const LEASED_SCRIPTS: Record<ReadyKind, LeasedScripts> = {
  list: scriptsOf("list"),
  priority: scriptsOf("priority"),
  stream: scriptsOf("stream"),
};

/** The scripts of a kind, told once what only this kind has to be told. */
export function bindScripts(kind: ReadyKind, own: Record<string, string | number>): LeasedScripts {
  const scripts = LEASED_SCRIPTS[kind];
  if (OWN_ARGS[kind].length === 0) return scripts;
  const bound = Object.entries(scripts).map(([name, script]) => {
    const { run } = script as Script<Key, string, unknown>;
    const told: typeof run = (send, keys, args, rest) => run(send, keys, { ...args, ...own }, rest);
    return [name, { ...script, run: told }];
  });
  return Object.fromEntries(bound);
}

/** Last, so that the others stand where they stand for all kinds. */
function withOwn<const A extends string>(kind: ReadyKind, args: readonly A[]): readonly A[] {
  return [...args, ...OWN_ARGS[kind] as readonly A[]];
}

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
  if deadline and tonumber(deadline) > 0 then
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

/** Everything that a queue has counted, and Redis's clock. */
export const statsScript = defineScript({
  name: "stats",
  keys: ["stats"],
  args: [],
  lua: `
local time = redis.call("TIME")
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call("HGETALL", stats)}`,
  reply: (raw) => {
    const [now, flat] = raw as [number, Buffer[]];
    const fields = new Map<string, string>();
    for (let i = 0; i < flat.length; i += 2) fields.set(String(flat[i]), String(flat[i + 1]));
    return { now: Number(now), fields };
  },
});

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
  end
end
return found`,
  reply: (raw) => raw as (Buffer | number)[],
});

/** What became of the messages of an enqueue. */
export interface Stored {
  /** How many of the plain ones were stored, from the first on. */
  plain: number;
  /** Of the others, those that were not: their position, from 0, and the id that is there already, or "". */
  refused: Map<number, string>;
}

function readStored(raw: unknown): Stored {
  const [plain, ...words] = (raw as unknown[]).map(String);
  const refused = new Map<number, string>();
  for (let i = 0; i < words.length; i += 2) {
    refused.set(Number(words[i]) - 1, words[i + 1] === "full" ? "" : words[i + 1]!.slice(1));
  }
  return { plain: Number(plain), refused };
}

/** What a claim gives. */
export interface Claim {
  /** Redis's clock, in milliseconds since 1970. */
  now: number;
  /** Milliseconds until the next delayed message is due, or the rate permits a claim; or -1. */
  dueInMs: number;
  /** Milliseconds until the lease ends. */
  leaseMs: number;
  /** For how long nothing may be claimed: 0 if it may, -1 while the queue is paused. */
  refusedMs: number;
  /** The messages. */
  messages: Uint8Array[];
  /** In a stream: by which id the group has each on record, or "". */
  ids?: string[];
}

function readClaim(raw: unknown): Claim {
  const [now, due, lease, refused, messages] = raw as [
    number,
    number,
    number,
    number,
    Uint8Array[],
  ];
  return {
    now: Number(now),
    dueInMs: Number(due),
    leaseMs: Number(lease),
    refusedMs: Number(refused),
    messages,
  };
}

/** In a hand of a stream the id stands in front of the message, and a space. */
function readStreamClaim(raw: unknown): Claim {
  const claim = readClaim(raw);
  const ids: string[] = [];
  const messages = claim.messages.map((held) => {
    const [id = ""] = /^\d+-\d+(?= )/.exec((held as Buffer).toString("latin1", 0, 42)) ?? [];
    ids.push(id);
    return id === "" ? held : held.subarray(id.length + 1);
  });
  return { ...claim, messages, ids };
}

/** A page of entries, and where the next one begins, or "". */
export interface Page {
  entries: Seen[];
  next: string;
}

function readPage(raw: unknown): Page {
  const [entries, next] = raw as [Seen[], Buffer];
  return { entries, next: String(next) };
}

/** A step of a scan: where to go on, or ""; how many bytes it looked at; and what it found. */
export interface Scan {
  next: string;
  bytes: number;
  found?: Seen;
}

function readScan(raw: unknown): Scan {
  const [next, bytes, found] = raw as [Buffer, number, Seen | undefined];
  return { next: String(next), bytes: Number(bytes), ...(found && { found }) };
}
