/**
 * Payloads go through as they are, and consumers survive lost connections and replies. A part of the
 * contract; see `leased_contract.ts`.
 *
 * @module
 */
import { assertEquals, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import { LeaseLostError, type RedisClient } from "@workshop/redis-patterns";
import { eventually } from "./support.ts";
import { type ContractQueue, drain, type LeasedTest, MODES, take, text } from "./leased_support.ts";

/** Runs this part. */
export function leasedFaultsContract(name: string, test: LeasedTest): void {
  carrying(name, test);
  surviving(name, test);
}

function carrying(name: string, test: LeasedTest): void {
  test(`${name} carries any JSON, text and bytes as they are`, async (test) => {
    const queue = test.queue<unknown>();
    const values = [
      null,
      0,
      -0.5,
      "",
      "grüße 🎉\n\u0000",
      [],
      {},
      [[1]],
      { a: { b: [null] } },
      true,
    ];
    await queue.enqueueMany(values);
    assertEquals(await drain(queue), values);

    const texts = test.queue<string>({ codec: "text", maxAttempts: 9 });
    await texts.enqueue("1 0 0 1 0 0\ngrüße,\n世界 🎉", { id: "text" });
    await (await take(texts)).nack({ delayMs: 0, error: "with a\nhistory" });
    await take(texts);
    await test.lapse();
    assertEquals(await drain(texts), ["1 0 0 1 0 0\ngrüße,\n世界 🎉"]);

    const bytes = test.queue<Uint8Array>({ codec: "bytes", maxAttempts: 2 });
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const value = Uint8Array.from(all);
    const enqueued = bytes.enqueue(value);
    value.fill(0); // what happens to the buffer after the call is the caller's business
    await enqueued;
    for (const _ of [1, 2]) await (await take(bytes)).nack({ delayMs: 0, error: "no" });
    assertEquals((await bytes.peek("dead")).messages[0]!.payload, all);
    await bytes.redrive();
    const delivery = await take(bytes);
    assertEquals(delivery.payload, all);
    await bytes.delivery(delivery.token).ack();
    await test.lapse(); // nobody here was told that this hand is empty
    await bytes.receive();
    assertEquals(await test.sizes(), {});
  });

  test(`${name} takes a codec of your own`, async (test) => {
    const queue = test.queue<Date>({
      codec: {
        encode: (date) => date.toISOString(),
        decode: (raw) => new Date(text(raw)),
      },
    });
    await queue.enqueue(new Date(17));
    assertEquals((await take(queue)).payload, new Date(17));
  });

  test(`${name} keeps __proto__ and constructor inert`, async (test) => {
    const texts = test.queue<string>({ codec: "text" });
    const queue = test.queue<Record<string, unknown>>();
    await texts.enqueue('{"__proto__":{"admin":true},"constructor":1}', { id: "__proto__" });
    const delivery = await take(queue);
    assertEquals(Object.getPrototypeOf(delivery.payload), Object.prototype);
    await delivery.deadLetter("__proto__", { error: "__proto__" });
    const { messages: [dead] } = await queue.peek("dead");
    assertEquals([dead!.id, dead!.reason], ["__proto__", "__proto__"]);
    assertEquals(Object.getPrototypeOf(dead!.payload), Object.prototype);
    assertEquals(({} as { admin?: boolean }).admin, undefined);
  });

  test(`${name} keeps queues of different names apart`, async (test) => {
    const queue = test.queue<string>();
    await using other = new (queue.constructor as new (
      client: RedisClient,
      name: string,
    ) => ContractQueue<string>)(test.client, `${test.name}:other`);
    await other.enqueue("other", { id: "x" });
    assertEquals(await queue.receive(), undefined);
    assertEquals((await queue.enqueue("mine", { id: "x" })).duplicate, false);
    const theirs = await take(other);
    await assertRejects(() => queue.delivery(theirs.token).ack(), LeaseLostError);
    await theirs.ack();
    assertEquals(await other.receive(), undefined);
    assertEquals((await take(queue)).payload, "mine");
    await test.client.unlink(["replays", "seq"].map((key) => `queue:{${test.name}:other}:${key}`));
  });
}

function surviving(name: string, test: LeasedTest): void {
  test(`${name} works on when Redis forgets the scripts`, async (test) => {
    const queue = test.queue<number>();
    const flushed = async <T>(run: () => Promise<T>) => {
      await test.redis.scriptFlush();
      return await run();
    };
    await flushed(() => queue.enqueueMany([1, 2, 3]));
    const [a, b, c] = await flushed(() => queue.receiveMany(3));
    await flushed(() => a!.ack());
    assertEquals(await flushed(() => b!.nack({ delayMs: 0 })), "ready");
    await flushed(() => c!.extend(50_000));
    await flushed(() => c!.deadLetter("no"));
    assertEquals((await flushed(() => queue.peek("dead"))).messages.length, 1);
    assertEquals(await flushed(() => queue.redrive()), 1);
    assertEquals((await flushed(() => queue.counts())).ready, 2);
    assertEquals(await flushed(() => queue.purge("ready")), 2);
    assertEquals(await flushed(() => queue.receive({ waitMs: 10 })), undefined);
    assertEquals(await test.sizes(), {});
  });

  for (const mode of MODES) {
    test(`${name}.consume survives CLIENT KILL, each message once (${mode})`, async (test) => {
      const queue = test.queue<number>();
      const admin = await test.connect({ url: test.url });
      const stop = new AbortController();
      const seen: number[] = [];
      const consumed = (async () => {
        for await (const delivery of queue.consume({ mode, pollMs: 5, signal: stop.signal })) {
          await delivery.ack();
          seen.push(delivery.payload);
        }
      })();
      const producer = test.queue<number>({}, await test.connect());
      for (let i = 0; i < 3; i++) {
        await admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        await producer.enqueue(i);
        await eventually(() => assertEquals(seen.length, i + 1));
      }
      stop.abort();
      await consumed;
      assertEquals(seen, [0, 1, 2]);
      await queue.receive();
      assertEquals((await queue.counts()).leased, 0);
    });
  }

  test(`${name}.close ends what waits, and receive says so then`, async (test) => {
    const queue = test.queue<number>();
    const waiting = queue.receive({ waitMs: 9_000 }).catch((error) => error);
    await test.blocked(1);
    const startedAt = performance.now();
    await queue.close();
    await waiting;
    assertLess(performance.now() - startedAt, 1_500);
    await assertRejects(() => queue.receive({ waitMs: 10 }), Error, "closed");
    assertNotEquals(await queue.enqueue(1), undefined); // the client is its user's
  });
}
