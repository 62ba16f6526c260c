/**
 * `tasks`: how fast streams are drained, with and without task records and results, against BullMQ; and how long
 * whoever asks for a result waits for it.
 *
 * @module
 */
import { best, goal, nodeOrNone, startPeers } from "../cast.ts";
import { type Contender, interleave, median } from "../measure.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";
import { p50, p99, probe } from "../times.ts";

/** A fifth of the messages for those that are that much slower. */
const SHARE = 5;

/** How many times as fast as BullMQ each is to be. */
const OURS = [
  { name: "StreamQueue", what: "a stream without task records", least: 11 },
  { name: "tasks", what: "tasks with records, events and results", least: 4 },
] as const;

/** Results asked for, and how late at most. */
const ASKED = 200;
const LATE_MS = 2;

/** Runs the scenario. */
export async function tasks(bench: Bench): Promise<Report> {
  const { load, redis, note } = bench;
  const inDeno = denoRuntime();
  const inNode = await nodeOrNone(["bullmq"], note);
  await using stack = new AsyncDisposableStack();
  const peers = await startPeers(
    [["stream_queue", inDeno], ["tasks", inDeno], ["bullmq", inDeno], [
      "bullmq",
      inNode,
    ]],
    bench,
    stack,
  );
  const contenders = peers.flatMap((peer) => {
    const own = /^(Stream|tasks)/.test(peer.introduction.label);
    const count = own ? load.count : Math.ceil(load.count / SHARE);
    return peer.introduction.drain.map((way): Contender => ({
      peer,
      verb: "drain",
      way,
      count,
    }));
  });
  note(`Draining: ${load.rounds} rounds`);
  const drain = await interleave(contenders, load, redis);
  note(`Results: ${load.rounds} rounds of ${ASKED}`);
  const askers = peers.filter(({ introduction }) =>
    introduction.probe.includes("result, blocking")
  );
  const work = { rounds: load.rounds, count: ASKED };
  const times = [
    ...await probe(askers, "result, blocking", work),
    ...await probe(askers, "result, polling", work),
  ];
  const plain = /^BullMQ \d/;
  const rival = median(best(drain, plain, /./).rates);
  const late = p99(times[0]!);
  return {
    load: `${load.count} messages of 100 bytes (BullMQ: ${Math.ceil(load.count / SHARE)}), ` +
      `median of ${load.rounds}; results at least 15 ms apart`,
    tables: [{ title: "drain", results: drain, baseline: rival }],
    times,
    verdicts: [
      ...OURS.map(({ name, what, least }) => {
        const ratio = median(best(drain, new RegExp(`^${name}`), /./).rates) /
          rival;
        return goal(
          `${what}: ${ratio.toFixed(1)} × BullMQ (≥ ${least} ×)`,
          ratio >= least,
        );
      }),
      goal(
        `a result is there ${p50(times[0]!).toFixed(2)} ms (p50) and ${late.toFixed(2)} ms (p99) ` +
          `after the handler's return (≤ ${LATE_MS} ms)`,
        late <= LATE_MS,
      ),
    ],
  };
}
