/**
 * Shows two runs of the same step at the same time: side by side where the terminal is wide enough,
 * else one below the other with names in front. On a terminal the lines move in a window of a few
 * rows, so that a step does not push the one before out of sight; in a file or a pipe they follow
 * each other. It ends when it is closed; then all that was said was on the screen.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- it prints what a program shows

import { fit, paint, terminalWidth, wrap } from "./example_stage.ts";

/** The two ways to wait. */
export const MODES = ["polling", "blocking"] as const;
/** One of them. */
export type Mode = typeof MODES[number];

/** What a view shows above the lines. */
export interface Heading {
  /** The step. */
  title: string;
  /** What both modes are about. */
  about?: string | undefined;
  /** What to watch for, for each mode; empty where that is the same. */
  lessons: Record<Mode, string>;
}

/** A place for the lines of both runs. */
export interface View extends Disposable {
  /** Shows a line of one of them. */
  line(mode: Mode, text: string): void;
}

/** Terminals at least this wide get two columns. */
const TWO_COLUMNS = 100;
/** Wider columns would put the second one out of sight of the first. */
const MAX_WIDTH = 160;
/** Text in one column is hard to read when it is wider. */
const MAX_TEXT_WIDTH = 80;
/** How often the screen changes. */
const FRAME_MS = 50;
const WINDOW_ROWS = 10;
const SEPARATOR = " │ ";
const NAME_STYLES = { polling: "magenta", blocking: "blue" } as const;

/** The view that fits a terminal of `width` columns; undefined means a file or a pipe. */
export function openView(width: number | undefined, heading: Heading): View {
  if (width === undefined) return new Plain(heading);
  if (width < TWO_COLUMNS) return new OneColumn(width, heading);
  return new TwoColumns(Math.min(width - 1, MAX_WIDTH), heading);
}

class TwoColumns implements View {
  readonly #width: number;
  readonly #lines: Record<Mode, string[]> = { polling: [], blocking: [] };
  readonly #window: Window;
  readonly #timer: ReturnType<typeof setInterval>;
  #fresh: string[] = [];

  constructor(width: number, { title, about, lessons }: Heading) {
    this.#width = Math.floor((width - SEPARATOR.length) / 2);
    console.log(`\n${rule(title, width)}\n`);
    if (about) console.log(`${paint("dim", wrap(about, width).join("\n"))}\n`);
    const [left, right] = MODES.map((mode) => [
      paint(["bold", NAME_STYLES[mode]], mode),
      ...(lessons[mode] ? wrap(lessons[mode], this.#width) : []).map((line) => paint("dim", line)),
    ]);
    for (let i = 0; i < Math.max(left!.length, right!.length); i++) {
      console.log(this.#row(left![i], right![i]));
    }
    console.log(this.#row());
    this.#window = new Window(this.#row());
    this.#timer = setInterval(() => this.#flush(), FRAME_MS);
  }

  line(mode: Mode, text: string): void {
    this.#lines[mode] = [...this.#lines[mode], text].slice(-WINDOW_ROWS);
    this.#fresh.push(`${nameOf(mode)} ${text}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#flush();
  }

  #flush(): void {
    if (this.#fresh.length === 0) return;
    const { polling, blocking } = this.#lines;
    const count = Math.max(polling.length, blocking.length);
    const rows = Array.from({ length: count }, (_, i) => this.#row(polling[i], blocking[i]));
    this.#window.show(rows, this.#fresh);
    this.#fresh = [];
  }

  #row(left = "", right = ""): string {
    return [left, right].map((text) => fit(text, this.#width)).join(paint("dim", SEPARATOR));
  }
}

class OneColumn implements View {
  readonly #width: number;
  readonly #window: Window;
  #rows: string[] = [];

  constructor(width: number, heading: Heading) {
    this.#width = width;
    introduce(heading, Math.min(width - 1, MAX_TEXT_WIDTH));
    this.#window = new Window("");
  }

  line(mode: Mode, text: string): void {
    const row = fit(`${nameOf(mode)} ${text}`, this.#width - 1);
    this.#rows = [...this.#rows, row].slice(-WINDOW_ROWS);
    this.#window.show(this.#rows, [row]);
  }

  [Symbol.dispose](): void {}
}

class Plain implements View {
  constructor(heading: Heading) {
    introduce(heading, MAX_TEXT_WIDTH);
  }

  line(mode: Mode, text: string): void {
    console.log(`${nameOf(mode)} ${text}`);
  }

  [Symbol.dispose](): void {}
}

/** Some rows of the screen whose content changes. */
class Window {
  readonly #empty: string;
  readonly #width = terminalWidth();

  /** Makes room on the screen, filled with `empty` rows. */
  constructor(empty: string) {
    this.#empty = empty;
    for (let i = 0; i < WINDOW_ROWS; i++) console.log(empty);
  }

  /** Shows `rows`; `fresh` is what is new in them. */
  show(rows: string[], fresh: string[]): void {
    // The lines of a terminal that was made narrower are broken: we would hit the wrong ones.
    if (terminalWidth() !== this.#width) return fresh.forEach((line) => console.log(line));
    const all = [...rows, ...Array(WINDOW_ROWS - rows.length).fill(this.#empty)];
    console.log(`\x1b[${WINDOW_ROWS}A` + all.map((row) => `${row}\x1b[K`).join("\n"));
  }
}

function introduce({ title, about, lessons }: Heading, width: number): void {
  console.log(`\n${rule(title, width)}\n`);
  if (about) console.log(wrap(about, width).join("\n"));
  for (const mode of MODES) {
    if (lessons[mode] === "") continue;
    const [first, ...more] = wrap(`${mode}: ${lessons[mode]}`, width);
    console.log(
      [paint(["bold", NAME_STYLES[mode]], mode) + first!.slice(mode.length), ...more].join("\n"),
    );
  }
  console.log();
}

function nameOf(mode: Mode): string {
  return paint(NAME_STYLES[mode], `${mode.padEnd(8)} │`);
}

function rule(title: string, width: number): string {
  const line = "─".repeat(Math.max(width - title.length - 1, 0));
  return `${paint("bold", title)} ${paint("dim", line)}`;
}
