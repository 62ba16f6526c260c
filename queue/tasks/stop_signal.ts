/**
 * When a program is asked to end: by a signal, or because the supervisor that started it is gone.
 *
 * @module
 */
import process from "node:process";
import { setInterval } from "node:timers";
import { deno, SUPERVISOR_VARIABLE } from "./child.ts";

const LOOK_MS = 500;

/**
 * A signal that aborts when this program should end: on SIGTERM or SIGINT, or when the supervisor
 * that started it ({@linkcode supervise}) is gone without having stopped it, as after a `kill -9`. A second
 * SIGTERM or SIGINT ends the program at once, as if nobody had listened.
 *
 * The supervisor's end is noticed within half a second, unless the event loop stands still, and not on
 * Windows, which does not tell. It does not keep the program running.
 *
 * @example A worker that leaves when it is asked
 * ```ts ignore
 * import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
 * import { stopSignal } from "@workshop/redis-patterns/tasks";
 *
 * const redis = await connect();
 * const worker = new Worker(new ReliableQueue(redis, "emails"), (mail) => console.log(mail));
 * await worker.run({ signal: stopSignal() });
 * await redis.close();
 * ```
 */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const end = (why: string) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.off(name, onSignal);
    clearInterval(timer);
    stop.abort(new DOMException(why, "AbortError"));
  };
  const onSignal = (name: string) => end(`The program was asked to end by ${name}`);
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, onSignal);
  const supervisor = supervisorPid();
  // Whoever loses its parent gets another one. No permission is needed to ask, and no pipe is held open.
  const timer = setInterval(() => {
    if (supervisor !== undefined && process.ppid !== supervisor) end("The supervisor is gone");
  }, LOOK_MS);
  timer.unref();
  return stop.signal;
}

/**
 * The supervisor that started this process; undefined if there is none, or the variable may not be read.
 * What this program starts inherits its environment, and another parent: the first who reads the variable
 * puts the own number behind, by which those know that it is not about them.
 */
function supervisorPid(): number | undefined {
  const query = { name: "env", variable: SUPERVISOR_VARIABLE } as const;
  if (deno && deno.permissions.querySync(query).state !== "granted") return undefined;
  const told = process.env[SUPERVISOR_VARIABLE];
  if (told === undefined) return undefined;
  const [supervisor, child = process.pid] = told.split(" ").map(Number);
  if (child !== process.pid) return undefined;
  process.env[SUPERVISOR_VARIABLE] = `${supervisor} ${child}`;
  return supervisor;
}
