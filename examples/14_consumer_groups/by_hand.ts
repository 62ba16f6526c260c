/**
 * @title   Consumer groups, by hand
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/14_consumer_groups/by_hand.ts
 * @redis   XGROUP · XADD · XREADGROUP · XPENDING · XACK · XLEN · XAUTOCLAIM · XINFO · DEL
 *
 * The tutorial's commands, and nothing else. What a killed consumer had in hand stays with it until
 * somebody asks for that, and what is acknowledged is not gone.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say } from "../scoreboard.ts";

const defaults = { stream: "labels", ann: false };
const options = { string: ["url", "stream"], boolean: ["ann"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Consumer groups, by hand", flags, defaults);
const redis = await connect({ url: flags.url });
const [key, group] = [flags.stream, "printers"];
const add = (label: string) => redis.xAdd(key, "*", { label });

/** XREADGROUP with ">": what nobody in the group was given. */
type Entry = { id: string; message: Record<string, string> };
async function take(consumer: string, COUNT: number): Promise<Entry[]> {
  const reply = await redis.xReadGroup(group, consumer, { key, id: ">" }, { COUNT });
  return reply?.[0]?.messages ?? [];
}
if (flags.ann) {
  const hers = await take("ann", 2);
  say("worker", `ann: ${hers.map(({ message }) => message.label)} … kill -9`);
  process.kill(process.pid, "SIGKILL");
}
await redis.xGroupCreate(key, group, "0", { MKSTREAM: true });
for (let n = 1; n <= 5; n++) await add(`label_${n}`);

const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
const args = ["run", `--allow-net=${host}`, import.meta.url, ...Deno.args, "--ann"];
await new Deno.Command("deno", { args }).spawn().status;

// Bob does what there is, and is told that there is nothing left. Ann's two he never sees.
for (let entry; ([entry] = await take("bob", 1)), entry; await pause(100)) {
  await redis.xAck(key, group, entry.id);
  say("worker", `bob: ${entry.message.label} … done`);
}
for (const held of (await redis.xPending(key, group)).consumers ?? []) {
  say("worker", `nothing new for bob; pending at ${held.name}: ${held.deliveriesCounter}`);
}
say(
  "worker",
  `acknowledged: 3; in the stream: ${await redis.xLen(key)}, since XACK deletes nothing`,
);

// Somebody has to ask, again and again: is there anything that was silent for 300 ms?
for (const found of (await redis.xAutoClaim(key, group, "bob", 300, "0")).messages) {
  say("worker", `bob: ${found!.message.label} … done, claimed from ann`);
  await redis.xAck(key, group, found!.id);
}

// Carl is not dead, he is slow. To a group that is the same.
await add("label_6");
const [his] = await take("carl", 1);
await pause(350);
await redis.xAutoClaim(key, group, "bob", 300, "0"); // bob has it now, too
const ack = () => redis.xAck(key, group, his!.id);
say("worker", `carl: label_6 … done; it is bob's by now, and XACK says ${await ack()}`);
say("worker", `bob: label_6 … done a second time; XACK says ${await ack()}`);
const consumers = await redis.xInfoConsumers(key, group);
say("worker", `in the group for ever: ${consumers.map(({ name }) => name).sort()}`);
await redis.del(key);
await redis.close();

// Expect:
// [worker] ann: label_1,label_2 … kill -9
// [worker] bob: label_3 … done
// [worker] bob: label_4 … done
// [worker] bob: label_5 … done
// [worker] nothing new for bob; pending at ann: 2
// [worker] acknowledged: 3; in the stream: 5, since XACK deletes nothing
// [worker] bob: label_1 … done, claimed from ann
// [worker] bob: label_2 … done, claimed from ann
// [worker] carl: label_6 … done; it is bob's by now, and XACK says 1
// [worker] bob: label_6 … done a second time; XACK says 0
// [worker] in the group for ever: ann,bob,carl
