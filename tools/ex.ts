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
import { countFlags, messagesOf, programsOf } from "./example_flags.ts";
import { ExampleProcess, play } from "./example_process.ts";
import {
  listenForInterrupts,
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
  deno task ex t1                 tutorial 1, in our words

  --count N   as many messages
  --help      print this

It starts a Redis of its own, unless REDIS_URL names one. In a terminal it goes on until q:
p produces 10 more, w adds a worker, k kills one (kill -9), t stops one (SIGTERM), f freezes one
or lets it go on, r restarts Redis.`;

const NAME_STYLES: Style[] = ["cyan", "magenta", "green", "blue", "yellow"];

/** A question that cannot be answered; its message says why. */
class AskedWrongly extends Error {}

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["polling", "blocking", "help"],
    string: ["count", "_"],
    unknown: (arg: string) => !arg.startsWith("-") || unknown.push(arg) < 0,
  });
  const [wanted, ...more] = args._.map(String);
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  if (unknown.length + more.length > 0) {
    throw new AskedWrongly(`Not understood: ${[...more, ...unknown].join(" ")}\n\n${HELP}`);
  }
  if (args.polling && args.blocking) throw new AskedWrongly("Either --polling or --blocking");
  const steps = [...await listSteps(), ...await listTutorials()];
  if (wanted === undefined) {
    console.log(listOf(steps));
    return 0;
  }
  const mode = args.polling ? "polling" : args.blocking ? "blocking" : undefined;
  const example = await find(wanted, mode, steps);
  return await show(example, await extraFor(example, args.count));
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

async function find(wanted: string, mode: string | undefined, steps: Step[]): Promise<Example> {
  const step = steps.find(({ number }) => number === wanted.padStart(2, "0"));
  if (!step) throw new AskedWrongly(`There is no step ${wanted}. ${listOf(steps)}`);
  const names = mode ? [mode] : ["doctor", "blocking"]; // only step 00 has a doctor
  const name = names.find((name) => step.files.includes(`${name}.ts`));
  if (!name) {
    throw new AskedWrongly(`${step.path} has no ${names.at(-1)}.ts, only: ${step.files.join(" ")}`);
  }
  return await readExample(`${step.path}/${name}.ts`);
}

async function show(example: Example, extra: string[][]): Promise<number> {
  using interrupts = listenForInterrupts();
  // The doctor looks for the user's Redis, so it gets none of ours.
  const isDoctor = example.path.endsWith("/doctor.ts");
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
        const onLine = (line: string) => console.log(`${prefix}${line}`);
        return new ExampleProcess(command, { url, extra: extra[i], colours, onLine });
      },
    });
    return played[0]?.ending.code ?? 130; // stopped before it began
  } finally {
    await stage?.stop();
  }
}

/** The lesson, and what is going to run. */
function introduce(example: Example, stage: Stage | undefined, extra: string[][]): void {
  const number = /\/(\d\d)_/.exec(example.path)?.[1]; // a tutorial's title has its own
  console.log(`\n${paint("bold", [number, example.title].filter(Boolean).join(" · "))}\n`);
  for (const line of wrap(example.lesson, Math.min(terminalWidth() ?? 80, 80))) console.log(line);
  console.log();
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
    `${paint(NAME_STYLES[i % NAME_STYLES.length]!, `${name.padEnd(width)} │`)} `
  );
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return error instanceof AskedWrongly ? 2 : 1;
  });
  Deno.exit(code);
}
