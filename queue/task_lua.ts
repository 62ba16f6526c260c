/**
 * Task records, kept by the scripts that move the messages: one write in the script of the transition, so
 * a record is never behind its message. Only the kind `tasks` has them.
 *
 * A record is one string in a HASH, by the task's id: a line of what happened to it, and behind it the
 * progress (running), the result (done), the last error (ready or delayed again) or what it died of (dead), as JSON.
 *
 * ```
 * done⇥1795320605301⇥1795320605230⇥1795320605299⇥process_data⇥1⇥k3v9…⏎{"processed_data":84}
 * state  since        added          started        type      attempt consumer
 * ```
 *
 * It is written whole from the message each time, and never read before: the header of the message has
 * all of it, and the first line of the body is the task's type.
 *
 * Beside it goes a stream of events, the newest some thousand entries. An entry has one field, what
 * happened, and a line for each task that it happened to:
 *
 * ```
 * 1795320605301-0  done  "0mb3k…-7⇥process_data⇥1⇥k3v9…"
 * 1795320605310-0  dead  "0mb3k…-8⇥process_data⇥5⇥k3v9…⇥{"reason":"after 5 attempts: …"}"
 * ```
 *
 * Whoever waits for an end listens to a channel: each end is published with its record.
 *
 * @module
 */

/** How many tasks one entry of the events tells of, at most. */
export const TASKS_PER_EVENT = 16;

/** What is published of one task: a longer record has to be fetched. */
const PUBLISHED_BYTES = 4_096;

/** Most records that one script writes by one command; `unpack` has a limit. */
const PAIRS = 1_000;

/** What the scripts that settle need of it, too. Told by `records`: how many are kept, how long, and how many events. */
export const TASK_END = `
local records_most, records_ms, events_most = string.match(records_kept, "^(%d+) (%d+) (%d+)$")
local now_text = string.format("%.0f", now)

local function tell(event, lines)
  if events_most == "0" then return end
  for i = 1, #lines, ${TASKS_PER_EVENT} do
    local some = table.concat(lines, "\\n", i, math.min(#lines, i + ${TASKS_PER_EVENT - 1}))
    -- pcall: somebody may have used the ids of the stream up, and tasks go on all the same.
    redis.pcall("XADD", events, "MAXLEN", "~", events_most, "*", event, some)
  end
end

-- The oldest go, when there are too many or their time is over.
local function trim_records(most)
  local over = math.min(most, redis.call("ZCARD", records_until) - records_most)
  local old = over > 0 and redis.call("ZRANGE", records_until, 0, over - 1) or {}
  if #old == 0 then
    old = redis.call("ZRANGE", records_until, "-inf", now, "BYSCORE", "LIMIT", 0, most)
  end
  if #old == 0 then return end
  redis.call("ZREMRANGEBYRANK", records_until, 0, #old - 1)
  redis.call("HDEL", records, unpack(old))
end

-- pcall: this connection may have no permission for the channel.
local function publish(pairs_of)
  if redis.pcall("PUBSUB", "NUMSUB", ended)[2] == 0 then return end
  local said, bytes = {}, 0
  for i = 1, #pairs_of, 2 do
    local id, record = pairs_of[i], pairs_of[i + 1]
    if #record > ${PUBLISHED_BYTES} then record = "" end
    said[#said + 1] = #id .. " " .. #record .. "\\n" .. id .. record
    bytes = bytes + #record
    if bytes > 262144 then
      redis.pcall("PUBLISH", ended, table.concat(said))
      said, bytes = {}, 0
    end
  end
  if #said > 0 then redis.pcall("PUBLISH", ended, table.concat(said)) end
end

-- Tasks have come to their end: pairs of id and record. Whoever waits is told.
local function finish(pairs_of)
  if #pairs_of == 0 then return end
  local goes_at, scored = string.format("%.0f", now + records_ms), {}
  for i = 1, #pairs_of, 2 do scored[i], scored[i + 1] = goes_at, pairs_of[i] end
  redis.call("HSET", records, unpack(pairs_of))
  redis.call("ZADD", records_until, unpack(scored))
  publish(pairs_of)
  trim_records(#pairs_of + 10)
end`;

/**
 * track: one message has come to a state; with an event, if it is one, and JSON behind it. track_many: the
 * same for several, which a consumer may have been given. untrack: it is gone without an end.
 */
