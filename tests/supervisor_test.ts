/**
 * What consumers survive (HAZARDS 17 and 18): every error word with which Redis says "not now", cut and
 * paused connections, a server that is asleep, starts anew, or is behind a black hole. They go on by
 * themselves, within two seconds, and handle nothing twice.
 *
 * In each test the consumers are the same: a `Worker` on every kind of queue, in both modes. The words
 * come from real servers that are brought into such a state.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- figures
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import {
  connect,
  type ConnectedClient,
  ListQueue,
  PriorityQueue,
  ReliableQueue,
  StreamQueue,
  Worker,
} from "@workshop/redis-patterns";
import { replyWord } from "../redis/errors.ts";
import { queueKeys } from "../redis/keys.ts";
import { freePort, RedisServer, type RedisServerOptions } from "../tools/redis_server.ts";
import { FaultyProxy } from "./proxy.ts";
import { connectedClients, eventually, limit, serverTest } from "./support.ts";

const CLASSES = {
  list: ListQueue,
  reliable: ReliableQueue,
  priority: PriorityQueue,
  stream: StreamQueue,
};
const MODES = ["polling", "blocking"] as const;
/** How soon consumers are at work again after what stopped them is over. */
const BACK_MS = 2_000;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A `Worker` on each kind of queue in both modes, and a producer of its own for all of them. */
class Staff implements AsyncDisposable {
  /** First words of what the consumers have survived so far, by consumer. */
  readonly words = new Map<string, Set<string>>();
  readonly #clients: ConnectedClient[];
  readonly #posts: {
    title: string;
    /** At most once: what is under way when a connection is cut may be gone. */
    mayLose: boolean;
    worker: Worker<{ payload: number }>;
    send: (n: number, delayMs?: number) => Promise<unknown>;
    handled: number[];
  }[] = [];

  private constructor(clients: ConnectedClient[]) {
    this.#clients = clients;
  }

  /** Begins work. `url` is for the consumers, `direct` for the producer. */
  static async begin(
    url: string,
    { direct = url, heartbeatMs = 5_000, leaseMs = 30_000 } = {},
  ): Promise<Staff> {
    const clients = [await connect({ url, heartbeatMs }), await connect({ url: direct })];
    const staff = new Staff(clients);
    for (const mode of MODES) {
      for (const kind of ["list", "reliable", "priority", "stream"] as const) {
        staff.#post(kind, mode, leaseMs);
      }
    }
    for (const { worker } of staff.#posts) worker.start();
    await staff.works(0, 10_000);
    return staff;
  }

  #post(kind: keyof typeof CLASSES, mode: typeof MODES[number], leaseMs: number): void {
    const title = `${kind}-${mode}`;
    const [consumer, producer] = this.#clients as [ConnectedClient, ConnectedClient];
    const handled: number[] = [];
    const words = new Set<string>();
    const make = (client: ConnectedClient) =>
      kind === "list"
        ? new ListQueue<number>(client, title)
        : new CLASSES[kind]<number>(client, title, { leaseMs });
    const worker = new Worker<{ payload: number }>(make(consumer), (n) => void handled.push(n), {
      mode,
      pollMs: 20,
      onEvent: (event) => {
        if (event.type === "retrying") {
          words.add(replyWord(event.error) || replyWord(event.error.cause) || "lost");
        }
      },
    });
    const queue = make(producer);
    this.words.set(title, words);
    this.#posts.push({
      title,
      mayLose: kind === "list",
      worker,
      send: (n, delayMs) =>
        queue instanceof ListQueue ? queue.enqueue(n) : queue.enqueue(n, { delayMs }),
      handled,
    });
  }

  /** Everybody gets message `n` and handles it, within `ms`. Gives how long the last one took. */
  async works(n: number, ms = BACK_MS): Promise<number> {
    const startedAt = performance.now();
    await limit(this.send(n), `enqueueing ${n}`, ms);
    await this.handles(n, startedAt + ms - performance.now());
    return performance.now() - startedAt;
  }

  /** Everybody has handled message `n` within `ms`. */
  async handles(n: number, ms = BACK_MS): Promise<void> {
    await eventually(() => {
      for (const { title, handled } of this.#posts) {
        assert(handled.includes(n), `${title} does not work: it has handled ${handled}`);
      }
    }, ms);
  }

  /** How many consumers have met a word. */
  met(word: string): number {
    return [...this.words.values()].filter((words) => words.has(word)).length;
  }

  /** Everybody has handled each of these once, and nothing else. */
  handledOnce(count: number, { few = false } = {}): void {
    const numbers = Array.from({ length: count }, (_, i) => i);
    for (const { title, handled, mayLose } of this.#posts) {
      assertEquals(new Set(handled).size, handled.length, `${title} has handled one twice`);
      if (!(few && mayLose)) assertEquals(handled.toSorted((a, b) => a - b), numbers, title);
    }
  }

  /**
   * A message for everybody, due in a while; at once where there are no delays. Where nothing is promised
   * it may fail.
   */
  async send(n: number, delayMs?: number, { mayFail = false } = {}): Promise<void> {
    await Promise.all(this.#posts.map(async ({ send, mayLose }) => {
      await send(n, delayMs).catch((error) => {
        if (!(mayFail && mayLose)) throw error;
      });
    }));
  }

  /** Whether everybody says that it is well. */
  health(): { running: boolean; lastClaimMs: number }[] {
    return this.#posts.map(({ worker }) => {
      const { running, lastClaimMs = Infinity } = worker.health();
      return { running, lastClaimMs };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#posts.map(({ worker }) => worker.stop()));
    for (const client of this.#clients) client.destroy();
  }
}

