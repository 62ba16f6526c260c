/**
 * The exercises: which there are, and whether one is solved. A check is a `deno test` of its own
 * process, in which an import map decides whose files are meant by `#ex/`. It ends with a verdict,
 * also for a file that does not even load.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import { listSteps, ROOT } from "./example.ts";
import { run, type RunResult } from "./run.ts";

/** One exercise. */
export interface Exercise {
  /** The number of its step: `02`. */
  number: string;
  /** The name of its file, without the ending: `02_list_queue`. */
  name: string;
  /** What it is called: `List queue`. */
  title: string;
  /** The folder of its step, if that has one: `examples/02_list_queue`. */
  step: string | undefined;
  /** One after the other, the last one tells nearly all. */
  hints: string[];
}

/** What a check has found. */
export type Verdict = { solved: true } | {
  solved: false;
  /** What is wrong, in one sentence. */
  sentence: string;
  /** More of it, where the code does not run or does not compile: lines for the screen. */
  detail: string[];
};

/** What somebody may want who has a check run. */
export interface CheckOptions {
  /** Ends the check when it aborts. */
  signal?: AbortSignal;
  /** Told what the check is doing, as it happens: `loading`, `fetching redis`, `running`, `compiling`. */
  onStep?: (step: string) => void;
}

const CHECK_MS = 60_000;

/** The exercises, in the order of the steps. */
export async function listExercises(): Promise<Exercise[]> {
  const steps = await listSteps();
  const exercises: Exercise[] = [];
  for await (const { name: file } of Deno.readDir(new URL("exercises/", ROOT))) {
    const [, name, number] = /^((\d\d)_\w+)\.ts$/.exec(file) ?? [];
    if (!name || !number) continue;
    const text = await Deno.readTextFile(new URL(`exercises/${file}`, ROOT));
    const title = /^ \* (?:Exercise|Solution) \d\d · (.+)$/m.exec(text)?.[1] ?? name;
    const step = steps.find((step) => step.number === number)?.path;
    const hints = await Deno.readTextFile(new URL(`exercises/hints/${name}.md`, ROOT));
    exercises.push({ number, name, title, step, hints: parseHints(hints) });
  }
  return exercises.sort((a, b) => a.number.localeCompare(b.number));
}

/** The items of a numbered list, each on one line. */
export function parseHints(text: string): string[] {
  return text.split(/^\d+\. /m).slice(1).map((hint) => hint.trim().replace(/\s+/g, " "));
}

/** Checks what is in a folder. */
export class Checker implements AsyncDisposable {
  readonly #folder: URL;
  readonly #map: string;
  readonly #redisUrl: string;

  private constructor(folder: URL, map: string, redisUrl: string) {
    this.#folder = folder;
    this.#map = map;
    this.#redisUrl = redisUrl;
  }

  /**
   * Makes a checker.
   *
   * @param folder With what is checked: `exercises/`, `solutions/`, or somebody's copy.
   * @param redisUrl A private Redis on this machine.
   */
  static async of(folder: URL, redisUrl: string): Promise<Checker> {
    const map = await Deno.makeTempFile({ prefix: "redis-patterns-", suffix: ".json" });
    await Deno.writeTextFile(map, JSON.stringify({ imports: importsWith(folder) }));
    return new Checker(folder, map, redisUrl);
  }

  /** Whether an exercise is solved: whether it does what it should, and then whether it compiles. */
  async check(exercise: Pick<Exercise, "name">, options: CheckOptions = {}): Promise<Verdict> {
    const verdict = await this.behaves(exercise, options);
    // The types come last, since that takes longer than all the rest.
    return verdict.solved ? await this.#compiles(exercise, options) : verdict;
  }

