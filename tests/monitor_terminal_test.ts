/** The live screen, in a real terminal: keys go in, and what is on the screen is looked at. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertStringIncludes,
} from "@std/assert";
import { type TaskContext, TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { connect, PriorityQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import type { RedisServer } from "../tools/redis_server.ts";
import { kill } from "../tools/run.ts";
import { Terminal, type TerminalOptions } from "../tools/terminal.ts";
import { eventually, limit, serverTest } from "./support.ts";

const PROGRAM = new URL("../monitor/cli.ts", import.meta.url).pathname;
/** Deno starts, and React; other tests run beside. */
const OPEN_MS = 25_000;
const LIMIT_MS = 90_000;

type Queue<T> = ReliableQueue<T>;

/** A terminal with the live screen open. */
async function dashboard(
  url: string,
  { flags = "", ...options }: TerminalOptions & { flags?: string } = {},
): Promise<Terminal> {
  const terminal = await Terminal.open(options);
  await terminal.run("echo what was there before; stty -a > $TMPDIR/before");
  await terminal.run(
    `${Deno.execPath()} run -A ${PROGRAM} dashboard --url ${url} --refresh 250ms ${flags}; echo left with $?`,
  );
  return terminal;
}

/** Defines a test with a server and a folder of its own. */
function screenTest(
  title: string,
  run: (server: RedisServer, open: typeof dashboard) => Promise<void>,
  options: Parameters<typeof serverTest>[2] = {},
): void {
  serverTest(
    title,
    async (server) => {
      await using stack = new AsyncDisposableStack();
      const dir = await Deno.makeTempDir({ prefix: "redis-patterns-" });
      stack.defer(() => Deno.remove(dir, { recursive: true }));
      await limit(
        run(server, async (url, options = {}) => {
          const env = { ...options.env, TMPDIR: dir };
          return stack.use(await dashboard(url, { ...options, env }));
        }),
        title,
        LIMIT_MS,
      );
    },
    options,
    LIMIT_MS + 5_000,
  );
}

/** Dead letters with the payloads `letter 0` … and the reasons `timeout` and `no such address` in turn. */
async function bury(queue: Queue<string>, count: number): Promise<void> {
  await queue.enqueueMany(Array.from({ length: count }, (_, i) => `letter ${i}`));
  for (let left = count; left > 0;) {
    const deliveries = await queue.receiveMany(Math.min(1_000, left));
    await Promise.all(deliveries.map((delivery) => {
      const even = Number(delivery.payload.split(" ")[1]) % 2 === 0;
      return delivery.deadLetter(even ? "timeout" : "no such address");
    }));
    left -= deliveries.length;
  }
}

screenTest(
  "dashboard shows every queue, follows what happens, and opens a queue",
  async (server, open) => {
    await using redis = await connect({ url: server.url });
    await using emails = new ReliableQueue<string>(redis, "emails");
    await using thumbnails = new PriorityQueue<string>(redis, "thumbnails");
    await bury(emails, 3);
    await emails.enqueueMany(["a", "b"]);
    await emails.enqueue("later", { delayMs: 600_000, id: "reminder-5" });
    await thumbnails.enqueue("c", { priority: "high" });
    await using terminal = await open(server.url);
    const screen = await terminal.see("thumbnails", OPEN_MS);
    assertEquals(await terminal.ask("alternate_on"), "1");
    assertNotMatch(screen, /what was there before/);
    //                      ready leased delayed dead
    assertMatch(screen, /›\s+emails .* 2 +0 +1 +3 /);
    assertMatch(screen, /thumbnails .* 1 +0 +0 +0 .* none!/);

    const worker = new Worker(thumbnails, () => new Promise<void>(() => {}), {
      mode: "polling",
    });
    worker.start();
    await using _ending = { [Symbol.asyncDispose]: () => worker.stop({ graceMs: 0 }) };
    assertMatch(await terminal.see(/thumbnails .* 0 +1 +0 +0 /), /thumbnails .* 1\s*$/m);
    await emails.enqueueMany(["d", "e", "f"]);
    await terminal.see(/emails .* 5 +0 +1 +3 /);

    await terminal.press("j");
    await terminal.see(/› +thumbnails/);
    await terminal.press("Up");
    await terminal.see(/› +emails/);
    await terminal.press("Enter");
    const page = await terminal.see("no such address");
    assertMatch(page, /1 dead 3 +2 delayed 1 +3 leased 0 +4 workers 0/);
    assertMatch(page, /› .* 1 timeout/);
    await terminal.press("2");
    assertMatch(await terminal.see("reminder-5"), /reminder-5 +\d+m +0 "later"/);
    await terminal.press("Escape");
    await terminal.see("thumbnails");
    await terminal.press("j", "Enter", "4");
    await terminal.see(/› .* 1 .*polling/);
    await terminal.press("h");
    assertMatch(await terminal.see('"c"'), /1 .*"c"/);
    await terminal.press("q");
    await terminal.see("left with 0");
  },
);

