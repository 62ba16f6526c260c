/**
 * A private redis-server for tests and for trying things out: its own port on 127.0.0.1, its own
 * temporary folder. It can be killed, paused and restarted in the same place. It ends with
 * {@linkcode RedisServer.stop}, which leaves no process and no folder; if we die without it, even
 * by kill -9, a {@link Janitor} does the same.
 *
 * @module
 */

import { Janitor } from "./janitor.ts";
import { findRedis, type RedisBinary } from "./provision.ts";
import { isReady, redisConf, type RedisServerOptions } from "./redis_config.ts";
import { run } from "./run.ts";
import { ServerProcess } from "./server_process.ts";

export type { RedisServerOptions, TlsFiles } from "./redis_config.ts";

const READY_MS = 10_000;
const STOP_MS = 3_000;
/** Others may take the port we found free before our server does. */
const PORT_TRIES = 5;

/** A redis-server of our own; see {@linkcode RedisServer.start}. */
export class RedisServer implements AsyncDisposable {
  /** Where it listens: always 127.0.0.1. */
  readonly host = "127.0.0.1";
  /** The port it listens on, the same after a restart. */
  readonly port: number;
  /** Its folder: configuration, data, log. Gone after {@linkcode RedisServer.stop}. */
  readonly dir: string;
  readonly #binary: RedisBinary;
  readonly #options: RedisServerOptions;
  readonly #janitor: Janitor;
  #process: ServerProcess | undefined;
  #paused = false;
  #stopping: Promise<void> | undefined;

  private constructor(
    binary: RedisBinary,
    { dir, port, options }: { dir: string; port: number; options: RedisServerOptions },
  ) {
    this.#binary = binary;
    this.#options = options;
    this.dir = dir;
    this.port = port;
    this.#janitor = new Janitor(dir, binary.image && binary.command);
  }

