/**
 * @title   Streams, blocking
 * @run     deno run --allow-net=127.0.0.1:6379 examples/13_streams/blocking.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/13_streams/producer.ts
 * @redis   XREAD · XRANGE · XLEN · XTRIM · DEL
 *
 * A stream is a log: what was read stays. Each reader waits in Redis for what comes behind the id
 * that it has got to, on a connection of its own. Redis does not know the readers.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { stream: "photo_orders", count: 8 };
const flags = parseArgs(Deno.args, { string: ["url", "stream"], default: defaults });
help("Streams, blocking", flags, defaults);
const stop = new AbortController();
const { signal } = stop;
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const [key, count] = [flags.stream, Number(flags.count)];
const score = new Scoreboard();

/** Gets every order: its place in the log is its own, here in a variable. */
async function read(reader: string): Promise<string[]> {
  const own = await connect({ url: flags.url }); // for the command that waits
  const ids = ["0"]; // from the beginning
  while (ids.length <= count && !signal.aborted) {
    const reply = await own.xRead({ key, id: ids.at(-1)! }, { BLOCK: 1_000 });
    for (const { id, message } of reply?.[0]?.messages ?? []) {
      const waited = score.received({ madeAt: Number(message.madeAt) });
      say("reader", `${reader}: ${message.order} of ${message.of}, waited ${waited} ms`);
      ids.push(id);
    }
  }
  await own.close();
  return ids;
}

/** Asks for what comes after the end, `$`, again and again. But the end is another each time. */
async function readNew(reader: string, over: AbortSignal): Promise<void> {
  const own = await connect({ url: flags.url });
  let seen = 0;
  while (!over.aborted && !signal.aborted) {
    const reply = await own.xRead({ key, id: "$" }, { BLOCK: 1_000 });
    seen += reply?.[0]?.messages.length ?? 0;
    await pause(250); // it draws a picture, and does not listen
  }
  await own.close();
  say("reader", `${reader}: ${seen} of ${count}${seen < count ? ", lost the others" : ""}`);
}

say("reader", `mail, books and display read ${key}`);
const over = new AbortController();
const both = Promise.all([read("mail"), read("books")]).finally(() => over.abort());
const [[ids]] = await Promise.all([both, readNew("display", over.signal)]);
if (!signal.aborted) {
  say("reader", `read by all, and still there: ${await redis.xLen(key)}`);
  const again = (await redis.xRange(key, `(${ids[2]}`, "+")) ?? []; // "(" is "behind"
  say("reader", `again, from the second on: ${again.map(({ message }) => message.order)}`);
  await redis.xTrim(key, "MAXLEN", 1);
  const [late] = (await redis.xRead({ key, id: ids[2]! }))?.[0]?.messages ?? [];
  say("reader", `the log is cut: whoever was at order_2 gets ${late?.message.order}, and no word`);
  await redis.del(key); // so that you can begin again
}
score.print();
await redis.close();

// Expect:
// [reader] mail, books and display read photo_orders
// ~ [reader] mail: order_1 of ann, waited <ms> ms
// ~ [reader] mail: order_2 of bob, waited <ms> ms
// ~ [reader] mail: order_3 of ann, waited <ms> ms
// ~ [reader] mail: order_4 of bob, waited <ms> ms
// ~ [reader] mail: order_5 of ann, waited <ms> ms
// ~ [reader] mail: order_6 of bob, waited <ms> ms
// ~ [reader] mail: order_7 of ann, waited <ms> ms
// ~ [reader] mail: order_8 of bob, waited <ms> ms
// ~ [reader] books: order_1 of ann, waited <ms> ms
// ~ [reader] books: order_2 of bob, waited <ms> ms
// ~ [reader] books: order_3 of ann, waited <ms> ms
// ~ [reader] books: order_4 of bob, waited <ms> ms
// ~ [reader] books: order_5 of ann, waited <ms> ms
// ~ [reader] books: order_6 of bob, waited <ms> ms
// ~ [reader] books: order_7 of ann, waited <ms> ms
// ~ [reader] books: order_8 of bob, waited <ms> ms
// [reader] display: <n> of 8, lost the others
// [reader] read by all, and still there: 8
// [reader] again, from the second on: order_3,order_4,order_5,order_6,order_7,order_8
// [reader] the log is cut: whoever was at order_2 gets order_8, and no word
// [score]  messages 16  commands <n>  wait p50 <ms> ms
