/** A connection of one's own, and what becomes of whoever has just been given one. */
import { assertEquals, assertRejects } from "@std/assert";
import { isFatal, isRetryable, RedisConnectionError } from "../redis/errors.ts";
import { OwnConnection } from "../redis/own_connection.ts";
import { redisTest } from "./support.ts";

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
