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

/** How many producers are looked at, of those that may have gone, whenever one comes or has been here long. */
const LOOKED_AT = 10;

/**
 * `producer` and `batch`: a producer counts its batches, and sends one when the one before was answered or
 * given up; so Redis keeps of each producer only the last batch, until when the mark is valid, and the
 * reply if there was something to say: `17 1795320605233⏎2⏎1⏎=invoice-17`.
 *
 * `after` and `after_batch`: the batch that was sent just before, by another producer, and is not answered
 * yet; or "" and 0. Where Redis does not have it, it is still to come (its reply said NOSCRIPT or MOVED, or
 * its connection was lost), and this one would overtake it: nothing is stored, and the reply is nil.
 *
 * rest: `plain` messages that are ready, oldest first; then for each other one its due time
 * (ms since 1970, or +ms from now), the id that its producer chose or "", the key that it takes or
 * "", for how long, and the message. Gives how many of the plain ones were stored, and for each
 * other one that was not its position, from 1, and why: "full", or "=" and the id of the message
 * that is there already.
 */
export const enqueueOf = (
  kind: ReadyKind,
): LeasedScript<
  "producer" | "batch" | "after" | "after_batch" | "plain" | "replay_ms" | "max_ready" | "counting",
  Stored | undefined
> =>
  leasedScript(kind, {
    name: "enqueue",
    args: [
      "producer",
      "batch",
      "after",
      "after_batch",
      "plain",
      "replay_ms",
      "max_ready",
      "counting",
    ],
    reply: readStored,
    lua: `${plainly(kind)}
local seen = redis.call("HGET", replays, producer)
local last, valid, then_said
if seen then last, valid, then_said = string.match(seen, "^(%d+) (%d+)\\n?(.*)$") end
if last and tonumber(batch) <= tonumber(last) then
  -- One that was given up comes late: nobody waits for it, and what it is to become is not known.
  if batch ~= last then return redis.error_reply("ERR a later batch of this producer was stored") end
  redis.call("PEXPIRE", replays, 2 * replay_ms)  -- a write, or a WAIT behind it would wait for nothing
  local said = {}  -- the reply was lost: the same again
  for word in string.gmatch(then_said ~= "" and then_said or plain, "[^\\n]+") do
    said[#said + 1] = word
  end
  return said
end
if after ~= "" then
  local before = redis.call("HGET", replays, after)
  local reached = tonumber(string.match(before or "", "^%d+"))
  if not reached or reached < tonumber(after_batch) then return false end
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
local end_some_windows
if first_other <= #ARGV then
  ${NAMES}
  redis.call("HLEN", ids); redis.call("HLEN", dedupe); redis.call("ZCARD", dedupe_until)
  waiting()
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
  end_some_windows = end_windows
end
for i = 1, stored_plain, 1000 do
  local some = {unpack(ARGV, first_of_rest + i - 1, first_of_rest + math.min(stored_plain, i + 999) - 1)}
  put(some)
  track_many("ready", "added", some)
end
put(ready_now)
track_new(ready_now, delayed_now, chosen)
if tell and stored_plain + #ready_now > 0 then redis.call("LPUSH", wake, "1") end
-- All marks go when nothing was enqueued for a while; those of producers that went, now and then.
local renewed = not valid or valid - now < tonumber(replay_ms) or valid - now > 2 * replay_ms
if renewed then valid = string.format("%.0f", now + 2 * replay_ms) end
local mark = batch .. " " .. valid
if #said > 1 or stored_plain < tonumber(plain) then mark = mark .. "\\n" .. table.concat(said, "\\n") end
redis.call("HSET", replays, producer, mark)
if renewed then
  redis.call("PEXPIRE", replays, 2 * replay_ms)
  local marks = redis.call("HRANDFIELD", replays, ${LOOKED_AT}, "WITHVALUES")
  for i = 1, #marks, 2 do
    local ends = tonumber(string.match(marks[i + 1], "^%d+ (%d+)"))
    if not ends or ends < now then redis.call("HDEL", replays, marks[i]) end
  end
end
if end_some_windows then end_some_windows(100) end  -- last: enqueue begins with a command that adds
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

function readStored(raw: unknown): Stored | undefined {
  if (raw === null) return undefined;
  const [plain, ...words] = (raw as unknown[]).map(String);
  const refused = new Map<number, string>();
  for (let i = 0; i < words.length; i += 2) {
    refused.set(Number(words[i]) - 1, words[i + 1] === "full" ? "" : words[i + 1]!.slice(1));
  }
  return { plain: Number(plain), refused };
}
