/**
 * The steps that kill: each really kills a process; the variant that loses always loses, and the one that
 * is cured never does. `deno test -A tests/example_kills_test.ts -- --repeat 20` says both louder.
 */
import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ListQueue, ReliableQueue, StreamQueue } from "@workshop/redis-patterns";
import { readExample } from "../tools/example.ts";
import { difference } from "../tools/example_match.ts";
import { ExampleProcess, play } from "../tools/example_process.ts";
import type { RedisServer } from "../tools/redis_server.ts";
import { RedisCluster } from "../tools/redis_cluster.ts";
import { limit, serverTest } from "./support.ts";

const REPEAT = Number(parseArgs(Deno.args, { string: ["repeat"] }).repeat ?? 1);
const RUN_MS = 20_000;

/** Runs an example with its companions to the end; the lines of its first program, and its exit code. */
async function run(
  path: string,
  server: RedisServer,
  { flags = [] }: { flags?: string[] } = {},
): Promise<{ lines: string[]; code: number }> {
  const example = await readExample(path);
  const played = await play(example, { // worker and producer have to agree on what they lose
    start: (command) =>
      new ExampleProcess(command, { url: server.url, extra: flags, deadlineMs: RUN_MS }),
  });
  const [{ process, ending }] = played as [typeof played[0]];
  return { lines: process.stdout, code: ending.code };
}

/** A test of the same, again and again. */
function repeatTest(name: string, fn: (server: RedisServer) => Promise<void>): void {
  const again = async (server: RedisServer) => {
    for (let i = 0; i < REPEAT; i++) await fn(server);
  };
  const title = REPEAT === 1 ? name : `${name}, ${REPEAT} times`;
  serverTest(title, again, {}, RUN_MS * (REPEAT + 1));
}

const MODES = ["polling", "blocking"];

for (const mode of MODES) {
  const step = `examples/07_reliable_queue/${mode}.ts`;

  repeatTest(`${step} --lossy loses the photo of the one who was killed`, async (server) => {
    const { lines } = await run(step, server, { flags: ["--lossy"] });
    const text = lines.join("\n");
    assertStringIncludes(text, "ann: print_photo_1 .  at most once … kill -9");
    assertStringIncludes(text, "9 of 10 photos printed");
    assert(!text.includes("bob: print_photo_1 ."), text);
    assertEquals(await server.cli("KEYS", "*"), ""); // and it is nowhere else
  });

  repeatTest(`${step} loses nothing`, async (server) => {
    const { lines } = await run(step, server);
    const text = lines.join("\n");
    assertStringIncludes(text, "bob: print_photo_1 .  attempt 2");
    assertStringIncludes(text, "10 of 10 photos printed");
  });
}

repeatTest("step 07 by hand loses nothing", async (server) => {
  const { lines } = await run("examples/07_reliable_queue/by_hand.ts", server);
  assertStringIncludes(lines.join("\n"), "10 of 10 photos printed");
});

/** Their Expect blocks name every message, and who did it at which attempt. */
const NAMING = ["14_consumer_groups/by_hand", "14_consumer_groups/polling"]
  .concat("14_consumer_groups/blocking", "16_processes/polling", "16_processes/blocking");
for (const path of NAMING.map((name) => `examples/${name}.ts`)) {
  repeatTest(`${path} does what the killed one had in hand`, async (server) => {
    const { lines, code } = await run(path, server);
    assertEquals(difference((await readExample(path)).expect, lines), undefined);
    assertEquals(code, 0);
  });
}

