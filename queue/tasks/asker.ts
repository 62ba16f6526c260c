/**
 * Asking for the end of tasks: again and again (polling), or by listening (blocking).
 *
 * ```
 *   the script that ends a task ──PUBLISH──► one subscription for all who ask here ──► whoever asked for it
 * ```
 *
 * The end is published with its record, so that hearing of it costs no command. It is asked for once after the
 * subscription stands, and again when the connection was lost and every five seconds, since pub/sub may lose
 * a message. In Redis nothing stands for those who ask: who gives up leaves nothing behind, and a second
 * after the last one has left the subscription is gone as well.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { clearTimeout, setTimeout as setNodeTimeout } from "node:timers";
import { call } from "../../redis/call.ts";
import { addressOf, type NodeClient, type RedisClient } from "../../redis/client.ts";
import { explain, isRetryable, RedisConnectionError } from "../../redis/errors.ts";
import { Merger } from "../../redis/merge.ts";
import { OwnConnection } from "../../redis/own_connection.ts";
import { backoffMs, DeadlineError, sleep, within } from "../../redis/timers.ts";
import type { Mode } from "../message.ts";
import { hasEnded, readRecord, type TaskRecord } from "./task_record.ts";

/** How often what was published is looked for all the same, in milliseconds. */
const RECHECK_MS = 5_000;

/** How long the subscription stays when nobody asks any more. */
const LINGER_MS = 1_000;

/** How long a subscription may take to be confirmed. */
const SUBSCRIBE_MS = 5_000;

/** How to wait for an end. */
export interface AskOptions {
  /** How. */
  mode: Mode;
  /** Pause between two questions in polling mode. */
  pollMs: number;
  /** For how long at most; Infinity for ever. */
  waitMs: number;
  /** Ends it; then its reason is thrown. */
  signal: AbortSignal | undefined;
}

/** Told of an end: by its record, or by undefined when it has to be looked for. Or why nobody listens any more. */
type Told = (heard: { record?: TaskRecord; failure?: unknown }) => void;

/** See the module. */
export class Asker {
  readonly #records: Merger<{ id: string; length: number }, Buffer | null>;
  readonly #ends: Ends;
  readonly #closing = new AbortController();

  constructor(client: RedisClient, key: string, channel: string) {
    this.#ends = new Ends(client, channel, key);
    this.#records = new Merger(async (asked) =>
      await call(client, ["HMGET", key, ...asked.map(({ id }) => id)], { raw: true }) as (
        | Buffer
        | null
      )[]
    );
  }

  /**
   * What is on record of a task at its end, or when the time is over; undefined if there is no record.
   *
   * @throws The reason of `signal`.
   * @throws {RedisConnectionError} when Redis did not answer, and no waiting mends that.
   */
  async ask(
    id: string,
    { mode, pollMs, waitMs, signal }: AskOptions,
  ): Promise<TaskRecord | undefined> {
    signal?.throwIfAborted();
    const over = signal ? [signal, this.#closing.signal] : [this.#closing.signal];
    const until = performance.now() + waitMs;
    if (waitMs === 0) return await this.#record(id);
    if (mode === "polling") return await this.#poll(id, { pollMs, until, over });
    return await this.#listen(id, { until, over });
  }

  /** Calls back all who wait: they throw. */
  async close(): Promise<void> {
    this.#closing.abort(new TypeError("The object that was asked for a task's end was closed"));
    await this.#ends.close();
  }

  async #record(id: string): Promise<TaskRecord | undefined> {
    const raw = await this.#records.add({ id, length: id.length });
    return raw ? readRecord(id, raw) : undefined;
  }

  async #poll(
    id: string,
    { pollMs, until, over }: { pollMs: number; until: number; over: readonly AbortSignal[] },
  ): Promise<TaskRecord | undefined> {
    for (let failures = 0;;) {
      try {
        const record = await this.#record(id);
        failures = 0;
        if (!record || hasEnded(record) || performance.now() >= until) return record;
      } catch (error) {
        // Redis is away: ask again, unless that would not help.
        if (!isRetryable(error) || performance.now() >= until) throw error;
        failures++;
      }
      const pause = failures > 0 ? Math.max(pollMs, backoffMs(failures)) : pollMs;
      await sleep(Math.max(0, Math.min(pause, until - performance.now())), ...over);
      for (const signal of over) signal.throwIfAborted();
    }
  }

  async #listen(
    id: string,
    { until, over }: { until: number; over: readonly AbortSignal[] },
  ): Promise<TaskRecord | undefined> {
    let heard: TaskRecord | undefined;
    let failure: { error: unknown } | undefined;
    let look = true;
    let wake = () => {};
    const leave = this.#ends.hear(id, ({ record, failure: error }) => {
      if (record) heard = record;
      else if (error !== undefined) failure = { error };
      else look = true;
      wake();
    });
    try {
      for (;;) {
        for (const signal of over) signal.throwIfAborted();
        if (heard) return heard;
        if (failure) throw failure.error;
        if (look && this.#ends.listening) {
          look = false;
          const record = await this.#look(id, until, over);
          if (record === "away") look = true; // told again when the connection stands
          else if (!record || hasEnded(record)) return heard ?? record;
          if (heard) continue;
        }
        const left = until - performance.now();
        if (left <= 0) return heard ?? await this.#record(id);
        const woken = new AbortController();
        wake = () => woken.abort();
        if (!heard && !failure && !(look && this.#ends.listening)) {
          await sleep(Math.min(left, RECHECK_MS), ...over, woken.signal);
        }
        wake = () => {};
      }
    } finally {
      leave();
    }
  }

  async #look(
    id: string,
    until: number,
    over: readonly AbortSignal[],
  ): Promise<TaskRecord | undefined | "away"> {
    try {
      return await this.#record(id);
    } catch (error) {
      if (!isRetryable(error) || performance.now() >= until) throw error;
      await sleep(backoffMs(1), ...over);
      return "away";
    }
  }
}

