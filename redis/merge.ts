/**
 * Calls made in one turn of the event loop share one command.
 *
 * A round trip costs far more than a message, so a thousand `enqueue` calls made together become one
 * variadic `LPUSH`, without the caller asking for it. While a command is under way, calls wait for the end
 * of their turn. Where none is, a call waits only for those that are made in the same breath (before the
 * caller awaits): what comes alone is not kept waiting for company.
 *
 * A command that fails rejects the calls that went into it, and no others.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** Most items in one command: Redis serves nobody else while it works on it. */
const MAX_ITEMS = 1_000;

/** Most payload bytes (about) in one command, so that a few large ones do not make a huge one. */
const MAX_BYTES = 1_048_576;

/** The items of one command after the other. */
export function* batches<T extends { length: number }>(items: readonly T[]): Generator<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    if (batch.length >= MAX_ITEMS || (batch.length > 0 && bytes + item.length > MAX_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += item.length;
  }
  if (batch.length > 0) yield batch;
}

interface Batch<T, R> {
  items: T[];
  bytes: number;
  resolvers: ((reply: R) => void)[];
  rejecters: ((error: unknown) => void)[];
}

/** Gathers the items of one turn and sends them in batches, in the order of the calls. An item's
 * `length` is about its size in bytes. */
export class Merger<T extends { length: number }, R> {
  readonly #send: (items: T[]) => Promise<R[]>;
  #batch: Batch<T, R> | undefined;
  #underWay = 0;

  /**
   * @param send Sends the items in one command and gives each item's reply, in the same order.
   */
  constructor(send: (items: T[]) => Promise<R[]>) {
    this.#send = send;
  }

  /** Adds an item to this turn's command. Resolves with the reply for this item. */
  add(item: T): Promise<R> {
    let batch = this.#batch;
    if (
      batch === undefined || batch.items.length >= MAX_ITEMS ||
      batch.bytes + item.length > MAX_BYTES
    ) {
      batch = this.#begin();
    }
    batch.items.push(item);
    batch.bytes += item.length;
    const { resolvers, rejecters } = batch;
    return new Promise((resolve, reject) => {
      resolvers.push(resolve);
      rejecters.push(reject);
    });
  }

  /** A full batch leaves at once, the last one at the end of the turn. */
  #begin(): Batch<T, R> {
    if (this.#batch) void this.#flush(this.#batch);
    const batch: Batch<T, R> = { items: [], bytes: 0, resolvers: [], rejecters: [] };
    this.#batch = batch;
    const flush = () => {
      if (this.#batch === batch) void this.#flush(batch);
    };
    if (this.#underWay === 0) queueMicrotask(flush);
    else setImmediate(flush);
    return batch;
  }

  async #flush(batch: Batch<T, R>): Promise<void> {
    if (this.#batch === batch) this.#batch = undefined;
    this.#underWay++;
    try {
      const replies = await this.#send(batch.items);
      batch.resolvers.forEach((resolve, i) => resolve(replies[i]!));
    } catch (error) {
      for (const reject of batch.rejecters) reject(error);
    } finally {
      this.#underWay--;
    }
  }
}
