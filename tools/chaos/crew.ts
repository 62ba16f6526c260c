/**
 * The worker processes of a run: started, killed, stopped, and in the end asked to leave. Disposing ends
 * all that are left. One that ends by itself is noted: a worker that gives up is a fault of ours.
 *
 * @module
 */
import { kill } from "../run.ts";
import type { Orders } from "./kinds.ts";
import { Trail } from "./trail.ts";

/** Longest that a worker may take to leave: its grace, and a second. */
const LEAVE_MS = 15_000;

/** A process that runs. */
export interface Member {
  readonly pid: number;
  readonly trail: Trail;
  readonly status: Promise<Deno.CommandStatus>;
  /** Whether we ended it, or asked it to end. */
  dismissed: boolean;
  /** Whether it is stopped at the moment. */
  stopped: boolean;
}

/** The workers. */
export class Crew implements AsyncDisposable {
  /** The files of all that ever worked. */
  readonly trails: Trail[] = [];
  /** How those ended that ended by themselves. */
  readonly deserted: string[] = [];
  readonly #alive = new Set<Member>();
  readonly #orders: Omit<Orders, "file">;
  readonly #dir: string;

  constructor(orders: Omit<Orders, "file">, dir: string) {
    this.#orders = orders;
    this.#dir = dir;
  }

  /** Starts one more. */
  add(): void {
    const file = `${this.#dir}/${this.#orders.kind}-${this.trails.length}.txt`;
    const trail = new Trail(file);
    this.trails.push(trail);
    const program = new URL("./worker.ts", import.meta.url).pathname;
    const orders: Orders = { ...this.#orders, file };
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "--no-check", program, JSON.stringify(orders)],
      stdin: "piped", // never written to: it tells the child that we are there
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const { pid, status } = child;
    const member: Member = { pid, trail, status, dismissed: false, stopped: false };
    this.#alive.add(member);
    void status.then(async ({ code, signal }) => {
      this.#alive.delete(member);
      await child.stdin.abort().catch(() => {}); // the pipe broke with the child
      if (!member.dismissed) this.deserted.push(`pid ${pid}: ${signal ?? `exit code ${code}`}`);
    });
  }

  /** Of those that can be hit, the one with most in hand; undefined if none has anything. */
  busiest(): Member | undefined {
    const [first] = [...this.#alive]
      .filter(({ stopped, dismissed }) => !stopped && !dismissed)
      .filter(({ trail }) => trail.read().isReady && trail.inHand.size > 0)
      .sort((a, b) => b.trail.inHand.size - a.trail.inHand.size);
    return first;
  }

  /** kill -9. */
  async kill(member: Member): Promise<void> {
    member.dismissed = true;
    kill(member.pid, "SIGKILL");
    await member.status;
  }

  /** SIGSTOP. */
  stop(member: Member): void {
    member.stopped = true;
    kill(member.pid, "SIGSTOP");
  }

  /** SIGCONT. */
  continue(member: Member): void {
    member.stopped = false;
    kill(member.pid, "SIGCONT");
  }

  /** Asks all to leave, and waits. Gives those that did not leave as they should, in words. */
  async leave(): Promise<string[]> {
    const left = await Promise.all([...this.#alive].map(async (member) => {
      member.dismissed = true;
      kill(member.pid, "SIGTERM");
      const timer = setTimeout(() => kill(member.pid, "SIGKILL"), LEAVE_MS);
      const { code, signal } = await member.status;
      clearTimeout(timer);
      // One that has just been started does not listen yet, and has nothing to give back.
      if (signal === "SIGTERM" && !member.trail.read().isReady) return "";
      if (signal === "SIGKILL") return `a worker did not leave within ${LEAVE_MS} ms`;
      return code === 0 ? "" : `a worker left with ${signal ?? `exit code ${code}`}`;
    }));
    return left.filter((words) => words !== "");
  }

  /** Kills whoever is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#alive].map((member) => this.kill(member)));
  }
}
