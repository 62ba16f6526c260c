/** When schedules fire, without Redis: patterns, zones, downtimes, and the definition as it is kept. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type CatchUp,
  checkScheduleName,
  cronDefinition,
  intervalDefinition,
  MAX_TICKS,
  neverFires,
  planOf,
  readDefinition,
  taskBody,
  timingOf,
  upcoming,
  writeDefinition,
} from "../queue/tasks/schedule.ts";

const at = (text: string) => Date.parse(text);

/** The first ticks after an instant, as texts. */
function ticks(cron: string, from: string, n: number, timeZone = "Europe/Vienna"): string[] {
  return upcoming({ cron, timeZone }, at(from), n).map((ms) => new Date(ms).toISOString());
}

Deno.test("a cron pattern fires by the clocks of its zone", () => {
  assertEquals(ticks("0 3 * * *", "2026-01-10T12:00:00Z", 2), [
    "2026-01-11T02:00:00.000Z",
    "2026-01-12T02:00:00.000Z",
  ]);
  assertEquals(ticks("0 3 * * *", "2026-01-10T12:00:00Z", 1, "America/New_York"), [
    "2026-01-11T08:00:00.000Z",
  ]);
  assertEquals(cronDefinition("0 3 * * *", "t", {}), {
    type: "t",
    cron: "0 3 * * *",
    timeZone: "UTC",
    catchUp: "last",
    missedAfterMs: 5_000,
    overlap: "allow",
  });
});

Deno.test("a pattern with six parts has seconds in front, and each tick is later than the one before", () => {
  assertEquals(ticks("* * * * * *", "2026-01-10T12:00:00.000Z", 2), [
    "2026-01-10T12:00:01.000Z",
    "2026-01-10T12:00:02.000Z",
  ]);
  assertEquals(ticks("*/20 * * * * *", "2026-01-10T12:00:00.001Z", 1), [
    "2026-01-10T12:00:20.000Z",
  ]);
  assertEquals(ticks("* * * * * *", "2026-01-10T12:00:00.999Z", 1), ["2026-01-10T12:00:01.000Z"]);
});

Deno.test("a time that the spring day 2026-03-29 does not have fires at the end of the gap, once", () => {
  assertEquals(ticks("30 2 * * *", "2026-03-28T12:00:00Z", 2), [
    "2026-03-29T01:00:00.000Z", // 03:00, the first minute after the gap
    "2026-03-30T00:30:00.000Z",
  ]);
  // Also one of several times: croner's default would leave it out.
  assertEquals(ticks("30 2,14 * * *", "2026-03-28T14:00:00Z", 2), [
    "2026-03-29T01:00:00.000Z",
    "2026-03-29T12:30:00.000Z",
  ]);
  assertEquals(ticks("*/30 * * * *", "2026-03-29T00:00:00Z", 3), [
    "2026-03-29T00:30:00.000Z",
    "2026-03-29T01:00:00.000Z",
    "2026-03-29T01:30:00.000Z",
  ]);
});

Deno.test("a time that the autumn day 2026-10-25 has twice fires once, and a wildcard both times", () => {
  assertEquals(ticks("30 2 * * *", "2026-10-24T12:00:00Z", 2), [
    "2026-10-25T00:30:00.000Z",
    "2026-10-26T01:30:00.000Z",
  ]);
  assertEquals(ticks("30 2,3 * * *", "2026-10-24T12:00:00Z", 3), [
    "2026-10-25T00:30:00.000Z",
    "2026-10-25T02:30:00.000Z",
    "2026-10-26T01:30:00.000Z",
  ]);
  assertEquals(ticks("*/30 * * * *", "2026-10-24T23:59:00Z", 5), [
    "2026-10-25T00:00:00.000Z", // 02:00 in summer
    "2026-10-25T00:30:00.000Z",
    "2026-10-25T01:00:00.000Z", // 02:00 in winter
    "2026-10-25T01:30:00.000Z",
    "2026-10-25T02:00:00.000Z",
  ]);
});

Deno.test("leap days, last days of months and weekdays", () => {
  assertEquals(ticks("0 0 29 2 *", "2026-01-01T00:00:00Z", 2, "UTC"), [
    "2028-02-29T00:00:00.000Z",
    "2032-02-29T00:00:00.000Z",
  ]);
  assertEquals(ticks("0 0 L 2 *", "2026-01-01T00:00:00Z", 3, "UTC"), [
    "2026-02-28T00:00:00.000Z",
    "2027-02-28T00:00:00.000Z",
    "2028-02-29T00:00:00.000Z",
  ]);
  assertEquals(ticks("0 9 * * MON#1", "2026-11-01T00:00:00Z", 1, "UTC"), [
    "2026-11-02T09:00:00.000Z",
  ]);
});

