/**
 * @title   Capstone, polling
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-run=deno examples/22_capstone/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/22_capstone/producer.ts
 * @redis   EVALSHA · HSETNX · HVALS · DEL
 *
 * The photo shop under chaos: three workers, and again and again one is killed with work in hand.
 * In the end the books are checked: nothing lost, nobody charged twice. The workers ask every 100
 * ms.
 */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "shop_orders", count: 40, lossy: false, careless: false };
const options = { string: ["url", "queue"], boolean: ["lossy", "careless"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Capstone, polling", flags);
const redis = await connect({ url: flags.url });
const [count, score] = [Number(flags.count), new Scoreboard()];
await redis.del(`${flags.queue}:bank`); // the books of yesterday

// The shop hires workers, hears what they tell, and kills: for each that is gone it hires another.
const crew = new Set<Deno.ChildProcess>();
const printed = new Map<string, number>();
let [isOpen, told, kills, heardAt] = [true, 0, 0, Infinity];
async function hire(): Promise<void> {
  const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
  const program = import.meta.resolve("./worker.ts");
  const args = ["run", `--allow-net=${host}`, program, ...Deno.args, "--count", "0", "--polling"];
  const child = new Deno.Command("deno", { args, stdout: "piped" }).spawn();
  crew.add(child);
  let commands = 0;
  for await (const line of createInterface({ input: Readable.fromWeb(child.stdout) })) {
    const [what, order, madeAt, sent] = line.split(" ") as [string, string, string, string];
    if (what === "ready") continue;
    score.commands += Number(sent) - commands;
    commands = Number(sent);
    heardAt = performance.now();
    if (what === "charged") score.received({ madeAt: Number(madeAt) });
    else printed.set(order, (printed.get(order) ?? 0) + 1);
    if (++told % 13 !== 0 || kills === 5) continue;
    child.kill("SIGKILL"); // the same as `kill -9`: it has two orders in hand
    say("shop", `kill -9 number ${++kills}, who had just ${what} order ${order}`);
  }
  await child.status;
  crew.delete(child);
  if (isOpen) await hire();
}

say("shop", `three workers on ${flags.queue}`);
Deno.addSignalListener("SIGINT", () => isOpen = false);
const hired = [hire(), hire(), hire()];
const isQuiet = () => flags.lossy && performance.now() - heardAt > 3_000; // the lost never come
while (isOpen && printed.size < count && !isQuiet()) await pause(50);
const isOver = isOpen;
isOpen = false;
for (const child of crew) child.kill("SIGTERM");
await Promise.all(hired);

const charges = (await redis.hVals(`${flags.queue}:bank`)).map(Number);
const twice = (counts: Iterable<number>) => [...counts].filter((times) => times > 1).length;
const lost = count - printed.size;
say("shop", `in ${count}, out ${printed.size}, lost ${lost}, charged ${charges.length}`);
say("shop", `printed twice ${twice(printed.values())}, charged twice ${twice(charges)}`);
const isTrue = lost === 0 && charges.length === count && twice(charges) === 0;
if (isOver) say("shop", isTrue ? "the books are right" : "THE BOOKS ARE WRONG");
if (isOver && !isTrue) Deno.exitCode = 1;
await redis.del(`${flags.queue}:bank`);
score.print();
await redis.close();

// Expect:
// [shop] three workers on shop_orders
// [shop] kill -9 number 1, who had just <any> order <n>
// [shop] kill -9 number 2, who had just <any> order <n>
// [shop] kill -9 number 3, who had just <any> order <n>
// [shop] kill -9 number 4, who had just <any> order <n>
// [shop] kill -9 number 5, who had just <any> order <n>
// [shop] in 40, out 40, lost 0, charged 40
// [shop] printed twice <n>, charged twice 0
// [shop] the books are right
// [score]  messages <n>  commands <n>  wait p50 <ms> ms
