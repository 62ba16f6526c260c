/**
 * A child process, as `supervise` needs it: its number, its end, a way to signal it. Deno's own on Deno,
 * since its `node:child_process` (2.9) wants `--allow-env` and reports another end than the one there was
 * when the child handles the signal; `node:child_process` on Node and Bun.
 *
 * A child has a process group of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which
 * then stops the children in order. It reads nothing, and writes where its supervisor writes.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** How a process ended. */
export interface ChildEnd {
  /** Its exit code; null if a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it, or null. */
  readonly signal: string | null;
}

/** A process that was started. */
export interface Child {
  /** Its number. */
  readonly pid: number;
  /** Resolves when it is gone. */
  readonly ended: Promise<ChildEnd>;
  /** Sends it a signal; nothing if it is gone. */
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/** What is started. */
export interface ChildCommand {
  /** The URL of a module. */
  module: string;
  /** Arguments of the runtime, before the module; null for those that this process has. */
  runtimeArgs: readonly string[] | null;
  /** Arguments of the module. */
  args: readonly string[];
  /** Variables of its environment, besides those of this process. */
  env: Readonly<Record<string, string>>;
}

/**
 * By this variable a child knows whose it is: it holds the supervisor's process number; and the child's own, once
 * that has read it.
 */
export const SUPERVISOR_VARIABLE = "REDIS_PATTERNS_SUPERVISOR";

/** Deno's own, where this is Deno. */
export const deno: typeof Deno | undefined = (globalThis as { Deno?: typeof Deno }).Deno;

/**
 * Starts a process.
 *
 * @throws {Error} if that cannot be done, such as for want of a permission.
 */
export async function startChild(command: ChildCommand): Promise<Child> {
  const env = { ...command.env, [SUPERVISOR_VARIABLE]: String(process.pid) };
  return deno ? denoChild(deno, command, env) : await nodeChild(command, env);
}

function denoChild(
  { Command, execPath }: typeof Deno,
  { module, runtimeArgs, args }: ChildCommand,
  env: Record<string, string>,
): Child {
  const flags = withSupervisorVariable(runtimeArgs ?? inheritedFlags());
  const child = new Command(execPath(), {
    args: ["run", ...flags, module, ...args],
    env,
    stdin: "null",
    detached: true,
  }).spawn();
  return {
    pid: child.pid,
    // Deno gives 128 and the signal's number as its code.
    ended: child.status.then(({ code, signal }) => ({ code: signal ? null : code, signal })),
    kill(signal) {
      try {
        child.kill(signal);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // gone already
      }
    },
  };
}

async function nodeChild(
  { module, runtimeArgs, args }: ChildCommand,
  env: Record<string, string>,
): Promise<Child> {
  const path = module.startsWith("file:") ? fileURLToPath(module) : module;
  const child = spawn(process.execPath, [...runtimeArgs ?? process.execArgv, path, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  return { pid: child.pid!, ended, kill: (signal) => void child.kill(signal) };
}

const KINDS = ["run", "read", "write", "net", "env", "sys", "ffi", "import"] as const;

/** Where `connect()` looks for the server's address; a child that may not would look elsewhere. */
const ADDRESS_VARIABLE = "REDIS_URL";

/**
 * Flags that give a child the permissions that this process has. Of one that is granted in part, Deno does
 * not tell which part; but it can be asked for the one variable that this library reads.
 *
 * @throws {TypeError} without the whole of `--allow-net`: no worker gets far without it.
 */
function inheritedFlags(): string[] {
  const granted = KINDS.filter((name) => deno!.permissions.querySync({ name }).state === "granted");
  if (granted.length === KINDS.length) return ["--allow-all"];
  if (granted.includes("net")) {
    const address = { name: "env", variable: ADDRESS_VARIABLE } as const;
    const known = deno!.permissions.querySync(address).state === "granted";
    const variables = known && !granted.includes("env") ? [`--allow-env=${ADDRESS_VARIABLE}`] : [];
    return [...granted.map((name) => `--allow-${name}`), ...variables];
  }
  throw new TypeError(
    "runtimeArgs must say what children may do, as in " +
      `{ runtimeArgs: ["--allow-net=127.0.0.1:6379"] }: this program has --allow-net not at all or ` +
      "in part, and parts cannot be handed on",
  );
}

/** Adds the right to read the one variable, which all flags but those for the whole environment need. */
function withSupervisorVariable(flags: readonly string[]): string[] {
  const whole = /^(-[a-zA-Z]*A[a-zA-Z]*|--allow-all|--allow-env|-E|-P.*|--permission-set.*)$/;
  if (flags.some((flag) => whole.test(flag))) return [...flags];
  return [...flags, `--allow-env=${SUPERVISOR_VARIABLE}`];
}
