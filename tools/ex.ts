/**
 * `deno task ex 02 --blocking`: one step of the workshop in one terminal. Its processes run side by
 * side, each with its name in front of its lines. In a terminal it is a stage with keys, until `q`; in
 * a pipe it ends when they have ended, with the exit code of the first. It ends with Ctrl-C, which they
 * get, too; or because it was asked wrongly (2).
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { parseArgs } from "@std/cli/parse-args";
import {
  type Example,
  listSteps,
  listTutorials,
  readExample,
  type Step,
  toTyped,
} from "./example.ts";
import { countFlags, flagsOf, messagesOf, programsOf, takes } from "./example_flags.ts";
import { ExampleProcess, play } from "./example_process.ts";
import {
  listenForInterrupts,
  named,
  openStage,
  paint,
  shortNames,
  type Stage,
  type Style,
  terminalWidth,
  wantsColours,
  wrap,
} from "./example_stage.ts";

const HELP = `Runs one step of the workshop: its worker and its producer, in this terminal.

  deno task ex                    the steps there are
  deno task ex 00                 is there a Redis, and is it fit
  deno task ex 02                 step 02, the worker waits in Redis
  deno task ex 02 --polling       step 02, the worker asks again and again
  deno task ex 07 by_hand         another program of step 07
  deno task ex t1                 tutorial 1, in our words

  --count N   as many messages
  --help      print this
  Other flags go to the programs that take them: deno task ex 07 --lossy

It starts a Redis of its own, unless REDIS_URL names one. In a terminal it goes on until q:
p produces 10 more, w adds a worker, k kills one (kill -9), t stops one (SIGTERM), f freezes one
or lets it go on, r restarts Redis, a plays the step again.`;

const NAME_STYLES: Style[] = ["cyan", "magenta", "green", "blue", "yellow"];

/** A question that cannot be answered; its message says why. */
class AskedWrongly extends Error {}

async function main(): Promise<number> {
  const flags: Flag[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["polling", "blocking", "help"],
    string: ["count", "_"],
    unknown: (arg: string, key?: string, value?: unknown) =>
      key === undefined || flags.push({ arg, key, value: String(value) }) < 0,
  });
  const [wanted, file, ...more] = args._.map(String);
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const odd = [...more, ...flags.filter(({ arg }) => !arg.startsWith("--")).map(({ arg }) => arg)];
  if (wanted === undefined) odd.push(...flags.map(({ arg }) => arg));
  if (odd.length > 0) throw new AskedWrongly(`Not understood: ${odd.join(" ")}\n\n${HELP}`);
  const programs = [file, args.polling && "--polling", args.blocking && "--blocking"];
  const [program, other] = programs.filter(Boolean).map(String);
  if (other) throw new AskedWrongly(`Either ${program} or ${other}`);
  const steps = [...await listSteps(), ...await listTutorials()];
  if (wanted === undefined) {
    console.log(listOf(steps));
    return 0;
  }
  const found = await find(wanted, program?.replace(/^--/, ""), steps);
  const example = await withFlags(found, flags);
  return await show(example, await extraFor(example, args.count));
}

/** A flag that is not ours, and may be one of the example's programs. */
interface Flag {
  /** As it was typed. */
  arg: string;
  /** Its name. */
  key: string;
  /** What it is set to; `"true"` if that was not said. */
  value: string;
}

function typed({ key, value }: Flag): string {
  return value === "true" ? `--${key}` : `--${key} ${value}`;
}

/** The same example, its commands with these flags where the program takes them. */
async function withFlags(example: Example, flags: Flag[]): Promise<Example> {
  const [run, ...beside] = await programsOf(example);
  const programs = [run!, ...beside];
  // Where Redis is, is said by REDIS_URL: the permission in the command has to follow.
  const stray = flags.find(({ key }) =>
    key === "url" || !programs.some((program) => takes(program, key))
  );
  if (stray) {
    const known = flagsOf(programs).join(" ");
    const reason = stray.key === "url"
      ? "REDIS_URL says where Redis is"
      : known === ""
      ? "it has no flags of its own"
      : `only: ${known}`;
    throw new AskedWrongly(`${example.path} takes no --${stray.key} here; ${reason}`);
  }
  const [first, ...others] = programs.map((program) => {
    const taken = flags.filter(({ key }) => takes(program, key));
    return [program.command, ...taken.map(typed)].join(" ");
  });
  const title = [example.title, ...flags.map(typed)].join(" ");
  // A variant is not what the header tells of: --lossy loses.
  const lesson = flags.some(({ value }) => value === "true") ? "" : example.lesson;
  return { ...example, title, lesson, run: first!, with: others };
}

function listOf(steps: Step[]): string {
  const lines = steps.map(({ number, title }) => `  ${paint("bold", number)}  ${title}`);
  return ["The steps, each to be run by `deno task ex <number>`:", "", ...lines].join("\n");
}

