/**
 * `deno task chaos`: real worker processes are killed and stopped, Redis is killed, and at the end
 * nothing may be missing. Starts servers of its own and touches no other. It ends with exit code 0 if
 * every promise was kept and the control, which promises nothing, lost something; with 1 if not, with 2
 * because it was asked wrongly, and with 130 on Ctrl-C; in each case no process is left.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program: what it prints is what it is for

import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { RedisServer } from "../redis_server.ts";
import { KINDS } from "./kinds.ts";
import { toLine, toMarkdown, toText, versionsOf } from "./report.ts";
import { LONG, type Outcome, type Plan, runChaos, SHORT } from "./run.ts";

const HELP = `Kills workers and Redis under load, and counts what is lost.

  deno task chaos [--long] [--kind ${Object.keys(KINDS).join("|")}]

  --long            ${LONG.messages} messages, ${LONG.kills} kills, ${LONG.redisKills} kills of Redis, instead of ${SHORT.messages}, ${SHORT.kills}, ${SHORT.redisKills}
  --kind NAME       only this kind, and the control; more than once for several
  --messages N      how many messages of each kind
  --kills N         how often a worker is killed (kill -9)
  --stops N         how often one is stopped (SIGSTOP) until its leases are over
  --redis-kills N   how often Redis is killed and restarted
  --seed N          the order of the faults and their pauses (default: a random one, which is printed)
  --report FILE     write the report to a file, in Markdown
  --help            print this`;

const NUMBERS = ["messages", "kills", "stops", "redis-kills", "seed"] as const;

interface Asked {
  kinds: string[];
  plan: Plan;
  report?: string;
}

/** What the arguments ask for; what is wrong with them, in words; or nothing, to be helped. */
function parse(argv: string[]): Asked | string | undefined {
  const unknown: string[] = [];
  const args = parseArgs(argv, {
    boolean: ["long", "help"],
    string: [...NUMBERS, "kind", "report"],
    collect: ["kind"],
    unknown: (arg: string) => unknown.push(arg) < 0,
  });
  if (args.help) return undefined;
  if (unknown.length > 0) return `Not understood: ${unknown.join(" ")}`;
  const numbers: Partial<Record<typeof NUMBERS[number], number>> = {};
  for (const name of NUMBERS) {
    const value = args[name];
    if (value === undefined) continue;
    const least = name === "messages" ? 1 : 0;
    if (!/^\d{1,9}$/.test(value) || Number(value) < least) {
      return `--${name} takes a whole number from ${least} on, not ${JSON.stringify(value)}`;
    }
    numbers[name] = Number(value);
  }
  const wrong = args.kind.find((kind) => !Object.hasOwn(KINDS, kind));
  if (wrong !== undefined) {
    return `--kind takes one of ${Object.keys(KINDS).join(", ")}, not ${JSON.stringify(wrong)}`;
  }
  if (args.report === "") return "--report takes the name of a file";
  const base = args.long ? LONG : SHORT;
  const wanted = Object.keys(KINDS).filter((kind) =>
    args.kind.length === 0 || args.kind.includes(kind) || KINDS[kind]!.isControl
  );
  return {
    kinds: wanted,
    report: args.report,
    plan: {
      messages: numbers.messages ?? base.messages,
      kills: numbers.kills ?? base.kills,
      stops: numbers.stops ?? base.stops,
      redisKills: numbers["redis-kills"] ?? base.redisKills,
      seed: numbers.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000,
    },
  };
}

async function main(): Promise<number> {
  const asked = parse(Deno.args);
  if (asked === undefined) {
    console.log(HELP);
    return 0;
  }
  if (typeof asked === "string") {
    console.error(`${asked}\n\n${HELP}`);
    return 2;
  }
  const interrupted = new AbortController();
  const onSignal = () => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  const { kinds, plan, report } = asked;
  const { messages, kills, stops, redisKills, seed } = plan;
  console.log(
    `${messages} messages of each kind, ${kills} kills of workers, ${stops} stops, ` +
      `${redisKills} kills of Redis, seed ${seed}`,
  );
  const outcomes: Outcome[] = [];
  for (const kind of kinds) {
    try {
      const outcome = await runChaos(kind, plan, { signal: interrupted.signal });
      outcomes.push(outcome);
      console.log(toLine(outcome));
    } catch (error) {
      if (!interrupted.signal.aborted) throw error;
      console.log("Interrupted: no process is left.");
      return 130;
    }
  }
  const circumstances = await circumstancesOf(plan, kinds);
  console.log(`\n${toText(outcomes, circumstances)}`);
  if (report) await Deno.writeTextFile(report, toMarkdown(outcomes, circumstances));
  return outcomes.some(({ broken }) => broken.length > 0) ? 1 : 0;
}

async function circumstancesOf(
  { messages, kills, stops, redisKills, seed }: Plan,
  kinds: string[],
) {
  await using server = await RedisServer.start();
  await using redis = await connect({ url: server.url });
  const chosen = kinds.length === Object.keys(KINDS).length
    ? ""
    : kinds.filter((kind) => !KINDS[kind]!.isControl).map((kind) => ` --kind ${kind}`).join("");
  return {
    date: new Date().toISOString().slice(0, 10),
    versions: await versionsOf(redis),
    command: `deno task chaos --messages ${messages} --kills ${kills} --stops ${stops} ` +
      `--redis-kills ${redisKills} --seed ${seed}${chosen}`,
  };
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
