/**
 * What the scripts of a queue with leases are made of: Lua functions for a message and its moves. They
 * work on the keys by their declared names; see leased_scripts.ts for the rules that all of them keep.
 *
 * @module
 */

/** How `ready` is kept: first in first out, or by priority and then first in first out. */
export type ReadyKind = "list" | "priority";

/** Time, and the message taken apart and put together; see envelope.ts for its form. */
export const MESSAGE = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function parse(message)
  local eol = string.find(message, "\\n", 1, true)
  if eol and eol <= 401 then
    local uid, attempts, lapsed, at, bytes, priority, id = string.match(
      string.sub(message, 1, eol - 1), "^(%S+) (%d+) ([01]) (%d+) (%d+) (%-?%d+) ?(.*)$")
    if uid and eol + bytes <= #message then
      return {
        uid = uid, attempts = tonumber(attempts), lapsed = lapsed, at = at, id = id,
        priority = tonumber(priority), history = string.sub(message, eol + 1, eol + bytes),
        body = string.sub(message, eol + bytes + 1)
      }
    end
  end
  -- Somebody else's entry: a header that says nothing carries it wherever a message can go.
  return {
    uid = "foreign-" .. redis.sha1hex(message), attempts = 0, lapsed = "0", at = tostring(now),
    id = "", priority = 0, history = "", body = message
  }
end

