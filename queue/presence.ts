/**
 * A consumer says that it is there: every ten seconds, from the loop that it runs anyway, for half a
 * minute each time. A killed one is named until then.
 *
 * @module
 */
import process from "node:process";
import type { QueueKeys } from "../redis/keys.ts";
import type { Send } from "../redis/script.ts";
import { presentScript } from "./leased_scripts.ts";
import type { Mode } from "./message.ts";
import { Registration } from "./registry.ts";

/** How often it is said, and how long that is believed. */
export const PRESENCE_MS = 10_000;
export const PRESENCE_TTL_MS = 30_000;

/** See the module. */
export class Presence {
  readonly #keys: QueueKeys;
  readonly #consumer: string;
  readonly #mode: Mode;
  readonly #registration: Registration;
  readonly #startedAt = Date.now();
  #again = -Infinity;

  constructor(
    { keys, kind, name, consumer, mode }: {
      keys: QueueKeys;
      kind: string;
      name: string;
      consumer: string;
      mode: Mode;
    },
  ) {
    this.#keys = keys;
    this.#consumer = consumer;
    this.#mode = mode;
    this.#registration = new Registration(kind, name);
  }

  /** Says it, if it is time again. */
  async renew(send: Send, holds: number): Promise<void> {
    const now = performance.now();
    if (now < this.#again) return;
    this.#again = now + PRESENCE_MS - 500; // a loop that comes every ten seconds is not early
    const [mode, startedAt] = [this.#mode, this.#startedAt];
    const { pid } = process;
    await this.#say(send, JSON.stringify({ host: hostname(), pid, mode, startedAt, holds }));
    await this.#registration.renew(send);
  }

  /** Says goodbye, if it ever said that it was there. */
  async leave(send: Send): Promise<void> {
    if (this.#again > -Infinity) await this.#say(send, "");
  }

  async #say(send: Send, info: string): Promise<void> {
    try {
      const args = { consumer: this.#consumer, ttl_ms: PRESENCE_TTL_MS, info };
      await presentScript.run(send, this.#keys, args);
    } catch {
      // Work goes on unseen: Redis is away, at maxmemory, or does not permit it.
    }
  }
}

/** The machine's name where reading it is allowed already, else "". */
function hostname(): string {
  const { Deno } = globalThis as {
    Deno?: { hostname(): string; permissions: { querySync(what: object): { state: string } } };
  };
  if (!Deno) return process.env["HOSTNAME"] ?? "";
  const query = { name: "sys", kind: "hostname" };
  return Deno.permissions.querySync(query).state === "granted" ? Deno.hostname() : "";
}
