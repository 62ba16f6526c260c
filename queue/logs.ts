/**
 * The logs of a queue: what was done, and which attempts failed. Off unless asked for; a list each,
 * newest at the left, capped by count and age. An entry is a line that says when and by whom, and the
 * message behind it:
 *
 * ```
 * 1795320605233 1795320605301 k3v9…⏎0mb3k…-7 0 0 1795320605230 0 0⏎{"total":12}
 * receivedAt    finishedAt    worker
 * ```
 *
 * @module
 */
import type { Buffer } from "node:buffer";

/** The first line of an entry, and the message. */
export interface LogEntry {
  receivedAt?: number;
  finishedAt: number;
  worker: string;
  message: Buffer;
}

/** Takes an entry apart; undefined for one that is none of ours. */
export function readLogEntry(entry: Buffer): LogEntry | undefined {
  const end = entry.indexOf(10);
  const match = end > 0 && end < 400
    ? /^(\d+) (\d+) (\S*)$/.exec(entry.toString("utf8", 0, end))
    : null;
  if (!match) return undefined;
  const [, receivedAt, finishedAt, worker] = match;
  return {
    ...(Number(receivedAt) > 0 && { receivedAt: Number(receivedAt) }), // a lapsed lease knows none
    finishedAt: Number(finishedAt),
    worker: worker!,
    message: entry.subarray(end + 1),
  };
}

/** log: adds entries and keeps to the limits. trim_log: what is too old goes, also when nothing comes. */
export const LOGS = `
local function log_entry(received, worker, message)
  return string.format("%.0f %.0f %s\\n", received, now, worker) .. message
end

local function trim_log(list, age)
  for _ = 1, 10 do
    local finished = string.match(redis.call("LINDEX", list, -1) or "", "^%d+ (%d+) ")
    if not finished or now - finished <= age then return end
    redis.call("RPOP", list)
  end
end

local function log(list, most, age, entries)
  redis.call("LPUSH", list, unpack(entries))
  redis.call("LTRIM", list, 0, most - 1)
  trim_log(list, age)
end`;

/** log_failed: an attempt that failed, if that is kept. The message's history has the error. */
export const LOG_FAILED = `
local function log_failed(h, received, worker)
  local most, age = string.match(policy, "failed=(%d+) failed_age=(%d+)")
  if tonumber(most) == 0 then return end
  log(failed, tonumber(most), tonumber(age), {log_entry(received, worker, write(h))})
end`;
