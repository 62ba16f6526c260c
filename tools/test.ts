/**
 * `deno task test`: every test of the project, on private Redis servers, and at the end one plain
 * line with the true totals. Arguments are handed on to `deno test`, such as `--filter Worker`.
 * `--everywhere` runs the contract of the queues on a cluster, behind Sentinels and on Valkey in full,
 * and nothing else; without arguments a part of it is run there.
 *
 * It ends with exit code 0 only if something was tested and nothing failed.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints
import { RedisServer } from "./redis_server.ts";
import { type Failure, readFailures, readTotals, type Totals } from "./test_report.ts";

/** Where documentation has code, which runs like a test. */
const DOCUMENTED = [
  "mod.ts",
  "redis",
  "queue",
  "pubsub",
  "monitor/cli.ts",
  "monitor/web.ts",
  "README.md",
  "ARCHITECTURE.md",
  "docs",
];

const everywhere = Deno.args.join() === "--everywhere";

/** Most tests of a phase that are looked at twice: with more the fault is not in the machine. */
const MOST_AGAIN = 5;

/** How a phase went: its totals, and what failed in it. */
interface Outcome extends Totals {
  failures: Failure[];
  /** What failed, and then did not when it had the machine for itself. */
  unsteady: Failure[];
}

async function denoTest(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", ...args],
    env: { ...env, ...(Deno.stdout.isTerminal() && { FORCE_COLOR: "1" }) },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    await writeAll(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  const { success } = await child.status;
  const totals = readTotals(text) ?? { passed: 0, failed: 0, skipped: 0 };
  // Type errors and crashes have no summary, and a leak may fail a run whose tests all passed.
  const failed = success ? totals.failed : Math.max(1, totals.failed);
  return { ...totals, failed, failures: readFailures(text), unsteady: [] };
}

/**
 * Runs tests, and those that failed once more with the machine for themselves: a busy machine is no
 * defect. What passes then is named at the end all the same, with what it said.
 */
async function twice(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const outcome = await denoTest(args, env);
  const { failures, failed } = outcome;
  const asked = Deno.args.length > 0 && !everywhere; // whoever asks for some tests sees to them
  if (asked || failed === 0 || failed > MOST_AGAIN) return outcome;
  if (failures.length !== failed) return outcome; // not all of it is a test's
  console.log(`Again, alone: ${failures.map(({ name }) => name).join("; ")}`);
  const names = failures.map(({ name }) => name.replace(/[^\w ]/g, "\\$&")).join("|");
  const filter = args.indexOf("--filter");
  const rest = filter < 0 ? args : args.toSpliced(filter, 2);
  const again = await denoTest([...rest, "--filter", `/^(${names})$/`], env);
  if (again.passed + again.failed < failed) return outcome;
  const still = new Set(again.failures.map(({ name }) => name));
  const unsteady = again.failed === again.failures.length
    ? failures.filter(({ name }) => !still.has(name))
    : [];
  return {
    passed: outcome.passed + unsteady.length,
    failed: failed - unsteady.length,
    skipped: outcome.skipped,
    failures: failures.filter((failure) => !unsteady.includes(failure)),
    unsteady,
  };
}

async function writeAll(chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += await Deno.stdout.write(chunk.subarray(at));
}

async function docTests(): Promise<Outcome> {
  // The code in the documentation calls connect() without a URL, as its readers do.
  if (Deno.env.has("REDIS_URL")) return await denoTest(["--doc", ...DOCUMENTED]);
  await using server = await RedisServer.start();
  return await denoTest(["--doc", ...DOCUMENTED], { REDIS_URL: server.url });
}

/**
 * Where the contract is run besides one Redis, and which part of it when there is no time for all: about a
 * minute each.
 */
const ELSEWHERE: { env: Record<string, string>; part: string }[] = [
  { env: { REDIS_TOPOLOGY: "cluster" }, part: "/^ReliableQueue\\./" },
  { env: { REDIS_TOPOLOGY: "sentinel" }, part: "/^StreamQueue\\./" },
  { env: { REDIS_ENGINE: "valkey" }, part: "/^(PriorityQueue|StreamQueue)/" },
];
const contract = (env: Record<string, string>, part: string[]) => {
  console.log(`The contract of the queues with ${JSON.stringify(env)}`);
  return twice(["tests/leased_test.ts", ...part], env);
};

const phases = everywhere ? [] : [() => twice(["tests", ...Deno.args])];
if (Deno.args.length === 0) phases.push(docTests);
if ((Deno.args.length === 0 || everywhere) && !Deno.env.has("REDIS_URL")) {
  for (const { env, part } of ELSEWHERE) {
    phases.push(() => contract(env, everywhere ? [] : ["--filter", part]));
  }
}

const total: Totals = { passed: 0, failed: 0, skipped: 0 };
const failures: Failure[] = [];
const unsteady: Failure[] = [];
for (const phase of phases) {
  const part = await phase();
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped += part.skipped;
  failures.push(...part.failures);
  unsteady.push(...part.unsteady);
}
tell("Failed once, and then passed alone", unsteady);
tell("Failed", failures);
if (total.skipped > 0) console.log(`${total.skipped} skipped`);
console.log(`${total.passed} passed, ${total.failed} failed`);
Deno.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

/** At the end, where it is found. */
function tell(what: string, tests: Failure[]): void {
  for (const { name, file, why } of tests) {
    console.log(`${what}: ${name} (${file})\n${why.replace(/^(?=.)/gm, "  ")}\n`);
  }
}
