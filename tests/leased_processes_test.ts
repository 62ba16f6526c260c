/**
 * What the queues with leases promise when the consumers' processes suffer: when they are killed and
 * stopped, asked to leave, kept busy, or wrong about the time. Each is a process of its own that runs
 * the library's `Worker` as users do (`fault_worker.ts`), or a loop of `receiveMany`. What happened is
 * read from the files that they append to, not from Redis, which is what is being tested.
 *
 * The figures of a run are printed: they say how hard it was.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- figures
import { assert, assertEquals, assertLess, assertLessOrEqual } from "@std/assert";
import {
  connect,
  type ConnectedClient,
  PriorityQueue,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import { queueKeys } from "../redis/keys.ts";
import type { RedisServer } from "../tools/redis_server.ts";
import type { Orders } from "./fault_worker.ts";
import { connectedClients, eventually, limit, serverTest } from "./support.ts";

const KINDS = ["reliable", "priority", "stream"] as const;
const CLASSES = { reliable: ReliableQueue, priority: PriorityQueue, stream: StreamQueue };
type Queue = ReliableQueue<number> | PriorityQueue<number> | StreamQueue<number>;
const NONE = { ready: 0, leased: 0, delayed: 0, dead: 0 };

/** How long a worker waits for handlers whose signals it has aborted. */
const ABORT_MS = 1_000;
/** What a process may take to end beside that: a test's machine is busy with other tests. */
const EXIT_MS = 1_000;
/** How often a worker looks for leases that are over. */
const SWEEP_MS = 1_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/** A stream's group has nothing on record, and of those that were killed nobody. */
async function noGhosts(redis: ConnectedClient, name: string, alive: number): Promise<void> {
  const { ready } = queueKeys(name);
  assertEquals((await redis.xPending(ready, "workers")).pending, 0);
  const hands = await redis.xInfoConsumers(ready, "workers");
  const workers = new Set(hands.map(({ name }) => String(name).split(":")[0]));
  assertLessOrEqual(workers.size, alive);
}

const KILLED = [
  { title: "reliable", kind: "reliable", by: "worker" },
  { title: "priority", kind: "priority", by: "worker" },
  { title: "stream", kind: "stream", by: "worker" },
  { title: "reliable, by receiveMany", kind: "reliable", by: "receive" },
] as const;

for (const { title, kind, by } of KILLED) {
  serverTest(
    `${title}: consumers killed all the time lose nothing (hazards 1, 6)`,
    async (server) => {
      const batch = 4;
      await using crew = new Crew(server, {
        kind,
        by,
        batch,
        leaseMs: 600,
        maxAttempts: 100,
        handleMs: 8,
      });
      await using redis = await client(server);
      const queue = new CLASSES[kind]<number>(redis, crew.name);
      for (let i = 0; i < 4; i++) crew.spawn();
      await crew.see("start", 0, () => queue.enqueue(0));
      let sent = 1, kills = 0;
      const until = performance.now() + 3_000;
      let killAt = performance.now() + 200;
      while (performance.now() < until) {
        // Half of them delayed, so that promoting is interrupted as well.
        await queue.enqueueMany(numbers(4, sent));
        await queue.enqueueMany(numbers(4, sent + 4), { delayMs: Math.random() * 300 });
        sent += 8;
        if (performance.now() > killAt && await crew.killOne()) {
          killAt += 200;
          kills++;
          crew.spawn();
        }
        await pause(20);
      }
      await eventually(async () => assertEquals(await queue.counts(), NONE), 15_000);
      if (kind === "stream") await eventually(() => noGhosts(redis, crew.name, 4));
      const { never, doubleAcks, twice } = crew.audit(sent);
      const cut = crew.count("start") - crew.count("done");
      console.log(
        `${title}: ${sent} messages, ${kills} kills, which cut ${cut} handlers short; ` +
          `${never} lost, ${doubleAcks} acked twice, ${twice} run twice`,
      );
      assertEquals({ never, doubleAcks }, { never: 0, doubleAcks: 0 });
      assertLessOrEqual(twice, kills * (by === "worker" ? batch : 1));
      assert(cut > 0, "kills that hit nobody prove nothing");
    },
  );
}

