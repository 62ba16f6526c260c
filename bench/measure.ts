/**
 * Contenders take turns, round after round, so that a machine that slows down slows all of them; a
 * figure is the median of its rounds. Redis itself says how many commands ran and what they left.
 *
 * @module
 */
import type { RedisClientType } from "redis";
import type { Work } from "./peer.ts";
import type { PeerProcess } from "./peer_process.ts";

/** One way of one peer to do something. */
export interface Contender {
  peer: PeerProcess;
  verb: "enqueue" | "drain";
  way: string;
}

/** What a contender achieved, one number a round. */
export interface Result {
  peer: string;
  runtime: string;
  way: string;
  /** Messages a second. */
  rates: number[];
  /** Commands that Redis ran for a message, those inside scripts included. */
  commands: number[];
  /** Bytes that Redis needs for a waiting message; for a drain, none. */
  bytes: number[];
}

/** How much is measured. */
export interface Load extends Work {
  rounds: number;
}

const WARM_UP = 10_000;

/** Has all contenders do the same work. */
export async function interleave(
  contenders: Contender[],
  load: Load,
  redis: RedisClientType,
): Promise<Result[]> {
  const warmUp = { ...load, count: Math.min(load.count, WARM_UP) };
  for (const contender of contenders) await turn(contender, warmUp, redis);
  const results = contenders.map(({ peer, way }): Result => ({
    peer: peer.introduction.label,
    runtime: peer.runtime,
    way,
    rates: [],
    commands: [],
    bytes: [],
  }));
  for (let round = 0; round < load.rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const { rate, commands, bytes } = await turn(contender, load, redis);
      results[i]!.rates.push(rate);
      results[i]!.commands.push(commands);
      if (contender.verb === "enqueue") results[i]!.bytes.push(bytes);
    }
  }
  return results;
}

/** One contender does the work once, beginning and ending with an empty queue. */
async function turn({ peer, verb, way }: Contender, work: Work, redis: RedisClientType) {
  await peer.order({ verb: "empty" });
  if (verb === "drain") await peer.order({ verb: "fill", work });
  const before = await stats(redis);
  const ms = await peer.order({ verb, way, work }) as number;
  const after = await stats(redis);
  await peer.order({ verb: "empty" });
  return {
    rate: work.count / ms * 1_000,
    commands: (after.commands - before.commands) / work.count,
    bytes: (after.bytes - before.bytes) / work.count,
  };
}

/** Commands run so far and memory used, once Redis has freed what was unlinked. */
async function stats(redis: RedisClientType): Promise<{ commands: number; bytes: number }> {
  let memory = await redis.info("memory");
  for (let tries = 0; field(memory, "lazyfree_pending_objects") > 0 && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    memory = await redis.info("memory");
  }
  const calls = (await redis.info("commandstats")).matchAll(/^cmdstat_(.+?):calls=(\d+)/gm);
  let commands = 0;
  for (const [, name, count] of calls) if (name !== "info") commands += Number(count);
  return { commands, bytes: field(memory, "used_memory") };
}

function field(info: string, name: string): number {
  return Number(info.match(new RegExp(`^${name}:(\\d+)`, "m"))?.[1] ?? 0);
}

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}
