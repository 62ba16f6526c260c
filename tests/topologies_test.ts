/**
 * The tools that start a cluster and Sentinels: they stand in seconds, fail over, and leave nothing.
 *
 * @module
 */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { exists } from "../tools/debian.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import { RedisSentinel } from "../tools/redis_sentinel.ts";
import { eventually, limit } from "./support.ts";

Deno.test("RedisCluster.start() stands, hands a master over, moves a slot, survives kill -9", async () => {
  const cluster = await limit(RedisCluster.start({ password: "a b" }), "start");
  try {
    assertEquals(cluster.nodes.length, 6);
    const first = await cluster.masterOf("key");
    await first.cli("SET", "key", "1");

    const next = await cluster.failover(first);
    await cluster.settled();
    assertEquals(await cluster.masterOf("key"), next);
    assertEquals(await next.cli("GET", "key"), "1");

    const masters = await Promise.all(["a", "b", "c", "d", "e"].map((k) => cluster.masterOf(k)));
    const other = masters.find((master) => master !== next)!;
    await cluster.moveSlot("key", other);
    await eventually(async () => assertEquals(await cluster.masterOf("key"), other));
    assertEquals(await other.cli("GET", "key"), "1");
    assert((await next.cli("GET", "key")).startsWith("MOVED"));

    await other.kill();
    const heir = await eventually(async () => {
      const master = await cluster.masterOf("key");
      assertNotEquals(master, other);
      return master;
    }, 15_000);
    assertEquals(await heir.cli("GET", "key"), "1");
  } finally {
    await cluster.stop();
  }
  for (const { dir } of cluster.nodes) assert(!await exists(dir));
});

Deno.test("RedisSentinel.start() stands, fails over when asked and after kill -9", async () => {
  const all = await limit(RedisSentinel.start({ password: "ab" }), "start");
  try {
    const first = await all.master();
    assertEquals(first, all.servers[0]);
    await first.cli("SET", "key", "1");
    await all.settled();
    const second = await all.failover();
    assertEquals(await second.cli("GET", "key"), "1");
    await limit(all.settled(), "settled");
    await second.kill();
    await eventually(async () => assertNotEquals(await all.master(), second), 10_000);
  } finally {
    await all.stop();
  }
  for (const { dir } of [...all.servers, ...all.sentinels]) assert(!await exists(dir));
});

Deno.test("RedisCluster.start() that fails leaves no node behind", async () => {
  await assertRejects(
    () => RedisCluster.start({ config: { "no-such-directive": "yes" } }),
    Error,
    "no-such-directive",
  );
});
