/**
 * A private Redis with Sentinels on 127.0.0.1: a master, its replicas, and the Sentinels that watch
 * them, every one a {@link RedisServer} of its own. It stands in about a second, since each Sentinel
 * is told of the others beforehand. It ends with {@linkcode RedisSentinel.stop}, which leaves nothing.
 *
 * @module
 */

import { requireNative, until } from "./redis_cluster.ts";
import { freePort, RedisServer } from "./redis_server.ts";

/** How a private Redis with Sentinels is to be. */
export interface RedisSentinelOptions {
  /** How many replicas the master has. @default {2} */
  replicas?: number;
  /** How many Sentinels there are; most of them have to agree. @default {3} */
  sentinels?: number;
  /** After how long a silent master counts as down, in milliseconds. @default {1_000} */
  downAfterMs?: number;
  /** Keep data across {@linkcode RedisServer.kill} and restart. @default {false} */
  aof?: boolean;
  /** Password of the servers' default user; the Sentinels have none. @default none */
  password?: string;
  /** More lines of `redis.conf`, for the servers. */
  config?: Record<string, string | string[]>;
}

/** What the Sentinels call the master. */
const NAME = "mymaster";

/** A Redis with Sentinels of our own; see {@linkcode RedisSentinel.start}. */
export class RedisSentinel implements AsyncDisposable {
  /** What the Sentinels call the master. */
  readonly name = NAME;
  /** The servers: the master of the beginning in front. */
  readonly servers: readonly RedisServer[];
  /** The Sentinels. */
  readonly sentinels: readonly RedisServer[];
  readonly #password: string | undefined;

  private constructor(
    servers: RedisServer[],
    sentinels: RedisServer[],
    password: string | undefined,
  ) {
    this.servers = servers;
    this.sentinels = sentinels;
    this.#password = password;
  }

  /**
   * Starts all of them and waits until the replicas are in step and the Sentinels know each other.
   *
   * @throws {Error} if that takes more than 20 s, or there is no redis-server of its own
   */
  static async start(options: RedisSentinelOptions = {}): Promise<RedisSentinel> {
    const { replicas = 2, sentinels: count = 3, downAfterMs = 1_000 } = options;
    const { aof, password, config } = options;
    await requireNative("Sentinel");
    const started: RedisServer[] = [];
    try {
      const start = async (how: Parameters<typeof RedisServer.start>[0]) => {
        const server = await RedisServer.start(how);
        started.push(server);
        return server;
      };
      const master = await start({ aof, password, config });
      const replicaOf = { host: master.host, port: master.port };
      const followers = await Promise.all(Array.from({ length: replicas }, () => {
        return start({ aof, password, config, replicaOf });
      }));
      // Known beforehand: they would need seconds to find each other.
      const watchers = Array.from({ length: count }, () => ({ port: freePort(), id: makeId() }));
      const sentinels = await Promise.all(watchers.map(({ port, id }) => {
        const others = watchers.filter((other) => other.port !== port);
        return start({
          port,
          sentinel: [
            `sentinel myid ${id}`,
            "sentinel resolve-hostnames no",
            `sentinel monitor ${NAME} ${master.host} ${master.port} ${Math.floor(count / 2) + 1}`,
            `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
            `sentinel failover-timeout ${NAME} 2000`, // so that a failed one is tried again soon
            ...(password === undefined ? [] : [`sentinel auth-pass ${NAME} ${password}`]),
            ...followers.map(({ host, port }) => `sentinel known-replica ${NAME} ${host} ${port}`),
            ...others.map((other) =>
              `sentinel known-sentinel ${NAME} ${master.host} ${other.port} ${other.id}`
            ),
          ],
        });
      }));
      const all = new RedisSentinel([master, ...followers], sentinels, password);
      await all.settled();
      return all;
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      throw error;
    }
  }

  /** `redis+sentinel://…` with the addresses of the Sentinels, for `connect({ url })`. */
  get url(): string {
    const user = this.#password === undefined ? "" : `:${encodeURIComponent(this.#password)}@`;
    return `redis+sentinel://${user}${this.addresses.join(",")}/${NAME}`;
  }

  /** `host:port` of each Sentinel. */
  get addresses(): string[] {
    return this.sentinels.map(({ host, port }) => `${host}:${port}`);
  }

  /** The server that is the master now, as the Sentinels see it. */
  async master(): Promise<RedisServer> {
    const watcher = this.sentinels.find((sentinel) => sentinel.running && !sentinel.paused)!;
    const said = await watcher.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME);
    const port = Number(said.split("\n")[1]);
    return this.servers.find((server) => server.port === port)!;
  }

  /** Has the Sentinels make another server the master, and waits until they have. */
  async failover(): Promise<RedisServer> {
    const before = await this.master();
    await until(
      async () => await this.sentinels[0]!.cli("SENTINEL", "FAILOVER", NAME) === "OK",
      "SENTINEL FAILOVER",
    );
    await until(async () => await this.master() !== before, "the failover");
    return await this.master();
  }

  /** Waits until all replicas that live are in step, and the Sentinels that live know all servers. */
  async settled(): Promise<void> {
    const living = this.servers.filter((server) => server.running);
    await until(async () => {
      const said = await Promise.all(living.map((server) => server.cli("INFO", "replication")));
      const up = said.filter((text) => text.includes("master_link_status:up")).length;
      return up === living.length - 1;
    }, "the replicas");
    await until(async () => {
      const watchers = this.sentinels.filter((sentinel) => sentinel.running);
      const said = await Promise.all(watchers.map((one) => one.cli("INFO", "sentinel")));
      const words = `status=ok,address=127.0.0.1:${(await this.master()).port},` +
        `slaves=${this.servers.length - 1},sentinels=${this.sentinels.length}`;
      return said.every((text) => text.includes(words));
    }, "the Sentinels");
  }

  /** Ends all of them. */
  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.stop()));
  }

  /** The same as {@linkcode RedisSentinel.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Forty hexadecimal digits, as Redis names its runs. */
function makeId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
