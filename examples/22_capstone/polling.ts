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
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "shop_orders", count: 40, lossy: false, careless: false };
const options = { string: ["url", "queue"], boolean: ["lossy", "careless"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Capstone, polling", flags, defaults);
let [isOpen, told, kills, heardAt] = [true, 0, 0, Infinity];
Deno.addSignalListener("SIGINT", () => isOpen = false);

const redis = await connect({ url: flags.url });
const queue = new ReliableQueue(redis, flags.queue);
const [count, score] = [Number(flags.count), new Scoreboard()];

// It hires workers, hears what they tell, and kills: for each that is gone it hires another.
const [crew, printed] = [new Set<Deno.ChildProcess>(), new Map<string, number>()];
async function hire(): Promise<void> {
  const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
  const worker = import.meta.resolve("./worker.ts");
  const args = ["run", `--allow-net=${host}`, worker, ...Deno.args, "--count", "0", "--polling"];
  const child = new Deno.Command("deno", { args, stdout: "piped" }).spawn();
  crew.add(child);
  for await (const line of createInterface({ input: Readable.fromWeb(child.stdout) })) {
    const [what, order, madeAt, sent] = line.split(" ") as [string, string, string, string];
    score.commands += Number(sent);
    heardAt = performance.now();
    if (what === "charged") score.received({ madeAt: Number(madeAt) });
    else printed.set(order, (printed.get(order) ?? 0) + 1);
    if (++told % 13 !== 0 || kills === 5) continue;
    child.kill("SIGKILL"); // the same as `kill -9`: it has two orders in hand
    say("shop", `kill -9 number ${++kills}, who had just ${what} order ${order}`);
  }
  await child.status.finally(() => crew.delete(child));
  if (isOpen) await hire();
}

say("shop", `three workers on ${flags.queue}`);
const hired = [hire(), hire(), hire()];

// The last one may have been printed by one who died before the ack: then it comes once more.
async function isDone(): Promise<boolean> {
  if (flags.lossy) return performance.now() - heardAt > 3_000; // what is lost never comes
  const { ready, leased } = await queue.counts();
  return printed.size === count && ready + leased === 0;
}
while (isOpen && !await isDone()) await pause(200);
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
Deno.exitCode = isOver && !isTrue ? 1 : 0;
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
