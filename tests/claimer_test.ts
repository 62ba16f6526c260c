/**
 * From when on a lease counts that was claimed behind a wait: by Redis's clock, however late the reply is
 * read, unless that clock was set back meanwhile.
 *
 * A real server's clock is set back for the scripts that run here: where they ask for the time, the server
 * adds what a key says, at the moment at which the script runs.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
  assertLessOrEqual,
} from "@std/assert";
import { connect, type RedisClient, ReliableQueue } from "@workshop/redis-patterns";
import { Claimer } from "../queue/claimer.ts";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { policyOf } from "../queue/limits.ts";
import { call } from "../redis/call.ts";
import { queueKeys } from "../redis/keys.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import type { Send } from "../redis/script.ts";
import { nextTurn } from "../redis/timers.ts";
import type { RedisServer } from "../tools/redis_server.ts";
import { eventually, serverTest } from "./support.ts";

const LEASE_MS = 3_000;
/** Longer than the lease: one that was reckoned from the beginning of the wait could be over at once. */
const WAIT_MS = 5_000;
/** How long it may take a claim to reach Redis; the reckoning is behind by as much. */
const SLACK_MS = 250;
const NAME = "q";
const KEYS = queueKeys(NAME);

/** By how many milliseconds the server's clock is off, to its scripts. */
const OFFSET = "clock";
const TIME = 'redis.call("TIME")';
const TIME_AND_OFFSET = `(function()
  local time, offset = ${TIME}, redis.call("GET", "${OFFSET}") or 0
  return {time[1] + math.floor(offset / 1000), time[2]}
end)()`;

/** Scripts that are sent by it run by a clock that can be set. */
function bySettableClock(send: Send): Send {
  return (args) =>
    send(args.map((arg) => typeof arg === "string" ? arg.replaceAll(TIME, TIME_AND_OFFSET) : arg));
}

/** A consumer that waits, as a worker does. */
class Waiter implements AsyncDisposable {
  readonly redis: RedisClient & AsyncDisposable;
  readonly queue: ReliableQueue<number>;
  readonly claimer: Claimer;
  readonly #own: OwnConnection;

  private constructor(redis: RedisClient & AsyncDisposable) {
    this.redis = redis;
    this.queue = new ReliableQueue<number>(redis, NAME);
    this.#own = new OwnConnection(redis, KEYS.wake);
    const limits = { attempts: 5, dead: 100, dead_age: 60_000 };
    const logs = { failed: 0, failed_age: 0, completed: 0, completed_age: 0 };
    this.claimer = new Claimer({
      keys: KEYS,
      scripts: LEASED_SCRIPTS.list,
      leaseMs: LEASE_MS,
      options: {
        policy: policyOf({ ...limits, ...logs }),
        backoff: () => 0,
        keep: "",
        counting: "1",
        ack: "index",
      },
      rate: "",
    });
  }

  static async start(server: RedisServer): Promise<Waiter> {
    return new Waiter(await connect({ url: server.url }));
  }

  /** Takes what is there; so it hears what time it is. */
  async look(through: (send: Send) => Send): Promise<number> {
    const send = through((args) => this.#own.call(args));
    return (await this.claimer.claim(send, { most: 10, room: 1 }))?.messages.length ?? 0;
  }

  /** Waits for what comes; gives how long its lease goes on, by our reckoning, when that is read. */
  async wait(through: (send: Send) => Send) {
    const send = through(this.claimer.behindToken(this.#own, WAIT_MS));
    const claimed = await this.claimer.claim(send, { most: 10, room: 1, waits: true });
    const readAt = performance.now();
    assert(claimed, "nothing came");
    const { hand, messages } = claimed;
    assertEquals(messages.length, 1);
    return { claimedAt: hand.claimedAt, readAt, leftMs: hand.leftAt(readAt) };
  }

  /** Until it waits in Redis. */
  async blocked(): Promise<void> {
    await eventually(async () => {
      const info = String(await call(this.redis, ["INFO", "clients"]));
      assertEquals(/blocked_clients:(\d+)/.exec(info)?.[1], "1");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#own.close();
    await this.queue.close();
    await this.redis[Symbol.asyncDispose]();
  }
}

for (
  const [title, offsetMs] of [
    ["as it was", 0],
    ["set back by an hour", -3_600_000],
    ["set back by ten seconds", -10_000],
    ["set forward by an hour", 3_600_000],
  ] as const
) {
  serverTest(
    `Claimer.claim behind a wait has its lease with Redis's clock ${title}`,
    async (server) => {
      await using waiter = await Waiter.start(server);
      const { redis, queue } = waiter;
      assertEquals(await waiter.look(bySettableClock), 0);
      const waits = waiter.wait(bySettableClock);
      await waiter.blocked();
      await call(redis, ["SET", OFFSET, String(offsetMs)]);
      const enqueuedAt = performance.now();
      await queue.enqueue(1);
      const { claimedAt, readAt, leftMs } = await waits;
      // Else a worker would not begin with it, and nobody would before the lease is over.
      assertGreaterOrEqual(claimedAt, enqueuedAt - SLACK_MS);
      assertLessOrEqual(claimedAt, readAt);
      assertGreaterOrEqual(leftMs, LEASE_MS - (readAt - enqueuedAt) - SLACK_MS);
      // The next one, and the one after a look at the clock, likewise.
      for (const looks of [false, true]) {
        if (looks) assertEquals(await waiter.look(bySettableClock), 0);
        const again = waiter.wait(bySettableClock);
        await waiter.blocked();
        const at = performance.now();
        await queue.enqueue(2);
        const next = await again;
        assertGreaterOrEqual(next.claimedAt, at - SLACK_MS);
        assertLessOrEqual(next.claimedAt, next.readAt);
      }
    },
  );
}

serverTest(
  "Claimer.claim behind a wait counts its lease from when Redis ran it",
  async (server) => {
    await using waiter = await Waiter.start(server);
    const { redis, queue } = waiter;
    const asItIs = (send: Send) => send;
    assertEquals(await waiter.look(asItIs), 0); // Redis knows the script from here on
    await queue.enqueue(1);
    await call(redis, ["DEL", KEYS.wake]);
    const waits = waiter.wait(asItIs);
    await waiter.blocked();
    const toldAt = performance.now();
    const told = call(redis, ["LPUSH", KEYS.wake, "1"]);
    for (let turns = 0; turns < 2; turns++) await nextTurn(); // until it is written
    while (performance.now() < toldAt + 1_000); // as a handler that does not let go of the event loop
    const { claimedAt, readAt, leftMs } = await waits;
    await told;
    assertGreaterOrEqual(readAt, toldAt + 1_000 - 1);
    assertLess(claimedAt, toldAt + 500);
    assertLess(leftMs, LEASE_MS - 500);
  },
);
