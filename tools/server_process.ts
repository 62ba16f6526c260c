/**
 * One run of a redis-server as a process of its own session, or in a Docker container. Its output
 * goes into a file, never through a pipe, so that it neither blocks on us nor dies with us. It
 * ends by a signal or by itself; whether it has is seen in {@linkcode ServerProcess.ended}.
 *
 * @module
 */

import type { RedisBinary } from "./provision.ts";
import { kill, run } from "./run.ts";

/** What to start, and where. */
export interface Launch {
  /** The server program. */
  binary: RedisBinary;
  /** The server's folder, with `redis.conf` in it. */
  dir: string;
  /** The port it will listen on. */
  port: number;
  /** File that takes its output. */
  logPath: string;
  /** Files elsewhere that the configuration names. */
  files: string[];
  /** Whether it is to be a Sentinel. */
  sentinel: boolean;
}

/** A redis-server that was started, and may have ended since. */
export class ServerProcess {
  /** Process id; with Docker that of the `docker run` in the foreground. */
  readonly pid: number;
  /** What the janitor is to kill: the pid, or the container's name. */
  readonly name: number | string;
  readonly #child: Deno.ChildProcess;
  readonly #docker: string | undefined;
  #ended = false;

  /** Starts the server; it is not ready yet. */
  constructor(launch: Launch) {
    const { binary, dir, logPath } = launch;
    const container = `${dir.slice(dir.lastIndexOf("/") + 1)}-${crypto.randomUUID().slice(0, 8)}`;
    const prefix = binary.image ? dockerRun(launch, container) : [];
    this.#child = new Deno.Command("sh", {
      // exec keeps the pid: what we get is the server's own.
      args: [
        "-c",
        'exec "$@" >> "$0" 2>&1',
        logPath,
        binary.command,
        ...prefix,
        `${dir}/redis.conf`,
        ...(launch.sentinel ? ["--sentinel"] : []),
      ],
      env: binary.env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true, // a Ctrl-C in the terminal is for us, not for the server
    }).spawn();
    this.#child.unref();
    this.#child.status.then(() => this.#ended = true);
    this.pid = this.#child.pid;
    this.name = binary.image ? container : this.pid;
    this.#docker = binary.image && binary.command;
  }

  /** True once the server is gone. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Sends `signal` to the server; nothing happens if it is gone. */
  async signal(signal: Deno.Signal): Promise<void> {
    if (this.#ended) return;
    if (!this.#docker) return void kill(this.pid, signal);
    const name = String(this.name);
    const args = signal === "SIGSTOP"
      ? ["pause", name]
      : signal === "SIGCONT"
      ? ["unpause", name]
      : ["kill", "--signal", signal, name];
    await run(this.#docker, args);
  }

  /** Waits for the end; false if it did not come within `deadlineMs` (default: no deadline). */
  async waitForEnd(deadlineMs?: number): Promise<boolean> {
    this.#child.ref(); // being waited for, it keeps the program alive
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      if (deadlineMs !== undefined) timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([this.#child.status, late]);
    clearTimeout(timer);
    this.#child.unref();
    return this.#ended;
  }
}

/** `docker run …` up to the server's arguments. The folder has the same path inside and outside. */
function dockerRun({ binary, dir, port, files }: Launch, container: string): string[] {
  const user = `${Deno.uid() ?? 0}:${Deno.gid() ?? 0}`; // else its files are not ours to remove
  const mounts = [`${dir}:${dir}`, ...files.map((file) => `${file}:${file}:ro`)];
  return [
    ...["run", "--rm", "--name", container, "--user", user],
    ...["--publish", `127.0.0.1:${port}:${port}`],
    ...mounts.flatMap((mount) => ["--volume", mount]),
    ...[binary.image!, binary.program!],
  ];
}
