/**
 * The programs that show the examples to people, `deno task ex` and `deno task demo`, and the parts
 * they are made of. Run as people run them, with their output in a pipe.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { toLessons } from "../tools/demo.ts";
import { readScore, toSentence, toTable } from "../tools/demo_score.ts";
import { exampleFiles, listSteps, listTutorials, readExample, ROOT } from "../tools/example.ts";
import { countFlags, flagsOf, messagesOf, nameFlags } from "../tools/example_flags.ts";
import { fit, named, shortNames, widthOf, wrap } from "../tools/example_stage.ts";
import { run, type RunResult } from "../tools/run.ts";

/** A port on which nobody listens. */
const NOBODY = "redis://127.0.0.1:1";

const steps = await listSteps();
const hasLists = steps.some(({ number }) => number === "02");

function tool(name: string, ...args: string[]): Promise<RunResult> {
  return deno("", "run", "-A", `tools/${name}.ts`, ...args);
}

function deno(REDIS_URL: string, ...args: string[]): Promise<RunResult> {
  const env = { NO_COLOR: "1", FORCE_COLOR: "", REDIS_URL };
  return run(Deno.execPath(), args, { cwd: ROOT.pathname, env, deadlineMs: 90_000 });
}

Deno.test("deno task ex lists the steps there are", async () => {
  const { ok, stdout } = await tool("ex");
  assert(ok);
  for (const { number, title } of steps) assertStringIncludes(stdout, `  ${number}  ${title}`);
});

Deno.test("deno task ex says what it does not understand, and what there is", async () => {
  const wrong: [string[], string][] = [
    [["99"], "There is no step 99."],
    [["2", "polling", "3"], "Not understood: 3"],
    [["2", "3"], "examples/02_list_queue has no 3.ts, only: blocking polling producer"],
    [["2", "-q"], "Not understood: -q"],
    [
      ["2", "--quick"],
      "examples/02_list_queue/blocking.ts takes no --quick here; only: --queue --count --rate",
    ],
    [
      ["2", "--url", "redis://127.0.0.1"],
      "examples/02_list_queue/blocking.ts takes no --url here; REDIS_URL says where Redis is",
    ],
    [["7", "by_hand", "--polling"], "Either by_hand or --polling"],
    [["2", "--polling", "--blocking"], "Either --polling or --blocking"],
    [["2", "--count", "many"], '--count must be a number from 1, but is "many"'],
  ];
  const results = await Promise.all(wrong.map(([args]) => tool("ex", ...args)));
  for (const [i, { ok, stderr }] of results.entries()) {
    assert(!ok);
    assertStringIncludes(stderr, wrong[i]![1]);
  }
  for (const { number } of steps) assertStringIncludes(results[0]!.stderr, `  ${number}  `);
});

Deno.test("deno task ex says once that REDIS_URL is of no use, and what to do", async () => {
  for (const [url, reason] of [["foo", 'Not a Redis URL: "foo"'], [NOBODY, "refused"]] as const) {
    const { ok, stdout, stderr } = await deno(url, "run", "-A", "tools/ex.ts", "2");
    assert(!ok);
    assertEquals(stdout, "");
    assertStringIncludes(stderr, "REDIS_URL is of no use. ");
    assertStringIncludes(stderr, reason);
    assert(stderr.endsWith("unset REDIS_URL"), stderr);
  }
});

Deno.test("an example refuses a flag that it does not have, and a value that is no number", async () => {
  const wrong: [string[], string][] = [
    [["--cuont", "5"], "There is no flag --cuont"],
    [["--count", "five"], "--count takes a number above 0, not five"],
    [["--count", "-5"], "--count takes a number above 0"],
    [["--rate", "0"], "--rate takes a number above 0, not 0"],
    [["--count"], "--count takes a number above 0"],
    [["5"], "Not understood: 5"],
  ];
  const usage = "List queue, producer\n  --url redis://127.0.0.1:6379\n  --queue task_queue\n" +
    "  --count 20\n  --rate 8";
  for (const [args, reason] of wrong) {
    const result = await deno("", "run", "examples/02_list_queue/producer.ts", ...args);
    assertEquals(result, { ...result, ok: false, stdout: "", stderr: `${reason}\n\n${usage}` });
  }
  const { ok, stdout } = await deno("", "run", "examples/02_list_queue/producer.ts", "--help");
  assertEquals([ok, stdout], [true, usage]);
});

