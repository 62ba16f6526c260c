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
import { freePort, RedisServer } from "./redis_server.ts";

const DEFAULT_PORT = 6379;
const HELP = `Starts a private Redis server; its data is gone when it stops.

  deno task redis [--port N] [--aof]

  --port N   listen on this port (default: ${DEFAULT_PORT} if it is free, else any)
  --aof      write to disk before answering, so that data survives a crash of the server
  --help     print this`;

async function main(): Promise<number> {
  const unknown: string[] = [];
  const { aof, help, port } = parseArgs(Deno.args, {
    boolean: ["aof", "help"],
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
  return await serve({ port: wanted, aof: aof === true });
}

async function serve(options: { port: number; aof: boolean }): Promise<number> {
  const { version } = await findRedis();
  await using server = await RedisServer.start(options);
  // Only from here on: before, Ctrl-C ends us at once, and the janitor cleans up.
  const { promise: asked, resolve } = Promise.withResolvers<"asked">();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => resolve("asked"));
  }
  console.log(`Redis ${version} is ready: ${server.url}`);
  if (server.port !== DEFAULT_PORT) {
    console.log(`In other terminals:     export REDIS_URL=${server.url}`);
  }
  console.log("To stop it:             Ctrl-C");
  if (await Promise.race([asked, server.ended()]) === "asked") return 0;
  console.error(`The server has ended by itself. It said:\n${await server.log()}`);
  return 1;
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
