/**
 * How the command line speaks: tables, one JSON document, a bar for what takes a while, a question before
 * what cannot be taken back. Colours and borders are for a terminal; in a pipe there is plain text, aligned.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline/promises";
import CliTable from "cli-table3";
import { AskedWrongly } from "./cli_flags.ts";
import { inert, whole } from "./format.ts";

/** A colour or weight that {@linkcode paint} knows. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const CODES: Record<Style, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Whether a person is looking at what we print. */
export function onTerminal(): boolean {
  return process.stdout.isTTY === true;
}

/** Whether to print colours: on a terminal that has some, unless NO_COLOR says no. */
export function wantsColours(): boolean {
  return onTerminal() && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";
}

/** Colours `text`, where colours are wanted. */
export function paint(style: Style, text: string): string {
  if (!wantsColours() || text === "") return text;
  const [on, off] = CODES[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}

/** Prints a line, or several. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints what is no part of the answer: what is wrong, what to do about it. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Prints one JSON document. Bytes become text. */
export function printJson(value: unknown): void {
  const asText = (_: string, inner: unknown) =>
    inner instanceof Uint8Array ? new TextDecoder().decode(inner) : inner;
  print(JSON.stringify(value, asText, 2));
}

/** One column of a table. */
export interface Column<R> {
  /** Its head. */
  readonly head: string;
  /** The cell of a row: a number is aligned to the right, with separators on a terminal. */
  readonly of: (row: R) => string | number | undefined;
  /** Numbers, and what is measured, stand to the right. */
  readonly right?: true;
  /** In which order columns are left out where the terminal is too narrow: 1 goes first. */
  readonly spare?: number;
  /** Whether it is cut first when leaving out is not enough. One column of a table should be. */
  readonly elastic?: true;
  /** How it is coloured. */
  readonly style?: (row: R) => Style | undefined;
}

const NO_BORDERS = Object.fromEntries(
  [
    "top",
    "top-mid",
    "top-left",
    "top-right",
    "bottom",
    "bottom-mid",
    "bottom-left",
    "bottom-right",
    "left",
    "left-mid",
    "mid",
    "mid-mid",
    "right",
    "right-mid",
  ].map((name) => [name, ""]),
);

/** The narrowest that a column is cut to. */
const NARROWEST = 8;

/** From when on a name or an id is longer than most. */
const LONG = 32;

/** Rows as text, for a terminal of `width` columns, or for a pipe. */
export function table<R>(
  rows: readonly R[],
  columns: readonly Column<R>[],
  width: number | undefined = onTerminal() ? process.stdout.columns || 80 : undefined,
): string {
  const cells = rows.map((row) =>
    columns.map(({ of }) => {
      const value = of(row) ?? "";
      if (typeof value === "string") return inert(value);
      return width === undefined ? String(value) : whole(value);
    })
  );
  const widths = columns.map(({ head }, i) =>
    Math.max([...head].length, ...cells.map((row) => [...row[i]!].length))
  );
  const shown = width === undefined ? columns.map((_, i) => i) : fitting(columns, widths, width);
  const cut = width === undefined ? new Set<number>() : cutting(columns, shown, widths, width);
  const made = new CliTable({
    head: shown.map((i) => paint("bold", columns[i]!.head)),
    colAligns: shown.map((i) => columns[i]!.right ? "right" : "left"),
    // It cuts by what a character takes on the screen; 2 for the padding.
    colWidths: shown.map((i) => cut.has(i) ? widths[i]! + 2 : null),
    wordWrap: false,
    style: { head: [], border: wantsColours() ? ["dim"] : [], compact: true },
    ...(width === undefined && {
      chars: { ...NO_BORDERS, middle: "  " },
      style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 0 },
    }),
  });
  for (const [r, row] of rows.entries()) {
    made.push(shown.map((i) => {
      const style = columns[i]!.style?.(row);
      const text = cells[r]![i]!;
      return style ? paint(style, text) : text;
    }));
  }
  return made.toString().split("\n").map((line) => line.trimEnd()).join("\n");
}

