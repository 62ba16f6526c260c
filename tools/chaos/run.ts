/**
 * One run: a producer that stores numbers, worker processes that handle them, and meanwhile faults in a
 * random order: `kill -9` of a worker, `SIGSTOP` of one past its lease, and what the ground has of faults
 * of servers (grounds.ts): `kill -9` of Redis, or of a master for which another one takes over. At the end
 * nobody is disturbed any more, until all is handled or nothing moves; then the workers are asked to
 * leave, and the files that they wrote are gone through.
 *
 * It ends with an {@linkcode Outcome} that says what was promised and not kept; or with an error, if it
 * could not be done at all.
 *
 * @module
 */
import { connect } from "@workshop/redis-patterns";
import { isRetryable } from "../../redis/errors.ts";
import { queueKeys } from "../../redis/keys.ts";
import { Crew, type Member } from "./crew.ts";
import {
  type Ground,
  groundOf,
  type Hardness,
  type Interruption,
  SERVER_FAULTS,
  type ServerFault,
  type Topology,
} from "./grounds.ts";
import { KINDS, type Produced } from "./kinds.ts";
import { Random } from "./random.ts";
import { type Audit, audit, firstAcks, handedOverAgain, type Span } from "./trail.ts";

/** How hard a run is, where, and in which order. */
export interface Plan extends Hardness {
  topology: Topology;
  /** Decides the order of the faults and the pauses between them. */
  seed: number;
}

/** How many worker processes there are, and how many handlers each runs. */
export const WORKERS = 5;
export const CONCURRENCY = 8;
/** How long leases are: far shorter than anybody's, so that they are over often. */
export const LEASE_MS = 1_200;
const HANDLE_MS: [number, number] = [5, 60];
/** How much of its lease a worker sleeps. */
const STOPPED_MS = LEASE_MS * 1.6;
const PAUSE_MS: [number, number] = [40, 140];
/** How long somebody to be hit is looked for, and how often meanwhile whether there is anything to do. */
const VICTIM_MS = 15_000;
const LOOK_MS = 500;
/** By then a replica has what its master has, on a busy machine. */
const REPLICATED_MS = 200;
/** How long nothing may move before the rest counts as stuck. */
const STUCK_MS = 15_000;

/** What a run did, and what came of it. */
export interface Outcome {
  kind: string;
  title: string;
  isControl: boolean;
  plan: Plan;
  /** How many messages were said to be safe, and of the others, which might be, how many were not. */
  confirmed: number;
  unconfirmed: { count: number; lost: number };
  audit: Audit;
  /** How often a message may have been completed twice: all that a fault has cut off from its ack. */
  mayTwice: number;
  /** From kill -9 or SIGSTOP of a worker until what it had in hand was handed over again. */
  againMs: number[];
  /** From each fault of a server until the first ack behind it; see grounds.ts for what it begins with. */
  backMs: Record<ServerFault, number[]>;
  /** How long the run took. */
  ms: number;
  /** What was promised and not kept, in words. */
  broken: string[];
}

type Fault = "kill" | "stop" | ServerFault;

/** Runs one kind. `signal` ends it early, with its reason. */
export async function runChaos(
  kind: string,
  plan: Plan,
  { signal }: { signal?: AbortSignal } = {},
): Promise<Outcome> {
  const name = `chaos-${kind}`;
  const { start, replicas } = groundOf(plan.topology);
  await using ground = await start(queueKeys(name).ready);
  await using redis = await connect({ url: ground.url });
  await using queue = KINDS[kind]!.open(redis, name, { leaseMs: LEASE_MS, replicas });
  const orders = {
    url: ground.url,
    kind,
    name,
    leaseMs: LEASE_MS,
    concurrency: CONCURRENCY,
    handleMs: HANDLE_MS,
  };
  await using crew = new Crew(orders, ground.dir);
  const run = new Run({ kind, plan, ground, queue, crew, signal });
  return await run.toItsEnd();
}

