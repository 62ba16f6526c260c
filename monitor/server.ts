/**
 * `deno task dashboard`: the web dashboard and the job queue server in a process of its own.
 *
 * On another address than the machine's own it needs a token, and changes nothing unless it is told that
 * it may. It ends with Ctrl-C or SIGTERM (exit code 0), because its port is taken or its Redis URL is none
 * (1), or because it was asked wrongly (2).
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints
import process from "node:process";
import { randomBytes } from "node:crypto";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { Dashboard, type QueueOptions } from "./web.ts";

/** How long the end may take, in milliseconds. */
const GRACE_MS = 2_000;

const HELP = `The web dashboard and the job queue server.

  deno task dashboard                                     http://127.0.0.1:8080
  deno task dashboard --port 9000 --url redis://10.0.0.5  another port, another Redis
  deno task dashboard --host 0.0.0.0 --name queues.example.com --token auto
                                                          for others; it prints a token
  --host H        the address to listen on (127.0.0.1)
  --port N        the port (8080); 0 takes any
  --url URL       the Redis ($REDIS_URL, or redis://127.0.0.1:6379)
  --token T       who comes in has to know it; "auto" makes one. $DASHBOARD_TOKEN is kept out of ps
  --name NAME     a name it is reached by; may be given several times
  --read-only     nothing can be changed: so it is by default for others than this machine
  --write         but they may
  --lease-ms N    how long a message that is received by HTTP is the receiver's (30000)
  --max-attempts N, --max-dead N
                  what a consumer by HTTP goes by (5, 10000): the same as the queue's other programs
  --help          print this

Programs enqueue and receive by HTTP: POST /queues/emails/messages, POST /queues/emails/receive.`;

/** Ends the program with its message: it was asked wrongly. */
class AskedWrongly extends Error {}

/** What the command line asks for. */
interface Asked {
  host: string;
  port: number;
  url: string | undefined;
  token: string | undefined;
  names: string[];
  readOnly: boolean;
  queueOptions: QueueOptions;
}

function read(args: string[]): Asked | undefined {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    boolean: ["read-only", "write", "help"],
    string: ["host", "port", "url", "token", "name", "lease-ms", "max-attempts", "max-dead"],
    collect: ["name"],
    default: {
      host: "127.0.0.1",
      port: "8080",
      "lease-ms": "30000",
      "max-attempts": "5",
      "max-dead": "10000",
    },
    unknown: (arg: string) => unknown.push(arg) < 0,
  });
  if (flags.help) return undefined;
  if (unknown.length > 0) throw new AskedWrongly(`There is no ${unknown.join(", ")}`);
  if (flags["read-only"] && flags.write) throw new AskedWrongly("Either --read-only or --write");
  const given = flags.token ?? process.env["DASHBOARD_TOKEN"];
  const token = given === "auto" ? randomBytes(18).toString("base64url") : given;
  const isOurs = ["127.0.0.1", "localhost", "::1"].includes(flags.host);
  if (!isOurs && !token) {
    throw new AskedWrongly(
      `Others can reach ${flags.host}: give a token (--token auto, or $DASHBOARD_TOKEN)`,
    );
  }
  return {
    host: flags.host,
    port: readNumber("port", flags.port, 0, 65_535),
    url: flags.url,
    token,
    names: [...flags.name, ...(isOurs || /^(0\.0\.0\.0|::)$/.test(flags.host) ? [] : [flags.host])],
    readOnly: flags["read-only"] || (!isOurs && !flags.write),
    queueOptions: {
      leaseMs: readNumber("lease-ms", flags["lease-ms"], 10, 86_400_000),
      maxAttempts: readNumber("max-attempts", flags["max-attempts"], 1, 1_000_000),
      maxDead: readNumber("max-dead", flags["max-dead"], 1, 1_000_000),
    },
  };
}

function readNumber(flag: string, text: string, min: number, max: number): number {
  const n = Number(text);
  if (text !== "" && Number.isInteger(n) && n >= min && n <= max) return n;
  throw new AskedWrongly(
    `--${flag} must be a number from ${min} to ${max}, but is ${JSON.stringify(text)}`,
  );
}

/** Says so if somebody else has the port. */
function portTaken(hostname: string, port: number): string | undefined {
  try {
    Deno.listen({ hostname, port }).close();
    return undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    return `Port ${port} of ${hostname} is taken by another program: --port N takes another one, ` +
      "--port 0 any that is free";
  }
}

/** What is wrong with a URL that is none. A Redis that is away is no obstacle: it may come back. */
async function badUrl(url: string | undefined): Promise<string | undefined> {
  try {
    await using _redis = await connect({ url, timeoutMs: 200 });
    return undefined;
  } catch (error) {
    return error instanceof TypeError ? error.message : undefined;
  }
}

/** Runs it until it is told to end. */
export async function main(args: string[] = Deno.args): Promise<void> {
  let asked: Asked | undefined;
  try {
    asked = read(args);
  } catch (error) {
    if (!(error instanceof AskedWrongly)) throw error;
    console.error(`${error.message}. See --help.`);
    Deno.exit(2);
  }
  if (!asked) return console.log(HELP);
  const { host, port, url, token, names, readOnly, queueOptions } = asked;
  const obstacle = portTaken(host, port) ?? await badUrl(url);
  if (obstacle) {
    console.error(obstacle);
    Deno.exit(1);
  }
  await using dashboard = new Dashboard({
    ...(url !== undefined && { redis: url }),
    ...(token !== undefined && { token }),
    hosts: names,
    readOnly,
    queueOptions: () => queueOptions,
  });
  const stop = new AbortController();
  const server = Deno.serve({
    hostname: host,
    port,
    signal: stop.signal,
    onListen: ({ port }) => {
      const shown = host.includes(":")
        ? `[${host}]`
        : host === "0.0.0.0"
        ? names[0] ?? "127.0.0.1"
        : host;
      console.log(`http://${shown}:${port}${readOnly ? "  (read-only)" : ""}`);
      if (token !== undefined && args.includes("auto")) console.log(`token ${token}`);
    },
  }, dashboard.fetch);
  const end = () => {
    // Those who wait are answered; who then still holds a connection is cut off.
    const timer = setTimeout(() => stop.abort(), GRACE_MS);
    void dashboard.close().then(() => server.shutdown()).finally(() => clearTimeout(timer));
  };
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const name of signals) Deno.addSignalListener(name, end);
  await server.finished;
  for (const name of signals) Deno.removeSignalListener(name, end);
}

if (import.meta.main) await main();
