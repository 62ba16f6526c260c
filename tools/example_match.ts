/**
 * Compares what a program printed with its `// Expect:` block, line by line. The answer is nothing
 * when they agree, else a text that shows the first line where they part.
 *
 * @module
 */

const WILDCARDS: Record<string, string> = {
  "<ms>": String.raw`\d+(?:\.\d+)?`,
  "<n>": String.raw`\d+`,
  "<id>": String.raw`\S+`,
  "<any>": ".*",
};

/** Marks lines that may come in any order among their neighbours that have it, too. */
const ANY_ORDER = "~ ";

/** How many agreeing lines are shown above the first that differs. */
const CONTEXT = 3;

/** What is wrong with `printed`, or undefined if it is what `expect` promises. */
export function difference(expect: string[], printed: string[]): string | undefined {
  let at = 0;
  for (let i = 0; i < expect.length;) {
    const group = groupAt(expect, i);
    const lines = printed.slice(at, at + group.length);
    const unmatched = firstUnmatched(group.map(toPattern), lines);
    if (unmatched !== undefined) {
      const { pattern, line } = unmatched;
      return explain(printed, at + line, group[pattern], lines[line]);
    }
    i += group.length;
    at += group.length;
  }
  return at < printed.length ? explain(printed, at, undefined, printed[at]) : undefined;
}

/** The line at `i`, or all neighbours from there on that may come in any order. */
function groupAt(expect: string[], i: number): string[] {
  let end = i;
  while (expect[end]?.startsWith(ANY_ORDER)) end++;
  return expect.slice(i, Math.max(end, i + 1));
}

function toPattern(promise: string): RegExp {
  const text = promise.startsWith(ANY_ORDER) ? promise.slice(ANY_ORDER.length) : promise;
  const parts = text.split(/(<(?:ms|n|id|any)>)/);
  const source = parts.map((part) =>
    WILDCARDS[part] ?? part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
  );
  return new RegExp(`^${source.join("")}$`);
}

/**
 * Finds for each pattern a line of its own. With wildcards a line may fit several patterns, so a
 * pattern that comes late may take a line over if the one before finds another (an augmenting path).
 */
function firstUnmatched(
  patterns: RegExp[],
  lines: string[],
): { pattern: number; line: number } | undefined {
  const takenBy: (number | undefined)[] = lines.map(() => undefined);
  const place = (pattern: number, seen: Set<number>): boolean =>
    lines.some((line, i) => {
      if (seen.has(i) || !patterns[pattern]!.test(line)) return false;
      seen.add(i);
      if (takenBy[i] !== undefined && !place(takenBy[i], seen)) return false;
      takenBy[i] = pattern;
      return true;
    });
  const pattern = patterns.map((_, i) => place(i, new Set())).indexOf(false);
  if (pattern < 0) return undefined;
  const line = takenBy.indexOf(undefined);
  return { pattern, line: line < 0 ? lines.length : line };
}

function explain(
  printed: string[],
  at: number,
  promised: string | undefined,
  line: string | undefined,
): string {
  const before = printed.slice(Math.max(0, at - CONTEXT), at).map((text) => `    ${text}`);
  return [
    `The output differs from the Expect block at line ${at + 1}:`,
    ...before,
    promised === undefined ? "  - (nothing more was promised)" : `  - ${promised}`,
    line === undefined ? "  + (nothing more was printed)" : `  + ${line}`,
  ].join("\n");
}