serverTest("control: a plain pop under the same kills loses messages", async (server) => {
  await using crew = new Crew(server, { kind: "plain", handleMs: 4 });
  await using redis = await client(server);
  for (let i = 0; i < 4; i++) crew.spawn();
  await crew.see("start", 0, () => redis.lPush(crew.name, "0"));
  let sent = 1, kills = 0;
  for (; kills < 6; kills++) {
    const some = numbers(100, sent);
    sent += 100;
    await redis.lPush(crew.name, some.map(String));
    await eventually(async () => assertLess(await redis.lLen(crew.name), 40));
    await crew.killOne();
    crew.spawn();
  }
  await eventually(async () => assertEquals(await redis.lLen(crew.name), 0), 10_000);
  await pause(100);
  const { never } = crew.audit(sent);
  console.log(`control: ${sent} messages, ${kills} kills, ${never} lost`);
  assert(never > 0, "a control that loses nothing proves nothing about the others");
});

serverTest("A message of a killed consumer is back within its lease and 0.5 s", async (server) => {
  const leaseMs = 500;
  await using redis = await client(server);
  for (const kind of KINDS) {
    await using crew = new Crew(server, { kind, leaseMs, handleMs: 60_000 });
    const queue = new CLASSES[kind]<number>(redis, crew.name);
    for (const n of [0, 1]) {
      crew.spawn();
      await crew.see("start", n, () => queue.enqueue(n));
      await crew.killOne();
      const killedAt = performance.now();
      const delivery = await eventually(async () => {
        const delivery = await queue.receive();
        assert(delivery);
        return delivery;
      });
      assertEquals([delivery.payload, delivery.attempt], [n, 2]);
      assertLess(performance.now() - killedAt, leaseMs + 500);
      await delivery.ack();
    }
  }
});

for (const { title, kind, by } of KILLED) {
  serverTest(
    `${title}: a consumer that is stopped past its lease cannot ack (hazard 4)`,
    async (server) => {
      const leaseMs = 300;
      await using redis = await client(server);
      await using crew = new Crew(server, { kind, by, leaseMs, handleMs: 50 });
      const queue = new CLASSES[kind]<number>(redis, crew.name, { leaseMs });
      const child = crew.spawn();
      for (const n of numbers(4)) {
        await crew.see("start", n, () => queue.enqueue(n));
        child.kill("SIGSTOP");
        await pause(leaseMs * 1.6);
        const delivery = await queue.receive();
        assertEquals([delivery?.payload, delivery?.attempt], [n, 2]);
        // Refused while another one has it, and after that one has settled it.
        if (n % 2 === 0) await delivery!.ack();
        await crew.see("lost", n, () => child.kill("SIGCONT"));
        if (n % 2 === 1) await delivery!.ack();
        assertEquals(await queue.counts(), NONE);
      }
      assertEquals(crew.said("acked"), []);
    },
  );
}

for (const kind of KINDS) {
  serverTest(
    `${kind}: a handler that blocks its process loses the lease, and nothing else (hazard 23)`,
    async (server) => {
      const leaseMs = 1_000;
      await using redis = await client(server);
      await using crew = new Crew(server, {
        kind,
        leaseMs,
        batch: 4,
        blocker: { message: 0, ms: 3 * leaseMs },
      });
      const queue = new CLASSES[kind]<number>(redis, crew.name);
      await queue.enqueueMany(numbers(4));
      const blocked = crew.spawn();
      await crew.see("start", 0);
      const other = crew.spawn();
      const startedAt = performance.now();
      await eventually(() => assertEquals(crew.count("acked"), 4), 10_000);
      const tookMs = performance.now() - startedAt;
      // What the handler did in vain is noticed, and not acknowledged.
      await crew.see("lost", 0);
      const all = crew.lines();
      const takenOver = all.indexOf(`acked 0 2 ${other.pid}`);
      const done = all.indexOf(`done 0 1 ${blocked.pid}`);
      assert(takenOver >= 0 && takenOver < done, all.join("\n"));
      assertLess(tookMs, leaseMs + SWEEP_MS + 500);
      // Nor is the rest of its hand begun, which is somebody else's by now.
      await eventually(() => {
        const lost = crew.said("lost").toSorted((a, b) => a.n - b.n);
        assertEquals(lost, numbers(4).map((n) => ({ n, attempt: 1, pid: blocked.pid })));
      }, 5_000);
      assert(crew.said("acked").every(({ pid }) => pid === other.pid));
      assertEquals(crew.said("start").filter(({ pid }) => pid === blocked.pid).length, 1);
      console.log(`${kind}: taken over after ${tookMs | 0} ms`);
      // It works on.
      await crew.kill(other);
      await crew.see("acked", 4, () => queue.enqueue(4));
      assertEquals(crew.said("acked").at(-1), { n: 4, attempt: 1, pid: blocked.pid });
      const { never, doubleAcks } = crew.audit(5);
      assertEquals([never, doubleAcks, await queue.counts()], [0, 0, NONE]);
    },
  );
}