/**
 * Narrows `widths` until the columns fit, and gives those that are cut: first names and ids that are longer
 * than most, then what is elastic, and if there is no other way the widest. Figures stay whole.
 */
function cutting<R>(
  columns: readonly Column<R>[],
  shown: readonly number[],
  widths: number[],
  width: number,
): Set<number> {
  const cut = new Set<number>();
  const texts = shown.filter((i) => !columns[i]!.right);
  const widest = (some: readonly number[], least: number) =>
    some.filter((i) => widths[i]! > least)
      .sort((a, b) => widths[b]! - widths[a]!)[0];
  let over = shown.reduce((sum, i) => sum + widths[i]! + 3, 1) - width;
  for (; over > 0; over--) {
    const next = widest(texts, LONG) ??
      widest(texts.filter((i) => columns[i]!.elastic), NARROWEST) ??
      widest(texts, NARROWEST);
    if (next === undefined) break;
    widths[next]!--;
    cut.add(next);
  }
  return cut;
}

/** Which columns there is room for. */
function fitting<R>(columns: readonly Column<R>[], widths: number[], width: number): number[] {
  let shown = columns.map((_, i) => i);
  const least = () =>
    shown.reduce((sum, i) => {
      const { elastic, right } = columns[i]!;
      const most = elastic ? 2 * NARROWEST : right ? Infinity : LONG;
      return sum + Math.min(widths[i]!, most) + 3;
    }, 1);
  for (;;) {
    const spares = shown.filter((i) => columns[i]!.spare !== undefined);
    if (least() <= width || spares.length === 0) return shown;
    const out = spares.reduce((a, b) => columns[b]!.spare! < columns[a]!.spare! ? b : a);
    shown = shown.filter((i) => i !== out);
  }
}

const BAR_WIDTH = 30;
const FRAME_MS = 80;
const LINE_MS = 5_000;

/** How far something is that takes a while, on standard error: a bar, or in a log a line now and then. */
export class Progress implements Disposable {
  readonly #what: string;
  readonly #total: number;
  readonly #startedAt = performance.now();
  readonly #live = process.stderr.isTTY === true;
  #shownAt = -Infinity;
  #done = 0;

  /** `what` is done, to so many. */
  constructor(what: string, total: number) {
    this.#what = what;
    this.#total = total;
    if (!this.#live) this.#shownAt = this.#startedAt; // what is done within seconds needs no line
  }

  /** So many are done. */
  to(done: number): void {
    this.#done = done;
    const now = performance.now();
    if (now - this.#shownAt < (this.#live ? FRAME_MS : LINE_MS)) return;
    this.#shownAt = now;
    if (this.#live) process.stderr.write(`\r${this.#text()}\x1b[K`);
    else note(`${this.#what} ${this.#done} of ${this.#total}`);
  }

  #text(): string {
    const share = this.#total === 0 ? 1 : Math.min(1, this.#done / this.#total);
    const full = Math.round(share * BAR_WIDTH);
    const perSecond = this.#done / Math.max(0.001, (performance.now() - this.#startedAt) / 1_000);
    return `${this.#what} ${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)} ` +
      `${whole(this.#done)} of ${whole(this.#total)} · ${whole(perSecond)}/s`;
  }

  /** Takes the bar away. */
  [Symbol.dispose](): void {
    if (this.#live && this.#shownAt > -Infinity) process.stderr.write("\r\x1b[K");
  }
}

/**
 * Asks before something that cannot be taken back.
 *
 * @throws {AskedWrongly} where there is nobody to ask.
 */
export async function confirm(question: string, { yes }: { yes: boolean }): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new AskedWrongly(`${question} There is no terminal to ask: say --yes`);
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const left = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
    const answer = await Promise.race([lines.question(`${question} [y/N] `), left]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
