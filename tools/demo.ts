/**
 * `deno task demo`: the front door. Every pattern runs twice at the same time, once polling and once
 * blocking, with real producers and workers, and a scoreboard compares them. It ends when all have
 * run (exit 0), when one fails (1, with what it said), or with Ctrl-C (130); in each case no process
 * and no queue is left.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { stripVTControlCharacters } from "node:util";
import { connect } from "@workshop/redis-patterns";
import { readScore, type Score, type StepScore, toSentence, toTable } from "./demo_score.ts";
import { type Heading, type Mode, MODES, openView, type View } from "./demo_view.ts";
import { type Example, exampleFiles, listSteps, readExample, ROOT, type Step } from "./example.ts";
import { countFlags, messagesOf, nameFlags, programsOf } from "./example_flags.ts";
import { ExampleProcess, play, type Played } from "./example_process.ts";
import {
  type Interrupts,
  listenForInterrupts,
  openStage,
  paint,
  type Stage,
  terminalWidth,
  wantsColours,
  wrap,
} from "./example_stage.ts";
import { freePort } from "./redis_server.ts";
import { run } from "./run.ts";

const HELP = `Shows every pattern of the workshop, polling beside blocking, and compares them.

  deno task demo
  deno task demo --dashboard   and the web dashboard beside it, until Ctrl-C

It starts a Redis of its own, unless REDIS_URL names one; there it uses queues of its own.`;

/** The steps that show a pattern of their own. The others set things up, or go deeper into one. */
const PATTERNS = ["02", "04", "06", "07", "08", "09", "11", "12", "13", "14", "15", "16", "19"];
/** After this time no further step is begun: a demo that takes longer loses its audience. */
const ENOUGH_MS = 45_000;
/** No step takes this long unless something hangs; so the demo is over within a minute. */
const RUN_MS = 15_000;

/** What all runs of the demo share. */
interface Show {
  stage: Stage;
  interrupts: Interrupts;
  /** A prefix for the names of queues and channels. */
  name: string;
}

async function main(): Promise<number> {
  const [arg] = Deno.args;
  if (arg === "--help" || arg === "-h") {
    console.log(HELP);
    return 0;
  }
  if (arg !== undefined && arg !== "--dashboard") {
    console.error(`Not understood: ${arg}\n\n${HELP}`);
    return 2;
  }
  const all = await listSteps();
  const steps = all.filter(({ number }) => PATTERNS.includes(number));
  console.log(`\n${paint("bold", "Redis patterns: polling beside blocking")}\n`);
  console.log("Each pattern runs twice, as real processes: a worker that asks again and again,");
  console.log("and beside it a worker that waits in Redis.\n");
  await download(steps);
  return await showAll(steps, { all: all.length, dashboard: arg === "--dashboard" });
}

/** Before the show begins, so that no process waits for the network, or writes about it. */
async function download(steps: Step[]): Promise<void> {
  const slow = setTimeout(() => console.log("Getting what the examples import …"), 1_000);
  const options = { cwd: ROOT.pathname, deadlineMs: 120_000 };
  const result = await run(Deno.execPath(), ["cache", ...exampleFiles(steps)], options);
  clearTimeout(slow);
  if (!result.ok) throw new Error(result.stderr);
}

async function showAll(
  steps: Step[],
  { all, dashboard }: { all: number; dashboard: boolean },
): Promise<number> {
  using interrupts = listenForInterrupts();
  const stage = await openStage();
  const name = `demo_${stage.isOwn ? "" : `${crypto.randomUUID().slice(0, 8)}_`}`;
  try {
    console.log(`${stage.about}.`);
    await using web = dashboard ? await openDashboard(stage.url) : undefined;
    if (web) console.log(`${paint("bold", web.url)} shows its queues.`);
    const { done, failed } = await showEach(steps, { stage, interrupts, name });
    if (interrupts.signal.aborted) return 130;
    if (failed) return 1;
    conclude(done, { missed: steps.slice(done.length), left: all - steps.length });
    if (!web) return 0;
    console.log(`${paint("bold", web.url)} goes on until Ctrl-C.`);
    await new Promise((resolve) => interrupts.signal.addEventListener("abort", resolve));
    return 130;
  } finally {
    if (!stage.isOwn) await removeKeys(stage, name);
    await stage.stop();
  }
}

/** The web dashboard on a free port; imported here, since nobody else needs what it is made of. */
async function openDashboard(redis: string): Promise<{ url: string } & AsyncDisposable> {
  const { Dashboard } = await import("@workshop/redis-patterns/dashboard");
  const dashboard = new Dashboard({ redis });
  const options = { hostname: "127.0.0.1", port: freePort(8080), onListen: () => {} };
  const server = Deno.serve(options, dashboard.fetch);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: async () => {
      await dashboard.close();
      await server.shutdown();
    },
  };
}

