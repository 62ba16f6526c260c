/**
 * How a Redis stream is a queue's `ready`. An entry has one field, `m`, the message. A claim reads
 * entries as a consumer of the group and takes them out of the stream in the same script, so a message is
 * in one place: what waits is in the stream, what somebody has in hand is in the hand, and of that
 * `XPENDING` tells who holds it, how long, by the id that the entry had. The ids of a hand are kept
 * beside it, in the order of its messages:
 *
 * ```
 * pending  k3v9…:500:7  "1795320605233-0 1795320605233-1 - 1795320605240-0"
 * ```
 *
 * To the group a hand is a consumer, named as its lease, so with the name of ours in front. It is there
 * while the hand is, and what ends as a whole, as most hands do, is forgotten in one step: `XGROUP
 * DELCONSUMER` takes half the time of an `XACK` that names every id, and no consumer stays behind.
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

/**
 * Stands among the hands where entries of somebody else lost their place in the group's books, and says up to
 * which id that may be; and then it is the consumer that they are on record under.
 */
const STRUCK = "struck";

/** What is in a hand, and what the group has on record of it. */
const HAND = `
local function check_hands() redis.call("HLEN", leased); redis.call("HLEN", pending) end

local function forget_ids(ids)
  -- What somebody else wrote may look like an id and be none: it keeps no other from leaving.
  if #ids > 0 and type(redis.pcall("XACK", ready, group, unpack(ids))) == "table" then
    for _, id in ipairs(ids) do redis.pcall("XACK", ready, group, id) end
  end
end

local ids_in_hand = {}
local function ids_of(lease)
  if not ids_in_hand[lease] then
    local ids = {}
    for id in string.gmatch(redis.call("HGET", pending, lease) or "", "%S+") do ids[#ids + 1] = id end
    ids_in_hand[lease] = ids
  end
  return ids_in_hand[lease]
end

local function told(lease, indexes)
  local ids, some = ids_of(lease), {}
  for i, index in ipairs(indexes) do some[i] = ids[index] or "-" end
  return table.concat(some, " ")
end

local function let_go(lease, indexes)
  local ids, some = ids_of(lease), {}
  for _, index in ipairs(indexes) do
    if (ids[index] or "-") ~= "-" then some[#some + 1] = ids[index] end
  end
  forget_ids(some)
end

-- Up to which id the group has handed out what is in the stream; false where there is no group.
local handed_out
local function last_handed_out()
  if handed_out == nil then
    handed_out = false
    for _, info in ipairs(redis.pcall("XINFO", "GROUPS", ready)) do
      local of = {}
      for i = 1, #info, 2 do of[info[i]] = info[i + 1] end
      if of.name == group then handed_out = of["last-delivered-id"] end
    end
  end
  return handed_out
end

-- With all that it has on record, of which \`ours\` is ours. What is more somebody has read or claimed by the
-- name of our hand: with nobody on record it would look acknowledged. pcall: the group may be gone.
local function dismiss(consumer, ours)
  local gone = redis.pcall("XGROUP", "DELCONSUMER", ready, group, consumer)
  if type(gone) == "number" and gone > ours and last_handed_out() then
    redis.call("HSET", pending, "${STRUCK}", handed_out)
  end
  return gone
end

local function forget_hand(lease)
  redis.call("HDEL", pending, lease)
  local gone = dismiss(lease, 0)
  -- An account that may not would leave consumers without end: it is told so.
  local refused = type(gone) == "table" and gone.err or ""
  if string.find(refused, "can't run", 1, true) or string.find(refused, "permission", 1, true)
    or string.find(refused, "NOPERM", 1, true) then
    redis.call("XGROUP", "DELCONSUMER", ready, group, lease)
  end
end`;

/** What an ack says in the place of ids: the hand ends as a whole. */
export const WHOLE_HAND = "*";

/** See LET_GO. A consumer that claimed them tells the ids; else they are looked up. */
export const STREAM_LET_GO = `${HAND}

local function let_go_of(lease, ranges, ids_told, held)
  -- Fewer: somebody has taken them over, or this account may not.
  local gone = ids_told == "${WHOLE_HAND}" and dismiss(lease, held)
  if type(gone) == "number" and gone >= held then return end
  local some = {}
  if ids_told == "" or gone then
    for from, to in string.gmatch(ranges, "(%d+)%-?(%d*)") do
      for i = tonumber(from), tonumber(to) or tonumber(from) do some[#some + 1] = i end
    end
    return let_go(lease, some)
  end
  for id in string.gmatch(ids_told, "%d+%-%d+") do some[#some + 1] = id end
  forget_ids(some)
end`;

