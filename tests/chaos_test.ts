/**
 * The chaos run in its short form (HAZARDS: "the chaos run"): real worker processes are killed and
 * stopped, Redis is killed, and nothing is missing; and a plain `BRPOP`, treated the same, loses messages.
 * On a cluster and behind Sentinels masters are killed, and others take over. `deno task chaos --long` is
 * the same run, longer.
 *
 * The figures of a run are printed: they say how hard it was. A seed that failed is printed as well.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- figures
import {
  assert,
  assertEquals,
  assertLess,
  assertLessOrEqual,
  assertStringIncludes,
} from "@std/assert";
import { KINDS } from "../tools/chaos/kinds.ts";
import { Random } from "../tools/chaos/random.ts";
import { toLine } from "../tools/chaos/report.ts";
import { groundOf, SERVER_FAULTS, type Topology } from "../tools/chaos/grounds.ts";
import { runChaos } from "../tools/chaos/run.ts";
import { audit, firstAcks, handedOverAgain, Trail } from "../tools/chaos/trail.ts";
import { eventually, limit } from "./support.ts";

/** It takes some 8 s on an idle machine with two cores, and five times as long with several servers. */
const LIMIT_MS = 120_000;

/** Longest that nobody may work after a fault of a server: 8 s is the aim, and a busy machine no defect. */
const BACK_MS = 20_000;

async function chaos(kind: string, topology: Topology = "one") {
  const signal = AbortSignal.timeout(LIMIT_MS - 20_000);
  const plan = { ...groundOf(topology).short, topology, seed: Date.now() % 1_000_000 };
  const outcome = await limit(runChaos(kind, plan, { signal }), kind, LIMIT_MS);
  const { audit } = outcome;
  console.log(`${toLine(outcome)} (${audit.cutShort} handlers cut short; ${JSON.stringify(plan)})`);
  assert(audit.cutShort >= plan.kills, "faults that hit nobody prove nothing");
  return outcome;
}

for (const [kind, { title, isControl }] of Object.entries(KINDS)) {
  if (isControl) continue;
  Deno.test(`${title} loses nothing in the chaos run, and acks nothing twice`, async () => {
    const { audit, broken, plan, confirmed, mayTwice } = await chaos(kind);
    assertEquals(broken, []);
    assertEquals([audit.lost, audit.doubleAcks], [[], 0]);
    assertEquals(confirmed, plan.messages);
    assertLessOrEqual(audit.completedTwice, mayTwice);
  });
}

for (const [kind, topology] of [["reliable", "cluster"], ["stream", "sentinel"]] as const) {
  const { title } = KINDS[kind]!;
  Deno.test(`${title} loses nothing that was confirmed in the chaos run (${topology})`, async () => {
    const { audit, broken, plan, confirmed, unconfirmed, backMs } = await chaos(kind, topology);
    console.log(
      `until the first ack, in ms: ${JSON.stringify(backMs)}; unconfirmed: ${unconfirmed.count}`,
    );
    assertEquals(broken, []);
    assertEquals([audit.lost, audit.doubleAcks], [[], 0]);
    assertEquals(confirmed + unconfirmed.count, plan.messages);
    assert(confirmed > plan.messages / 2, "what nobody confirms proves nothing");
    for (const fault of SERVER_FAULTS) {
      assertEquals(backMs[fault].length, plan[fault], `work went on after each of ${fault}`);
      assertLess(Math.max(0, ...backMs[fault]), BACK_MS);
    }
  });
}

Deno.test("control: a plain BRPOP loses messages in the chaos run", async () => {
  const { audit, broken } = await chaos("control");
  assertEquals(broken, []);
  assert(audit.lost.length > 0);
});

