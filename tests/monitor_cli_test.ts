/** The command line where it looks: what it prints, and how it ends. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertStringIncludes,
} from "@std/assert";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import {
  type TaskContext,
  TaskProducer,
  TaskScheduler,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { run } from "../tools/run.ts";
import { Terminal } from "../tools/terminal.ts";
import { eventually } from "./support.ts";
import {
  cells,
  DEADLINE_MS,
  fill,
  json,
  monitor,
  never,
  PROGRAM,
  programTest,
  type Ran,
} from "./monitor_cli_support.ts";

programTest("monitor shows queues, their numbers and their messages", async ({ url }) => {
  const { stack, delivery, tasks } = await fill(url);
  await using _closing = stack;
  const worker = new Worker(tasks, never, { mode: "polling" });
  worker.start();
  stack.defer(() => worker.stop({ graceMs: 0 }));
  await eventually(async () => assertEquals((await tasks.consumers()).length, 1));

  const queues = await monitor(url, "queues");
  assertEquals(cells(queues.stdout).map(([name, kind]) => [name, kind]), [
    ["queue", "kind"],
    ["emails", "ReliableQueue"],
    ["tasks", "StreamQueue"],
    ["thumbnails", "PriorityQueue"],
  ]);
  assertEquals([queues.code, queues.stderr], [0, ""]);

  const stats = cells((await monitor(url, "stats")).stdout);
  assertEquals(stats[0], [
    "queue",
    "kind",
    "ready",
    "leased",
    "delayed",
    "dead",
    "oldest",
    "in/s",
    "done/s",
    "wait p95",
    "run p95",
    "workers",
  ]);
  assertEquals(stats[1]!.slice(0, 6), ["emails", "list", "1", "0", "1", "3"]);
  assertEquals([stats[2]!.slice(0, 6), stats[2]!.at(-1)], [
    ["tasks", "stream", "0", "1", "0", "0"],
    "1",
  ]);
  const { queues: [, { counts, consumers, oldestLeasedMs }] } = await json(url, "stats");
  assertEquals(counts, { ready: 0, leased: 1, delayed: 0, dead: 0 });
  assertEquals(consumers[0].mode, "polling");
  assert(oldestLeasedMs > 0);

  const holders = await json(url, "consumers --queue tasks");
  const silent = delivery.token.split(":")[0];
  assertEquals(
    holders.map((
      holder: Record<string, unknown>,
    ) => [holder.silent, holder.holds, holder.oldestId]),
    [[false, 0, undefined], [true, 1, "held"]],
  );
  assertMatch(
    (await monitor(url, "consumers")).stdout,
    new RegExp(`tasks +${silent} .*silent +1 .*\\(held\\)`),
  );

  assertMatch((await monitor(url, "pending")).stdout, /^tasks +held +1 .* left .* "resize"$/m);
  const [{ token, ...held }] = await json(url, "pending");
  assertEquals([held.id, held.payload, token], [
    "held",
    "resize",
    delivery.token.replace(/:\d+$/, ""),
  ]);
  assertMatch(
    (await monitor(url, "delayed")).stdout,
    /^emails +later +9 min .* 0 +\{"to":"later@example.com"\}$/m,
  );
  const dead = await monitor(url, "dead --limit 2");
  assertEquals(
    cells(dead.stdout).map(([queue, id, , attempts, reason]) => [queue, id, attempts, reason]),
    [
      ["queue", "id", "attempts", "reason"],
      ["emails", "a", "1", "given up"],
      ["emails", "b", "1", "given up"],
    ],
  );
  const groups = await json(url, "dead --by-error");
  assertEquals(groups.map(({ error, count }: Record<string, unknown>) => [error, count]), [
    ["Error: timeout after … ms", 2],
    ["Error: no user", 1],
  ]);
  const recent = await json(url, "recent --limit 5");
  assertEquals(recent.length, 5);
  const states = (await json(url, "recent")).map((entry: Record<string, unknown>) =>
    `${entry.id} ${entry.state}`
  );
  for (
    const state of [
      "done completed",
      "c failed",
      "c dead",
      "held leased",
      "next ready",
      "low ready",
    ]
  ) {
    assert(states.includes(state), `${state} in ${states}`);
  }
});

programTest("monitor task finds a message wherever it is", async ({ url }) => {
  const { stack } = await fill(url);
  await using _closing = stack;
  for (
    const [id, queue, states] of [
      ["next", "emails", ["ready"]],
      ["later", "emails", ["delayed"]],
      ["held", "tasks", ["leased"]],
      ["low", "thumbnails", ["ready"]],
      ["done", "emails", ["completed"]],
      ["a", "emails", ["dead", "failed"]],
    ] as const
  ) {
    const found = await json(url, `task ${id}`);
    assertEquals(found.map((entry: Record<string, unknown>) => entry.state), states);
    assertEquals(found[0].queue, queue);
  }
  const { stdout } = await monitor(url, "task a --queue emails");
  assertMatch(stdout, /^reason +given up$/m);
  assertMatch(stdout, /^key +queue:\{emails\}:dead$/m);
  assertMatch(stdout, /^payload +\{"to":"a@example.com"\}$/m);
  assertMatch(stdout, /^attempt 1 .*\n +Error: timeout after 31 ms\n +at /m);
  const missing = await monitor(url, "task nobody");
  assertEquals([missing.code, missing.stdout], [1, ""]);
  assertStringIncludes(missing.stderr, '"nobody" in any queue');
});

programTest(
  "monitor tells of tasks what is on record, and what is added by the clock",
  async ({ url }) => {
    await using redis = await connect({ url });
    const released = Promise.withResolvers<void>();
    const handlers = {
      process_data: ({ data }: { data: number }) => ({ processed_data: 2 * data }),
      send_mail: ({ to }: { to: string }): void => {
        throw new Error(`no such address ${to}`);
      },
      print_album: async (_: { pages: number }, { progress }: TaskContext) => {
        await progress({ done: 3, of: 12 });
        await released.promise;
      },
    };
    await using producer = new TaskProducer<typeof handlers>(redis);
    const worker = new TaskWorker(redis, {
      handlers,
      concurrency: 4,
      maxAttempts: 2,
      backoff: { baseMs: 0 },
    });
    await producer.add("process_data", { data: 42 }, { id: "done" });
    await producer.add("send_mail", { to: "dora" }, { id: "died" });
    await producer.add("print_album", { pages: 12 }, { id: "runs" });
    await producer.add("process_data", { data: 1 }, { id: "waits", delayMs: 600_000 });
    const scheduler = new TaskScheduler<typeof handlers>(redis);
    const timeZone = "Europe/Vienna";
    await scheduler.cron("nightly", "0 3 * * *", "process_data", { data: 3 }, { timeZone });
    worker.start();
    await using _ending = {
      [Symbol.asyncDispose]: () => {
        released.resolve();
        return worker.stop();
      },
    };
    await eventually(async () => {
      const records = await producer.queue.tasks(["done", "died", "runs"]);
      assertEquals(records.map((record) => record?.state), ["done", "dead", "running"]);
      assert("progress" in records[2]!);
    });

    const recent = (await monitor(url, "recent")).stdout;
    assertMatch(recent, /done +done +1 +[\d.]+ m?s +process_data/);
    assertMatch(recent, /died +dead +2 +send_mail {2}.*no such address dora/);
    assertMatch(recent, /runs +running +1 +print_album {2}at \{"done":3,"of":12\}/);
    assertMatch(recent, /waits +delayed +0 +process_data/);
    const listed = await json(url, "recent");
    assertEquals(listed.length, 4);
    assertNotMatch(JSON.stringify(listed), /result|processed/);

    const [done] = await json(url, "task done");
    assertEquals([done.state, done.task.result], ["done", { processed_data: 84 }]);
    const told = await monitor(url, "task done");
    assertMatch(
      told.stdout,
      /name +process_data\n[^]*state +done\n[^]*result +\{"processed_data":84\}/,
    );
    const runs = (await monitor(url, "task runs")).stdout;
    assertMatch(
      runs,
      /state +running[^]*progress +\{"done":3,"of":12\}[^]*payload +\{"pages":12\}/,
    );
    assertMatch((await monitor(url, "task died")).stdout, /attempt 2 [^]*no such address dora/);
    assertEquals((await monitor(url, "task nobody")).code, 1);

    assertMatch((await monitor(url, "pending")).stdout, /runs .*print_album {2}at /);
    assertMatch((await monitor(url, "delayed")).stdout, /waits .*process_data {2}\{"data":1\}/);
    assertEquals(cells((await monitor(url, "queues")).stdout)[1]!.slice(0, 2), [
      "tasks",
      "TaskQueue",
    ]);
    const [, schedule] = cells((await monitor(url, "schedules")).stdout);
    assertEquals(schedule!.slice(0, 4), [
      "tasks",
      "nightly",
      "process_data",
      "0 3 * * * Europe/Vienna",
    ]);
    const [one] = await json(url, "schedules");
    assertEquals([one.cron, one.upcoming.length, one.firings], ["0 3 * * *", 2, 0]);

    // Where nobody tells what happened, what the queue holds is told.
    await redis.del("queue:{tasks}:events");
    assertMatch((await monitor(url, "recent")).stdout, /died +dead /);
  },
);

programTest(
  "monitor stats is a probe: 0 healthy, 1 stuck, 2 without Redis, each with one line",
  async (server) => {
    const { url } = server;
    await using redis = await connect({ url });
    await using queue = new ReliableQueue<string>(redis, "emails", { leaseMs: 60_000 });
    const probe = async (line: string, code: number, reason: RegExp) => {
      const ran = await monitor(url, `stats ${line}`);
      assertMatch(ran.stdout, reason);
      assertEquals(
        [ran.code, ran.stdout.trimEnd().split("\n").length, ran.stderr],
        [code, 1, ""],
        line,
      );
      const { code: said, healthy } = JSON.parse(
        (await monitor(url, `stats ${line} --json`)).stdout,
      );
      assertEquals([said, healthy], [code, code === 0]);
    };
    await probe("--max-oldest 5s", 0, /^healthy: 0 queues, no message waits/);
    const worker = new Worker(queue, never);
    worker.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(() => worker.stop({ graceMs: 0 }));
    await queue.enqueue("stuck");
    await eventually(async () => assertEquals((await queue.counts()).leased, 1));
    await probe("--max-oldest 1m", 0, /^healthy: emails, the oldest message is .* old\n$/);
    await probe(
      "--max-oldest 10ms",
      1,
      /^stuck: emails: the oldest message is .* old and in hand, the limit is 10 ms \(0 ready, 1 in hand, 1 worker\)\n$/,
    );
    await probe("--min-workers 2", 1, /^stuck: emails: 1 of at least 2 workers are there/);
    await probe("--max-ready 0 --max-dead 0 --min-workers 1", 0, /^healthy/);
    await queue.enqueueMany(["a", "b"], { delayMs: 600_000 });
    await probe("--max-ready 0", 0, /^healthy/);
    await worker.stop({ graceMs: 0 });
    await probe("--max-ready 0", 1, /^stuck: emails: 1 are ready, the limit is 0/);
    await probe(
      "--queue nobody --max-ready 0",
      1,
      /^unknown: There is no queue "nobody": there are "emails"\n$/,
    );
    await server.pause();
    const frozen = await monitor(url, "stats --max-oldest 5s --timeout 500ms");
    assertEquals(frozen.code, 2, frozen.stderr);
    assertMatch(frozen.stdout, /^down: Redis at 127.0.0.1:\d+: /);
    await server.resume();
    await server.kill();
    const { stdout, code } = await monitor(url, "stats --max-oldest 5s --timeout 500ms");
    assertMatch(stdout, /^down: Redis at 127.0.0.1:\d+: connection refused .*\n$/);
    assertEquals(code, 2);
    const listed = await monitor(url, "stats --timeout 500ms");
    assertEquals([listed.code, listed.stdout], [2, ""]);
    assertMatch(listed.stderr, /^down: Redis at .*connection refused .*\n$/);
    await server.restart();
    await eventually(async () => void await redis.ping(), 10_000); // its pause before trying is over
  },
);

programTest(
  "monitor names a queue that it cannot look at, and shows the others",
  async ({ url }) => {
    await using redis = await connect({ url });
    for (const name of ["broken", "emails"]) {
      await using queue = new ReliableQueue<string>(redis, name);
      await queue.enqueue("a");
    }
    await redis.del("queue:{broken}:ready");
    await redis.set("queue:{broken}:ready", "somebody else's");
    await redis.zAdd("queue:registry", { score: Date.now(), value: "tree oak" });
    const { code, stdout, stderr } = await monitor(url, "stats");
    assertEquals([code, cells(stdout)[1]?.[0]], [1, "emails"]);
    assertMatch(stderr, /^broken: .*queue:\{broken\}:ready/);
    assertMatch(stderr, /^"?oak"?: .* of the kind "tree", which is not known here$/m);
    const probed = await monitor(url, "stats --max-oldest 1h");
    assertEquals(probed.code, 1);
    assertMatch(probed.stdout, /^stuck: broken cannot be looked at: .* \(and 1 more queue\)\n$/);
    const doctor = await monitor(url, "doctor");
    assertEquals(doctor.code, 1);
    assertMatch(doctor.stdout, /✗ queue broken +.*queue:\{broken\}:ready/);
  },
);

programTest("monitor doctor says whether Redis is fit", async ({ url }) => {
  await using redis = await connect({ url });
  const fit = await monitor(url, "doctor");
  assertEquals([fit.code, fit.stdout.trimEnd().split("\n").at(-1)], [0, "fit"]);
  for (
    const what of [
      "server",
      "memory",
      "persistence",
      "connections",
      "commands",
      "round trip",
      "clock",
      "queues",
    ]
  ) {
    assertMatch(fit.stdout, new RegExp(`^[✓!] ${what} `, "m"));
  }
  await redis.sendCommand([
    "CONFIG",
    "SET",
    "maxmemory",
    "100mb",
    "maxmemory-policy",
    "allkeys-lru",
  ]);
  const unfit = await monitor(url, "doctor");
  assertEquals(unfit.code, 1);
  assertMatch(unfit.stdout, /^✗ memory .* policy allkeys-lru: a full Redis throws messages away/m);
  await redis.sendCommand(["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
  await redis.sendCommand([
    "ACL",
    "SETUSER",
    "viewer",
    "on",
    ">pw",
    "~queue:*",
    "+@all",
    "-info",
    "-command",
    "-config",
  ]);
  const viewer = await monitor(url.replace("//", "//viewer:pw@"), "doctor --json");
  const { fit: isFit, findings } = JSON.parse(viewer.stdout);
  assertEquals([viewer.code, isFit, findings[0].level], [0, true, "warn"]);
});

programTest("monitor refuses what it does not understand, and names it", async ({ url }) => {
  await using redis = await connect({ url });
  await using queue = new ReliableQueue<string>(redis, "emails");
  await queue.enqueue("a");
  const cases: [line: string, says: string][] = [
    ["", "Which command?"],
    ["frobnicate", 'no command "frobnicate"'],
    [
      "stats --max-oldest 5",
      '--max-oldest must be a time with its unit, such as 500ms, 5s, 2m, 1h or 1d, but is "5"',
    ],
    ["stats --max-oldest=-5s", 'but is "-5s"'],
    ["stats --max-oldest", "--max-oldest needs a value: --max-oldest TIME"],
    ["stats --window 2h", '--window must be from 1 min to 1 h, but is "2h"'],
    ["stats --max-ready many", '--max-ready must be a whole number from 0, but is "many"'],
    ["stats --max-odlest 5s", "stats has no --max-odlest: it takes --queue"],
    ["stats emails", 'stats does not understand "emails"'],
    ["stats --json=maybe", '--json takes no value, but was given "maybe"'],
    ["stats --window 1m --window 2m", "--window is given twice"],
    ["dead --limit 0", '--limit must be a whole number from 1, but is "0"'],
    ["redrive --queue emails --rate 0", '--rate must be a number above 0, but is "0"'],
    ["redrive", "redrive which queue? Say --queue NAME, or --all"],
    ["redrive --all --queue emails", "Either --queue or --all"],
    ["redrive --queue emails --id a --error b", "Either --id or --error"],
    ["purge --queue emails", "purge needs a --state"],
    [
      "purge --queue emails --state leased",
      'but is "leased": what is in hand belongs to its consumer',
    ],
    [
      "purge --queue emails --state ready",
      "Remove 1 ready messages of emails for good? There is no terminal to ask: say --yes",
    ],
    ["cancel a", "cancel takes one queue"],
    ["cancel a --queue emails", "There is no terminal to ask: say --yes"],
    ["pause --all", "There is no terminal to ask: say --yes"],
    ["task", "task needs an id"],
    ["task a b", 'task does not understand "b"'],
    ["dashboard", "dashboard needs a terminal"],
    ["stats --url http://ann:secret@127.0.0.1", 'Not a Redis URL: "http://***@127.0.0.1"'],
    ["stats --timeout 0s", '--timeout must be from 1 ms to 10 min, but is "0s"'],
  ];
  const outcomes: Ran[] = [];
  for (let i = 0; i < cases.length; i += 4) {
    const some = cases.slice(i, i + 4);
    outcomes.push(...await Promise.all(some.map(([line]) => monitor(url, line))));
  }
  for (const [i, { code, stdout, stderr }] of outcomes.entries()) {
    const [line, says] = cases[i]!;
    assertStringIncludes(stderr, says, line);
    assertEquals(
      [code, stdout, stderr.trimEnd().split("\n").length],
      [3, "", 1],
      `${line}: ${stderr}`,
    );
    assertNotMatch(stderr, /secret|\.ts:\d/);
  }
  assertEquals(await queue.counts().then(({ ready, paused }) => [ready, paused]), [1, undefined]);
});

programTest(
  "monitor prints no colours and no borders into a pipe, and takes the power out of foreign text",
  async ({ url }) => {
    await using redis = await connect({ url });
    const wicked = "\x1b]0;taken over\x07\x1b[31m\nemails";
    await using queue = new ReliableQueue<string>(redis, "e\u202emails");
    await queue.enqueue(wicked, { id: "wicked" });
    await (await queue.receive())!.deadLetter(wicked, { error: new Error(wicked) });
    for (
      const line of [
        "stats",
        "queues",
        "dead",
        "dead --by-error",
        "recent",
        "task wicked",
        "doctor",
        "--help",
        "stats --help",
      ]
    ) {
      const { stdout, stderr, code } = await monitor(url, line, { FORCE_COLOR: "1" });
      assertEquals([code, stderr], [0, ""], line);
      // deno-lint-ignore no-control-regex -- nothing of this may be there
      assertNotMatch(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e│─]/, line);
    }
    assertEquals(cells((await monitor(url, "dead")).stdout)[1]?.slice(0, 2), [
      "e\\u202emails",
      "wicked",
    ]);
    assertEquals((await json(url, "dead"))[0].payload, wicked);
  },
);

programTest("monitor leaves when nobody reads on", async ({ url }) => {
  await using redis = await connect({ url });
  await using queue = new ReliableQueue<string>(redis, "emails");
  await queue.enqueueMany(Array.from({ length: 5_000 }, (_, i) => `${i} ${"x".repeat(150)}`), {
    delayMs: 60_000,
  });
  const line = `${Deno.execPath()} run -A ${PROGRAM} delayed --limit 5000 --json | head -1`;
  const { ok, stdout, stderr } = await run("sh", ["-c", line], {
    env: { REDIS_URL: url },
    deadlineMs: DEADLINE_MS,
  });
  assertEquals([ok, stdout, stderr], [true, "[", ""]);
});

programTest(
  "monitor ends at once by Ctrl-C when it only looks, also while Redis is silent",
  async (server) => {
    await using redis = await connect({ url: server.url, heartbeatMs: 0 });
    await redis.ping();
    await using terminal = await Terminal.open({ env: { REDIS_URL: server.url } });
    await server.pause();
    await terminal.run(
      `clear; ${Deno.execPath()} run -A ${PROGRAM} stats --timeout 10m; echo left with $?`,
    );
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // it waits, and says nothing
    assertNotMatch(await terminal.screen(), /left with \d/);
    await terminal.press("C-c");
    await terminal.see(/^(\^C)?left with 130/m, 5_000);
    await server.resume();
  },
);
