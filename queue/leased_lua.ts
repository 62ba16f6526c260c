/**
 * What the scripts of a queue with leases are made of: Lua functions for a message and its moves. They
 * work on the keys by their declared names; see leased_script.ts for the rules that all of them keep.
 *
 * @module
 */

/** Redis's clock, in milliseconds since 1970. */
export const TIME = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** The message taken apart and put together; see envelope.ts for its form. */
export const MESSAGE = `
local function parse(message)
  local eol = string.find(message, "\\n", 1, true)
  if eol and eol <= 601 then
    local uid, attempts, flag, at, later, bytes, priority, names = string.match(
      string.sub(message, 1, eol - 1),
      "^(%S+) (%d+) ([01x]) (%d+)%+?(%d*) (%d+) (%-?%d+) ?(.*)$")
    if uid and eol + bytes <= #message then
      local id, key = string.match(names, "^([^\\t]*)\\t?(.*)$")
      return {
        uid = uid, attempts = tonumber(attempts), flag = flag, at = at,
        later = tonumber(later) or 0, id = id, key = key, priority = tonumber(priority),
        history = string.sub(message, eol + 1, eol + bytes),
        message = message, body_at = eol + bytes + 1
      }
    end
  end
  -- Somebody else's entry: a header that says nothing carries it wherever a message can go.
  return {
    uid = "foreign-" .. redis.sha1hex(message), attempts = 0, flag = "0",
    at = string.format("%.0f", now), later = 0, id = "", key = "", priority = 0, history = "",
    message = message, body_at = 1
  }
end

local function write(h)
  local since = h.later > 0 and h.at .. string.format("+%.0f", h.later) or h.at
  local header = {h.uid, h.attempts, h.flag, since, #h.history, h.priority}
  if h.key ~= "" then header[7] = h.id .. "\\t" .. h.key
  elseif h.id ~= "" then header[7] = h.id end
  -- Cut out here only: a body may be large, and most of what is parsed is not written again.
  return table.concat(header, " ") .. "\\n" .. h.history .. string.sub(h.message, h.body_at)
end

-- From when on it waits to be claimed, which is not when it was enqueued if it was delayed or came back.
local function waits_from(h, time) h.later = math.max(0, time - h.at) end

-- An attempt's error goes along with the message; the oldest go when they grow too many.
local function remember(h, line)
  h.history = h.history .. line
  while #h.history > 65536 do
    h.history = string.sub(h.history, string.find(h.history, "\\n", 1, true) + 1)
  end
end`;

/**
 * Keys of another type fail here, and so does a counter that is none, before anything is written. A look
 * at a key costs as much as any command, so what every message goes through (enqueue, claim, ack) looks
 * only at what it writes itself.
 */
export const CHECK = `
redis.call("LLEN", lapsed); check_hands(); redis.call("ZCARD", leases)
redis.call("ZCARD", delayed); redis.call("HLEN", dead); redis.call("ZCARD", dead_at)
redis.call("HLEN", ids); redis.call("HLEN", dedupe); redis.call("ZCARD", dedupe_until)
redis.call("HLEN", replays); redis.call("LLEN", wake)
redis.call("HLEN", control); redis.call("LLEN", grants); redis.call("LLEN", completed)
redis.call("LLEN", failed); redis.call("HLEN", stats); waiting()
if not string.match(redis.call("GET", seq) or "0", "^%d+$") then
  return redis.error_reply("WRONGTYPE the counter of the order holds no number")
end`;

/** A lease is named `<consumer>:<messages asked for>:<count>`. */
export const LEASES = `
local function asked_for(lease)
  return math.min(1000, tonumber(string.match(lease, ":(%d+):%d+$")) or 0)
end

-- The score of a lease that is over, and whose hand is too large to be emptied at once.
local OVER = -1

local function lives(lease)
  local ends = redis.call("ZSCORE", leases, lease)
  return ends and tonumber(ends) ~= OVER and ends or nil
end
`;