/** The arguments for each program of the example that make it be about `count` messages. */
async function extraFor(example: Example, count: string | undefined): Promise<string[][]> {
  if (count === undefined) return [];
  if (!/^[1-9]\d{0,8}$/.test(count)) {
    throw new AskedWrongly(`--count must be a number from 1, but is ${JSON.stringify(count)}`);
  }
  const programs = await programsOf(example);
  const extra = countFlags(programs, Number(count));
  if (extra) return extra;
  const usual = messagesOf(programs);
  throw new AskedWrongly(
    usual === undefined
      ? `${example.path} takes no --count`
      : `${count} messages cannot be shared out evenly here; the usual count is ${usual}`,
  );
}

async function find(wanted: string, program: string | undefined, steps: Step[]): Promise<Example> {
  const step = steps.find(({ number }) => number === wanted.padStart(2, "0"));
  if (!step) throw new AskedWrongly(`There is no step ${wanted}. ${listOf(steps)}`);
  const names = program ? [program] : ["doctor", "blocking"]; // only step 00 has a doctor
  const name = names.find((name) => step.files.includes(`${name}.ts`));
  if (!name) {
    const programs = step.files.filter((file) => file.endsWith(".ts")).map((file) =>
      file.slice(0, -3)
    );
    throw new AskedWrongly(`${step.path} has no ${names.at(-1)}.ts, only: ${programs.join(" ")}`);
  }
  return await readExample(`${step.path}/${name}.ts`);
}

async function show(example: Example, extra: string[][]): Promise<number> {
  using interrupts = listenForInterrupts();
  // The doctor looks for the user's Redis, so it gets none of ours.
  const isDoctor = example.path.endsWith("/doctor.ts");
  refuseTakenPort(example);
  const { cluster } = example; // what the stage shows is one server
  const isLive = !isDoctor && !cluster && Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  const stage = isDoctor ? undefined : await openStage({ aof: isLive, cluster });
  try {
    introduce(example, stage, extra);
    const url = stage?.url ?? Deno.env.get("REDIS_URL") ?? "redis://127.0.0.1:6379";
    const prefixes = prefixesOf([example.run, ...example.with]);
    const colours = wantsColours();
    if (stage && isLive) {
      const { playLive } = await import("./ex_live.ts");
      return await playLive(example, { stage, interrupts, extra, colours });
    }
    const played = await play(example, {
      ...interrupts,
      start: (command, i) => {
        const prefix = stage ? prefixes[i] : "";
        const onLine = (line: string) => console.log(prefix ? named(prefix, line) : line);
        return new ExampleProcess(command, { url, extra: extra[i], colours, onLine });
      },
    });
    return played[0]?.ending.code ?? 130; // stopped before it began
  } finally {
    await stage?.stop();
  }
}

/** A step that serves has its port in its permissions; better one sentence now than a stack from it. */
function refuseTakenPort({ run, path }: Example): void {
  for (const [, port] of run.matchAll(/127\.0\.0\.1:(\d+)/g)) {
    if (port === "6379") continue; // of Redis, which gets another
    try {
      Deno.listen({ hostname: "127.0.0.1", port: Number(port) }).close();
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      throw new Error(
        `Port ${port} of 127.0.0.1 is taken by another program, and ${path} needs it`,
      );
    }
  }
}

/** The lesson, and what is going to run. */
function introduce(example: Example, stage: Stage | undefined, extra: string[][]): void {
  const number = /\/(\d\d)_/.exec(example.path)?.[1]; // a tutorial's title has its own
  console.log(`\n${paint("bold", [number, example.title].filter(Boolean).join(" · "))}\n`);
  const lesson = wrap(example.lesson, Math.min(terminalWidth() ?? 80, 80));
  if (example.lesson !== "") console.log([...lesson, ""].join("\n"));
  const url = stage?.isOwn === false ? stage.url : undefined;
  for (const [i, command] of [example.run, ...example.with].entries()) {
    console.log(paint("dim", `$ ${toTyped(command, { url, extra: extra[i] })}`));
  }
  if (!stage) return console.log();
  console.log(paint("dim", `\n${stage.about}.`));
  const start = example.cluster ? "deno task redis --cluster" : "deno task redis";
  if (stage.isOwn) console.log(paint("dim", `To type the commands yourself: ${start}`));
  console.log();
}

function prefixesOf(commands: string[]): string[] {
  const names = shortNames(commands);
  const width = Math.max(...names.map(({ length }) => length));
  return names.map((name, i) =>
    paint(NAME_STYLES[i % NAME_STYLES.length]!, `${name.padEnd(width)} │`)
  );
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return error instanceof AskedWrongly ? 2 : 1;
  });
  Deno.exit(code);
}
