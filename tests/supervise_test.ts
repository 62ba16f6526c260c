/** Processes that are kept running: real children, real kills, and none that is left behind. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  supervise,
  type SuperviseEvent,
  type SuperviseOptions,
  type Supervisor,
} from "@workshop/redis-patterns/tasks";
import { eventually, limit } from "./support.ts";

const MODULE = new URL("./supervised_child.ts", import.meta.url);
const PROGRAM = new URL("./supervise_program.ts", import.meta.url);
const RUNTIME = ["-A", "--no-lock", "--no-check"];

/** How long processes may take to come up where others use the machine. */
const UP_MS = 15_000;

/** Where children write, and what is known of them. */
class Crew implements AsyncDisposable {
  readonly file = Deno.makeTempFileSync();
  readonly events: SuperviseEvent[] = [];

  supervise(what: string, options: Partial<SuperviseOptions> = {}, ms = 0): Supervisor {
    return supervise({
      module: MODULE,
      processes: 2,
      runtimeArgs: RUNTIME,
      args: this.args(what, ms),
      onEvent: (event) => void this.events.push(event),
      ...options,
    });
  }

  args(what: string, ms = 0): string[] {
    return [what, this.file, String(ms)];
  }

  lines(): string[] {
    return Deno.readTextFileSync(this.file).split("\n").slice(0, -1);
  }

  /** The processes that have written this, and perhaps more. */
  said(what: string): number[] {
    const lines = this.lines().filter((line) => line.startsWith(what));
    return lines.map((line) => Number(line.split(" ").at(-1)));
  }

  async see(what: string, count: number): Promise<number[]> {
    await eventually(
      () => assert(this.said(what).length >= count, `${what}: ${this.lines()}`),
      UP_MS,
    );
    return this.said(what);
  }

  of<T extends SuperviseEvent["type"]>(type: T): Extract<SuperviseEvent, { type: T }>[] {
    return this.events.filter((event) => event.type === type) as never;
  }

