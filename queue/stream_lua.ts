/**
 * How a Redis stream is a queue's `ready`. An entry has one field, `m`, the message. A claim reads
 * entries as a consumer of the group and takes them out of the stream in the same script, so a message is
 * in one place: what waits is in the stream, what somebody has in hand is in the hand, and of that
 * `XPENDING` tells who holds it, how long, by the id that the entry had. In the hand the id stands in
 * front of the message:
 *
 * ```
 * 1795320605233-0 0mb3k…-7 0 0 1795320605230 0 0⏎{"total":12}
 * ```
 *
 * The lease alone says whose a message is, since `XACK` is not fenced. The group keeps the books: what
 * it forgets (`XGROUP DESTROY`, somebody's `XAUTOCLAIM`) is missing in `XPENDING`, and nowhere else. So
 * what stands in the stream and was handed out already is somebody else's: another program that reads
 * from the group. When it falls silent its entries wait again; what it has acknowledged is removed, or it
 * would stand there for ever.
 *
 * Not `XAUTOCLAIM`: it goes through everything that is pending, and forgets what our own consumers hold.
 *
 * @module
 */

/** What is in a hand, and what the group has on record of it. */
export const STREAM_HAND = `
local function bare(held)
  local front, from = string.match(held, "^(%d+%-%d+ )()")
  if not front then return "", held end
  return front, string.sub(held, from)
end

local function forget_ids(ids)
  -- What somebody else wrote may look like an id and be none: it keeps no other from leaving.
  if #ids > 0 and type(redis.pcall("XACK", ready, group, unpack(ids))) == "table" then
    for _, id in ipairs(ids) do redis.pcall("XACK", ready, group, id) end
  end
end

local function let_go(helds)
  local ids = {}
  for _, held in ipairs(helds) do
    local id = held and string.match(held, "^(%d+%-%d+) ")
    if id then ids[#ids + 1] = id end
  end
  forget_ids(ids)
end

-- A consumer comes with its next claim; one that is there and holds nothing may be dead.
local function dismiss(consumer)
  local holds = redis.pcall("XPENDING", ready, group, "-", "+", 1, consumer)
  if not holds.err and #holds == 0 then redis.call("XGROUP", "DELCONSUMER", ready, group, consumer) end
end`;

/**
 * See LET_GO. A consumer that claimed them tells the ids; the messages, which may be large, stay unread.
 *
 * @param each How many arguments an ack has for each message, the index and the id in front.
 */
export const streamLetGo = (each: number): string =>
  `${STREAM_HAND}

local ids_told, untold = {}, {}
local function fields_at(lease, from, n)
  local fields = {}
  ids_told, untold = {}, {}
  for i = 1, n do
    local at = from + ${each} * (i - 1)
    local id = ARGV[at + 1]
    fields[i] = lease .. ":" .. ARGV[at]
    if id == "" then untold[#untold + 1] = fields[i] else ids_told[#ids_told + 1] = id end
  end
  return fields
end

local function let_go_of()
  forget_ids(ids_told)
  if #untold > 0 then let_go(redis.call("HMGET", leased, unpack(untold))) end
end`;

