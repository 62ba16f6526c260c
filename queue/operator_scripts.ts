/**
 * Looking into a queue, and putting things right: the scripts of operators.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { BUDGET_BYTES, MESSAGE } from "./leased_lua.ts";
import { type LeasedScript, leasedScript, plainly, working } from "./leased_script.ts";
import { LOOK, type ReadyKind } from "./ready_lua.ts";

/** Where a scan looks: the parts of a queue that have no index by id. */
export type Place = "delayed" | "ready" | "lapsed" | "leased";

/**
 * An entry that was looked at, its time, and the field of the HASH that it is in, if it is in one; and how
 * many bytes of its payload were left out, if they were.
 */
export type Seen = [
  entry: Buffer | null,
  at: Buffer | number,
  field: Buffer | string | null,
  cut?: Buffer | number | null,
];

/**
 * Ready, leased, delayed, dead; how long the oldest of those has waited that stand in front, or -1; and 1
 * if the queue is paused.
 */
export const countsOf = (kind: ReadyKind): LeasedScript<never, number[]> =>
  leasedScript(kind, {
    name: "counts",
    args: [],
    reply: (raw) => (raw as number[]).map(Number),
    lua: `${plainly(kind)}${MESSAGE}${LOOK[kind]}
local oldest = -1
local function meet(message)
  local h = parse(message)
  oldest = math.max(oldest, now - h.at - h.later, 0)
end
local apart = redis.call("LINDEX", lapsed, -1)
if apart then meet(apart) end
for _, message in ipairs(heads()) do meet(message) end
return {
  waiting_in_all(), redis.call("HLEN", leased), redis.call("ZCARD", delayed),
  redis.call("ZCARD", dead_at), oldest, paused() and 1 or 0
}`,
  });

/** The first line of a task's body is its name. */
const NAME_STAYS = `body_at = string.match(entry, "^[^\\n]*\\n()", body_at) or body_at`;

/**
 * Up to `most` entries of a state from position `from` on, each with its time; leased ones with when
 * the lease ends, and their field; dead ones with their id. Where the positions are not numbers from 0 on (the hands are a
 * HASH, which has no order) the next one is given. `payloads`: "0" leaves them out and says how many bytes
 * they have; of a task its name stays.
 */
export const peekOf = (
  kind: ReadyKind,
): LeasedScript<"state" | "from" | "most" | "payloads", Page> =>
  leasedScript(kind, {
    name: "peek",
    args: ["state", "from", "most", "payloads"],
    reply: readPage,
    lua: `${plainly(kind)}${MESSAGE}${LOOK[kind]}
local entries, following = {}, {}

-- In front of the message there may be a line of the log, or why it died.
local function without_payload(entry)
  local from = 1
  if state == "dead" then from = (string.find(entry, "\\n", 1, true) or 0) + 1
  elseif state == "completed" or state == "failed" then
    from = string.match(entry, "^%d+ %d+ %S*\\n()") or 1
  end
  local body_at = from - 1 + parse(string.sub(entry, from)).body_at
  ${kind === "tasks" ? NAME_STAYS : ""}
  return string.sub(entry, 1, body_at - 1), #entry - body_at + 1
end

local function given(next)
  if payloads == "0" then
    for _, seen in ipairs(entries) do
      if seen[1] then seen[1], seen[4] = without_payload(seen[1]) end
    end
  end
  return {entries, next}
end

if state == "leased" then
  -- A small hash comes whole, whatever is asked for: then the position inside it goes behind a dot.
  local at, skip = string.match(from, "^(%d+)%.?(%d*)$")
  skip = tonumber(skip) or 0
  local found = redis.call("HSCAN", leased, at, "COUNT", most)
  for i = 2 * skip + 1, #found[2], 2 do
    if #entries == tonumber(most) then return given(at .. "." .. (i - 1) / 2) end
    local field = found[2][i]
    local ends = redis.call("ZSCORE", leases, (string.gsub(field, ":%d+$", "")))
    entries[#entries + 1] = {found[2][i + 1], ends or 0, field}
  end
  return given(found[1] ~= "0" and found[1] .. ".0" or "")
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
if #entries <= tonumber(most) then return given("") end
entries[#entries] = nil
return given(following[#entries] or string.format("%d", first + most))`,
  });