  /** Whatever a failed test left running. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of new Set(this.said("up"))) if (isAlive(pid)) Deno.kill(pid, "SIGKILL");
    await Deno.remove(this.file);
  }
}

/** Whether there is such a process, and it is no zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

const alive = (pids: number[]) => pids.filter(isAlive);

function crewTest(title: string, run: (crew: Crew) => Promise<void>): void {
  Deno.test(title, async () => {
    await using crew = new Crew();
    await limit(run(crew), title, 60_000);
  });
}

crewTest(
  "supervise runs a program in several processes, until they have finished",
  async (crew) => {
    const supervisor = crew.supervise("finish", { processes: 3 });
    await supervisor.ended;
    assertEquals([new Set(crew.said("up")).size, crew.of("restarting")], [3, []]);
    assertEquals(
      crew.of("exited").map(({ code, signal }) => [code, signal]),
      Array(3).fill([0, null]),
    );
    assertEquals(crew.of("started").map(({ child }) => child).sort(), [0, 1, 2]);
    assertEquals([crew.events.at(-1)!.type, supervisor.pids], ["stopped", []]);
  },
);

crewTest("supervise hands on arguments and environment", async (crew) => {
  await crew.supervise("env", { processes: 1, env: { PHOTOS: "/photos" } }).ended;
  assertMatch(crew.lines()[1]!, /^\/photos 3 \d+$/);
});

crewTest("supervise starts another process for one that was killed by -9", async (crew) => {
  await using supervisor = crew.supervise("heed", { backoff: { baseMs: 50 } });
  const [first, second] = await crew.see("up", 2);
  assertEquals([...supervisor.pids].sort(), [first, second].sort());
  Deno.kill(first!, "SIGKILL");
  const [, , third] = await crew.see("up", 3);
  const [exited] = crew.of("exited");
  assertEquals([exited!.pid, exited!.code, exited!.signal], [first, null, "SIGKILL"]);
  assertEquals(crew.of("restarting")[0]!.child, exited!.child);
  assertEquals([...supervisor.pids].sort(), [second, third].sort());
});

crewTest("supervise waits longer before each next start of what crashes at once", async (crew) => {
  const backoff = { baseMs: 40, maxMs: 160 };
  const supervisor = crew.supervise("crash", { processes: 1, backoff });
  await eventually(() => assert(crew.of("restarting").length >= 5), UP_MS);
  await supervisor.stop();
  const waits = crew.of("restarting").map(({ retryMs }) => retryMs);
  for (const [i, ceiling] of [40, 80, 160, 160, 160].entries()) {
    assert(waits[i]! >= ceiling / 4 && waits[i]! <= ceiling, `wait ${i} is ${waits[i]} ms`);
  }
  assertEquals(crew.of("exited")[0]!.code, 7);
  assertEquals(alive(crew.said("up")), []);
});

crewTest(
  "supervise counts the crash of a child that was well for wellMs as its first",
  async (crew) => {
    const backoff = { baseMs: 40, maxMs: 30_000, wellMs: 300 };
    const supervisor = crew.supervise("crash late", { processes: 1, backoff }, 400);
    await eventually(() => assert(crew.of("restarting").length >= 4), UP_MS);
    await supervisor.stop();
    for (const { retryMs } of crew.of("restarting")) assert(retryMs <= 40, `${retryMs} ms`);
  },
);

crewTest(
  "Supervisor.stop asks all children first, and kills those that do not leave",
  async (crew) => {
    const patient = crew.supervise("heed", { graceMs: 20_000 }, 300);
    const pids = await crew.see("up", 2);
    const askedAt = performance.now();
    await patient.stop();
    const ms = performance.now() - askedAt;
    assertEquals([alive(pids), crew.of("killed")], [[], []]);
    assertEquals(crew.said("asked: The program was asked to end by SIGTERM").sort(), pids.sort());
    assertEquals(crew.said("left").sort(), pids.sort());
    assert(ms >= 290 && ms < 10_000, `stopped in ${ms} ms`);
    const kinds = crew.lines().slice(2).map((line) => line.split(/[: ]/)[0]);
    assertEquals(kinds, ["asked", "asked", "left", "left"]); // together, not one after the other
  },
);

crewTest("Supervisor.stop kills what ignores SIGTERM when the grace is over", async (crew) => {
  const supervisor = crew.supervise("deaf", { graceMs: 500 });
  const pids = await crew.see("up", 2);
  await new Promise((resolve) => setTimeout(resolve, 300)); // until they listen
  const askedAt = performance.now();
  await supervisor.stop();
  const ms = performance.now() - askedAt;
  assertEquals([alive(pids), crew.said("asked").length], [[], 2]);
  assertEquals(crew.of("killed").map(({ pid }) => pid).sort(), pids.sort());
  assertEquals(crew.of("exited").map(({ signal }) => signal), ["SIGKILL", "SIGKILL"]);
  assert(ms >= 490 && ms < 5_000, `stopped in ${ms} ms`);
});

crewTest("Supervisor.stop with graceMs 0 overtakes a stop that is under way", async (crew) => {
  const supervisor = crew.supervise("deaf", { graceMs: 30_000 });
  const pids = await crew.see("up", 2);
  const stopping = supervisor.stop();
  await supervisor.stop({ graceMs: 0 });
  await stopping;
  assertEquals(alive(pids), []);
});

crewTest("supervise stops at once while it waits to start a child again", async (crew) => {
  const supervisor = crew.supervise("crash", { processes: 1, backoff: { baseMs: 30_000 } });
  await eventually(() => assertEquals(crew.of("restarting").length, 1), UP_MS);
  await limit(supervisor.stop(), "stop", 2_000);
  assertEquals(crew.of("started").length, 1);
});

crewTest("supervise stops when its signal aborts, and before it starts anything", async (crew) => {
  const stop = new AbortController();
  const supervisor = crew.supervise("heed", { signal: stop.signal });
  const pids = await crew.see("up", 2);
  stop.abort();
  await supervisor.ended;
  assertEquals(alive(pids), []);
  await crew.supervise("heed", { signal: stop.signal }).ended;
  assertEquals(crew.said("up").length, 2);
});

crewTest("supervise ends with what onEvent throws, and leaves no child", async (crew) => {
  const pids: number[] = [];
  const onEvent = (event: SuperviseEvent) => {
    if (event.type !== "started") return;
    pids.push(event.pid);
    if (event.child === 1) throw new RangeError("of no use");
  };
  const supervisor = crew.supervise("plain", { processes: 2, onEvent });
  const error = await assertRejects(() => supervisor.ended, RangeError, "of no use");
  await assertRejects(() => supervisor.stop(), RangeError);
  assertEquals([error.name, alive(pids), supervisor.pids], ["RangeError", [], []]);
  assertEquals(pids.length, 2);
});

Deno.test("supervise says which permission it lacks, and which it cannot hand on", async () => {
  // By its file, since a program without a deno.json does not know what "redis" is.
  const file = new URL("../queue/tasks/supervise.ts", import.meta.url).href;
  const run = async (options: string, ...flags: string[]) => {
    const source = `import { supervise } from ${JSON.stringify(file)};
      await supervise({ module: "file:///none.ts", processes: 2, ${options} }).ended;`;
    const args = ["run", "--no-prompt", "--no-lock", ...flags];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args, `data:text/javascript,${encodeURIComponent(source)}`],
      stdin: "null",
    }).output();
    assertEquals(code, 1);
    return new TextDecoder().decode(stderr);
  };
  assertMatch(await run("runtimeArgs: []"), /NotCapable.*run access/);
  const scoped = await run("", "--allow-run", "--allow-net=127.0.0.1:6379");
  assertMatch(scoped, /TypeError: runtimeArgs must say what children may do/);
});

Deno.test("supervise hands on the right to read REDIS_URL, also where it is the only variable", async () => {
  const file = new URL("../queue/tasks/supervise.ts", import.meta.url).href;
  const script = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
  const child = script(`const of = (variable) =>
    Deno.permissions.querySync({ name: "env", variable }).state === "granted";
    console.log(of("REDIS_URL"), of("HOME"));`);
  const parent = script(`import { supervise } from ${JSON.stringify(file)};
    await supervise({ module: ${JSON.stringify(child)}, processes: 1 }).ended;`);
  const said = async (...flags: string[]) => {
    const args = [
      "run",
      "--no-prompt",
      "--no-lock",
      "--allow-run",
      "--allow-net",
      ...flags,
      parent,
    ];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" })
      .output();
    return new TextDecoder().decode(stdout).trim() || new TextDecoder().decode(stderr);
  };
  assertEquals(await said(), "false false");
  assertEquals(await said("--allow-env=REDIS_URL"), "true false");
  assertEquals(await said("--allow-env"), "true true");
});

/** Starts a supervisor in a process of its own, and waits for its three children. */
async function program(crew: Crew, how: string, what = "heed") {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...RUNTIME, PROGRAM.href, how, ...crew.args(what)],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const stdin = child.stdin.getWriter();
  const pids = await crew.see("up", 3);
  await new Promise((resolve) => setTimeout(resolve, 300)); // until they listen
  return {
    child,
    pids,
    go: () => stdin.write(new Uint8Array([10])),
    async [Symbol.asyncDispose]() {
      await stdin.close().catch(() => {});
      try {
        child.kill("SIGKILL");
      } catch {
        // gone, as it should be
      }
      await child.status;
    },
  };
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  crewTest(
    `supervise stops its children in order on ${signal}, and its program ends`,
    async (crew) => {
      await using supervisor = await program(crew, "wait");
      supervisor.child.kill(signal);
      assertEquals((await supervisor.child.status).code, 0);
      assertEquals([alive(supervisor.pids), crew.said("left").sort()], [
        [],
        supervisor.pids.sort(),
      ]);
    },
  );
}

