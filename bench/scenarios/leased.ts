/**
 * `leased`: how fast the queues with leases take and hand out small messages, against BullMQ with and
 * without priorities and bee-queue; all of them at least once, each at its best concurrency. What it
 * costs Redis: commands, and bytes a waiting message.
 *
 * @module
 */
import { best, goal, nodeOrNone, startPeers } from "../cast.ts";
import { type Contender, interleave, median } from "../measure.ts";
import type { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

/** A fifth of the messages for those that are that much slower; a longer queue only slows them. */
const SHARE = 5;

/**
 * Each with whom it is compared, how many times faster it is to be, and the most commands and bytes that a
 * message may need. An XADD takes one message.
 */
const OURS = [
  {
    name: "ReliableQueue",
    rival: "BullMQ",
    pattern: /^BullMQ \d/,
    least: 12,
    commands: 0.5,
    bytes: 160,
  },
  {
    name: "PriorityQueue",
    rival: "BullMQ with priorities",
    pattern: /^BullMQ with/,
    least: 12,
    commands: 0.5,
    bytes: 280,
  },
  {
    name: "StreamQueue",
    rival: "BullMQ",
    pattern: /^BullMQ \d/,
    least: 11,
    commands: 1.5,
    bytes: 200,
  },
] as const;

/** Runs the scenario. */
export async function leased(bench: Bench): Promise<Report> {
  const { load, redis, note } = bench;
  const inDeno = denoRuntime();
  const inNode = await nodeOrNone(
    ["bullmq", "bullmq_priorities", "bee_queue"],
    note,
  );
  await using stack = new AsyncDisposableStack();
  const peers = await startPeers(
    [
      ["reliable_queue", inDeno],
      ["priority_queue", inDeno],
      ["stream_queue", inDeno],
      ["bullmq", inDeno],
      ["bullmq", inNode],
      ["bullmq_priorities", inDeno],
      ["bullmq_priorities", inNode],
      ["bee_queue", inNode ?? inDeno],
    ],
    bench,
    stack,
  );
  const ways = (peer: PeerProcess, verb: "enqueue" | "drain"): Contender[] => {
    const ours = peer.introduction.label.includes("Queue ");
    const count = ours ? load.count : Math.ceil(load.count / SHARE);
    return peer.introduction[verb].filter((way) => !/bulk|all$/i.test(way))
      .map((way) => ({ peer, verb, way, count }));
  };
  // Rivals next to each other, so that both have the same minute of a busy machine.
  const all = (verb: "enqueue" | "drain") => {
    const each = peers.map((peer) => ways(peer, verb));
    const most = Math.max(...each.map(({ length }) => length));
    return Array.from(
      { length: most },
      (_, i) => each.flatMap((ways) => ways[i] ?? []),
    ).flat();
  };

  note(`Enqueuing: ${load.rounds} rounds`);
  const enqueue = await interleave(all("enqueue"), load, redis);
  note(`Draining: ${load.rounds} rounds`);
  const drain = await interleave(all("drain"), load, redis);

  const plain = /^BullMQ \d/;
  return {
    load: `${load.count} messages of 100 bytes (others: ${Math.ceil(load.count / SHARE)}), ` +
      `${load.atATime} at a time, median of ${load.rounds}`,
    tables: [
      {
        title: "enqueue",
        results: enqueue,
        baseline: median(best(enqueue, plain, /./).rates),
      },
      {
        title: "drain",
        results: drain,
        baseline: median(best(drain, plain, /./).rates),
      },
    ],
    verdicts: OURS.flatMap(
      ({ name, rival, pattern, least, commands: few, bytes: most }) => {
        const added = best(enqueue, new RegExp(`^${name}`), /./);
        const drained = best(drain, new RegExp(`^${name}`), /./);
        const times = median(drained.rates) /
          median(best(drain, pattern, /./).rates);
        const commands = median(added.commands) + median(drained.commands);
        const sent = added.sent + drained.sent;
        const bytes = median(added.bytes);
        return [
          goal(
            `${name} drains ${times.toFixed(1)} × ${rival} (≥ ${least} ×)`,
            times >= least,
          ),
          goal(
            `${name}: ${commands.toFixed(3)} commands a message in and out, ` +
              `${sent.toFixed(3)} of them sent (≤ ${few})`,
            commands <= few,
          ),
          goal(
            `${name}: ${bytes.toFixed(0)} bytes a waiting message (≤ ${most})`,
            bytes <= most,
          ),
        ];
      },
    ),
  };
}
