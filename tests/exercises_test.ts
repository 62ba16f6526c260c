/**
 * The exercises: each one fails unsolved, with the sentence that a learner should see; each solution
 * passes; and the programs around them are run as a learner runs them, who edits a file and saves.
 */

import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import { ROOT } from "../tools/example.ts";
import { Checker, listExercises, parseHints, readFailure, stepIn } from "../tools/exercise.ts";
import { Progress } from "../tools/learn_progress.ts";
import { bar, screen } from "../tools/learn_view.ts";
import { kill, run } from "../tools/run.ts";
import { RedisServer } from "../tools/redis_server.ts";
import { Terminal } from "../tools/terminal.ts";
import { eventually, limit, serverTest } from "./support.ts";

/** What is said of each exercise as it comes. */
const UNSOLVED: Record<string, RegExp> = {
  "01": /^A PING was not answered while somebody waits at the door: it stands behind BRPOP/,
  "02": /^The pile gave mail, the oldest, first; Redis received (LPUSH, ){3}RPOP, RPOP, RPOP$/,
  "03": /^The crew is ann, bob: cem is to be the third$/,
  "04": /^The late subscriber missed \d+ of 20 events, and was to miss exactly 1$/,
  "05": /^IMG_9\.exe came in as a photo: nothing looks at what arrives$/,
  "06": /^The newsletter of second 0 came after the mail of second 30: it starves$/,
  "07": /^Redis received 2 commands: RPOP, LPUSH — a crash between them loses the photo$/,
  "08": /^The mail to bob was tried 12 times and is not among the dead: nothing caps its attempts$/,
  "09":
    /^Handed over twice, order_103 has paid 46 instead of 23: Redis received (HEXISTS, ){2}HINCRBY/,
  "10": /^With a lease of 48 ms, \d\d of 200 panoramas would be done twice; 2 may be$/,
  "11": /^The ack came before the enqueue — a crash between them, and Ann is never reminded again$/,
  "12": /^The page has shown nothing for 1 s: it waits for a thumbnail that takes long$/,
  "13": /^The second run has booked order_1 again: it began at the beginning$/,
  "14":
    /^label_1 was handed out three times before, and now to dora, who will be the fourth to die$/,
  "15": /^24 photos were developed in the worker's own thread: one core worked, and nobody heard$/,
  "16": /^After the first crash the process was started again \d+ ms later, not 50$/,
  "17":
    /^It has gone home, and [1-9] orders are leased: nobody gets them until that is over, in 30 s$/,
  "20": /^CROSSSLOT: \S+:ann:waiting is in slot \d+ and \S+:ann:hand in slot \d+; two masters may/,
  "21": /^3 orders were received and none was acknowledged: all of them are leased, and come back/,
  "18":
    /^The mail was called stuck: it was added first, but it has been in hand for a moment only$/,
  "22": /^order_2 has paid 22 and has no points: its worker died at the second of its chances$/,
};
const MAX_LINES = 50;
const MAX_WIDTH = 100;

const exercises = await listExercises();
const server = await RedisServer.start();
Deno.test.afterAll(() => server.stop());

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

for (const { number, name, step, title } of exercises) {
  Deno.test(`exercises/${name}.ts fails unsolved, and says why`, async () => {
    await using checker = await Checker.of(new URL("exercises/", ROOT), server.url);
    const verdict = await checker.behaves({ name });
    assert(!verdict.solved, "it is solved as it comes");
    assertMatch(verdict.sentence, UNSOLVED[number]!);
    assertEquals(verdict.detail, []);
  });

  Deno.test(`solutions/${name}.ts passes`, async () => {
    await using checker = await Checker.of(new URL("solutions/", ROOT), server.url);
    // That it compiles, `deno task check` says; once here, below, as a learner has it.
    assertEquals(await checker.behaves({ name }), { solved: true });
  });

  Deno.test(`exercises/${name}.ts is short, has something to do, hints and a step`, async () => {
    const [task, solution] = [
      await read(`exercises/${name}.ts`),
      await read(`solutions/${name}.ts`),
    ];
    assertStringIncludes(
      task,
      `deno task learn ${number}        A hint: deno task hint ${number}\n`,
    );
    assertMatch(task, /^ *\/\/ TODO: /m);
    assert(!solution.includes("TODO"), "the solution has something left to do");
    assertStringIncludes(solution, ` * Solution ${number} · ${title}\n`);
    const exported = (text: string) => text.match(/^export (async )?\w+ \w+/gm);
    assertEquals(exported(solution)?.map(dropAsync), exported(task)?.map(dropAsync));
    for (const text of [task, solution]) {
      const lines = text.split("\n");
      assert(lines.length <= MAX_LINES, `${lines.length} lines`);
      assertEquals(lines.find((line) => [...line].length > MAX_WIDTH), undefined);
    }
    const hints = parseHints(await read(`exercises/hints/${name}.md`));
    assert(hints.length >= 3, "fewer than three hints");
    assert(step, "there is no such step");
    assertStringIncludes(await read(`${step}/README.md`), `\`deno task learn ${number}\`: `);
  });
}