local function write(h)
  local header = {h.uid, h.attempts, h.lapsed, h.at, #h.history, h.priority}
  if h.id ~= "" then header[7] = h.id end
  return table.concat(header, " ") .. "\\n" .. h.history .. h.body
end

-- An attempt's error goes along with the message; the oldest go when they grow too many.
local function remember(h, line)
  h.history = h.history .. line
  while #h.history > 65536 do
    h.history = string.sub(h.history, string.find(h.history, "\\n", 1, true) + 1)
  end
end`;

/** put(messages): into `ready`, oldest first. take(n): up to n out of it. put_back: to the front. */
export const READY = {
  list: `
local function waiting() return redis.call("LLEN", ready) end
local function take(n) return redis.call("RPOP", ready, n) or {} end
local function put(messages)
  if #messages > 0 then redis.call("LPUSH", ready, unpack(messages)) end
end
local function put_back(message) redis.call("RPUSH", ready, message) end`,
  priority: `
local function waiting() return redis.call("ZCARD", ready) end
-- ZPOPMIN would write every score out, and take twice as long.
local function take(n)
  local messages = redis.call("ZRANGE", ready, 0, n - 1)
  if #messages > 0 then redis.call("ZREMRANGEBYRANK", ready, 0, #messages - 1) end
  return messages
end
-- 2^42 messages of a priority before the next priority begins: exact in a double.
local function put(messages)
  if #messages == 0 then return end
  local last, members = redis.call("INCRBY", seq, #messages), {}
  for i, message in ipairs(messages) do
    local priority = tonumber(string.match(message, "^%S+ %d+ [01] %d+ %d+ (%-?%d+)")) or 0
    members[2 * i - 1] = string.format("%.0f", priority * 4398046511104 + last - #messages + i)
    members[2 * i] = message
  end
  redis.call("ZADD", ready, unpack(members))
end
local function put_back(message) put({message}) end`,
};

/** Keys of another type fail here, before anything is written. */
export const CHECK = `
redis.call("LLEN", lapsed); redis.call("HLEN", leased); redis.call("ZCARD", leases)
redis.call("ZCARD", delayed); redis.call("HLEN", dead); redis.call("ZCARD", dead_at)
redis.call("HLEN", ids); redis.call("ZCARD", replays); redis.call("LLEN", wake)
redis.call("HLEN", replies)
redis.call("STRLEN", seq); waiting()`;

/** INCRBY would fail half way at a counter that is none. */
export const GUARD = `
local count = redis.call("GET", seq)
if count and not string.match(count, "^%d+$") then
  return redis.error_reply("WRONGTYPE the counter of the order holds no number")
end`;

/**
 * Leases under which nothing is left need not lapse. Each comes with how many messages it had, to be
 * looked for; 0 if Redis has said of each that it is gone.
 */
export const FORGET = `
local function fields_of(lease, n)
  local fields = {}
  for i = 1, n do fields[i] = lease .. ":" .. i end
  return fields
end

local function forget_finished(from)
  for i = from, #ARGV, 2 do
    local n, empty = tonumber(ARGV[i + 1]), true
    local held = n > 0 and redis.call("HMGET", leased, unpack(fields_of(ARGV[i], n))) or {}
    for j = 1, #held do empty = empty and not held[j] end
    if empty then redis.call("ZREM", leases, ARGV[i]) end
  end
end`;

/** What the transitions are made of. */
export const MOVES = `
-- An id that a producer chose is free again when its message is gone; only its holder frees it.
local function free(h)
  if h.id ~= "" and redis.call("HGET", ids, h.id) == h.uid then redis.call("HDEL", ids, h.id) end
end

local function drop_dead(id)
  local record = redis.call("HGET", dead, id)
  redis.call("HDEL", dead, id)
  redis.call("ZREM", dead_at, id)
  if record then free(parse(string.sub(record, (string.find(record, "\\n", 1, true) or 0) + 1))) end
end

-- reason is a JSON string, so it has no line break. At most ten go for one that comes.
local function bury(h, reason, most, age)
  local id = h.id ~= "" and h.id or h.uid
  -- Foreign entries that are alike are several all the same.
  for n = 2, 1000 do
    if string.sub(id, 1, 8) ~= "foreign-" or redis.call("HEXISTS", dead, id) == 0 then break end
    id = h.uid .. "-" .. n
  end
  redis.call("HSET", dead, id, reason .. "\\n" .. write(h))
  redis.call("ZADD", dead_at, now, id)
  for _ = 1, 10 do
    local oldest = redis.call("ZRANGE", dead_at, 0, 0, "WITHSCORES")
    if redis.call("ZCARD", dead_at) <= tonumber(most) and now - oldest[2] <= tonumber(age) then
      return
    end
    drop_dead(oldest[1])
  end
end

local function promote(most)
  local due = redis.call("ZRANGE", delayed, "-inf", now, "BYSCORE", "LIMIT", 0, most)
  if #due == 0 then return end
  redis.call("ZREM", delayed, unpack(due))
  put(due)
end

-- A lease is named <consumer>:<messages asked for>:<count>.
local function asked_for(lease)
  return math.min(1000, tonumber(string.match(lease, ":(%d+):%d+$")) or 0)
end

-- Messages of leases that ran out wait again, apart: what killed one consumer may kill the next,
-- and is handed out alone. Every hand-over counts, so in the end it dies.
local function sweep(max_attempts, most, age)
  local left = 1000
  for _, lease in ipairs(redis.call("ZRANGE", leases, "-inf", now, "BYSCORE", "LIMIT", 0, 100)) do
    local n = asked_for(lease)
    left = left - math.max(n, 1)
    if left < 0 then return end
    local fields = fields_of(lease, n)
    local held = n > 0 and redis.call("HMGET", leased, unpack(fields)) or {}
    redis.call("ZREM", leases, lease)
    if n > 0 then redis.call("HDEL", leased, unpack(fields)) end
    for i = 1, n do
      if held[i] then
        local h = parse(held[i])
        h.attempts = h.attempts + 1
        remember(h, string.format('{"attempt":%d,"message":"lease lapsed","at":%.0f,"worker":"%s"}\\n',
          h.attempts, now, string.match(lease, "^[%w-]*")))
        if h.attempts >= tonumber(max_attempts) then
          bury(h, '"lease lapsed"', most, age)
        else
          h.lapsed = "1"
          redis.call("LPUSH", lapsed, write(h))
        end
      end
    end
  end
end

local function waiting_in_all() return waiting() + redis.call("LLEN", lapsed) end

-- A token if there is something to claim, and none if there is nothing. While messages are delayed, one
-- that is there stays: it may be for a consumer that has yet to hear of them. pcall: at maxmemory a token may be refused,
-- and is made up for by the longest wait.
local function wake_one()
  if waiting_in_all() > 0 then
    if redis.call("LLEN", wake) == 0 then redis.pcall("LPUSH", wake, "1") end
  else
    -- Nobody is in order before anybody when nobody waits: the counter begins anew.
    redis.call("DEL", seq)
    if redis.call("ZCARD", delayed) == 0 then redis.call("DEL", wake) end
  end
end

local function reversed(list)
  local back = {}
  for i = #list, 1, -1 do back[#back + 1] = list[i] end
  return back
end

-- Milliseconds until the next delayed message is due, or -1.
local function next_due()
  local first = redis.call("ZRANGE", delayed, 0, 0, "WITHSCORES")
  return first[2] and math.max(0, first[2] - now) or -1
end`;
