/**
 * Figures and foreign text as people read them. Pure: values in, text out.
 *
 * What comes out of Redis was written by somebody else: before it goes to a terminal, {@linkcode inert}
 * takes the power out of it.
 *
 * @module
 */

/** Units of time, the largest first. */
const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
];

/** A time in two units at most: `0.4 ms`, `850 ms`, `4.2 s`, `3 min 5 s`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 10) return `${Math.round(Math.max(0, ms) * 10) / 10} ms`;
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`;
  if (Math.round(ms / 100) < 100) return `${Math.round(ms / 100) / 10} s`;
  let left = Math.round(ms / 1_000) * 1_000;
  const words: string[] = [];
  for (const [name, unit] of UNITS) {
    const n = Math.floor(left / unit);
    if (n === 0) {
      if (words.length > 0) break;
      continue;
    }
    words.push(`${n} ${name}`);
    left -= n * unit;
    if (words.length === 2) break;
  }
  return words.join(" ");
}

/** How long ago something was: `4.2 s ago`; by a clock that is ahead, `0 ms ago`. */
export function ago(ms: number): string {
  return `${duration(ms)} ago`;
}

/** A time in as few columns as tell it: `0.4ms`, `4s`, `3m`, `2d`. */
export function shortDuration(ms: number): string {
  if (ms < 10) return `${Math.round(Math.max(0, ms) * 10) / 10}ms`;
  if (Math.round(ms) < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)}s`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)}s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)}m`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)}h`;
  return `${Math.round(ms / 86_400_000)}d`;
}

/** A count: `1,234,567`. */
export function whole(n: number): string {
  return Math.round(n).toLocaleString("en");
}

/** A count in at most five columns: `999`, `12.3k`, `1.2M`. */
export function shortCount(n: number): string {
  if (n < 1_000) return String(Math.round(n));
  for (const [unit, size] of [["k", 1e3], ["M", 1e6], ["G", 1e9]] as const) {
    const value = n / size;
    if (value < 99.95) return `${value.toFixed(1)}${unit}`;
    if (value < 999.5 || unit === "G") return `${Math.round(value)}${unit}`;
  }
  return String(n);
}

/** So many a second: `0`, `0.05`, `3.2`, `1,250`. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return perSecond < 0.01 ? "<0.01" : perSecond.toFixed(2);
  return perSecond < 100 ? String(Math.round(perSecond * 10) / 10) : whole(perSecond);
}

/** An instant, in local time to the second: `2026-11-22 09:30:12`. */
export function instant(ms: number): string {
  if (!Number.isFinite(ms) || ms <= 0 || ms > 8.64e15) return "";
  const date = new Date(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * Text that does nothing to a terminal: control characters, those that turn the direction of writing, and
 * broken Unicode are shown as escapes. `lines`: ends of lines and tabs stay.
 */
export function inert(text: string, { lines = false } = {}): string {
  return text.toWellFormed().replace(
    // deno-lint-ignore no-control-regex -- these are what is taken out
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (char) => {
      if (lines && (char === "\n" || char === "\t")) return char;
      if (char === "\n") return "\\n";
      if (char === "\t") return "\\t";
      return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
    },
  );
}

/** At most `width` characters, the last of them an ellipsis where something is missing. */
export function cut(text: string, width: number): string {
  const chars = [...text];
  if (chars.length <= width) return text;
  return width < 1 ? "" : `${chars.slice(0, width - 1).join("")}…`;
}

const LEVELS = "▁▂▃▄▅▆▇█";

/** One column a value, its height relative to the greatest: `▁▁▃█▂`. Nothing at all is a blank. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 0);
  return values.map((value) => {
    if (value <= 0 || most === 0) return " ";
    return LEVELS[Math.min(LEVELS.length - 1, Math.floor(value / most * LEVELS.length))];
  }).join("");
}

/**
 * How many columns of a bar each part gets: in proportion, all of `width` together, and at least one for
 * each part that is not empty, as long as there are enough.
 */
export function shares(parts: readonly number[], width: number): number[] {
  const total = parts.reduce((sum, n) => sum + n, 0);
  if (total === 0) return parts.map(() => 0);
  const columns = parts.map((n) => n === 0 ? 0 : Math.max(1, Math.round(n / total * width)));
  // What rounding has given too much or too little, the widest makes up for.
  for (let left = width - columns.reduce((sum, n) => sum + n, 0); left !== 0;) {
    const widest = columns.indexOf(Math.max(...columns));
    const change = left > 0 ? left : Math.max(left, 1 - columns[widest]!);
    if (change === 0) break; // more parts than columns
    columns[widest]! += change;
    left -= change;
  }
  return columns;
}

/** What a payload is, as text: JSON on one line, or else the bytes as they are. */
export function payloadText({ payload, raw }: { payload?: unknown; raw: Uint8Array }): string {
  return payload === undefined
    ? new TextDecoder().decode(raw)
    : JSON.stringify(payload) ?? String(payload);
}

/** When a schedule fires: its pattern and the zone of it, or `every 5 s`. */
export function whenOf(
  { cron, timeZone, everyMs }: { cron?: string; timeZone?: string; everyMs?: number },
): string {
  if (everyMs !== undefined) return `every ${duration(everyMs)}`;
  return [cron ?? "?", timeZone].filter(Boolean).join(" ");
}
