/**
 * `deno task hint 02`: one hint more for an exercise, those before it, too. It ends with exit code 0,
 * or with 2 because it was asked wrongly.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { parseArgs } from "@std/cli/parse-args";
import { ROOT } from "./example.ts";
import { paint, terminalWidth, wrap } from "./example_stage.ts";
import { type Exercise, listExercises } from "./exercise.ts";
import { Progress } from "./learn_progress.ts";
import { overview } from "./learn_view.ts";

const HELP = `One hint more, each time you ask.

  deno task hint 02            for exercise 02
  deno task hint               for the first one that is not solved
  deno task hint 02 --again    from the first hint on

  --help   print this`;

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["again", "help"],
    string: ["_"],
    unknown: (arg: string) => !arg.startsWith("-") || unknown.push(arg) < 0,
  });
  const [wanted, ...more] = args._.map(String);
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  if (unknown.length + more.length > 0) {
    console.error(`Not understood: ${[...more, ...unknown].join(" ")}\n\n${HELP}`);
    return 2;
  }
  const [exercises, progress] = [await listExercises(), await Progress.load()];
  const exercise = await find(exercises, wanted, progress);
  if (!exercise) {
    const all = overview(exercises, []).join("\n");
    console.error(`There is no exercise ${wanted ?? "left"}. There are:\n\n${all}`);
    return 2;
  }
  const { name, number, title, hints } = exercise;
  const count = Math.min(args.again ? 1 : progress.hints(name) + 1, hints.length);
  await progress.noteHints(name, count);
  const width = Math.min(terminalWidth() ?? 80, 100);
  console.log(`\n${paint("bold", `${number} · ${title}`)}\n`);
  for (const [i, hint] of hints.slice(0, count).entries()) {
    const [first, ...rest] = wrap(hint, width - 3);
    console.log([`${i + 1}. ${first}`, ...rest.map((line) => `   ${line}`), ""].join("\n"));
  }
  const last = `That was the last hint. The solution: solutions/${name}.ts`;
  const next = `Hint ${count} of ${hints.length}. One more: deno task hint ${number}`;
  const again = count === hints.length ? last : next;
  console.log(paint("dim", again));
  return 0;
}

async function find(
  exercises: Exercise[],
  wanted: string | undefined,
  progress: Progress,
): Promise<Exercise | undefined> {
  const number = wanted?.padStart(2, "0");
  if (number !== undefined) return exercises.find((exercise) => exercise.number === number);
  for (const exercise of exercises) {
    const text = await Deno.readTextFile(new URL(`exercises/${exercise.name}.ts`, ROOT));
    if (!await progress.isSolved(exercise.name, text)) return exercise;
  }
  return undefined;
}

if (import.meta.main) Deno.exit(await main());
