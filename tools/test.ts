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

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** What `deno test` says at its end: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`. */
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?:.*?\| (\d+) ignored)?/m;

async function denoTest(args: string[], env: Record<string, string> = {}): Promise<Totals> {
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
  // deno-lint-ignore no-control-regex -- colours
  const summary = SUMMARY.exec(text.replace(/\u001b\[[\d;]*m/g, ""));
  const [passed = 0, failed = 0, skipped = 0] = (summary?.slice(1) ?? []).map((n) =>
    Number(n ?? 0)
  );
  // Type errors and crashes have no summary, and a leak may fail a run whose tests all passed.
  return { passed, failed: success ? failed : Math.max(1, failed), skipped };
}

async function writeAll(chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += await Deno.stdout.write(chunk.subarray(at));
}

async function docTests(): Promise<Totals> {
  // The code in the documentation calls connect() without a URL, as its readers do.
  if (Deno.env.has("REDIS_URL")) return await denoTest(["--doc", ...DOCUMENTED]);
  await using server = await RedisServer.start();
  return await denoTest(["--doc", ...DOCUMENTED], { REDIS_URL: server.url });
}

/** Where the contract is run besides one Redis, and which part of it when there is no time for all. */
const ELSEWHERE: { env: Record<string, string>; part: string }[] = [
  {
    env: { REDIS_TOPOLOGY: "cluster" },
    part: "/^ReliableQueue\\.(enqueue |consume|close)/",
  },
  { env: { REDIS_TOPOLOGY: "sentinel" }, part: "/^StreamQueue\\.(receive|nack|close)/" },
  { env: { REDIS_ENGINE: "valkey" }, part: "/^(PriorityQueue|StreamQueue)\\./" },
];
const contract = (env: Record<string, string>, part: string[]) => {
  console.log(`The contract of the queues with ${JSON.stringify(env)}`);
  return denoTest(["tests/leased_test.ts", ...part], env);
};

const everywhere = Deno.args.join() === "--everywhere";
const phases = everywhere ? [] : [() => denoTest(["tests", ...Deno.args])];
if (Deno.args.length === 0) phases.push(docTests);
if ((Deno.args.length === 0 || everywhere) && !Deno.env.has("REDIS_URL")) {
  for (const { env, part } of ELSEWHERE) {
    phases.push(() => contract(env, everywhere ? [] : ["--filter", part]));
  }
}

const total: Totals = { passed: 0, failed: 0, skipped: 0 };
for (const phase of phases) {
  const part = await phase();
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped += part.skipped;
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
Deno.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);
