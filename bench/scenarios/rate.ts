/**
 * `rate`: whether four workers keep a limit of 100 messages a second over ten seconds, and how much they
 * ask meanwhile.
 *
 * @module
 */
import { goal } from "../cast.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const EXPECTED = 1_000;
const TOLERANCE = 0.02;
const COMMANDS = 5;

/** Runs the scenario. */
export async function rate({ url, load, note }: Bench): Promise<Report> {
  await using peer = await PeerProcess.start(denoRuntime(), {
    module: "rate",
    url,
    name: "redis-patterns-bench-rate",
  });
  const verdicts: string[] = [];
  for (let round = 0; round < load.rounds; round++) {
    note(`Round ${round + 1} of ${load.rounds}: 10 s`);
    const figures = await peer.order({
      verb: "probe",
      way: "100 a second",
      work: load,
    });
    const [handled = NaN, commands = NaN] = figures as number[];
    verdicts.push(
      goal(
        `${handled} messages in 10 s (${EXPECTED} ± ${100 * TOLERANCE} %)`,
        Math.abs(handled - EXPECTED) <= EXPECTED * TOLERANCE,
      ),
      goal(
        `${commands.toFixed(1)} commands a second a worker while it waits (≤ ${COMMANDS})`,
        commands <= COMMANDS,
      ),
    );
    await peer.order({ verb: "empty" });
  }
  return {
    load: "4 workers of 10 slots, rateLimit 100 a second",
    tables: [],
    verdicts,
  };
}
