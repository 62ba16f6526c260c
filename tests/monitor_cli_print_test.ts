/** What the command line makes of values and of what was typed: no process, no Redis. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { main } from "@workshop/redis-patterns/monitor";
import fc from "fast-check";
import process from "node:process";
import { diedOf } from "../monitor/cli_act.ts";
import { AskedWrongly, readFlags } from "../monitor/cli_flags.ts";
import { table } from "../monitor/cli_print.ts";
import {
  cut,
  duration,
  inert,
  rate,
  shares,
  shortCount,
  shortDuration,
  sparkline,
} from "../monitor/format.ts";
import { shapeOf } from "../monitor/message_text.ts";
import { judge } from "../monitor/probe.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

Deno.test("duration tells a time in two units at most", () => {
  const told: [number, string, string][] = [
    [0, "0 ms", "0ms"],
    [0.44, "0.4 ms", "0.4ms"],
    [-5, "0 ms", "0ms"],
    [10, "10 ms", "10ms"],
    [999.4, "999 ms", "999ms"],
    [999.6, "1 s", "1.0s"],
    [4_240, "4.2 s", "4.2s"],
    [9_990, "10 s", "10s"],
    [59_900, "1 min", "60s"],
    [3 * MINUTE + 5 * SECOND, "3 min 5 s", "3m"],
    [HOUR, "1 h", "60m"],
    [HOUR + 10 * SECOND, "1 h", "60m"],
    [2 * DAY + 4 * HOUR + 30 * MINUTE, "2 d 4 h", "2d"],
    [400 * DAY, "400 d", "400d"],
  ];
  for (const [ms, long, short] of told) {
    assertEquals([duration(ms), shortDuration(ms)], [long, short], String(ms));
  }
});

Deno.test("shortCount and rate fit into a narrow column", () => {
  const counts = [0, 999, 1_000, 12_345, 99_949, 99_951, 999_499, 999_500, 1_234_567, 5e11];
  assertEquals(counts.map(shortCount), [
    "0",
    "999",
    "1.0k",
    "12.3k",
    "99.9k",
    "100k",
    "999k",
    "1.0M",
    "1.2M",
    "500G",
  ]);
  assertEquals([0, 0.001, 0.05, 3.14, 99.96, 1_250.4].map(rate), [
    "0",
    "<0.01",
    "0.05",
    "3.1",
    "100",
    "1,250",
  ]);
});

Deno.test("inert takes the power out of every text, and leaves plain ones alone", () => {
  assertEquals(inert("Ärger mit 漢字 👍"), "Ärger mit 漢字 👍");
  assertEquals(inert("a\x1b[31mb\r\n\tc\u202ed\x9b"), "a\\u001b[31mb\\u000d\\n\\tc\\u202ed\\u009b");
  assertEquals(inert("a\n\tb\x07", { lines: true }), "a\n\tb\\u0007");
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    // deno-lint-ignore no-control-regex -- nothing of this may be left
    assert(!/[\x00-\x1f\x7f-\x9f\u202a-\u202e]/.test(inert(text)));
    assertEquals(inert(inert(text)), inert(text));
  }));
});

Deno.test("shares fills a bar exactly, and leaves no part out that is there", () => {
  assertEquals(shares([50, 50], 10), [5, 5]);
  assertEquals(shares([1_000_000, 1, 0, 1], 10), [8, 1, 0, 1]);
  assertEquals(shares([0, 0], 10), [0, 0]);
  const parts = fc.array(fc.nat({ max: 1_000_000 }), { minLength: 1, maxLength: 6 });
  fc.assert(fc.property(parts, fc.integer({ min: 6, max: 80 }), (parts, width) => {
    const columns = shares(parts, width);
    const there = parts.some((n) => n > 0);
    assertEquals(columns.reduce((sum, n) => sum + n, 0), there ? width : 0);
    columns.forEach((n, i) => assertEquals(n > 0, parts[i]! > 0));
  }));
});

Deno.test("sparkline and cut", () => {
  assertEquals(sparkline([]), "");
  assertEquals(sparkline([0, 0]), "  ");
  assertEquals(sparkline([0, 1, 4, 8]), " ▂▅█");
  assertEquals([cut("abc", 3), cut("abcd", 3), cut("👍👍👍", 2), cut("ab", 0)], [
    "abc",
    "ab…",
    "👍…",
    "",
  ]);
});

Deno.test("shapeOf puts errors together that differ in numbers and names", () => {
  const shape = (message: string) => shapeOf({ errors: [{ message, at: 0 }] });
  assertEquals(shape("Error: timeout after 31 ms"), shape("Error: timeout after 7,500.5 ms"));
  assertEquals(shape('no user "ann"\nat line 3'), shape('no user "bob"'));
  assert(shape("timeout") !== shape("no user"));
  assertEquals(shapeOf({ errors: [], reason: "lease lapsed" }), "lease lapsed");
  assertEquals(shapeOf({ errors: [] }), "");
});

Deno.test("diedOf looks into the reason and all errors, whatever the case", () => {
  const letter = {
    reason: "given up",
    errors: [{ message: "Timeout", at: 0 }, { message: "b", at: 0 }],
  };
  const all = {
    id: "",
    raw: new Uint8Array(),
    attempts: 0,
    enqueuedAt: 0,
    bytes: 0,
    readyAt: 0,
    priority: 0,
  };
  const texts = ["GIVEN", "timeOUT", "b", "c", ".*"];
  assertEquals(texts.map((text) => diedOf(text)({ ...all, ...letter })), [
    true,
    true,
    true,
    false,
    false,
  ]);
});

interface Row {
  name: string;
  count: number;
}

Deno.test("table leaves columns out and cuts one until it fits the terminal", () => {
  const rows: Row[] = [{ name: "a queue with a very long name", count: 1_234_567 }];
  const columns = [
    { head: "name", of: ({ name }: Row) => name, elastic: true },
    { head: "count", of: ({ count }: Row) => count, right: true },
    { head: "first to go", of: () => "spare", spare: 1 },
    { head: "second to go", of: () => "spare", spare: 2 },
  ] as const;
  const at = (width?: number) => table(rows, columns, width).split("\n");
  const widest = (lines: string[]) => Math.max(...lines.map((line) => [...line].length));
  for (let width = 34; width < 100; width++) assert(widest(at(width)) <= width, `${width}`);
  assert(at(90)[1]!.includes("first to go"));
  assert(!at(60)[1]!.includes("first to go") && at(60)[1]!.includes("second to go"));
  assert(
    at(40)[3]!.includes("a queue with a very…") || at(40)[3]!.includes("…"),
    at(40).join("\n"),
  );
  assert(at(40)[3]!.includes("1,234,567"));
  assertEquals(at(), [
    "name                             count  first to go  second to go",
    "a queue with a very long name  1234567  spare        spare",
  ]);
});

Deno.test("table cuts a long name in a column that is not elastic, and leaves figures whole", () => {
  const rows = [{ queue: "q".repeat(90), id: "i".repeat(70), reason: "because ".repeat(20) }];
  const columns = [
    { head: "queue", of: ({ queue }: typeof rows[0]) => queue },
    { head: "id", of: ({ id }: typeof rows[0]) => id },
    { head: "count", of: () => 1_234_567, right: true },
    { head: "reason", of: ({ reason }: typeof rows[0]) => reason, elastic: true },
    { head: "first to go", of: () => "spare", spare: 1 },
  ] as const;
  for (let width = 46; width < 330; width++) {
    const lines = table(rows, columns, width).split("\n");
    assert(lines.every((line) => [...line].length <= width), `${width}\n${lines.join("\n")}`);
    assert(lines[3]!.includes("1,234,567"), lines[3]);
  }
  const wide = table(rows, columns, 130).split("\n")[3]!;
  assert(wide.includes("q".repeat(31)) && wide.includes("i".repeat(31)), wide);
  assert(table(rows, columns, 130).includes("first to go"), "a name is cut before a column goes");
});

Deno.test("readFlags reads times, counts and repeated flags", () => {
  const takes = {
    name: "redrive",
    flags: ["queue", "rate", "id", "max-oldest", "error", "limit"],
  } as const;
  const read = (...argv: string[]) => readFlags(["redrive", ...argv], takes);
  for (
    const [text, ms] of [
      ["500ms", 500],
      ["1.5s", 1_500],
      ["2m", 2 * MINUTE],
      ["2min", 2 * MINUTE],
      ["1h", HOUR],
      ["1d", DAY],
    ] as const
  ) {
    assertEquals(read("--max-oldest", text).maxOldestMs, ms);
  }
  for (const bad of ["", "5", "-1s", "1e3s", "5 s", "s", "1y", "∞", "400d"]) {
    assertThrows(() => read(`--max-oldest=${bad}`), AskedWrongly, "--max-oldest");
  }
  const asked = read(
    "--queue",
    "a",
    "--queue=b",
    "--id",
    "17",
    "--id=007",
    "--error=--json",
    "--rate",
    "0.5",
  );
  assertEquals([asked.queues, asked.ids, asked.error, asked.rate], [
    ["a", "b"],
    ["17", "007"],
    "--json",
    0.5,
  ]);
  assertEquals([asked.json, asked.help, asked.limit], [false, false, undefined]);
  assertEquals(readFlags(["redrive", "-h"], takes).help, true);
  assertThrows(() => read("-x"), AskedWrongly, "has no -x");
  assertThrows(() => read("--no-json"), AskedWrongly, "has no --no-json");
});

Deno.test("judge names the worst of all queues in one line", () => {
  const counted = {
    enqueued: 0,
    acked: 0,
    failed: 0,
    lapsed: 0,
    dead: 0,
    redriven: 0,
    cancelled: 0,
  };
  const queue = (name: string, oldestMs: number, dead = 0) => ({
    name,
    kind: "list" as const,
    lastUsedAt: 0,
    counts: { ready: 1, leased: 0, delayed: 0, dead },
    stats: { totals: counted, perSecond: counted, minutes: [] },
    consumers: [],
    oldestMs,
  });
  const all = {
    at: 0,
    unreadable: [],
    queues: [queue("a", 6_000), queue("b\x1b", 60_000), queue("c", 0, 3)],
  };
  assertEquals(judge(all as never, { maxOldestMs: 5_000, maxDead: 2 }), {
    healthy: false,
    reason:
      "b\\u001b: the oldest message is 1 min old and ready, the limit is 5 s (1 ready, 0 in hand, " +
      "no worker) (and 2 more queues)",
  });
  assertEquals(judge(all as never, { maxOldestMs: 60_000 }), {
    healthy: true,
    reason: "3 queues, the oldest message is 1 min old",
  });
});

Deno.test("main lists its commands, and each has a help whose examples it understands", async () => {
  const said = async (...argv: string[]) => {
    const { write } = process.stdout;
    let text = "";
    process.stdout.write = ((chunk: string) => (text += chunk, true)) as typeof write;
    try {
      return { code: await main(argv), text };
    } finally {
      process.stdout.write = write;
    }
  };
  const { code, text } = await said("--help");
  assertEquals(code, 0);
  assertEquals((await said("help")).text, text);
  const names = [...text.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!);
  const wanted = [
    "stats",
    "queues",
    "consumers",
    "pending",
    "recent",
    "delayed",
    "dead",
    "schedules",
    "task",
    "redrive",
    "purge",
    "cancel",
    "pause",
    "resume",
    "doctor",
    "dashboard",
  ];
  assertEquals(names, wanted);
  for (const name of names) {
    const help = await said(name, "--help");
    assertEquals(help.code, 0, name);
    assertEquals((await said("help", name)).text, help.text);
    const examples = [...help.text.matchAll(/^ {2}monitor ([a-z].*?) {3}/gm)].map(([, line]) =>
      line!
    );
    const typed = examples.filter((line) => !line.includes("[flags]"));
    assert(typed.length > 0, help.text);
    for (const line of typed) {
      // With --help a line is read to its end, and then nothing is done.
      assertEquals((await said(...line.split(" "), "--help")).code, 0, line);
    }
  }
});