/**
 * Looks for a message by its id, or the uid that the queue gave it, among up to `most` entries of a
 * place, newest first: what is taken out at the old end meanwhile shifts nothing. `how`: "find", or
 * "cancel", which takes it out. In a list and in a hand, a mark stays in its place, for the
 * consumer to throw away. Gives where to go on ("" at the end), how many bytes it looked
 * at, and what it found.
 */
export const scanOf = (
  kind: ReadyKind,
): LeasedScript<"place" | "from" | "most" | "id" | "how" | "counting", Scan> =>
  leasedScript(kind, {
    name: "scan",
    args: ["place", "from", "most", "id", "how", "counting"],
    reply: readScan,
    lua: `${plainly(kind)}${working(kind)}${LOOK[kind]}
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
  local message = page[i]
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
        redis.call("HSET", leased, field, mark)
      elseif place == "delayed" then
        redis.call("ZREM", delayed, message)
      elseif place == "lapsed" then
        redis.call("LSET", lapsed, first + i - 1, mark)
      else
        strike(first + i - 1, message, mark, afters and afters[i])
      end
      free(h, true)
      track(h, "cancelled", "cancelled")
      count("cancelled", 1)
      look_and_wake_one()
    end
    return {"", bytes, {message, at, field}}
  end
end
return {following, bytes}`,
  });

/** Removes one dead letter. Gives 1 if it was there. */
export const removeDeadOf = (kind: ReadyKind): LeasedScript<"id" | "counting", number> =>
  leasedScript(kind, {
    name: "remove_dead",
    args: ["id", "counting"],
    reply: Number,
    lua: `${plainly(kind)}${working(kind)}
local record = redis.call("HGET", dead, id)
if not record then return 0 end
drop_dead(id)
track(parse(string.sub(record, (string.find(record, "\\n", 1, true) or 0) + 1)), "cancelled", "cancelled")
count("cancelled", 1)
return 1`,
  });

/**
 * rest: ids, or none for the oldest. Gives how many were dead, how many it looked at, and how many
 * are ready again.
 */
export const redriveOf = (
  kind: ReadyKind,
): LeasedScript<"most" | "counting", { dead: number; seen: number; redriven: number }> =>
  leasedScript(kind, {
    name: "redrive",
    args: ["most", "counting"],
    reply: (raw) => {
      const [dead = 0, seen = 0, redriven = 0] = (raw as number[]).map(Number);
      return { dead, seen, redriven };
    },
    lua: `${plainly(kind)}${working(kind)}
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
    track_again(h)
    track(h, "ready", "redriven")
    again[#again + 1] = write(h)
  end
end
put(again)
look_and_wake_one()
count("redriven", #again)
return {dead_before, seen, #again}`,
  });

/**
 * Removes up to `most` messages of a state, or a whole log. Gives 1 if there may be more, and how many
 * messages went: what was cancelled is none any more.
 */
export const purgeOf = (
  kind: ReadyKind,
): LeasedScript<"state" | "most", [more: number, purged: number]> =>
  leasedScript(kind, {
    name: "purge",
    args: ["state", "most"],
    reply: (raw) => (raw as number[]).map(Number) as [number, number],
    lua: `${plainly(kind)}${working(kind)}
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
    if h.flag ~= "x" then
      purged = purged + 1
      untrack(h)
    end
    free(h, true)
  end
  return #gone, weight(gone)
end)
look_and_wake_one()
return {more and 1 or 0, purged}`,
  });

/** `how`: "pause" or "resume". Removes first: also at `maxmemory` a queue can be paused. */
export const pauseOf = (kind: ReadyKind): LeasedScript<"how", number> =>
  leasedScript(kind, {
    name: "pause",
    args: ["how"],
    reply: Number,
    lua: `${plainly(kind)}${working(kind)}
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
  });

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