async function showEach(
  steps: Step[],
  show: Show,
): Promise<{ done: StepScore[]; failed: boolean }> {
  const begun = performance.now();
  const done: StepScore[] = [];
  for (const [i, step] of steps.entries()) {
    if (performance.now() - begun > ENOUGH_MS) break;
    const runs = await showStep(step, `(${i + 1} of ${steps.length})`, show);
    if (show.interrupts.signal.aborted) break;
    const failures = runs.filter((run) => run.some(({ ending }) => ending.code !== 0));
    if (failures.length > 0) {
      failures.forEach(reportFailure);
      return { done, failed: true };
    }
    const [polling, blocking] = runs.map(scoreOf);
    done.push({ title: `${step.number} ${step.title}`, scores: { polling, blocking } });
  }
  return { done, failed: false };
}

/** Runs both modes of a step, at the same time if they can be kept apart; one's failure ends both. */
async function showStep(step: Step, progress: string, show: Show): Promise<Played[][]> {
  const runs = await Promise.all(MODES.map((mode) => prepare(step, mode, show)));
  const title = `${step.number} · ${step.title} ${progress}`;
  const [polling = "", blocking = ""] = runs.map(({ example }) => example.lesson);
  using view = openView(terminalWidth(), { title, ...toLessons(polling, blocking) });
  const failed = new AbortController();
  const signal = AbortSignal.any([show.interrupts.signal, failed.signal]);
  const start = async (run: Run) => {
    const played = await playIn(view, run, { signal, show });
    if (played.some(({ ending }) => ending.code !== 0)) failed.abort();
    return played;
  };
  if (runs.every(({ isNamed }) => isNamed)) return await Promise.all(runs.map(start));
  return [await start(runs[0]!), await start(runs[1]!)];
}

/** One mode of a step, ready to be run. */
interface Run {
  mode: Mode;
  example: Example;
  /** Further arguments for each program. */
  extra: string[][];
  /** Whether its queue or channel is its own. */
  isNamed: boolean;
}

async function prepare(step: Step, mode: Mode, show: Show): Promise<Run> {
  const example = await readExample(`${step.path}/${mode}.ts`);
  const programs = await programsOf(example);
  const names = nameFlags(programs, `${show.name}${step.number}_${mode}`);
  // Half as many messages as usual tell the same in half the time, where they can be halved.
  const counts = countFlags(programs, (messagesOf(programs) ?? 0) / 2);
  const extra = programs.map((_, i) => [...counts?.[i] ?? [], ...names?.[i] ?? []]);
  return { mode, example, extra, isNamed: names !== undefined };
}

async function playIn(
  view: View,
  { mode, example, extra }: Run,
  { signal, show }: { signal: AbortSignal; show: Show },
): Promise<Played[]> {
  return await play(example, {
    signal,
    killSignal: show.interrupts.killSignal,
    start: (command, i) =>
      new ExampleProcess(command, {
        url: show.stage.url,
        extra: extra[i],
        colours: wantsColours(),
        deadlineMs: RUN_MS,
        onLine: (line) => view.line(mode, line),
      }),
  });
}

/** What both modes begin with, once; then of each the first sentence that the other does not have. */
export function toLessons(polling: string, blocking: string): Omit<Heading, "title"> {
  const [ours, theirs] = [polling, blocking].map((text) =>
    (text.match(/[^]*?[.!?](?=\s|$)/g) ?? [text]).map((sentence) => sentence.trim())
  );
  const about = ours![0] === theirs![0] ? ours![0] : undefined;
  const i = ours!.findIndex((sentence, i) => sentence !== theirs![i]);
  return { about, lessons: { polling: ours![i] ?? "", blocking: theirs![i] ?? "" } };
}

function scoreOf(run: Played[]): Score | undefined {
  return readScore(run.flatMap(({ process }) => process.stdout.map(stripVTControlCharacters)));
}

function reportFailure(run: Played[]): void {
  for (const { process, ending } of run.filter(({ ending }) => ending.code !== 0)) {
    console.error(`\nThis ended with exit code ${ending.code}:\n  ${process.command}\nIt said:`);
    for (const line of process.said) console.error(`  ${line}`);
  }
}

function conclude(
  done: StepScore[],
  { missed, left }: {
    /** Steps that were to be shown. */
    missed: Step[];
    /** How many steps are no part of the show. */
    left: number;
  },
): void {
  const width = Math.min(terminalWidth() ?? 80, 80);
  console.log(`\n${toTable(done, { colours: wantsColours() })}\n`);
  for (const line of wrap(toSentence(done), width)) console.log(line);
  console.log("Who was killed (07, 14, 16) has told nobody its score.");
  if (missed.length > 0) {
    const numbers = missed.map(({ number }) => number).join(", ");
    console.log(`\nThis machine is slow: there was no time for step ${numbers}.`);
  }
  const more = left > 0 ? ` (there are ${left} more steps)` : "";
  console.log(`\nNext, one step at a time: deno task ex${more}`);
}

/** After a failure or Ctrl-C our queues may hold messages. The prefix is ours alone. */
async function removeKeys({ url }: Stage, name: string): Promise<void> {
  const redis = await connect({ url });
  try {
    for await (const keys of redis.scanIterator({ MATCH: `*${name}*`, COUNT: 1_000 })) {
      if (keys.length > 0) await redis.unlink(keys);
    }
  } finally {
    await redis.close();
  }
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