export const TASK_TRACK = `${TASK_END}
local function check_records()
  redis.call("HLEN", records); redis.call("ZCARD", records_until); redis.call("XLEN", events)
end

-- The first line of a task's body.
local function type_at(message, at)
  return string.match(string.sub(message, at, at + 200), "^([^\\n\\t]+)\\n")
end

local function id_of(h) return h.id ~= "" and h.id or h.uid end

local function track(h, state, event, detail, consumer)
  local type = string.find(h.uid, "^foreign%-") == nil and type_at(h.message, h.body_at)
  if not type then return end  -- no task: somebody else's entry
  local id, told = id_of(h), type .. "\\t" .. h.attempts .. "\\t" .. (consumer or "")
  local record = {id, state .. "\\t" .. now_text .. "\\t" .. h.at .. "\\t\\t" .. told .. "\\n" .. (detail or "")}
  if state == "dead" or state == "cancelled" then finish(record)
  else redis.call("HSET", records, unpack(record)) end
  if event then tell(event, {id .. "\\t" .. told .. (detail and "\\t" .. detail or "")}) end
end

local function untrack(h)
  redis.call("HDEL", records, id_of(h))
end

-- It begins anew under an id that had come to an end.
local function track_again(h)
  redis.call("ZREM", records_until, id_of(h))
end

-- Most have no id of their own, no history and no delay: one match tells all of them.
local PLAIN = "^(%S+) (%d+) ([01]) (%d+) 0 0\\n([^\\n\\t]+)\\n"
local TASK = "^(%S+) (%d+) [01] (%d+)%+?%d* (%d+) %-?%d+ ?([^\\n\\t]*)[^\\n]*\\n()"

local function track_many(state, event, messages, consumer)
  local pairs_of, lines = {}, {}
  local since = state .. "\\t" .. now_text .. "\\t"
  local begun = consumer and now_text or ""
  for _, message in ipairs(messages) do
    local id, attempts, _, at, type = string.match(message, PLAIN)
    if not id then
      local uid, bytes, body_at
      uid, attempts, at, bytes, id, body_at = string.match(message, TASK)
      type = uid and type_at(message, body_at + bytes)
      if id == "" then id = uid end
    end
    if type then
      if consumer then attempts = attempts == "0" and "1" or attempts + 1 end
      local told = type .. "\\t" .. attempts .. "\\t" .. (consumer or "")
      pairs_of[#pairs_of + 1] = id
      pairs_of[#pairs_of + 1] = since .. at .. "\\t" .. begun .. "\\t" .. told .. "\\n"
      lines[#lines + 1] = id .. "\\t" .. told
      if #pairs_of == ${2 * PAIRS} then
        redis.call("HSET", records, unpack(pairs_of))
        pairs_of = {}
      end
    end
  end
  if #pairs_of > 0 then redis.call("HSET", records, unpack(pairs_of)) end
  if event then tell(event, lines) end
end

-- Those of a producer that are not plain. Ids that it chose may be of tasks that had come to their end.
local function track_new(ready_now, delayed_now, chosen)
  track_many("ready", "added", ready_now)
  track_many("delayed", "added", delayed_now)
  if #chosen > 0 then redis.call("ZREM", records_until, unpack(chosen)) end
end`;

/** How many arguments an ack has for each task. */
export const TASK_ACK_ARGS = 2;

/**
 * What an ack says of each task: its own id (or "", and then the message is looked at), and its result. acked_of: ids and results of those that come to their end by it,
 * before they leave the hand; end_acked: their records, made of what is on record of them.
 */
export const TASK_ACK = `${TASK_END}
local function check_records()
  redis.call("HLEN", records); redis.call("ZCARD", records_until); redis.call("XLEN", events)
end

local function id_in_hand(field)
  local held = redis.call("HGET", leased, field)
  if not held then return end
  local uid, id = string.match(held, "^(%S+) %d+ [01] [%d+]+ %d+ %-?%d+ ?([^\\n\\t]*)")
  return id ~= "" and id or uid
end

local function is_alive(held)
  if not held then return false end
  return string.find(held, "^%S+ %d+ [01] ") ~= nil
end

local function acked_of(fields, from, looks)
  local ids, results = {}, {}
  -- An id that a producer chose may be another task's by now, if this one was cancelled or is done already.
  local held = looks == "1" and redis.call("HMGET", leased, unpack(fields))
  for i, field in ipairs(fields) do
    local at = from + ${TASK_ACK_ARGS} * (i - 1)
    local id = ARGV[at]
    if id == "" then id = id_in_hand(field) end
    if id and (not held or is_alive(held[i])) then
      ids[#ids + 1] = id
      results[#results + 1] = ARGV[at + 1]
    end
  end
  return ids, results
end

-- Not what was said before, its reply being lost; not what somebody has cancelled meanwhile, nor what somebody
-- has given back in the place of its consumer, and is running again: that is on record with a later start.
local function end_acked(ids, results, received, looks)
  if #ids == 0 then return end
  local latest = looks == "1" and math.huge or tonumber(received)  -- where it was looked at, it is there
  local pairs_of, lines, done = {}, {}, "done\\t" .. now_text
  for i, record in ipairs(redis.call("HMGET", records, unpack(ids))) do
    local times, began, told
    if record then times, began, told = string.match(record, "^running\\t%d+(\\t%d+\\t(%d+)\\t)([^\\n]*)") end
    if times and tonumber(began) <= latest then
      pairs_of[#pairs_of + 1] = ids[i]
      pairs_of[#pairs_of + 1] = done .. times .. told .. "\\n" .. results[i]
      lines[#lines + 1] = ids[i] .. "\\t" .. told
    end
  end
  finish(pairs_of)
  tell("done", lines)
end`;
