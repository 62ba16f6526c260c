/**
 * One run: a producer that stores numbers, worker processes that handle them, and meanwhile faults in a
 * random order: `kill -9` of a worker, `SIGSTOP` of one past its lease, `kill -9` of Redis. At the end
 * nobody is disturbed any more, until all is handled or nothing moves; then the workers are asked to
 * leave, and the files that they wrote are gone through.
 *
 * It ends with an {@linkcode Outcome} that says what was promised and not kept; or with an error, if it
 * could not be done at all.
 *
 * @module
 */
import { connect, type ConnectedClient } from "@workshop/redis-patterns";
import { isRetryable } from "../../redis/errors.ts";
import { RedisServer } from "../redis_server.ts";
import { Crew, type Member } from "./crew.ts";
import { KINDS, type Produced } from "./kinds.ts";
import { Random } from "./random.ts";
import { type Audit, audit, firstAcks, handedOverAgain } from "./trail.ts";

/** How hard a run is. */
export interface Plan {
  /** How many messages are enqueued. */
  messages: number;
  /** How often a worker is killed. */
  kills: number;
  /** How often one is stopped until its leases are over. */
  stops: number;
  /** How often Redis is killed. */
  redisKills: number;
  /** Decides the order of the faults and the pauses between them. */
  seed: number;
}

/** As long as continuous integration has time for. */
export const SHORT: Omit<Plan, "seed"> = { messages: 2_000, kills: 30, stops: 5, redisKills: 3 };
/** On request. */
export const LONG: Omit<Plan, "seed"> = {
  messages: 100_000,
  kills: 500,
  stops: 50,
  redisKills: 50,
};

/** How many worker processes there are, and how many handlers each runs. */
export const WORKERS = 5;
export const CONCURRENCY = 8;
/** How long leases are: far shorter than anybody's, so that they are over often. */
export const LEASE_MS = 1_200;
const HANDLE_MS: [number, number] = [5, 60];
/** How much of its lease a worker sleeps. */
const STOPPED_MS = LEASE_MS * 1.6;
const PAUSE_MS: [number, number] = [40, 140];
const DOWN_MS: [number, number] = [20, 300];
/** How long somebody to be hit is looked for. */
const VICTIM_MS = 15_000;
/** How long nothing may move before the rest counts as stuck. */
const STUCK_MS = 15_000;

/** What a run did, and what came of it. */
export interface Outcome {
  kind: string;
  title: string;
  isControl: boolean;
  plan: Plan;
  /** What was done, as it turned out. */
  done: { confirmed: number; kills: number; stops: number; redisKills: number };
  audit: Audit;
  /** How often a message may have been completed twice: faults × concurrency. */
  mayTwice: number;
  /** From kill -9 or SIGSTOP of a worker until what it had in hand was handed over again. */
  againMs: number[];
  /** From the start of a Redis that was killed, loading included, until the first ack. */
  backMs: number[];
  /** How long the run took. */
  ms: number;
  /** What was promised and not kept, in words. */
  broken: string[];
}

type Fault = "kill" | "stop" | "redis";

/** Runs one kind. `signal` ends it early, with its reason. */
export async function runChaos(
  kind: string,
  plan: Plan,
  { signal }: { signal?: AbortSignal } = {},
): Promise<Outcome> {
  await using server = await RedisServer.start({ aof: true });
  await using redis = await connect({ url: server.url });
  const name = `chaos-${kind}`;
  await using queue = KINDS[kind]!.open(redis, name, LEASE_MS);
  const orders = {
    url: server.url,
    kind,
    name,
    leaseMs: LEASE_MS,
    concurrency: CONCURRENCY,
    handleMs: HANDLE_MS,
  };
  await using crew = new Crew(orders, server.dir);
  const run = new Run({ kind, plan, server, redis, queue, crew, signal });
  return await run.toItsEnd();
}

class Run {
  readonly #kind: string;
  readonly #plan: Plan;
  readonly #server: RedisServer;
  readonly #queue: Produced;
  readonly #crew: Crew;
  readonly #signal: AbortSignal | undefined;
  readonly #random: Random;
  readonly #faults: Fault[];
  /** Who had what in hand when it was hit. */
  readonly #hits: { at: number; inHand: number[] }[] = [];
  readonly #redisBeganAt: number[] = [];
  readonly #stopped = new Set<Promise<void>>();
  readonly #confirmed: number[] = [];
  readonly #broken: string[] = [];
  #faultsDone = 0;
  #over = false;

  constructor(
    made: {
      kind: string;
      plan: Plan;
      server: RedisServer;
      redis: ConnectedClient;
      queue: Produced;
      crew: Crew;
      signal: AbortSignal | undefined;
    },
  ) {
    const { kind, plan, server, queue, crew, signal } = made;
    this.#kind = kind;
    this.#plan = plan;
    this.#server = server;
    this.#queue = queue;
    this.#crew = crew;
    this.#signal = signal;
    this.#random = new Random(plan.seed);
    const of = (fault: Fault, count: number) => Array<Fault>(count).fill(fault);
    const { kills, stops, redisKills } = plan;
    this.#faults = this.#random.shuffled([
      ...of("kill", kills),
      ...of("stop", stops),
      ...of("redis", redisKills),
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

  /** In step with the faults, so that there is something in hand at each of them. */
  async #produce(): Promise<void> {
    const { messages } = this.#plan;
    const random = new Random(this.#plan.seed + 1);
    const ahead = Math.ceil(2 * messages / (this.#faults.length + 1));
    for (let sent = 0; sent < messages;) {
      if (this.#signal?.aborted) return;
      const due = ahead + messages * this.#faultsDone / (this.#faults.length + 1);
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
      await this.#queue.enqueue(numbers, delayMs);
      this.#confirmed.push(...numbers);
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
      if (fault === "redis") await this.#killRedis();
      else {
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
    for (;;) {
      this.#signal?.throwIfAborted();
      const victim = this.#crew.busiest();
      if (victim) return victim;
      if (performance.now() > until) {
        throw new Error(`No worker of "${this.#kind}" had anything in hand for ${VICTIM_MS} ms`);
      }
      await pause(5);
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

  async #killRedis(): Promise<void> {
    await this.#server.kill();
    await pause(this.#random.between(...DOWN_MS));
    this.#redisBeganAt.push(Date.now());
    await this.#server.restart();
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

  #outcome(ms: number, left: string[]): Outcome {
    const trails = this.#crew.trails.map((trail) => trail.read());
    const { kills, stops, redisKills } = this.#plan;
    const found = audit(trails, this.#confirmed);
    const mayTwice = (kills + stops + redisKills) * CONCURRENCY;
    const { title, isControl = false } = KINDS[this.#kind]!;
    const outcome: Outcome = {
      kind: this.#kind,
      title,
      isControl,
      plan: this.#plan,
      done: { confirmed: this.#confirmed.length, kills, stops, redisKills },
      audit: found,
      mayTwice,
      againMs: handedOverAgain(trails, this.#hits),
      backMs: firstAcks(trails, this.#redisBeganAt),
      ms,
      broken: [],
    };
    outcome.broken = isControl
      ? controlBroken(outcome)
      : [...this.#broken, ...broken(outcome), ...this.#crew.deserted.map(deserted), ...left];
    return outcome;
  }
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