Deno.test("audit finds what is lost, acked twice and completed twice", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const [a, b] = [new Trail(`${dir}/a`), new Trail(`${dir}/b`)];
    assertEquals([a.read().isReady, a.said], [false, []]);
    // 1 is fine; 2 was cut short and done by another; 3 was done and acked by both; 4 was never done;
    // and of 5 nobody was told that it is stored.
    Deno.writeTextFileSync(
      a.path,
      "ready 0 0 90\nstart 1 1 100\ndone 1 1 101\nacked 1 1 102\n" +
        "start 2 1 100\nstart 3 1 100\nstart 4 1 103\ndone 3 1 140\nacked 3 1 141\nlost 7 1 150\ndone 1",
    );
    Deno.writeTextFileSync(b.path, "start 2 2 160\nstart 3 2 130\ndone 3 2 135\ndone 2 2 161\n");
    assertEquals([a.read().isReady, [...a.inHand], a.said.length], [true, [2, 4], 9]);
    Deno.writeTextFileSync(b.path, "acked 3 2 136\n", { append: true });
    Deno.writeTextFileSync(a.path, "1 1 170\n", { append: true }); // the line that was half there
    const trails = [a.read(), b.read()];
    assertEquals(audit(trails, [1, 2, 3, 4]), {
      lost: [4],
      doubleAcks: 1,
      acksGone: 0,
      completedTwice: 1,
      started: 6,
      cutShort: 1,
      refused: 1,
    });
    const { doubleAcks, acksGone } = audit(trails, [], [{ from: 130, to: 136 }]);
    assertEquals([doubleAcks, acksGone], [0, 1]); // the first of the two acks was at 136
    assertEquals(audit(trails, [], [{ from: 137, to: 200 }]).doubleAcks, 1);
    assertEquals(handedOverAgain(trails, [{ at: 110, inHand: [2, 4] }]), [50]);
    assertEquals(firstAcks(trails, [50, 103, 200].map((at) => ({ at, since: at }))), [52, 33]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("Random gives the same numbers for the same seed, and others for another", () => {
  const draw = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 1_000 }, () => random.between(1, 6));
  };
  assertEquals(draw(1), draw(1));
  assert(draw(1).join() !== draw(2).join());
  assertEquals([...new Set(draw(1))].toSorted(), [1, 2, 3, 4, 5, 6]);
  const shuffled = new Random(3).shuffled([1, 2, 3, 4, 5]);
  assertEquals(shuffled.toSorted(), [1, 2, 3, 4, 5]);
});

const program = new URL("../tools/chaos/main.ts", import.meta.url).pathname;
const command = (...args: string[]) =>
  new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", program, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("deno task chaos says what it does not understand, and what there is", async () => {
  const wrong: [string[], string][] = [
    [["--kils", "3"], "Not understood: --kils"],
    [["--kind", "list"], 'one of reliable, priority, stream, tasks, control, not "list"'],
    [["--kind", "constructor"], 'not "constructor"'],
    [["--topology", "ring"], '--topology takes one of one, cluster, sentinel, not "ring"'],
    [["--moves", "1"], "--moves is not for --topology one"],
    [["--messages", "0"], '--messages takes a whole number from 1 on, not "0"'],
    [["--kills=-1"], '--kills takes a whole number from 0 on, not "-1"'],
  ];
  for (const [args, says] of wrong) {
    const { code, stderr } = await limit(command(...args).output(), args.join(" "));
    assertEquals(code, 2);
    assertStringIncludes(text(stderr), says);
  }
  const { code, stdout } = await limit(command("--help").output(), "--help");
  assertEquals(code, 0);
  assertStringIncludes(text(stdout), "--redis-kills N");
});

Deno.test("deno task chaos ends with 1 when its faults prove nothing, and writes it down", async () => {
  const report = await Deno.makeTempFile({ suffix: ".md" });
  try {
    const none = ["--kills", "0", "--stops", "0", "--redis-kills", "0"];
    const args = ["--kind", "control", "--messages", "20", "--seed", "5", "--report", report];
    const { code, stdout } = await limit(command(...args, ...none).output(), "chaos");
    assertEquals(code, 1);
    assertStringIncludes(text(stdout), "BROKEN: the control lost nothing");
    const page = await Deno.readTextFile(report);
    assertStringIncludes(page, "| messages, confirmed to their producer | 20 |");
    assertStringIncludes(page, "--seed 5");
    assertStringIncludes(page, "Not kept:\n\n- ListQueue");
  } finally {
    await Deno.remove(report);
  }
});

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  Deno.test(`deno task chaos leaves no process after ${signal}`, async () => {
    const child = command("--kind", "reliable", "--messages", "100000", "--kills", "1000").spawn();
    const reading = Promise.all([readAll(child.stdout), readAll(child.stderr)]);
    let pids: string[] = [];
    await eventually(async () => {
      pids = await descendants(child.pid);
      assert(pids.length >= 6);
    }, 20_000);
    child.kill(signal);
    const { code } = await limit(child.status, "the end of chaos");
    const [stdout] = await reading;
    if (signal === "SIGINT") {
      assertEquals(code, 130);
      assertStringIncludes(stdout, "Interrupted");
    }
    await eventually(() => assertEquals(pids.filter(isAlive), []), 10_000);
  });
}

/** The processes that a process has started, and those that these have started. */
async function descendants(pid: number): Promise<string[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid,ppid"] }).output();
  const lines = text(stdout).split("\n").map((line) => line.trim().split(/\s+/));
  const found = new Set([String(pid)]);
  for (let before = 0; before < found.size;) {
    before = found.size;
    for (const [child, parent] of lines) if (parent && found.has(parent)) found.add(child!);
  }
  found.delete(String(pid));
  return [...found];
}

function isAlive(pid: string): boolean {
  try {
    Deno.kill(Number(pid), "SIGCONT"); // does nothing to one that runs; fails where there is none
    return true;
  } catch {
    return false;
  }
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(stream).text();
}
