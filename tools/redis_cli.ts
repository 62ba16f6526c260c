/**
 * `deno task redis-cli`: the redis-cli that came with the server, which need not be installed, at the
 * Redis that `REDIS_URL` names. It ends as redis-cli does and with its exit code; with 1 and a word if
 * there is none.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program: what it prints is what it is for

import { findRedis } from "./provision.ts";

/** How redis-cli is told where the server is; its own arguments come after these, and win. */
export function connection(url: string): { args: string[]; env: Record<string, string> } {
  // Of several servers, the first: it knows the others.
  const first = url.replace(/^(rediss?)\+\w+:/, "$1:").replace(/,[^/]*/, "");
  if (!URL.canParse(first)) throw new Error(`REDIS_URL is no URL: ${JSON.stringify(url)}`);
  const { protocol, hostname, port, username, password, pathname } = new URL(first);
  const database = /^\/(\d+)$/.exec(pathname)?.[1];
  const args = [
    ...["-h", hostname.replace(/^\[|\]$/g, ""), "-p", port || "6379"],
    ...(protocol === "rediss:" ? ["--tls"] : []),
    ...(username ? ["--user", decodeURIComponent(username)] : []),
    ...(database ? ["-n", database] : []),
    ...(url.includes("+cluster:") ? ["-c"] : []),
  ];
  // Not among the arguments, which everybody on the machine can read.
  const env: Record<string, string> = password
    ? { REDISCLI_AUTH: decodeURIComponent(password) }
    : {};
  return { args, env };
}

async function main(): Promise<number> {
  const { args, env } = connection(Deno.env.get("REDIS_URL") || "redis://127.0.0.1:6379");
  const { cli, env: libraries } = await findRedis();
  if (!cli) {
    console.error(
      "There is no redis-cli here. By Docker: docker run --rm -it redis redis-cli -h …",
    );
    return 1;
  }
  // Ctrl-C is for redis-cli: it ends a MONITOR, say.
  Deno.addSignalListener("SIGINT", () => {});
  const command = new Deno.Command(cli, {
    args: [...args, ...Deno.args],
    env: { ...libraries, ...env },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  });
  return (await command.spawn().status).code;
}

if (import.meta.main) {
  const code = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
  Deno.exit(code);
}
