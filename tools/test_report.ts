/**
 * What `deno test` printed, read: its totals, and what failed and why.
 *
 * @module
 */

/** How a run of `deno test` went. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** A test that failed. */
export interface Failure {
  /** `Worker stops in order`; the steps below it are part of it. */
  name: string;
  /** `tests/leased_worker_test.ts`, or the document that the code is in. */
  file: string;
  /** What `deno test` said, without the stack. */
  why: string;
}

/** `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`. */
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?:.*?\| (\d+) ignored)?/m;

/** `Worker stops in order => ./tests/leased_worker_test.ts:72:8`, a step with ` ... ` between the names. */
const TITLE = /^(\S.*) => (\S+?):\d+:\d+$/;

/** Most lines of one failure. */
const MOST_LINES = 25;

/** The totals; undefined where there is no summary, as after a type error or a crash. */
export function readTotals(printed: string): Totals | undefined {
  const summary = SUMMARY.exec(plain(printed));
  if (!summary) return undefined;
  const [passed = 0, failed = 0, skipped = 0] = summary.slice(1).map((n) => Number(n ?? 0));
  return { passed, failed, skipped };
}

/** What failed, each test once. */
export function readFailures(printed: string): Failure[] {
  const lines = plain(printed).split("\n");
  const from = lines.findIndex((line) => line.trim() === "ERRORS");
  const to = lines.findLastIndex((line) => line.trim() === "FAILURES");
  if (from < 0 || to < from) return [];
  const failures = new Map<string, Failure>();
  let current: string[] = [];
  for (const line of lines.slice(from + 1, to)) {
    const [, title, file] = TITLE.exec(line) ?? [];
    if (title !== undefined && file !== undefined) {
      const name = title.split(" ... ")[0]!;
      const key = `${file} ${name}`;
      const failure = failures.get(key) ?? { name, file: file.replace(/^\.\//, ""), why: "" };
      failures.set(key, failure);
      current = [];
    } else if (failures.size > 0 && !/^\s+at /.test(line) && current.length < MOST_LINES) {
      current.push(line);
      const last = [...failures.values()].at(-1)!;
      last.why = current.join("\n").trim();
    }
  }
  return [...failures.values()];
}

function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- colours
  return text.replace(/\u001b\[[\d;]*m/g, "").replaceAll("\r", "");
}
