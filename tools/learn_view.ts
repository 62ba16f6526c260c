/**
 * The screen of `deno task learn`, as text: how far you are, which exercise this is, and what is
 * wrong, in one sentence. Nothing is read or written here.
 *
 * @module
 */

import { fit, paint, wrap } from "./example_stage.ts";
import type { Exercise, Verdict } from "./exercise.ts";

/** What the screen shows. */
export interface View {
  /** The exercise. */
  exercise: Exercise;
  /** Where its file is, as it would be typed. */
  path: string;
  /** Of each exercise, whether it is solved. */
  solved: boolean[];
  /** What was found; undefined while it is checked. */
  verdict: Verdict | undefined;
  /** What the check is doing, meanwhile. */
  step?: string | undefined;
  /** The hints to show. */
  hints: string[];
  /** Whether there are keys to press. */
  keys: boolean;
  /** How many columns there are. */
  width: number;
}

/** The lines of the screen. */
export function screen(view: View): string[] {
  const { exercise, path, width } = view;
  const inner = Math.min(width, 100) - 4;
  const lines = [
    "",
    `  ${bar(view.solved, inner)}`,
    "",
    `  ${paint("bold", `${exercise.number} · ${exercise.title}`)}`,
    `  ${paint("cyan", path)}`,
    "",
    ...resultOf(view, inner),
    "",
  ];
  for (const [i, hint] of view.hints.entries()) {
    const [first, ...rest] = wrap(hint, inner - 9);
    lines.push(`  ${paint("yellow", `Hint ${i + 1}`)}   ${first}`);
    lines.push(...rest.map((line) => `           ${line}`), "");
  }
  return [...lines, ...footer(view, inner)];
}

function resultOf({ verdict, step }: View, width: number): string[] {
  if (!verdict) {
    const what = `…  being checked${step ? `: ${step}` : ""}`;
    return [`  ${paint("dim", fit(what, width).trimEnd())}`];
  }
  if (verdict.solved) return [`  ${paint("green", "✓  Solved")}`];
  const [first, ...rest] = wrap(verdict.sentence, width - 3);
  return [
    `  ${paint("red", "✗")}  ${first}`,
    ...rest.map((line) => `     ${line}`),
    ...verdict.detail.map((line) => paint("dim", `     ${fit(line, width - 3).trimEnd()}`)),
  ];
}

function footer({ exercise, hints, keys, verdict }: View, width: number): string[] {
  if (!verdict || verdict.solved) return [];
  const more = hints.length < exercise.hints.length;
  const step = exercise.step ? ` · the step: deno task ex ${exercise.number}` : "";
  const parts = [
    "Edit the file and save it: it is checked again by itself.",
    ...(keys
      ? [`${more ? "h hint · " : ""}n next · p previous · q quit${step}`]
      : [`${more ? `A hint: deno task hint ${exercise.number} · ` : ""}leave: Ctrl-C${step}`]),
  ];
  return parts.flatMap((part) => wrap(part, width)).map((line) => `  ${paint("dim", line)}`);
}

/** `██████░░░░  6 of 18 solved` */
export function bar(solved: boolean[], width: number): string {
  const done = solved.filter(Boolean).length;
  const text = `  ${done} of ${solved.length} solved`;
  const cells = Math.max(solved.length, Math.min(2 * solved.length, width - text.length));
  const full = Math.floor(cells * done / solved.length);
  return paint("green", "█".repeat(full)) + paint("dim", "░".repeat(cells - full)) + text;
}

/** One line for each exercise: `✓ 02 · List queue`. */
export function overview(exercises: Exercise[], solved: boolean[]): string[] {
  return exercises.map(({ number, title }, i) =>
    `  ${solved[i] ? paint("green", "✓") : paint("dim", "·")} ${number} · ${title}`
  );
}
