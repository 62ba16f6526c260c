/**
 * What is stored when a message is enqueued, and under which id. A part of the contract; see
 * `leased_contract.ts`.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertMatch, assertRejects } from "@std/assert";
import type { CommandArgument, Enqueued } from "@workshop/redis-patterns";
import { writeEnvelope } from "../queue/envelope.ts";
import { bindScripts } from "../queue/leased_scripts.ts";
import type { ReadyKind } from "../queue/ready_lua.ts";
import { makeUid } from "../queue/uid.ts";
import { call } from "../redis/call.ts";
import { queueKeys } from "../redis/keys.ts";
import { commandsDuring, eventually } from "./support.ts";
import { drain, ENQUEUES, type LeasedTest, payloads, take } from "./leased_support.ts";

/** Runs this part. */
export function leasedEnqueueContract(name: string, test: LeasedTest): void {
  enqueueing(name, test);
  ownIds(name, test);
}

function enqueueing(name: string, test: LeasedTest): void {
  test(`${name}.enqueue gives every message an id of its own, ordered by time`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    const results: Enqueued[] = [];
    for (let i = 0; i < 10; i++) {
      results.push(await queue.enqueue(i), await other.enqueue(i));
    }
    results.push(...await queue.enqueueMany(Array.from({ length: 500 }, (_, i) => i)));
    const ids = results.map(({ id }) => id);
    assertEquals(new Set(ids).size, 520);
    const late = ids.findIndex((id, i) => i > 0 && id <= ids[i - 1]!);
    assertEquals(late, -1, `${ids[late]} came after ${ids[late - 1]}`);
    assert(results.every(({ duplicate }) => duplicate === false));
    assertEquals(await test.sizes(), { ready: 520, wake: 1 });
    assertEquals((await take(queue)).id, ids[0]);
  });

  test(`${name}.enqueue merges the calls of a turn into one script`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(-1); // Redis knows the script now
    const commands = await commandsDuring(test.url, async () => {
      await Promise.all(Array.from({ length: 900 }, (_, i) => {
        const options = [{}, { delayMs: 60_000 }, { id: `id-${i}` }][i % 3];
        return queue.enqueue(i, options);
      }));
    });
    assertEquals(commands, ["EVALSHA"]);
    assertEquals(await test.sizes(), { ready: 601, delayed: 300, ids: 300, wake: 1 });
  });

  test(`${name}.enqueueMany keeps the order and gives an id for each`, async (test) => {
    const queue = test.queue<number>();
    assertEquals(await queue.enqueueMany([]), []);
    assertEquals(await test.sizes(), {});
    const sent = Array.from({ length: 2_500 }, (_, i) => i);
    const results = await queue.enqueueMany(sent);
    assertEquals(new Set(results.map(({ id }) => id)).size, 2_500);
    const [first, ...rest] = await queue.receiveMany(1_000);
    assertEquals([first!.id, first!.payload], [results[0]!.id, 0]);
    await Promise.all([first!, ...rest].map((delivery) => delivery.ack()));
    assertEquals(await drain(queue), sent.slice(1_000));
  });

  test(`${name}.enqueueMany sends nothing when one payload is bad`, async (test) => {
    const queue = test.queue();
    await assertRejects(() => queue.enqueueMany([1, undefined, 3]), TypeError, "undefined");
    await assertRejects(() => queue.enqueueMany([1], { delayMs: -1 }), RangeError, "-1");
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue keeps a delayed message back until its time`, async (test) => {
    const queue = test.queue<string>();
    const before = Date.now();
    await queue.enqueue("later", { delayMs: 60_000 });
    await queue.enqueue("at", { runAt: before + 30_000 });
    assertEquals(await queue.receive(), undefined);
    assertEquals(await test.sizes(), { delayed: 2, wake: 1 });
    const { messages: [at, later] } = await queue.peek("delayed");
    assertEquals([at!.payload, at!.dueAt], ["at", before + 30_000]);
    assertEquals(later!.payload, "later");
    assert(Math.abs(later!.dueAt! - before - 60_000) < 1_000, String(later!.dueAt));
    await test.makeDue();
    assertEquals(payloads(await queue.receiveMany(5)).toSorted(), ["at", "later"]);
    assertEquals(await test.sizes(), { leased: 2, leases: 1 });
  });

  test(`${name}.enqueue takes a time that is over as now`, async (test) => {
    const queue = test.queue<number>();
    await Promise.all([
      queue.enqueue(1, { runAt: 0 }),
      queue.enqueue(2, { runAt: Date.now() - 1_000 }),
      queue.enqueue(3, { delayMs: 0 }),
    ]);
    assertEquals(await test.sizes(), { ready: 3, wake: 1 });
    assertEquals((await drain(queue)).toSorted(), [1, 2, 3]);
  });

  test(`${name}.enqueue stores a message once when its reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const queue = test.queue<string>({}, client);
    await queue.enqueue("warm", { delayMs: 60_000 });
    const lost = proxy.dropReplies(1, { after: ENQUEUES });
    const results = await Promise.all([
      queue.enqueue("a"),
      queue.enqueue("b", { id: "mine" }),
      queue.enqueue("c", { delayMs: 60_000 }),
      queue.enqueue("d", { id: "mine" }),
    ]);
    await lost;
    assertEquals(results.map(({ duplicate }) => duplicate), [false, false, false, true]);
    assertEquals(await test.sizes(), { ready: 2, delayed: 2, ids: 1, wake: 1 });
    const [mark = ""] = await test.redis.hVals(test.key("replays"));
    assertMatch(mark, /^2 \d+\n/); // the second batch of the one producer, and what was said
    assertEquals((await drain(queue)).toSorted(), ["a", "b"]);
  });

  test(`${name}.enqueue says duplicate again when that reply is lost`, async (test) => {
    const { proxy, client } = await test.faulty();
    const [queue, other] = [test.queue<string>({}, client), test.queue<string>()];
    await other.enqueue("first", { id: "mine" });
    const holder = await take(other);
    // As a worker it is connected, and registers the queue before it is connected as a producer.
    assertEquals(await queue.receive(), undefined);
    const lost = proxy.dropReplies(1, { after: ENQUEUES });
    const enqueued = queue.enqueue("second", { id: "mine" });
    await lost;
    await holder.ack(); // before the enqueue is repeated: now nobody holds the id
    const { duplicate } = await enqueued;
    const stored = (await queue.counts()).ready;
    assertEquals({ duplicate, stored }, { duplicate: true, stored: 0 });
  });

  test(`${name}.enqueue refuses a batch that its producer had given up`, async (test) => {
    const kinds: Record<string, ReadyKind> = {
      ReliableQueue: "list",
      PriorityQueue: "priority",
      StreamQueue: "stream",
    };
    const scripts = bindScripts(kinds[name]!, { group: "workers", idle_ms: 30_000 });
    const send = (args: readonly CommandArgument[]) => call(test.redis, args);
    const messages = [1, 2].map((payload) =>
      writeEnvelope({ uid: makeUid(), enqueuedAt: Date.now(), priority: 0 }, String(payload))
    );
    const store = async (batch: number) => {
      const stored = await scripts.enqueue.run(send, queueKeys(test.name), {
        producer: "somebody",
        batch,
        after: "",
        after_batch: 0,
        plain: 1,
        replay_ms: 60_000,
        max_ready: 0,
        counting: "1",
      }, [messages[batch - 1]!]);
      return stored?.plain;
    };
    assertEquals(await store(1), 1);
    assertEquals(await store(2), 1);
    await assertRejects(() => store(1), Error, "a later batch of this producer was stored");
    assertEquals(await store(2), 1); // the reply was lost
    const queue = test.queue<number>();
    assertEquals((await queue.counts()).ready, 2);
    assertEquals((await drain(queue)).toSorted(), [1, 2]);
  });

  test(`${name}.enqueue forgets producers that went`, async (test) => {
    const gone = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`gone-${i}`, `1 ${i}`]));
    await test.redis.hSet(test.key("replays"), { ...gone, foreign: "no mark" });
    await eventually(async () => {
      await test.queue().enqueue(1); // whoever comes looks at some of them
      const marks = await test.redis.hVals(test.key("replays"));
      for (const mark of marks) assertGreater(Number(mark.split(" ")[1]), Date.now());
    });
    const left = await test.redis.pTTL(test.key("replays"));
    assert(left > 100_000 && left <= 120_000, `${left} ms until all of them go`);
  });
}

