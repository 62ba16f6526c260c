/**
 * What the tests of the command line share: it runs as a process of its own.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { connect, PriorityQueue, ReliableQueue, StreamQueue } from "@workshop/redis-patterns";
import type { RedisServer } from "../tools/redis_server.ts";
import { serverTest } from "./support.ts";

/** The command line. */
export const PROGRAM = new URL("../monitor/cli.ts", import.meta.url).pathname;
/** How long one run of it may take, in milliseconds. */
export const DEADLINE_MS = 25_000;

/** Every look is a process, and other tests run beside. */
const LIMIT_MS = 120_000;

/** A test with a server of its own, so that there are no queues but ours. */
export function programTest(title: string, run: (server: RedisServer) => Promise<void>): void {
  serverTest(title, run, {}, LIMIT_MS);
}

/** How it ended. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs it to its end, without a terminal. */
export async function monitor(
  url: string,
  line: string,
  env: Record<string, string> = {},
): Promise<Ran> {
  const args = ["run", "-A", "--no-prompt", PROGRAM, ...line.split(" ").filter(Boolean)];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { REDIS_URL: url, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** What it prints with --json, when it ends well. */
// deno-lint-ignore no-explicit-any -- whatever it is, it is compared with what it should be
export async function json(url: string, line: string): Promise<any> {
  const { code, stdout, stderr } = await monitor(url, `${line} --json`);
  assertEquals([code, stderr], [0, ""], line);
  return JSON.parse(stdout);
}

/** The cells of a table without borders, a row each; the head is the first. */
export function cells(text: string): string[][] {
  return text.trimEnd().split("\n").map((line) => line.trim().split(/ {2,}/));
}

/** A handler that does not end. */
export const never = () => new Promise<void>(() => {});

/** A queue of each kind, with something in each state. */
export async function fill(url: string) {
  const stack = new AsyncDisposableStack();
  const redis = stack.use(await connect({ url }));
  const log = { keepCompleted: {}, keepFailed: {}, backoff: { baseMs: 0 } };
  const emails = stack.use(new ReliableQueue<{ to: string }>(redis, "emails", log));
  const thumbnails = stack.use(new PriorityQueue<string>(redis, "thumbnails"));
  const tasks = stack.use(new StreamQueue<string>(redis, "tasks", { leaseMs: 60_000 }));
  await emails.enqueue({ to: "done@example.com" }, { id: "done" });
  await (await emails.receive())!.ack();
  for (
    const [id, error] of [["a", "timeout after 31 ms"], ["b", "timeout after 7 ms"], [
      "c",
      "no user",
    ]]
  ) {
    await emails.enqueue({ to: `${id}@example.com` }, { id });
    await (await emails.receive())!.deadLetter("given up", { error: new Error(error) });
  }
  await emails.enqueue({ to: "later@example.com" }, { id: "later", delayMs: 600_000 });
  await emails.enqueue({ to: "next@example.com" }, { id: "next" });
  await thumbnails.enqueue("low.jpg", { priority: "low", id: "low" });
  await tasks.enqueue("resize", { id: "held" });
  const delivery = (await tasks.receive())!;
  return { stack, redis, emails, thumbnails, tasks, delivery };
}