/** See READY. A group is made by the first claim, from the stream's beginning. */
export const STREAM = `${STREAM_HAND}

-- Ids are <ms>-<seq>; as numbers they would not be exact.
local function is_after(id, other)
  local a, b = string.match(id, "^%d+"), string.match(other, "^%d+")
  if a == b then a, b = string.match(id, "%d+$"), string.match(other, "%d+$") end
  if #a ~= #b then return #a > #b end
  return a > b
end

-- Up to which id the group has handed out what is in the stream; false where there is no group.
local handed_out
local function begins()
  if handed_out == nil then
    handed_out = false
    for _, info in ipairs(redis.pcall("XINFO", "GROUPS", ready)) do
      local of = {}
      for i = 1, #info, 2 do of[info[i]] = info[i + 1] end
      if of.name == group then handed_out = of["last-delivered-id"] end
    end
  end
  if not handed_out then return "-" end
  -- Behind the last id there is, Redis finds no interval.
  return handed_out == "18446744073709551615-18446744073709551615" and "+" or "(" .. handed_out
end

local strange
local function has_strangers()
  if strange == nil then
    local first = redis.call("XRANGE", ready, "-", "+", "COUNT", 1)[1]
    begins()
    strange = first and handed_out and not is_after(first[1], handed_out) or false
  end
  return strange
end

-- Somebody else's fields are shown as they came, a line each.
local function message_of(entry)
  local fields = entry[2]
  if #fields == 2 and fields[1] == "m" then return fields[2] end
  return table.concat(fields, "\\n")
end

-- The oldest of what somebody else was given; fewer where they are large.
local function strangers(most)
  local found, bytes, from = {}, 0, "-"
  repeat
    local entries = redis.call("XRANGE", ready, from, handed_out, "COUNT", 10)
    for _, entry in ipairs(entries) do
      found[#found + 1] = entry
      bytes = bytes + #message_of(entry)
    end
    local last = #entries > 0 and entries[#entries][1] or handed_out
    from = "(" .. last
  until last == handed_out or #found >= most or bytes > 262144
  return found
end

local function none_waits() end
local function check_ready() redis.call("XLEN", ready) end

-- Not too few, and none only if there is none: of somebody else's the first thousand are counted.
local function waiting()
  local entries = redis.call("XLEN", ready)
  if entries == 0 or not has_strangers() then return entries end
  if not redis.call("XRANGE", ready, begins(), "+", "COUNT", 1)[1] then return 0 end
  return math.max(1, entries - #strangers(1000))
end

local function in_group(run)
  local reply = run("pcall")
  if not reply or not reply.err then return reply end
  redis.pcall("XGROUP", "CREATE", ready, group, "0")  -- NOGROUP: it is new, or somebody removed it
  return run("call")
end

local function read(n, lease)
  local consumer = string.match(lease, "^[%w-]*")
  local reply = in_group(function(how)
    return redis[how]("XREADGROUP", "GROUP", group, consumer, "COUNT", n, "STREAMS", ready, ">")
  end)
  return reply and reply[1][2] or {}
end

-- What is taken stands in front of all others, so it can be cut off: that takes a third of the time.
local function remove(ids)
  if not has_strangers() then redis.call("XTRIM", ready, "MINID", ids[#ids]) end
  redis.call("XDEL", ready, unpack(ids, has_strangers() and 1 or #ids))
end

local function take(n, lease)
  local entries = lease and read(n, lease) or redis.call("XRANGE", ready, begins(), "+", "COUNT", n)
  local ids, taken = {}, {}
  for i, entry in ipairs(entries) do
    ids[i] = entry[1]
    taken[i] = lease and entry[1] .. " " .. message_of(entry) or message_of(entry)
  end
  if #ids > 0 then remove(ids) end
  return taken
end

-- Where somebody has used the ids of the stream up nothing is lost.
local function put(messages)
  for _, message in ipairs(messages) do
    if type(redis.pcall("XADD", ready, "*", "m", message)) == "table" then
      redis.call("LPUSH", lapsed, message)
    end
  end
end

-- A stream has no front to put it back to.
local function put_back(message) put({message}) end

-- What had lapsed waits beside the stream; an id for it, so that XPENDING knows of it.
local function hold_again(messages, lease)
  local consumer = string.match(lease, "^[%w-]*")
  for i, message in ipairs(messages) do
    local id = redis.pcall("XADD", ready, "*", "m", "")
    if type(id) == "string" then
      in_group(function(how)
        return redis[how]("XCLAIM", ready, group, consumer, 0, id, "FORCE", "JUSTID")
      end)
      redis.call("XDEL", ready, id)
      messages[i] = id .. " " .. message
    end
  end
  return messages
end`;

/** See LOOK. What somebody else was given is not shown. */
export const STREAM_LOOK = `
local function apart(entries)
  local messages, ids = {}, {}
  for i, entry in ipairs(entries) do messages[i], ids[i] = message_of(entry), entry[1] end
  return messages, ids
end

-- Pages go on behind an id. A position is in front of all that has one, or was until now.
local function page(first, last, after)
  local from = string.find(after, "-", 1, true) and "(" .. after or begins()
  local most = math.min(last + 1, 2000)
  local messages, ids = apart(redis.call("XRANGE", ready, from, "+", "COUNT", most))
  return {unpack(messages, first + 1)}, {unpack(ids, first + 1)}
end

local function newest(_, most, after)
  local from = string.find(after, "-", 1, true) and "(" .. after or "+"
  return apart(redis.call("XREVRANGE", ready, from, begins(), "COUNT", most))
end

local function strike(_, _, _, id) redis.call("XDEL", ready, id) end

local function heads()
  local first = redis.call("XRANGE", ready, begins(), "+", "COUNT", 1)[1]
  return {first and message_of(first)}
end`;

/** See ADOPT. At most a hundred at a time. */
export const STREAM_ADOPT = `
local function adopt()
  if not has_strangers() then return end
  for _, entry in ipairs(strangers(100)) do
    local id = entry[1]
    local given = redis.call("XPENDING", ready, group, id, id, 1)[1]
    if not given then
      -- Acknowledged by somebody who leaves what is done; or skipped. What it holds would be held for ever.
      redis.call("XDEL", ready, id)
      local h = parse(message_of(entry))
      free(h)
      untrack(h)
    elseif given[3] >= tonumber(idle_ms) then
      redis.call("XACK", ready, group, id)
      redis.call("XDEL", ready, id)
      fell(parse(message_of(entry)), (string.gsub(given[2], "[^%w_.-]", "")))
      dismiss(given[2])
    end
  end
  strange = nil
end`;
