/**
 * The worker on queues with leases while a handler runs: the lease is kept, its end and that of the handler's time are
 * told by a signal, and what comes after the end counts no more.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { type Delivery, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { KINDS } from "./leased_kinds.ts";
import { pause } from "./leased_support.ts";
import { onEachKind } from "./leased_worker_support.ts";
import { eventually, redisTest } from "./support.ts";

onEachKind(({ make, options, test }) => {
  test("keeps the lease while a handler outlasts it", async ({ redis, name }) => {
    const queue = make<string>(redis, name, { leaseMs: 400 }); // a busy machine is late by a hundred
    let runs = 0;
    const stop = new AbortController();
    const worker = new Worker(queue, async (_, { signal }) => {
      runs++;
      await pause(1_000);
      assertEquals(signal.aborted, false);
      stop.abort();
    }, { ...options, concurrency: 2 });
    await queue.enqueue("long");
    await worker.run({ signal: stop.signal });
    assertEquals(runs, 1);
    assertEquals((await queue.counts()).leased, 0);
  });

  test("tells a handler that its message was given back by somebody else", async ({ redis, name }) => {
    const queue = make<string>(redis, name, { leaseMs: 300, backoff: { baseMs: 0 } });
    const told: string[] = [];
    const ended: string[] = [];
    const worker = new Worker(queue, async (payload, { signal }) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      told.push(`${payload} ${signal.reason.name}`);
      if (payload === "throws") throw signal.reason;
    }, {
      ...options,
      concurrency: 3,
      onEvent: (event) => {
        if (event.type === "done" || event.type === "failed" || event.type === "lost") {
          ended.push(`${event.delivery.payload} ${event.type}`);
        }
      },
    });
    await queue.enqueueMany(["throws", "returns", "stays"]);
    worker.start();
    await eventually(() => assertEquals(worker.active, 3));
    await queue.pause(); // or it would take them again
    for (const { payload, token } of (await queue.peek("leased")).messages) {
      if (payload !== "stays") await queue.delivery(token!).nack({ delayMs: 0 });
    }
    await eventually(() => {
      assertEquals(told.toSorted(), ["returns LeaseLostError", "throws LeaseLostError"]);
      assertEquals(
        ended.toSorted(),
        ["returns lost", "throws lost"],
        "what it does counts no more",
      );
    });
    await pause(400);
    assertEquals(
      [told.length, worker.active],
      [2, 1],
      "its neighbour goes on under the same lease",
    );
    await worker.stop({ graceMs: 0 });
    await queue.resume();
    const again = await queue.receiveMany(3);
    assertEquals(again.map(({ payload, attempt }) => `${payload} ${attempt}`).toSorted(), [
      "returns 2",
      "throws 2",
    ]);
  });

  test("gives up a handler that outlasts its time, and frees its slot", async ({ redis, name }) => {
    const queue = make<string>(redis, name, { maxAttempts: 1 });
    const events: string[] = [];
    const reasons: string[] = [];
    const handler = (payload: string, { signal }: { signal: AbortSignal }) => {
      if (payload === "quick") return;
      signal.addEventListener("abort", () => reasons.push(signal.reason.name));
      return new Promise<void>(() => {});
    };
    await using worker = new Worker(queue, handler, {
      ...options,
      timeoutMs: 60,
      onEvent: (event) => events.push(event.type),
    });
    await queue.enqueueMany(["stuck", "quick"]);
    worker.start();
    await eventually(() => assertEquals(events.toSorted(), ["done", "failed"]));
    assertEquals(reasons, ["TimeoutError"]);
    const { messages: [letter] } = await queue.peek("dead");
    assert(letter?.reason?.includes("more than 60 ms"), letter?.reason);
  });

  test("ignores what a handler does after its time, or after the stop", async (test) => {
    const queue = make<string>(test.redis, test.name, { backoff: { baseMs: 0 } });
    for (const limits of [{ timeoutMs: 50 }, { graceMs: 50 }]) {
      const late = Promise.withResolvers<never>();
      let runs = 0;
      const handler = () => ++runs === 1 ? late.promise : undefined;
      const worker = new Worker(queue, handler, { ...options, ...limits });
      const { id } = await queue.enqueue("slow");
      const ended = worker.start();
      await eventually(() => assertGreater(runs, "timeoutMs" in limits ? 1 : 0));
      await worker.stop();
      await ended;
      late.reject(new Error("the client was closed")); // an unhandled one would fail this test
      await pause(20);
      await queue.cancel(id);
    }
  });
});

redisTest(
  "Worker aborts the signal of a handler whose time is over, however late it looks",
  async (test) => {
    const queue = new ReliableQueue<string>(test.redis, test.name);
    let context: { signal: AbortSignal } | undefined;
    let failed = false;
    await using worker = new Worker(queue, (_, given) => {
      context = given;
      return new Promise<void>(() => {});
    }, { timeoutMs: 20, onEvent: ({ type }) => failed ||= type === "failed" });
    await queue.enqueue("hang");
    worker.start();
    await eventually(() => assertEquals(failed, true));
    assertEquals(context!.signal.reason?.name, "TimeoutError");
  },
);

for (const [name, make] of Object.entries(KINDS)) {
  redisTest(`Worker on ${name} answers a handler that settles after its end`, async (test) => {
    const queue = make<string>(test.redis, test.name, { leaseMs: 5_000 });
    const kept = new Map<string, Delivery<string>>();
    const worker = new Worker(queue, (payload, { delivery }) => {
      kept.set(payload, delivery);
      return payload === "stopped" ? new Promise(() => {}) : undefined;
    }, { concurrency: 2, graceMs: 0 });
    await queue.enqueueMany(["done", "stopped"]);
    const ended = worker.start();
    await eventually(() => assertEquals(kept.size, 2));
    await eventually(async () => assertEquals((await queue.counts()).leased, 1));
    const done = kept.get("done")!;
    const again = done.ack();
    assert(again instanceof Promise, `ack gave ${again}`);
    await again;
    await assertRejects(() => done.nack(), TypeError, "nack after ack");
    await worker.stop();
    await ended;
    const stopped = kept.get("stopped")!;
    assertEquals(await stopped.nack(), "ready");
    await assertRejects(() => stopped.ack(), TypeError);
    assertEquals((await queue.counts()).ready, 1);
  });
}
