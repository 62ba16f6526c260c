/**
 * A master with Sentinels: who the master is, as most of the Sentinels that answer tell.
 *
 * They are asked every second while all is well, since a master that was cut off, or stopped, does not
 * say so itself: whoever waits there is told when another one is named.
 *
 * @module
 */
import { call } from "./call.ts";
import type { NodeClient } from "./client.ts";
import { first } from "./cluster.ts";
import { explain, isFatal, replyWord } from "./errors.ts";
import type { Asking, Discovery, Masters } from "./routed.ts";
import { adopt, staysDestroyed } from "./supervise.ts";
import { sleep, within } from "./timers.ts";

const EVERY_MS = 1_000;

/** How long a Sentinel may take to answer, and how much later than the first one. */
const ANSWER_MS = 1_000;
const LATER_MS = 50;

/** How Sentinels are asked. */
export interface SentinelAsking {
  /** Makes a client of one, not connected. */
  make: (address: string) => NodeClient;
  /** Told of one that has answered. */
  onAnswer: (address: string) => void;
}

/** Asks the Sentinels. */
export class SentinelDiscovery implements Discovery {
  readonly slots = false;
  readonly everyMs = EVERY_MS;
  readonly #name: string;
  readonly #seeds: readonly string[];
  readonly #asking: SentinelAsking;
  readonly #clients = new Map<string, NodeClient>();
  #closed = false;

  /**
   * @param name What the Sentinels call the master.
   * @param seeds `host:port` of the Sentinels.
   */
  constructor(name: string, seeds: readonly string[], asking: SentinelAsking) {
    this.#name = name;
    this.#seeds = seeds;
    this.#asking = asking;
  }

  async find({ ask, signal }: Asking): Promise<Masters> {
    const votes = new Map<string, number>();
    const attempts = this.#seeds.map(async (address) => {
      const master = await this.#askSentinel(address, signal);
      this.#asking.onAnswer(address);
      votes.set(master, (votes.get(master) ?? 0) + 1);
    });
    await first(attempts);
    const all = new AbortController();
    void Promise.allSettled(attempts).then(() => all.abort());
    await sleep(LATER_MS, AbortSignal.any([signal, all.signal]));
    const [master] = [...votes].sort(([, a], [, b]) => b - a)[0]!;
    // Named before it has become one, or after it was one: then they are asked again.
    const role = await ask(master, ["ROLE"]).catch((error) => {
      if (replyWord(error) === "NOPERM") return ["master"]; // an account with few rights
      throw error;
    });
    if ((role as unknown[])[0] !== "master") {
      throw new Error(`${master}, which the Sentinels name, is no master (yet)`);
    }
    return { bySlot: [master] };
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) if (client.isOpen) client.destroy();
    this.#clients.clear();
  }

  /** One connection each is kept, and thrown away when it does not answer. */
  async #askSentinel(address: string, signal: AbortSignal): Promise<string> {
    const question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.#name];
    try {
      const client = this.#clients.get(address) ?? await this.#open(address, signal);
      const master = await call(client, question, { deadlineMs: ANSWER_MS });
      if (!master) throw new Error(`the Sentinel at ${address} knows no master "${this.#name}"`);
      const [host, port] = master as [string, string];
      return `${host}:${port}`;
    } catch (error) {
      const client = this.#clients.get(address);
      this.#clients.delete(address);
      client?.destroy(); // also one that never stood, or what it has registered would stay
      throw explain(error, address);
    }
  }

  async #open(address: string, signal: AbortSignal): Promise<NodeClient> {
    const client = this.#asking.make(address);
    adopt(staysDestroyed(client));
    this.#clients.set(address, client);
    let last: unknown;
    client.on("error", (error) => last = error);
    try {
      await within(client.connect(), ANSWER_MS, signal);
    } catch (error) {
      throw isFatal(error) ? error : last ?? error;
    }
    if (this.#closed) client.destroy();
    return client;
  }
}
