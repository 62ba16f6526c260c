/**
 * `inspection`: what looking inside costs where ten times `--count` messages are ready (a million by
 * default): the look's own time, and how long Redis was held meanwhile.
 *
 * @module
 */
import { goal } from "../cast.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const LOOKS = [
  { what: "counts", most: 2 },
  { what: "a page of 100 in front", most: 10 },
  { what: "a page of 100 in the middle", most: 10 },
  { what: "find of the last one", most: 3_000 },
  { what: "cancel of the last one", most: 3_000 },
];
const HELD_MS = 10;

/** Runs the scenario. */
export async function inspection({ url, load, note }: Bench): Promise<Report> {
  await using peer = await PeerProcess.start(denoRuntime(), {
    module: "inspection",
    url,
    name: "redis-patterns-bench-inspection",
  });
  const count = 10 * load.count;
  const verdicts: string[] = [];
  for (const way of peer.introduction.probe) {
    note(`${count} messages, ${way}`);
    const figures = await peer.order({
      verb: "probe",
      way,
      work: { ...load, count },
    }) as number[];
    LOOKS.forEach(({ what, most }, i) => {
      const [ms = NaN, longest = NaN] = figures.slice(2 * i, 2 * i + 2);
      verdicts.push(goal(
        `${way}, ${what}: ${ms.toFixed(1)} ms (≤ ${most}), ` +
          `longest hold ${longest.toFixed(1)} ms (≤ ${HELD_MS})`,
        ms <= most && longest <= HELD_MS,
      ));
    });
  }
  return { load: `${count} ready messages of 100 bytes`, tables: [], verdicts };
}