function dropAsync(line: string): string {
  return line.replace("async ", "");
}

Deno.test("every step whose README has a check has an exercise, and no exercise is unknown", async () => {
  assertEquals(exercises.map(({ number }) => number), Object.keys(UNSOLVED).sort());
  const folder = await Array.fromAsync(Deno.readDir(new URL("solutions/", ROOT)));
  assertEquals(folder.map(({ name }) => name).sort(), exercises.map(({ name }) => `${name}.ts`));
});

/** Solutions with one thing wrong: number, what is replaced by what, and what is said of it. */
const ALMOST: [string, string, string, RegExp][] = [
  ["01", "await own.close();", "", /^The second connection is still open after/],
  ["02", "redis.rPush(key, task)", "redis.lPush(key, task)", /^The queue gave label, the newest/],
  [
    "03",
    '"cem", "ann"]',
    '"bob", "ann"]',
    /^Task 5 went to cem, not to bob; bob prints the poster/,
  ],
  ["04", "[channel] === 0", "[channel] === -1", /^The late subscriber missed \d+ of 20 events/],
  ["06", "10 * task.level", "1 * task.level", /^The newsletter came before the mail of second 19/],
  [
    "07",
    'redis.lMove(queue, processing, "RIGHT", "LEFT")',
    'redis.blMove(queue, processing, "RIGHT", "LEFT", 0)',
    /^With no photo there, take\(\) is to answer null, not to wait$/,
  ],
  ["08", "nack({ error })", "nack()", /^The dead letter says ".*", and not why/],
  [
    "09",
    "return await redis.hSetNX(",
    "if (await redis.hExists(ledger, order)) return false;\n  return await redis.hSetNX(",
    /HSETNX, HSETNX — what is between two may crash$/,
  ],
  ["10", "sorted[Math.ceil(0.99 * sorted.length) - 1]!", "900", /the dead are waited for too long/],
  ["11", ", id: `${to}:${next.n}`", "", /^Two workers have done Ann's reminder, and 2 next ones/],
  ["12", "{ waitMs: 300 }", "{ waitMs: 30_000 }", /^The page has shown nothing for 1 s/],
  [
    "13",
    "book(message.order!);\n    await redis.set(bookmark, id);",
    "await redis.set(bookmark, id);\n    book(message.order!);",
    /order_7 is never booked$/,
  ],
  ["14", "\n      .xDel(stream, entry.id)", "", /still has 2 entries: XACK deletes nothing$/],
  [
    "14",
    'await redis.multi()\n      .xAdd(`${stream}:dead`, "*", entry.message)',
    'await redis.xAdd(`${stream}:dead`, "*", entry.message);\n    await redis.multi()',
    /^Redis received XADD, MULTI, XACK, XDEL, EXEC — a crash between them/,
  ],
  [
    "15",
    "threads: cores",
    "threads: 2 * cores",
    /^[34] threads have worked, and there are 2 cores$/,
  ],
  ["16", ", undefined, { signal }", "", /^It was told to end while it waited for the next start/],
  ["17", "release()", "nack({ delayMs: 60_000 })", /^\d orders were given back for later/],
  ["18", "oldest && age(oldest) > longMs", "oldest", /^Longer than a minute nothing was in hand/],
  [
    "22",
    "hSetNX(points, order, String(euros))",
    "hIncrBy(points, order, euros)",
    /^order_\d has paid \d\d and has \d\d points/,
  ],
  [
    "20",
    "`${shop}:{${customer}}:waiting`, hand: `${shop}:{${customer}}:hand`",
    "`${shop}{x}:${customer}:w`, hand: `${shop}{x}:${customer}:h`",
    /^The lists of 8 customers are in 1 slot: one master has all/,
  ],
  ["21", "`${server}/deliveries/${token}/nack`", "server", /^1 of 3 orders are leased still/],
];

Deno.test("the checks notice what is almost right, too", async () => {
  const folder = await Deno.makeTempDir({ prefix: "redis-patterns-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const checker = stack.use(await Checker.of(new URL(`file://${folder}/`), server.url));
  for (const [number, right, wrong, sentence] of ALMOST) {
    const { name } = exercises.find((exercise) => exercise.number === number)!;
    const solution = await read(`solutions/${name}.ts`);
    assertStringIncludes(solution, right);
    await Deno.writeTextFile(`${folder}/${name}.ts`, solution.replace(right, wrong));
    const verdict = await checker.behaves({ name });
    assert(!verdict.solved, `${number}: ${wrong} passes`);
    assertMatch(verdict.sentence, sentence, number);
  }
});

/** A learner: a folder with the exercises as they come, and `deno task learn` beside it. */
class Learner implements AsyncDisposable {
  readonly folder: string;
  #said = "";
  #heard = () => {};
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  private constructor(folder: string, args: string[]) {
    this.folder = folder;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "tools/learn.ts", "--from", folder, ...args],
      cwd: ROOT.pathname,
      env: { NO_COLOR: "1", FORCE_COLOR: "", REDIS_URL: "" },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reading = this.#read();
  }

  static async start(...args: string[]): Promise<Learner> {
    const folder = await Deno.makeTempDir({ prefix: "redis-patterns-" });
    for (const { name } of exercises) {
      await Deno.copyFile(new URL(`exercises/${name}.ts`, ROOT), `${folder}/${name}.ts`);
    }
    return new Learner(folder, args);
  }

  /** Resolves when it has said `text` since the last call. */
  async hears(text: string | RegExp): Promise<void> {
    const found = () => {
      const at = this.#said.search(text);
      if (at >= 0) this.#said = this.#said.slice(at + 1);
      return at >= 0;
    };
    const wait = async () => {
      while (!found()) await new Promise<void>((resolve) => this.#heard = resolve);
    };
    await limit(wait(), String(text), 40_000).catch((error: Error) => {
      throw new Error(`${error.message}, but:\n${this.#said}`);
    });
  }

  async save(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(`${this.folder}/${name}.ts`, text);
  }

  /** Ctrl-C. */
  async leave(): Promise<number> {
    kill(this.#child.pid, "SIGINT");
    return (await limit(this.#child.status, "leaving")).code;
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      this.#said += text;
      this.#heard();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    kill(this.#child.pid, "SIGKILL");
    await this.#child.status;
    await this.#reading;
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("deno task learn checks what is saved, says what is wrong, and goes on by itself", async () => {
  await using learner = await Learner.start("2");
  await learner.hears("02 · List queue");
  await learner.hears("✗  The pile gave mail, the oldest, first");
  const solution = await read("solutions/02_list_queue.ts");

  await learner.save("02_list_queue", "export const pile = {\n  put: (\n");
  await learner.hears(/✗ {2}Line 2: SyntaxError: Expression expected/);
  await learner.save("02_list_queue", `${solution}\npile.take = "nothing";\n`);
  await learner.hears(/✗ {2}TypeError: list\.take is not a function/);
  await learner.save("02_list_queue", `${solution}\nexport const left: number = "two";\n`);
  await learner.hears(/✗ {2}Line \d+: It does not compile: Type 'string' is not/);

  await learner.save("02_list_queue", solution);
  await learner.hears("✓  Solved");
  await learner.hears(`1 of ${exercises.length} solved`);
  await learner.hears("03 · Several workers");
  await learner.hears("✗  The crew is ann, bob");
  assertEquals(await learner.leave(), 0);
});

Deno.test("deno task learn can be left while what was written hangs in its check", async () => {
  await using learner = await Learner.start("2");
  await learner.hears("✗  The pile gave mail, the oldest, first");
  const begun = `${learner.folder}/begun`;
  const solution = await Deno.readTextFile(new URL("solutions/02_list_queue.ts", ROOT));
  const hang = `Deno.writeTextFileSync(${JSON.stringify(begun)}, "");\nwhile (true);\n`;
  await learner.save("02_list_queue", `${solution}\n${hang}`);
  await eventually(() => Deno.statSync(begun), 40_000);
  const asked = performance.now();
  assertEquals(await learner.leave(), 0);
  assertLess(performance.now() - asked, 5_000); // a check may take a minute
});

Deno.test("deno task learn in a terminal has keys for a hint, the next and the last, and to quit", async () => {
  const folder = await Deno.makeTempDir({ prefix: "redis-patterns-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  for (const { name } of exercises) {
    await Deno.copyFile(new URL(`exercises/${name}.ts`, ROOT), `${folder}/${name}.ts`);
  }
  const env = { REDIS_URL: "", FORCE_COLOR: "" };
  const terminal = stack.use(await Terminal.open({ columns: 100, rows: 30, env }));
  const see = (text: string) => terminal.see(text, 40_000);
  await terminal.run(`cd ${ROOT.pathname}; stty -a > ${folder}/before`);
  const learn = `${Deno.execPath()} run -A tools/learn.ts --from ${folder} 07`;
  await terminal.run(`${learn}; echo left with $?; stty -a > ${folder}/after; echo the-end`);
  await see("loses the photo");
  await terminal.press("h");
  await see("Hint 1");
  await terminal.press("h");
  await see("Hint 2");
  await terminal.press("n");
  await see("nothing caps its attempts");
  await terminal.press("p");
  await see("loses the photo");
  await Deno.copyFile(
    new URL("solutions/07_reliable_queue.ts", ROOT),
    `${folder}/07_reliable_queue.ts`,
  );
  await see(`1 of ${exercises.length} solved`);
  await see("nothing caps its attempts");
  await terminal.press("q");
  await see("left with 0");
  await see("the-end");
  const [before, after] = [`${folder}/before`, `${folder}/after`].map((path) =>
    Deno.readTextFileSync(path)
  );
  assertEquals(after, before, "the terminal was not given back as it was");
});

Deno.test("deno task learn --once says what is solved, and by its exit code", async () => {
  const once = (...args: string[]) =>
    run(Deno.execPath(), ["run", "-A", "tools/learn.ts", "--once", ...args], {
      cwd: ROOT.pathname,
      env: { NO_COLOR: "1", FORCE_COLOR: "", REDIS_URL: "" },
      deadlineMs: 60_000,
    });
  const solved = await once("07", "--from", "solutions");
  assertEquals([solved.ok, solved.stdout], [true, "✓ 07 · Reliable queue: solved"]);
  const folder = await Deno.makeTempDir({ prefix: "redis-patterns-" });
  const missing = await once("07", "--from", folder);
  await Deno.remove(folder, { recursive: true });
  assert(!missing.ok);
  assertStringIncludes(missing.stderr, "There is no ");
  const wrong = await once("99");
  assertStringIncludes(wrong.stderr, "There is no exercise 99. There are:");
  assertStringIncludes(wrong.stderr, "07 · Reliable queue");
});

Deno.test("deno task learn, piped, tells on standard error what is going on, a line each", async () => {
  const { ok, stdout, stderr } = await run(
    Deno.execPath(),
    ["run", "-A", "tools/learn.ts", "--once", "02", "--from", "solutions"],
    {
      cwd: ROOT.pathname,
      env: { NO_COLOR: "1", FORCE_COLOR: "", REDIS_URL: "" },
      deadlineMs: 60_000,
    },
  );
  assertEquals([ok, stdout], [true, "✓ 02 · List queue: solved"], stderr);
  // Packages are fetched only where the machine has none of them yet.
  const lines = stderr.split("\n").filter((line) => !/Download|: fetching /.test(line));
  assertEquals(lines, [
    "redis-patterns: starting Redis",
    "redis-patterns: 02: loading",
    "redis-patterns: 02: running",
    "redis-patterns: 02: compiling",
  ]);
});

Deno.test("deno task learn, in a terminal, tells what is going on in a line that changes", async () => {
  const folder = await Deno.makeTempDir({ prefix: "redis-patterns-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  for (const { name } of exercises) {
    await Deno.copyFile(new URL(`exercises/${name}.ts`, ROOT), `${folder}/${name}.ts`);
  }
  const name = "02_list_queue";
  // Its check goes on for as long as the test wants to look.
  const hang = `for (;;) {
    try {
      Deno.statSync(${JSON.stringify(`${folder}/go`)});
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }`;
  const solution = await read(`solutions/${name}.ts`);
  await Deno.writeTextFile(`${folder}/${name}.ts`, `${solution}\n${hang}\n`);
  const env = { REDIS_URL: "", FORCE_COLOR: "" };
  const terminal = stack.use(await Terminal.open({ columns: 100, rows: 30, env }));
  const see = (text: string | RegExp) => terminal.see(text, 40_000);
  const learn = `${Deno.execPath()} run -A ${ROOT.pathname}tools/learn.ts --from ${folder}`;
  await terminal.run(`clear; ${learn} --once 02; echo ended with $?`);
  await see("…  02: loading");
  await Deno.writeTextFile(`${folder}/go`, "");
  const once = await see("ended with 0");
  assertMatch(once, /^✓ 02 · List queue: solved\nended with 0$/m);
  for (const over of ["…", "loading", "running", "compiling", "starting"]) {
    assert(!once.includes(over), `${over} is still there:\n${once}`);
  }

  await Deno.remove(`${folder}/go`);
  await terminal.run(`clear; ${learn} 02`);
  const screen = await see("…  being checked: loading");
  assertStringIncludes(screen, "02 · List queue");
  await Deno.writeTextFile(`${folder}/go`, "");
  await see("03 · Several workers");
  await terminal.press("q");
});

Deno.test("stepIn() tells which package is fetched, whatever registry it is of", () => {
  const fetched = {
    "Download https://npm.example.com/redis": "redis",
    "Download https://npm.example.com/@redis%2fclient": "@redis/client",
    "Download https://npm.example.com/@redis/client/-/client-6.3.1.tgz": "@redis/client",
    "Download https://example.com/mirror/npm/redis/-/redis-6.3.1.tgz": "redis",
    "Download https://jsr.example.com/@std/assert/1.0.1/equals.ts": "@std/assert",
  };
  for (const [line, name] of Object.entries(fetched)) {
    assertEquals(stepIn(line), `fetching ${name}`);
  }
  assertEquals(stepIn("running 1 test from ./exercises/checks/02_list_queue.ts"), "running");
  assertEquals(stepIn("Check file:///exercises/02_list_queue.ts"), "compiling");
  assertEquals(stepIn("ok | 1 passed | 0 failed (90ms)"), undefined);
});

Deno.test("deno task hint says what it does not understand, and which exercises there are", async () => {
  const hint = (...args: string[]) =>
    run(Deno.execPath(), ["run", "-A", "tools/hint.ts", ...args], { cwd: ROOT.pathname });
  const [unknown, wrong] = await Promise.all([hint("99"), hint("7", "--all")]);
  assert(!unknown.ok && !wrong.ok);
  assertStringIncludes(unknown.stderr, "There is no exercise 99. There are:");
  assertStringIncludes(wrong.stderr, "Not understood: --all");
});

Deno.test("deno task hint tells one hint more each time, and at last where the solution is", async () => {
  // The program notes it in the checkout; whatever was noted there is put back.
  const file = new URL(".cache/learn.json", ROOT);
  const before = await Deno.readTextFile(file).catch(() => undefined);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => before === undefined ? Deno.remove(file) : Deno.writeTextFile(file, before));
  const hint = async (...args: string[]) => {
    const env = { NO_COLOR: "1", FORCE_COLOR: "" };
    const all = ["run", "-A", "tools/hint.ts", "02", ...args];
    const { ok, stdout, stderr } = await run(Deno.execPath(), all, { cwd: ROOT.pathname, env });
    assert(ok, stderr);
    return { hints: stdout.match(/^\d\. /gm)?.length, last: stdout.split("\n").at(-1) };
  };
  assertEquals(await hint("--again"), {
    hints: 1,
    last: "Hint 1 of 3. One more: deno task hint 02",
  });
  assertEquals(await hint(), { hints: 2, last: "Hint 2 of 3. One more: deno task hint 02" });
  const last = "That was the last hint. The solution: solutions/02_list_queue.ts";
  assertEquals(await hint(), { hints: 3, last });
  assertEquals(await hint(), { hints: 3, last });
});

Deno.test("Progress keeps hints and what was solved, and forgets what was edited since", async () => {
  const folder = await Deno.makeTempDir({ prefix: "redis-patterns-" });
  const file = new URL(`file://${folder}/new/learn.json`);
  const first = await Progress.load(file);
  await first.noteSolved("02", "one text");
  await first.noteHints("02", 2);
  const again = await Progress.load(file);
  assertEquals([await again.isSolved("02", "one text"), again.hints("02")], [true, 2]);
  assertEquals(await again.isSolved("02", "another text"), false);
  await Deno.writeTextFile(file, "{ cut");
  assertEquals((await Progress.load(file)).hints("02"), 0);
  await Progress.forget(file);
  await Progress.forget(file);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("screen() fits the terminal, and shows hints and keys", () => {
  const exercise = exercises[6]!;
  const solved = exercises.map((_, i) => i < 6);
  const sentence = "Redis received 2 commands: RPOP, LPUSH — a crash between them loses the photo";
  for (const width of [60, 80, 160]) {
    const lines = screen({
      exercise,
      path: "exercises/07_reliable_queue.ts",
      solved,
      verdict: { solved: false, sentence, detail: [] },
      hints: exercise.hints.slice(0, 1),
      keys: true,
      width,
    });
    // deno-lint-ignore no-control-regex -- colours
    const plain = lines.map((line) => line.replace(/\x1b\[[\d;]*m/g, ""));
    assertEquals(plain.find((line) => [...line].length > width), undefined);
    const text = plain.join("\n");
    for (
      const part of [
        `6 of ${exercises.length} solved`,
        "✗  Redis received 2",
        "Hint 1 ",
        "h hint · n next",
      ]
    ) {
      assertStringIncludes(text, part);
    }
  }
  // deno-lint-ignore no-control-regex -- colours
  const plain = bar(solved, 80).replace(/\x1b\[[\d;]*m/g, "");
  const left = "░".repeat(2 * (exercises.length - 6));
  assertEquals(plain, `${"█".repeat(12)}${left}  6 of ${exercises.length} solved`);
});

Deno.test("readFailure() finds the learner's line, and takes what it does not know as it is", () => {
  const stack = "error: TypeError: x is null\n    at fn (file:///e/exercises/02_a.ts:12:5)\n";
  assertEquals(readFailure(stack, "02_a"), {
    solved: false,
    sentence: "Line 12: TypeError: x is null",
    detail: ["    at fn (file:///e/exercises/02_a.ts:12:5)"],
  });
  assertEquals(readFailure("one\ntwo", "02_a"), {
    solved: false,
    sentence: "The check did not run",
    detail: ["one", "two"],
  });
});

/** Long enough for each to have stored something, also on a busy machine. */
const PRODUCERS_MS = 8_000;

serverTest(
  "deno task reset removes what the course has left, and nothing else",
  async (server) => {
    const reset = (...args: string[]) =>
      run(Deno.execPath(), ["run", "-A", "tools/reset.ts", "--url", server.url, ...args], {
        cwd: ROOT.pathname,
      });
    const keys = async () => (await server.cli("KEYS", "*")).split("\n").filter(Boolean).sort();
    assertEquals((await reset()).stdout, "The course has left nothing in this Redis.");

    // Somebody else's: each of them looks much like one of ours.
    const redis = await connect({ url: server.url });
    const foreign = [
      "task_queue_2",
      "orders:backup",
      "my:orders",
      "learn_7_photos",
      "learn_07",
      "queue:{orders2}:ready",
      "queue:{lab_photos.old}:ready",
      "queue:{my_orders}:ready",
    ];
    for (const key of foreign) await redis.set(key, "mine");
    await redis.zAdd("queue:registry", { score: 1, value: "list my_orders" });

    // Ours: what the producers leave when they are killed, and what checks that fail leave.
    const steps = await Array.fromAsync(Deno.readDir(new URL("examples/", ROOT)));
    const producers = steps.map(({ name }) => name).filter((name) => /^\d\d_/.test(name))
      .map((name) => `examples/${name}/producer.ts`);
    for (let i = 0; i < producers.length; i += 5) {
      const some = producers.slice(i, i + 5).map((path) =>
        run(Deno.execPath(), ["run", "-A", path, "--url", server.url], {
          cwd: ROOT.pathname,
          deadlineMs: PRODUCERS_MS,
        })
      );
      await Promise.all(some);
    }
    await redis.lPush("photo_prints:processing", "print_photo_1");
    await redis.lPush("learn_07_photos", "photo_1");
    const before = await keys();
    const queues = new Set(before.map((key) => /^queue:\{(.*)\}/.exec(key)?.[1] ?? key));
    assert(queues.size > foreign.length + 8, `too little to remove: ${[...queues]}`);

    const asked = await reset();
    assert(!asked.ok);
    assertStringIncludes(asked.stderr, "There is nobody to ask.");
    assertStringIncludes(asked.stdout, "  learn_07_photos");
    assertEquals(await keys(), before);

    const done = await reset("--yes");
    assert(done.ok, done.stderr);
    assertEquals(await keys(), [...foreign, "queue:registry"].sort());
    assertEquals(await redis.zRange("queue:registry", 0, -1), ["list my_orders"]);
    await redis.close();
  },
  {},
  120_000,
);
