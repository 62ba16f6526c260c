/**
 * Contenders whose messages are timed one by one. They take turns, as in `measure.ts`.
 *
 * @module
 */
import { percentile } from "./measure.ts";
import { median } from "./measure.ts";
import type { PeerProcess } from "./peer_process.ts";

/** Milliseconds that messages of one peer took, one number a round. */
export interface Times {
  peer: string;
  runtime: string;
  way: string;
  p50: number[];
  p99: number[];
  max: number[];
}

/** Has all peers do the same. */
export async function probe(
  peers: PeerProcess[],
  way: string,
  { rounds, count }: { rounds: number; count: number },
): Promise<Times[]> {
  const all = peers.map(({ introduction: { label }, runtime }): Times => ({
    peer: label,
    runtime,
    way,
    p50: [],
    p99: [],
    max: [],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, peer] of peers.entries()) {
      await peer.order({ verb: "empty" });
      const work = { count, atATime: 1 };
      const ms = await peer.order({ verb: "probe", way, work }) as number[];
      all[i]!.p50.push(percentile(ms, 0.5));
      all[i]!.p99.push(percentile(ms, 0.99));
      all[i]!.max.push(Math.max(...ms));
    }
  }
  return all;
}

/** The median of the rounds' medians. */
export function p50(times: Times): number {
  return median(times.p50);
}

/** The median of what 99 of 100 messages did not exceed, round by round. */
export function p99(times: Times): number {
  return median(times.p99);
}
