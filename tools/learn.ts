/**
 * `deno task learn`: the exercises, one after the other. It checks the file of the first one that
 * is not solved, says in one sentence what is wrong, checks again whenever the file is saved, and
 * goes on to the next by itself. It ends when all are solved (exit code 0), with `q` or Ctrl-C (0),
 * or because it was asked wrongly (2); with `--once`, with 1 if something is not solved.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "@std/cli/parse-args";
import { ROOT } from "./example.ts";
import { listenForInterrupts, paint, terminalWidth } from "./example_stage.ts";
import {
  Checker,
  type CheckOptions,
  type Exercise,
  listExercises,
  type Verdict,
} from "./exercise.ts";
import { Progress } from "./learn_progress.ts";
import { bar, overview, screen } from "./learn_view.ts";
import { findRedis } from "./provision.ts";
import { RedisServer } from "./redis_server.ts";
import { say } from "./run.ts";
import { StatusLine } from "./status_line.ts";

const HELP = `The exercises. Edit the file that it names, save it, and it is checked again.

  deno task learn              go on where you were
  deno task learn 07           begin with exercise 07
  deno task learn --list       which there are, and which are solved
  deno task learn --once 07    check once: exit code 0 if it is solved, else 1
  deno task learn --once       the same for all of them

  --from FOLDER   check the files in there, such as solutions; nothing is noted
  --help          print this

A hint: deno task hint 07. It starts a Redis of its own.`;

/** How long "Solved" is to be seen before the next exercise. */
const CHEER_MS = 1_500;
/** Editors write a file in several steps. */
const SETTLE_MS = 100;

/** A question that cannot be answered; its message says why. */
class AskedWrongly extends Error {}

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["help", "list", "once"],
    string: ["from", "_"],
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
  const exercises = await listExercises();
  const number = wanted?.padStart(2, "0");
  if (number !== undefined && !exercises.some((exercise) => exercise.number === number)) {
    const all = overview(exercises, []).join("\n");
    throw new AskedWrongly(`There is no exercise ${wanted}. There are:\n\n${all}`);
  }
  const course = await Course.open(exercises, args.from);
  if (args.list) {
    console.log(["", ...overview(exercises, course.solved), ""].join("\n"));
    return 0;
  }
  const status = new StatusLine();
  await findRedis(); // says what it does, if there is something to do
  status.tell("starting Redis");
  await using server = await RedisServer.start();
  status.clear();
  await using checker = await Checker.of(course.folder, server.url);
  if (args.once) return await checkOnce(course, checker, { number, status });
  return await learn(course, checker, { number, status });
}

/** The exercises, where their files are, and how far somebody is. */
class Course {
  readonly exercises: Exercise[];
  readonly folder: URL;
  readonly progress: Progress;
  /** Of each exercise, whether it is solved as it stands. */
  readonly solved: boolean[] = [];

  private constructor(exercises: Exercise[], progress: Progress, folder: URL) {
    this.exercises = exercises;
    this.progress = progress;
    this.folder = folder;
  }

  static async open(exercises: Exercise[], from: string | undefined): Promise<Course> {
    const course = from === undefined
      ? new Course(exercises, await Progress.load(), new URL("exercises/", ROOT))
      : new Course(exercises, Progress.ofThisRun(), pathToFileURL(`${resolve(from)}/`));
    for (const exercise of exercises) {
      const text = await course.text(exercise);
      course.solved.push(await course.progress.isSolved(exercise.name, text));
    }
    return course;
  }

  /** The file of an exercise, as it stands. */
  async text({ name }: Exercise): Promise<string> {
    const file = new URL(`${name}.ts`, this.folder);
    return await Deno.readTextFile(file).catch((error) => {
      if (error instanceof Deno.errors.NotFound) {
        throw new AskedWrongly(`There is no ${fileURLToPath(file)}`);
      }
      throw error;
    });
  }

  /** Where it is, as it would be typed. */
  path({ name }: Exercise): string {
    const file = new URL(`${name}.ts`, this.folder);
    return file.href.startsWith(ROOT.href)
      ? file.href.slice(ROOT.href.length)
      : fileURLToPath(file);
  }

  /** Checks an exercise, and notes it if it is solved. */
  async check(exercise: Exercise, checker: Checker, options: CheckOptions): Promise<Verdict> {
    const text = await this.text(exercise);
    const verdict = await checker.check(exercise, options);
    this.solved[this.exercises.indexOf(exercise)] = verdict.solved;
    if (verdict.solved) await this.progress.noteSolved(exercise.name, text);
    return verdict;
  }

  /** The first that is not solved, from `start` on and then from the beginning. */
  nextFrom(start: number): number | undefined {
    const order = this.exercises.map((_, i) => (start + i) % this.exercises.length);
    return order.find((i) => !this.solved[i]);
  }
}

/** With which exercise to begin, and where to tell what is going on. */
interface Session {
  number: string | undefined;
  status: StatusLine;
}

async function checkOnce(
  course: Course,
  checker: Checker,
  { number, status }: Session,
): Promise<number> {
  let failed = 0;
  for (const exercise of course.exercises) {
    if (number !== undefined && exercise.number !== number) continue;
    const onStep = (step: string) => status.tell(`${exercise.number}: ${step}`);
    const verdict = await course.check(exercise, checker, { onStep });
    status.clear();
    const what = verdict.solved ? "solved" : verdict.sentence;
    const mark = verdict.solved ? paint("green", "✓") : paint("red", "✗");
    console.log(`${mark} ${exercise.number} · ${exercise.title}: ${what}`);
    if (!verdict.solved) failed++;
  }
  return failed > 0 ? 1 : 0;
}

