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
  /** Told each line that it says, on standard output and standard error, as it comes. */
  onLine?: (line: string) => void;
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
  { env = {}, cwd, deadlineMs = 10_000, signal, onLine }: RunOptions = {},
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
  const ended = Promise.all([
    child.status,
    textOf(child.stdout, onLine),
    textOf(child.stderr, onLine),
  ]);
  const output = await Promise.race([ended, gaveUp]);
  timers.forEach(clearTimeout);
  signal?.removeEventListener("abort", end);
  const [status, stdout = "", stderr = ""] = output ?? [];
  const killed = !status || status.signal === "SIGKILL";
  const why = signal?.aborted ? "when it was called off" : `after ${deadlineMs} ms`;
  const late = killed ? `\n${command}: killed ${why}` : "";
  return { ok: status?.success ?? false, stdout: stdout.trim(), stderr: (stderr + late).trim() };
}

/** All that comes, and each line as soon as it is whole. */
async function textOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine?: (line: string) => void,
): Promise<string> {
  let text = "";
  let told = 0;
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end; onLine && (end = text.indexOf("\n", told)) >= 0; told = end + 1) {
      onLine(text.slice(told, end));
    }
  }
  if (told < text.length) onLine?.(text.slice(told));
  return text;
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
