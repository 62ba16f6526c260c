import { getEventListeners } from "node:events";
import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import {
  DecodeError,
  ListQueue,
  type Message,
  Worker,
  type WorkerEvent,
} from "@workshop/redis-patterns";
import { connectedClients, eventually, redisTest } from "./support.ts";

const MODES = ["polling", "blocking"] as const;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const mode of MODES) {
  redisTest(
    `Worker handles every message once and in order with one slot (${mode})`,
    async (test) => {
      const queue = new ListQueue<number>(test.redis, test.name);
      const stop = new AbortController();
      const seen: number[] = [];
      const worker = new Worker(queue, (payload) => {
        seen.push(payload);
        if (payload === 99) stop.abort();
      }, { mode, pollMs: 5 });
      await queue.enqueueMany(Array.from({ length: 100 }, (_, i) => i));
      await worker.run({ signal: stop.signal });
      assertEquals(seen, Array.from({ length: 100 }, (_, i) => i));
      await queue.close();
    },
  );

  redisTest(`Worker runs as many handlers at a time as it has slots (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    const stop = new AbortController();
    let now = 0, most = 0, done = 0;
    const worker = new Worker(queue, async () => {
      most = Math.max(most, ++now);
      await pause(5);
      now--;
      if (++done === 60) stop.abort();
    }, { mode, pollMs: 5, concurrency: 7 });
    await queue.enqueueMany(Array.from({ length: 60 }, (_, i) => i));
    await worker.run({ signal: stop.signal });
    assertEquals([most, done, now], [7, 60, 0]);
  });

  redisTest(`Worker takes no more messages than it has free slots (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    const gate = Promise.withResolvers<void>();
    await using worker = new Worker(queue, () => gate.promise, { mode, concurrency: 3, pollMs: 5 });
    await queue.enqueueMany([1, 2, 3, 4, 5]);
    worker.start();
    await eventually(() => assertEquals(worker.active, 3));
    assertEquals(await queue.counts(), { ready: 2 });
    gate.resolve();
    await eventually(async () => assertEquals(await queue.counts(), { ready: 0 }));
  });

  redisTest(
    `Worker.stop lets running handlers finish and takes nothing more (${mode})`,
    async (test) => {
      await using queue = new ListQueue<number>(test.redis, test.name);
      const done: number[] = [];
      const worker = new Worker(queue, async (payload) => {
        await pause(50);
        done.push(payload);
      }, { mode, pollMs: 5, concurrency: 2 });
      await queue.enqueueMany([1, 2, 3, 4, 5, 6]);
      worker.start();
      await eventually(() => assertEquals(worker.active, 2));
      await worker.stop();
      assertEquals(done.toSorted(), [1, 2]);
      assertEquals(await queue.counts(), { ready: 4 });
      assertEquals(worker.active, 0);
    },
  );

  redisTest(`Worker.stop aborts handlers that outlast the grace (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    const reasons: unknown[] = [];
    const worker = new Worker(queue, (_, { signal }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => {
        reasons.push(signal.reason.name);
        resolve();
      });
      return promise;
    }, { mode, pollMs: 5 });
    await queue.enqueue(1);
    worker.start();
    await eventually(() => assertEquals(worker.active, 1));
    const startedAt = performance.now();
    await worker.stop({ graceMs: 60 });
    const ms = performance.now() - startedAt;
    assert(ms >= 55 && ms < 1_000, `${ms} ms`);
    assertEquals(reasons, ["AbortError"]);
  });

  redisTest(
    `Worker.stop leaves a handler behind that ignores its signal (${mode})`,
    async (test) => {
      await using queue = new ListQueue<number>(test.redis, test.name);
      const never = Promise.withResolvers<void>();
      const worker = new Worker(queue, () => never.promise, { mode, pollMs: 5 });
      await queue.enqueue(1);
      worker.start();
      await eventually(() => assertEquals(worker.active, 1));
      const startedAt = performance.now();
      await worker.stop({ graceMs: 0 });
      assertLess(performance.now() - startedAt, 2_000);
      assertEquals(worker.active, 1, "and says so");
      never.resolve();
    },
  );

  redisTest(`Worker stops within a second while it waits for messages (${mode})`, async (test) => {
    const before = await connectedClients(test.redis);
    const queue = new ListQueue<number>(test.redis, test.name);
    const worker = new Worker(queue, () => {}, { mode });
    const running = worker.start();
    await pause(50);
    const startedAt = performance.now();
    await worker.stop();
    await running;
    assertLess(performance.now() - startedAt, 1_000);
    await queue.close();
    await eventually(async () => assertEquals(await connectedClients(test.redis), before));
  });

  redisTest(`Worker reports failures to onEvent and goes on (${mode})`, async (test) => {
    await using queue = new ListQueue<string>(test.redis, test.name);
    const stop = new AbortController();
    const events: string[] = [];
    const onEvent = (event: WorkerEvent<Message<string>>) => {
      if (event.type === "failed") {
        events.push(`failed ${event.delivery.payload}: ${(event.error as Error).message}`);
      } else if (event.type === "done") {
        events.push(`done ${event.delivery.payload}`);
        stop.abort();
      } else if (event.type === "undecodable") {
        events.push(`undecodable ${new TextDecoder().decode(event.error.raw)}`);
      }
    };
    const worker = new Worker(queue, (payload) => {
      if (payload === "bad") throw new Error("no thumbnail");
    }, { mode, pollMs: 5, onEvent });
    await test.redis.lPush(test.name, ['"bad"', "{oops", '"good"']);
    await worker.run({ signal: stop.signal });
    assertEquals(events, ["failed bad: no thumbnail", "undecodable {oops", "done good"]);
  });

  redisTest(`Worker without onEvent ends with the first failure (${mode})`, async (test) => {
    await using queue = new ListQueue<string>(test.redis, test.name);
    await queue.enqueueMany(["bad", "next"]);
    const worker = new Worker(queue, () => Promise.reject(new Error("no thumbnail")), { mode });
    await assertRejects(() => worker.run(), Error, "no thumbnail");
    assertEquals(await queue.counts(), { ready: 1 });

    await test.redis.del(test.name);
    await test.redis.lPush(test.name, "{oops");
    const other = new Worker(queue, () => {}, { mode });
    await assertRejects(() => other.run(), DecodeError);
  });

  redisTest(`Worker survives CLIENT KILL (${mode})`, async (test) => {
    await using queue = new ListQueue<number>(test.redis, test.name);
    const admin = await test.connect();
    const seen: number[] = [];
    const worker = new Worker(queue, (payload) => void seen.push(payload), {
      mode,
      pollMs: 5,
      onEvent: () => {},
    });
    worker.start();
    for (let i = 0; i < 3; i++) {
      await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
      await admin.lPush(test.name, String(i));
      await eventually(() => assertEquals(seen.length, i + 1));
    }
    await worker.stop();
    assertEquals(seen, [0, 1, 2]);
  });
}

redisTest("Worker shares a queue with another: each message once", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  const seen = new Map<number, number>();
  let handled = 0;
  const handler = (payload: number) => {
    seen.set(payload, (seen.get(payload) ?? 0) + 1);
    handled++;
  };
  const workers = MODES.map((mode) =>
    new Worker(queue, handler, { mode, concurrency: 4, pollMs: 2 })
  );
  workers.forEach((worker) => worker.start());
  await queue.enqueueMany(Array.from({ length: 5_000 }, (_, i) => i));
  await eventually(() => assertEquals(handled, 5_000), 10_000);
  await Promise.all(workers.map((worker) => worker.stop()));
  assertEquals(seen.size, 5_000);
});

redisTest("Worker runs again after it was stopped, but not twice at a time", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  const seen: number[] = [];
  await using worker = new Worker(queue, (payload) => void seen.push(payload));
  worker.start();
  await assertRejects(() => worker.run(), TypeError, "runs already");
  await worker.stop();
  await queue.enqueue(1);
  assertEquals(seen, []);
  worker.start();
  await eventually(() => assertEquals(seen, [1]));
});

redisTest("Worker whose signal is aborted already starts nothing", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  await queue.enqueueMany([1, 2, 3]);
  for (const options of [{}, { mode: "polling" as const }, { concurrency: 3 }]) {
    await new Worker(queue, () => assert(false), options).run({ signal: AbortSignal.abort() });
  }
  assertEquals(await queue.counts(), { ready: 3 });
});

redisTest("Worker handles what came with an entry that cannot be decoded", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  await test.redis.lPush(test.name, ["1", "2", "{oops", "3"]);
  const seen: number[] = [];
  const worker = new Worker(queue, (payload) => void seen.push(payload), { concurrency: 10 });
  await assertRejects(() => worker.run(), DecodeError, "{oops");
  assertEquals(seen, [1, 2, 3]);
});

redisTest("Worker.start waits for the slot of a handler that was left behind", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  const first = Promise.withResolvers<void>();
  const seen: number[] = [];
  const worker = new Worker(queue, async (payload) => {
    if (payload === 1) await first.promise;
    seen.push(payload);
  });
  await queue.enqueueMany([1, 2]);
  worker.start();
  await eventually(() => assertEquals(worker.active, 1));
  await worker.stop({ graceMs: 0 });
  worker.start();
  await pause(50);
  assertEquals(seen, []);
  first.resolve();
  await eventually(() => assertEquals(seen, [1, 2]));
  await worker.stop();
});

redisTest("Worker leaves no listener on a signal that outlives it", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  const { signal } = new AbortController();
  const worker = new Worker(queue, () => {}, { pollMs: 5, mode: "polling" });
  for (let i = 0; i < 3; i++) {
    const running = worker.run({ signal });
    await pause(20);
    await worker.stop();
    await running;
    await queue.receive({ waitMs: 5, signal });
    await queue.receive({ signal });
  }
  assertEquals(getEventListeners(signal, "abort").length, 0);
});

redisTest("Worker ends with the error of an onEvent that throws", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  await queue.enqueue(1);
  const worker = new Worker(queue, () => {}, {
    onEvent: () => {
      throw new Error("broken listener");
    },
  });
  await assertRejects(() => worker.run(), Error, "broken listener");
});

redisTest("Worker ends with an error that no waiting mends", async (test) => {
  await using queue = new ListQueue<number>(test.redis, test.name);
  await test.redis.set(test.name, "a string");
  const worker = new Worker(queue, () => {}, { onEvent: () => {} });
  await assertRejects(() => worker.run(), TypeError, "holds a string");
});

redisTest("Worker refuses bad options, naming the value", ({ redis, name }) => {
  const queue = new ListQueue<number>(redis, name);
  for (const concurrency of [0, -1, 1.5, Number.NaN, 1_001]) {
    assertThrows(() => new Worker(queue, () => {}, { concurrency }), RangeError, `${concurrency}`);
  }
  assertThrows(() => new Worker(queue, () => {}, { graceMs: -1 }), RangeError, "graceMs");
  assertThrows(() => new Worker(queue, () => {}, { pollMs: 0 }), RangeError, "pollMs");
  assertThrows(
    () => new Worker(queue, () => {}, { mode: "waiting" as "polling" }),
    TypeError,
    '"waiting"',
  );
  assertThrows(() => new Worker(queue, "handler" as unknown as () => void), TypeError, "string");
  const concurrency = "10" as unknown as number;
  assertThrows(
    () => new Worker(queue, () => {}, { concurrency }),
    RangeError,
    'concurrency must be a whole number from 1 to 1000, but is the string "10"',
  );
  assertThrows(() => new Worker(null as never, () => {}), TypeError, "a queue, but is null");
  return Promise.resolve();
});
