/**
 * `before`: enqueue and drain of this tree against those of another checkout, such as a
 * `git worktree` of the commit before a change. Both run in one Deno and on one server, in turns.
 *
 * @module
 */
import { type Contender, interleave, median } from "../measure.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const MODULES = ["reliable_queue", "priority_queue"];
const WAYS = {
  enqueue: "enqueue, merged",
  drain: "Worker, blocking, 500",
} as const;

/** Runs the scenario. */
export async function before(
  { url, load, redis, note, checkout }: Bench,
): Promise<Report> {
  if (!checkout) {
    throw new TypeError(
      "before needs --checkout, the folder of another checkout",
    );
  }
  const here = denoRuntime();
  const runtimes = [
    {
      ...here,
      name: "before",
      cwd: await Deno.realPath(`${checkout}/bench`),
      kind: "",
    },
    { ...here, name: "now", kind: "" },
    { ...here, name: "now, stats: false", kind: "_bare" },
  ];
  await using stack = new AsyncDisposableStack();
  const report: Report = { tables: [], verdicts: [] };
  for (const module of MODULES) {
    const peers: PeerProcess[] = [];
    for (const runtime of runtimes) {
      const name = `redis-patterns-bench-${module}-${peers.length}`;
      const start = { module: module + runtime.kind, url, name };
      peers.push(stack.use(await PeerProcess.start(runtime, start)));
    }
    for (const verb of ["enqueue", "drain"] as const) {
      note(`${module}, ${verb}: ${load.rounds} rounds`);
      const way = WAYS[verb];
      const contenders = peers.map((peer): Contender => ({ peer, verb, way }));
      const results = await interleave(contenders, load, redis);
      const [then = NaN, now = NaN, bare = NaN] = results.map(({ rates }) => median(rates));
      const change = (rate: number) => `${(100 * (rate / then - 1)).toFixed(1)} %`;
      report.tables.push({
        title: `${module} ${verb}`,
        results,
        baseline: then,
        than: "before",
      });
      report.verdicts.push(
        `${module} ${verb}: ${change(now)}, with stats: false ${change(bare)}`,
      );
    }
  }
  return report;
}