screenTest("dashboard redrives, removes and pauses only after a yes", async (server, open) => {
  await using redis = await connect({ url: server.url });
  await using emails = new ReliableQueue<string>(redis, "emails");
  await using tasks = new ReliableQueue<string>(redis, "tasks");
  await bury(emails, 40);
  await bury(tasks, 2);
  const counts = async () => {
    const { ready, dead, paused } = await emails.counts();
    return [ready, dead, paused === true];
  };
  await using terminal = await open(server.url);
  await terminal.see(/› +emails/, OPEN_MS); // the path of this folder may have any word in it

  await terminal.press("R");
  await terminal.see("Redrive 40 dead letters of emails? y/n");
  await terminal.press("x"); // neither yes nor no
  await terminal.press("n");
  await terminal.see("nothing was changed");
  assertEquals(await counts(), [0, 40, false]);

  await terminal.press("Enter");
  await terminal.see("no such address");
  await terminal.press("x", "x", "R"); // the first two
  await terminal.see("Redrive 2 dead letters of emails? y/n");
  await terminal.press("y");
  await terminal.see("redriven: 2 dead letters");
  assertEquals(await counts(), [2, 38, false]);

  await terminal.press("/");
  await terminal.type("TIMEOUT");
  await terminal.press("Enter");
  await terminal.see("filter: TIMEOUT");
  await terminal.seeNo("no such address");
  await terminal.press("A", "R");
  await terminal.see('Redrive 19 dead letters of emails that match "TIMEOUT"? y/n');
  await terminal.press("y");
  await terminal.see("redriven: 19 dead letters");
  assertEquals(await counts(), [21, 19, false]);

  await terminal.press("Escape"); // the filter
  await terminal.see("no such address");
  await terminal.press("D");
  await terminal.see("Remove 1 message of emails for good? y/n");
  await terminal.press("y");
  await terminal.see("removed: 1 message");
  assertEquals(await counts(), [21, 18, false]);
  await terminal.press("P");
  await terminal.see("Pause emails?");
  await terminal.press("y");
  await terminal.see("paused: emails");
  await terminal.see("· paused");
  assertEquals(await counts(), [21, 18, true]);

  await terminal.press("Escape", "A", "P"); // one of two is paused: the other one
  await terminal.see("Pause tasks?");
  await terminal.press("y");
  await terminal.see("tasks (paused)");
  await terminal.press("A", "P");
  await terminal.see("Resume emails, tasks?");
  await terminal.press("y");
  await terminal.seeNo("(paused)");
  assertEquals(await counts(), [21, 18, false]);
  await terminal.press("A", "R");
  await terminal.see("Redrive 20 dead letters of emails, tasks? y/n");
  await terminal.press("y");
  await terminal.see("redriven: 20 dead letters");
  assertEquals([await counts(), (await tasks.counts()).ready], [[39, 0, false], 2]);
});

screenTest("dashboard pauses one worker and resumes it", async (server, open) => {
  await using redis = await connect({ url: server.url });
  await using queue = new ReliableQueue<string>(redis, "emails");
  await using worker = new Worker(queue, () => {}, { mode: "polling" });
  worker.start();
  await eventually(async () => assertEquals((await queue.consumers()).length, 1));
  await using terminal = await open(server.url);
  await terminal.see("emails", OPEN_MS);
  await terminal.press("Enter", "4");
  await terminal.see(/polling/);
  await terminal.press("P");
  await terminal.see("It finishes what it has, and takes no more. y/n");
  assertEquals((await queue.consumers())[0]?.paused, undefined, "it asks first");
  await terminal.press("y");
  await terminal.see(/paused: \w+ of emails/);
  assertEquals((await queue.consumers())[0]?.paused, true);
  await terminal.see(/ago +paused/);
  await terminal.press("P");
  await terminal.see(/Resume \w+ of emails\? y\/n/);
  await terminal.press("y");
  await terminal.see(/resumed: \w+ of emails/);
  assertEquals((await queue.consumers())[0]?.paused, undefined);
});

screenTest("dashboard filters queues by name, and lists its keys", async (server, open) => {
  await using redis = await connect({ url: server.url });
  for (const name of ["emails", "invoices", "thumbnails"]) {
    await using queue = new ReliableQueue<string>(redis, name);
    await queue.enqueue("a");
  }
  await using terminal = await open(server.url, { columns: 80 });
  await terminal.see("thumbnails", OPEN_MS);
  await terminal.press("/");
  await terminal.type("xIL");
  await terminal.see("no queue has this in its name");
  await terminal.press("BSpace", "BSpace", "BSpace");
  await terminal.type("aIL");
  await terminal.seeNo("invoices");
  await terminal.press("Enter", "Enter"); // the filter stays; the queue opens
  await terminal.see("1 dead 0");
  await terminal.press("?");
  await terminal.see("redrive dead letters; asks first");
  await terminal.press("q"); // any key: it does nothing else
  await terminal.see("1 dead 0");
  await terminal.press("BSpace");
  await terminal.see("invoices");
});

