/** The key map in ARCHITECTURE.md against what the classes leave in Redis. */
import { assertEquals } from "@std/assert";
import {
  ListQueue,
  PartitionedQueue,
  PriorityQueue,
  Publisher,
  ReliableQueue,
  StreamQueue,
  Subscriber,
  Worker,
} from "@workshop/redis-patterns";
import { TaskQueue, TaskScheduler } from "@workshop/redis-patterns/tasks";
import { eventually, redisTest } from "./support.ts";

/** Rows of the table under "## Keys": `key TYPE`. */
async function keyMap(): Promise<string[]> {
  const text = await Deno.readTextFile(new URL("../ARCHITECTURE.md", import.meta.url));
  const section = text.split(/^## /m).find((part) => part.startsWith("Keys\n"))!;
  const rows = [...section.matchAll(/^\| (?!key |-)(.+?) +\| ([A-Z]+) +\|/gm)];
  return rows.map(([, key, type]) => `${key!.replaceAll("`", "").trim()} ${type}`).toSorted();
}

const wake = (name: string) => `queue:{${name}}:wake`;

redisTest("the classes leave exactly the keys of the key map", async (test) => {
  const [plain, reliable, priority, stream, tasks] = ["l", "r", "p", "s", "t"].map((x) =>
    `${test.name}:${x}`
  );
  const names = { list: plain!, reliable: reliable!, priority: priority!, stream: stream! };
  await using taskQueue = new TaskQueue<{ one(): void }>(test.redis, { name: tasks! });
  await taskQueue.enqueue({ type: "one", payload: null });
  await (await taskQueue.receive())?.ack();
  const list = new ListQueue(test.redis, names.list);
  await list.enqueueMany([1, 2]);
  await list.receive();
  await using partitioned = new PartitionedQueue(test.redis, reliable!, {
    partitions: 2,
    make: (client, part) => new ReliableQueue(client, part),
  });
  await partitioned.receive();
  await using subscriber = new Subscriber(test.redis);
  await subscriber.subscribe(`${test.name}:news`);
  await new Publisher(test.redis).publish(`${test.name}:news`, 1);

  const workers = [];
  const options = {
    leaseMs: 100,
    maxAttempts: 3,
    keepCompleted: {},
    keepFailed: {},
    rateLimit: { count: 1_000, perMs: 60_000 },
  };
  for (
    const queue of [
      new ReliableQueue<number>(test.redis, names.reliable, options),
      new PriorityQueue<number>(test.redis, names.priority, options),
      new StreamQueue<number>(test.redis, names.stream, options),
    ]
  ) {
    await queue.enqueue(0, { dedupe: { key: "window", ttlMs: 60_000 } });
    await (await queue.receive())?.ack();
    await queue.enqueue(1);
    await queue.receive(); // lapses
    await new Promise((resolve) => setTimeout(resolve, 120));
    await queue.enqueueMany([2, 3, 4]);
    for (const _ of [1, 2]) await queue.enqueue(5, { delayMs: 60_000, id: "chosen" });
    const [lapsed, fresh] = await queue.receiveMany(2);
    await fresh?.deadLetter("no use");
    await lapsed?.nack({ delayMs: 0 });
    await queue.receive(); // lapses, too
    await new Promise((resolve) => setTimeout(resolve, 120));
    const held = Promise.withResolvers<void>();
    const worker = new Worker(queue, () => held.promise, { concurrency: 2 });
    workers.push({ queue, worker, held });
    worker.start();
    await eventually(() => assertEquals(worker.active, 2));
    await queue.enqueueMany([6, 7]);
    // Apart from all others, so put there by hand: what lapsed while a worker holds one that did.
    await test.redis.lPush(`queue:{${queue.name}}:lapsed`, "x 1 1 0 0 0\n1");
  }
  const scheduler = new TaskScheduler<{ ping(): void }>(test.redis, {
    name: tasks!,
  });
  await scheduler.every("pulse", 100, "ping", null);
  scheduler.start();
  await eventually(async () => assertEquals((await scheduler.list())[0]?.firings, 1));
  await scheduler.stop();
  const pausing = [...workers].map(({ queue }) => queue);
  const tokens = await Promise.all(pausing.map((queue) => test.redis.exists(wake(queue.name))));
  assertEquals(tokens, [1, 1, 1]);
  for (const queue of pausing) await queue.pause(); // takes the tokens

  const left = pausing.map((queue) => `${wake(queue.name)} LIST`);
  for await (const keys of test.redis.scanIterator({ MATCH: `*${test.name}*` })) {
    for (const key of keys) left.push(`${key} ${(await test.redis.type(key)).toUpperCase()}`);
  }
  left.push(`queue:registry ${(await test.redis.type("queue:registry")).toUpperCase()}`);
  const named = left.map((key) =>
    key.replace(names.list, "the queue's name").replace(`{${names.reliable}}`, "{name}")
      .replace(`{${names.priority}}`, "{name}").replace(`{${names.stream}}`, "{name}")
      .replace(`{${tasks}}`, "{name}")
  );
  assertEquals([...new Set(named)].toSorted(), await keyMap());
  for (const { worker, held } of workers) {
    held.resolve();
    await worker.stop();
  }
  for (
    const kind of [`list ${reliable}`, `priority ${priority}`, `stream ${stream}`, `tasks ${tasks}`]
  ) {
    await test.redis.zRem("queue:registry", kind);
  }
  for await (const keys of test.redis.scanIterator({ MATCH: `*${test.name}*` })) {
    if (keys.length > 0) await test.redis.unlink(keys);
  }
});
