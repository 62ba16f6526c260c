/**
 * A consumer in a process of its own, to be killed, stopped and misled by `leased_faults_test.ts`.
 * What it does it says by lines in a file, since a dead process answers no questions:
 *
 * ```
 * start 17 1 4242     message 17 was handed over (attempt 1) to process 4242
 * done 17 1 4242      its handler has finished
 * acked 17 1 4242     Redis has the ack
 * lost 17 1 4242      Redis refused it: the lease was over
 * ```
 *
 * @module
 */
import type { Delivery } from "@workshop/redis-patterns";

/** What the consumer is told, as JSON in its first argument. */
export interface Orders {
  /** Where Redis is. */
  url: string;
  /** The queue. */
  name: string;
  /** Its kind; `plain` is the control: a list, at most once. */
  kind: "reliable" | "priority" | "plain";
  /** Where to write. */
  file: string;
  leaseMs?: number;
  maxAttempts?: number;
  /** Most messages in one claim. */
  batch?: number;
  /** How long a handler takes. */
  handleMs?: number;
  /** The message whose handler kills its own process. */
  killer?: number;
  /** How wrong the clock is. */
  clockMs?: number;
  /** Enqueue this many first, due after so many milliseconds. */
  enqueue?: { first: number; count: number; delayMs: number };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function work(orders: Orders): Promise<void> {
  const { url, name, kind, leaseMs, maxAttempts, clockMs = 0, enqueue } = orders;
  setClock(clockMs);
  // Imported when the clock is wrong already.
  const { connect, ListQueue, PriorityQueue, ReliableQueue } = await import(
    "@workshop/redis-patterns"
  );
  const redis = await connect({ url });
  if (kind === "plain") {
    for await (const { payload } of new ListQueue<number>(redis, name).consume()) {
      say(orders, "start", payload, 1);
      if (orders.handleMs) await pause(orders.handleMs);
      say(orders, "done", payload, 1);
    }
    return;
  }
  const options = { leaseMs, maxAttempts, backoff: () => 50 };
  const queue = kind === "reliable"
    ? new ReliableQueue<number>(redis, name, options)
    : new PriorityQueue<number>(redis, name, options);
  if (enqueue) {
    const { first, count, delayMs } = enqueue;
    await queue.enqueueMany(Array.from({ length: count }, (_, i) => first + i), { delayMs });
  }
  const batch = orders.batch ?? 1;
  if (batch === 1) {
    for await (const delivery of queue.consume()) await handle(delivery, orders);
  }
  for (;;) {
    const deliveries = await queue.receiveMany(batch);
    for (const delivery of deliveries) await handle(delivery, orders);
    if (deliveries.length === 0) await pause(20);
  }
}

async function handle(delivery: Delivery<number>, orders: Orders): Promise<void> {
  const { payload, attempt } = delivery;
  say(orders, "start", payload, attempt);
  if (payload === orders.killer) Deno.kill(Deno.pid, "SIGKILL");
  if (orders.handleMs) await pause(orders.handleMs);
  say(orders, "done", payload, attempt);
  try {
    await delivery.ack();
    say(orders, "acked", payload, attempt);
  } catch (error) {
    say(orders, (error as Error).name === "LeaseLostError" ? "lost" : "failed", payload, attempt);
  }
}

function say({ file }: Orders, what: string, payload: number, attempt: number): void {
  const line = `${what} ${payload} ${attempt} ${Deno.pid}\n`;
  Deno.writeTextFileSync(file, line, { append: true });
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

if (import.meta.main) await work(JSON.parse(Deno.args[0]!) as Orders);
