/**
 * Which flags the programs of an example take, so that all of them can be told the same: another
 * queue, fewer messages. Read from their code, in which each flag has a default.
 *
 * @module
 */

import { type Example, readExample, scriptOf } from "./example.ts";

/** A command of an example, and the code that it runs. */
export interface Program {
  /** The command. */
  command: string;
  /** The lines of its file. */
  code: string[];
}

/** The programs of an example: its `@run`, then each `@with`. */
export async function programsOf(example: Example): Promise<Program[]> {
  return await Promise.all([example.run, ...example.with].map(async (command) => {
    const { code } = await readExample(scriptOf(command));
    return { command, code };
  }));
}

/** Whether a program has such a flag: it uses it, or hands it on to programs that it starts. */
export function takes({ code }: Program, flag: string): boolean {
  return code.some((line) => new RegExp(`\\bflags\\.${flag}\\b|"${flag}"`).test(line));
}

/** The flags that some of the programs take, as they are typed; where Redis is, is not asked by a flag. */
export function flagsOf(programs: Program[]): string[] {
  const defaults = programs.map(({ code }) =>
    /^const defaults = \{([^}]*)\}/m.exec(code.join("\n"))?.[1] ?? ""
  );
  const names = defaults.flatMap((text) => [...text.matchAll(/(\w+):/g)].map(([, name]) => name!));
  return [...new Set(names)].filter((name) => name !== "url").map((name) => `--${name}`);
}

/**
 * The arguments for each program that make all of them use `name` for their queue, channel or stream.
 *
 * @returns undefined if not all of them take such a flag: then two runs would hear each other.
 */
export function nameFlags(programs: Program[], name: string): string[][] | undefined {
  const flags = ["queue", "channel", "stream"].filter((flag) =>
    programs.every((program) => takes(program, flag))
  );
  if (flags.length === 0) return undefined;
  return programs.map(() => flags.flatMap((flag) => [`--${flag}`, name]));
}

/** How many messages the example is about: those of its producer, else of its first program. */
export function messagesOf(programs: Program[]): number | undefined {
  const producer = programs.find(({ command }) => scriptOf(command).endsWith("/producer.ts"));
  const counts = [producer, ...programs].map((program) => program && countOf(program));
  return counts.find((count) => count !== undefined);
}

/**
 * The arguments for each program that make the example be about `messages` messages. Two workers of
 * ten messages each, say, get half of them each.
 *
 * @returns undefined if the programs take no count, or their shares would be no whole numbers.
 */
export function countFlags(programs: Program[], messages: number): string[][] | undefined {
  const usual = messagesOf(programs);
  if (usual === undefined) return undefined;
  const shares = programs.map(countOf)
    .map((count) => count === undefined ? undefined : count * messages / usual);
  const isWhole = shares.every((share) => share === undefined || Number.isInteger(share));
  return isWhole
    ? shares.map((share) => share === undefined ? [] : ["--count", `${share}`])
    : undefined;
}

function countOf({ command, code }: Program): number | undefined {
  const [, count] = /--count[= ](\d+)/.exec(command) ??
    /\bcount: (\d[\d_]*)/.exec(code.join("\n")) ?? [];
  return count === undefined ? undefined : Number(count.replaceAll("_", ""));
}
