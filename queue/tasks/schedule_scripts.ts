/**
 * What schedulers do in Redis: one Lua script each. They keep the rules of ../leased_script.ts: check,
 * then write; bound every loop; time is Redis's; a repeated script does nothing more.
 *
 * A definition is read and never changed by a firing; the next tick stands beside it in a ZSET, and the
 * last one in a HASH. So whoever fires compares two things, the definition and the tick that it expects,
 * and of any number of schedulers one is right.
 *
 * @module
 */
import { defineScript } from "../../redis/script.ts";
import { BUDGET_BYTES, TIME } from "../leased_lua.ts";
import { leanLua, plainly } from "../leased_script.ts";
import { OWN_ARGS, type ReadyKind, TRACK } from "../ready_lua.ts";
import { STATS } from "../stats.ts";

/** How tasks wait. */
export const KIND: ReadyKind = "tasks";

/** What the scripts are told of a queue of this kind besides. */
type Own = "group" | "idle_ms" | "records_kept" | "ended";
const OWN = OWN_ARGS[KIND] as readonly Own[];

/** Most schedules of a queue: all of them are listed at once. */
export const MAX_SCHEDULES = 1_000;

/** How many schedules one look takes. */
export const LOOK_AT = 100;

/** A schedule that is due: its name, the tick, and the first line of its definition. */
export interface Due {
  readonly name: string;
  readonly at: number;
  readonly head: string;
}

/**
 * What is due, the oldest first, `most` at most, and when the next one is. A name without a definition,
 * which somebody has deleted, goes.
 */
export const lookScript = defineScript({
  name: "look_at_schedules",
  keys: ["schedules", "schedules_at"],
  args: ["most"],
  lua: `
${TIME}
redis.call("HLEN", schedules)
local found = {}
local due = redis.call("ZRANGE", schedules_at, "-inf", now, "BYSCORE", "LIMIT", 0, most, "WITHSCORES")
for i = 1, #due, 2 do
  local definition = redis.call("HGET", schedules, due[i])
  if definition then
    found[#found + 1] = due[i]
    found[#found + 1] = due[i + 1]
    found[#found + 1] = string.match(definition, "^[^\\n]*")
  else
    redis.call("ZREM", schedules_at, due[i])
  end
end
local after = redis.call("ZRANGE", schedules_at, "(" .. now, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
return {now, after[2] or "", found}`,
  reply: (raw) => {
    const [now, next, flat] = raw as [number, unknown, unknown[]];
    const due: Due[] = [];
    for (let i = 0; i < flat.length; i += 3) {
      due.push({ name: String(flat[i]), at: Number(flat[i + 1]), head: String(flat[i + 2]) });
    }
    const nextAt = String(next) === "" ? Infinity : Number(String(next));
    return { now: Number(now), nextAt, due };
  },
});

/** What became of a tick: a task, or none since the last one is not finished, or since it was there. */
export type Fired = "fired" | "skipped" | "duplicate";

const MARKS: Record<string, Fired> = { f: "fired", s: "skipped", d: "duplicate" };

/**
 * Fires ticks, if `name` is still defined as in `head` and `due` is still its next tick. rest: the ticks,
 * oldest first. `next`: the one after them, or "" if there is none. `uid`: of the definition. `overlap`:
 * "skip" if a tick is none while the last task is not finished. Gives the time; whether it was ours to fire, and
 * not fired or defined anew by somebody else; and what became of each tick, of fewer where the messages are
 * large (the others are next then).
 */
export const fireScript = defineScript({
  name: "fire_schedule",
  keys: [
    "schedules",
    "schedules_at",
    "schedules_fired",
    "ready",
    "lapsed",
    "ids",
    "dead",
    "wake",
    "control",
    "stats",
    "records",
    "records_until",
    "events",
  ],
  args: ["name", "head", "due", "next", "uid", "overlap", "counting", ...OWN],
  lua: leanLua(`${plainly(KIND)}
${STATS}
${TRACK[KIND]}
-- Keys of another type fail here, before anything is written.
redis.call("HLEN", schedules_fired); redis.call("HLEN", ids); redis.call("HLEN", dead)
redis.call("LLEN", wake); redis.call("HLEN", control); redis.call("LLEN", lapsed)
redis.call("HLEN", stats); check_ready(); check_records()

local at, definition = redis.call("ZSCORE", schedules_at, name), redis.call("HGET", schedules, name)
if not at or tonumber(at) ~= tonumber(due) then return {now, 0, ""} end
if not definition or string.sub(definition, 1, #head + 1) ~= head .. "\\n" then return {now, 0, ""} end
local body = string.sub(definition, #head + 2)

local fired_before = redis.call("HGET", schedules_fired, name) or ""
local last, firings, skipped = string.match(fired_before, "^(%d*) (%d+) (%d+)$")
last, firings, skipped = last or "", tonumber(firings) or 0, tonumber(skipped) or 0

local function id_of(tick) return name .. "@" .. tick end

-- An id is held until its message is gone; dead counts as there, and as finished.
local function is_there(id) return redis.call("HEXISTS", ids, id) == 1 end
local function is_unfinished(id) return is_there(id) and redis.call("HEXISTS", dead, id) == 0 end

-- Where a tick becomes a task: a message, whose form envelope.ts has, and what is on record of it.
local function put_task(tick)
  local task_uid, task_id = uid .. "-" .. tick, id_of(tick)
  redis.call("HSET", ids, task_id, task_uid)
  local message = task_uid .. " 0 0 " .. string.format("%.0f", now) .. " 0 0 " .. task_id .. "\\n" .. body
  put({message})
  track_new({message}, {}, {task_id})
end

local ticks = #ARGV - first_of_rest + 1
local fitting = math.min(ticks, math.max(1, math.floor(${BUDGET_BYTES} / (#body + 200))))
if fitting < ticks then next = ARGV[first_of_rest + fitting] end
-- First a command that adds: at maxmemory all of this is refused, and the tick stays for later.
if next ~= "" then redis.call("ZADD", schedules_at, next, name)
else redis.call("ZREM", schedules_at, name) end

local marks, fired = {}, 0
for i = 1, fitting do
  local tick = ARGV[first_of_rest + i - 1]
  if is_there(id_of(tick)) then
    marks[i] = "d"  -- somebody has set Redis's clock back
  elseif overlap == "skip" and last ~= "" and is_unfinished(id_of(last)) then
    marks[i] = "s"
    skipped = skipped + 1
  else
    marks[i] = "f"
    put_task(tick)
    last, fired = tick, fired + 1
  end
end
if fitting > 0 then
  local counts = string.format("%s %d %d", last, firings + fired, skipped)
  redis.call("HSET", schedules_fired, name, counts)
end
if fired > 0 then
  need_token()
  count("enqueued", fired)
end
return {now, 1, table.concat(marks)}`),
  reply: (raw) => {
    const [now, ours, marks] = raw as [number, number, unknown];
    return {
      now: Number(now),
      ours: Number(ours) === 1,
      ticks: [...String(marks)].map((mark) => MARKS[mark]!),
    };
  },
});