/** One subscription for all who ask. */
class Ends {
  readonly #parent: RedisClient;
  readonly #connection: OwnConnection;
  readonly #channel: string;
  readonly #asking = new Map<string, Set<Told>>();
  readonly #closing = new AbortController();
  #client: NodeClient | undefined;
  #loop: Promise<void> | undefined;
  #rechecking: ReturnType<typeof setInterval> | undefined;
  #lingering: ReturnType<typeof setNodeTimeout> | undefined;
  #left: () => void = () => {};

  /**
   * @param key What is on record: the server that has it runs the script, and publishes only if somebody
   * listens right there.
   */
  constructor(parent: RedisClient, channel: string, key: string) {
    this.#parent = parent;
    this.#channel = channel;
    this.#connection = new OwnConnection(parent, key);
  }

  /** Whether what is published now is heard. */
  get listening(): boolean {
    return this.#client !== undefined;
  }

  /** From now on `told` is told of the task's end. Gives what ends that. */
  hear(id: string, told: Told): () => void {
    const all = this.#asking.get(id);
    if (all) all.add(told);
    else this.#asking.set(id, new Set([told]));
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
    this.#rechecking ??= setInterval(() => this.#tellAll({}), RECHECK_MS);
    this.#loop ??= this.#run();
    return () => {
      const others = this.#asking.get(id);
      others?.delete(told);
      if (others?.size === 0) this.#asking.delete(id);
      if (this.#asking.size > 0) return;
      clearInterval(this.#rechecking);
      this.#rechecking = undefined;
      if (this.#closing.signal.aborted) return;
      this.#lingering = setNodeTimeout(() => {
        this.#lingering = undefined;
        this.#left();
      }, LINGER_MS);
      this.#lingering.unref(); // keeps no program alive
    };
  }

  async close(): Promise<void> {
    clearTimeout(this.#lingering);
    this.#closing.abort();
    this.#left();
    await this.#connection.close();
    await this.#loop;
  }

  /** Whether somebody asks, or did a moment ago. */
  get #isWanted(): boolean {
    return this.#asking.size > 0 || this.#lingering !== undefined;
  }

  /** One connection after the other, while somebody asks. */
  async #run(): Promise<void> {
    let failure: unknown;
    for (let failures = 0; this.#isWanted && !this.#closing.signal.aborted;) {
      try {
        await this.#listen();
        failures = 0;
      } catch (error) {
        this.#connection.discard();
        if (!isRetryable(error)) {
          failure = error;
          break;
        }
        await sleep(backoffMs(failures++), this.#closing.signal);
      } finally {
        this.#client = undefined;
      }
    }
    // In the same breath as the look at who asks: whoever comes next begins anew.
    this.#loop = undefined;
    if (!this.#closing.signal.aborted && failure !== undefined) this.#tellAll({ failure });
  }

  /** The life of one subscription; it ends when nobody asks any more, or throws what it was lost by. */
  async #listen(): Promise<void> {
    const client = await this.#connection.client(this.#closing.signal);
    let lost!: (error: unknown) => void;
    const over = new Promise<void>((resolve, reject) => {
      this.#left = resolve;
      lost = (error) => reject(explain(error, addressOf(this.#parent)));
    });
    over.catch(() => {}); // awaited below
    client.on("error", lost);
    const address = addressOf(this.#parent);
    const left = () =>
      lost(new RedisConnectionError("another server has the queue now", { address }));
    client.on("end", left);
    try {
      const subscribing = client.subscribe(this.#channel, (raw: Buffer) => this.#heard(raw), true);
      await this.#answered(Promise.race([subscribing, over]));
      this.#client = client;
      this.#tellAll({}); // what ended before it stood was not heard
      if (this.#isWanted) await over; // else the last one has left before it stood
      this.#client = undefined;
      await this.#answered(client.unsubscribe(this.#channel));
    } finally {
      client.off("error", lost);
      client.off("end", left);
      this.#left = () => {};
    }
  }

  async #answered(reply: Promise<unknown>): Promise<void> {
    const address = addressOf(this.#parent);
    try {
      await within(reply, SUBSCRIBE_MS);
    } catch (error) {
      if (!(error instanceof DeadlineError)) throw explain(error, address);
      const text = `no answer to SUBSCRIBE or UNSUBSCRIBE within ${SUBSCRIBE_MS} ms`;
      throw new RedisConnectionError(text, { address, sent: true, cause: error });
    }
  }

  #tellAll(heard: { failure?: unknown }): void {
    for (const all of [...this.#asking.values()]) for (const told of [...all]) told(heard);
  }

  /** `<bytes of id> <bytes of record>⏎<id><record>`, once or more; a long record is left out. */
  #heard(raw: Buffer): void {
    for (let at = 0; at < raw.length;) {
      const eol = raw.indexOf(10, at);
      const said = /^(\d{1,9}) (\d{1,9})$/.exec(eol < 0 ? "" : raw.toString("latin1", at, eol));
      if (!said) return; // somebody else's
      const [idBytes, recordBytes] = [Number(said[1]), Number(said[2])];
      const idEnd = eol + 1 + idBytes;
      if (idEnd + recordBytes > raw.length) return;
      const id = raw.toString("utf8", eol + 1, idEnd);
      const all = this.#asking.get(id);
      if (all) {
        const record = recordBytes
          ? readRecord(id, raw.subarray(idEnd, idEnd + recordBytes))
          : undefined;
        for (const told of [...all]) told(record ? { record } : {});
      }
      at = idEnd + recordBytes;
    }
  }
}
