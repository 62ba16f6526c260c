/**
 * What the command line says of itself.
 *
 * @module
 */
import type { Command } from "./cli_context.ts";
import { COMMON, type Flag, type FlagName, FLAGS } from "./cli_flags.ts";
import { onTerminal, paint } from "./cli_print.ts";
import process from "node:process";

/** Text wider than this is hard to read. */
const WIDEST = 90;

/** All commands, a line each. */
export function helpForAll(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "Looks into the queues of a Redis, and puts things right.",
    "",
    `  ${paint("bold", "monitor COMMAND [flags]")}        monitor COMMAND --help has examples`,
    "",
    ...commands.map(({ name, summary }) => `  ${paint("bold", name.padEnd(width))}  ${summary}`),
    "",
    "Flags of all commands:",
    ...flagLines(COMMON),
    "",
    ...wrapped(
      "Exit codes: 0 done, or all is well; 1 not well, or not there; 2 Redis is down; 3 asked " +
        "wrongly; 130 Ctrl-C, or the answer was no.",
    ),
  ].join("\n");
}

/** One command. */
export function helpFor({ name, about, flags, argument, examples }: Command): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return [
    `  ${paint("bold", `monitor ${name}${argument ? " ID" : ""} [flags]`)}`,
    "",
    ...about.split("\n").flatMap(wrapped),
    "",
    "Flags:",
    ...flagLines([...flags, ...COMMON]),
    "",
    "Examples:",
    ...examples.map(([line, does]) => `  monitor ${line.padEnd(width)}   ${paint("dim", does)}`),
  ].join("\n");
}

function flagLines(names: readonly FlagName[]): string[] {
  const heads = names.map((name) => {
    const flag: Flag = FLAGS[name];
    return `--${name}${flag.value ? ` ${flag.value}` : ""}`;
  });
  const width = Math.max(...heads.map(({ length }) => length));
  return names.map((name, i) => `  ${heads[i]!.padEnd(width)}   ${FLAGS[name].about}`);
}

function wrapped(text: string): string[] {
  const width = Math.min(WIDEST, onTerminal() ? process.stdout.columns || 80 : WIDEST);
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (lines[last] !== "" && lines[last]!.length + 1 + word.length > width) lines.push(word);
    else lines[last] += lines[last] === "" ? word : ` ${word}`;
  }
  return lines;
}
