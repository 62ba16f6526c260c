/** The command line where it changes something: what it asks, what it says, and how it ends. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertStringIncludes,
} from "@std/assert";
import { connect, type ConsumerInfo, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { Terminal } from "../tools/terminal.ts";
import { eventually } from "./support.ts";
import { fill, json, monitor, never, PROGRAM, programTest } from "./monitor_cli_support.ts";

programTest("monitor redrives, purges, cancels, pauses and resumes with --yes", async ({ url }) => {
  const { stack, emails, thumbnails } = await fill(url);
  await using _closing = stack;
  const ran = async (line: string, stdout: string, code = 0) => {
    const result = await monitor(url, line);
    assertEquals(
      [result.stdout.trimEnd(), result.code],
      [stdout, code],
      `${line}: ${result.stderr}`,
    );
  };
  await ran("redrive --queue emails --error TIMEOUT --dry-run", "would be redriven: 2 (emails)");
  await ran("redrive --queue emails --dry-run --id c --id nobody", "would be redriven: 1 (emails)");
  assertEquals((await emails.counts()).dead, 3);
  await ran("redrive --queue emails --error timeout --limit 1 --yes", "redriven: 1 (emails)");
  assertEquals((await emails.find("a"))?.state, "ready");
  await ran("redrive --all --yes", "redriven: 2 (2 of emails)");
  await ran("redrive --all --yes", "redriven: 0");
  assertEquals(await json(url, "redrive --queue emails --yes"), {
    total: 0,
    queues: [{ queue: "emails", count: 0 }],
  });
  await ran("pause --queue thumbnails --yes", "paused: thumbnails");
  assertEquals([(await thumbnails.counts()).paused, (await emails.counts()).paused], [
    true,
    undefined,
  ]);
  assertMatch((await monitor(url, "queues")).stdout, /^thumbnails .* paused$/m);
  await ran("resume --all", "resumed: emails, tasks, thumbnails");
  assertEquals((await thumbnails.counts()).paused, undefined);

  const worker = new Worker(emails, never, { mode: "polling" });
  worker.start();
  stack.defer(() => worker.stop({ graceMs: 0 }));
  const [{ consumer }] = await eventually(async () => {
    const consumers = await emails.consumers();
    assertEquals(consumers.length, 1);
    return consumers as [ConsumerInfo];
  });
  await eventually(async () => assertEquals((await emails.counts()).leased, 1));
  await ran(
    `pause --queue emails --consumer ${consumer} --yes`,
    `paused: ${consumer} of emails`,
  );
  assertEquals((await json(url, "consumers --queue emails"))[0].paused, true);
  assertMatch((await monitor(url, "consumers --queue emails")).stdout, / paused /);
  await ran(`resume --queue emails --consumer ${consumer}`, `resumed: ${consumer} of emails`);
  assertEquals((await emails.consumers())[0]?.paused, undefined);
  await ran("resume --queue emails --consumer nobody", "", 1);
  await ran(`pause --consumer ${consumer} --yes`, "", 3);
  await ran(`pause --all --consumer ${consumer} --yes`, "", 3);
  await ran("pause --queue emails --consumer a:b --yes", "", 3);
  await worker.stop({ graceMs: 0 });

  await ran("cancel later --queue emails --yes", "cancelled: it was delayed");
  await ran("cancel later --queue emails --yes", "", 1);
  await ran("purge --queue emails --state ready --dry-run", "would be purged: 4 (emails)");
  await ran("purge --queue emails --state ready --yes", "purged: 4 (emails)");
  await ran("purge --queue emails --state completed --yes", "purged: 1 (emails)");
  assertEquals(await emails.counts(), { ready: 0, leased: 0, delayed: 0, dead: 0 });
});

programTest(
  "monitor asks before it changes something, and shows how far it is",
  async ({ url }) => {
    await using redis = await connect({ url });
    await using queue = new ReliableQueue<number>(redis, "emails");
    await queue.enqueueMany(Array.from({ length: 400 }, (_, i) => i));
    for (const delivery of await queue.receiveMany(400)) await delivery.deadLetter("no");
    const dead = async () => (await queue.counts()).dead;
    const env = { REDIS_URL: url };
    await using terminal = await Terminal.open({ env });
    const type = async (line: string, env = "") => {
      await terminal.run("clear");
      await terminal.seeNo("left with"); // of the one before
      await terminal.run(`${env} ${Deno.execPath()} run -A ${PROGRAM} ${line}; echo left with $?`);
    };
    const start = async (line: string) => {
      await type(line);
      await terminal.see("[y/N]");
    };
    for (
      const [answer, code] of [[["n", "Enter"], 130], [["Enter"], 130], [["C-c"], 130], [
        ["C-d"],
        130,
      ]] as const
    ) {
      await start("redrive --queue emails --rate 100");
      await terminal.see("Redrive 400 dead letters of emails? [y/N]");
      await terminal.press(...answer);
      assertStringIncludes(await terminal.see(`left with ${code}`), "Nothing was changed.");
    }
    assertEquals(await dead(), 400);

    await start("redrive --queue emails --rate 100");
    await terminal.press("y", "Enter");
    await terminal.see(/redriven [█░]{30} [1-9]\d* of 400 · \d+\/s/);
    await terminal.press("C-c");
    const screen = await terminal.see(/left with 130/);
    assertStringIncludes(screen, "Interrupted: the others are as they were.");
    const done = Number(/redriven: (\d+) \(emails\)/.exec(screen)?.[1]);
    assert(done > 0 && done < 400, screen);
    assertEquals(await dead(), 400 - done);
    assertNotMatch(screen, /█/, "the bar is gone");

    await start("redrive --queue emails");
    await terminal.press("y", "Enter");
    await terminal.see(/^left with 0/m);
    assertEquals(await dead(), 0);
    await type("stats");
    const table = await terminal.see(/^left with 0/m);
    assertMatch(table, /│ emails .* 400 │/);
    // deno-lint-ignore no-control-regex -- what colours are made of
    assertMatch(await terminal.screen({ styled: true }), /\x1b\[1m/);
    await type("stats", "NO_COLOR=1");
    await terminal.see(/^left with 0/m);
    // deno-lint-ignore no-control-regex -- what colours are made of
    assertNotMatch(await terminal.screen({ styled: true }), /\x1b\[[1-9]/);
  },
);
