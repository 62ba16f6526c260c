/**
 * `doctor`: is this Redis fit to keep queues, and are the queues on it well? Each look is one line: fine, to
 * be known, or wrong; and what to do about it.
 *
 * @module
 */
import { type Command, type Context, EXIT } from "./cli_context.ts";
import { paint, print, printJson, type Style } from "./cli_print.ts";
import { ago, duration, inert, whole } from "./format.ts";
import { messageOf } from "./snapshot.ts";

/** What came of a look. */
interface Finding {
  readonly level: "ok" | "warn" | "wrong";
  readonly what: string;
  readonly says: string;
}

/** The oldest server, and what is used of it. */
const OLDEST = [6, 2] as const;
const COMMANDS = [
  "EVALSHA",
  "BLPOP",
  "BRPOP",
  "LMOVE",
  "ZMSCORE",
  "HSCAN",
  "XREADGROUP",
  "XAUTOCLAIM",
  "XGROUP",
  "SUBSCRIBE",
];

/** Clocks further apart than this make times look odd, though no message is handed out wrongly. */
const SKEW_MS = 1_000;
/** A round trip longer than this is more than a network of one site takes. */
const SLOW_MS = 20;
/** A message that is not done for longer than this is worth a look. */
const OLD_MS = 60_000;
/** How much of the memory may be used before enqueueing is soon refused. */
const FULL = 0.9;

export const doctor: Command = {
  name: "doctor",
  summary: "is Redis fit for queues, and are the queues well",
  about:
    "Looks at the server (version, commands, memory and what happens when it is full, persistence, " +
    "connections, round trip, clock) and at each queue (readable, paused, no worker, old messages, dead " +
    "letters). Exit code 1 if something is wrong; what is only to be known is marked by a !.",
  flags: [],
  examples: [["doctor", "the whole look"], ["doctor --json", "for a script"]],
  run: async (context) => {
    const findings = [...await server(context), ...await queues(context)];
    const wrong = findings.some(({ level }) => level === "wrong");
    if (context.asked.json) printJson({ fit: !wrong, findings });
    else {
      const width = Math.max(...findings.map(({ what }) => what.length));
      for (const { level, what, says } of findings) {
        const [mark, style] = MARKS[level];
        print(`${paint(style, mark)} ${inert(what).padEnd(width)}  ${inert(says)}`);
      }
      print(wrong ? paint("red", "not fit: see above") : paint("green", "fit"));
    }
    return wrong ? EXIT.unwell : EXIT.ok;
  },
};

const MARKS: Record<Finding["level"], readonly [string, Style]> = {
  ok: ["✓", "green"],
  warn: ["!", "yellow"],
  wrong: ["✗", "red"],
};

async function server({ monitor }: Context): Promise<Finding[]> {
  const findings: Finding[] = [];
  const find = (level: Finding["level"], what: string, says: string) =>
    void findings.push({ level, what, says });
  const send = (...args: string[]) => monitor.client.sendCommand(args) as Promise<unknown>;
  const info = await readInfo(send);
  if (!info) find("warn", "server", "this account may not ask for INFO, so little can be told");
  else {
    const version = info["redis_version"] ?? "0";
    const [major = 0, minor = 0] = version.split(".").map(Number);
    const old = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
    const name = info["server_name"] ?? "redis";
    const needs = old ? `: ${OLDEST.join(".")} or newer is needed` : "";
    const up = duration(Number(info["uptime_in_seconds"] ?? 0) * 1_000);
    find(old ? "wrong" : "ok", "server", `${name} ${version}, up ${up}${needs}`);
    findings.push(memory(info), persistence(info), connections(info));
    if (info["role"] === "slave") find("wrong", "role", "a replica: nothing can be enqueued here");
    if (info["loading"] === "1") find("warn", "loading", "it still reads its data from disk");
  }
  const known = await send("COMMAND", "INFO", ...COMMANDS).catch(() => undefined);
  if (Array.isArray(known)) {
    const missing = COMMANDS.filter((_, i) => known[i] === null);
    find(
      missing.length > 0 ? "wrong" : "ok",
      "commands",
      missing.length > 0 ? `missing: ${missing.join(" ")}` : "all there that are used",
    );
  }
  findings.push(...await clocks(monitor));
  return findings;
}

async function readInfo(
  send: (...args: string[]) => Promise<unknown>,
): Promise<Record<string, string> | undefined> {
  const text = await send("INFO").catch(() => undefined);
  if (typeof text !== "string") return undefined;
  const lines = text.split(/\r?\n/).filter((line) => line.includes(":"));
  return Object.fromEntries(lines.map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at), line.slice(at + 1)];
  }));
}