/**
 * fields_of(lease, from, to): under what the messages of a hand stand, from one index to another; behind
 * those that are given. Written by tens: for Lua a number is far more work than a text.
 */
export const FIELDS = `
local function fields_of(lease, from, to, fields)
  fields = fields or {}
  local digits = {[0] = "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
  local front
  local before = #fields - from + 1
  for i = from, to do
    local digit = i % 10
    if not front or digit == 0 then front = lease .. ":" .. (i < 10 and "" or math.floor(i / 10)) end
    fields[before + i] = front .. digits[digit]
  end
  return fields
end`;

/**
 * Forgets leases under which nothing is left: they need not lapse. Each comes, from `first_of_rest` on, with
 * how many messages it had, to be looked for; 0 if Redis has said of each that it is gone.
 */
export const FORGET = `
for i = first_of_rest, #ARGV, 2 do
  local finished, n = ARGV[i], tonumber(ARGV[i + 1])
  local left = false
  if n > 0 then
    for _, held in ipairs(redis.call("HMGET", leased, unpack(fields_of(finished, 1, n)))) do
      left = left or held
    end
  end
  if not left then
    forget_hand(finished)
    redis.call("ZREM", leases, finished)
  end
end`;

/** Whether something waits that may be claimed, and who is told. */
export const WAKE = `
local function waiting_in_all() return waiting() + redis.call("LLEN", lapsed) end

-- Paused, by an operator; or held back, by the rate limit, until a tick tells somebody.
local is_paused, is_held
local function paused()
  if is_paused == nil then
    local since, ends = unpack(redis.call("HMGET", control, "paused", "held_until"))
    is_paused, is_held = since and true or false, ends and tonumber(ends) > now or false
  end
  return is_paused
end

-- A token for whoever waits. pcall: at maxmemory it may be refused, and is made up for by the longest wait.
local function push_token()
  if not paused() and not is_held then redis.pcall("LPUSH", wake, "1") end
end

local function need_token()
  if redis.call("LLEN", wake) == 0 then push_token() end
end

-- When the first delayed message is due, or nil.
local function first_due() return tonumber(redis.call("ZRANGE", delayed, 0, 0, "WITHSCORES")[2]) end

-- A token if there is something to claim, and none if there is nothing. While messages are delayed, one
-- that is there stays: it may be for a consumer that has yet to hear of them.
local function wake_one(left, tokens, due)
  if left > 0 then
    if tokens == 0 and spare_rate > 0 then push_token() end
  else
    none_waits()
    if tokens > 0 and not due then redis.call("DEL", wake) end
  end
end

local function look_and_wake_one() wake_one(waiting_in_all(), redis.call("LLEN", wake), first_due()) end

-- Milliseconds until the next delayed message is due, or until the rate permits a claim; or -1.
local function next_due(left, due)
  due = due and math.max(0, due - now) or -1
  if left > 0 and spare_rate <= 0 and (due < 0 or spare_in < due) then return spare_in end
  return due
end`;

/** About how many bytes one script moves, so that large messages do not hold Redis for long. */
export const BUDGET_BYTES = 262_144;

