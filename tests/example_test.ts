/**
 * The tools that read, run and compare the examples: a false promise must not go unnoticed.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  exampleFiles,
  hostOf,
  listSteps,
  parseExample,
  toArgv,
  toTyped,
} from "../tools/example.ts";
import { difference } from "../tools/example_match.ts";
import { ExampleProcess, play } from "../tools/example_process.ts";
import { Door, Ear } from "../tools/example_wire.ts";
import { eventually, limit, serverTest } from "./support.ts";

const PATH = "examples/02_list_queue/polling.ts";
const RUN = `deno run --allow-net=127.0.0.1:6379 ${PATH}`;
const URL_HERE = "redis://127.0.0.1:7001";
const TAGS = [
  "@title   List queue, polling",
  `@run     ${RUN}`,
  "@with    deno run --allow-net=127.0.0.1:6379 examples/02_list_queue/producer.ts",
  "           --count 20",
  "@redis   LLEN · RPOP",
];

function file({ tags = TAGS, lesson = ["A list", "is a queue."], expect = ["[worker] hi"] } = {}) {
  const header = [...tags, "", ...lesson].map((line) => ` * ${line}`.trimEnd());
  const promises = expect.map((line) => `// ${line}`.trimEnd());
  return ["/**", ...header, " */", "say();", "", "end();", "", "// Expect:", ...promises, ""]
    .join("\n");
}

Deno.test("parseExample() reads the header, the code and the Expect block", () => {
  assertEquals(parseExample(file({ expect: ["[worker] hi", "", "  two"] }), PATH), {
    path: PATH,
    title: "List queue, polling",
    run: RUN,
    with: ["deno run --allow-net=127.0.0.1:6379 examples/02_list_queue/producer.ts --count 20"],
    cluster: false,
    redis: ["LLEN", "RPOP"],
    lesson: "A list is a queue.",
    code: ["say();", "end();"],
    expect: ["[worker] hi", "", "  two"],
  });
  assertEquals(parseExample(file({ tags: [...TAGS, "@server  cluster"] }), PATH).cluster, true);
});

Deno.test("parseExample() names the file and what is wrong with it", () => {
  const without = (tag: string) => TAGS.filter((line) => !line.startsWith(tag));
  const wrong: [string, string][] = [
    ["say();", "header"],
    [file().replace("// Expect:", "// Expected:"), "no `// Expect:` line"],
    [file({ tags: without("@title") }), "exactly one @title, but has 0"],
    [file({ tags: without("@run") }), "exactly one @run, but has 0"],
    [file({ tags: [...TAGS, "@redis   LPUSH"] }), "exactly one @redis, but has 2"],
    [file({ tags: [...TAGS, "@server  sentinel"] }), "@server says sentinel"],
    [file({ tags: [...TAGS, "@see     elsewhere"] }), "unknown tag @see"],
    [file({ tags: ["List queue", ...TAGS] }), "not a tag of the header: List queue"],
    [file({ lesson: [] }), "no lesson"],
    [file({ lesson: ["Text.", "@redis LPUSH"] }), "@redis stands after the blank line"],
    [file().replace(/02_list_queue\/polling/, "02_list_queue/other"), "@run runs examples/02_list"],
    [file().replace(RUN, `deno test ${PATH}`), "deno run [--flag=value …]"],
    [file().replace("--count 20", "| cat"), "plain words"],
    [file({ expect: [] }), "Expect block is empty"],
    [file() + "more();\n", "not a line of the Expect block: more();"],
  ];
  for (const [text, message] of wrong) {
    const error = assertThrows(() => parseExample(text, PATH), SyntaxError);
    assertStringIncludes(error.message, PATH);
    assertStringIncludes(error.message, message);
  }
});

Deno.test("toArgv() puts in the server, --no-prompt, further arguments and --url", () => {
  const net = "--allow-net=127.0.0.1:7001";
  assertEquals(toArgv(`${RUN} --rate 5`, { url: URL_HERE, extra: ["--count", "3"] }), [
    ...["run", "--no-prompt", net, PATH, "--rate", "5", "--count", "3", "--url", URL_HERE],
  ]);
  const named = toArgv(RUN, { url: "redis://ann:secret@redis.example:7002" });
  assertEquals(named[2], "--allow-net=redis.example");
});