screenTest(
  "dashboard shows a message with its errors, and nothing in it does anything",
  async (server, open) => {
    await using redis = await connect({ url: server.url });
    const name = "odd\u202ename"; // turns the direction of writing
    await using queue = new ReliableQueue<string>(redis, name, { backoff: { baseMs: 0 } });
    const wicked = "\x1b]0;taken over\x07\x1b[2J\x1b[31m<img src=x>";
    await queue.enqueue(wicked, { id: "wicked" });
    await (await queue.receive())!.nack({ error: new Error(`first ${wicked}`), delayMs: 0 });
    await (await queue.receive())!.deadLetter(`second ${wicked}`);
    await using terminal = await open(server.url);
    assertStringIncludes(await terminal.see("odd", OPEN_MS), "odd\\u202ename");
    await terminal.press("Enter");
    assertStringIncludes(
      await terminal.see("wicked"),
      "second \\u001b]0;taken over\\u0007\\u001b[2J",
    );
    await terminal.press("Enter");
    const page = await terminal.see("payload");
    assertStringIncludes(page, "attempt 1");
    assertStringIncludes(page, "first \\u001b]0;taken over");
    assertStringIncludes(page, "monitor_terminal_test.ts"); // the stack
    assertNotMatch(await terminal.ask("pane_title"), /taken over/);
    await terminal.press("Escape");
    await terminal.see("1 dead 1");
  },
);

screenTest("dashboard --read-only changes nothing", async (server, open) => {
  await using redis = await connect({ url: server.url });
  await using queue = new ReliableQueue<string>(redis, "emails");
  await bury(queue, 2);
  await using terminal = await open(server.url, { flags: "--read-only" });
  assertNotMatch(await terminal.see("emails", OPEN_MS), /R redrive/);
  for (const key of ["R", "D", "P"]) {
    await terminal.press(key);
    await terminal.see("nothing is changed here");
    await terminal.press("y");
  }
  assertEquals(await queue.counts(), { ready: 0, leased: 0, delayed: 0, dead: 2 });
});

screenTest("dashboard fits the terminal, however large it is made", async (server, open) => {
  await using redis = await connect({ url: server.url });
  for (let i = 0; i < 40; i++) {
    await using queue = new ReliableQueue<string>(redis, `queue ${String(i).padStart(2, "0")}`);
    await queue.enqueue("a");
  }
  await using terminal = await open(server.url, { columns: 150, rows: 30 });
  assertMatch(await terminal.see("queue 24", OPEN_MS), /until now/);
  await terminal.resize(60, 12);
  await terminal.seeNo("until now");
  const small = await terminal.see(/› +queue 00 (?:.*\n)+\? keys {2}q quit/);
  assertNotMatch(small, /until now|by state|queue 24/);
  await terminal.press("G");
  await terminal.see(/› +queue 39/);
  await terminal.press("PPage", "k");
  await terminal.see(/› +queue 31/);
  await terminal.resize(24, 6);
  await terminal.see(/› +queue 31/);
  await terminal.resize(150, 50);
  const large = await terminal.see(/until now(?:.*\n)+.*queue 39/);
  for (const i of ["00", "20"]) assertStringIncludes(large, `queue ${i}`);
});

screenTest(
  "dashboard opens while Redis is down, says why, and goes on when it is back",
  async (server, open) => {
    await server.kill();
    await using terminal = await open(server.url);
    assertMatch(await terminal.see("Redis is away", OPEN_MS), /connection refused/);
    await server.restart();
    await using redis = await connect({ url: server.url });
    await using queue = new ReliableQueue<string>(redis, "emails");
    await queue.enqueueMany(["a", "b", "c"]);
    await terminal.see(/emails .* 3 +0 +0 +0 /);
    await terminal.seeNo("Redis is away");

    await server.kill();
    const away = await terminal.see("Redis is away");
    assertMatch(away, /emails .* 3 +0 +0 +0 /, "what was known stays");
    await terminal.press("P");
    await terminal.see(/Redis at 127.0.0.1:\d+: .*\n.*j k move/);
    await server.restart();
    await terminal.seeNo("Redis is away");
    await queue.enqueue("d");
    await terminal.see(/emails .* 4 +0 +0 +0 /);
    await server.pause();
    await terminal.see("Redis is away", 20_000);
    await server.resume();
    await terminal.seeNo("Redis is away");
  },
  { aof: true },
);

