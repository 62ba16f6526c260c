/**
 * What every queue with leases says to the mistakes that its users make: options that mean nothing, a
 * controller for its signal, an error for its options. A part of the contract; see `leased_contract.ts`.
 *
 * @module
 */
import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { PriorityQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { type LeasedTest, type MakeQueue, take } from "./leased_support.ts";

/** Runs this part of the suite. */
export function leasedMisuseContract(name: string, test: LeasedTest, makeQueue: MakeQueue): void {
  test(`${name} refuses options that are none, naming the value`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1);
    const delivery = await take(queue);
    const before = await test.dump();
    const bad: [unknown, string][] = [
      [null, "null"],
      ["x", 'the string "x"'],
      [5_000, "the number 5000"],
      [10n, "the BigInt 10n"],
      [Symbol("s"), "Symbol(s)"],
      [[1], "an Array"],
      [function late() {}, "the function late"],
      [new Error("boom"), "an Error"],
      [new Map(), "a Map"],
      [new AbortController().signal, "an AbortSignal"],
    ];
    for (const [value, says] of bad) {
      const options = value as never;
      assertThrows(() => makeQueue(test.redis, test.name, options), TypeError, says);
      assertThrows(() => queue.consume(options), TypeError, says);
      assertThrows(() => new Worker(queue, () => {}, options), TypeError, says);
      const calls: Record<string, () => Promise<unknown>> = {
        enqueue: () => queue.enqueue(1, options),
        enqueueMany: () => queue.enqueueMany([1], options),
        receive: () => queue.receive(options),
        receiveMany: () => queue.receiveMany(1, options),
        redrive: () => queue.redrive(options),
        peek: () => queue.peek("ready", options),
        stats: () => queue.stats(options),
        nack: () => delivery.nack(options),
        deadLetter: () => delivery.deadLetter("no", options),
        run: () => new Worker(queue, () => {}).run(options),
        stop: () => new Worker(queue, () => {}).stop(options),
      };
      for (const [what, call] of Object.entries(calls)) {
        const error = await assertRejects(call, TypeError, `${what} takes the options { `);
        assertStringIncludes(error.message, `, but this is ${says}`);
      }
      const other = queue.delivery(delivery.token);
      await assertRejects(() => other.nack(options), TypeError, says);
      await assertRejects(() => other.deadLetter("no", options), TypeError, says);
    }
    const error = new TypeError("boom") as never;
    await assertRejects(() => delivery.nack(error), TypeError, "did you mean { error }?");
    assertEquals(await test.dump(), before);
    await delivery.ack(); // nothing of this has settled it
  });

  test(`${name} refuses options that it does not know, and says which it does`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueueMany([1, 2]);
    const delivery = await take(queue);
    await (await take(queue)).deadLetter("no");
    const before = await test.dump();
    const make = (options: object) => () => makeQueue(test.redis, test.name, options);
    const calls: [string, string, () => unknown][] = [
      ["enqueue", "delay", () => queue.enqueue(1, { delay: 5_000 } as object)],
      ["enqueue", "jobId", () => queue.enqueue(1, { id: "a", jobId: "a" } as object)],
      ["enqueueMany", "id", () => queue.enqueueMany([1], { id: "a" } as object)],
      ["receive", "timeout", () => queue.receive({ timeout: 1 } as object)],
      ["receive", "waitMS", () => queue.receive(Object.create({ waitMS: 1, waitMs: 1 }))],
      ["redrive", "dryrun", () => queue.redrive({ dryrun: true } as object)],
      ["nack", "delay", () => delivery.nack({ delay: 1 } as object)],
      ["nack", "delay", () => queue.delivery(delivery.token).nack({ delay: 1 } as object)],
      ["deadLetter", "reason", () => delivery.deadLetter("no", { reason: "no" } as object)],
      ["consume", "poll", () => queue.consume({ poll: 1 } as object)],
      [name, "leaseMS", make({ leaseMS: 10 })],
      ["Worker", "concurency", () => new Worker(queue, () => {}, { concurency: 9 } as object)],
      ["backoff", "type", make({ backoff: { type: "exponential", delay: 1_000 } })],
      ["rateLimit", "max", make({ rateLimit: { max: 10, duration: 1_000 } })],
      ["keepFailed", "age", make({ keepFailed: { age: 1_000 } })],
      ["dedupe", "ttl", make({ dedupe: { ttl: 1_000 } })],
      ["dedupe", "ttl", () => queue.enqueue(1, { dedupe: { key: "k", ttl: 1 } as object })],
    ];
    if (name === "ReliableQueue") {
      calls.push(["enqueue", "priority", () => queue.enqueue(1, { priority: 1 } as object)]);
    }
    for (const [what, option, call] of calls) {
      const says = `${what} has no option "${option}"`;
      const error = await assertRejects(async () => await call(), TypeError, says);
      assertMatch(error.message, /: it takes \{ .*(Ms|error|count|signal).* \}$/);
    }
    assertEquals(await test.dump(), before);
    // What is undefined is not there, as long as it could be.
    const nothing = { id: undefined, delayMs: undefined, signal: undefined };
    await queue.enqueue(3, nothing);
    await queue.enqueue(4, Object.assign(Object.create(null), { delayMs: 0 }));
    assertEquals((await queue.receiveMany(2, { waitMs: undefined })).length, 2);
    await delivery.nack({ error: undefined, delayMs: undefined });
  });

  test(`${name} refuses a signal that is none`, async (test) => {
    const queue = test.queue<number>();
    const bad: [unknown, string][] = [
      [new AbortController(), "an AbortController: did you mean controller.signal?"],
      [null, "null"],
      [5_000, "the number 5000"],
      [{ aborted: true }, "an object"],
    ];
    for (const [value, says] of bad) {
      const options = { signal: value as AbortSignal };
      const message = `signal must be an AbortSignal, but is ${says}`;
      assertThrows(() => queue.consume(options), TypeError, message);
      await assertRejects(() => queue.enqueue(1, options), TypeError, message);
      await assertRejects(() => queue.enqueueMany([1], options), TypeError, message);
      await assertRejects(() => queue.receive(options), TypeError, message);
      await assertRejects(() => queue.receiveMany(1, options), TypeError, message);
      await assertRejects(() => queue.redrive(options), TypeError, message);
      await assertRejects(() => new Worker(queue, () => {}).run(options), TypeError, message);
    }
    assertEquals(await test.sizes(), {});
  });

  test(`${name} refuses a backoff that is none, as does a worker`, async (test) => {
    const queue = test.queue<number>();
    const bad: [unknown, string][] = [
      [5_000, "the number 5000"],
      ["exponential", 'the string "exponential"'],
      [[1, 2], "an Array"],
      [null, "null"],
      [{ type: "exponential", delay: 1_000 }, '"type" (the string "exponential")'],
    ];
    for (const [value, says] of bad) {
      const backoff = value as never;
      const makers = [
        () => makeQueue(test.redis, test.name, { backoff }),
        () => new Worker(queue, () => {}, { backoff }),
      ];
      for (const make of makers) {
        const error = assertThrows(make, TypeError, says);
        assertMatch(error.message, /^backoff .*\{ baseMs, maxMs \}/);
      }
    }
    assertEquals(await test.sizes(), {});
  });

  test(`${name} says so when another kind of queue has its name`, async (test) => {
    await test.queue<number>().enqueue(1);
    const types: Record<string, string> = { PriorityQueue: "zset", StreamQueue: "stream" };
    const type = types[name] ?? "list";
    const others = name === "PriorityQueue" ? "list" : "zset";
    const Other = name === "PriorityQueue" ? ReliableQueue : PriorityQueue;
    await using other = new Other<number>(test.redis, test.name);
    const before = await test.dump();
    await assertRejects(
      () => other.enqueue(2),
      TypeError,
      `The key ${
        test.key("ready")
      } is a ${type}, but should be a ${others}; nothing was changed. ` +
        `Is ${JSON.stringify(test.name)} in use by another kind of queue?`,
    );
    assertEquals(await test.dump(), before);
  });

  test(`${name} says how often a message was tried`, async (test) => {
    const queue = test.queue<number>({ maxAttempts: 1 });
    await queue.enqueue(1);
    await (await take(queue)).nack({ error: "no" });
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals(dead!.reason, "after 1 attempt: no");
  });
}
