/**
 * The command line: looks into the queues of a Redis, and puts things right.
 *
 * ```sh
 * deno task monitor stats                     # in a checkout
 * deno run -A jsr:@workshop/redis-patterns/monitor stats
 * deno task monitor redrive --help            # each command has examples
 * ```
 *
 * It ends with 0 when it has done what it was asked or all is well, 1 when what it was asked about is not
 * well or not there, 2 when Redis is down, 3 when it was asked wrongly, 130 after Ctrl-C or a no.
 *
 * @module
 */
import process from "node:process";
import { connect, RedisConnectionError } from "@workshop/redis-patterns";
import { cancel, pause, purge, redrive, resume } from "./cli_act.ts";
import { type Command, type Context, EXIT } from "./cli_context.ts";
import { doctor } from "./cli_doctor.ts";
import { type Asked, AskedWrongly, commandIn, readFlags } from "./cli_flags.ts";
import { helpFor, helpForAll } from "./cli_help.ts";
import { dead, delayed, pending } from "./cli_look_messages.ts";
import { consumers, queues, schedules, stats } from "./cli_look_queues.ts";
import { recent, task } from "./cli_look_records.ts";
import { note, onTerminal, paint, print, printJson } from "./cli_print.ts";
import { hasLimits } from "./probe.ts";
import { messageOf, Monitor, UnknownQueueError } from "./snapshot.ts";

/** It opens without Redis, so it connects by itself. */
const dashboard: Command = {
  name: "dashboard",
  summary: "all of it, live, in this terminal",
  about:
    "A live screen: every queue with its messages by state, how fast and how old, and its workers; " +
    "Enter opens a queue. ? lists the keys; capital letters change something, and ask first. It opens while " +
    "Redis is down, says why, and goes on when it is back. q or Ctrl-C ends it.",
  flags: ["queue", "refresh", "read-only"],
  examples: [
    ["dashboard", "all queues, once a second"],
    ["dashboard --refresh 250ms --read-only", "more often, and no key changes anything"],
  ],
  run: () => Promise.reject(new Error("connects by itself")),
};

const COMMANDS: readonly Command[] = [
  stats,
  queues,
  consumers,
  pending,
  recent,
  delayed,
  dead,
  schedules,
  task,
  redrive,
  purge,
  cancel,
  pause,
  resume,
  doctor,
  dashboard,
];

/**
 * Does what was typed, and prints what came of it.
 *
 * @param argv What stands behind the program's name.
 * @returns The exit code; see the module.
 *
 * @example A probe from a program of your own
 * ```ts
 * import { main } from "@workshop/redis-patterns/monitor";
 *
 * const code = await main(["stats", "--max-oldest", "30s"]);
 * console.log(code === 0 ? "healthy" : "wake somebody up");
 * ```
 */
export async function main(argv: readonly string[]): Promise<number> {
  let asked: Asked | undefined;
  try {
    const [command, rest] = commandOf(argv);
    if (!command) return print(helpForAll(COMMANDS)), EXIT.ok;
    asked = readFlags(rest, command);
    if (asked.help) return print(helpFor(command)), EXIT.ok;
    if (command === dashboard) return await openDashboard(asked);
    return await runConnected(command, asked);
  } catch (error) {
    return tell(error, asked);
  }
}

/** Which command is meant, and what was typed for it; none for a list of all. */
function commandOf(
  argv: readonly string[],
): [command: Command | undefined, rest: readonly string[]] {
  const name = commandIn(argv);
  if (name === "help") {
    const rest = argv.filter((arg) => arg !== "help");
    return commandIn(rest) === undefined ? [undefined, []] : commandOf([...rest, "--help"]);
  }
  const command = COMMANDS.find((command) => command.name === name);
  if (command) return [command, argv];
  if (name === undefined && argv.some((arg) => arg === "--help" || arg === "-h")) {
    return [undefined, []];
  }
  const names = COMMANDS.map(({ name }) => name).join(", ");
  throw new AskedWrongly(
    name === undefined
      ? `Which command? There are ${names}. monitor --help says more`
      : `There is no command ${JSON.stringify(name)}: there are ${names}`,
  );
}

async function runConnected(command: Command, asked: Asked): Promise<number> {
  const { url, timeoutMs } = asked;
  const stop = new AbortController();
  const interrupt = () => {
    // What changes nothing has nothing to finish, and the second one is: now.
    if (!command.inSteps || stop.signal.aborted) process.exit(EXIT.interrupted);
    stop.abort();
  };
  process.on("SIGINT", interrupt);
  try {
    await using client = await connect({ url, timeoutMs, heartbeatMs: 0, name: "monitor" });
    const context: Context = { asked, monitor: new Monitor(client), signal: stop.signal };
    return await command.run(context);
  } finally {
    process.off("SIGINT", interrupt);
  }
}

async function openDashboard(asked: Asked): Promise<number> {
  if (!process.stdin.isTTY || !onTerminal()) {
    throw new AskedWrongly("dashboard needs a terminal: without one there is monitor stats --json");
  }
  if (asked.json) throw new AskedWrongly("dashboard has no --json: there is monitor stats --json");
  const { runDashboard } = await import("./terminal.tsx"); // React, for nobody else
  return await runDashboard(asked);
}

/** Says in one line what went wrong; gives the exit code. */
function tell(error: unknown, asked: Asked | undefined): number {
  const probing = asked !== undefined && hasLimits(limitsOf(asked));
  const say = (code: number, word: string) => {
    const reason = messageOf(error);
    if (asked?.json) printJson({ ...(probing && { healthy: false }), code, reason });
    // Whoever probes reads the answer where answers are.
    else (probing ? print : note)(`${paint("red", word)}: ${reason}`);
    return code;
  };
  if (error instanceof RedisConnectionError) return say(EXIT.down, "down");
  if (error instanceof UnknownQueueError) return say(EXIT.unwell, "unknown");
  if (error instanceof AskedWrongly) return say(EXIT.misused, "monitor");
  if (error instanceof TypeError || error instanceof RangeError) {
    return say(EXIT.misused, "monitor");
  }
  return say(EXIT.unwell, "monitor");
}

function limitsOf(
  { maxOldestMs, maxReady, maxDead, minWorkers }: Asked,
): Parameters<typeof hasLimits>[0] {
  return { maxOldestMs, maxReady, maxDead, minWorkers };
}

if (import.meta.main) {
  // Whoever reads us may have seen enough: monitor recent | head -1
  process.stdout.on("error", (error: { code?: string }) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    throw error;
  });
  process.exitCode = await main(process.argv.slice(2));
}
