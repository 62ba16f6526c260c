/**
 * To which of several servers a command goes, at the moments at which that changes: a master that is left
 * just as it was found, a client that is closed while a master is frozen, or is being connected to.
 *
 * @module
 */
import { assertEquals, assertGreater, assertLess, assertRejects } from "@std/assert";
import { createClient } from "redis";
import { connect } from "@workshop/redis-patterns";
import type { NodeClient } from "../redis/client.ts";
import { isFatal } from "../redis/errors.ts";
import { type Discovery, type Masters, Routed } from "../redis/routed.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import { splitAddress } from "../redis/topology.ts";
import { freePort, RedisServer } from "../tools/redis_server.ts";
import { FaultyProxy } from "./proxy.ts";
import { connectedClients, eventually, limit } from "./support.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** One master, without slots. */
class Named implements Discovery {
  readonly slots = false;
  readonly everyMs = 0;
  asked = 0;
  master: Promise<Masters>;

  constructor(address: string) {
    this.master = Promise.resolve({ bySlot: [address] });
  }

  find(): Promise<Masters> {
    this.asked++;
    return this.master;
  }
}

function routeTo(discovery: Discovery, onMade: (node: NodeClient) => void = () => {}): Routed {
  return new Routed({
    discovery,
    makeNode: (address) => {
      let stood = false;
      const node = createClient({
        maintNotifications: "disabled",
        socket: { ...splitAddress(address), reconnectStrategy: () => stood ? 10 : false },
      }) as unknown as NodeClient;
      node.on("ready", () => stood = true);
      onMade(node);
      return node;
    },
    address: "a master",
    heartbeatMs: 0,
  });
}

const addressOf = ({ host, port }: RedisServer) => `${host}:${port}`;

Deno.test("Routed.call reaches who takes over in the moment in which the other was found", async () => {
  await using one = await RedisServer.start();
  await using other = await RedisServer.start();
  await using proxy = await FaultyProxy.start(one);
  const said: string[] = [];
  for (let turns = 0; turns < 20; turns++) {
    const discovery = new Named(`127.0.0.1:${proxy.port}`);
    const route = routeTo(discovery);
    await route.call(["PING"]);
    await route.refresh(); // what was asked while it connected is answered
    const { asked } = discovery;
    const takeover = Promise.withResolvers<Masters>();
    discovery.master = takeover.promise; // asked for from the moment on in which the connection is lost
    proxy.refuse(true);
    proxy.cut();
    await eventually(() => assertEquals(discovery.asked, asked + 1));
    // The first one has found it again; a few turns later it is left, and the others are being told of it.
    const first = route.node().then(async () => {
      for (let i = 0; i < turns; i++) await Promise.resolve();
      takeover.resolve({ bySlot: [addressOf(other)] });
    });
    const others = Array.from({ length: 3 }, () =>
      route.call(["PING"]).then(
        (reply) => said.push(String(reply)),
        (error) => {
          if (error.sent) return; // its reply was lost with the connection
          said.push(`after ${turns} turns: ${error}${isFatal(error) ? ", for good" : ""}`);
        },
      ));
    proxy.refuse(false);
    await limit(Promise.all([first, ...others]), "the calls");
    await route.close();
  }
  assertEquals([...new Set(said)], ["PONG"]);
});

Deno.test("Routed.close cuts the connection to a master that is frozen", async () => {
  await using server = await RedisServer.start();
  const route = routeTo(new Named(addressOf(server)));
  await route.call(["PING"]);
  await server.pause();
  const unanswered = assertRejects(() => route.call(["PING"]));
  await pause(10);
  const before = performance.now();
  await limit(route.close(), "close");
  assertLess(performance.now() - before, 3_000);
  await limit(unanswered, "what was under way", 3_000);
  await server.resume();
});

Deno.test("Routed.close, called twice, is over when all connections are", async () => {
  await using server = await RedisServer.start();
  await using watcher = await connect({ url: server.url });
  const before = await connectedClients(watcher);
  const route = routeTo(new Named(addressOf(server)));
  await route.call(["PING"]);
  const blocked = route.call(["BLPOP", "nothing", "0.2"]);
  await pause(20);
  const closing = route.close();
  await route.close();
  assertEquals(await connectedClients(watcher), before);
  await closing;
  assertEquals(await blocked, null);
});

