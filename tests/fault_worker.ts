/**
 * A consumer in a process of its own, to be killed, stopped, asked to leave and misled by
 * `leased_processes_test.ts`. What it does it says by lines in a file, since a dead process answers no
 * questions:
 *
 * ```
 * start 17 1 4242     message 17 was handed over (attempt 1) to process 4242
 * done 17 1 4242      its handler has finished
 * acked 17 1 4242     Redis has the ack
 * lost 17 1 4242      Redis refused it: the lease was over
 * failed 17 1 4242    the handler threw, or was left behind: the message was given back
 * ```
 *
 * It consumes as users do, by a `Worker` that leaves on SIGTERM, or by a loop of its own.
 *
 * @module
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Delivery, PriorityQueue, ReliableQueue, StreamQueue } from "@workshop/redis-patterns";

/** What the consumer is told, as JSON in its first argument. */
export interface Orders {
  /** Where Redis is. */
  url: string;
  /** The queue. */
  name: string;
  /** Its kind; `plain` is the control: a list, at most once. */
  kind: "reliable" | "priority" | "stream" | "plain";
  /** Where to write. */
  file: string;
  /** By the library's `Worker`, which is the default, or by a loop of `receiveMany` and `ack`. */
  by?: "worker" | "receive";
  leaseMs?: number;
  maxAttempts?: number;
  /** The worker's concurrency, or the most messages that the loop takes at once. */
  batch?: number;
  /** How long a handler takes. Of several, message 0 takes the first, message 1 the second … */
  handleMs?: number | number[];
  /** Whether handlers end when their signal aborts; else they ignore it. */
  heed?: boolean;
  /** How long the worker lets its handlers finish when it is asked to leave. */
  graceMs?: number;
  /** The message whose handler kills its own process. */
  killer?: number;
  /** The message whose handler blocks the event loop at its first attempt, and how long. */
  blocker?: { message: number; ms: number };
  /** How wrong the clock is. */
  clockMs?: number;
  /** Enqueue this many first, due after so many milliseconds. */
  enqueue?: { first: number; count: number; delayMs: number };
}

type Queue = ReliableQueue<number> | PriorityQueue<number> | StreamQueue<number>;
type Handed = Pick<Delivery<number>, "payload" | "attempt">;

const orders = JSON.parse(Deno.args[0]!) as Orders;
setClock(orders.clockMs ?? 0);
// Imported when the clock is wrong already.
const library = await import("@workshop/redis-patterns");

/** How many handlers are at work. */
let active = 0;

async function main(): Promise<void> {
  const { url, name, kind, by = "worker", leaseMs, maxAttempts, enqueue } = orders;
  const redis = await library.connect({ url });
  if (kind === "plain") {
    const list = new library.ListQueue<number>(redis, name);
    for await (const { payload } of list.consume()) await handle({ payload, attempt: 1 });
    return;
  }
  const options = { leaseMs, maxAttempts, backoff: () => 50 };
  const { ReliableQueue, PriorityQueue, StreamQueue } = library;
  const Queue = { reliable: ReliableQueue, priority: PriorityQueue, stream: StreamQueue }[kind];
  const queue = new Queue<number>(redis, name, options);
  if (enqueue) {
    const { first, count, delayMs } = enqueue;
    await queue.enqueueMany(Array.from({ length: count }, (_, i) => first + i), { delayMs });
  }
  if (by === "receive") return await receive(queue);
  await work(queue);
  await queue.close();
  await redis.close();
  // Only a handler that was left behind may keep the process: the library has let go of it.
  if (active > 0) Deno.exit();
}

/** Until SIGTERM or SIGINT, then with grace; without when it is asked again. */
async function work(queue: Queue): Promise<void> {
  const worker = new library.Worker(
    queue,
    (_, context) => handle(context.delivery, orders.heed ? context.signal : undefined),
    {
      concurrency: orders.batch,
      graceMs: orders.graceMs,
      onEvent: (event) => {
        if (event.type === "done") say("acked", event.delivery);
        if (event.type === "lost" || event.type === "failed") say(event.type, event.delivery);
      },
    },
  );
  let signals = 0;
  const onSignal = () => void worker.stop(++signals === 1 ? {} : { graceMs: 0 });
  Deno.addSignalListener("SIGTERM", onSignal);
  Deno.addSignalListener("SIGINT", onSignal);
  await worker.run();
}

async function receive(queue: Queue): Promise<never> {
  for (;;) {
    const deliveries = await queue.receiveMany(orders.batch ?? 1);
    for (const delivery of deliveries) {
      await handle(delivery);
      await ack(delivery);
    }
    if (deliveries.length === 0) await pause(20);
  }
}

async function ack(delivery: Delivery<number>): Promise<void> {
  try {
    await delivery.ack();
    say("acked", delivery);
  } catch (error) {
    say((error as Error).name === "LeaseLostError" ? "lost" : "failed", delivery);
  }
}

async function handle(handed: Handed, signal?: AbortSignal): Promise<void> {
  const { payload, attempt } = handed;
  const { handleMs, killer, blocker } = orders;
  say("start", handed);
  active++;
  try {
    if (payload === killer) Deno.kill(Deno.pid, "SIGKILL");
    if (payload === blocker?.message && attempt === 1) block(blocker.ms);
    const ms = Array.isArray(handleMs) ? handleMs[payload % handleMs.length] : handleMs;
    if (ms) await pause(ms, undefined, { signal });
  } finally {
    active--;
  }
  say("done", handed);
}

function say(what: string, { payload, attempt }: Handed): void {
  const line = `${what} ${payload} ${attempt} ${Deno.pid}\n`;
  Deno.writeTextFileSync(orders.file, line, { append: true });
}

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

function setClock(clockMs: number): void {
  if (clockMs === 0) return;
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...args: [] | [number]) {
      super(args.length === 0 ? RealDate.now() + clockMs : args[0]);
    }
    static override now(): number {
      return RealDate.now() + clockMs;
    }
  } as DateConstructor;
}

await main();
