/**
 * Contenders take turns, round after round, so that a machine that slows down slows all of them; a
 * figure is the median of its rounds. Redis itself says how many commands ran and what they left.
 *
 * @module
 */
import type { RedisClientType } from "redis";
import type { Work } from "./peer.ts";
import type { PeerProcess } from "./peer_process.ts";
import { SentCommands } from "./sent_commands.ts";

/** One way of one peer to do something. */
export interface Contender {
  peer: PeerProcess;
  verb: "enqueue" | "drain";
  way: string;
  /** Messages a round, where a slow one is not asked for as many. */
  count?: number;
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
  /** Commands that clients sent for a message, as `MONITOR` shows them; from the warm-up. */
  sent: number;
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
  const results: Result[] = [];
  for (const contender of contenders) {
    const { peer, way, count = load.count } = contender;
    const warmUp = { ...load, count: Math.min(Math.ceil(count / 10), WARM_UP) };
    const { sent } = await turn(contender, warmUp, redis, true);
    const { introduction: { label }, runtime } = peer;
    results.push({
      peer: label,
      runtime,
      way,
      sent,
      rates: [],
      commands: [],
      bytes: [],
    });
  }
  for (let round = 0; round < load.rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const work = { ...load, count: contender.count ?? load.count };
      const { rate, commands, bytes } = await turn(contender, work, redis);
      results[i]!.rates.push(rate);
      results[i]!.commands.push(commands);
      if (contender.verb === "enqueue") results[i]!.bytes.push(bytes);
    }
  }
  return results;
}

/** One contender does the work once, beginning and ending with an empty queue. */
async function turn(
  { peer, verb, way }: Contender,
  work: Work,
  redis: RedisClientType,
  watched = false,
) {
  await peer.order({ verb: "empty" });
  if (verb === "drain") await peer.order({ verb: "fill", work });
  const before = await stats(redis);
  // Watching costs Redis more than most commands do, so it is for the warm-up.
  const watch = watched ? await SentCommands.watch(redis) : undefined;
  const ms = await peer.order({ verb, way, work }) as number;
  const sent = await watch?.end() ?? 0;
  const after = await stats(redis);
  await peer.order({ verb: "empty" });
  return {
    sent: sent / work.count,
    rate: work.count / ms * 1_000,
    commands: (after.commands - before.commands) / work.count,
    bytes: (after.bytes - before.bytes) / work.count,
  };
}

/** Commands run so far and memory used, once Redis has freed what was unlinked. */
async function stats(
  redis: RedisClientType,
): Promise<{ commands: number; bytes: number }> {
  let memory = await redis.info("memory");
  for (
    let tries = 0;
    field(memory, "lazyfree_pending_objects") > 0 && tries < 100;
    tries++
  ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    memory = await redis.info("memory");
  }
  const calls = (await redis.info("commandstats")).matchAll(
    /^cmdstat_(.+?):calls=(\d+)/gm,
  );
  let commands = 0;
  for (const [, name, count] of calls) {
    if (name !== "info") commands += Number(count);
  }
  return { commands, bytes: field(memory, "used_memory") };
}

function field(info: string, name: string): number {
  return Number(info.match(new RegExp(`^${name}:(\\d+)`, "m"))?.[1] ?? 0);
}

/** The value that a share `p` of the values does not exceed. */
export function percentile(values: number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)] ?? NaN;
}

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.slice(
    Math.ceil(sorted.length / 2) - 1,
    Math.floor(sorted.length / 2) + 1,
  );
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
}
