/**
 * What becomes of messages in a hand: done, given back, buried; and the leases that they are held under.
 *
 * @module
 */
import { defineScript } from "../redis/script.ts";
import { NAMES } from "./dedupe.ts";
import { FIELDS, FORGET, MESSAGE, TIME } from "./leased_lua.ts";
import { type LeasedScript, leasedScript, plainly, working } from "./leased_script.ts";
import { LOGS } from "./logs.ts";
import { ACK_ARGS, ACK_SAYS, ENDS, LET_GO, type ReadyKind } from "./ready_lua.ts";
import { COUNT_TIMES, STATS } from "./stats.ts";

/**
 * Done with messages. rest, for each lease: its name; when it was claimed; "1" if one of its messages holds
 * a name, or may, or if what was done is kept: then they are looked at, and what they hold is freed; how
 * many messages; their indexes, as `3-7 9`; in a stream the ids that they are on record by, a space between
 * them, or "" if the consumer does not know them; of tasks more, see task_lua.ts. `looking`: "1" if this is so for any lease. `keep`: how many of the log of what was
 * done are kept, and for how long, or "". `times`: how long they waited and ran. Gives for each lease how
 * many messages it removed, or -1 where the lease is gone. The lease stays, so that a repeated ack succeeds; a later claim removes it.
 */
export const ackOf = (
  kind: ReadyKind,
): LeasedScript<"looking" | "keep" | "times" | "counting", number[]> =>
  leasedScript(kind, {
    name: "ack",
    args: ["looking", "keep", "times", "counting"],
    lua: `${TIME}${STATS}${FIELDS}${LET_GO[kind]}${ENDS[kind]}
check_records()
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
    local ranges, fields = ARGV[i + 4], {}
    for from, to in string.gmatch(ranges, "(%d+)%-?(%d*)") do
      fields_of(lease, tonumber(from), tonumber(to) or tonumber(from), fields)
    end
    local done, results = acked_of(fields, i + ${ACK_ARGS[ACK_SAYS[kind]].lease}, looks)
    if looks == "1" then gone = look(fields, lease, received)
    else gone = redis.call("HDEL", leased, unpack(fields)) end
    let_go_of(lease, ranges, ARGV[i + 5], gone)
    end_acked(done, results, received, looks)
    acked = acked + gone
  end
  removed[#removed + 1] = gone
  i = i + ${ACK_ARGS[ACK_SAYS[kind]].lease} + n * ${ACK_ARGS[ACK_SAYS[kind]].message}
end
if acked > 0 then
  count("acked", acked)${COUNT_TIMES}
end
return removed`,
    reply: (raw) => (raw as number[]).map(Number),
  });

/**
 * Gives one message back, or buries it. `how`: "retry" spends an attempt, "release" does not,
 * "dead" buries. Gives where it is now: "ready", "delayed" or "dead", or "cancelled" if somebody
 * has cancelled it meanwhile; "done" if it was settled already; "lost" if the lease is gone.
 */
export const giveBackOf = (
  kind: ReadyKind,
): LeasedScript<
  "lease" | "index" | "how" | "delay_ms" | "error" | "reason" | "received" | "policy" | "counting",
  string
> =>
  leasedScript(kind, {
    name: "give_back",
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
    lua: `${plainly(kind)}${working(kind)}
if not lives(lease) then return "lost" end
local field = lease .. ":" .. index
local held = redis.call("HGET", leased, field)
if not held then return "done" end
redis.call("HDEL", leased, field)
let_go(lease, {tonumber(index)})
local h = parse(held)
if h.flag == "x" then return "cancelled" end
if how == "release" then
  if h.flag == "1" then redis.call("RPUSH", lapsed, held) else put_back(held) end
  track(h, "ready")
  look_and_wake_one()
  return "ready"
end
h.attempts = h.attempts + 1
h.flag = "0"
count("failed", 1)
-- The number of the attempt is known here, also to whoever settles by a token.
if error ~= "" then
  error = '{"attempt":' .. h.attempts .. "," .. string.sub(error, 2)
  remember(h, error)
end
local consumer = string.match(lease, "^[%w-]*")
log_failed(h, received, consumer)
track(h, tonumber(delay_ms) > 0 and "delayed" or "ready", "failed", string.match(error, "^[^\\n]+"), consumer)
if how == "retry" then
  local attempts = h.attempts == 1 and " attempt: " or " attempts: "
  reason = '"after ' .. h.attempts .. attempts .. string.sub(reason, 2)
end
if how == "dead" or h.attempts >= limit("attempts") then
  bury(h, reason, consumer)
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
  });

/** rest: finished leases, each with how many messages it had; for consumers that claim no more. */
export const forgetOf = (kind: ReadyKind): LeasedScript<never, number> =>
  leasedScript(kind, {
    name: "forget",
    args: [],
    lua: `${FIELDS}${LET_GO[kind]}${FORGET}
return 1`,
    reply: Number,
  });

/**
 * Prolongs leases to `ms` from now, never shortens one. rest: each lease, how many messages of it are asked
 * for, and their indexes. Gives the leases that are gone, and `<lease>:<index>` of what is in the hand no
 * more: somebody else has settled it, by its token.
 * Removed and added again, since an adding command first would be refused at `maxmemory`.
 */
export const extendScript = defineScript({
  name: "extend",
  keys: ["leases", "leased"],
  args: ["ms"],
  lua: `
local time = redis.call("TIME")
local until_then, gone = time[1] * 1000 + math.floor(time[2] / 1000) + ms, {}
redis.call("HLEN", leased)
local i = first_of_rest
while i <= #ARGV do
  local lease, n = ARGV[i], tonumber(ARGV[i + 1])
  local deadline = redis.call("ZSCORE", leases, lease)
  if deadline and tonumber(deadline) > 0 then
    redis.call("ZREM", leases, lease)
    redis.call("ZADD", leases, math.max(deadline, until_then), lease)
    for j = i + 2, i + 1 + n do
      local field = lease .. ":" .. ARGV[j]
      if redis.call("HEXISTS", leased, field) == 0 then gone[#gone + 1] = field end
    end
  else
    gone[#gone + 1] = lease
  end
  i = i + 2 + n
end
return gone`,
  reply: (raw) => (raw as unknown[]).map(String),
});