/** A connection that ends with the test. */
async function adminOf(server: { url: string }) {
  const redis = await connect({ url: server.url, heartbeatMs: 0 });
  const client = Object.assign(redis, {
    [Symbol.asyncDispose]: () => Promise.resolve(redis.destroy()),
  });
  return client;
}

type Admin = Awaited<ReturnType<typeof adminOf>>;
type Say = (...words: string[]) => Promise<unknown>;

/** A state in which Redis answers with a word, and the way into it and out of it. */
interface Trouble {
  word: string;
  options?: RedisServerOptions;
  begin: (say: Say, server: RedisServer) => Promise<unknown>;
  end: (say: Say, server: RedisServer) => Promise<unknown>;
}

const TROUBLES: Trouble[] = [
  {
    word: "READONLY", // a master that became a replica, as after a failover
    begin: (say) => say("REPLICAOF", "127.0.0.1", "1"),
    end: (say) => say("REPLICAOF", "NO", "ONE"),
  },
  {
    word: "MASTERDOWN",
    options: { config: { "replica-serve-stale-data": "no" } },
    begin: (say) => say("REPLICAOF", "127.0.0.1", "1"),
    end: (say) => say("REPLICAOF", "NO", "ONE"),
  },
  {
    word: "NOREPLICAS",
    begin: (say) => say("CONFIG", "SET", "min-replicas-to-write", "1"),
    end: (say) => say("CONFIG", "SET", "min-replicas-to-write", "0"),
  },
  {
    word: "MISCONF", // a disk that cannot be written to
    options: { config: { save: "3600 100000" } },
    async begin(say, server) {
      await Deno.mkdir(`${server.dir}/dump.rdb`); // where a file should go
      await say("BGSAVE");
      await eventually(async () =>
        assert(String(await say("INFO", "persistence")).includes("rdb_last_bgsave_status:err"))
      );
    },
    async end(say, server) {
      await Deno.remove(`${server.dir}/dump.rdb`);
      await say("BGSAVE");
      await eventually(async () =>
        assert(String(await say("INFO", "persistence")).includes("rdb_last_bgsave_status:ok"))
      );
    },
  },
  {
    word: "BUSY", // somebody's script does not end
    options: { config: { "busy-reply-threshold": "50" } },
    begin(_, server) {
      void adminOf(server).then((other) => {
        const endless = other.sendCommand(["EVAL", "while true do end", "0"]);
        return endless.catch(() => {}).finally(() => other.destroy());
      });
      return pause(200);
    },
    end: (say) => say("SCRIPT", "KILL"),
  },
];