  /**
   * Starts a server and waits until it is ready.
   *
   * @throws {Deno.errors.AddrInUse} if `options.port` is taken
   * @throws {Error} if it does not get ready within 10 s, with the end of its log; or if there is
   * no redis-server to be had
   */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const binary = await findRedis();
    for (let tries = 1;; tries++) {
      const port = options.port ?? (options.bus ? portWithBus() : freePort());
      const dir = await Deno.makeTempDir({ prefix: "redis-patterns-" });
      const server = new RedisServer(binary, { dir, port, options });
      try {
        await server.#launch();
        return server;
      } catch (error) {
        await server.stop();
        const lostRace = error instanceof Deno.errors.AddrInUse && options.port === undefined;
        if (!lostRace || tries === PORT_TRIES) throw error;
      }
    }
  }

  /** The URL to connect to, with the password if there is one. */
  get url(): string {
    const { password, tls } = this.#options;
    const user = password === undefined ? "" : `:${encodeURIComponent(password)}@`;
    return `${tls ? "rediss" : "redis"}://${user}${this.host}:${this.port}`;
  }

  /** The port over which it talks to the other nodes of a cluster. */
  get busPort(): number {
    return this.port + 10_000;
  }

  /** Whether it runs, paused or not. */
  get running(): boolean {
    return this.#process !== undefined && !this.#process.ended;
  }

  /** Whether it is frozen. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Process id of the server; with Docker that of `docker run`. */
  get pid(): number {
    return this.#process!.pid;
  }

  /** File with everything the server has said, across restarts. */
  get logPath(): string {
    return `${this.dir}/redis.log`;
  }

  /** Everything the server has said, across restarts. */
  log(): Promise<string> {
    return Deno.readTextFile(this.logPath);
  }

  /**
   * What redis-cli prints for a command. An error reply is printed, too, not thrown.
   *
   * @throws {Error} if there is no redis-cli, or it could not reach the server
   */
  async cli(...args: string[]): Promise<string> {
    const { cli, env } = this.#binary;
    if (!cli) throw new Error("There is no redis-cli beside this redis-server");
    const { password, tls } = this.#options;
    const secret = tls ? ["--tls", "--cacert", tls.ca] : [];
    const result = await run(cli, ["-h", this.host, "-p", `${this.port}`, ...secret, ...args], {
      env: password === undefined ? env : { ...env, REDISCLI_AUTH: password },
    });
    if (!result.ok) throw new Error(`redis-cli ${args.join(" ")}: ${result.stderr}`);
    return result.stdout;
  }

  /**
   * Kills the server and waits until it is dead. The folder stays, for {@linkcode restart}.
   *
   * @throws {Error} if it lives on 3 s after `signal`
   */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    await this.#process!.signal(signal);
    if (!await this.#process!.waitForEnd(STOP_MS)) {
      throw new Error(`redis-server ${this.pid} lives on after ${signal}`);
    }
    this.#paused = false;
  }

  /** Starts the server again, with the same port and folder, after ending it if it runs. */
  async restart(): Promise<void> {
    if (this.#stopping) throw new Error("The server was stopped: it cannot be restarted");
    await this.#end();
    await this.#launch();
  }

  /** Freezes the server (SIGSTOP): connections stay open, nothing is answered. */
  async pause(): Promise<void> {
    await this.#process!.signal("SIGSTOP");
    this.#paused = true;
  }

  /** Lets a paused server go on. */
  async resume(): Promise<void> {
    await this.#process!.signal("SIGCONT");
    this.#paused = false;
  }

  /** Settles when the server ends, whatever the reason. */
  async ended(): Promise<void> {
    await this.#process!.waitForEnd();
  }

  /** Ends the server in an orderly way, after 3 s by force, and removes its folder. */
  stop(): Promise<void> {
    return this.#stopping ??= this.#end().then(() => this.#janitor.dismiss());
  }

  /** The same as {@linkcode RedisServer.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #launch(): Promise<void> {
    const { dir, port, logPath } = this;
    const bind = this.#binary.image ? "0.0.0.0" : this.host; // Docker publishes on our host only
    // A server that was here before may have written into its own: a Sentinel does.
    if (!this.#process) {
      await Deno.writeTextFile(`${dir}/redis.conf`, redisConf(this.#options, { dir, port, bind }));
    }
    await Deno.writeTextFile(logPath, "", { append: true });
    const said = (await this.log()).length;
    const files = Object.values(this.#options.tls ?? {});
    const sentinel = this.#options.sentinel !== undefined;
    this.#process = new ServerProcess({
      binary: this.#binary,
      dir,
      port,
      logPath,
      files,
      sentinel,
    });
    await this.#janitor.watch(this.#process.name);
    const deadline = Date.now() + READY_MS;
    while (!await isReady(this.#options, { dir, port })) {
      if (this.#process.ended || Date.now() > deadline) {
        throw this.#failure((await this.log()).slice(said));
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #failure(log: string): Error {
    if (/address (is )?already in use|port is already allocated/i.test(log)) {
      return new Deno.errors.AddrInUse(`Port ${this.port} of 127.0.0.1 is taken`);
    }
    const what = this.#process!.ended ? "ended at once" : `is not ready after ${READY_MS} ms`;
    const tail = log.trim().split("\n").slice(-15).join("\n");
    return new Error(`redis-server ${what}; its log ends with:\n${tail}`);
  }

  async #end(): Promise<void> {
    const process = this.#process;
    if (!process) return;
    if (this.#paused) await this.resume(); // frozen, it could not hear SIGTERM
    await process.signal("SIGTERM");
    if (await process.waitForEnd(STOP_MS)) return;
    await process.signal("SIGKILL");
    await process.waitForEnd(STOP_MS);
  }
}

/** A port of 127.0.0.1 that is free now: `preferred` if it is, else any. */
export function freePort(preferred = 0): number {
  try {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: preferred });
    return listener.addr.port;
  } catch (error) {
    if (preferred === 0) throw error;
    return freePort();
  }
}

/** A port whose neighbour 10,000 further, which a cluster's nodes talk over, is free as well. */
function portWithBus(): number {
  for (let tries = 0; tries < 200; tries++) {
    // Below the ports that the system gives to those who ask for any.
    const port = 11_000 + Math.floor(Math.random() * 11_000);
    if (freePort(port) === port && freePort(port + 10_000) === port + 10_000) return port;
  }
  throw new Error("No two free ports that are 10,000 apart");
}