Deno.test("an example says in one line that no Redis is there, or may not be reached", async () => {
  const path = "examples/02_list_queue/producer.ts";
  const host = NOBODY.replace("redis://", "");
  const away = await deno("", "run", `--allow-net=${host}`, path, "--url", NOBODY);
  assert(!away.ok);
  assertStringIncludes(away.stderr, `error: Redis at ${host}: connection refused`);
  const forbidden = await deno("", "run", "--no-prompt", path, "--url", NOBODY);
  assert(!forbidden.ok);
  assertStringIncludes(forbidden.stderr, `error: Redis at ${host}: Requires net access`);
  for (const { stderr } of [away, forbidden]) assertEquals(stderr.trim().split("\n").length, 1);
});

Deno.test("the flags of every example have a default, by which --help and a typo know them", async () => {
  for (const path of exampleFiles([...steps, ...await listTutorials()])) {
    const { code } = await readExample(path);
    const text = code.join("\n");
    if (!/\bhelp\(".*", flags/.test(text)) continue; // a module of a step
    const [named] = /string: \[[^\]]*\](?:,\s*boolean: \[[^\]]*\])?/.exec(text) ?? [""];
    const names = [...named.matchAll(/"(\w+)"/g)].map(([, name]) => name!);
    const known = flagsOf([{ command: "", code }]);
    for (const name of names) {
      assert(name === "url" || known.includes(`--${name}`), `${path} ${name}`);
    }
    if (known.length > 0) assertStringIncludes(text, "flags, defaults);");
  }
});

Deno.test({
  name: "deno task ex runs a step with names in front of the lines",
  ignore: !hasLists,
  fn: async () => {
    const { ok, stdout, stderr } = await tool("ex", "2", "--polling", "--count", "3");
    assert(ok, stderr);
    assertEquals(stderr, "");
    assertStringIncludes(stdout, "examples/02_list_queue/polling.ts --count 3");
    assertStringIncludes(stdout, "producer │ [producer]");
    assertStringIncludes(stdout, "polling  │ [score]  messages 3 ");
  },
});

Deno.test("deno task ex passes flags on to the programs that take them", async () => {
  const [lossy, byHand] = await Promise.all([
    tool("ex", "7", "--lossy"),
    tool("ex", "7", "by_hand"),
  ]);
  assert(lossy.ok && byHand.ok, lossy.stderr + byHand.stderr);
  assertStringIncludes(lossy.stdout, "07 · Reliable queue, blocking --lossy");
  assertStringIncludes(lossy.stdout, "producer.ts --lossy");
  assertStringIncludes(lossy.stdout, "[worker] 9 of 10 photos printed");
  assertStringIncludes(byHand.stdout, "[worker] 10 of 10 photos printed");
});

Deno.test("deno task ex says that the port of a step is taken", async () => {
  using _taken = Deno.listen({ hostname: "127.0.0.1", port: 8018 });
  const { ok, stdout, stderr } = await tool("ex", "18");
  assert(!ok);
  assertEquals(stdout, "");
  assertEquals(
    stderr,
    "Port 8018 of 127.0.0.1 is taken by another program, " +
      "and examples/18_monitoring/blocking.ts needs it",
  );
});

Deno.test({
  name: "deno task demo ends with a scoreboard of every pattern",
  ignore: !hasLists,
  fn: async () => {
    const { ok, stdout, stderr } = await tool("demo");
    assert(ok, stderr);
    assertEquals(stderr, "");
    const shown = stdout.match(/\(\d+ of \d+\)/g)?.length ?? 0;
    assert(shown > 0, stdout);
    const all = Number(/\(\d+ of (\d+)\)/.exec(stdout)?.[1]);
    if (shown < all) assertStringIncludes(stdout, "there was no time for step"); // a slow machine
    const rows = stdout.match(/^│ .*│ (polling|blocking) +│ +\d+ │ +\d+ │ +[\d.]+ ms │$/gm);
    assertEquals(rows?.length, 2 * shown, stdout);
  },
});