for (const { word, options, begin, end } of TROUBLES) {
  serverTest(
    `consumers go on after ${word}, and handle nothing twice (hazard 17)`,
    async (server) => {
      await using admin = await adminOf(server);
      const say: Say = (...words) => admin.sendCommand(words);
      await using staff = await Staff.begin(server.url);
      await staff.send(1, 1_500); // falls due meanwhile
      await begin(say, server);
      await pause(3_000);
      assertGreater(staff.met(word), 0, `none of them has met ${word}`);
      await end(say, server);
      await staff.handles(1);
      const ms = await staff.works(2);
      staff.handledOnce(3);
      console.log(`${word}: ${staff.met(word)} of 8 met it; at work again after ${ms | 0} ms`);
    },
    options,
  );
}

serverTest(
  "consumers go on after UNBLOCKED, and handle nothing twice (hazard 17)",
  async (server) => {
    await using admin = await adminOf(server);
    await using staff = await Staff.begin(server.url);
    let unblocked = 0;
    for (let round = 0; round < 5; round++) {
      await pause(100);
      const list = String(await admin.sendCommand(["CLIENT", "LIST"]));
      for (const [, id] of list.matchAll(/^id=(\d+) .* flags=\w*b/gm)) {
        unblocked += Number(await admin.sendCommand(["CLIENT", "UNBLOCK", id!, "ERROR"]));
      }
    }
    assertGreater(unblocked, 4);
    // Queues with leases claim at once, however the wait has ended.
    assertEquals([...staff.words.get("list-blocking")!], ["UNBLOCKED"]);
    const ms = await staff.works(1);
    staff.handledOnce(2);
    console.log(`UNBLOCKED ${unblocked} times: at work again after ${ms | 0} ms`);
  },
);

serverTest(
  "consumers go on after LOADING, and handle nothing twice (hazard 17)",
  async (server) => {
    await using admin = await adminOf(server);
    await using staff = await Staff.begin(server.url);
    await admin.sendCommand(["DEBUG", "POPULATE", "10000", "key", "100"]);
    await admin.sendCommand(["SAVE"]);
    await server.kill();
    await server.restart();
    const ms = await staff.works(1);
    staff.handledOnce(2);
    assertGreater(staff.met("LOADING"), 0);
    console.log(`LOADING: ${staff.met("LOADING")} of 8 met it; at work again after ${ms | 0} ms`);
  },
  {
    config: {
      "enable-debug-command": "yes",
      "key-load-delay": "200",
      "loading-process-events-interval-bytes": "1024", // it answers while it loads
    },
  },
);

