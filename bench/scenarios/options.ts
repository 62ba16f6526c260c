/**
 * `options`: what each option of a queue with leases costs, against the same queue with none.
 *
 * @module
 */
import { type Contender, interleave, median, type Result } from "../measure.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

/** Runs the scenario. */
export async function options(
  { url, load, redis, note }: Bench,
): Promise<Report> {
  const runtime = denoRuntime();
  await using peer = await PeerProcess.start(runtime, {
    module: "options",
    url,
    name: "redis-patterns-bench-options",
  });
  const measure = async (verb: "enqueue" | "drain") => {
    note(`${verb}: ${load.rounds} rounds`);
    const ways = peer.introduction[verb].map((way): Contender => ({
      peer,
      verb,
      way,
    }));
    const results = await interleave(ways, load, redis);
    const none = results.find(({ way }) => way === "none")!;
    return { title: verb, results, baseline: median(none.rates), than: "none" };
  };
  const tables = [await measure("enqueue"), await measure("drain")];
  const cost = (results: Result[], way: string, none: number) => {
    const { rates } = results.find((result) => result.way === way)!;
    return `${(100 * (1 - median(rates) / none)).toFixed(1)} %`;
  };
  return {
    tables,
    verdicts: peer.introduction.enqueue.filter((way) => way !== "none").map(
      (way) => {
        const costs = tables.map(({ title, results, baseline }) =>
          `${title} ${cost(results, way, baseline)}`
        );
        return `${way} costs: ${costs.join(", ")}`;
      },
    ),
  };
}
