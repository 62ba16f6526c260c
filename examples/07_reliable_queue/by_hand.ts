/**
 * @title   Reliable queue, by hand
 * @run     deno run --allow-net=127.0.0.1:6379 --allow-run=deno
 *          examples/07_reliable_queue/by_hand.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/07_reliable_queue/list_producer.ts
 * @redis   BLMOVE · LMOVE · LRANGE · LREM
 *
 * The tutorial's cure, on two plain lists: a photo in hand lies on `…:processing` until it is done.
 * So a kill loses nothing. But nothing comes back by itself, either: somebody has to bring it.
 */
import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "photo_prints", count: 10, ann: false };
const options = { string: ["url", "queue"], boolean: ["ann"], default: defaults };
const flags = parseArgs(Deno.args, options);
help("Reliable queue, by hand", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
const own = redis.duplicate(); // for the command that waits
own.on("error", () => {});
await own.connect();
const processing = `${flags.queue}:processing`;
const score = new Scoreboard();

if (!flags.ann) {
  say("worker", `bob waiting on ${flags.queue}, ann goes first`);
  const { host } = new URL(flags.url ?? "redis://127.0.0.1:6379");
  const args = ["run", `--allow-net=${host}`, import.meta.url, ...Deno.args, "--ann"];
  await new Deno.Command("deno", { args, signal: stop.signal }).spawn().status;
  if (!stop.signal.aborted) say("worker", "ann is dead, bob takes over");
}
while (score.messages < Number(flags.count) && !stop.signal.aborted) {
  // BRPOPLPUSH by its newer name: from one list to the other in one command, so never in none.
  const entry = await own.blMove(flags.queue, processing, "RIGHT", "LEFT", 1);
  if (entry === null) continue;
  const photo: { n: number; task: string; madeAt: number } = JSON.parse(entry);
  if (flags.ann) {
    say("worker", `ann: ${photo.task} … kill -9`);
    process.kill(process.pid, "SIGKILL"); // the same as `kill -9` with her pid
  }
  score.received(photo);
  await new Promise((resolve) => setTimeout(resolve, 100)); // the dot in the task
  await redis.lRem(processing, -1, entry); // done
  say("worker", `bob: ${photo.task} … done`);
  if (photo.n < Number(flags.count)) continue;

  // After the last: what is still there? The list does not say whose it is, or since when. It is
  // Ann's, and she is dead: you know it, Redis does not.
  for (const left of await redis.lRange(processing, 0, -1)) {
    say("worker", `left in ${processing}: ${JSON.parse(left).task} … brought back by hand`);
    await redis.lMove(processing, flags.queue, "RIGHT", "LEFT");
  }
}
say("worker", `${score.messages} of ${flags.count} photos printed`);
score.print();
await own.close();
await redis.close();

// Expect:
// [worker] bob waiting on photo_prints, ann goes first
// [worker] ann: print_photo_1 . … kill -9
// [worker] ann is dead, bob takes over
// [worker] bob: print_photo_2 . … done
// [worker] bob: print_photo_3 . … done
// [worker] bob: print_photo_4 . … done
// [worker] bob: print_photo_5 . … done
// [worker] bob: print_photo_6 . … done
// [worker] bob: print_photo_7 . … done
// [worker] bob: print_photo_8 . … done
// [worker] bob: print_photo_9 . … done
// [worker] bob: print_photo_10 . … done
// [worker] left in photo_prints:processing: print_photo_1 . … brought back by hand
// [worker] bob: print_photo_1 . … done
// [worker] 10 of 10 photos printed
// [score]  messages 10  commands <n>  wait p50 <ms> ms
