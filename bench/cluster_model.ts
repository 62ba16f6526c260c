/**
 * How a queue with partitions grows with its masters: a simulation of workers and masters that take turns
 * on a number of cores.
 *
 * ```
 *   worker: ── claim ──► master: fixed + each · k ──► worker: fixed + each · k ── ack ──► master: fixed
 *              k = free slots / partitions
 * ```
 *
 * A master is one thread, and so is a worker; each job takes a core from its beginning to its end, the
 * one that has waited longest first. What a job costs is measured, not guessed: see scenarios/cluster.ts.
 *
 * @module
 */

/** What jobs cost, in microseconds of a core. */
export interface Costs {
  /** Of a master: for a script, and for each message that it claims and acknowledges. */
  master: Cost;
  /** Of a worker: for a script that it sends and reads, and for each message. */
  worker: Cost;
}

/** What a job costs: a part that it always does, and one that grows. */
export interface Cost {
  /** For a script. */
  script: number;
  /** For a message. */
  message: number;
}

/** What is simulated. */
export interface Setting {
  masters: number;
  partitions: number;
  workers: number;
  /** Slots of each worker. */
  concurrency: number;
  cores: number;
  /** How many messages are taken in all. */
  count: number;
}

/** Somebody who does one job at a time. */
interface Actor {
  busy: boolean;
  readonly jobs: Job[];
}

interface Job {
  readonly actor: Actor;
  readonly us: number;
  readonly then: () => void;
}

interface Running {
  ends: number;
  job: Job;
}

/** Messages a second that the setting takes. */
export function simulate(costs: Costs, setting: Setting): number {
  const { masters, partitions, workers, concurrency, cores, count } = setting;
  const machine = new Machine(cores);
  const servers = Array.from({ length: masters }, () => machine.actor());
  let done = 0;
  for (let w = 0; w < workers; w++) {
    const worker = machine.actor();
    const batch = Math.max(1, Math.floor(concurrency / partitions));
    for (let p = 0; p < Math.min(partitions, concurrency); p++) {
      const server = servers[Math.floor(p * masters / partitions)]!;
      const claim = () => {
        if (done >= count) return;
        const { script, message } = costs.master;
        machine.add(server, script + message * batch, handle);
      };
      const handle = () => {
        const { script, message } = costs.worker;
        machine.add(worker, 2 * script + message * batch, () => {
          done += batch;
          machine.add(server, costs.master.script, () => {}); // the ack
          claim();
        });
      };
      claim();
    }
  }
  machine.run(() => done >= count);
  return done / machine.now * 1e6;
}

/** Cores, and actors that wait for one. */
class Machine {
  now = 0;
  #free: number;
  readonly #waiting: Actor[] = [];
  /** Jobs under way, by when they end; not in order, since there are few. */
  readonly #running: Running[] = [];

  constructor(cores: number) {
    this.#free = cores;
  }

  actor(): Actor {
    return { busy: false, jobs: [] };
  }

  add(actor: Actor, us: number, then: () => void): void {
    actor.jobs.push({ actor, us, then });
    if (!actor.busy) this.#queue(actor);
  }

  run(isOver: () => boolean): void {
    while (!isOver()) {
      while (this.#free > 0 && this.#waiting.length > 0) {
        const job = this.#waiting.shift()!.jobs.shift()!;
        this.#free--;
        this.#running.push({ ends: this.now + job.us, job });
      }
      if (this.#running.length === 0) return;
      let first = 0;
      for (const [i, { ends }] of this.#running.entries()) {
        if (ends < this.#running[first]!.ends) first = i;
      }
      const [{ ends, job }] = this.#running.splice(first, 1) as [Running];
      this.now = ends;
      this.#free++;
      job.actor.busy = false;
      job.then();
      if (job.actor.jobs.length > 0 && !job.actor.busy) this.#queue(job.actor);
    }
  }

  #queue(actor: Actor): void {
    actor.busy = true;
    this.#waiting.push(actor);
  }
}

/** Two runs of one master: what scripts and messages cost, from how many scripts there were a message. */
export function fit(
  runs: readonly { scriptsEach: number; usEach: number }[],
): Cost {
  const [few, many] = runs.toSorted((a, b) => a.scriptsEach - b.scriptsEach) as [
    typeof runs[0],
    typeof runs[0],
  ];
  const slope = (many.usEach - few.usEach) /
    (many.scriptsEach - few.scriptsEach);
  const script = Math.max(0, slope);
  return {
    script,
    message: Math.max(0, few.usEach - script * few.scriptsEach),
  };
}
