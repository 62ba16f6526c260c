/**
 * A program for `supervisor_test.ts`: connects, runs a worker on each kind of queue and a subscriber,
 * closes everything, 200 times, and prints what is left of it: connections, and memory in MiB. It is a
 * process of its own, since a test runner's memory is not still.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints
import {
  connect,
  ListQueue,
  PriorityQueue,
  ReliableQueue,
  StreamQueue,
  Subscriber,
  Worker,
  type WorkerSource,
} from "@workshop/redis-patterns";

const url = Deno.args[0]!;

async function cycle(n: number): Promise<void> {
  const redis = await connect({ url });
  const queues = [
    new ListQueue<number>(redis, "list"),
    new ReliableQueue<number>(redis, "reliable"),
    new PriorityQueue<number>(redis, "priority"),
    new StreamQueue<number>(redis, "stream"),
  ];
  await using subscriber = new Subscriber(redis);
  await subscriber.subscribe("news");
  await Promise.all(queues.map(async (queue) => {
    const stop = new AbortController();
    const source: WorkerSource<{ payload: number }> = queue;
    const worker = new Worker(source, () => stop.abort());
    await queue.enqueue(n);
    await worker.run({ signal: stop.signal });
    await queue.close();
  }));
  await subscriber.close();
  await redis.close();
}

const watcher = await connect({ url });
const connections = async () =>
  Number(/connected_clients:(\d+)/.exec(await watcher.info("clients"))![1]);

async function memory(): Promise<{ heapUsed: number; rss: number }> {
  await new Promise((resolve) => setTimeout(resolve, 300)); // timers that hold something
  (globalThis as unknown as { gc: () => void }).gc();
  return Deno.memoryUsage();
}

for (let n = 0; n < 300; n++) await cycle(n); // code is compiled, buffers and caches have their size
const [clientsBefore, before] = [await connections(), await memory()];
for (let n = 0; n < 200; n++) await cycle(n);
const after = await memory();
let left = await connections() - clientsBefore;
for (let tries = 0; left !== 0 && tries < 50; tries++) { // Redis may not have heard of the last ones
  await new Promise((resolve) => setTimeout(resolve, 20));
  left = await connections() - clientsBefore;
}
console.log(JSON.stringify({
  connections: left,
  heapMiB: (after.heapUsed - before.heapUsed) / 2 ** 20,
  rssMiB: (after.rss - before.rss) / 2 ** 20,
}));
await watcher.close();
