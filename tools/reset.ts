/**
 * `deno task reset`: removes what the course has left in a Redis, by its known names, and nothing
 * else. It says what there is and asks first. It ends with exit code 0; with 1 when there is no
 * Redis, or nobody to ask; with 2 because it was asked wrongly.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { findLeft, type Left, removeLeft } from "./course_keys.ts";
import { Progress } from "./learn_progress.ts";

const HELP = `Removes what the course has left in a Redis, and nothing else.

  deno task reset               says what there is, and asks
  deno task reset --yes         does not ask
  deno task reset --progress    forgets which exercises were solved, too

  --url URL   which Redis (default: REDIS_URL, else redis://127.0.0.1:6379)
  --help      print this

Your exercises stay as you wrote them. As they were at first: git restore exercises`;

/** So many keys are named. */
const SHOWN = 20;

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["yes", "progress", "help"],
    string: ["url"],
    unknown: (arg: string) => unknown.push(arg) < 0,
  });
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  if (unknown.length > 0) {
    console.error(`Not understood: ${unknown.join(" ")}\n\n${HELP}`);
    return 2;
  }
  if (args.progress) {
    await Progress.forget();
    console.log("It is forgotten which exercises were solved, and which hints were read.");
  }
  await using redis = await connect({ url: args.url, timeoutMs: 3_000 });
  const left = await findLeft(redis);
  if (left.keys.length + left.queues.length === 0) {
    console.log("The course has left nothing in this Redis.");
    return 0;
  }
  console.log(describe(left));
  if (!args.yes && !Deno.stdin.isTerminal()) {
    console.error("There is nobody to ask. To remove them: deno task reset --yes");
    return 1;
  }
  if (!args.yes && !confirm("Remove them?")) return 0;
  await removeLeft(redis, left);
  console.log("Removed.");
  return 0;
}

function describe({ keys, queues }: Left): string {
  const more = keys.length - SHOWN;
  return [
    `Of the course there are ${keys.length} keys, and ${queues.length} names in queue:registry:`,
    ...keys.slice(0, SHOWN).map((key) => `  ${key}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
  ].join("\n");
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
