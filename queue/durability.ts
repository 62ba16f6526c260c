/**
 * Messages that survive their master: an enqueue waits until replicas have what it wrote.
 *
 * Redis answers before its replicas have the write, so a master that dies, or is cut off while another
 * one takes over, takes what it alone has with it. `WAIT`, behind the write on the same connection, tells
 * how many replicas have it. Too few within the time is no failure: the message is stored, and said to
 * be unconfirmed, since nobody can take it back.
 *
 * While one batch waits, what is enqueued meanwhile becomes the next one: a replica that is away costs
 * the time once a batch, not once a message.
 *
 * @module
 */
import type { CommandArgument } from "../redis/client.ts";
import { checkOptions, optionNames } from "../redis/options.ts";
import type { OwnConnection } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { checkCount, checkMs } from "../redis/timers.ts";

/** How many replicas are to have a message before its enqueue resolves. */
export interface Durability {
  /** How many, from 1 to 100. With one, a message that is confirmed survives the end of its master. */
  replicas: number;
  /**
   * How long to wait for them, in milliseconds; from 1 to 10,000. After that the message is stored and
   * `confirmed` is false.
   *
   * @default 1_000
   */
  timeoutMs?: number;
}

const DURABILITY_OPTIONS = optionNames<Durability>({ replicas: true, timeoutMs: true });

/** Most messages that wait together. */
const MAX_TOGETHER = 1_000;

/**
 * Checks what an option says.
 *
 * @throws {RangeError} for a measure out of range.
 * @throws {TypeError} for what is no object of options.
 */
export function durabilityOf(option: Durability | undefined): Required<Durability> | undefined {
  if (option === undefined) return undefined;
  const { replicas, timeoutMs = 1_000 } = checkOptions("durability", option, DURABILITY_OPTIONS);
  return {
    replicas: checkCount("durability.replicas", replicas, { max: 100 }),
    timeoutMs: Math.ceil(checkMs("durability.timeoutMs", timeoutMs, { min: 1, max: 10_000 })),
  };
}

/** Writes and has them confirmed, on a connection that nobody else uses. */
export class Confirmer {
  readonly #own: OwnConnection;
  readonly #wanted: Required<Durability>;

  readonly #explain: (send: Send) => Send;

  /** @param explain Puts errors of Redis into words. */
  constructor(
    own: OwnConnection,
    wanted: Required<Durability>,
    explain: (send: Send) => Send,
  ) {
    this.#own = own;
    this.#wanted = wanted;
    this.#explain = explain;
  }

  /** Sends a write, and tells `onConfirmed` whether enough replicas have it. */
  sending(onConfirmed: (confirmed: boolean) => void): Send {
    const { replicas, timeoutMs } = this.#wanted;
    const wait = ["WAIT", String(replicas), String(timeoutMs)];
    return this.#explain(async (args: readonly CommandArgument[]) => {
      const [reply, have] = await this.#own.callThen(args, wait, { thenMs: timeoutMs });
      onConfirmed(Number(have) >= replicas);
      return reply;
    });
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    await this.#own.close();
  }
}

interface Batch<T, R> {
  items: T[];
  resolve: (results: R[]) => void;
  reject: (error: unknown) => void;
}

/** One batch at a time: what comes meanwhile goes together in the next. */
export function together<T, R>(send: (items: T[]) => Promise<R[]>): (items: T[]) => Promise<R[]> {
  const waiting: Batch<T, R>[] = [];
  let busy = false;
  const run = async () => {
    busy = true;
    while (waiting.length > 0) {
      let size = 0;
      let count = 0;
      while (count < waiting.length && size + waiting[count]!.items.length <= MAX_TOGETHER) {
        size += waiting[count++]!.items.length;
      }
      const batches = waiting.splice(0, Math.max(1, count));
      try {
        const results = await send(batches.flatMap(({ items }) => items));
        let at = 0;
        for (const { items, resolve } of batches) resolve(results.slice(at, at += items.length));
      } catch (error) {
        for (const { reject } of batches) reject(error);
      }
    }
    busy = false;
  };
  return (items) =>
    new Promise((resolve, reject) => {
      waiting.push({ items, resolve, reject });
      if (!busy) void run();
    });
}
