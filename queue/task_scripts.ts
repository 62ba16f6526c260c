/**
 * Scripts of tasks alone. Those that move messages are in leased_scripts.ts, and keep the records as they
 * go; see task_lua.ts.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { defineScript } from "../redis/script.ts";
import { TIME } from "./leased_lua.ts";

/** What became of a report of progress. */
export type Progressed = "kept" | "lost" | "cancelled";

const PROGRESSED: readonly Progressed[] = ["kept", "lost", "cancelled"];

/**
 * How far tasks are. rest, six for each: the lease and the index under which it is held, its id,
 * `type⇥attempt⇥consumer`, `added⇥started`, and how far it is, as JSON. Gives for each 0 if it is kept, 1 if the
 * lease is gone or the task done, 2 if somebody has cancelled it. Nothing is written for those.
 */
export const progressScript = defineScript({
  name: "task_progress",
  keys: ["leased", "leases", "records", "events"],
  args: ["events_most"],
  lua: `
${TIME}
redis.call("HLEN", records); redis.call("XLEN", events)
local said = {}
for i = first_of_rest, #ARGV, 6 do
  local lease, index, id, told, times, value = unpack(ARGV, i, i + 5)
  local ends = redis.call("ZSCORE", leases, lease)
  local held = ends and tonumber(ends) > 0 and redis.call("HGET", leased, lease .. ":" .. index)
  if not held then
    said[#said + 1] = 1
  elseif string.find(held, "^%d+%-%d+ %S+ %d+ x ") or string.find(held, "^%S+ %d+ x ") then
    said[#said + 1] = 2
  else
    local since = string.format("%.0f", now)
    -- Removes first: a handler that tells how far it is must not fail since Redis is at maxmemory.
    redis.call("HDEL", records, id)
    redis.call("HSET", records, id, "running\\t" .. since .. "\\t" .. times .. "\\t" .. told .. "\\n" .. value)
    if events_most ~= "0" then
      redis.pcall("XADD", events, "MAXLEN", "~", events_most, "*", "progress",
        id .. "\\t" .. told .. "\\t" .. value)
    end
    said[#said + 1] = 0
  end
end
return said`,
  reply: (raw) => (raw as number[]).map((code) => PROGRESSED[Number(code)]!),
});

/** The longest record that a list of tasks shows whole, and how many bytes one look reads, about. */
export const SHOWN_BYTES = 16_384;
const LOOK_BYTES = 1_048_576;

/**
 * Records for lists, in the order of the ids in rest: of one that is longer than {@linkcode SHOWN_BYTES},
 * since the task's result is, only the first line. Gives fewer than were asked for where they are large.
 */
export const recordHeadsScript = defineScript({
  name: "record_heads",
  keys: ["records"],
  args: [],
  lua: `
local heads, bytes = {}, 0
for i = first_of_rest, #ARGV do
  if bytes > ${LOOK_BYTES} then break end
  local size = redis.call("HSTRLEN", records, ARGV[i])
  local record = size > 0 and redis.call("HGET", records, ARGV[i])
  if size > ${SHOWN_BYTES} then record = string.match(record, "^[^\\n]*\\n") end
  bytes = bytes + size
  heads[#heads + 1] = record
end
return heads`,
  reply: (raw) => raw as (Buffer | null)[],
});

/** How long the stream of tasks is, how many records there are, and how many entries of events. */
export const taskSizesScript = defineScript({
  name: "task_sizes",
  keys: ["ready", "records", "events"],
  args: [],
  lua:
    `return {redis.call("XLEN", ready), redis.call("HLEN", records), redis.call("XLEN", events)}`,
  reply: (raw) => {
    const [streamLength = 0, records = 0, events = 0] = (raw as number[]).map(Number);
    return { streamLength, records, events };
  },
});