function memory(info: Record<string, string>): Finding {
  const [used, limit] = [Number(info["used_memory"] ?? 0), Number(info["maxmemory"] ?? 0)];
  const policy = info["maxmemory_policy"] ?? "noeviction";
  const mib = (bytes: number) => `${whole(bytes / 1_048_576)} MiB`;
  const what = "memory";
  if (limit === 0) {
    const level = policy === "noeviction" ? "ok" : "warn";
    return { level, what, says: `${mib(used)} used, no limit, policy ${policy}` };
  }
  const says = `${mib(used)} of ${mib(limit)} used, policy ${policy}`;
  if (policy !== "noeviction") {
    const loses = "a full Redis throws messages away: set maxmemory-policy noeviction";
    return { level: "wrong", what, says: `${says}: ${loses}` };
  }
  if (used > FULL * limit) {
    return { level: "warn", what, says: `${says}: enqueueing is soon refused` };
  }
  return { level: "ok", what, says };
}

function persistence(info: Record<string, string>): Finding {
  const what = "persistence";
  const aof = info["aof_enabled"] === "1";
  if (info["aof_last_write_status"] === "err" || info["rdb_last_bgsave_status"] === "err") {
    return { level: "wrong", what, says: "the last write to disk failed" };
  }
  if (aof) return { level: "ok", what, says: "a log of all writes (AOF)" };
  const saved = Number(info["rdb_last_save_time"] ?? 0) * 1_000;
  const since = saved > 0 ? `, the last ${ago(Date.now() - saved)}` : "";
  const says =
    `snapshots at most${since}: a crash forgets what came after (appendonly yes keeps it)`;
  return { level: "warn", what, says };
}

function connections(info: Record<string, string>): Finding {
  const [open, most] = [Number(info["connected_clients"] ?? 0), Number(info["maxclients"] ?? 0)];
  const blocked = info["blocked_clients"] ?? "0";
  const says = `${open}${
    most > 0 ? ` of ${whole(most)}` : ""
  }, ${blocked} of them wait for messages`;
  const near = most > 0 && open > FULL * most;
  return { level: near ? "warn" : "ok", what: "connections", says };
}

async function clocks(monitor: Context["monitor"]): Promise<Finding[]> {
  const trips: number[] = [];
  let skew = 0;
  for (let i = 0; i < 5; i++) {
    const [startedAt, local] = [performance.now(), Date.now()];
    const theirs = await monitor.now();
    trips.push(performance.now() - startedAt);
    skew = theirs - local - trips.at(-1)! / 2;
  }
  const trip = trips.sort((a, b) => a - b)[2]!;
  const apart = Math.abs(skew) > SKEW_MS;
  return [
    { level: trip > SLOW_MS ? "warn" : "ok", what: "round trip", says: duration(trip) },
    {
      level: apart ? "warn" : "ok",
      what: "clock",
      says: apart
        ? `${duration(Math.abs(skew))} ${skew > 0 ? "ahead of" : "behind"} ours: ages look odd`
        : "as ours",
    },
  ];
}

async function queues({ monitor }: Context): Promise<Finding[]> {
  let snapshot;
  try {
    snapshot = await monitor.look();
  } catch (error) {
    if (error instanceof Error && error.name === "RedisConnectionError") throw error;
    return [{ level: "wrong", what: "registry", says: messageOf(error) }];
  }
  const findings: Finding[] = snapshot.unreadable.map(({ name, trouble }) => {
    return { level: "wrong", what: `queue ${name}`, says: trouble };
  });
  for (const { name, counts, consumers, oldestMs = 0 } of snapshot.queues) {
    const said = [
      counts.paused && "paused",
      counts.ready > 0 && consumers.length === 0 && `${whole(counts.ready)} ready and no worker`,
      oldestMs > OLD_MS && `the oldest message is ${duration(oldestMs)} old`,
      counts.dead > 0 && `${whole(counts.dead)} dead`,
    ].filter((word) => typeof word === "string");
    const workers = `${consumers.length} worker${consumers.length === 1 ? "" : "s"}`;
    findings.push({
      level: said.length > 0 ? "warn" : "ok",
      what: `queue ${name}`,
      says: said.length > 0 ? said.join(", ") : `${whole(counts.ready)} ready, ${workers}`,
    });
  }
  if (findings.length === 0) findings.push({ level: "ok", what: "queues", says: "none yet" });
  return findings;
}
