/**
 * `deno task chaos`: real worker processes are killed and stopped, Redis is killed, and at the end
 * nothing may be missing; also on a cluster and behind Sentinels, where another server takes over. Starts servers of its own and touches no other. It ends with exit code 0 if
 * every promise was kept and the control, which promises nothing, lost something; with 1 if not, with 2
 * because it was asked wrongly, and with 130 on Ctrl-C; in each case no process is left.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program: what it prints is what it is for

import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { RedisServer } from "../redis_server.ts";
import { groundOf, GROUNDS, SERVER_FAULTS, type Topology } from "./grounds.ts";
import { KINDS } from "./kinds.ts";
import { toLine, toMarkdown, toText, versionsOf } from "./report.ts";
import { type Outcome, type Plan, runChaos } from "./run.ts";

const { short: SHORT, long: LONG } = GROUNDS.one;

const HELP = `Kills workers and Redis under load, and counts what is lost.

  deno task chaos [--long] [--kind ${Object.keys(KINDS).join("|")}]
                  [--topology ${Object.keys(GROUNDS).join("|")}]

  --long            ${LONG.messages} messages, ${LONG.kills} kills, ${LONG.redisKills} kills of Redis, instead of ${SHORT.messages}, ${SHORT.kills}, ${SHORT.redisKills}
  --kind NAME       only this kind, and the control; more than once for several
  --topology NAME   one Redis (the default), a cluster, or a master with Sentinels; the numbers are smaller there
  --messages N      how many messages of each kind
  --kills N         how often a worker is killed (kill -9)
  --stops N         how often one is stopped (SIGSTOP) until its leases are over
  --redis-kills N   how often Redis is killed and restarted, or a master for which a replica takes over
  --handovers N     how often a master hands over to its replica (CLUSTER FAILOVER); on a cluster
  --moves N         how often the queue's slot moves to another master; on a cluster
  --seed N          the order of the faults and their pauses (default: a random one, which is printed)
  --report FILE     write the report to a file, in Markdown
  --help            print this`;

/** Each number of a plan, as it is asked for. */
const NUMBERS = {
  messages: "messages",
  kills: "kills",
  stops: "stops",
  "redis-kills": "redisKills",
  handovers: "handovers",
  moves: "moves",
  seed: "seed",
} as const satisfies Record<string, keyof Plan>;
const NAMES = Object.keys(NUMBERS) as (keyof typeof NUMBERS)[];

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
    string: [...NAMES, "kind", "topology", "report"],
    collect: ["kind"],
    unknown: (arg: string) => unknown.push(arg) < 0,
  });
  if (args.help) return undefined;
  if (unknown.length > 0) return `Not understood: ${unknown.join(" ")}`;
  const { topology = "one" } = args;
  if (!Object.hasOwn(GROUNDS, topology)) {
    const all = Object.keys(GROUNDS).join(", ");
    return `--topology takes one of ${all}, not ${JSON.stringify(topology)}`;
  }
  const ground = groundOf(topology as Topology);
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000;
  const plan: Plan = {
    ...(args.long ? ground.long : ground.short),
    topology: topology as Topology,
    seed,
  };
  for (const name of NAMES) {
    const value = args[name];
    if (value === undefined) continue;
    const least = name === "messages" ? 1 : 0;
    if (!/^\d{1,9}$/.test(value) || Number(value) < least) {
      return `--${name} takes a whole number from ${least} on, not ${JSON.stringify(value)}`;
    }
    plan[NUMBERS[name]] = Number(value);
  }
  const impossible = SERVER_FAULTS.find((fault) => plan[fault] > 0 && !ground.faults[fault]);
  if (impossible) return `--${impossible} is not for --topology ${topology}`;
  const wrong = args.kind.find((kind) => !Object.hasOwn(KINDS, kind));
  if (wrong !== undefined) {
    return `--kind takes one of ${Object.keys(KINDS).join(", ")}, not ${JSON.stringify(wrong)}`;
  }
  if (args.report === "") return "--report takes the name of a file";
  const wanted = Object.keys(KINDS).filter((kind) =>
    args.kind.length === 0 || args.kind.includes(kind) || KINDS[kind]!.isControl
  );
  return { kinds: wanted, report: args.report, plan };
}

/** As it is asked for, so that it can be asked for again. */
function toArguments(plan: Plan): string {
  const numbers = NAMES.filter((name) => {
    const fault = SERVER_FAULTS.find((one) => one === NUMBERS[name]);
    return fault === undefined || groundOf(plan.topology).faults[fault];
  }).map((name) => `--${name} ${plan[NUMBERS[name]]}`);
  return [...plan.topology === "one" ? [] : [`--topology ${plan.topology}`], ...numbers].join(" ");
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
  console.log(`Each kind: ${toArguments(plan)}`);
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

async function circumstancesOf(plan: Plan, kinds: string[]) {
  await using server = await RedisServer.start();
  await using redis = await connect({ url: server.url });
  const chosen = kinds.length === Object.keys(KINDS).length
    ? ""
    : kinds.filter((kind) => !KINDS[kind]!.isControl).map((kind) => ` --kind ${kind}`).join("");
  return {
    date: new Date().toISOString().slice(0, 10),
    versions: await versionsOf(redis),
    command: `deno task chaos ${toArguments(plan)}${chosen}`,
  };
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