/** What the transitions are made of. `policy` is read where something ends; see limits.ts. */
export const MOVES = `
local function weight(messages)
  local bytes = 0
  for _, message in ipairs(messages) do bytes = bytes + #message end
  return bytes
end

-- Few at first; more where they are small. step tells how many it did, and their bytes. Gives whether
-- there may be more.
local function in_steps(most, step)
  local done, bytes, n = 0, 0, 10
  while done < most and bytes < ${BUDGET_BYTES} do
    local asked = math.min(n, most - done)
    local moved, weighed = step(asked)
    done, bytes = done + moved, bytes + weighed
    if moved < asked then return false end
    n = bytes < 1024 * done and 10 * n or n
  end
  return true
end

local function limit(name)
  return tonumber(string.match(policy, name .. "=(%d+)"))
end

local function drop_dead(id)
  local record = redis.call("HGET", dead, id)
  redis.call("HDEL", dead, id)
  redis.call("ZREM", dead_at, id)
  if record then free(parse(string.sub(record, (string.find(record, "\\n", 1, true) or 0) + 1)), true) end
end

-- At most ten go at a time.
local function drop_old_dead()
  for _ = 1, 10 do
    local oldest = redis.call("ZRANGE", dead_at, 0, 0, "WITHSCORES")
    if not oldest[1] then return end
    if redis.call("ZCARD", dead_at) <= limit("dead") and now - oldest[2] <= limit("dead_age") then
      return
    end
    drop_dead(oldest[1])
  end
end

-- The last line. Not by a pattern for its end: that is looked for from every character on, to the end of its line.
local function last_error(h)
  local from = 1
  for after in string.gmatch(h.history, "\\n()") do
    if after <= #h.history then from = after end
  end
  return h.history ~= "" and string.sub(h.history, from, -2) or "null"
end

-- reason is a JSON string, so it has no line break.
local function bury(h, reason, consumer)
  local name = h.id ~= "" and h.id or h.uid
  local id = name
  -- Foreign entries that are alike, or an id that is the uid of a dead letter, are several all the same.
  for n = 2, 1000 do
    if redis.call("HEXISTS", dead, id) == 0 then break end
    id = name .. "-" .. n
  end
  redis.call("HSET", dead, id, reason .. "\\n" .. write(h))
  redis.call("ZADD", dead_at, now, id)
  free_key(h)
  count("dead", 1)
  track(h, "dead", "dead", '{"reason":' .. reason .. ',"error":' .. last_error(h) .. "}", consumer)
  drop_old_dead()
end

local function promote(most)
  in_steps(most, function(n)
    local due = redis.call("ZRANGE", delayed, "-inf", now, "BYSCORE", "LIMIT", 0, n)
    if #due == 0 then return 0, 0 end
    redis.call("ZREM", delayed, unpack(due))
    put(due)
    track_many("ready", nil, due)
    return #due, weight(due)
  end)
end

-- Nobody said how it ended. It waits again, apart: what killed one consumer may kill the next, and is
-- handed out alone. Every hand-over counts, so in the end it dies.
local function fell(h, worker)
  if h.flag == "x" then return end
  h.attempts = h.attempts + 1
  waits_from(h, now)
  local error = string.format('{"attempt":%d,"message":"lease lapsed","at":%.0f,"worker":"%s"}',
    h.attempts, now, worker)
  remember(h, error .. "\\n")
  count("lapsed", 1)
  log_failed(h, 0, worker)
  track(h, "ready", "failed", error, worker)
  if h.attempts >= limit("attempts") then
    bury(h, '"lease lapsed"', worker)
  else
    h.flag = "1"
    redis.call("LPUSH", lapsed, write(h))
  end
end

-- What is in the hands of leases that ran out. A hand that is too large for
-- one script has its lease marked as over, below every time, and is gone on with in the next one.
local function sweep()
  local left = 1000
  for _, lease in ipairs(redis.call("ZRANGE", leases, "-inf", now, "BYSCORE", "LIMIT", 0, 100)) do
    local n, from = asked_for(lease), 1
    left = left - math.max(n, 1)
    if left < 0 then return end
    redis.call("ZREM", leases, lease)
    local worker = string.match(lease, "^[%w-]*")
    in_steps(n, function(step)
      local fields = fields_of(lease, from, from + step - 1)
      local held, bytes, indexes = redis.call("HMGET", leased, unpack(fields)), 0, {}
      redis.call("HDEL", leased, unpack(fields))
      for i = 1, step do
        if held[i] then indexes[#indexes + 1] = from + i - 1 end
      end
      let_go(lease, indexes)
      for i = 1, step do
        if held[i] then
          bytes = bytes + #held[i]
          fell(parse(held[i]), worker)
        end
      end
      from = from + step
      return step, bytes
    end)
    if from <= n then return redis.call("ZADD", leases, OVER, lease) end
    forget_hand(lease)
  end
end`;