/** What an upsert changed. */
export type Change = "added" | "changed" | "none";

/**
 * Defines a schedule. rest: the next ticks as its owner sees them. One that is defined so already keeps
 * its next tick, unless Redis's clock was ahead when that was found. Where another definition has a tick
 * that is due and not fired, the owner is asked: `seen` is that tick, `keep` "1" if it is one of the new
 * definition as well, which then fires it. Gives "full", if there are `max_schedules` others; "due", if
 * there is such a tick, or another one; "stale", if all ticks of rest are over; else what it changed; and
 * the time, and the next tick.
 */
export const setScript = defineScript({
  name: "set_schedule",
  keys: ["schedules", "schedules_at", "schedules_fired"],
  args: ["name", "definition", "max_schedules", "seen", "keep"],
  lua: `
${TIME}
redis.call("HLEN", schedules_fired)
local before = redis.call("HGET", schedules, name)
local at = redis.call("ZSCORE", schedules_at, name)
if not before and redis.call("HLEN", schedules) >= tonumber(max_schedules) then return {"full", now, ""} end
local same, is_due = before == definition, at and tonumber(at) <= now
-- What is due is for whoever fires; and what has come to its end stays there.
if same and (not at or is_due) then return {"none", now, at or ""} end
if before and is_due and at ~= seen then return {"due", now, at} end
local next = before and is_due and keep == "1" and at or nil
-- A tick that is over may have been fired by now.
for i = first_of_rest, #ARGV do
  if not next and tonumber(ARGV[i]) > now then next = ARGV[i] end
end
if not next then return {"stale", now, ""} end
if same and tonumber(at) <= tonumber(next) then return {"none", now, at} end
redis.call("ZADD", schedules_at, next, name)
if same then return {"none", now, next} end
redis.call("HSET", schedules, name, definition)
return {before and "changed" or "added", now, next}`,
  reply: (raw) => {
    const [change, now, at] = (raw as unknown[]).map(String);
    return {
      change: change as Change | "full" | "due" | "stale",
      now: Number(now),
      at: at === "" ? undefined : Number(at),
    };
  },
});

/** Removes a schedule; what it has fired stays. Gives 1 if it was there. */
export const removeScript = defineScript({
  name: "remove_schedule",
  keys: ["schedules", "schedules_at", "schedules_fired"],
  args: ["name"],
  lua: `
redis.call("ZCARD", schedules_at); redis.call("HLEN", schedules_fired)
local gone = redis.call("HDEL", schedules, name)
redis.call("ZREM", schedules_at, name)
redis.call("HDEL", schedules_fired, name)
return gone`,
  reply: (raw) => Number(raw) === 1,
});

/** A schedule as it stands in Redis. */
export interface Listed {
  readonly name: string;
  readonly definition: string;
  readonly at: string;
  readonly fired: string;
}

/** A part of all schedules, in no order, and where the next one begins, or "". */
export const listScript = defineScript({
  name: "list_schedules",
  keys: ["schedules", "schedules_at", "schedules_fired"],
  args: ["cursor"],
  lua: `
redis.call("ZCARD", schedules_at)
local found, entries = redis.call("HSCAN", schedules, cursor, "COUNT", 100), {}
for i = 1, #found[2], 2 do
  local name = found[2][i]
  entries[#entries + 1] = name
  entries[#entries + 1] = found[2][i + 1]
  entries[#entries + 1] = redis.call("ZSCORE", schedules_at, name) or ""
  entries[#entries + 1] = redis.call("HGET", schedules_fired, name) or ""
end
return {found[1] ~= "0" and found[1] or "", entries}`,
  reply: (raw) => {
    const [next, flat] = raw as [unknown, unknown[]];
    const listed: Listed[] = [];
    for (let i = 0; i < flat.length; i += 4) {
      const [name, definition, at, fired] = flat.slice(i, i + 4).map(String);
      listed.push({ name: name!, definition: definition!, at: at!, fired: fired! });
    }
    return { next: String(next), listed };
  },
});
