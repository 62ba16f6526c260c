/**
 * `deno task redis`: a private redis-server in the foreground, for the examples and for you. It
 * ends with Ctrl-C or SIGTERM (exit 0, nothing is left), with the server's own end (1), or with a
 * clear word because it could not start (1) or was asked wrongly (2).
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program: what it prints is what it is for

import { parseArgs } from "@std/cli/parse-args";
import { findRedis } from "./provision.ts";
import { RedisCluster } from "./redis_cluster.ts";
import { RedisSentinel } from "./redis_sentinel.ts";
import { freePort, RedisServer } from "./redis_server.ts";

const DEFAULT_PORT = 6379;
const HELP = `Starts a private Redis server; its data is gone when it stops.

  deno task redis [--port N] [--aof]
  deno task redis --cluster [--aof]
  deno task redis --sentinel [--aof]

  --port N    listen on this port (default: ${DEFAULT_PORT} if it is free, else any)
  --cluster   three masters that share all keys, and a replica of each
  --sentinel  a master, two replicas, and three Sentinels that watch them
  --aof       write to disk before answering, so that data survives a crash of the server
  --help      print this

REDIS_ENGINE=valkey starts Valkey instead of Redis.`;

async function main(): Promise<number> {
  const unknown: string[] = [];
  const { aof, cluster, help, port, sentinel } = parseArgs(Deno.args, {
    boolean: ["aof", "cluster", "help", "sentinel"],
    string: ["port"],
    unknown: (arg: string) => unknown.push(arg) < 0,
  });
  if (help) {
    console.log(HELP);
    return 0;
  }
  const wanted = port === undefined ? freePort(DEFAULT_PORT) : Number(port);
  if (unknown.length > 0 || !(Number.isInteger(wanted) && wanted > 0 && wanted < 65536)) {
    console.error(unknown.length > 0 ? `Unknown: ${unknown.join(" ")}` : `Not a port: ${port}`);
    console.error(HELP);
    return 2;
  }
  if (cluster && sentinel || (cluster || sentinel) && port !== undefined) {
    console.error("One of --port, --cluster and --sentinel");
    console.error(HELP);
    return 2;
  }
  if (cluster) return await serveMany(await RedisCluster.start({ aof }), "cluster");
  if (sentinel) return await serveMany(await RedisSentinel.start({ aof }), "sentinel");
  return await serve({ port: wanted, aof: aof === true });
}

async function serve(options: { port: number; aof: boolean }): Promise<number> {
  const { version } = await findRedis();
  await using server = await RedisServer.start(options);
  const asked = untilAsked();
  console.log(`Redis ${version} is ready: ${server.url}`);
  if (server.port !== DEFAULT_PORT) {
    console.log(`In other terminals:     export REDIS_URL=${server.url}`);
  }
  console.log("To look into it:        deno task redis-cli");
  console.log("To stop it:             Ctrl-C");
  if (await Promise.race([asked, server.ended()]) === "asked") return 0;
  console.error(`The server has ended by itself. It said:\n${await server.log()}`);
  return 1;
}

async function serveMany(all: RedisCluster | RedisSentinel, kind: string): Promise<number> {
  await using topology = all;
  const { version } = await findRedis();
  const asked = untilAsked();
  console.log(
    `Redis ${version} is ready as ${kind === "cluster" ? "a cluster" : "a master with Sentinels"}`,
  );
  const list = (servers: readonly RedisServer[]) => {
    return servers.map(({ host, port, pid }) => `${host}:${port} (pid ${pid})`).join("\n  ");
  };
  if (topology instanceof RedisCluster) console.log(`  ${list(topology.nodes)}`);
  else console.log(`  ${list(topology.servers)}\nSentinels:\n  ${list(topology.sentinels)}`);
  console.log(`In other terminals:     export REDIS_URL="${topology.url}"`);
  console.log("To look into it:        deno task redis-cli");
  console.log("To see a failover:      kill -9 the pid of the first one");
  console.log("To stop all of them:    Ctrl-C");
  await asked;
  return 0;
}

/** Only once everything runs: before, Ctrl-C ends us at once, and the janitors clean up. */
function untilAsked(): Promise<"asked"> {
  const { promise, resolve } = Promise.withResolvers<"asked">();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => resolve("asked"));
  }
  return promise;
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
