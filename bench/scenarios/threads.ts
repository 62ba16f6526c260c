/**
 * `threads`: how much faster two threads of `ThreadPool` run CPU-bound handlers than one, beside what two
 * bare threads reach on this machine.
 *
 * @module
 */
import { goal } from "../cast.ts";
import { median } from "../measure.ts";
import type { Bench, Report } from "../scenario.ts";
import { type Scaling, ScalingBench } from "../threads/scaling.ts";

const LOAD = { threads: 2, tasks: 40, turns: 1_000_000 };
const GOAL = 1.7;
const HAND_OVERS = 2_000;

/** Runs the scenario. */
export async function threads(
  { load: { rounds }, note }: Bench,
): Promise<Report> {
  await using bench = await ScalingBench.start(LOAD);
  const scalings: Scaling[] = [];
  for (let round = 1; round <= rounds; round++) {
    const scaling = await bench.round();
    scalings.push(scaling);
    note(
      `round ${round}: ${scaling.pool.toFixed(2)} ×, bare threads ${scaling.bare.toFixed(2)} ×`,
    );
  }
  const [pool, bare, rate] = (["pool", "bare", "rate"] as const)
    .map((of) => median(scalings.map((scaling) => scaling[of]))) as [
      number,
      number,
      number,
    ];
  const best = Math.max(...scalings.map(({ pool }) => pool));
  const handOverMs = await bench.handOver(HAND_OVERS);
  return {
    load: `${LOAD.tasks} tasks of ${LOAD.turns} turns, median of ${rounds}`,
    tables: [],
    verdicts: [
      `${LOAD.threads} bare threads: ${bare.toFixed(2)} × one; ThreadPool ${pool.toFixed(2)} × ` +
      `(best ${best.toFixed(2)} ×), ${rate.toFixed(0)} tasks/s of ${
        (LOAD.threads * 1_000 / rate).toFixed(1)
      } ms`,
      `A task there and back: ${(handOverMs * 1_000).toFixed(0)} µs`,
      goal(
        `ThreadPool, ${LOAD.threads} threads: ${pool.toFixed(2)} × one (≥ ${GOAL})`,
        pool >= GOAL,
      ),
    ],
  };
}