for (const kind of KINDS) {
  serverTest(
    `${kind}: a worker that is asked to leave finishes what it has in hand (hazard 20)`,
    async (server) => {
      const handleMs = 1_500;
      await using redis = await client(server);
      await using crew = new Crew(server, { kind, batch: 8, handleMs, graceMs: 10_000 });
      const queue = new CLASSES[kind]<number>(redis, crew.name);
      const connections = await connectedClients(redis);
      await queue.enqueueMany(numbers(20));
      const child = crew.spawn();
      await eventually(() => assertEquals(crew.count("start"), 8), 8_000);
      assertLess(connections, await connectedClients(redis));
      const { code, ms } = await ask(child);
      // Read at once: nothing has had the time to be put right by a lease.
      assertEquals(await states(queue), { ...NONE, ready: 12 });
      assertEquals(code, 0);
      for (const what of ["start", "done", "acked"]) {
        assertEquals(crew.numbers(what).toSorted((a, b) => a - b), numbers(8), what);
      }
      assertEquals(crew.lines().length, 24);
      assertLess(ms, handleMs + EXIT_MS);
      await eventually(async () => assertEquals(await connectedClients(redis), connections));
      console.log(`${kind}: 8 handlers of ${handleMs} ms finished, gone after ${ms | 0} ms`);
    },
  );

  serverTest(
    `${kind}: a worker gives back what handlers do not finish in its grace (hazard 20)`,
    async (server) => {
      const graceMs = 500;
      await using redis = await client(server);
      // Messages with odd numbers take a minute, and in the end there is one in each slot.
      const handleMs = [0, 60_000];
      await using crew = new Crew(server, { kind, batch: 8, handleMs, graceMs });
      const queue = new CLASSES[kind]<number>(redis, crew.name);
      const connections = await connectedClients(redis);
      await queue.enqueueMany(numbers(20));
      const child = crew.spawn();
      await eventually(
        () => assertEquals([crew.count("start"), crew.count("acked")], [16, 8]),
        8_000,
      );
      const { code, ms } = await ask(child);
      const { ready, delayed, leased, dead } = await states(queue);
      assertEquals([ready + delayed, leased, dead], [12, 0, 0]);
      assertEquals(code, 0);
      assertLess(graceMs, ms);
      assertLess(ms, graceMs + ABORT_MS + EXIT_MS);
      await eventually(async () => assertEquals(await connectedClients(redis), connections));
      assertEquals(crew.numbers("failed").toSorted((a, b) => a - b), numbers(8).map(odd));
      // Who comes next gets all of them; being stopped is no failure and spends no attempt.
      const attempts = await receiveAll(queue, 12);
      assertEquals(attempts, [
        ...numbers(8).map((i) => [odd(i), 1]),
        ...numbers(4, 16).map((n) => [n, 1]),
      ]);
      console.log(`${kind}: 8 handlers left behind, gone ${ms - graceMs | 0} ms after the grace`);
    },
  );
}