Deno.test("consumers go on after CLUSTERDOWN, TRYAGAIN, ASK and MOVED (hazard 17)", async () => {
  const cluster = () =>
    RedisServer.start({ config: { "cluster-enabled": "yes", "cluster-port": String(freePort()) } });
  await using server = await cluster();
  await using other = await cluster();
  await using admin = await adminOf(server);
  await using there = await adminOf(other);
  const say: Say = (...words) => admin.sendCommand(["CLUSTER", ...words]);
  const sayThere: Say = (...words) => there.sendCommand(["CLUSTER", ...words]);
  const isWell = async () => assert(String(await say("INFO")).includes("cluster_state:ok"));
  await say("ADDSLOTSRANGE", "0", "16383");
  const [, id, busPort] = /^(\S+) \S+@(\d+)/.exec(String(await sayThere("NODES")))!;
  await say("MEET", "127.0.0.1", String(other.port), busPort!);
  await eventually(async () => {
    await isWell();
    const nodes = String(await say("NODES")).trim().split("\n");
    assertEquals([nodes.length, nodes.filter((line) => /handshake/.test(line))], [2, []]);
    assert(String(await sayThere("NODES")).includes("0-16383"), "the other one has heard of it");
  }, 10_000);
  await using staff = await Staff.begin(server.url);
  const slots = await Promise.all(
    [...staff.words.keys()].map(async (name) =>
      String(await say("KEYSLOT", name.startsWith("list") ? name : queueKeys(name).ready))
    ),
  );
  const met = (word: string) => eventually(() => assertGreater(staff.met(word), 0, word), 8_000);

  for (const slot of slots) await say("SETSLOT", slot, "MIGRATING", id!);
  await met("TRYAGAIN"); // some of a queue's keys are here, and some are not
  await met("ASK"); // a list's only key is not here
  for (const slot of slots) await say("SETSLOT", slot, "STABLE");
  let ms = await staff.works(1);

  await say("DELSLOTS", ...slots);
  await met("CLUSTERDOWN");
  await sayThere("DELSLOTS", ...slots);
  await sayThere("ADDSLOTS", ...slots);
  await met("MOVED"); // to the other one, which has them now
  await sayThere("DELSLOTS", ...slots);
  await say("DELSLOTS", ...slots);
  await say("ADDSLOTS", ...slots);
  await eventually(isWell, 10_000);
  ms = Math.max(ms, await staff.works(2));
  staff.handledOnce(3);
  console.log(`a cluster's words: at work again after ${ms | 0} ms`);
});

serverTest(
  "consumers go on when CLIENT KILL cuts them 50 times, and handle nothing twice (hazard 17)",
  async (server) => {
    await using admin = await adminOf(server);
    await using staff = await Staff.begin(server.url);
    let sent = 1;
    for (let kills = 0; kills < 50; kills++) {
      const [sending] = await Promise.all([
        staff.send(sent++, undefined, { mayFail: true }).then(
          () => "sent",
          (error) => String(error),
        ),
        pause(200),
        admin.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
      ]);
      assertEquals(sending, "sent");
    }
    const ms = await staff.works(sent);
    await eventually(() => staff.handledOnce(sent + 1, { few: true }), BACK_MS);
    console.log(`CLIENT KILL: at work again after ${ms | 0} ms`);
  },
);

const ASLEEP: [string, (admin: Admin, server: RedisServer) => Promise<unknown>][] = [
  ["CLIENT PAUSE of 3 s", async (admin) => {
    await admin.sendCommand(["CLIENT", "PAUSE", "3000", "ALL"]);
    await pause(3_000);
  }],
  ["DEBUG SLEEP of 3 s", (admin) => admin.sendCommand(["DEBUG", "SLEEP", "3"])],
  ["SIGSTOP of Redis for 3 s", async (_, server) => {
    await server.pause();
    await pause(3_000);
    await server.resume();
  }],
  ["kill -9 of Redis and a restart", async (_, server) => {
    await server.kill();
    await pause(1_000);
    await server.restart();
  }],
];

for (const [what, happen] of ASLEEP) {
  serverTest(`consumers are at work again within 2 s of ${what} (hazard 17)`, async (server) => {
    await using admin = await adminOf(server);
    await using staff = await Staff.begin(server.url);
    await happen(admin, server);
    const ms = await staff.works(1);
    staff.handledOnce(2);
    // Closed between two attempts to connect, a client leaves that timer to run out.
    await eventually(() => assert(admin.isReady));
    console.log(`${what}: at work again after ${ms | 0} ms`);
  }, { aof: true, config: { "enable-debug-command": "yes" } });
}

