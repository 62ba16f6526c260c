/**
 * Runs the course: every example, under exactly the permissions of its header, with what its header
 * says runs beside it, on a private server. What it prints, sends and leaves behind must be what it
 * promises. A new step is found by itself.
 */

import { assert, assertEquals, assertLess, fail } from "@std/assert";
import {
  type Example,
  exampleFiles,
  listSteps,
  listTutorials,
  readExample,
  ROOT,
  scriptOf,
  type Step,
} from "../tools/example.ts";
import { difference } from "../tools/example_match.ts";
import { ExampleProcess, play, type Played } from "../tools/example_process.ts";
import { Door, Ear } from "../tools/example_wire.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import type { RedisServer } from "../tools/redis_server.ts";
import { run } from "../tools/run.ts";
import { eventually, limit, serverTest } from "./support.ts";

/** No step takes longer, and no course. */
const RUN_MS = 20_000;
const COURSE_MS = 600_000;
const STOP_MS = 3_000;
const MAX_LINES: Record<string, number> = {
  "producer.ts": 30,
  "polling.ts": 60,
  "blocking.ts": 60,
};
const MAX_WIDTH = 100;
/** MONITOR shows no administrative commands. */
const UNSEEN = ["ACL", "CONFIG", "MONITOR", "SHUTDOWN", "SLOWLOG"];
const MAX_README_WORDS = 400;

const steps = [...await listSteps(), ...await listTutorials()];
const files = exampleFiles(steps);
await download(files);

/** File to how long it ran, with what runs beside it. */
const took = new Map<string, number>();

for (const step of steps) {
  Deno.test(`${step.path} is complete, short and in shape, and its page is true`, async () => {
    await checkFolder(step);
  });
}

for (const path of files) {
  const example = await readExample(path);
  if (example.cluster) clusterTests(path, example);
  else serverTests(path, example);
}

function serverTests(path: string, example: Example): void {
  serverTest(`${path} prints what it promises under its permissions`, async (server) => {
    const startedAt = performance.now();
    const { played, commands } = await watch(example, server);
    took.set(path, performance.now() - startedAt);
    checkPrinted(example, played);
    const named = example.redis.filter((name) => !UNSEEN.includes(name)).sort();
    assertEquals(commands[0], named, "@redis is not what MONITOR shows");
    for (const [i, command] of example.with.entries()) {
      const { redis } = await readExample(scriptOf(command));
      const others = commands[i + 1]!.filter((name) => !redis.includes(name));
      assertEquals(others, [], `${command} sent what its file does not name in @redis`);
    }
    assertEquals(await keysLeft(server), [], "keys were left behind");
  });

  if (!/\/(polling|blocking)\.ts$/.test(path)) return;
  serverTest(`${path} ends with its score on Ctrl-C while it waits`, async (server) => {
    const process = await interrupt(example, server);
    assert(last(process)?.startsWith("[score]"), process.said.join("\n"));
    assertEquals(await keysLeft(server), [], "keys were left behind");
  });
}

/** The last line; a supervisor goes home after those who have a score. */
function last({ stdout }: ExampleProcess): string | undefined {
  return stdout.findLast((line) => !line.startsWith("[supervisor]"));
}

