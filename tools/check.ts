/**
 * `deno task check`: format, lint, types, documentation and a dry run of publishing. Everything is
 * checked, also after a failure; the output of what failed is shown. It ends with exit code 0 only
 * if all is well.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

const LIBRARY = ["mod.ts", "redis", "queue", "pubsub"];
/** A project of its own: nobody else needs what it imports, and `deno task` would fetch it first. */
const BENCH = "bench";

const STEPS: Record<string, string[]> = {
  "format": ["fmt", "--check"],
  "lint": ["lint"],
  "no console in the library": ["lint", "--rules-include=no-console", ...LIBRARY],
  "types": ["check", "--doc", "mod.ts", ...folders().filter((name) => name !== BENCH)],
  "types of the benchmarks": ["check", "--config", `${BENCH}/deno.json`, BENCH],
  "documentation": [
    "doc",
    "--lint",
    "mod.ts",
    "queue/tasks/mod.ts",
    "monitor/cli.ts",
    "monitor/web.ts",
  ],
  "publishing": ["publish", "--dry-run", "--allow-dirty"],
};

function folders(): string[] {
  const isOurs = ({ name, isDirectory }: Deno.DirEntry) => isDirectory && !name.startsWith(".");
  return [...Deno.readDirSync(".")].filter(isOurs).map(({ name }) => name).sort();
}

let failed = 0;
for (const [name, args] of Object.entries(STEPS)) {
  const startedAt = performance.now();
  const output = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  console.log(`${output.success ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (output.success) continue;
  failed++;
  const text = new TextDecoder();
  console.log(`deno ${args.join(" ")}\n${text.decode(output.stdout)}${text.decode(output.stderr)}`);
}
Deno.exit(failed > 0 ? 1 : 0);
