/**
 * `list`: how fast a plain queue takes and hands out small messages, against BullMQ, bee-queue and
 * bare Redis commands.
 *
 * `ListQueue` delivers at most once and the others at least once: the drain compares what you get
 * by default, not equal promises.
 *
 * @module
 */
import { type Contender, interleave, median, type Result } from "../measure.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime, nodeRuntime, type Runtime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const GOAL = 15;

/** Runs the scenario. */
export async function list({ url, load, redis, note }: Bench): Promise<Report> {
  const inDeno = denoRuntime();
  const inNode = await nodeRuntime(["bullmq", "bee_queue"], ["bullmq", "ioredis", "bee-queue"])
    .catch((error) => void note(`Node is left out: ${error.message}`));
  const cast: [module: string, runtime: Runtime | void][] = [
    ["ours", inDeno],
    ["bullmq", inDeno],
    ["bullmq", inNode],
    ["bee_queue", inNode ?? inDeno],
    ["raw_redis", inDeno],
  ];

  await using stack = new AsyncDisposableStack();
  const peers: PeerProcess[] = [];
  for (const [module, runtime] of cast) {
    if (!runtime) continue;
    const name = `redis-patterns-bench-${module}-${runtime.name.split(" ")[0]}`;
    note(`Starting ${module} in ${runtime.name}`);
    peers.push(stack.use(await PeerProcess.start(runtime, { module, url, name })));
  }
  const all = (verb: Contender["verb"]) =>
    peers.flatMap((peer) => peer.introduction[verb].map((way) => ({ peer, verb, way })));

  note(`Enqueuing: ${load.rounds} rounds`);
  const enqueue = await interleave(all("enqueue"), load, redis);
  note(`Draining: ${load.rounds} rounds`);
  const drain = await interleave(all("drain"), load, redis);

  const add = best(enqueue, /^BullMQ/, /^add$/);
  const work = best(drain, /^BullMQ/, /./);
  const merged = best(enqueue, /^ListQueue/, /merged/) / add;
  const worker = best(drain, /^ListQueue/, /^Worker/) / work;
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

/** The best median among what matches: BullMQ counts where it is faster. */
function best(results: Result[], peer: RegExp, way: RegExp): number {
  const matching = results.filter((result) => peer.test(result.peer) && way.test(result.way));
  return Math.max(...matching.map((result) => median(result.rates)));
}
