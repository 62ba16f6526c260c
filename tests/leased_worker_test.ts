/** The worker on queues with leases, both kinds in both modes. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  connect,
  type Delivery,
  ReliableQueue,
  Worker,
  type WorkerEvent,
} from "@workshop/redis-patterns";
import { KINDS } from "./leased_kinds.ts";
import { FaultyProxy } from "./proxy.ts";
import { commandsDuring, eventually, redisTest, serverTest } from "./support.ts";

const MODES = ["polling", "blocking"] as const;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const [name, make] of Object.entries(KINDS)) {
  for (const mode of MODES) {
    const test = (title: string, run: Parameters<typeof redisTest>[1]) =>
      redisTest(`Worker on ${name} (${mode}) ${title}`, run);
    const options = { mode, pollMs: 5 };

    test("handles every message once and acknowledges it", async ({ redis, name }) => {
      const queue = make<number>(redis, name);
      const seen: number[] = [];
      const stop = new AbortController();
      const worker = new Worker(queue, (payload, { delivery }) => {
        assertEquals(delivery.attempt, 1);
        seen.push(payload);
        if (seen.length === 500) stop.abort();
      }, { ...options, concurrency: 20 });
      await queue.enqueueMany(Array.from({ length: 500 }, (_, i) => i));
      await worker.run({ signal: stop.signal });
      assertEquals(seen, Array.from({ length: 500 }, (_, i) => i));
      assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
      assertEquals(await redis.exists(`queue:{${name}}:leased`), 0);
    });

    test("takes what lapsed though there is plenty", async ({ redis, name }) => {
      const queue = make<number>(redis, name, { leaseMs: 10 });
      const lapsed = [-3, -2, -1];
      for (const n of lapsed) {
        await queue.enqueue(n);
        await queue.receive(); // and never says how it went
      }
      await pause(20);
      const worked = make<number>(redis, name, { leaseMs: 30_000 });
      await worked.enqueueMany(Array.from({ length: 5_000 }, (_, i) => i));
      const seen: number[] = [];
      await using worker = new Worker(worked, (n) => void seen.push(n), {
        ...options,
        concurrency: 100,
      });
      worker.start();
      await eventually(() => assertEquals(seen.length, 5_003));
      // One with each claim at most; had it to wait for the end of the others, they would be the last.
      assertLess(Math.max(...lapsed.map((n) => seen.indexOf(n))), 2_500);
      assertEquals(seen.filter((n) => n >= 0), Array.from({ length: 5_000 }, (_, i) => i));
    });

    test("tries again what threw, and buries it after the last attempt", async ({ redis, name }) => {
      const queue = make<string>(redis, name, { maxAttempts: 3, backoff: { baseMs: 0 } });
      const events: string[] = [];
      const onEvent = (event: WorkerEvent<Delivery<string>>) => {
        if (event.type === "failed") events.push(`${event.delivery.attempt} ${event.to}`);
      };
      await using worker = new Worker(queue, () => {
        throw new Error("no thumbnail");
      }, { ...options, onEvent });
      await queue.enqueue("bad");
      worker.start();
      await eventually(() => assertEquals(events, ["1 ready", "2 ready", "3 dead"]));
      const { messages: [letter] } = await queue.peek("dead");
      assertEquals(letter?.reason, "after 3 attempts: Error: no thumbnail");
      assertEquals(letter?.errors.map(({ attempt }) => attempt), [1, 2, 3]);
      assert(letter?.errors.every((error) => error.stack?.includes("no thumbnail")));
    });

    test("keeps a trace of whatever a handler throws", async ({ redis, name }) => {
      const queue = make<number>(redis, name, { maxAttempts: 1, backoff: { baseMs: 0 } });
      const thrown = [undefined, null, "no disk", { code: 5 }, { message: "told" }];
      const seen: unknown[] = [];
      const onEvent = (event: WorkerEvent<Delivery<number>>) => {
        if (event.type === "failed") seen.push(event.error);
      };
      await using worker = new Worker(
        queue,
        (i) => Promise.reject(thrown[i]),
        { ...options, onEvent },
      );
      await queue.enqueueMany(thrown.map((_, i) => i));
      worker.start();
      await eventually(() => assertEquals(seen, thrown));
      const { messages } = await queue.peek("dead");
      assertEquals(messages.map(({ errors }) => errors.map(({ message }) => message)), [
        ["Error: the handler threw undefined"],
        ["null"],
        ["no disk"],
        ['{"code":5}'],
        ["told"],
      ]);
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

    test("tells of a backoff that gives no duration, and waits by the default", async (test) => {
      const queue = make<string>(test.redis, test.name);
      const events: string[] = [];
      const failed = new AbortController();
      const worker = new Worker(
        queue,
        () => Promise.reject(new Error("no")),
        {
          ...options,
          backoff: () => NaN,
          onEvent: (event) => {
            events.push(event.type === "backoff" ? String(event.error) : event.type);
            if (event.type === "failed") failed.abort(); // the default may be to wait a millisecond
          },
        },
      );
      await queue.enqueue("bad");
      await worker.run({ signal: failed.signal });
      assertStringIncludes(events[0]!, "what the backoff gives must be a number");
      assertEquals(events[1], "failed");
      const { ready, leased, delayed } = await queue.counts();
      assertEquals([ready + delayed, leased], [1, 0]);
    });

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

    test("gives back what it has not begun, without an attempt", async ({ redis, name }) => {
      const queue = make<number>(redis, name);
      await using worker = new Worker(queue, async () => await pause(30), options);
      await queue.enqueueMany([1, 2, 3]);
      worker.start();
      await eventually(() => assertEquals(worker.active, 1));
      await worker.stop();
      const { ready, leased } = await queue.counts();
      assertEquals([leased, ready > 0], [0, true]);
      assertEquals((await queue.receive())?.attempt, 1);
    });

    test("gives back the message of a handler it leaves behind", async ({ redis, name }) => {
      const queue = make<number>(redis, name, { backoff: { baseMs: 0 } });
      const never = Promise.withResolvers<void>();
      const worker = new Worker(queue, () => never.promise, options);
      await queue.enqueue(1);
      worker.start();
      await eventually(() => assertEquals(worker.active, 1));
      const startedAt = performance.now();
      await worker.stop({ graceMs: 0 });
      assertLess(performance.now() - startedAt, 1_000);
      assertEquals((await queue.receive())?.attempt, 1);
      never.resolve();
    });

    test("counts no attempt that its stop cut short", async ({ redis, name }) => {
      const queue = make<string>(redis, name, { leaseMs: 200 });
      const ended: string[] = [];
      const worker = new Worker(queue, async (payload, { signal, delivery }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        if (payload === "settles") await delivery.deadLetter("cannot be resumed");
        if (payload !== "returns") throw signal.reason;
      }, {
        ...options,
        concurrency: 3,
        onEvent: (event) => {
          if (event.type === "done") ended.push(`${event.delivery.payload} done`);
          if (event.type === "failed") ended.push(`${event.delivery.payload} ${event.to}`);
        },
      });
      await queue.enqueueMany(["throws", "settles", "returns"]);
      worker.start();
      await eventually(() => assertEquals(worker.active, 3));
      await worker.stop({ graceMs: 20 });
      assertEquals(ended.toSorted(), ["returns done", "settles settled", "throws ready"]);
      const { ready, leased, dead } = await queue.counts();
      assertEquals([ready, leased, dead], [1, 0, 1]);
      const again = await queue.receive();
      assertEquals([again?.payload, again?.attempt, again?.errors], ["throws", 1, []]);
      await pause(250); // the timer of a signal that somebody looked at ends with its lease
    });

    test("gives back what arrives while it is stopped", async ({ redis, name }) => {
      const queue = make<number>(redis, name);
      let handled = 0;
      const worker = new Worker(queue, () => void handled++, { ...options, concurrency: 3 });
      for (let i = 0; i < 40; i++) {
        worker.start();
        await pause(i === 0 ? 100 : 10); // it waits
        const enqueueing = queue.enqueueMany([1, 2]);
        if (i % 2) await Promise.resolve();
        else await pause(Math.random());
        await Promise.all([worker.stop(), enqueueing]);
      }
      const { ready, leased } = await queue.counts();
      assertEquals([handled + ready, leased], [80, 0]);
      const deliveries = await queue.receiveMany(100);
      assertEquals(deliveries.filter(({ attempt }) => attempt > 1), []);
    });

    test("lets a handler settle by itself", async ({ redis, name }) => {
      const queue = make<string>(redis, name);
      const stop = new AbortController();
      const worker = new Worker(queue, async (_, { delivery }) => {
        await delivery.deadLetter("no such customer");
        stop.abort();
      }, options);
      await queue.enqueue("x");
      await worker.run({ signal: stop.signal });
      const { messages: [letter] } = await queue.peek("dead");
      assertEquals(letter?.reason, "no such customer");
    });

    test("is on time for delayed messages", async ({ redis, name }) => {
      const queue = make<number>(redis, name);
      const late: number[] = [];
      await using worker = new Worker(queue, (dueAt) => void late.push(Date.now() - dueAt), {
        ...options,
        concurrency: 10,
      });
      worker.start();
      await queue.enqueue(Date.now() + 3_600_000, { delayMs: 3_600_000 }); // all wait for this one
      await pause(50);
      for (let i = 0; i < 100; i++) {
        const delayMs = 50 + Math.random() * 800;
        await queue.enqueue(Date.now() + delayMs, { delayMs });
      }
      await eventually(() => assertEquals(late.length, 100));
      const sorted = late.toSorted((a, b) => a - b);
      assertGreater(sorted[0]!, -2);
      assertLess(sorted[95]!, 60, `${sorted.slice(90)}`); // generous: the machine is busy
    });

    test("survives CLIENT KILL and finishes everything", async (fixture) => {
      const queue = make<number>(fixture.redis, fixture.name, {
        leaseMs: 300,
        backoff: { baseMs: 0 },
      });
      const admin = await fixture.connect();
      const done = new Set<number>();
      await using worker = new Worker(queue, async (payload) => {
        await pause(2);
        done.add(payload);
      }, { ...options, concurrency: 5, onEvent: () => {} });
      await queue.enqueueMany(Array.from({ length: 300 }, (_, i) => i));
      worker.start();
      for (let i = 0; i < 5; i++) {
        await pause(60);
        await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
      }
      await eventually(() => assertEquals(done.size, 300), 10_000);
      await eventually(async () => {
        const { ready, leased } = await queue.counts();
        assertEquals([ready, leased], [0, 0]);
      });
    });

    test("says that it is there, and that it has gone", async ({ redis, name }) => {
      const queue = make<number>(redis, name);
      await using worker = new Worker(queue, () => {}, options);
      worker.start();
      const key = `queue:{${name}}:workers`;
      await eventually(async () => assertEquals(await redis.hLen(key), 1));
      const [entry] = Object.values(await redis.hGetAll(key));
      const { pid, startedAt } = JSON.parse(entry!);
      assertEquals(pid, Deno.pid);
      assertLess(Date.now() - startedAt, 5_000);
      const kinds = { ReliableQueue: "list", PriorityQueue: "priority", StreamQueue: "stream" };
      const kind = kinds[queue.constructor.name as keyof typeof kinds];
      assert(await redis.zScore("queue:registry", `${kind} ${name}`));
      assertEquals(worker.health().running, true);
      await worker.stop();
      assertEquals([await redis.exists(key), worker.health().running], [0, false]);
      await redis.zRem("queue:registry", `${kind} ${name}`);
    });

    test("puts aside what cannot be decoded, and goes on", async ({ redis, name }) => {
      const queue = make<number>(redis, name);
      const events: string[] = [];
      await using worker = new Worker(queue, () => {}, {
        ...options,
        onEvent: (event) => events.push(event.type),
      });
      const text = make<string>(redis, name, { codec: "text" });
      await text.enqueue("{oops");
      await queue.enqueue(1);
      worker.start();
      await eventually(() => assertEquals(events.toSorted(), ["done", "undecodable"]));
      const { messages: [letter] } = await text.peek("dead");
      assertEquals(letter?.payload, "{oops");
    });
  }

  redisTest(
    `Worker on ${name}, blocked and idle, sends at most two commands a second`,
    async (test) => {
      const queue = make<number>(test.redis, test.name);
      await using worker = new Worker(queue, () => {});
      worker.start();
      await pause(300);
      const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
      assertLess(commands.length, 7, commands.join(" "));
    },
  );

  redisTest(`Workers on ${name} share 5,000 messages: each once`, async (test) => {
    const queue = make<number>(test.redis, test.name);
    const seen: number[] = [];
    const workers = MODES.map((mode) =>
      new Worker(queue, (payload) => void seen.push(payload), { mode, pollMs: 2, concurrency: 50 })
    );
    for (const worker of workers) worker.start();
    for (let i = 0; i < 5; i++) {
      await queue.enqueueMany(Array.from({ length: 1_000 }, (_, j) => i * 1_000 + j));
    }
    await eventually(() => assertEquals(seen.length, 5_000), 10_000);
    await Promise.all(workers.map((worker) => worker.stop()));
    assertEquals(new Set(seen).size, 5_000);
    assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
  });
}

redisTest("Worker does not end with a handler that throws after it has settled", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name);
  const seen: string[] = [];
  await using worker = new Worker(queue, async (payload, { delivery }) => {
    seen.push(payload);
    if (payload !== "bad") return;
    await delivery.deadLetter("bad");
    throw new Error("anyway");
  });
  await queue.enqueueMany(["bad", "good"]);
  worker.start();
  await eventually(() => assertEquals(seen, ["bad", "good"]));
  assertEquals((await queue.counts()).dead, 1);
});

for (const silent of ["a stopped server", "a black hole"]) {
  for (const busy of [true, false]) {
    const state = busy ? "with handlers that hang" : "idle";
    serverTest(
      `Worker ${state} stops within a second of its grace at ${silent}`,
      async (server) => {
        await using proxy = await FaultyProxy.start({ port: server.port });
        const redis = await connect({ url: proxy.url });
        const queue = new ReliableQueue<number>(redis, "mail");
        const worker = new Worker(queue, () => new Promise<void>(() => {}), {
          concurrency: 3,
          onEvent: () => {},
        });
        worker.start();
        if (busy) await queue.enqueueMany([1, 2]);
        await eventually(() => assertEquals(worker.active, busy ? 2 : 0));
        await pause(200);
        if (silent === "a black hole") proxy.blackHole(true);
        else await server.pause();
        const startedAt = performance.now();
        await worker.stop({ graceMs: 100 });
        assertLess(performance.now() - startedAt, 1_100);
        await server.resume();
        redis.destroy();
      },
    );
  }
}

redisTest("Worker takes what comes while it handles a message whose lease lapsed", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 50 });
  await queue.enqueueMany(["killer 1", "killer 2"]);
  await queue.receiveMany(2); // and falls
  await pause(60);
  const handled: string[] = [];
  const first = Promise.withResolvers<void>();
  await using worker = new Worker(
    new ReliableQueue<string>(test.redis, test.name),
    async (payload) => {
      handled.push(payload);
      if (payload === "killer 1") await first.promise;
    },
    { concurrency: 5 },
  );
  worker.start();
  await eventually(() => assertEquals(handled, ["killer 1"]));
  await pause(1_000);
  // The token for the other one is taken and given back, ever more rarely.
  const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
  assertLess(commands.filter((command) => command === "BLPOP").length, 6, commands.join(" "));
  assertLess(commands.length, 25, commands.join(" "));
  const enqueuedAt = performance.now();
  await queue.enqueue("ordinary");
  await eventually(() => assertEquals(handled, ["killer 1", "ordinary"]));
  assertLess(performance.now() - enqueuedAt, 1_500);
  const freeAt = performance.now();
  first.resolve();
  await eventually(() => assertEquals(handled, ["killer 1", "ordinary", "killer 2"]));
  assertLess(performance.now() - freeAt, 200);
});

redisTest(
  "Worker waits in Redis while the only message whose lease lapsed is its own",
  async (test) => {
    const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 50 });
    await queue.enqueue("killer");
    await queue.receive(); // and falls
    await pause(60);
    const end = Promise.withResolvers<void>();
    let handledAt = 0;
    await using worker = new Worker(
      new ReliableQueue<string>(test.redis, test.name),
      async (payload) => {
        if (payload === "killer") await end.promise;
        handledAt = performance.now();
      },
      { concurrency: 2 },
    );
    worker.start();
    await eventually(() => assertEquals(worker.active, 1));
    await pause(200);
    const commands = await commandsDuring(test.url, () => pause(3_000).then(() => {}));
    assertLess(commands.length, 8, commands.join(" "));
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      handledAt = 0;
      const enqueuedAt = performance.now();
      await queue.enqueue("ordinary");
      await eventually(() => assertGreater(handledAt, 0));
      waits.push(handledAt - enqueuedAt);
      await pause(5);
    }
    assertLess(waits.toSorted((a, b) => a - b)[4]!, 20, `${waits}`);
    end.resolve();
  },
);

redisTest("LeasedQueue.receive notices within two seconds what another let lapse", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 300 });
  const other = new ReliableQueue<string>(await test.connect(), test.name);
  await queue.enqueue("left");
  await queue.receive();
  const startedAt = performance.now();
  const delivery = await other.receive({ waitMs: 5_000 });
  assertEquals([delivery?.payload, delivery?.attempt], ["left", 2]);
  assertLess(performance.now() - startedAt, 2_000);
});

redisTest("LeasedQueue.consume, idle, sends at most two commands a second", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name);
  const stop = new AbortController();
  const consuming = (async () => {
    for await (const _ of queue.consume({ mode: "blocking", signal: stop.signal }));
  })();
  await pause(300);
  const commands = await commandsDuring(test.url, () => pause(5_500).then(() => {}));
  assertLess(commands.length, 12, commands.join(" "));
  stop.abort();
  await consuming;
  await queue.close();
});

redisTest(
  "Worker that is blocked claims by the text of a script that Redis forgot",
  async (test) => {
    const queue = new ReliableQueue<number>(test.redis, test.name);
    const seen: number[] = [];
    await using worker = new Worker(queue, (payload) => void seen.push(payload));
    worker.start();
    for (let i = 0; i < 5; i++) {
      await pause(50);
      await test.redis.sendCommand(["SCRIPT", "FLUSH"]);
      await queue.enqueue(i);
      await eventually(() => assertEquals(seen.length, i + 1), 1_000);
    }
  },
);

serverTest(
  "Worker gets the message whose claim was answered into a cut connection",
  async (server) => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    const redis = await connect({ url: proxy.url });
    const queue = new ReliableQueue<string>(redis, "mail"); // a lease of 30 s
    const attempts: number[] = [];
    const worker = new Worker(queue, (_, { delivery }) => void attempts.push(delivery.attempt), {
      onEvent: () => {},
    });
    worker.start();
    await pause(100);
    const lost = proxy.dropReplies((_, reply) => reply.includes("invoice"));
    await queue.enqueue("invoice");
    await lost;
    await eventually(() => assertEquals(attempts, [1]), 2_000);
    await worker.stop();
    assertEquals((await queue.counts()).leased, 0);
    await redis.close();
  },
);

redisTest(
  "Worker aborts the signal of a handler it left behind, however late it looks",
  async (test) => {
    const queue = new ReliableQueue<string>(test.redis, test.name);
    const contexts: { signal: AbortSignal }[] = [];
    const worker = new Worker(queue, (_, context) => {
      contexts.push(context);
      return contexts.length === 1 ? new Promise<void>(() => {}) : undefined;
    });
    await queue.enqueue("hang");
    worker.start();
    await eventually(() => assertEquals(contexts.length, 1));
    await worker.stop({ graceMs: 0 });
    worker.start();
    await eventually(() => assertEquals(contexts.length, 2));
    assertEquals(contexts[0]!.signal.aborted, true);
    assertEquals(contexts[0]!.signal.reason.name, "AbortError");
    await worker.stop();
  },
);

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

serverTest("Worker works again within two seconds after a restart of Redis", async (server) => {
  const redis = await connect({ url: server.url });
  const queue = new ReliableQueue<number>(redis, "mail", { backoff: { baseMs: 0 }, leaseMs: 500 });
  const seen: number[] = [];
  const worker = new Worker(queue, (payload) => void seen.push(payload), { onEvent: () => {} });
  worker.start();
  await queue.enqueue(1);
  await eventually(() => assertEquals(seen, [1]));
  await eventually(async () => assertEquals((await queue.counts()).leased, 0)); // acknowledged, too
  await server.kill();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  await server.restart();
  const restartedAt = performance.now();
  await queue.enqueue(2);
  await eventually(() => assertEquals(seen, [1, 2]));
  assertLess(performance.now() - restartedAt, 2_500);
  await worker.stop();
  await redis.close();
}, { aof: true });

for (const [name, make] of Object.entries(KINDS)) {
  serverTest(
    `Worker on ${name} leaves no timer behind when it stops while Redis refuses`,
    async (server) => {
      await using redis = await connect({ url: server.url });
      for (const end of ["ack", "nack"]) {
        await using queue = make<number>(redis, end);
        let running = 0;
        const refused = Promise.withResolvers<void>();
        const worker = new Worker(queue, async () => {
          running++;
          await refused.promise;
          if (end === "nack") throw new Error("no");
        }, { concurrency: 8, graceMs: 100, onEvent: () => {} });
        await queue.enqueueMany(Array.from({ length: 8 }, (_, i) => i));
        const ended = worker.start();
        await eventually(() => assertEquals(running, 8));
        await server.cli("REPLICAOF", "127.0.0.1", "1"); // writes are refused, and tried again
        refused.resolve();
        await pause(500); // by now the pauses between attempts are long
        const stoppedAt = performance.now();
        await worker.stop();
        await ended; // a pause that goes on would fail this test
        assertLess(performance.now() - stoppedAt, 1_300);
        await server.cli("REPLICAOF", "NO", "ONE");
      }
    },
  );

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

redisTest("Worker keeps no message that could not be settled", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { leaseMs: 300, maxAttempts: 2 });
  const thrown: Record<string, unknown> = {
    nan: new Error("backoff gives NaN"),
    throws: new Error("backoff throws"),
    textless: Object.create(null),
    stackless: Object.defineProperty(new Error("x"), "stack", { value: 17 }),
  };
  const events: string[] = [];
  await using worker = new Worker(queue, (payload) => {
    throw thrown[payload];
  }, {
    concurrency: 4,
    onEvent: (event) => event.type === "failed" && events.push(`${event.to}`),
    backoff: (_, error) => {
      if (error === thrown.throws) throw new Error("no idea");
      return error === thrown.nan ? Number.NaN : 0;
    },
  });
  await queue.enqueueMany(Object.keys(thrown));
  worker.start();
  await eventually(async () => assertEquals((await queue.counts()).dead, 4), 5_000);
  assertEquals((await queue.counts()).leased, 0);
  assertEquals(events.filter((to) => to === "dead").length, 4);
});

serverTest("Worker drains a queue while Redis is at maxmemory", async (server) => {
  const redis = await connect({ url: server.url });
  const queue = new ReliableQueue<string>(redis, "mail", { maxPayloadBytes: 10_000 });
  const payload = "x".repeat(2_000);
  const fill = async () => {
    for (;;) await queue.enqueueMany(Array.from({ length: 50 }, () => payload));
  };
  await fill().catch((error) => assert(/OOM/.test(error.message), error.message));
  const { ready } = await queue.counts();
  assertGreater(ready, 100);
  let done = 0;
  const worker = new Worker(queue, () => void done++, { concurrency: 10 });
  worker.start();
  await eventually(() => assertEquals(done, ready), 10_000);
  await worker.stop();
  assertEquals((await queue.counts()).leased, 0);
  await redis.close();
}, { config: { "maxmemory": "4mb", "maxmemory-policy": "noeviction" } });

serverTest("Worker does not storm a Redis that is away while a message is due", async (server) => {
  await using proxy = await FaultyProxy.start({ port: server.port });
  const redis = await connect({ url: proxy.url });
  const queue = new ReliableQueue<number>(redis, "mail");
  const worker = new Worker(queue, () => {}, { onEvent: () => {} });
  worker.start();
  await queue.enqueue(1, { delayMs: 300 });
  await eventually(() => assert(worker.health().lastAnswerMs! < 200));
  proxy.refuse(true);
  proxy.cut();
  const before = proxy.connections;
  await pause(2_000);
  assertLess(proxy.connections - before, 100);
  proxy.refuse(false);
  await eventually(async () => assertEquals((await queue.counts()).delayed, 0), 5_000);
  await worker.stop();
  await redis.close();
});

redisTest("Worker gives back what it has not begun in its order", async (test) => {
  const queue = new ReliableQueue<number>(test.redis, test.name);
  const worker = new Worker(queue, () => void worker.stop(), { concurrency: 1_000 });
  await queue.enqueueMany(Array.from({ length: 900 }, (_, i) => i));
  await worker.start();
  const { messages } = await queue.peek("ready", { limit: 1_000 });
  const left = messages.map(({ payload }) => payload!);
  assertEquals(left, left.toSorted((a, b) => a - b));
  assertEquals((await queue.counts()).leased, 0);
});

redisTest("Worker runs again after a handler on leases was left behind", async (test) => {
  const queue = new ReliableQueue<string>(test.redis, test.name, { backoff: { baseMs: 0 } });
  const seen: string[] = [];
  const worker = new Worker(queue, (payload) => {
    seen.push(payload);
    return payload === "hang" && seen.length === 1 ? new Promise<void>(() => {}) : undefined;
  });
  await queue.enqueue("hang");
  worker.start();
  await eventually(() => assertEquals(seen, ["hang"]));
  await worker.stop({ graceMs: 0 });
  worker.start();
  await eventually(() => assertEquals(seen, ["hang", "hang"]));
  await worker.stop();
});