/** The same on a cluster, where it cannot be told who sent what: all of them together do. */
function clusterTests(path: string, example: Example): void {
  const clusterTest = (title: string, run: (cluster: RedisCluster) => Promise<void>) =>
    Deno.test(`${path} ${title}`, async () => {
      await using cluster = await RedisCluster.start();
      await limit(run(cluster), title);
    });
  const heardAll = async (cluster: RedisCluster, run: () => Promise<void>) => {
    const ears = await Promise.all(cluster.nodes.map(({ port }) => Ear.open(port)));
    try {
      await run();
      await Promise.all(ears.map((ear) => ear.catchUp()));
      const ports = new Set(cluster.nodes.map(({ port }) => port));
      return [...new Set(ears.flatMap((ear) => ear.commandsBut(ports)))].sort();
    } finally {
      await Promise.all(ears.map((ear) => ear.close()));
    }
  };
  const leftIn = async (cluster: RedisCluster) => {
    const roles = await Promise.all(cluster.nodes.map((node) => node.cli("ROLE")));
    const masters = cluster.nodes.filter((_, i) => roles[i]!.startsWith("master"));
    return (await Promise.all(masters.map(keysLeft))).flat();
  };

  clusterTest("prints what it promises under its permissions", async (cluster) => {
    const startedAt = performance.now();
    const commands = await heardAll(cluster, async () => {
      const start = (command: string) =>
        new ExampleProcess(command, { url: cluster.url, deadlineMs: RUN_MS });
      checkPrinted(example, await play(example, { start }));
    });
    took.set(path, performance.now() - startedAt);
    const others = await Promise.all(example.with.map((of) => readExample(scriptOf(of))));
    const named = [example, ...others].flatMap(({ redis }) => redis);
    assertEquals(commands, [...new Set(named)].sort(), "@redis is not what MONITOR shows");
    assertEquals(await leftIn(cluster), [], "keys were left behind");
  });

  if (!/\/(polling|blocking)\.ts$/.test(path)) return;
  clusterTest("ends with its score on Ctrl-C while it waits", async (cluster) => {
    const process = new ExampleProcess(example.run, { url: cluster.url, deadlineMs: RUN_MS });
    const commands = await heardAll(cluster, async () => {
      await process.spoke;
      await new Promise((resolve) => setTimeout(resolve, 500)); // it has begun to ask
      const asked = performance.now();
      const { code } = await process.stop();
      checkEnding(process, code);
      assertLess(performance.now() - asked, STOP_MS);
    });
    assert(last(process)?.startsWith("[score]"), process.said.join("\n"));
    assert(commands.includes("EVALSHA"), "it sends nothing");
    assertEquals(commands.filter((name) => !example.redis.includes(name)), []);
    assertEquals(await leftIn(cluster), [], "keys were left behind");
  });
}

function checkPrinted(example: Example, played: Played[]): void {
  for (const { process, ending } of played) checkEnding(process, ending.code);
  const wrong = difference(example.expect, played[0]!.process.stdout);
  if (wrong) fail(wrong);
}

for (const route of ["polling", "blocking"]) {
  Deno.test(`the whole course, ${route}, takes no longer than ten minutes`, () => {
    const paths = steps.map(({ path }) => `${path}/${route}.ts`);
    const ran = paths.filter((path) => took.has(path));
    if (ran.length === 0) return; // a filter chose this test alone
    assertEquals(ran, paths, "steps that were not run");
    const ms = paths.reduce((sum, path) => sum + took.get(path)!, 0);
    assert(ms < COURSE_MS, `it took ${Math.round(ms / 1_000)} s`);
    const longest = paths.toSorted((a, b) => took.get(b)! - took.get(a)!)[0]!;
    console.log(
      `${paths.length} steps in ${Math.round(ms / 1_000)} s, ` +
        `at most ${Math.round(took.get(longest)! / 1_000)} s (${longest})`,
    );
  });
}

Deno.test("every step stands in the table of the course, and leads there", async () => {
  const table = await Deno.readTextFile(new URL("examples/README.md", ROOT));
  for (const { path } of steps) {
    const link = `(${path.replace("examples/", "")}/README.md)`;
    assert(table.includes(link), `examples/README.md has no link to ${path}`);
  }
});

/** Now, so that no test waits for it and no program reports it on standard error. */
async function download(paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  const cwd = ROOT.pathname;
  const result = await run(Deno.execPath(), ["cache", ...paths], { cwd, deadlineMs: 120_000 });
  if (!result.ok) throw new Error(result.stderr);
}

/** Runs an example to its end, each of its processes behind a door of its own. */
async function watch(
  example: Example,
  server: RedisServer,
): Promise<{ played: Played[]; commands: string[][] }> {
  const ear = await Ear.open(server.port);
  const programs = [example.run, ...example.with];
  const lessons = await Promise.all(programs.map((command) => readExample(scriptOf(command))));
  const doors = programs.map(() => new Door(server.port));
  try {
    const played = await play(example, {
      start: (command, i) =>
        new ExampleProcess(command, { url: doors[i]!.url, deadlineMs: RUN_MS }),
    });
    await ear.catchUp();
    const commands = doors.map((door, i) => ear.commandsOf(door, lessons[i]!.redis));
    return { played, commands };
  } finally {
    await Promise.all([ear, ...doors].map((each) => each.close()));
  }
}

