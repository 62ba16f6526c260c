/**
 * Runs one subprocess to its end and hands back what it said. It has no standard input and a
 * deadline, so it ends in one of three ways: by itself, killed at the deadline, or never started
 * because there is no such program. None of them throws; the caller reads `ok`.
 *
 * @module
 */

/** How to run a subprocess. */
export interface RunOptions {
  /** Environment variables in addition to ours. */
  env?: Record<string, string>;
  /** Working directory; default ours. */
  cwd?: string;
  /** Milliseconds until the process is killed. @default {10_000} */
  deadlineMs?: number;
  /** Kills the process when it aborts. */
  signal?: AbortSignal;
}

/** What a subprocess left behind. */
export interface RunResult {
  /** True if it ran and exited with 0. */
  ok: boolean;
  /** Its standard output, trimmed. */
  stdout: string;
  /** Its standard error, trimmed; says so if it never started or was killed at the deadline. */
  stderr: string;
}

/** Runs `command` to its end; never throws. */
export async function run(
  command: string,
  args: string[],
  { env = {}, cwd, deadlineMs = 10_000, signal }: RunOptions = {},
): Promise<RunResult> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(command, {
      args,
      cwd,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    return { ok: false, stdout: "", stderr: `${command}: ${(error as Error).message}` };
  }
  const end = () => kill(child.pid, "SIGKILL");
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end);
  const { promise: gaveUp, resolve: giveUp } = Promise.withResolvers<void>();
  const timers = [
    setTimeout(end, deadlineMs),
    // Children of its own may outlive it and hold the pipes open: they are not waited for.
    setTimeout(giveUp, deadlineMs + 500),
  ];
  const output = await Promise.race([child.output(), gaveUp]);
  timers.forEach(clearTimeout);
  signal?.removeEventListener("abort", end);
  const killed = !output || output.signal === "SIGKILL";
  const why = signal?.aborted ? "when it was called off" : `after ${deadlineMs} ms`;
  const late = killed ? `\n${command}: killed ${why}` : "";
  const text = (bytes?: Uint8Array) => new TextDecoder().decode(bytes);
  return {
    ok: output?.success ?? false,
    stdout: text(output?.stdout).trim(),
    stderr: (text(output?.stderr) + late).trim(),
  };
}

/** Sends `signal` to a process that may be gone already; false if it was. */
export function kill(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch {
    return false; // it ended between our look and our kill: what we wanted
  }
}

/** The first of `names` that is an executable file in a folder of `$PATH`, as a full path. */
export async function which(...names: string[]): Promise<string | undefined> {
  const folders = (Deno.env.get("PATH") ?? "").split(Deno.build.os === "windows" ? ";" : ":");
  for (const name of names) {
    for (const folder of folders.filter(Boolean)) {
      if (await isExecutable(`${folder}/${name}`)) return `${folder}/${name}`;
    }
  }
  return undefined;
}

/** Whether `path` is a file that may be executed. */
export async function isExecutable(path: string): Promise<boolean> {
  try {
    const { isFile, mode } = await Deno.stat(path);
    return isFile && (mode === null || (mode & 0o111) !== 0);
  } catch {
    return false;
  }
}

/** Says in one line on standard error what is being done, because it takes a while. */
export function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`redis-patterns: ${line}\n`));
}
