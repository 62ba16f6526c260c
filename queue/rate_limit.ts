/**
 * A queue's rate limit: in any `perMs` milliseconds, at most `count` messages are handed out, however
 * many workers there are.
 *
 * Redis keeps the grants of the last `perMs` (a sliding log), on its own clock. A consumer that is told
 * to wait learns how long, and its scheduler pushes a token then; so nobody asks in between. Where the
 * rate has small steps, several are gathered: it is asked four times a second at most, and four times in
 * `perMs`.
 *
 * @module
 */
import { checkOptions, optionNames } from "../redis/options.ts";
import { checkCount, checkMs } from "../redis/timers.ts";

/** How many messages may be handed out in a time. */
export interface RateLimit {
  /** How many, from 1 to 100,000. A message that is handed out again counts again. */
  count: number;
  /**
   * In how many milliseconds, from 1 to 2,147,483,647 (24 days).
   *
   * @default 1_000
   */
  perMs?: number;
}

const RATE_LIMIT = optionNames<RateLimit>({ count: true, perMs: true });

/**
 * The limit as the scripts read it: `<count> <perMs>`, or "" for none.
 *
 * @throws {TypeError} for what is no object, or has other members.
 * @throws {RangeError} for a measure out of range.
 */
export function rateOf(limit: RateLimit | undefined): string {
  if (limit === undefined) return "";
  const { count, perMs = 1_000 } = checkOptions("rateLimit", limit, RATE_LIMIT);
  checkCount("rateLimit.count", count, { max: 100_000 });
  return `${count} ${Math.ceil(checkMs("rateLimit.perMs", perMs, { min: 1 }))}`;
}

/**
 * For scripts that hand nothing out: while the rate is used up they tell nobody, since `held_until` says
 * when somebody will be told.
 */
export const NO_RATE = `
local spare_rate, spare_in = math.huge, 0`;

/** For scripts that know the rate: they are not held back by what others knew. */
export const HOLD = `
paused()
is_held = false`;

/** spare_rate: how many may be handed out now; spare_in: when none, for how many milliseconds. */
export const RATE = `
local spare_rate, spare_in, grant = math.huge, 0, nil
if rate ~= "" then
  local rate_most, rate_per = string.match(rate, "^(%d+) (%d+)$")

  -- Several steps of a fine rate are waited for together, or all workers would ask at each.
  local function wait_for_rate(frees) spare_in = math.max(frees, math.min(250, rate_per / 4)) end

  -- An entry says when, how many, and how many in all until then: so the sum needs no counter.
  local function grant_at(index)
    local at, n, total = string.match(redis.call("LINDEX", grants, index) or "", "^(%d+) (%d+) (%d+)$")
    if at then return {at = tonumber(at), n = tonumber(n), total = tonumber(total)} end
  end

  local newest, oldest = grant_at(0), nil
  for _ = 1, 1000 do
    oldest = grant_at(-1)
    -- One that lies in the future was written before the clock was set back; one that cannot be read is
    -- none of ours.
    if oldest and oldest.at <= now and oldest.at + rate_per > now then break end
    if not redis.call("RPOP", grants) then break end
  end
  local granted = oldest and newest and newest.total - oldest.total + oldest.n or 0
  spare_rate = math.max(0, rate_most - granted)
  if spare_rate == 0 then wait_for_rate(oldest.at + rate_per - now) end

  function grant(n)
    local total = (newest and newest.total or 0) + n
    redis.call("LPUSH", grants, string.format("%.0f %d %.0f", now, n, total))
    redis.call("PEXPIRE", grants, rate_per)
    spare_rate = spare_rate - n
    local oldest = grant_at(-1)
    if spare_rate == 0 then wait_for_rate(oldest and oldest.at + rate_per - now or rate_per) end
  end
end`;
