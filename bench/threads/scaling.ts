/**
 * How much faster several threads are than one, with `ThreadPool` and without. Other programs on the
 * machine slow the threads down, not the one: so both are measured in turns, and compared with each other.
 *
 * @module
 */
import { once } from "node:events";
import { Worker as Thread } from "node:worker_threads";
import { ThreadPool } from "@workshop/redis-patterns/tasks";

/** What is run. */
export interface ThreadLoad {
  /** How many threads are compared with one. */
  threads: number;
  /** Tasks in all; a multiple of `threads`. */
  tasks: number;
  /** How long each is: turns of `burn`. */
  turns: number;
}

/** How many times as fast as one thread. */
export interface Scaling {
  /** Of `ThreadPool`. */
  pool: number;
  /** Of threads that get all their work at once. */
  bare: number;
  /** Tasks a second that the pool reached with all threads. */
  rate: number;
}

/** Threads that run, and can be measured again and again. */
export class ScalingBench implements AsyncDisposable {
  readonly #load: ThreadLoad;
  readonly #pools: [one: ThreadPool, all: ThreadPool];
  readonly #bare: Thread[];

  private constructor(
    load: ThreadLoad,
    pools: [ThreadPool, ThreadPool],
    bare: Thread[],
  ) {
    this.#load = load;
    this.#pools = pools;
    this.#bare = bare;
  }

  /** Starts the threads and warms them up. */
  static async start(load: ThreadLoad): Promise<ScalingBench> {
    const module = new URL("./handlers.ts", import.meta.url);
    const [one, all] = [1, load.threads].map((threads) => new ThreadPool({ module, threads }));
    await Promise.all([one!.start(), all!.start()]);
    const bare = Array.from(
      { length: load.threads },
      () => new Thread(new URL("./bare_thread.ts", import.meta.url)),
    );
    await Promise.all(bare.map((thread) => once(thread, "message")));
    const bench = new ScalingBench(load, [one!, all!], bare);
    await bench.round();
    return bench;
  }

  /** One after the other: a thread of the pool and all of them, a bare thread and all of them. */
  async round(): Promise<Scaling> {
    const [one, all] = this.#pools;
    const oneMs = await this.#pool(one);
    const allMs = await this.#pool(all);
    const oneBareMs = await this.#burn(this.#bare.slice(0, 1));
    const allBareMs = await this.#burn(this.#bare);
    return {
      pool: oneMs / allMs,
      bare: oneBareMs / allBareMs,
      rate: this.#load.tasks / allMs * 1_000,
    };
  }

  /** Milliseconds for a task that does nothing, there and back, one after the other. */
  async handOver(count: number): Promise<number> {
    const startedAt = performance.now();
    for (let i = 0; i < count; i++) await this.#pools[0].run("nothing", null);
    return (performance.now() - startedAt) / count;
  }

  /** Ends the threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close()));
    await Promise.all(this.#bare.map((thread) => thread.terminate()));
  }

  async #pool(pool: ThreadPool): Promise<number> {
    const { tasks, turns } = this.#load;
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: tasks }, () => pool.run("burn", turns)),
    );
    return performance.now() - startedAt;
  }

  async #burn(threads: Thread[]): Promise<number> {
    const { tasks, turns } = this.#load;
    const startedAt = performance.now();
    await Promise.all(threads.map((thread) => {
      thread.postMessage({ tasks: tasks / threads.length, turns });
      return once(thread, "message");
    }));
    return performance.now() - startedAt;
  }
}