crewTest("supervise kills its children on a second signal", async (crew) => {
  await using supervisor = await program(crew, "wait", "deaf");
  supervisor.child.kill("SIGTERM");
  await crew.see("asked", 3);
  assertEquals(alive(supervisor.pids).length, 3);
  const askedAt = performance.now();
  supervisor.child.kill("SIGTERM");
  await supervisor.child.status;
  assertEquals(alive(supervisor.pids), []);
  assert(performance.now() - askedAt < 5_000);
});

for (const how of ["exit", "throw", "later"]) {
  crewTest(`supervise leaves no child when its program ends by itself: ${how}`, async (crew) => {
    await using supervisor = await program(crew, how, "plain");
    await supervisor.go();
    assertEquals((await supervisor.child.status).code, how === "exit" ? 3 : 1);
    await eventually(() => assertEquals(alive(supervisor.pids), []));
  });
}

crewTest("stopSignal tells children that their supervisor was killed by -9", async (crew) => {
  await using supervisor = await program(crew, "wait");
  supervisor.child.kill("SIGKILL");
  await crew.see("left", 3);
  await eventually(() => assertEquals(alive(supervisor.pids), []));
  assertEquals(crew.said("asked: The supervisor is gone").sort(), supervisor.pids.sort());
});

Deno.test("stopSignal outside of a supervisor hears signals, and not that a parent is gone", async () => {
  await using crew = new Crew();
  const deno = `${Deno.execPath()} run ${RUNTIME.join(" ")} ${MODULE.href} heed ${crew.file}`;
  const script = `${deno} >/dev/null 2>&1 & exit 0`;
  await limit(new Deno.Command("sh", { args: ["-c", script] }).output(), "sh", 5_000);
  const [pid] = await crew.see("up", 1);
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assertEquals(alive([pid!]), [pid]);
  Deno.kill(pid!, "SIGTERM");
  await crew.see("left", 1);
  await eventually(() => assertEquals(alive([pid!]), []));
});

