/**
 * A connection for those who show things: it is there before Redis is. Each use says at once when Redis
 * is away, and why, instead of waiting for it; the next use tries again.
 *
 * @module
 */
import process from "node:process";
import { connect, type ConnectedClient, RedisConnectionError } from "@workshop/redis-patterns";
import { Monitor } from "./snapshot.ts";

/** How long one attempt to connect may take, in milliseconds. */
const ATTEMPT_MS = 2_000;

/** See the module. Whoever made it closes it. */
export class Link implements AsyncDisposable {
  readonly #url: string | undefined;
  #client: ConnectedClient | undefined;
  #monitor: Monitor | undefined;
  #connecting: Promise<Monitor> | undefined;
  #closed = false;

  /**
   * Connects nowhere yet.
   *
   * @param options `url`: as for `connect()`.
   */
  constructor(options: { url?: string } = {}) {
    this.#url = options.url;
  }

  /** Where Redis is, or should be: `host:port`, or a socket's path; no password. */
  get address(): string {
    if (this.#client) return addressOf(this.#client);
    const url = this.#url ?? (process.env["REDIS_URL"] || "redis://127.0.0.1:6379");
    if (!URL.canParse(url)) return "";
    const { protocol, hostname, port, pathname } = new URL(url);
    return protocol === "unix:" ? pathname : `${hostname}:${port || 6379}`;
  }

  /** The client, when there has been a connection. */
  get client(): ConnectedClient | undefined {
    return this.#client;
  }

  /**
   * The monitor on a connection that is up.
   *
   * @throws {RedisConnectionError} when there is none: at once for one that was lost, within two seconds
   * when there was none before.
   * @throws {TypeError} for a URL that is none.
   */
  async monitor(): Promise<Monitor> {
    if (!this.#monitor) return await (this.#connecting ??= this.#connect());
    if (this.#client!.isReady) return this.#monitor;
    // npm:redis is trying, and gives no sooner answer than its command's deadline.
    throw new RedisConnectionError("the connection is lost; trying again", {
      address: addressOf(this.#client!),
    });
  }

  async #connect(): Promise<Monitor> {
    try {
      const client = await connect({
        url: this.#url,
        timeoutMs: ATTEMPT_MS,
        heartbeatMs: 2_000,
        name: "monitor",
      });
      if (this.#closed) {
        client.destroy();
        throw new RedisConnectionError("closed", { address: addressOf(client) });
      }
      this.#client = client;
      return this.#monitor = new Monitor(client);
    } finally {
      this.#connecting = undefined;
    }
  }

  /** Closes the connection at once: nothing that is under way here would be missed. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    if (this.#client?.isOpen) this.#client.destroy();
    return Promise.resolve();
  }
}

function addressOf(client: ConnectedClient): string {
  const { host, port, path } = client.options.socket as {
    host?: string;
    port?: number;
    path?: string;
  };
  return path ?? `${host ?? "127.0.0.1"}:${port ?? 6379}`;
}