Deno.test("a connection of one's own is to who is the master when it stands", async () => {
  await using one = await RedisServer.start();
  await using other = await RedisServer.start();
  await using slowly = await FaultyProxy.start(one);
  const owner = createClient({ url: other.url, maintNotifications: "disabled" });
  const discovery = new Named(`127.0.0.1:${slowly.port}`);
  const route = routeTo(discovery);
  route.belongsTo(owner);
  await owner.connect();
  await route.call(["PING"]);
  slowly.delay(300);
  await using own = new OwnConnection(owner, "key");
  const given = own.client().then(() => own.call(["CONFIG", "GET", "port"]), () => undefined);
  await pause(50);
  discovery.master = Promise.resolve({ bySlot: [addressOf(other)] });
  await route.refresh(); // while it connects to the one
  await limit(given, "the connection");
  const [, port] = Object.entries(await own.call(["CONFIG", "GET", "port"]) as object).flat();
  assertEquals(String(port), String(other.port));
  await own.close();
  await owner.close();
});

Deno.test("Routed ends every client that it made for a master that is away", async () => {
  const made: NodeClient[] = [];
  const ended = new Set<NodeClient>();
  const route = routeTo(new Named(`127.0.0.1:${freePort()}`), (node) => {
    made.push(node);
    const destroy = node.destroy.bind(node); // it tells nobody, of a client that never stood
    node.destroy = () => (ended.add(node), destroy());
  });
  const error = await assertRejects(() => route.call(["PING"], { deadlineMs: 300 }));
  assertEquals(isFatal(error), false);
  assertGreater(made.length, 2);
  await route.close();
  assertEquals(ended.size, made.length);
});

Deno.test("Routed tries a master that refuses less and less often, and is there soon after it", async () => {
  const port = freePort();
  const triedAt: number[] = [];
  const route = routeTo(new Named(`127.0.0.1:${port}`), () => triedAt.push(performance.now()));
  const calls = Array.from({ length: 10 }, () => route.call(["PING"]));
  await pause(2_000);
  const gaps = triedAt.slice(1).map((at, i) => at - triedAt[i]!);
  // Each 25 ms would be eighty; a quarter of a second at most, and 156 ms on average, is fifteen.
  assertGreater(gaps.length, 4);
  assertLess(gaps.length, 40);
  assertGreater(Math.max(...gaps), 80);
  assertGreater(Math.min(...gaps.slice(4)), 40);
  assertEquals(new Set(gaps.slice(4).map(Math.round)).size > 1, true, "not in step with others");
  await using _server = await RedisServer.start({ port });
  const isUpAt = performance.now();
  await limit(Promise.all(calls), "the calls");
  assertLess(performance.now() - isUpAt, 1_000);
  await route.close();
});

Deno.test("Routed hears of another master while it rests", async () => {
  await using server = await RedisServer.start();
  const discovery = new Named(`127.0.0.1:${freePort()}`);
  const route = routeTo(discovery);
  const waits = route.call(["PING"]);
  await pause(1_500); // the pauses are long by now
  const before = performance.now();
  discovery.master = Promise.resolve({ bySlot: [addressOf(server)] });
  await route.refresh();
  const toldMs = performance.now() - before;
  assertEquals(await limit(waits, "the call"), "PONG");
  assertLess(performance.now() - before - toldMs, 150);
  await route.close();
});

Deno.test("Routed asks the next one where no client of the first is to be had", async () => {
  await using server = await RedisServer.start();
  const clients = routeTo(new Named(addressOf(server)));
  const route = new Routed({
    discovery: {
      slots: false,
      everyMs: 0,
      find: async ({ ask }) => {
        await ask("a.frozen.one:6379", ["PING"]).catch(() => {});
        return { bySlot: [addressOf(server)] };
      },
    },
    // One's own client of a cluster gives one of a frozen node when it has connected to it.
    makeNode: async (address) =>
      address === addressOf(server)
        ? (await clients.node()).duplicate()
        : await new Promise(() => {}),
    address: "a master",
    heartbeatMs: 0,
  });
  assertEquals(await limit(route.call(["PING"]), "the call", 4_000), "PONG");
  await Promise.all([route.close(), clients.close()]);
});