serverTest(
  "consumers leave a black hole by themselves, and health() tells (hazard 18)",
  async (server) => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    await using staff = await Staff.begin(proxy.url, { direct: server.url, heartbeatMs: 1_000 });
    proxy.blackHole(true);
    await pause(10_000);
    for (const { running, lastClaimMs } of staff.health()) {
      assert(running);
      assertGreater(lastClaimMs, 8_000); // whoever asks can see that nothing comes back
    }
    proxy.blackHole(false);
    // A connection that is being made in the black hole has 5 s of its own.
    const ms = await staff.works(1, 8_000);
    staff.handledOnce(2);
    for (const { lastClaimMs } of staff.health()) assertLess(lastClaimMs, 8_000);
    console.log(`a black hole of 10 s: at work again after ${ms | 0} ms`);
  },
);

serverTest("an AOF whose end is cut off loses the last write whole (hazard 25)", async (server) => {
  const kinds = { reliable: ReliableQueue, priority: PriorityQueue, stream: StreamQueue };
  for (const [name, Queue] of Object.entries(kinds)) {
    const redis = await connect({ url: server.url });
    const queue = new Queue<number>(redis, name);
    for (let n = 0; n < 20; n++) await queue.enqueue(n, { id: `id-${n}` });
    await server.kill();
    const dir = `${server.dir}/appendonlydir`;
    for await (const { name } of Deno.readDir(dir)) {
      if (!name.endsWith(".incr.aof")) continue;
      const { size } = await Deno.stat(`${dir}/${name}`);
      await Deno.truncate(`${dir}/${name}`, size - 5); // in the middle of a command
    }
    await server.restart();
    await eventually(async () => assertEquals((await queue.counts()).ready, 19));
    // Neither the message nor its name is there, so it can be enqueued again.
    assertEquals((await queue.enqueue(19, { id: "id-19" })).duplicate, false);
    const seen: number[] = [];
    for (let delivery; (delivery = await queue.receive()) !== undefined;) {
      seen.push(delivery.payload);
      await delivery.ack();
    }
    assertEquals(seen.toSorted((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n));
    await redis.close();
  }
}, { aof: true });

serverTest(
  "Worker.health tells when it last finished a claim, apart from its heartbeat",
  async (server) => {
    await using redis = await adminOf(server);
    await using queue = new ReliableQueue<number>(redis, "q", { leaseMs: 300 });
    const held = Promise.withResolvers<void>();
    const worker = new Worker(queue, () => held.promise, { mode: "polling", pollMs: 20 });
    assertEquals(worker.health(), { running: false, active: 0 });
    worker.start();
    await eventually(() => assertLess(worker.health().lastClaimMs!, 200));
    await queue.enqueue(1);
    await eventually(() => assertEquals(worker.active, 1));
    await pause(1_500);
    // No slot is free, so nothing is claimed; the heartbeat goes on.
    const { lastClaimMs, lastAnswerMs } = worker.health();
    assertGreater(lastClaimMs!, 1_000);
    assertLess(lastAnswerMs!, 900);
    held.resolve();
    await eventually(() => assertLess(worker.health().lastClaimMs!, 200));
    await worker.stop();
  },
);

serverTest("200 workers that came and went leave no connection and no memory", async (server) => {
  await using redis = await adminOf(server);
  const before = await connectedClients(redis);
  const program = new URL("./cycles.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await limit(
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--v8-flags=--expose-gc", program, server.url],
      env: { NO_COLOR: "1" },
    }).output(),
    "200 cycles",
  );
  const text = new TextDecoder();
  assertEquals([code, text.decode(stderr)], [0, ""]);
  const { connections, heapMiB, rssMiB } = JSON.parse(text.decode(stdout));
  console.log(`200 cycles: heap +${heapMiB.toFixed(1)} MiB, memory +${rssMiB.toFixed(1)} MiB`);
  assertEquals(connections, 0);
  assertLess(heapMiB, 20);
  assertLess(rssMiB, 20);
  await eventually(async () => assertEquals(await connectedClients(redis), before));
});
