/**
 * @title   Cluster, a failover
 * @run     deno run --allow-net=127.0.0.1 --allow-env=REDIS_URL examples/20_cluster/failover.ts
 * @server  cluster
 * @redis   ROLE
 *
 * A master hands its slots over to its replica; with `--crash` it dies without a word, and the
 * replica has to notice.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say } from "../scoreboard.ts";

const defaults = { afterMs: 700, crash: false };
const flags = parseArgs(Deno.args, { string: ["url"], boolean: ["crash"], default: defaults });
help("Cluster, a failover", flags, defaults);
let isWanted = true;
Deno.addSignalListener("SIGINT", () => isWanted = false);

// Any node knows all of them: a line each, with its id, address, and whose replica it is.
const url = flags.url ?? Deno.env.get("REDIS_URL") ?? "redis://127.0.0.1:6379";
const node = await connect({ url: `redis://${/[^/@,]+(?=,|$)/.exec(url)![0]}` });
const nodes = (await node.sendCommand<string>(["CLUSTER", "NODES"])).split("\n");
const line = nodes.find((line) => / (myself,)?slave /.test(line) && !line.includes("fail"));
if (!line) throw new Error("No replica: deno task redis --cluster starts a cluster that has them");
const [, at, , masterId] = line.split(" ") as [string, string, string, string];
const addressOf = (place: string) => place.split("@")[0]!;
const masterAt = addressOf(nodes.find((line) => line.startsWith(masterId))!.split(" ")[1]!);
const replica = await connect({ url: `redis://${addressOf(at)}` });

await pause(Number(flags.afterMs));
const begun = performance.now();
if (flags.crash) {
  const master = await connect({ url: `redis://${masterAt}` });
  say("failover", `${masterAt} dies`);
  // Neither a save nor a farewell to its replica: as good as kill -9. It cannot answer any more.
  await master.sendCommand(["SHUTDOWN", "NOSAVE", "NOW", "FORCE"]).catch(() => master.destroy());
} else {
  say("failover", `${masterAt} hands over to ${addressOf(at)}`);
  await replica.sendCommand(["CLUSTER", "FAILOVER"]);
}
const role = async () => (await replica.sendCommand<string[]>(["ROLE"]))[0];
while (isWanted && await role() !== "master") await pause(20);
const ms = performance.now() - begun;
say("failover", `${addressOf(at)} is the master after ${ms.toFixed(0)} ms`);
for (const client of [node, replica]) client.destroy(); // one may have been the master's

// Expect:
// [failover] <any> hands over to <any>
// [failover] <any> is the master after <ms> ms