for (const [kind, second] of [["reliable", "SIGTERM"], ["priority", "SIGINT"]] as const) {
  serverTest(
    `${kind}: a worker asked again, by ${second}, leaves at once (hazard 20)`,
    async (server) => {
      await using redis = await client(server);
      await Promise.all([true, false].map(async (heed) => {
        const aMinute = { handleMs: 60_000, graceMs: 60_000 };
        await using crew = new Crew(server, { kind, batch: 8, heed, ...aMinute });
        const queue = new CLASSES[kind]<number>(redis, crew.name);
        await queue.enqueueMany(numbers(10));
        const child = crew.spawn();
        await eventually(() => assertEquals(crew.count("start"), 8), 8_000);
        child.kill("SIGTERM");
        await pause(300);
        assert(crew.has(child), "it left without having been asked again");
        assertEquals(crew.count("failed"), 0);
        const { code, ms } = await ask(child, second);
        const { ready, delayed, leased, dead } = await states(queue);
        assertEquals([ready + delayed, leased, dead], [10, 0, 0]);
        assertEquals([code, crew.count("failed"), crew.count("done")], [0, 8, 0]);
        assertLess(ms, (heed ? 0 : ABORT_MS) + EXIT_MS);
        console.log(`${kind}: gone ${ms | 0} ms after ${second}${heed ? "" : ", 8 left behind"}`);
      }));
    },
  );
}

serverTest("A consumer's clock may be an hour wrong (hazard 7)", async (server) => {
  await using redis = await client(server);
  for (const clockMs of [-3_600_000, 3_600_000]) {
    await using crew = new Crew(server, {
      kind: "reliable",
      leaseMs: 1_000,
      handleMs: 2,
      clockMs,
      enqueue: { first: 50, count: 10, delayMs: 400 },
    });
    const queue = new ReliableQueue<number>(redis, crew.name, { leaseMs: 1_000 });
    await queue.enqueueMany(numbers(50));
    crew.spawn();
    await eventually(async () => assertEquals((await queue.counts()).delayed, 10));
    const { messages } = await queue.peek("delayed");
    const inMs = messages[0]!.dueAt! - Number(await redis.eval(NOW));
    assert(inMs > 0 && inMs <= 400, `due in ${inMs} ms`);
    await eventually(() => assertEquals(crew.count("acked"), 60), 5_000);
    const { never, doubleAcks, twice } = crew.audit(60);
    assertEquals([never, doubleAcks, twice, crew.count("lost")], [0, 0, 0, 0]);
  }
});

for (const { title, kind, by } of KILLED) {
  serverTest(
    `${title}: of 200 messages only the one that kills dies (hazard 11)`,
    async (server) => {
      const killer = 77;
      await using crew = new Crew(server, {
        kind,
        by,
        killer,
        leaseMs: 300,
        maxAttempts: 3,
        batch: 10,
      });
      await using redis = await client(server);
      const queue = new CLASSES[kind]<number>(redis, crew.name, { leaseMs: 300, maxAttempts: 3 });
      await queue.enqueueMany(numbers(200));
      const tended = crew.tend();
      await eventually(
        async () => assertEquals(await queue.counts(), { ...NONE, dead: 1 }),
        10_000,
      );
      const { messages: [letter] } = await queue.peek("dead");
      assertEquals([letter!.payload, letter!.attempts, letter!.reason], [
        killer,
        3,
        "lease lapsed",
      ]);
      assertEquals(letter!.errors.map((error) => error.message), Array(3).fill("lease lapsed"));
      const handed = crew.said("start").filter(({ n }) => n === killer);
      assertEquals(handed.map(({ attempt }) => attempt), [1, 2, 3]);
      // Not "acked": the killer may take the replies to other messages' acks with it.
      const { never, doubleAcks } = crew.audit(200);
      assertEquals([never, doubleAcks, crew.numbers("done").includes(killer)], [1, 0, false]);
      crew.dismiss();
      await tended;
    },
  );
}

const NOW = `local time = redis.call("TIME") return time[1] * 1000 + math.floor(time[2] / 1000)`;

/** A connection that ends with the test. */
async function client(server: { url: string }): Promise<ConnectedClient & AsyncDisposable> {
  const redis = await connect({ url: server.url, heartbeatMs: 0 });
  return Object.assign(redis, {
    [Symbol.asyncDispose]: () => Promise.resolve(redis.destroy()),
  });
}

/** How many messages are in each state. */
async function states(queue: Queue): Promise<typeof NONE> {
  const { oldestReadyMs: _, ...counts } = await queue.counts();
  return counts;
}

/** The messages that are left, by number, each with its attempt. */
async function receiveAll(queue: Queue, count: number): Promise<[n: number, attempt: number][]> {
  const got: [number, number][] = [];
  await eventually(async () => {
    const deliveries = await queue.receiveMany(count);
    for (const { payload, attempt } of deliveries) got.push([payload, attempt]);
    assertEquals(got.length, count);
  });
  return got.sort(([a], [b]) => a - b);
}

