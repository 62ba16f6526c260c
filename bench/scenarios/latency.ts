/**
 * `latency`: how long a message waits for workers that block. Single messages for an idle worker,
 * against BullMQ and bee-queue; delayed ones; and eight workers, whose connections are killed.
 *
 * @module
 */
import { goal, nodeOrNone, startPeers } from "../cast.ts";
import { median } from "../measure.ts";
import type { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";
import { p50, p99, probe, type Times } from "../times.ts";

const MESSAGES = 1_000;
const FEW = 20;
/** Most late, and longest wait where connections are killed. */
const LATE_MS = 5;
const KILLED_MS = 5_500;

/** Runs the scenario. */
export async function latency(bench: Bench): Promise<Report> {
  const { load: { rounds }, note } = bench;
  const inDeno = denoRuntime();
  const inNode = await nodeOrNone(["bullmq", "bee_queue"], note);
  await using stack = new AsyncDisposableStack();
  const peers = await startPeers(
    [
      ["reliable_queue", inDeno],
      ["priority_queue", inDeno],
      ["ours", inDeno],
      ["two_scripts", inDeno],
      ["bullmq", inDeno],
      ["bullmq", inNode],
      ["bee_queue", inDeno],
      ["bee_queue", inNode],
    ],
    bench,
    stack,
  );
  const having = (way: string) => peers.filter((peer) => peer.introduction.probe.includes(way));
  const time = (way: string, rounds: number, count: number) => {
    note(`${way}: ${rounds} rounds of ${count} messages`);
    return probe(having(way) as PeerProcess[], way, { rounds, count });
  };

  const single = await time("latency", rounds, MESSAGES);
  const due = await time("due within 5 s", 1, MESSAGES);
  const soon = await time("50 ms beside an hour", 1, FEW);
  const eight = await time("eight workers", 1, MESSAGES);
  const killed = await time("eight workers, killed", 1, MESSAGES);

  const bees = single.filter(({ peer }) => /^bee/.test(peer));
  const bee = (of: (times: Times) => number) => Math.min(...bees.map(of));
  const each = (
    times: Times[],
    text: string,
    of: (times: Times) => number,
    most: number,
  ) =>
    times.filter(({ peer }) => /^(Reliable|Priority)/.test(peer)).map((times) =>
      goal(
        `${times.peer} ${text}: ${of(times).toFixed(2)} ms (≤ ${most.toFixed(2)})`,
        of(times) <= most,
      )
    );
  const max = ({ max }: Times) => median(max);
  return {
    load: `single messages at least 3 ms apart; medians of ${rounds} interleaved rounds`,
    tables: [],
    times: [...single, ...due, ...soon, ...eight, ...killed],
    verdicts: [
      ...each(single, "latency p50, bee-queue's", p50, bee(p50)),
      ...each(single, "latency p99, bee-queue's", p99, bee(p99)),
      ...each(due, "delayed, late p99", p99, LATE_MS),
      ...each(soon, "50 ms beside an hour, late at most", max, LATE_MS),
      ...each(eight, "eight workers, wait p99", p99, LATE_MS),
      ...each(killed, "eight workers killed, longest wait", max, KILLED_MS),
    ],
  };
}
