/**
 * Runs examples as real processes, each under exactly the permissions of its command line, and
 * hands on every line it prints. A process ends by itself, by a signal of ours, or by force when it
 * ignores one; a run of several ends when all have ended.
 *
 * @module
 */

import { type Example, ROOT, toArgv } from "./example.ts";
import { kill } from "./run.ts";

/** How to start a process. */
export interface StartOptions {
  /** The server's URL. */
  url: string;
  /** More arguments for the program. */
  extra?: string[];
  /** Colours although its output goes through a pipe. @default {false} */
  colours?: boolean;
  /** Told each line of standard output, and of standard error. */
  onLine?: (line: string, process: ExampleProcess) => void;
  /** The checkout to run in. */
  root?: URL;
  /** Milliseconds until it is killed. @default {Infinity} */
  deadlineMs?: number;
}

/** How a process ended. */
export interface Ending {
  /** Its exit code, or 128 + the signal's number. */
  code: number;
  /** The signal that ended it, if one did. */
  signal: Deno.Signal | null;
}

/** How long a process may take to end after SIGINT before it is killed. */
const STOP_MS = 5_000;

/** One process of an example. */
export class ExampleProcess {
  /** The command, as its header has it. */
  readonly command: string;
  /** Process id. */
  readonly pid: number;
  /** What it has printed so far, on both outputs in the order we got it. */
  readonly said: string[] = [];
  /** What it has printed on standard output so far. */
  readonly stdout: string[] = [];
  /** What it has printed on standard error so far. */
  readonly stderr: string[] = [];
  /** Resolves when it has printed its first line, or has ended. */
  readonly spoke: Promise<void>;
  /** Resolves when it has ended and all it printed was read. */
  readonly ended: Promise<Ending>;
  #alive = true;

  /** Starts `command`. */
  constructor(command: string, options: StartOptions) {
    const { url, extra, colours = false, onLine, root = ROOT, deadlineMs } = options;
    this.command = command;
    const child = new Deno.Command(Deno.execPath(), {
      args: toArgv(command, { url, extra }),
      cwd: root,
      // FORCE_COLOR beats NO_COLOR, so it is emptied where no colours are wanted.
      env: { DENO_NO_UPDATE_CHECK: "1", ...(colours ? { FORCE_COLOR: "1" } : PLAIN) },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true, // a Ctrl-C in the terminal is for us, who pass it on in good order
    }).spawn();
    this.pid = child.pid;
    const dismiss = guard(child.pid);
    const first = Promise.withResolvers<void>();
    const hear = (lines: string[]) => (line: string) => {
      lines.push(line);
      this.said.push(line);
      onLine?.(line, this);
      if (lines === this.stdout) first.resolve();
    };
    const read = Promise.all([
      readLines(child.stdout, hear(this.stdout)),
      readLines(child.stderr, hear(this.stderr)),
    ]);
    const timer = deadlineMs && setTimeout(() => this.#giveUp(deadlineMs), deadlineMs);
    this.ended = child.status.then(async ({ code, signal }) => {
      this.#alive = false;
      clearTimeout(timer);
      await Promise.all([read, dismiss()]);
      first.resolve();
      return { code, signal };
    });
    this.spoke = first.promise;
  }

  /**
   * Sends `signal`, if the process is still there. SIGKILL goes to what it has started, too, since
   * nobody else would end that.
   */
  signal(signal: Deno.Signal): void {
    if (!this.#alive) return; // never the pid of somebody who came after it
    const isGroup = signal === "SIGKILL" && Deno.build.os !== "windows";
    if (!isGroup || !kill(-this.pid, signal)) kill(this.pid, signal);
  }

  #giveUp(deadlineMs: number): void {
    this.stderr.push(`(killed: it had not ended after ${deadlineMs} ms)`);
    this.said.push(this.stderr.at(-1)!);
    this.signal("SIGKILL");
  }

  /** Asks it to end as Ctrl-C does, after 5 s by force; resolves when it has ended. */
  async stop(): Promise<Ending> {
    this.signal("SIGINT");
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_MS);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }
}

const PLAIN = { NO_COLOR: "1", FORCE_COLOR: "" };

/**
 * A shell that kills the process when we die without having ended it, even by kill -9: then the
 * pipe to the shell closes before it has heard a line from us.
 *
 * @returns What calls it off.
 */
function guard(pid: number): () => Promise<void> {
  if (Deno.build.os === "windows") return () => Promise.resolve();
  const shell = new Deno.Command("sh", {
    args: ["-c", 'read -r _ || kill -KILL "$0"', `${pid}`],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  return async () => {
    await new Blob(["\n"]).stream().pipeTo(shell.stdin).catch(() => {}); // somebody killed the shell
    await shell.status;
  };
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

/** How to run an example. */
export interface PlayOptions {
  /** Starts one of its commands; the first is its `@run`. */
  start: (command: string, index: number) => ExampleProcess;
  /** Stops all of its processes as Ctrl-C does. */
  signal?: AbortSignal;
  /** Kills them. */
  killSignal?: AbortSignal;
}

/** A process that ran to its end. */
export interface Played {
  /** The process. */
  process: ExampleProcess;
  /** How it ended. */
  ending: Ending;
}

/**
 * Runs an example: its `@run`, and once that has printed a line, each `@with`. A process that fails
 * ends the others, since they may wait for it for ever.
 *
 * @returns Its processes in the order of the header, when the last has ended.
 */
export async function play(
  example: Pick<Example, "run" | "with">,
  { start, signal, killSignal }: PlayOptions,
): Promise<Played[]> {
  const processes: ExampleProcess[] = [];
  const endings: Promise<Ending>[] = [];
  let stopped = false;
  const stop = () => {
    stopped = true;
    for (const process of processes) void process.stop();
  };
  const launch = (command: string) => {
    const process = start(command, processes.length);
    processes.push(process);
    endings.push(process.ended.then((ending) => {
      if (ending.code !== 0) stop();
      return ending;
    }));
    return process;
  };
  const killAll = () => processes.forEach((process) => process.signal("SIGKILL"));
  signal?.addEventListener("abort", stop);
  killSignal?.addEventListener("abort", killAll);
  try {
    if (!signal?.aborted) await launch(example.run).spoke;
    // With `stopped`, somebody waits for the end already: nothing more is started.
    for (const command of example.with) if (!stopped) launch(command);
    const all = await Promise.all(endings);
    return processes.map((process, i) => ({ process, ending: all[i]! }));
  } finally {
    signal?.removeEventListener("abort", stop);
    killSignal?.removeEventListener("abort", killAll);
  }
}
