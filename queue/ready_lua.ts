/**
 * How a kind of queue keeps `ready`, in Lua: how a message gets in, out, and is looked at; and what stands in
 * a hand. The kinds differ in this and in nothing else. A stream has a file of its own, stream_lua.ts.
 *
 * @module
 */

import { STREAM, STREAM_ADOPT, STREAM_LET_GO, STREAM_LOOK } from "./stream_lua.ts";
import { TASK_ACK, TASK_ACK_ARGS, TASK_TRACK } from "./task_lua.ts";

/**
 * How `ready` is kept: first in first out in a list or a stream, or by priority. Tasks are in a stream, and
 * have records; see task_lua.ts.
 */
export type ReadyKind = "list" | "priority" | "stream" | "tasks";

/** What the scripts of a kind are told besides: bound once, by {@linkcode bindScripts}. */
export const OWN_ARGS: Record<ReadyKind, readonly string[]> = {
  list: [],
  priority: [],
  stream: ["group", "idle_ms"],
  tasks: ["group", "idle_ms", "records_kept", "ended"],
};

/** Nobody else keeps a record of what is in a hand. See stream_lua.ts for a kind where somebody does. */
const PLAIN_HAND = `
local function check_hands() redis.call("HLEN", leased) end
local function hold_again(messages) return messages end
local function keep_ids() end
local function told() end
local function let_go() end
local function forget_hand() end
local function has_strangers() return false end`;

/**
 * put(messages): into `ready`, oldest first. take(n, lease): up to n out of it; without a lease, for good. put_back: to the front, where there is one. none_waits: for when it is empty.
 * check_ready: fails where the key is of another type.
 *
 * check_hands: fails where their keys are of another type. hold_again(messages, lease): those that had lapsed
 * go out as well. keep_ids(lease): by which ids the messages of this hand are on record; told(lease, indexes): those
 * of some of them. let_go(lease, indexes): they leave the hand. forget_hand(lease): nothing is left in it.
 * has_strangers: whether somebody else was given something.
 */
export const READY: Record<ReadyKind, string> = {
  list: `${PLAIN_HAND}
local function none_waits() end
local function check_ready() end  -- LPUSH says it itself, before anything is written
local function waiting() return redis.call("LLEN", ready) end
local function take(n) return redis.call("RPOP", ready, n) or {} end
local function put(messages)
  if #messages > 0 then redis.call("LPUSH", ready, unpack(messages)) end
end
local function put_back(message) redis.call("RPUSH", ready, message) end`,
  priority: `${PLAIN_HAND}
-- Nobody is in order before anybody when nobody waits: the counter begins anew.
local function none_waits() redis.call("DEL", seq) end
local function check_ready()
  redis.call("ZCARD", ready)
  -- A counter that is none says so here, not when half of the messages are stored.
  if not string.match(redis.call("GET", seq) or "0", "^%d+$") then redis.call("INCRBY", seq, 0) end
end
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
    local priority = tonumber(string.match(message, "^%S+ %d+ [01x] [%d+]+ %d+ (%-?%d+)")) or 0
    members[2 * i - 1] = string.format("%.0f", priority * 4398046511104 + last - #messages + i)
    members[2 * i] = message
  end
  redis.call("ZADD", ready, unpack(members))
end
local function put_back(message) put({message}) end`,
  stream: STREAM,
  tasks: STREAM,
};

/** Of how many priorities the first message is looked at, besides the last one. */
const HEADS = 16;

/**
 * Looking into `ready`. page(first, last, after): the messages from one position to another, oldest first;
 * newest(first, most, after): the same from the other end. Where positions shift, or cost to be counted,
 * each also gives for every message what comes back as `after`. strike(position, message, mark, after):
 * takes one out that newest gave, or leaves a mark. heads: what goes out next, if anything does; where
 * priorities differ, the first of each.
 */
export const LOOK: Record<ReadyKind, string> = {
  list: `
local function page(first, last)
  local back, oldest = redis.call("LRANGE", ready, -1 - last, -1 - first), {}
  for i = #back, 1, -1 do oldest[#oldest + 1] = back[i] end
  return oldest
end
local function newest(first, most) return redis.call("LRANGE", ready, first, first + most - 1) end
local function strike(position, _, mark) redis.call("LSET", ready, position, mark) end
local function heads() return {redis.call("LINDEX", ready, -1) or nil} end`,
  priority: `
local function page(first, last) return redis.call("ZRANGE", ready, first, last) end
local function newest(first, most)
  return redis.call("ZRANGE", ready, first, first + most - 1, "REV")
end
local function strike(_, message) redis.call("ZREM", ready, message) end
-- One that starves behind others is met: the first of the most urgent priorities, and of the last one.
local function heads()
  local found, bytes, of_one = {}, 0, 4398046511104
  local function first(after)
    return redis.call("ZRANGE", ready, after, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
  end
  local function priority_of(entry) return math.floor((entry[2] - 1) / of_one) end
  local head = first("-inf")
  while head[1] and #found < ${HEADS} and bytes < 262144 do
    found[#found + 1] = head[1]
    bytes = bytes + #head[1]
    head = first(string.format("(%.0f", (priority_of(head) + 1) * of_one))
  end
  if head[1] then
    local last = redis.call("ZRANGE", ready, -1, -1, "WITHSCORES")
    found[#found + 1] = first(string.format("(%.0f", priority_of(last) * of_one))[1]
  end
  return found
end`,
  stream: STREAM_LOOK,
  tasks: STREAM_LOOK,
};

/** What an ack says of messages: their indexes; and by which ids they are on record; and how each task ended. */
export const ACK_SAYS: Record<ReadyKind, "index" | "id" | "end"> = {
  list: "index",
  priority: "index",
  stream: "id",
  tasks: "end",
};

/** In how many arguments: for each lease, and for each message. */
export const ACK_ARGS = {
  index: { lease: 5, message: 0 },
  id: { lease: 6, message: 0 },
  end: { lease: 6, message: TASK_ACK_ARGS },
};

const PLAIN_LET_GO = `
local function let_go_of() end
local function forget_hand() end`;

/** For scripts that only settle. let_go_of(lease, indexes, ids, held): what an ack names has left the hand, where it held so many of them. */
export const LET_GO: Record<ReadyKind, string> = {
  list: PLAIN_LET_GO,
  priority: PLAIN_LET_GO,
  stream: STREAM_LET_GO,
  tasks: STREAM_LET_GO,
};

/** adopt: what somebody else was given and fell silent about waits again. */
export const ADOPT: Record<ReadyKind, string> = {
  list: "\nlocal function adopt() end",
  priority: "\nlocal function adopt() end",
  stream: STREAM_ADOPT,
  tasks: STREAM_ADOPT,
};

const NO_TRACK = `
local function check_records() end
local function track() end
local function track_many() end
local function track_new() end
local function track_again() end
local function untrack() end
local function trim_records() end`;

/** What is on record of messages, beside them; see task_lua.ts. */
export const TRACK: Record<ReadyKind, string> = {
  list: NO_TRACK,
  priority: NO_TRACK,
  stream: NO_TRACK,
  tasks: TASK_TRACK,
};

const NO_ENDS = `
local function check_records() end
local function acked_of() end
local function end_acked() end`;

/** The same for an ack. */
export const ENDS: Record<ReadyKind, string> = {
  list: NO_ENDS,
  priority: NO_ENDS,
  stream: NO_ENDS,
  tasks: TASK_ACK,
};
