/** A connection of one's own, and what becomes of whoever has just been given one. */
import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { connect } from "@workshop/redis-patterns";
import { isFatal, isRetryable, RedisConnectionError } from "../redis/errors.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import { redisTest, serverTest } from "./support.ts";

redisTest(
  "a connection that was given up is no client that is closed for good",
  async ({ redis }) => {
    await using own = new OwnConnection(redis);
    await own.client();
    const given = own.call(["PING"]);
    own.discard(); // as when its server is the master no more
    const error = await assertRejects(() => given, RedisConnectionError, "another one is made");
    assertEquals([isFatal(error), isRetryable(error)], [false, true]);
    assertEquals(String(await own.call(["PING"])), "PONG");
  },
);

redisTest("a connection that was closed stays closed", async ({ redis }) => {
  const own = new OwnConnection(redis);
  await own.client();
  await own.close();
  const error = await assertRejects(() => own.call(["PING"]), RedisConnectionError, "was closed");
  assertEquals(isFatal(error), true);
});

serverTest("a call whose signal has aborted already ends while Redis is frozen", async (server) => {
  await using redis = await connect({ url: server.url, heartbeatMs: 0 });
  await using own = new OwnConnection(redis);
  await own.client();
  await server.pause();
  const startedAt = performance.now();
  await assertRejects(
    () => own.call(["PING"], AbortSignal.abort(new Error("stop"))),
    Error,
    "stop",
  );
  assertLess(performance.now() - startedAt, 3_000);
  await server.resume();
});
