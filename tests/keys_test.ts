/** The key map in ARCHITECTURE.md against what the classes leave in Redis. */
import { assertEquals } from "@std/assert";
import { ListQueue, Publisher, Subscriber } from "@workshop/redis-patterns";
import { redisTest } from "./support.ts";

/** Rows of the table under "## Keys": key and type. */
async function keyMap(): Promise<Map<string, string>> {
  const text = await Deno.readTextFile(new URL("../ARCHITECTURE.md", import.meta.url));
  const section = text.split(/^## /m).find((part) => part.startsWith("Keys\n"))!;
  const rows = [...section.matchAll(/^\| (?!key |---)(.+?) \| ([A-Z]+) \|/gm)];
  return new Map(rows.map(([, key, type]) => [key!, type!.toLowerCase()]));
}

redisTest("the classes leave exactly the keys of the key map", async (test) => {
  const queue = new ListQueue(test.redis, `${test.name}:mail`);
  await queue.enqueueMany([1, 2]);
  await queue.receive();
  await using subscriber = new Subscriber(test.redis);
  await subscriber.subscribe(`${test.name}:news`);
  await new Publisher(test.redis).publish(`${test.name}:news`, 1);

  const left = new Map<string, string>();
  for await (const keys of test.redis.scanIterator({ MATCH: `${test.name}*` })) {
    for (const key of keys) left.set(key, await test.redis.type(key));
  }
  assertEquals(left, new Map([[`${test.name}:mail`, "list"]]));
  assertEquals(await keyMap(), new Map([["the queue's name", "list"]]));
});
