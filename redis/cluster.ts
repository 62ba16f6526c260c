/**
 * A cluster: who its masters are, as its nodes tell.
 *
 * Any node may be asked, and one that is behind the others tells what was; so each question begins
 * with another node, and what a server says with `MOVED` goes before.
 *
 * @module
 */
import type { Ask, Asking, Discovery, Masters } from "./routed.ts";
import { SLOTS } from "./slots.ts";
import { sleep } from "./timers.ts";

/** How often the nodes are asked while all is well: what is misplaced says so itself. */
const EVERY_MS = 10_000;

/** How long one is waited for before the next is asked as well. */
const NEXT_MS = 300;

/** Asks the nodes of a cluster. */
export class ClusterDiscovery implements Discovery {
  readonly slots = true;
  readonly everyMs = EVERY_MS;
  readonly #seeds: () => readonly string[];
  #known: readonly string[] = [];
  #turn = 0;

  /** @param seeds Gives `host:port` of some nodes; the others are found. */
  constructor(seeds: () => readonly string[]) {
    this.#seeds = seeds;
  }

  async find({ ask, ready, signal }: Asking): Promise<Masters> {
    const turn = this.#turn++;
    for (let i = 0; i < ready.length; i++) {
      const address = ready[(turn + i) % ready.length]!;
      // One that does not answer, or sees no cluster, is not the only one.
      const found = await this.#askOne(ask, address).catch(() => undefined);
      if (found) return found;
    }
    const others = new Set([...this.#known, ...this.#seeds()].filter((at) => !ready.includes(at)));
    return await this.#askInTurn(ask, [...others], signal);
  }

  /** One after the other, but without waiting long for one that is frozen, or gone. */
  async #askInTurn(
    ask: Ask,
    addresses: readonly string[],
    signal: AbortSignal,
  ): Promise<Masters> {
    const answered = new AbortController();
    const over = AbortSignal.any([signal, answered.signal]);
    return await first(addresses.map(async (address, i) => {
      await sleep(i * NEXT_MS, over);
      if (over.aborted) throw new Error("nobody had to be asked any more");
      const found = await this.#askOne(ask, address);
      answered.abort();
      return found;
    }));
  }

  async #askOne(ask: Ask, address: string): Promise<Masters> {
    const host = address.slice(0, address.lastIndexOf(":"));
    const ranges = await ask(address, ["CLUSTER", "SLOTS"]) as [number, number, ...Place[]][];
    const bySlot: (string | undefined)[] = new Array(SLOTS).fill(undefined);
    const known = new Set<string>();
    for (const [from, to, ...places] of ranges) {
      const addresses = places.map(([at, port]) => `${at || host}:${port}`);
      bySlot.fill(addresses[0], Number(from), Number(to) + 1);
      for (const each of addresses) known.add(each);
    }
    if (known.size === 0) throw new Error(`CLUSTERDOWN ${address} knows of no slots`);
    this.#known = [...known];
    return { bySlot };
  }
}

/** Host and port of a node; an empty host is that of the node that was asked. */
type Place = [string | null, number, ...unknown[]];

/** The first that succeeds; else the error that tells most: one that no waiting mends. */
export async function first<T>(attempts: Promise<T>[]): Promise<T> {
  try {
    return await Promise.any(attempts);
  } catch (error) {
    if (!(error instanceof AggregateError)) throw error;
    const errors = error.errors as Error[];
    throw errors.find((one) => "fatal" in one && one.fatal) ?? errors[0] ??
      new Error("there is nobody to ask");
  }
}