crewTest("a program that a child starts is not told that its supervisor is gone", async (crew) => {
  await crew.supervise("nest", { processes: 1 }, 1_200).ended;
  assertEquals(crew.said("left").length, 1);
  assertEquals(crew.said("asked"), []);
});

Deno.test("supervise refuses bad options and names them", () => {
  const bad: [options: unknown, message: RegExp][] = [
    [{ module: "worker.ts" }, /module must be a URL.*"worker.ts"/],
    [{ module: MODULE, processes: 0 }, /processes must be .* but is 0/],
    [{ module: MODULE, args: "a" }, /args must be an array of strings, but is the string "a"/],
    [{ module: MODULE, args: [7] }, /args must be strings, but one is the number 7/],
    [{ module: MODULE, runtimeArgs: "-A" }, /runtimeArgs must be an array/],
    [{ module: MODULE, backoff: { baseMs: 0 } }, /backoff.baseMs .* 0/],
    [{ module: MODULE, backoff: { base: 1 } }, /backoff has no option "base"/],
    [{ module: MODULE, graceMs: -5 }, /graceMs .* -5/],
    [{ module: MODULE, onEvent: 1 }, /onEvent must be a function, but is the number 1/],
    [
      { module: MODULE, signal: new AbortController() },
      /signal must be an AbortSignal.*did you mean/,
    ],
    [{ module: MODULE, process: 2 }, /supervise has no option "process"/],
    [{ module: MODULE, env: { A: 1 } }, /env.*"A".*the number 1/],
    [{ module: MODULE, signals: "no" }, /signals must be true or false/],
  ];
  for (const [options, message] of bad) {
    assertMatch(assertThrows(() => supervise(options as SuperviseOptions), Error).message, message);
  }
});