for (
  const [how, code, leave] of [
    ["q", "0", (terminal: Terminal) => terminal.press("q")],
    ["Ctrl-C", "0", (terminal: Terminal) => terminal.press("C-c")],
    ["SIGTERM", "143", async (terminal: Terminal) => {
      const pids = await new Deno.Command("ps", {
        args: ["-o", "pid=,args=", "--ppid", await terminal.ask("pane_pid")],
      }).output();
      const text = new TextDecoder().decode(pids.stdout);
      const pid = /^\s*(\d+) .* dashboard /m.exec(text)?.[1];
      assert(pid, `no dashboard among ${text}`);
      assert(kill(Number(pid), "SIGTERM"));
    }],
  ] as const
) {
  screenTest(`dashboard gives the terminal back after ${how}`, async (server, open) => {
    await using redis = await connect({ url: server.url });
    await using queue = new ReliableQueue<string>(redis, "emails");
    await queue.enqueue("a");
    await using terminal = await open(server.url);
    await terminal.see("emails", OPEN_MS);
    assertEquals(await terminal.ask("cursor_flag"), "0");
    await leave(terminal);
    const screen = await terminal.see(`left with ${code}`);
    await assertGivenBack(terminal, screen);
    await eventually(async () => {
      assertNotMatch(
        await redis.sendCommand(["CLIENT", "LIST"]) as unknown as string,
        /name=monitor/,
      );
    });
  });
}

/** The screen of before, a cursor, and a terminal that echoes what is typed, line by line. */
async function assertGivenBack(terminal: Terminal, screen: string): Promise<void> {
  assertStringIncludes(screen, "what was there before");
  assertEquals(await terminal.ask("alternate_on"), "0");
  assertEquals(await terminal.ask("cursor_flag"), "1");
  await terminal.run(
    "stty -a > $TMPDIR/after; diff $TMPDIR/before $TMPDIR/after && echo the same modes",
  );
  await terminal.see(/^the same modes/m);
}

screenTest(
  "dashboard gives the terminal back after what no waiting mends, and says it there",
  async (server, open) => {
    for (
      const [url, says, code] of [
        ["http://127.0.0.1:1", 'Not a Redis URL: "http://127.0.0.1:1"', 3],
        [`redis://ann:secret@127.0.0.1:${server.port}`, "WRONGPASS", 2],
      ] as const
    ) {
      const terminal = await open(url);
      const screen = await terminal.see(`left with ${code}`, OPEN_MS);
      assertStringIncludes(screen, says);
      await assertGivenBack(terminal, screen);
      await terminal.close();
    }
  },
);

screenTest("dashboard has colours, and none with NO_COLOR", async (server, open) => {
  await using redis = await connect({ url: server.url });
  await using queue = new ReliableQueue<string>(redis, "emails");
  await bury(queue, 1);
  // deno-lint-ignore no-control-regex -- what colours are made of
  const colour = /\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m/;
  for (const [env, has] of [[{}, true], [{ NO_COLOR: "1" }, false]] as const) {
    const terminal = await open(server.url, { env });
    await terminal.see("emails", OPEN_MS);
    await terminal.see("▒▒▒");
    assertEquals(colour.test(await terminal.screen({ styled: true })), has, JSON.stringify(env));
    await terminal.close();
  }
});

screenTest("dashboard names tasks, and tells how far they are", async (server, open) => {
  await using redis = await connect({ url: server.url });
  const released = Promise.withResolvers<void>();
  const handlers = {
    print_album: async (_: { pages: number }, { progress }: TaskContext) => {
      await progress({ done: 3, of: 12 });
      await released.promise;
    },
  };
  await using producer = new TaskProducer<typeof handlers>(redis, { name: "shop" });
  const worker = new TaskWorker(redis, { name: "shop", handlers });
  worker.start();
  await using _ending = {
    [Symbol.asyncDispose]: () => {
      released.resolve();
      return worker.stop();
    },
  };
  await producer.add("print_album", { pages: 12 }, { id: "album" });
  await producer.add("print_album", { pages: 6 }, { id: "later", delayMs: 600_000 });
  await using terminal = await open(server.url);
  await terminal.see(/› +shop/, OPEN_MS);
  await terminal.press("Enter");
  await terminal.see(/1 dead 0/);
  await terminal.press("2");
  await terminal.see(/later .*print_album {2}\{"pages":6\}/);
  await terminal.press("3");
  await terminal.see(/album .*print_album {2}at \{"done":3,"of":12\}/);
  await terminal.press("Enter");
  await terminal.see(/progress +\{"done":3,"of":12\}/);
  await terminal.press("q");
  await terminal.see("left with 0");
});