/** Runs an example alone, and interrupts it when it has begun to ask for messages. */
async function interrupt(example: Example, server: RedisServer): Promise<ExampleProcess> {
  const before = await clients(server);
  const ear = await Ear.open(server.port);
  const door = new Door(server.port);
  const process = new ExampleProcess(example.run, { url: door.url, deadlineMs: RUN_MS });
  try {
    await process.spoke;
    await eventually(() => assert(ear.commandsOf(door).length > 0, "it sends nothing"));
    const asked = performance.now();
    const { code } = await process.stop();
    checkEnding(process, code);
    const took = performance.now() - asked;
    assert(took < STOP_MS, `it took ${Math.round(took)} ms to end`);
  } finally {
    process.signal("SIGKILL");
    await Promise.all([process.ended, ear.close(), door.close()]);
  }
  await eventually(
    async () => assertEquals(await clients(server), before, "connections are left"),
    10_000,
  );
  return process;
}

function checkEnding(process: ExampleProcess, code: number): void {
  const what = `${process.command}\n${process.said.join("\n")}\n`;
  assertEquals(code, 0, `${what}exit code`);
  assertEquals(process.stderr, [], `${what}standard error`);
}

async function clients(server: RedisServer): Promise<string | undefined> {
  return /^connected_clients:(\d+)/m.exec(await server.cli("INFO", "clients"))?.[1];
}

/** Keys that stay for ever; the registry of queues is meant to, and so is what holds nothing. */
async function keysLeft(server: RedisServer): Promise<string[]> {
  const keys = (await server.cli("KEYS", "*")).split("\n").filter(Boolean);
  const left: string[] = [];
  for (const key of keys.filter((key) => !key.startsWith("queue:registry"))) {
    if (await server.cli("PTTL", key) !== "-1") continue;
    if (!await isAtRest(server, key)) left.push(key);
  }
  return left;
}

/**
 * A queue's stream stays when it is empty, with its group. Records of tasks stay for a day, but none may be of
 * a task that has not ended; and what happened to tasks is a log.
 */
async function isAtRest(server: RedisServer, key: string): Promise<boolean> {
  const [, part] = /^queue:\{[^}]*\}:(.*)$/.exec(key) ?? [];
  switch (part) {
    case "ready":
      return await server.cli("TYPE", key) === "stream" && await server.cli("XLEN", key) === "0";
    case "records":
      return await server.cli("HLEN", key) === await server.cli("ZCARD", `${key}:until`);
    case "records:until":
    case "events":
      return true;
    default:
      return false;
  }
}

async function checkFolder({ path, files }: Step): Promise<void> {
  for (const name of ["README.md", ...Object.keys(MAX_LINES)]) {
    assert(files.includes(name), `${path}/${name} is missing`);
  }
  for (const name of files.filter((name) => name.endsWith(".ts"))) await checkFile(path, name);
  await checkReadme(path);
}

async function checkFile(path: string, name: string): Promise<void> {
  const { code } = await readExample(`${path}/${name}`);
  const max = MAX_LINES[name] ?? 60;
  assert(code.length <= max, `${path}/${name} has ${code.length} lines of code, more than ${max}`);
  const text = await Deno.readTextFile(new URL(`${path}/${name}`, ROOT));
  const wide = text.split("\n").find((line) => [...line].length > MAX_WIDTH);
  assertEquals(wide, undefined, `${path}/${name} has a line over ${MAX_WIDTH} columns`);
}

/** What every numbered step tells, in this order: the story and the picture come before. */
const SECTIONS = [
  "Run",
  "What you see",
  "Break it",
  "What you learned",
  "Trouble",
  "Exercise",
];
/** Steps that mirror a tutorial: their README says what the tutorial's version gets wrong. */
const MIRRORS = /^examples\/(02|04|06|07|09|1[3-8])_/;