/** Who is told to be Ann, and what she leaves behind when she is dead. */
const ANNS: [path: string, flags: string[], left: RegExp][] = [
  ["examples/07_reliable_queue/blocking.ts", ["--lossy"], /^$/],
  ["examples/07_reliable_queue/polling.ts", ["--lossy"], /^$/],
  ["examples/07_reliable_queue/by_hand.ts", [], /^photo_prints:processing$/m],
  ["examples/07_reliable_queue/blocking.ts", [], /^queue:\{photo_prints\}:leased$/m],
  ["examples/07_reliable_queue/polling.ts", [], /^queue:\{photo_prints\}:leased$/m],
  ["examples/14_consumer_groups/blocking.ts", [], /^queue:\{labels\}:leased$/m],
  ["examples/14_consumer_groups/polling.ts", [], /^queue:\{labels\}:leased$/m],
];
for (const [path, flags, left] of ANNS) {
  serverTest(`Ann of ${[path, ...flags].join(" ")} really dies by kill -9`, async (server) => {
    const redis = await connect({ url: server.url });
    const isList = flags.includes("--lossy") || path.includes("by_hand");
    const photo = { n: 1, task: "print_photo_1 .", madeAt: Date.now() };
    if (path.includes("/14_")) {
      await new StreamQueue(redis, "labels", { group: "printers" }).enqueue({
        label: "one",
        madeAt: 1,
      });
    } else if (isList) await new ListQueue(redis, "photo_prints").enqueue(photo);
    else await new ReliableQueue(redis, "photo_prints").enqueue(photo);
    const { run } = await readExample(path);
    const ann = new ExampleProcess(run, {
      url: server.url,
      extra: [...flags, "--ann"],
      deadlineMs: RUN_MS,
    });
    assertEquals((await ann.ended).signal, "SIGKILL");
    assert(!ann.stderr.join().includes("had not ended"), "we killed her, not she");
    assertStringIncludes(ann.stdout.at(-1)!, "kill -9");
    const keys = (await server.cli("KEYS", "*")).split("\n").filter((key) =>
      !/registry|:(workers|stats|replays|leases)/.test(key)
    );
    assert(left.test(keys.sort().join("\n")), keys.join("\n"));
    redis.destroy();
  });
}

for (const mode of MODES) {
  const step = `examples/22_capstone/${mode}.ts`;

  repeatTest(`${step} keeps its books through five kills`, async (server) => {
    const { lines, code } = await run(step, server);
    const text = lines.join("\n");
    assertStringIncludes(text, "kill -9 number 5");
    assertStringIncludes(text, "in 40, out 40, lost 0, charged 40");
    assertStringIncludes(text, "charged twice 0");
    assertEquals(code, 0, text);
  });

  repeatTest(`${step} --lossy loses orders, and says so`, async (server) => {
    const { lines, code } = await run(step, server, { flags: ["--lossy"] });
    assertGreater(figure(lines, "lost"), 0);
    assertStringIncludes(lines.join("\n"), "THE BOOKS ARE WRONG");
    assertEquals(code, 1);
  });

  repeatTest(`${step} --careless charges customers twice, and says so`, async (server) => {
    const shop = await readExample(step);
    const producer = await readExample("examples/22_capstone/producer.ts");
    const played = await play({ run: shop.run, with: [producer.run] }, {
      start: (command, i) =>
        new ExampleProcess(command, {
          url: server.url,
          extra: i === 0 ? ["--careless"] : [],
          deadlineMs: RUN_MS,
        }),
    });
    const lines = played[0]!.process.stdout;
    assertGreater(figure(lines, "charged twice"), 0);
    assertEquals(figure(lines, "lost"), 0);
    assertEquals(played[0]!.ending.code, 1);
  });
}

/** The number behind a word of the shop's. */
function figure(lines: string[], word: string): number {
  const found = new RegExp(`\\b${word} (\\d+)`).exec(lines.join("\n"))?.[1];
  assert(found !== undefined, `no "${word}" in:\n${lines.join("\n")}`);
  return Number(found);
}

for (const mode of MODES) {
  const step = `examples/20_cluster/${mode}.ts`;
  Deno.test(`${step} loses nothing when a master dies, and keeps each customer's order`, async () => {
    await using cluster = await RedisCluster.start();
    const example = await readExample(step);
    const played = await limit(
      play(example, {
        start: (command) => {
          const extra = command.includes("failover.ts") ? ["--crash"] : [];
          return new ExampleProcess(command, { url: cluster.url, extra, deadlineMs: RUN_MS });
        },
      }),
      step,
    );
    const text = played.map(({ process }) => process.said.join("\n")).join("\n");
    assertEquals(played.map(({ ending }) => ending.code), [0, 0, 0], text);
    assertMatch(text, /^\[failover\] \S+ dies$/m);
    for (const customer of ["ann", "bob", "cem", "dora", "eve", "finn"]) {
      assertMatch(text, new RegExp(`^\\[worker\\] ${customer}: 1 2 3 4$`, "m"));
    }
    assertEquals(cluster.nodes.filter((node) => !node.running).length, 1);
  });
}
