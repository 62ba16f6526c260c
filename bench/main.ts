/**
 * `deno task bench <scenario>`: compares this package with others, in one run, on one server. Starts
 * a private redis-server unless `REDIS_URL` names one. Ends with the scenario (exit 0), with what
 * went wrong (1), or because it was asked wrongly (2).
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program: what it prints is what it is for

import { parseArgs } from "@std/cli/parse-args";
import { createClient, type RedisClientType } from "redis";
import { RedisServer } from "../tools/redis_server.ts";
import type { Load } from "./measure.ts";
import { toText } from "./report.ts";
import type { Report, Scenario } from "./scenario.ts";
import { before } from "./scenarios/before.ts";
import { cluster } from "./scenarios/cluster.ts";
import { dashboard } from "./scenarios/dashboard.ts";
import { inspection } from "./scenarios/inspection.ts";
import { latency } from "./scenarios/latency.ts";
import { leased } from "./scenarios/leased.ts";
import { list } from "./scenarios/list.ts";
import { options } from "./scenarios/options.ts";
import { order } from "./scenarios/order.ts";
import { rate } from "./scenarios/rate.ts";
import { schedules } from "./scenarios/schedules.ts";
import { tasks } from "./scenarios/tasks.ts";
import { threads } from "./scenarios/threads.ts";

const scenarios: Record<string, Scenario> = {
  list,
  leased,
  tasks,
  latency,
  order,
  options,
  rate,
  inspection,
  threads,
  schedules,
  dashboard,
  cluster,
  before,
};

const HELP = `Compares this package with others; every figure is a median of interleaved rounds.

  deno task bench list      enqueue and drain of a plain queue: ListQueue, BullMQ, bee-queue, LPUSH
  deno task bench leased    the same at least once: our three queues with leases, BullMQ, bee-queue
  deno task bench tasks     streams and tasks against BullMQ; how long an asker waits for a result
  deno task bench latency   how long messages wait for blocked workers; delays; killed connections
  deno task bench order     whether two consumers get 100,000 messages in order of priority
  deno task bench options   what each option of a queue with leases costs
  deno task bench rate      whether four workers keep a rate limit, and how much they ask meanwhile
  deno task bench inspection   looking into a queue of ten times --count messages
  deno task bench threads   two threads against one, for handlers that need the processor
  deno task bench schedules   ten schedulers, one firing for each tick; how late they are
  deno task bench dashboard    pages over that, and what a worker loses while one is open
  deno task bench cluster   eight partitions on one master and on three; growth, simulated

  deno task bench before --checkout DIR   enqueue and drain against another checkout's

  --rounds N      how often each is measured (default: 3)
  --count N       messages a round (default: 100000)
  --at-a-time N   calls awaited together (default: 1000)
  --json          print the figures as JSON
  --help          print this

It starts a Redis server of its own, unless REDIS_URL names one; there it touches only keys that
contain "redis-patterns-bench".`;

async function main(): Promise<number> {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    string: ["rounds", "count", "at-a-time", "checkout"],
    boolean: ["json", "help"],
    default: { rounds: "3", count: "100000", "at-a-time": "1000" },
    unknown: (arg: string) => !arg.startsWith("-") || unknown.push(arg) < 0,
  });
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const [verb = "", ...more] = args._.map(String);
  const scenario = Object.hasOwn(scenarios, verb) ? scenarios[verb] : undefined;
  const [rounds, count, atATime] = [args.rounds, args.count, args["at-a-time"]]
    .map(Number);
  const load = { rounds: rounds!, count: count!, atATime: atATime! };
  const bad = Object.entries(load).filter(([, value]) => !(Number.isInteger(value) && value > 0));
  if (!scenario || more.length > 0 || unknown.length > 0 || bad.length > 0) {
    const numbers = bad.map(([name, value]) => `${name} ${value}`);
    console.error(
      "Not understood:",
      ...scenario ? more : args._,
      ...unknown,
      ...numbers,
    );
    console.error(HELP);
    return 2;
  }
  await bench(scenario, { load, checkout: args.checkout }, args.json);
  return 0;
}

async function bench(
  scenario: Scenario,
  { load, checkout }: { load: Load; checkout: string | undefined },
  json: boolean,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const url = Deno.env.get("REDIS_URL") ??
    stack.use(await RedisServer.start()).url;
  const redis: RedisClientType = createClient({
    url,
    maintNotifications: "disabled",
  });
  redis.on("error", () => {}); // the command that fails says it better
  await redis.connect();
  stack.defer(() => redis.close());

  const note = (text: string) => console.error(`… ${text}`);
  const report = await scenario({ url, load, redis, note, checkout });
  const header = await conditions(redis, { load, report });
  if (json) console.log(JSON.stringify({ ...header, ...report }, null, 2));
  else {console.log(
      `\n${Object.values(header).filter(Boolean).join("\n")}\n\n${toText(report)}`,
    );}
}

/** What figures mean nothing without. */
async function conditions(
  redis: RedisClientType,
  { load: { count, atATime, rounds }, report }: { load: Load; report: Report },
) {
  const info = await redis.info("server");
  const results = [
    ...report.tables.flatMap(({ results }) => results),
    ...report.times ?? [],
  ];
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    cores: `${navigator.hardwareConcurrency} cores`,
    redis: `Redis ${info.match(/^redis_version:(.+?)\r?$/m)?.[1]}`,
    runtimes: [...new Set(results.map(({ runtime }) => runtime))].join(", "),
    packages: [...new Set(results.map(({ peer }) => peer))].join(", "),
    load: report.load ??
      `${count} messages of 100 bytes, ${atATime} at a time, median of ${rounds}`,
  };
}

if (import.meta.main) Deno.exitCode = await main();
