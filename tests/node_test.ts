/** The library on Node: bundled by Deno, run by whatever `node` is on the path. */
import { assertEquals } from "@std/assert";
import { which } from "../tools/run.ts";
import { redisTest } from "./support.ts";

const node = await which("node");

const PROGRAM = (mod: string, url: string, name: string) => `
  import {
    connect, ListQueue, PartitionedQueue, Publisher, ReliableQueue, Subscriber, Worker,
  } from "${mod}";
  const redis = await connect({ url: "${url}" });
  const queue = new ListQueue(redis, "${name}");
  await queue.enqueueMany(["polled", "waited for", "handled"]);
  console.log((await queue.receive()).payload);
  console.log((await queue.receive({ waitMs: 1000 })).payload);
  const stop = new AbortController();
  const worker = new Worker(queue, (payload) => {
    console.log(payload);
    stop.abort();
  });
  await worker.run({ signal: stop.signal });
  const subscriber = new Subscriber(redis);
  await subscriber.subscribe("${name}");
  await new Publisher(redis).publish("${name}", "heard");
  for await (const { payload } of subscriber) {
    console.log(payload);
    break;
  }
  await subscriber.close();
  const make = (client, part) => new ReliableQueue(client, part);
  const parted = new PartitionedQueue(redis, "${name}:parts", { partitions: 12, make });
  const told = new Worker(parted, (payload) => {
    console.log(payload);
    void told.stop();
  });
  const running = told.run();
  setTimeout(() => void parted.enqueue("told"), 500);
  await running;
  await parted.dissolve();
  await parted.close();
  await queue.close();
  await redis.close();`;

redisTest("mod.ts runs on Node", async (test) => {
  const dir = await Deno.makeTempDir();
  const root = new URL("..", import.meta.url);
  try {
    const mod = new URL("mod.ts", root).href;
    await Deno.writeTextFile(`${dir}/main.ts`, PROGRAM(mod, test.url, test.name));
    const bundle = ["bundle", "--quiet", "--config", "deno.json", "-o", `${dir}/main.mjs`];
    const bundled = await new Deno.Command(Deno.execPath(), {
      args: [...bundle, `${dir}/main.ts`],
      cwd: root,
    }).output();
    assertEquals(new TextDecoder().decode(bundled.stderr), "");
    // Node would end a program that waits on nothing; ours must end by itself, too.
    const output = await new Deno.Command(node!, { args: [`${dir}/main.mjs`] }).output();
    assertEquals(new TextDecoder().decode(output.stderr), "");
    assertEquals(
      new TextDecoder().decode(output.stdout),
      "polled\nwaited for\nhandled\nheard\ntold\n",
    );
    assertEquals(output.code, 0);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}, { ignore: !node }); // a machine without Node
