/**
 * Scripts of tasks alone. Those that move messages are in leased_scripts.ts, and keep the records as they
 * go; see task_lua.ts.
 *
 * @module
 */
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