function ownIds(name: string, test: LeasedTest): void {
  test(`${name}.enqueue keeps an id taken until its message is gone`, async (test) => {
    const queue = test.queue<number>();
    const again = () => queue.enqueue(2, { id: "invoice 17" });
    const taken = { id: "invoice 17", duplicate: true };
    assertEquals(await queue.enqueue(1, { id: "invoice 17", delayMs: 60_000 }), {
      id: "invoice 17",
      duplicate: false,
    });
    assertEquals(await again(), taken, "delayed");
    await test.makeDue();
    const delivery = await take(queue);
    assertEquals(delivery.id, "invoice 17");
    assertEquals(await again(), taken, "leased");
    await delivery.nack({ delayMs: 0 });
    assertEquals(await again(), taken, "ready");
    await (await take(queue)).deadLetter("no");
    assertEquals(await again(), taken, "dead");
    assertEquals(await test.sizes(), { dead: 1, "dead:at": 1, ids: 1, leases: 1 });
    assertEquals(await queue.redrive({ ids: ["invoice 17"] }), 1);
    assertEquals(await again(), taken, "redriven");
    await (await take(queue)).ack();
    assertEquals(await again(), { id: "invoice 17", duplicate: false });
    assertEquals(await test.sizes(), { ready: 1, ids: 1, wake: 1, leases: 1 });
    assertEquals(await drain(queue), [2]);
    assertEquals(await test.sizes(), {});
  });

  test(`${name}.enqueue takes the first of two messages with one id in a turn`, async (test) => {
    const queue = test.queue<string>();
    const results = await Promise.all([
      queue.enqueue("a", { id: "x" }),
      queue.enqueue("b", { id: "x" }),
      queue.enqueue("c", { id: "y" }),
    ]);
    assertEquals(results.map(({ duplicate }) => duplicate), [false, true, false]);
    assertEquals(await drain(queue), ["a", "c"]);
  });

  test(`${name}.purge frees the ids of what it removes`, async (test) => {
    const queue = test.queue<number>();
    await queue.enqueue(1, { id: "ready" });
    await queue.enqueue(2, { id: "dead" });
    await (await take(queue)).nack({ delayMs: 0 });
    for (const delivery of await queue.receiveMany(2)) {
      if (delivery.id === "dead") await delivery.deadLetter("no");
      else await delivery.nack({ delayMs: 0 });
    }
    await queue.enqueue(3, { id: "delayed", delayMs: 60_000 });
    assertEquals(await test.redis.hLen(test.key("ids")), 3);
    for (const state of ["ready", "delayed", "dead"] as const) {
      assertEquals(await queue.purge(state), 1);
      assertEquals(await test.redis.hExists(test.key("ids"), state), 0, state);
      assertEquals((await queue.enqueue(4, { id: state })).duplicate, false);
    }
  });

  test(`${name}.ack repeated after the id was used again leaves it taken`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    await queue.enqueue(1, { id: "x" });
    const delivery = await take(queue);
    await delivery.ack();
    await queue.enqueue(2, { id: "x" });
    await delivery.ack();
    await other.delivery(delivery.token).ack();
    assertEquals((await queue.enqueue(3, { id: "x" })).duplicate, true);
    assertEquals(await drain(queue), [2]);
  });

  test(`${name}.ack after a nack elsewhere leaves the id taken`, async (test) => {
    const [queue, other] = [test.queue<number>(), test.queue<number>()];
    await queue.enqueue(1, { id: "x" });
    const delivery = await take(queue);
    assertEquals(await other.delivery(delivery.token).nack({ delayMs: 0 }), "ready");
    await delivery.ack(); // the lease is there, the message is not in the hand: done already
    assertEquals(await test.sizes(), { ready: 1, ids: 1, leases: 1, wake: 1 });
    assertEquals((await queue.enqueue(2, { id: "x" })).duplicate, true);
  });
}