  /** Whether it does what it should. */
  async behaves(
    { name }: Pick<Exercise, "name">,
    options: CheckOptions = {},
  ): Promise<Verdict> {
    options.onStep?.("loading");
    const args = ["test", "-A", "--no-check", "--fail-fast", "--import-map", this.#map];
    const check = `exercises/checks/${name}.ts`;
    const { ok, stdout, stderr } = await this.#deno([...args, check], options);
    return ok ? { solved: true } : readFailure(`${stdout}\n${stderr}`, name);
  }

  async #compiles(
    { name }: Pick<Exercise, "name">,
    options: CheckOptions,
  ): Promise<Verdict> {
    options.onStep?.("compiling");
    const file = new URL(`${name}.ts`, this.#folder).href;
    const config = fileURLToPath(new URL("deno.json", ROOT)); // the file may be elsewhere
    const { ok, stderr } = await this.#deno(["check", "--config", config, file], options);
    return ok ? { solved: true } : readFailure(stderr, name);
  }

  /** Removes the import map. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#map);
  }

  #deno(args: string[], { signal, onStep }: CheckOptions): Promise<RunResult> {
    const plain = { NO_COLOR: "1", FORCE_COLOR: "", DENO_NO_UPDATE_CHECK: "1" };
    return run(Deno.execPath(), args, {
      cwd: fileURLToPath(ROOT),
      env: { REDIS_URL: this.#redisUrl, ...plain },
      deadlineMs: CHECK_MS,
      signal,
      onLine: (line) => {
        const step = stepIn(line);
        if (step) onStep?.(step);
      },
    });
  }
}

/** What `deno` has begun, if this line of it says so. */
export function stepIn(line: string): string | undefined {
  const [, url] = /^Download (\S+)/.exec(line) ?? [];
  if (url) return `fetching ${packageIn(decodeURIComponent(url))}`;
  if (/^running \d+ tests? from /.test(line)) return "running";
  return line.startsWith("Check ") ? "compiling" : undefined;
}

/** The package at an address, whatever registry that is of: `…/@redis/client/-/client-6.3.1.tgz`. */
function packageIn(url: string): string {
  return /((?:@[^/]+\/)?[^/]+)\/-\//.exec(url)?.[1] ?? /@[^/]+\/[^/]+/.exec(url)?.[0] ??
    url.slice(url.lastIndexOf("/") + 1);
}

/**
 * Our import map, with `#ex/` at another place. A map that is given to `deno` stands in for all of
 * deno.json's names, those of `exports` too.
 */
function importsWith(folder: URL): Record<string, string> {
  const own = Object.entries(config.exports).map(([name, to]) => [config.name + name.slice(1), to]);
  const ours = [...own, ...Object.entries({ ...config.imports, "#ex/": folder.href })];
  const all = ours.flatMap(([name, to]) => {
    if (to!.startsWith("./")) return [[name, new URL(to!, ROOT).href]];
    // In deno.json, the name of a package stands for what is inside of it, too.
    const [, registry, inside] = /^(npm|jsr):(.*)$/.exec(to!) ?? [];
    return registry ? [[name, to], [`${name}/`, `${registry}:/${inside}/`]] : [[name, to]];
  });
  return Object.fromEntries(all);
}

/** What `deno` says of an exercise that fails, as a sentence. */
export function readFailure(said: string, name: string): Verdict {
  const [, unsolved] = /^error: Unsolved: (.+)$/m.exec(said) ?? [];
  if (unsolved) return { solved: false, sentence: unsolved, detail: [] };
  const end = said.search(/^ FAILURES *$/m); // what follows says it all again
  const lines = (end < 0 ? said : said.slice(0, end)).split("\n");
  const first = lines.findIndex((line) => /^error: |^TS\d+ \[ERROR\]: /.test(line));
  if (first < 0) {
    return { solved: false, sentence: "The check did not run", detail: lines.slice(-10) };
  }
  const here = new RegExp(`(?<!/checks)/${name}\\.ts:(\\d+)`);
  const [, line] = here.exec(lines.slice(first).join("\n")) ?? [];
  const what = lines[first]!.replace(/^error: (\(in promise\) )?/, "")
    .replace(/ at file:\S+$/, "").replace(/^TS(\d+) \[ERROR\]: /, "It does not compile: ");
  const rest = lines.slice(first + 1).filter((line) =>
    line.trim() !== "" &&
    !/^ *(Stack backtrace:|\d+: <unknown>)|^ +at (?!.*\/(exercises|solutions)\/\d)/.test(line)
  );
  return {
    solved: false,
    sentence: line ? `Line ${line}: ${what}` : what,
    detail: rest.slice(0, 6),
  };
}