/** What may happen while the learner thinks. */
type Event = "changed" | "quit" | "hint" | "next" | "previous";

async function learn(
  course: Course,
  checker: Checker,
  { number, status }: Session,
): Promise<number> {
  using desk = new Desk(course.folder);
  const { exercises, progress } = course;
  const first = exercises.findIndex((exercise) => exercise.number === number);
  let at: number | undefined = first < 0 ? course.nextFrom(0) : first;
  while (at !== undefined) {
    const exercise: Exercise = exercises[at]!;
    const show = (verdict?: Verdict, step?: string) => {
      const hints = exercise.hints.slice(0, progress.hints(exercise.name));
      const width = terminalWidth() ?? 100;
      const { solved } = course;
      const path = course.path(exercise);
      const keys = desk.hasKeys;
      desk.show(screen({ exercise, path, solved, verdict, step, hints, keys, width }));
    };
    if (desk.hasKeys) show();
    const text = await course.text(exercise);
    const verdict = await course.check(exercise, checker, {
      signal: desk.leaving,
      onStep: (step) =>
        desk.hasKeys ? show(undefined, step) : status.tell(`${exercise.number}: ${step}`),
    });
    status.clear();
    if (desk.leaving.aborted) return 0;
    show(verdict);
    if (verdict.solved) {
      at = course.nextFrom(at);
      if (at !== undefined && await desk.happens(CHEER_MS) === "quit") return 0;
      continue;
    }
    let event: Event | undefined;
    do {
      event = await desk.happens();
      if (event === "hint") {
        const hints = Math.min(progress.hints(exercise.name) + 1, exercise.hints.length);
        await progress.noteHints(exercise.name, hints);
        show(verdict);
      }
    } while (event === "hint" || event === "changed" && await course.text(exercise) === text);
    if (event === "quit") return 0;
    const move = event === "next" ? 1 : event === "previous" ? -1 : 0;
    at = (at + move + exercises.length) % exercises.length;
  }
  desk.show(["", `  ${bar(course.solved, 60)}`, "", "  All solved. That was the course.", ""]);
  return 0;
}

/** The learner's terminal and files: shows, and tells what happens. */
class Desk implements Disposable {
  /** Whether keys can be pressed. */
  readonly hasKeys: boolean = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  readonly #interrupts = listenForInterrupts();
  readonly #watcher: Deno.FsWatcher;
  readonly #events: Event[] = [];
  readonly #leaving = new AbortController();
  #wake = () => {};

  constructor(folder: URL) {
    this.#watcher = Deno.watchFs(fileURLToPath(folder), { recursive: false });
    this.#interrupts.signal.addEventListener("abort", () => this.#tell("quit"));
    void this.#watch();
    if (!this.hasKeys) return;
    Deno.stdin.setRaw(true, { cbreak: true }); // Ctrl-C stays a signal
    void this.#listen();
  }

  /** Aborts as soon as somebody quits, whatever is going on. */
  get leaving(): AbortSignal {
    return this.#leaving.signal;
  }

  /** Shows these lines, and nothing else where there is a screen. */
  show(lines: string[]): void {
    if (!Deno.stdout.isTerminal()) return console.log(lines.join("\n"));
    // Line over line, since a screen that was cleared in between would flicker.
    console.log(`\x1b[H${lines.join("\x1b[K\n")}\x1b[K\x1b[J\x1b[3J`);
  }

  /** The next thing that happens; undefined if nothing does for `ms`. */
  async happens(ms?: number): Promise<Event | undefined> {
    const over = Promise.withResolvers<void>();
    const timer = ms === undefined ? undefined : setTimeout(over.resolve, ms);
    while (this.#events.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await Promise.race([promise, over.promise]);
      if (ms !== undefined && this.#events.length === 0) return undefined;
    }
    clearTimeout(timer);
    return this.#events.shift();
  }

  /** Gives the terminal back. */
  [Symbol.dispose](): void {
    this.#watcher.close();
    this.#interrupts[Symbol.dispose]();
    if (this.hasKeys) Deno.stdin.setRaw(false);
  }

  #tell(event: Event): void {
    if (event === "quit") this.#leaving.abort();
    if (event !== "changed" || !this.#events.includes("changed")) this.#events.push(event);
    this.#wake();
  }

  async #watch(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    for await (const { kind } of this.#watcher) {
      if (kind === "access") continue;
      clearTimeout(timer);
      timer = setTimeout(() => this.#tell("changed"), SETTLE_MS);
    }
  }

  async #listen(): Promise<void> {
    const keys: Record<string, Event> = { h: "hint", n: "next", p: "previous", q: "quit" };
    const bytes = new Uint8Array(64);
    for (let size; (size = await Deno.stdin.read(bytes)) !== null;) {
      for (const key of new TextDecoder().decode(bytes.subarray(0, size))) {
        const event = keys[key.toLowerCase()];
        if (event) this.#tell(event);
      }
    }
  }
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    if (error instanceof AskedWrongly) console.error(error.message);
    else say(error.message);
    return error instanceof AskedWrongly ? 2 : 1;
  });
  Deno.exit(code);
}
