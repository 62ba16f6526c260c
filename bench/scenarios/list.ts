/**
 * `list`: how fast a plain queue takes and hands out small messages, against BullMQ, bee-queue and
 * bare Redis commands.
 *
 * `ListQueue` delivers at most once and the others at least once: the drain compares what you get
 * by default, not equal promises.
 *
 * @module
 */
import { best, nodeOrNone, startPeers } from "../cast.ts";
import { type Contender, interleave, median } from "../measure.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const GOAL = 15;
/** Their best: `leased` looks for it. */
const OTHERS = /^Worker, (50|200)$|^process, 100$/;

/** Runs the scenario. */
export async function list(bench: Bench): Promise<Report> {
  const { load, redis, note } = bench;
  const inDeno = denoRuntime();
  const inNode = await nodeOrNone(["bullmq", "bee_queue"], note);
  await using stack = new AsyncDisposableStack();
  const peers = await startPeers(
    [
      ["ours", inDeno],
      ["bullmq", inDeno],
      ["bullmq", inNode],
      ["bee_queue", inNode ?? inDeno],
      ["raw_redis", inDeno],
    ],
    bench,
    stack,
  );
  const all = (verb: "enqueue" | "drain"): Contender[] =>
    peers.flatMap((peer) =>
      peer.introduction[verb].filter((way) => !OTHERS.test(way)).map((way) => ({
        peer,
        verb,
        way,
      }))
    );

  note(`Enqueuing: ${load.rounds} rounds`);
  const enqueue = await interleave(all("enqueue"), load, redis);
  note(`Draining: ${load.rounds} rounds`);
  const drain = await interleave(all("drain"), load, redis);

  const add = median(best(enqueue, /^BullMQ/, /^add$/).rates);
  const work = median(best(drain, /^BullMQ/, /./).rates);
  const merged = median(best(enqueue, /^ListQueue/, /merged/).rates) / add;
  const worker = median(best(drain, /^ListQueue/, /^Worker/).rates) / work;
  return {
    tables: [
      { title: "enqueue", results: enqueue, baseline: add },
      { title: "drain", results: drain, baseline: work },
    ],
    verdicts: [
      `list: Worker is ${worker.toFixed(1)} × BullMQ Worker`,
      `list: merged enqueue is ${merged.toFixed(1)} × BullMQ add (goal ${GOAL} ×)`,
    ],
  };
}