/** Sends a signal, and tells how the process ended, and how long it took. */
async function ask(
  child: Deno.ChildProcess,
  signal: Deno.Signal = "SIGTERM",
): Promise<{ code: number; ms: number }> {
  const askedAt = performance.now();
  child.kill(signal);
  const { code } = await limit(child.status, `${signal} to ${child.pid}`, 10_000);
  return { code, ms: performance.now() - askedAt };
}

const odd = (i: number) => 2 * i + 1;

/** Consumers in processes of their own, and the file they write to. */
class Crew implements AsyncDisposable {
  readonly name = `q${crypto.randomUUID().slice(0, 8)}`;
  readonly #orders: Orders;
  readonly #alive = new Set<Deno.ChildProcess>();
  #dismissed = false;

  constructor(server: RedisServer, orders: Omit<Orders, "url" | "name" | "file">) {
    const file = `${server.dir}/${this.name}.txt`;
    Deno.writeTextFileSync(file, "");
    this.#orders = { ...orders, url: server.url, name: this.name, file };
  }

  spawn(): Deno.ChildProcess {
    const program = new URL("./fault_worker.ts", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", "--no-check", program, JSON.stringify(this.#orders)],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    this.#alive.add(child);
    void child.status.then(() => this.#alive.delete(child));
    return child;
  }

  /** Whether this one is alive. */
  has(child: Deno.ChildProcess): boolean {
    return this.#alive.has(child);
  }

  /** kill -9. */
  async kill(child: Deno.ChildProcess): Promise<void> {
    child.kill("SIGKILL");
    await child.status;
  }

  /**
   * kill -9 for the one that is handling most messages; or for the oldest that has begun any, since one
   * that is still starting has nothing to lose. Gives whether there was one.
   */
  async killOne(): Promise<boolean> {
    const handling = new Map<number, number>();
    for (const [what, change] of [["start", 1], ["done", -1]] as const) {
      for (const { pid } of this.said(what)) handling.set(pid, (handling.get(pid) ?? 0) + change);
    }
    const begun = [...this.#alive].filter(({ pid }) => handling.has(pid));
    const [busiest] = begun.sort((a, b) => handling.get(b.pid)! - handling.get(a.pid)!);
    if (busiest) await this.kill(busiest);
    return busiest !== undefined;
  }

  /** Keeps one consumer alive until {@linkcode dismiss}. */
  async tend(): Promise<void> {
    while (!this.#dismissed) await this.spawn().status;
  }

  dismiss(): void {
    this.#dismissed = true;
    for (const child of this.#alive) child.kill("SIGKILL");
  }

  lines(): string[] {
    return Deno.readTextFileSync(this.#orders.file).split("\n").slice(0, -1);
  }

  /** What was said of this, in its order. */
  said(what: string): { n: number; attempt: number; pid: number }[] {
    return this.lines().filter((line) => line.startsWith(`${what} `)).map((line) => {
      const [n, attempt, pid] = line.split(" ").slice(1).map(Number) as [number, number, number];
      return { n, attempt, pid };
    });
  }

  /** The messages of which this was said. */
  numbers(what: string): number[] {
    return this.said(what).map(({ n }) => n);
  }

  count(what: string): number {
    return this.numbers(what).length;
  }

  /** Does something, and waits until a consumer has said this of the message. */
  async see(what: string, n: number, after: () => unknown = () => {}): Promise<void> {
    await after();
    await eventually(() => assert(this.numbers(what).includes(n), `no "${what} ${n}"`), 8_000);
  }

  /** How many of the messages from 0 were never finished, acked twice, finished more than once. */
  audit(sent: number): { never: number; doubleAcks: number; twice: number } {
    const done = this.numbers("done");
    const acked = this.numbers("acked");
    const finished = new Set(done);
    return {
      never: numbers(sent).filter((n) => !finished.has(n)).length,
      doubleAcks: acked.length - new Set(acked).size,
      twice: done.length - finished.size,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dismiss();
    await Promise.all([...this.#alive].map((child) => child.status));
  }
}
