/**
 * @title   Doctor
 * @run     deno run --allow-net=127.0.0.1:6379 examples/00_doctor/doctor.ts
 * @redis   COMMAND · INFO
 *
 * Is there a Redis, can it do what this workshop needs, and does it keep what it is given? One look
 * at each, and a verdict: exit code 0 for fit, 1 for not fit.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect, RedisConnectionError } from "@workshop/redis-patterns";
import { help, say } from "../scoreboard.ts";

const flags = parseArgs(Deno.args, { string: ["url"] });
help("Doctor", flags);
Deno.addSignalListener("SIGINT", () => Deno.exit(0));

// Without a server there is one thing to say. A wrong password is `fatal`: a new server won't help.
const redis = await connect({ url: flags.url, timeoutMs: 2_000 }).catch((error) => {
  if (!(error instanceof RedisConnectionError)) throw error;
  say("doctor", error.fatal ? error.message : `no Redis answers at ${error.address}`);
  if (!error.fatal) say("doctor", "start one in another terminal:  deno task redis");
  Deno.exit(1);
});

// INFO is the server's account of itself, in lines of `name:value`.
const info = Object.fromEntries((await redis.info()).split("\r\n").map((line) => line.split(":")));
const { server_name = "redis", redis_version, tcp_port, uptime_in_seconds } = info;
say("doctor", `${server_name} ${redis_version} on port ${tcp_port}, up ${uptime_in_seconds} s`);

// COMMAND INFO answers null for a command that this server does not know.
const needed = ["BRPOP", "BLMOVE", "EVALSHA", "ZMSCORE", "XREADGROUP", "XAUTOCLAIM", "PSUBSCRIBE"];
const known = await redis.sendCommand(["COMMAND", "INFO", ...needed]) as unknown[];
const missing = needed.filter((_, i) => known[i] === null);
say("doctor", `commands: ${missing.length > 0 ? `${missing} missing` : "all there"}`);

// A full Redis must refuse new messages, not throw old ones away.
const evicts = info.maxmemory !== "0" && info.maxmemory_policy !== "noeviction";
say("doctor", `memory: limit ${info.maxmemory} bytes, policy ${info.maxmemory_policy}`);

// CONFIG GET (which MONITOR hides) is often forbidden on rented servers: snapshots stay unknown.
const { save = "unknown" } = await redis.configGet("save").catch(() => ({ save: undefined }));
const kept = [info.aof_enabled === "1" && "log (AOF)", save && `snapshots (${save})`];
const persistence = kept.filter(Boolean).join(", ") || "none, a restart forgets everything";
say("doctor", `persistence: ${persistence}`);

const fit = missing.length === 0 && !evicts;
say("doctor", `verdict: ${fit ? "fit for the workshop" : "not fit, see above"}`);
await redis.close();
Deno.exitCode = fit ? 0 : 1;

// Expect:
// [doctor] <id> <id> on port <n>, up <n> s
// [doctor] commands: all there
// [doctor] memory: limit <n> bytes, policy noeviction
// [doctor] persistence: <any>
// [doctor] verdict: fit for the workshop
