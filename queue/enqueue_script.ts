/**
 * Storing messages: the script of a producer.
 *
 * @module
 */
import { NAMES } from "./dedupe.ts";
import { type LeasedScript, leasedScript, plainly } from "./leased_script.ts";
import { type ReadyKind, TRACK } from "./ready_lua.ts";
import { STATS } from "./stats.ts";

/** How long a repeated enqueue is recognised, in milliseconds. */
export const REPLAY_MS = 60_000;

/**
 * rest: `plain` messages that are ready, oldest first; then for each other one its due time
 * (ms since 1970, or +ms from now), the id that its producer chose or "", the key that it takes or
 * "", for how long, and the message. Gives how many of the plain ones were stored, and for each
 * other one that was not its position, from 1, and why: "full", or "=" and the id of the message
 * that is there already.
 */
export const enqueueOf = (
  kind: ReadyKind,
): LeasedScript<"batch" | "plain" | "replay_ms" | "max_ready" | "counting", Stored> =>
  leasedScript(kind, {
    name: "enqueue",
    args: ["batch", "plain", "replay_ms", "max_ready", "counting"],
    reply: readStored,
    lua: `${plainly(kind)}
if redis.call("ZSCORE", replays, batch) then  -- the reply was lost: the same again
  redis.call("PEXPIRE", replays, replay_ms)  -- a write, or a WAIT behind it would wait for nothing
  local said = {}
  for word in string.gmatch(redis.call("HGET", replies, batch) or plain, "[^\\n]+") do
    said[#said + 1] = word
  end
  return said
end
${STATS}${TRACK[kind]}
local room = math.huge
if tonumber(max_ready) > 0 then room = math.max(0, max_ready - waiting_in_all()) end
local stored_plain = math.min(tonumber(plain), room)
local stored, said, ready_now = stored_plain, {tostring(stored_plain)}, {}
local delayed_now, chosen = {}, {}
local first_other = first_of_rest + plain
-- Before anything is written: keys of another type fail here.
local tell = redis.call("LLEN", wake) == 0 and not paused() and not is_held
check_ready()
check_records()
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
        delayed_now[#delayed_now + 1] = message
        -- Whoever waits for a later one has to hear of it.
        if tell and (not earliest or due < earliest) then
          redis.call("LPUSH", wake, "1")
          tell = false
        end
        earliest = math.min(earliest or due, due)
      end
      hold(string.match(message, "^%S+"), id, key, ttl)
      if id ~= "" then chosen[#chosen + 1] = id end
      stored = stored + 1
    end
  end
  function end_some_windows() end_windows(100) end
end
for i = 1, stored_plain, 1000 do
  local some = {unpack(ARGV, first_of_rest + i - 1, first_of_rest + math.min(stored_plain, i + 999) - 1)}
  put(some)
  track_many("ready", "added", some)
end
put(ready_now)
track_new(ready_now, delayed_now, chosen)
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
