/**
 * A worker's side of a queue that has partitions: an intake for each, and two connections to each master
 * for all of them: over one it claims and is told of tokens, over the other it settles.
 *
 * It ends with `close()`, which gives back what came and was not handed out.
 *
 * @module
 */
import type { RedisClient } from "../redis/client.ts";
import { MasterConnections } from "../redis/master_connections.ts";
import { within } from "../redis/timers.ts";
import type { Delivery } from "./delivery.ts";
import type { Ended, Intake, IntakeOptions, Lines } from "./intake.ts";
import type { ReceiveOptions } from "./message.ts";
import { PartitionedClaims } from "./partitioned_claims.ts";
import { random } from "./uid.ts";
import { CONNECT_MS, WakeWatch } from "./wake_watch.ts";

/** How long the end may take while Redis does not answer; connections have a part of it. */
const CLOSE_MS = 500;
const DISCONNECT_MS = 50;

/** What it is made of. */
export interface PartitionedIntakeParts<T> {
  client: RedisClient;
  /** Where the token of each partition is. */
  tokens: readonly string[];
  /** Makes the intake of a partition. */
  open: (index: number, lines: Lines) => Intake<Delivery<T>>;
  mode: IntakeOptions<Delivery<T>>["mode"];
  /** Resolves when the number of partitions is known to be right. */
  enter: () => Promise<void>;
  /** Which partition is asked first. */
  turn: number;
}

/** See the module. */
export class PartitionedIntake<T> implements Intake<Delivery<T>> {
  readonly givesBack = true;
  readonly #intakes: readonly Intake<Delivery<T>>[];
  readonly #claims: PartitionedClaims<Delivery<T>>;
  readonly #taking: WakeWatch | MasterConnections;
  readonly #settling: MasterConnections;
  readonly #enter: () => Promise<void>;
  readonly #of = new WeakMap<Delivery<T>, number>();
  /** How many messages with a lapsed lease are in hand, of each partition. */
  readonly #lapsed: number[];

  constructor({ client, tokens, open, mode, enter, turn }: PartitionedIntakeParts<T>) {
    this.#enter = enter;
    this.#settling = new MasterConnections(client);
    const taking = mode === "blocking"
      ? new WakeWatch(client, tokens)
      : new MasterConnections(client, { connectMs: CONNECT_MS });
    this.#taking = taking;
    const name = random(10);
    this.#intakes = tokens.map((key, i) =>
      open(i, {
        taking: (args, signal) => taking.call(key, args, signal),
        settling: (args) => this.#settling.call(key, args),
        consumer: `${name}-${i + 1}`,
      })
    );
    this.#lapsed = tokens.map(() => 0);
    const lanes = this.#intakes.map((_, i) => ({
      claim: (most: number, signal?: AbortSignal) => this.#claim(i, most, signal),
      holdsBack: () => this.#lapsed[i]! > 0,
    }));
    const watch = taking instanceof WakeWatch ? taking : undefined;
    this.#claims = new PartitionedClaims(lanes, { watch, turn });
  }

  get answeredAt(): number | undefined {
    const latest = Math.max(...this.#intakes.map(({ answeredAt }) => answeredAt ?? -Infinity));
    return latest === -Infinity ? undefined : latest;
  }

  async take(max: number, options: ReceiveOptions): Promise<Delivery<T>[]> {
    await this.#enter();
    return await this.#claims.take(max, options);
  }

  lost(delivery: Delivery<T>, now: number): Error | undefined {
    const error = this.#at(delivery).lost?.(delivery, now);
    if (error) this.#over(delivery);
    return error;
  }

  done(delivery: Delivery<T>, settled?: (error?: Error) => void): void {
    this.#at(delivery).done(delivery, settled);
    this.#over(delivery);
  }

  async failed(delivery: Delivery<T>, error: unknown): Promise<Ended> {
    const failing = this.#at(delivery).failed(delivery, error);
    this.#over(delivery);
    return await failing;
  }

  async release(delivery: Delivery<T>): Promise<boolean> {
    const releasing = this.#at(delivery).release(delivery);
    this.#over(delivery);
    return await releasing;
  }

  signal(delivery: Delivery<T>): AbortSignal {
    return this.#at(delivery).signal(delivery);
  }

  abort(delivery: Delivery<T>, reason: unknown): void {
    this.#at(delivery).abort(delivery, reason);
  }

  async close(ms = CLOSE_MS): Promise<void> {
    const until = performance.now() + ms - 2 * DISCONNECT_MS;
    const leftMs = () => Math.max(1, until - performance.now());
    // The last one first, since each goes to the front.
    const giveBack = (delivery: Delivery<T>) => this.release(delivery).catch(() => {}); // or by its lease
    const left = (await this.#claims.close(leftMs() / 2, giveBack)).reverse();
    const back = Promise.all(left.map(giveBack));
    await within(back, leftMs()).catch(() => {});
    await Promise.all(this.#intakes.map((intake) => intake.close(leftMs())));
    await Promise.all([this.#taking.close(DISCONNECT_MS), this.#settling.close(DISCONNECT_MS)]);
  }

  async #claim(at: number, most: number, signal?: AbortSignal): Promise<Delivery<T>[]> {
    const batch = await this.#intakes[at]!.take(most, signal ? { signal } : {});
    for (const delivery of batch) {
      this.#of.set(delivery, at);
      if (delivery.lapsed) this.#lapsed[at]!++;
    }
    return batch;
  }

  #at(delivery: Delivery<T>): Intake<Delivery<T>> {
    return this.#intakes[this.#of.get(delivery)!]!;
  }

  /** The next message that lapsed may be taken now. */
  #over(delivery: Delivery<T>): void {
    if (!delivery.lapsed) return;
    const at = this.#of.get(delivery)!;
    if (--this.#lapsed[at]! === 0) this.#claims.expect(at);
  }
}