async function checkReadme(path: string): Promise<void> {
  const readme = new URL(`${path}/README.md`, ROOT);
  const text = await Deno.readTextFile(readme);
  const words = text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
  assert(words <= MAX_README_WORDS, `${path}/README.md has ${words} words`);
  for (const [, target] of text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
    if (/^https?:/.test(target!)) continue;
    await Deno.stat(new URL(target!, readme)).catch(() =>
      fail(`${path}/README.md links to ${target}, which is not there`)
    );
  }
  const wide = text.split("\n").find((line) =>
    [...line].length > MAX_WIDTH && !/^\||^.\[|deno run/.test(line)
  );
  assertEquals(wide, undefined, `${path}/README.md has a line over ${MAX_WIDTH} columns`);
  await checkCode(path, text);
  if (/\/\d\d_/.test(path)) checkShape(path, text);
}

function checkShape(path: string, text: string): void {
  const name = `${path}/README.md`;
  const [, number] = /\/(\d\d)_/.exec(path)!;
  assert(text.startsWith(`# ${number} · `), `${name} does not begin with its number`);
  const sections = [...text.matchAll(/^## (.+)$/gm)].map(([, section]) => section!);
  assertEquals(sections, SECTIONS, `${name} has another shape`);
  const [story = "", run = ""] = text.split(/^## .+$/m);
  assert(/^```\n[^]+?^```$/m.test(story), `${name} has no picture before "Run"`);
  assert(
    story.split("```")[0]!.split(/\s+/).length > 20,
    `${name} has no story before its picture`,
  );
  assert(run.includes("deno run "), `${name} does not say how it is run`);
  assert(!MIRRORS.test(path) || /tutorial/i.test(text), `${name} says nothing of its tutorial`);
  const exercise = text.slice(text.indexOf("\n## Exercise\n"));
  assert(
    exercise.includes(`\`deno task learn ${number}\`: `) || ["00", "19"].includes(number!),
    `${name} does not name its exercise`,
  );
  for (const [command, of] of text.matchAll(/deno task (?:ex|learn|hint) (\d\d)/g)) {
    assertEquals(of, number, `${name} says "${command}", which is another step`);
  }
}

/**
 * The code of a page is true: what is to be typed is what a header has, which is run above, or a
 * task that there is; and TypeScript stands in the examples, where it is checked.
 */
async function checkCode(path: string, text: string): Promise<void> {
  const fences = text.matchAll(/^( *)```(\S*)[^\n]*\n([^]*?)^\1```$/gm);
  for (const [, , language, code] of fences) {
    if (language === "") continue; // a picture, or what you see
    assertEquals(language, "sh", `${path}/README.md has code that nobody runs`);
    for (const line of code!.split("\n").filter((line) => line.trim() !== "")) {
      const command = line.replace(/ +#.*$/, "").trim();
      if (/^deno task \S+/.test(command)) continue; // tests/readme_test.ts knows the tasks
      if (/^(python3|curl) |^-H /.test(command)) continue; // tests/monitor_server_test.ts runs these
      const script = scriptOf(command);
      const { run } = await readExample(script);
      const before = (command: string) => command.slice(0, command.indexOf(script));
      assertEquals(before(command), before(run), `${path}/README.md: not the permissions of @run`);
      const flags = [...command.slice(before(command).length).matchAll(/ --(\w+)/g)];
      const source = await Deno.readTextFile(new URL(script, ROOT));
      for (const [, flag] of flags) {
        assert(
          new RegExp(`\\b${flag}\\b`).test(source),
          `${path}/README.md: ${script} has no --${flag}`,
        );
      }
    }
  }
}

Deno.test("examples/README.md has a row for every step and tutorial, and no other", async () => {
  const text = await Deno.readTextFile(new URL("examples/README.md", ROOT));
  const rows = [...text.matchAll(/^\| \[[^\]]+\]\(([^)]+)\/README\.md\)/gm)].map(([, to]) => to);
  assertEquals(rows, steps.map(({ path }) => path.slice("examples/".length)));
});