Deno.test("toArgv() leaves the permissions of a command for a cluster as they are", () => {
  const url = "redis+cluster://:secret@127.0.0.1:7001,127.0.0.1:7002";
  const command = RUN.replace("127.0.0.1:6379", "127.0.0.1");
  const words = command.split(" ").slice(2);
  assertEquals(toArgv(command, { url }), ["run", "--no-prompt", ...words, "--url", url]);
  assertEquals(toTyped(command, { url }), `${command} --url ${url.replace("secret", "***")}`);
  assertEquals(hostOf(url), "127.0.0.1:7001");
});

Deno.test("toTyped() is what a reader can type, and hides a password", () => {
  assertEquals(toTyped(RUN, { extra: ["--count", "3"] }), `${RUN} --count 3`);
  const typed = toTyped(RUN, { url: "redis://:secret@127.0.0.1:7002" });
  assertStringIncludes(typed, "--allow-net=127.0.0.1:7002");
  assert(typed.endsWith("--url redis://:***@127.0.0.1:7002"), typed);
});

Deno.test("listSteps() finds the numbered folders only", async () => {
  const root = await Deno.makeTempDir();
  try {
    const folder = `${root}/examples/02_list_queue`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.mkdir(`${root}/examples/other`);
    await Deno.writeTextFile(`${folder}/README.md`, "Intro\n\n# 02 · A list\n");
    await Deno.writeTextFile(`${folder}/polling.ts`, "");
    const steps = await listSteps(new URL(`file://${root}/`));
    const path = "examples/02_list_queue";
    const files = ["README.md", "polling.ts"];
    assertEquals(steps, [{ number: "02", path, title: "A list", files }]);
    assertEquals(exampleFiles(steps), [`${path}/polling.ts`]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("difference() is undefined for what was promised", () => {
  assertEquals(difference(["a", "b"], ["a", "b"]), undefined);
  assertEquals(difference(["wait <ms> ms, <n> of <n>"], ["wait 0.5 ms, 3 of 20"]), undefined);
  assertEquals(difference(["id <id>.", "<any>", ""], ["id a-1.", "what ever", ""]), undefined);
  assertEquals(difference(["(1+1) [x] <other>"], ["(1+1) [x] <other>"]), undefined);
});

Deno.test("difference() lets lines marked ~ change places with each other only", () => {
  const expect = ["start", "~ <any>", "~ b", "~ c", "end"];
  assertEquals(difference(expect, ["start", "c", "b", "a", "end"]), undefined);
  assertStringIncludes(difference(expect, ["c", "start", "b", "a", "end"])!, "at line 1:");
  assertStringIncludes(difference(expect, ["start", "a", "b", "d", "end"])!, "  - ~ c\n  + d");
  assertStringIncludes(difference(["~ a", "~ b"], ["b"])!, "  - ~ a\n  + (nothing more");
});

Deno.test("difference() shows the first line that differs, and those before it", () => {
  const printed = ["1", "2", "3", "4", "5"];
  assertEquals(
    difference(["1", "2", "3", "4", "x <n>"], printed),
    "The output differs from the Expect block at line 5:\n" +
      "    2\n    3\n    4\n  - x <n>\n  + 5",
  );
});

Deno.test("difference() sees lines that are missing, too many, longer, or no number", () => {
  assertStringIncludes(difference(["a", "b"], ["a"])!, "  - b\n  + (nothing more was printed)");
  assertStringIncludes(difference(["a"], ["a", "b"])!, "  - (nothing more was promised)\n  + b");
  assertStringIncludes(difference(["a"], ["a!"])!, "  - a\n  + a!");
  assertStringIncludes(difference(["<n> ms"], ["1.5 ms"])!, "  + 1.5 ms");
  assertStringIncludes(difference(["<ms> ms"], ["soon ms"])!, "  + soon ms");
});

/** Programs that need no Redis, in a folder that stands for a checkout. */
async function withPrograms(
  programs: Record<string, string>,
  run: (start: (command: string) => ExampleProcess) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(programs)) {
      await Deno.writeTextFile(`${root}/${name}.ts`, text);
    }
    const options = { url: URL_HERE, root: new URL(`file://${root}/`) };
    await limit(run((command) => new ExampleProcess(command, options)), "programs", 20_000);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("ExampleProcess runs without asking for permissions it was not given", async () => {
  const env = 'console.log("hi"); console.log(Deno.args.join(" ")); Deno.env.get("HOME");';
  await withPrograms({ env }, async (start) => {
    const process = start("deno run env.ts --count 3");
    assertEquals((await process.ended).code, 1);
    assertEquals(process.stdout, ["hi", `--count 3 --url ${URL_HERE}`]);
    assertStringIncludes(process.stderr.join("\n"), "NotCapable");
  });
});

Deno.test("play() starts @with when @run has spoken, and stops all when one fails", async () => {
  const main = 'setTimeout(() => console.log("first"), 50); setTimeout(() => {}, 60_000);' +
    'Deno.addSignalListener("SIGINT", () => { console.log("asked to stop"); Deno.exit(0); });';
  await withPrograms({ main, helper: "Deno.exit(7);" }, async (start) => {
    const heard: string[][] = [];
    const processes: ExampleProcess[] = [];
    const played = await play({ run: "deno run main.ts", with: ["deno run helper.ts"] }, {
      start: (command) => {
        heard.push(processes.flatMap(({ stdout }) => stdout));
        processes.push(start(command));
        return processes.at(-1)!;
      },
    });
    assertEquals(heard, [[], ["first"]]);
    assertEquals(played.map(({ ending }) => ending.code), [0, 7]);
    assertEquals(processes[0]!.stdout, ["first", "asked to stop"]);
  });
});

Deno.test("ExampleProcess kills what it has started along, so that nothing holds its pipe", async () => {
  const main = 'new Deno.Command("sleep", { args: ["60"] }).spawn(); console.log("up");' +
    "setTimeout(() => {}, 60_000);";
  await withPrograms({ main }, async (start) => {
    const process = start("deno run --allow-run=sleep main.ts");
    await process.spoke;
    process.signal("SIGKILL");
    assertEquals((await limit(process.ended, "its end", 5_000)).signal, "SIGKILL");
  });
});

Deno.test("play() passes an abort on as SIGINT and starts nothing more", async () => {
  const main =
    'Deno.addSignalListener("SIGINT", () => Deno.exit(3)); setTimeout(() => {}, 60_000);';
  await withPrograms({ main: main + 'console.error("up");' }, async (start) => {
    const stop = new AbortController();
    const played = await play({ run: "deno run main.ts", with: ["deno run helper.ts"] }, {
      signal: stop.signal,
      start: (command) => {
        const process = start(command);
        void eventually(() => assertEquals(process.stderr, ["up"])).then(() => stop.abort());
        return process;
      },
    });
    assertEquals(played.map(({ ending }) => ending.code), [3]);
  });
});

serverTest(
  "Ear tells which commands came through which door, without those in scripts",
  async (server) => {
    const ear = await Ear.open(server.port);
    const [one, two] = [new Door(server.port), new Door(server.port)];
    try {
      await send(one.port, ["PING", "EVAL \"return redis.call('set','a',1)\" 0"]);
      await send(two.port, ["LPUSH list a", "rpop list"]);
      await ear.catchUp();
      assertEquals(ear.commandsOf(one), ["EVALSHA"]);
      assertEquals(ear.commandsOf(two), ["LPUSH", "RPOP"]);
    } finally {
      await Promise.all([one.close(), two.close(), ear.close()]);
    }
  },
);

/** Sends inline commands on a connection of their own, and waits for an answer to each. */
async function send(port: number, commands: string[]): Promise<void> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  for (const command of commands) {
    await conn.write(new TextEncoder().encode(`${command}\r\n`));
    assert(await conn.read(new Uint8Array(1_000)));
  }
}
