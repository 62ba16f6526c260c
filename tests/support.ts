/**
 * What the tests share: a private server a test file, a name of its own for each test, and the check
 * that a test leaves neither keys nor connections.
 *
 * A test that fails keeps its keys, so that they can be looked at while the server stands.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { connect, type ConnectedClient, type ConnectOptions } from "@workshop/redis-patterns";
import { REGISTRY_KEY } from "../redis/keys.ts";
import { slotOf, SLOTS } from "../redis/slots.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import { RedisSentinel } from "../tools/redis_sentinel.ts";
import { RedisServer } from "../tools/redis_server.ts";

/** What a test gets. */
export interface Fixture {
  /** Connected to the file's server, or cluster, or master with Sentinels; closed after the test. */
  redis: ConnectedClient;
  /** Connected to the one server that has the keys of the test's name, to look at them. */
  master: ConnectedClient;
  /** The URL of that server. */
  url: string;
  /** A prefix that no other test uses: name queues and keys by it. */
  name: string;
  /** A further connection; closed after the test. */
  connect(options?: ConnectOptions): Promise<ConnectedClient>;
}

const given = Deno.env.get("REDIS_URL");

/** On what the tests of this run are: one server, `cluster` or `sentinel`. */
export const topology = given ? "" : Deno.env.get("REDIS_TOPOLOGY") ?? "";

/** Nobody fails over in these tests: a server that waits for a busy machine's processor is not down. */
const SILENT_MS = 20_000;

const own = given ? undefined : await start();
const url = given ?? own!.url;

/** The server of this test file, if it is our own and a single one: nobody minds what is done to it. */
export const ownServer = own instanceof RedisServer ? { url } : undefined;

function start(): Promise<RedisServer | RedisCluster | RedisSentinel> {
  switch (topology) {
    case "":
      return RedisServer.start();
    case "cluster":
      return RedisCluster.start({ nodeTimeoutMs: SILENT_MS });
    case "sentinel":
      return RedisSentinel.start({ downAfterMs: SILENT_MS });
  }
  throw new Error(`REDIS_TOPOLOGY must be cluster or sentinel, but is "${topology}"`);
}

/** Of the one server that has the keys of this name. */
async function masterUrl(name: string): Promise<string> {
  // Nobody fails over here, so it is where the slots were put: to ask takes longer than most tests.
  if (own instanceof RedisCluster) return own.nodes[Math.floor(slotOf(name) * 3 / SLOTS)]!.url;
  if (own instanceof RedisSentinel) return (await own.master()).url;
  return url;
}

if (own) Deno.test.afterAll(() => own.stop());

/** Longest a test may take. Deno has no limit of its own, and a lost wake-up would hang for ever. */
const LIMIT_MS = 30_000;

/** Defines a test that talks to the file's server. */
export function redisTest(
  title: string,
  run: (fixture: Fixture) => Promise<void>,
  options: { ignore?: boolean } = {},
): void {
  Deno.test(title, options, async () => {
    const name = `test:${crypto.randomUUID().slice(0, 8)}`;
    const at = await masterUrl(name);
    const watcher = await connect({ url: at, heartbeatMs: 0 });
    try {
      const before = await connectedClients(watcher);
      const clients: ConnectedClient[] = [];
      const open = async (options: ConnectOptions = {}) => {
        const client = await connect({ url, ...options });
        clients.push(client);
        return client;
      };
      try {
        const redis = await open();
        const master = topology ? await open({ url: at }) : redis;
        await limit(run({ redis, master, url: at, name, connect: open }), title);
        await removeKeys(watcher, name);
      } finally {
        // A Sentinel's client takes a moment.
        for (const client of clients) if (client.isOpen) await client.destroy();
      }
      // A server that others use too has no baseline.
      if (own) await eventually(async () => assertEquals(await connectedClients(watcher), before));
    } finally {
      watcher.destroy();
    }
  });
}

/** A server for one test alone: to kill, to pause, to configure. */
export function serverTest(
  title: string,
  run: (server: RedisServer) => Promise<void>,
  options: Parameters<typeof RedisServer.start>[0] = {},
  limitMs: number = LIMIT_MS,
): void {
  Deno.test(title, async () => {
    await using server = await RedisServer.start(options);
    await limit(run(server), title, limitMs);
  });
}

/** The promise, or an error that names the test after half a minute. */
export async function limit<T>(promise: Promise<T>, what: string, ms = LIMIT_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Repeats `check` until it does not throw, for `ms` at most. For what happens soon, not at once. */
export async function eventually<T>(check: () => T | Promise<T>, ms = 3_000): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** The number of connections, as the server counts them. */
export async function connectedClients(client: ConnectedClient): Promise<number> {
  const info = await client.info("clients");
  return Number(/connected_clients:(\d+)/.exec(info)![1]);
}

/**
 * What Sentinels say to their master, replicas to theirs, who asks where the master is, and that a queue is
 * listed, which nobody waits for: no command of `run`.
 */
const BESIDES = topology ? ["INFO", "ROLE", "CLUSTER", "REPLCONF"] : [];
const HELLO = '"__sentinel__:hello"';

/** The commands that `run` makes the server see, as MONITOR shows them: `LPUSH`, `BRPOP` … */
export async function commandsDuring(url: string, run: () => Promise<void>): Promise<string[]> {
  const monitor = await connect({ url, heartbeatMs: 0 });
  const marker = await connect({ url, heartbeatMs: 0 });
  const end = `end:${crypto.randomUUID()}`;
  const seen = Promise.withResolvers<void>();
  const commands: string[] = [];
  await monitor.monitor((line) => {
    const text = String(line);
    if (text.includes(end)) return seen.resolve();
    const command = /\] "([^"]*)"/.exec(text)?.[1]?.toUpperCase();
    if (!command || / lua\] /.test(text) || text.includes(HELLO)) return;
    if (text.includes(`"${REGISTRY_KEY}"`)) return;
    if (!BESIDES.includes(command)) commands.push(command);
  });
  try {
    await run();
    await marker.echo(end);
    await limit(seen.promise, "MONITOR");
    return commands.filter((command) => !["HELLO", "CLIENT", "PING", "ECHO"].includes(command));
  } finally {
    monitor.destroy();
    marker.destroy();
  }
}

async function removeKeys(client: ConnectedClient, prefix: string): Promise<void> {
  for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 1_000 })) {
    if (keys.length > 0) await client.unlink(keys);
  }
}