Deno.test("readScore() adds workers up and takes the median of the middle message", () => {
  assertEquals(readScore(["[worker] hi"]), undefined);
  const lines = [
    "[score]  messages 2  commands 9  wait p50 90.5 ms",
    "[worker] bye",
    "[score]  messages 6  commands 3  wait p50 1 ms",
  ];
  assertEquals(readScore(lines), { messages: 8, commands: 12, p50Ms: 1 });
});

Deno.test("toTable() and toSentence() say what was measured, and no more", () => {
  const polling = { messages: 20, commands: 75, p50Ms: 67 };
  const scores = [{ title: "02 List", scores: { polling, blocking: undefined } }];
  const [first, second] = toTable(scores, { colours: false }).split("\n").slice(2);
  assertEquals(first, "│ 02 List │ polling  │       20 │       75 │  67.0 ms │");
  assertEquals(second, "│         │ blocking │        – │        – │        – │");
  assertStringIncludes(
    toSentence(scores),
    "75 commands for 20 messages, which typically waited 67",
  );
});

const WORKER = ["const flags = parse({ queue: 'q', count: 10 });", "flags.queue"];
const PRODUCER = ["const flags = parse({ queue: 'q', count: 2_0 });", "flags.queue"];
const programs = [
  { command: "deno run a/polling.ts", code: WORKER },
  { command: "deno run a/polling.ts --name bob", code: WORKER },
  { command: "deno run a/producer.ts", code: PRODUCER },
];

Deno.test("toLessons() says once what both modes have in common", () => {
  assertEquals(toLessons("A log. Ann asks. Bye.", "A log. Ann waits. Bye."), {
    about: "A log.",
    lessons: { polling: "Ann asks.", blocking: "Ann waits." },
  });
  assertEquals(toLessons("It asks. Yes.", "It waits."), {
    about: undefined,
    lessons: { polling: "It asks.", blocking: "It waits." },
  });
  const same = { about: "Both.", lessons: { polling: "", blocking: "" } };
  assertEquals(toLessons("Both. The same.", "Both. The same."), same);
});

Deno.test("countFlags() shares the messages of the producer out", () => {
  assertEquals(messagesOf(programs), 20);
  assertEquals(countFlags(programs, 6), [["--count", "3"], ["--count", "3"], ["--count", "6"]]);
  assertEquals(countFlags(programs, 5), undefined);
  assertEquals(countFlags([{ command: "deno run a/b.ts", code: [] }], 5), undefined);
});

Deno.test("nameFlags() renames only what all programs of a step can rename", () => {
  assertEquals(nameFlags(programs, "mine"), programs.map(() => ["--queue", "mine"]));
  const deaf = { command: "deno run a/other.ts", code: ["flags.channel"] };
  assertEquals(nameFlags([...programs, deaf], "mine"), undefined);
});

Deno.test("shortNames() tells programs of one file apart", () => {
  const commands = programs.map(({ command }) => command);
  assertEquals(shortNames(commands), ["polling", "polling bob", "producer"]);
  assertEquals(shortNames([commands[0]!, commands[0]!]), ["polling", "polling 2"]);
});

Deno.test("fit() cuts and fills to a width, colours not counted", () => {
  assertEquals(fit("abc", 5), "abc  ");
  assertEquals(fit("abcdef", 4), "abc…");
  const red = "\x1b[31mabcdef\x1b[39m";
  assertEquals(widthOf(red), 6);
  assertEquals(fit(red, 4), "\x1b[31mabc\x1b[39m…");
  assertEquals(fit("photo → 📷 ok", 9), "photo → …");
});

Deno.test("wrap() breaks between words and keeps line ends", () => {
  assertEquals(wrap("one two three\nfour", 8), ["one two", "three", "four"]);
  assertEquals(wrap("incomprehensibilities a", 5), ["incomprehensibilities", "a"]);
});

Deno.test("wrap() and named() count colours as nothing, and break what is too long", () => {
  assertEquals(wrap("\x1b[36m[a]\x1b[0m b c", 7), ["\x1b[36m[a]\x1b[0m b c"]);
  const said = "[worker] Processing: send_email_to_user@example.com  order 123";
  assertEquals(named("w 2 │", said, 60).split("\n"), [
    "w 2 │ [worker] Processing: send_email_to_user@example.com ",
    "    │   order 123",
  ]);
  assertEquals(named("w 2 │", said, 80), `w 2 │ ${said}`);
  assertEquals(named("w 2 │", said, undefined), `w 2 │ ${said}`);
});