Deno.test("an interval fires at the multiples of its length since 1970", () => {
  assertEquals(upcoming({ everyMs: 5_000 }, 12_000, 3), [15_000, 20_000, 25_000]);
  assertEquals(upcoming({ everyMs: 5_000 }, 15_000, 1), [20_000]);
});

/** What a program sees whose host has another zone, and a clock that is an hour wrong. */
async function elsewhere(zone: string, code: string): Promise<unknown> {
  const module = new URL("../queue/tasks/schedule.ts", import.meta.url).href;
  const program = `const RealDate = Date;
    globalThis.Date = class extends RealDate {
      constructor(...args) { super(...(args.length > 0 ? args : [RealDate.now() + 3_600_000])); }
      static now() { return RealDate.now() + 3_600_000; }
    };
    const { upcoming } = await import(${JSON.stringify(module)});
    console.log(JSON.stringify({ zone: new Date(0).getTimezoneOffset(), ticks: ${code} }));`;
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    cwd: new URL("..", import.meta.url).pathname,
    env: { TZ: zone, NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test("neither the zone of the host nor its clock plays a part", async () => {
  const from = [at("2026-03-28T12:00:00Z"), at("2026-10-24T12:00:00Z")];
  const when = ["30 2 * * *", "*/30 * * * *"].map((cron) => ({ cron, timeZone: "Europe/Vienna" }));
  const own = when.map((one) => from.map((ms) => upcoming(one, ms, 60)));
  const code = `${JSON.stringify(when)}.map((one) =>
    ${JSON.stringify(from)}.map((ms) => upcoming(one, ms, 60)))`;
  const seen = await Promise.all([
    elsewhere("America/New_York", code),
    elsewhere("Australia/Lord_Howe", code),
  ]);
  assertEquals(seen, [{ zone: 300, ticks: own }, { zone: -600, ticks: own }]);
});

Deno.test("what is no pattern, no zone, or never fires is refused by its value", () => {
  for (
    const pattern of ["hello", "61 * * * *", "0 3 * *", "@every 5s", "5-1 * * * *", "0/5 * * * *"]
  ) {
    const error = assertThrows(() => cronDefinition(pattern, "t", {}), TypeError);
    assert(error.message.includes(JSON.stringify(pattern)), error.message);
  }
  const thrown = (run: () => unknown) => assertThrows(run, TypeError).message;
  assertEquals(thrown(() => cronDefinition("", "t", {})), 'A cron pattern must not be empty: ""');
  assertEquals(
    thrown(() => cronDefinition("61 * * * *", "t", {})),
    "A cron pattern has minute, hour, day, month and weekday, with seconds in front of them if you " +
      'like ("0 3 * * *", "*/10 * * * * *"), but this is "61 * * * *": Invalid value for minute: 61',
  );
  assert(thrown(() => cronDefinition("2026-12-24T10:00:00", "t", {})).includes("runAt"));
  for (const timeZone of ["Mars/Olympus", "", "MEZ+", 5 as unknown as string]) {
    const message = thrown(() => cronDefinition("0 3 * * *", "t", { timeZone }));
    assert(message.startsWith("timeZone must be"), message);
    assert(message.includes(timeZone === 5 as unknown ? "5" : JSON.stringify(timeZone)), message);
  }
  const start = at("2026-01-01T00:00:00Z");
  for (const pattern of ["0 0 31 2 *", "0 0 0 1 1 * 2020"]) {
    const definition = cronDefinition(pattern, "t", {});
    assertEquals(upcoming(definition, start, 1), []);
    assertEquals(
      neverFires(definition, start).message,
      `The cron pattern "${pattern}" never fires after 2026-01-01T00:00:00.000Z`,
    );
  }
});

Deno.test("bad options, intervals, names and payloads are refused by their values", () => {
  // deno-lint-ignore no-explicit-any -- what the compiler would refuse
  const any = (value: unknown) => value as any;
  const cases: [() => unknown, typeof Error, string][] = [
    [() => cronDefinition("* * * * *", "t", any({ timezone: "UTC" })), TypeError, '"timezone"'],
    [() => cronDefinition("* * * * *", "t", { catchUp: any("some") }), TypeError, '"some"'],
    [() => cronDefinition("* * * * *", "t", { overlap: any(1) }), TypeError, "the number 1"],
    [() => cronDefinition("* * * * *", "t", { missedAfterMs: 1_999 }), RangeError, "1999"],
    [() => cronDefinition("* * * * *", "a\nb", {}), TypeError, '"a\\nb"'],
    [() => cronDefinition(any(5), "t", {}), TypeError, "the number 5"],
    [() => intervalDefinition(99, "t", {}), RangeError, "99"],
    [() => intervalDefinition(100.5, "t", {}), RangeError, "100.5"],
    [() => intervalDefinition(any("5"), "t", {}), RangeError, 'the string "5"'],
    [() => intervalDefinition(500, "t", any({ timeZone: "UTC" })), TypeError, '"timeZone"'],
    [() => checkScheduleName(""), TypeError, '""'],
    [() => checkScheduleName("x".repeat(185)), TypeError, "185"],
    [() => taskBody("t", "x".repeat(70_000)), RangeError, "65536"],
    [() => taskBody("t", { f: () => {} }), TypeError, "payload.f"],
  ];
  for (const [run, type, part] of cases) {
    const { message } = assertThrows(run, type);
    assert(message.includes(part), message);
  }
  assertEquals(checkScheduleName("x".repeat(184)).length, 184);
  assertEquals(taskBody("ping", null), "ping\nnull");
});

Deno.test("a definition is the same text for the same schedule, another for any other, and comes back", () => {
  const definition = cronDefinition("0 3 * * *", "send", { timeZone: "Europe/Vienna" });
  const text = writeDefinition("nightly", definition, taskBody("send", { to: "ann" }));
  assertEquals(writeDefinition("nightly", { ...definition }, 'send\n{"to":"ann"}'), text);
  const [head, ...body] = text.split("\n");
  assertEquals(body.join("\n"), 'send\n{"to":"ann"}');
  const read = readDefinition(head!);
  assertEquals(read.definition, definition);
  assertEquals(read.timing.next(at("2026-01-10T12:00:00Z")), at("2026-01-11T02:00:00Z"));
  const head2 = (name: string, to: string, zone = "Europe/Vienna") =>
    writeDefinition(name, { ...definition, timeZone: zone }, taskBody("send", { to }))
      .split("\n")[0];
  assertEquals(head2("nightly", "ann"), head);
  for (
    const other of [head2("weekly", "ann"), head2("nightly", "bob"), head2("nightly", "ann", "UTC")]
  ) {
    assertNotEquals(other, head);
  }
  const interval = intervalDefinition(5_000, "ping", { overlap: "skip", catchUp: "all" });
  assertEquals(
    readDefinition(writeDefinition("p", interval, "ping\nnull").split("\n")[0]!).definition,
    interval,
  );
});

Deno.test("a definition that is none of ours, or of a version to come, is refused and not guessed at", () => {
  const good = writeDefinition("n", intervalDefinition(500, "t", {}), "t\nnull").split("\n")[0]!;
  for (
    const bad of [
      "",
      "null",
      "[]",
      "hello",
      good.slice(0, -2),
      good.replace('"last"', '"best"'),
      good.replace("500", "5"),
      good.replace(/,"uid":"[a-z0-9]+"/, ""),
      good.replace(/"uid":"[a-z0-9]+"/, '"uid":"a b"'),
      '{"type":"t","cron":"* * * * *","timeZone":"Mars/Olympus","uid":"a1"}',
    ]
  ) {
    assertThrows(() => readDefinition(bad));
  }
});

const EVERY_SECOND = timingOf({ everyMs: 1_000 });
const plan = (catchUp: CatchUp, due: number, now: number, missedAfterMs = 5_000) =>
  planOf(EVERY_SECOND, { due, now, catchUp, missedAfterMs });

Deno.test("ticks that are late and not missed fire one by one, whatever catchUp says", () => {
  for (const catchUp of ["none", "last", "all"] as const) {
    assertEquals(plan(catchUp, 1_000, 1_003), { ticks: [1_000], next: 2_000, late: false });
    assertEquals(plan(catchUp, 1_000, 3_500), {
      ticks: [1_000, 2_000, 3_000],
      next: 4_000,
      late: false,
    });
  }
});

Deno.test("after a downtime none, the newest, or all of what was missed is fired", () => {
  const hour = 3_600_000;
  const hourly = timingOf({ everyMs: hour });
  const after = (catchUp: CatchUp, now: number) =>
    planOf(hourly, { due: hour, now, catchUp, missedAfterMs: 5_000 });
  const half = 10.5 * hour;
  assertEquals(after("none", half), { ticks: [], next: 11 * hour, late: true });
  assertEquals(after("last", half), { ticks: [10 * hour], next: 11 * hour, late: true });
  assertEquals(after("all", half).ticks, Array.from({ length: 10 }, (_, i) => (i + 1) * hour));
  // Back just after a tick: that one is not missed.
  assertEquals(after("none", 10 * hour + 2_000).ticks, [10 * hour]);
  assertEquals(after("last", 10 * hour + 2_000).ticks, [10 * hour]);
});

Deno.test("catching up with all goes on in the next round, and loses no tick between them", () => {
  const first = plan("all", 1_000, 1_000_000);
  assertEquals(first.ticks.length, MAX_TICKS);
  assertEquals(first.next, (MAX_TICKS + 1) * 1_000);
  let due: number | undefined = 1_000;
  const fired: number[] = [];
  while (due !== undefined && due <= 1_000_000) {
    const { ticks, next } = plan("all", due, 1_000_000);
    fired.push(...ticks);
    due = next;
  }
  assertEquals(fired, Array.from({ length: 1_000 }, (_, i) => (i + 1) * 1_000));
});

Deno.test("the newest of a year of missed seconds is found in no time", () => {
  const timing = timingOf({ cron: "* * * * * *", timeZone: "Europe/Vienna" });
  const [due, now] = [at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00.700Z")];
  let asked = 0;
  const counted = { next: (after: number) => (asked++, timing.next(after)) };
  const found = planOf(counted, { due, now, catchUp: "last", missedAfterMs: 5_000 });
  assertEquals(found.ticks, [at("2027-01-01T00:00:00Z")]);
  assert(asked < 100, `asked ${asked} times`);
});

Deno.test("a pattern whose years are over fires its last tick, and has no next", () => {
  const timing = timingOf({ cron: "0 0 0 1 1 * 2026", timeZone: "UTC" });
  const due = at("2026-01-01T00:00:00Z");
  for (const catchUp of ["last", "all"] as const) {
    const found = planOf(timing, { due, now: due + 60_000, catchUp, missedAfterMs: 5_000 });
    assertEquals(found, { ticks: [due], next: undefined, late: true });
  }
  const none = planOf(timing, { due, now: due + 60_000, catchUp: "none", missedAfterMs: 5_000 });
  assertEquals(none, { ticks: [], next: undefined, late: true });
});

Deno.test("for any pattern, zone and downtime a plan fires ticks of the schedule, in order, up to now", () => {
  const pattern = fc.constantFrom(
    "0 3 * * *",
    "30 2 * * *",
    "*/7 * * * *",
    "15 30 2,3 * * *",
    "*/15 1-4 * * *",
    "0 0 29 2 *",
    "0 12 * * MON-FRI",
    "5 4 L * *",
  );
  const timeZone = fc.constantFrom(
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",
  );
  // Around a change of the clocks in each of them.
  const from = fc.integer({ min: at("2026-03-01T00:00:00Z"), max: at("2026-12-01T00:00:00Z") });
  const down = fc.integer({ min: 0, max: 40 * 3_600_000 });
  const catchUp = fc.constantFrom<CatchUp>("none", "last", "all");
  fc.assert(
    fc.property(pattern, timeZone, from, down, catchUp, (cron, timeZone, from, down, catchUp) => {
      const timing = timingOf({ cron, timeZone });
      const due = timing.next(from)!;
      assert(due > from);
      assertEquals(timing.next(due - 1), due);
      const now = due + down;
      const all: number[] = [];
      for (let t: number | undefined = due; t! <= now; t = timing.next(t!)) all.push(t!);
      for (const [i, tick] of all.entries()) if (i > 0) assert(tick > all[i - 1]!);
      const { ticks, next, late } = planOf(timing, { due, now, catchUp, missedAfterMs: 5_000 });
      const inTime = all.filter((tick) => tick >= now - 5_000);
      assertEquals(late, due < now - 5_000);
      const expected = !late || catchUp === "all"
        ? all.slice(0, MAX_TICKS)
        : catchUp === "last"
        ? all.slice(-1)
        : inTime;
      assertEquals(ticks, expected);
      assertEquals(
        next,
        all[expected === inTime || catchUp === "last" ? Infinity : ticks.length] ??
          timing.next(now),
      );
    }),
    { numRuns: 300 },
  );
});
