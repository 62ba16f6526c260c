/**
 * A worker process of the chaos run: it consumes as users do, and writes what it does into a file of its
 * own, since a dead process answers no questions (see trail.ts). It ends by SIGKILL, which is what it is
 * there for; by SIGTERM, with grace; or with the program that started it, whose pipe it reads.
 *
 * @module
 */
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@workshop/redis-patterns";
import { KINDS, type Orders, type Work } from "./kinds.ts";

const orders = JSON.parse(Deno.args[0]!) as Orders;
const file = Deno.openSync(orders.file, { write: true, create: true, append: true });
const bytes = new TextEncoder();

/** A line is one write, so that it is there or not, however the process dies. */
function say(what: string, n: number, attempt: number): void {
  file.writeSync(bytes.encode(`${what} ${n} ${attempt} ${Date.now()}\n`));
}

/** Always the same for one message, and not in the order of the messages. */
function handleMs(n: number): number {
  const [least, most] = orders.handleMs;
  return least + n * 7919 % (most - least + 1);
}

async function main(): Promise<void> {
  const leaving = new AbortController();
  Deno.addSignalListener("SIGTERM", () => leaving.abort());
  const work: Work = {
    orders,
    signal: leaving.signal,
    say,
    async handle(n, attempt) {
      say("start", n, attempt);
      await pause(handleMs(n));
      say("done", n, attempt);
    },
  };
  // Redis may be down just now.
  await using redis = await connect({ url: orders.url, timeoutMs: 60_000 });
  say("ready", 0, 0);
  await KINDS[orders.kind]!.work(redis, work);
}

/** The pipe closes when whoever started us is gone, also by kill -9. */
async function untilOrphaned(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
  Deno.exit(1);
}

void untilOrphaned();
await main();
Deno.exit(0);