class Run {
  readonly #kind: string;
  readonly #plan: Plan;
  readonly #ground: Ground;
  readonly #queue: Produced;
  readonly #crew: Crew;
  readonly #signal: AbortSignal | undefined;
  readonly #random: Random;
  readonly #faults: Fault[];
  /** Who had what in hand when it was hit. */
  readonly #hits: { at: number; inHand: number[] }[] = [];
  readonly #interruptions: Interruption[] = [];
  readonly #stopped = new Set<Promise<void>>();
  readonly #confirmed: number[] = [];
  readonly #unconfirmed: number[] = [];
  readonly #broken: string[] = [];
  #faultsDone = 0;
  /** How often everything that was stored was gone, as it may be where nothing is promised. */
  #gone = 0;
  #over = false;

  constructor(
    made: {
      kind: string;
      plan: Plan;
      ground: Ground;
      queue: Produced;
      crew: Crew;
      signal: AbortSignal | undefined;
    },
  ) {
    const { kind, plan, ground, queue, crew, signal } = made;
    this.#kind = kind;
    this.#plan = plan;
    this.#ground = ground;
    this.#queue = queue;
    this.#crew = crew;
    this.#signal = signal;
    this.#random = new Random(plan.seed);
    const of = (fault: Fault, count: number) => Array<Fault>(count).fill(fault);
    this.#faults = this.#random.shuffled([
      ...of("kill", plan.kills),
      ...of("stop", plan.stops),
      ...SERVER_FAULTS.flatMap((fault) => of(fault, plan[fault])),
    ]);
  }

  async toItsEnd(): Promise<Outcome> {
    const startedAt = performance.now();
    for (let i = 0; i < WORKERS; i++) this.#crew.add();
    const producing = this.#produce();
    producing.catch(() => {}); // awaited below
    try {
      await this.#torment();
    } finally {
      this.#over = true;
      await Promise.all(this.#stopped);
    }
    await producing;
    await this.#untilNothingMoves();
    const left = await this.#crew.leave();
    const remains = await this.#queue.remains();
    return this.#outcome(performance.now() - startedAt, [...left, ...remains]);
  }

  /**
   * In step with the faults, so that there is something in hand at each of them, and something left to show
   * that work goes on after the last one.
   */
  async #produce(): Promise<void> {
    const { messages } = this.#plan;
    const random = new Random(this.#plan.seed + 1);
    const share = messages / (this.#faults.length + 2);
    for (let sent = 0; sent < messages;) {
      if (this.#signal?.aborted) return;
      const due = share * (2 + this.#faultsDone + this.#gone);
      if (sent >= due && !this.#over) {
        await pause(2);
        continue;
      }
      const size = Math.min(messages - sent, random.between(1, 20));
      const numbers = Array.from({ length: size }, (_, i) => sent + i);
      sent += size;
      // Half of them delayed, so that promoting is interrupted as well.
      const delayMs = random.next() < 0.5 ? 0 : random.between(1, 300);
      await this.#store(numbers, delayMs);
    }
  }

  async #store(numbers: number[], delayMs: number): Promise<void> {
    try {
      const safe = await this.#queue.enqueue(numbers, delayMs);
      (safe ? this.#confirmed : this.#unconfirmed).push(...numbers);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      // Who promises nothing may say that Redis is away; then it is not known whether they are stored.
      if (!KINDS[this.#kind]!.isControl) this.#broken.push(`an enqueue failed: ${error}`);
      await pause(20);
    }
  }

  async #torment(): Promise<void> {
    for (const fault of this.#faults) {
      await pause(this.#random.between(...PAUSE_MS));
      if (fault !== "kill" && fault !== "stop") {
        // Somebody is at work, or it would interrupt nobody.
        await this.#victim();
        const interruption = await this.#ground.faults[fault]!(this.#random);
        this.#interruptions.push({ fault, ...interruption });
      } else {
        const victim = await this.#victim();
        this.#hits.push({ at: Date.now(), inHand: [...victim.trail.inHand] });
        if (fault === "kill") {
          await this.#crew.kill(victim);
          this.#crew.add();
        } else this.#stopFor(victim, STOPPED_MS);
      }
      this.#faultsDone++;
    }
  }

  /** Somebody who has something in hand: a kill that hits nobody proves nothing. */
  async #victim(): Promise<Member> {
    const until = performance.now() + VICTIM_MS;
    let look = performance.now() + LOOK_MS;
    for (;;) {
      this.#signal?.throwIfAborted();
      const victim = this.#crew.busiest();
      if (victim) return victim;
      if (performance.now() > until) {
        throw new Error(`No worker of "${this.#kind}" had anything in hand for ${VICTIM_MS} ms`);
      }
      await pause(5);
      if (performance.now() < look) continue;
      if (Object.values(await this.#queue.counts()).every((count) => count === 0)) this.#gone++;
      look = performance.now() + LOOK_MS;
    }
  }

  #stopFor(victim: Member, ms: number): void {
    this.#crew.stop(victim);
    const stopped = pause(ms).then(() => {
      this.#crew.continue(victim);
      this.#stopped.delete(stopped);
    });
    this.#stopped.add(stopped);
  }

  /** Until everything is handled; or until nothing was handled for a while, which is a broken promise. */
  async #untilNothingMoves(): Promise<void> {
    let lines = -1;
    let until = performance.now() + STUCK_MS;
    for (;;) {
      this.#signal?.throwIfAborted();
      const counts = await this.#queue.counts();
      const empty = Object.values(counts).every((count) => count === 0);
      const said = this.#crew.trails.reduce((sum, trail) => sum + trail.read().said.length, 0);
      const moves = said !== lines;
      if (empty && !moves) return;
      if (moves) until = performance.now() + STUCK_MS;
      if (performance.now() > until) {
        this.#broken.push(`nothing moved for ${STUCK_MS} ms: ${JSON.stringify(counts)}`);
        return;
      }
      lines = said;
      // Longer than a handler takes: what a plain list has handed out is nowhere else.
      await pause(2 * HANDLE_MS[1]);
    }
  }

  /** Where another server takes over, what the dead one alone had is gone: an ack waits for no replica. */
  #lastMoments(): Span[] {
    if (groundOf(this.#plan.topology).replicas === 0) return [];
    return this.#interruptions.filter(({ fault }) => fault === "redisKills")
      .map(({ at, since }) => ({ from: at - REPLICATED_MS, to: since }));
  }

  #outcome(ms: number, left: string[]): Outcome {
    const trails = this.#crew.trails.map((trail) => trail.read());
    const found = audit(trails, this.#confirmed, this.#lastMoments());
    const { title, isControl = false } = KINDS[this.#kind]!;
    const back = (fault: ServerFault) =>
      firstAcks(trails, this.#interruptions.filter((one) => one.fault === fault));
    const outcome: Outcome = {
      kind: this.#kind,
      title,
      isControl,
      plan: this.#plan,
      confirmed: this.#confirmed.length,
      unconfirmed: {
        count: this.#unconfirmed.length,
        lost: audit(trails, this.#unconfirmed).lost.length,
      },
      audit: found,
      mayTwice: mayTwice(this.#plan),
      againMs: handedOverAgain(trails, this.#hits),
      backMs: {
        redisKills: back("redisKills"),
        handovers: back("handovers"),
        moves: back("moves"),
      },
      ms,
      broken: [],
    };
    outcome.broken = isControl
      ? controlBroken(outcome)
      : [...this.#broken, ...broken(outcome), ...this.#crew.deserted.map(deserted), ...left];
    return outcome;
  }
}

/** A fault cuts off one worker's hand; one that outlasts all leases, everybody's. */
function mayTwice(plan: Plan): number {
  const { kills, stops, redisKills, handovers, moves, topology } = plan;
  const everybody = groundOf(topology).outlastsLeases ? WORKERS : 1;
  return (kills + stops + redisKills * everybody + handovers + moves) * CONCURRENCY;
}

function broken({ audit, mayTwice }: Outcome): string[] {
  const { lost, doubleAcks, completedTwice } = audit;
  return [
    ...(lost.length > 0 ? [`${lost.length} lost: ${lost.slice(0, 20).join(", ")}`] : []),
    ...(doubleAcks > 0 ? [`${doubleAcks} acked twice`] : []),
    ...(completedTwice > mayTwice
      ? [`${completedTwice} completed twice, of which the faults account for ${mayTwice}`]
      : []),
  ];
}

/** What loses nothing here would lose nothing anywhere: then the faults were too weak. */
function controlBroken({ audit }: Outcome): string[] {
  return audit.lost.length > 0 ? [] : ["the control lost nothing, so the run proves nothing"];
}

const deserted = (how: string) => `a worker ended by itself (${how})`;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