/** See READY. A group is made by the first claim, from the stream's beginning. */
export const STREAM = `${HAND}

-- Ids are <ms>-<seq>; as numbers they would not be exact.
local function is_after(id, other)
  local a, b = string.match(id, "^%d+"), string.match(other, "^%d+")
  if a == b then a, b = string.match(id, "%d+$"), string.match(other, "%d+$") end
  if #a ~= #b then return #a > #b end
  return a > b
end

local function begins()
  if not last_handed_out() then return "-" end
  -- Behind the last id there is, Redis finds no interval.
  return handed_out == "18446744073709551615-18446744073709551615" and "+" or "(" .. handed_out
end

local strange
local function has_strangers()
  if strange == nil then
    local first = redis.call("XRANGE", ready, "-", "+", "COUNT", 1)[1]
    strange = first and last_handed_out() and not is_after(first[1], handed_out) or false
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
  if string.find(reply.err, "NOGROUP", 1, true) then  -- it is new, or somebody removed it
    redis.call("XGROUP", "CREATE", ready, group, "0")
  end
  return run("call")
end

local ids_taken = {}
local function read(n, lease)
  local reply = in_group(function(how)
    return redis[how]("XREADGROUP", "GROUP", group, lease, "COUNT", n, "STREAMS", ready, ">")
  end)
  if reply then return reply[1][2] end
  if #ids_taken == 0 then dismiss(lease, 0) end  -- asking made the consumer
  return {}
end

-- What is taken stands in front of all others, so it can be cut off: that takes a third of the time.
local function remove(ids, from)
  if not has_strangers() then redis.call("XTRIM", ready, "MINID", ids[#ids]) end
  redis.call("XDEL", ready, unpack(ids, has_strangers() and from or #ids))
end

local function take(n, lease)
  local entries = lease and read(n, lease) or redis.call("XRANGE", ready, begins(), "+", "COUNT", n)
  local ids, taken = lease and ids_taken or {}, {}
  local before = #ids
  for i = 1, #entries do
    local entry = entries[i]
    ids[before + i], taken[i] = entry[1], message_of(entry)
  end
  if #entries > 0 then remove(ids, before + 1) end
  return taken
end

local function keep_ids(lease)
  local ids = table.concat(ids_taken, " ")
  redis.call("HSET", pending, lease, ids)
  return ids
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
  for _ = 1, #messages do
    local id = redis.pcall("XADD", ready, "*", "m", "")
    local is_held = type(id) == "string"
    if is_held then
      in_group(function(how)
        return redis[how]("XCLAIM", ready, group, lease, 0, id, "FORCE", "JUSTID")
      end)
      redis.call("XDEL", ready, id)
    end
    ids_taken[#ids_taken + 1] = is_held and id or "-"
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
  if not has_strangers() then
    redis.call("HDEL", pending, "${STRUCK}")
    return
  end
  local struck, last = string.match(redis.call("HGET", pending, "${STRUCK}") or "", "^%d+%-%d+$"), "-"
  for _, entry in ipairs(strangers(100)) do
    local id = entry[1]
    last = "(" .. id
    local given = redis.call("XPENDING", ready, group, id, id, 1)[1]
    if not given and struck and not is_after(id, struck) then
      -- Whether it was acknowledged nobody knows: rather twice than never.
      redis.call("XCLAIM", ready, group, "${STRUCK}", 0, id, "FORCE", "JUSTID")
    elseif not given then
      -- Acknowledged by somebody who leaves what is done; or skipped. What it holds would be held for ever.
      redis.call("XDEL", ready, id)
      local h = parse(message_of(entry))
      free(h)
      untrack(h)
    elseif given[3] >= tonumber(idle_ms) then
      redis.call("XACK", ready, group, id)
      redis.call("XDEL", ready, id)
      fell(parse(message_of(entry)), (string.gsub(given[2], "[^%w_.-]", "")))
      local holds = redis.call("XPENDING", ready, group, "-", "+", 1, given[2])
      if #holds == 0 then dismiss(given[2], 0) end
    end
  end
  if struck and not redis.call("XRANGE", ready, last, struck, "COUNT", 1)[1] then
    redis.call("HDEL", pending, "${STRUCK}")
  end
  strange = nil
end`;
