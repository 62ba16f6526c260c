/**
 * The commands that look at queues as a whole: `queues`, `stats`, `consumers`, `schedules`.
 *
 * @module
 */
import type { RegisteredQueue } from "@workshop/redis-patterns";
import { type Command, EXIT } from "./cli_context.ts";
import { chosen, inQueue, show } from "./cli_look.ts";
import { type Column, note, onTerminal, paint, print, printJson, table } from "./cli_print.ts";
import { ago, duration, inert, instant, rate, whenOf } from "./format.ts";
import { HANDS, holdersOf } from "./holders.ts";
import { hasLimits, judge } from "./probe.ts";
import { kindName } from "./message_text.ts";
import type { QueueSnapshot } from "./snapshot.ts";

const NO_QUEUES = "No queue has been used on this Redis yet.";

const queueColumn = <R extends { name: string }>(): Column<R> => ({
  head: "queue",
  of: ({ name }) => name,
  elastic: true,
});

export const queues: Command = {
  name: "queues",
  summary: "which queues there are",
  about:
    "Lists the queues in the registry. A queue enters itself when something is enqueued, and " +
    "while a worker runs.",
  flags: [],
  examples: [["queues", "all of them"], ["queues --json", "for a script"]],
  run: async (context) => {
    const { queues, unreadable } = await context.monitor.look({ hands: 0 });
    type Row = RegisteredQueue & { counts?: QueueSnapshot["counts"]; trouble?: string };
    const rows: Row[] = [...queues, ...unreadable];
    show(context, {
      rows,
      none: NO_QUEUES,
      json: ({ name, kind, lastUsedAt, counts, trouble }) => ({
        name,
        kind,
        lastUsedAt,
        ...(trouble ? { trouble } : { paused: counts?.paused === true }),
      }),
      columns: [
        queueColumn(),
        { head: "kind", of: ({ kind }) => kindName(kind) },
        { head: "last used", of: ({ lastUsedAt }) => instant(lastUsedAt), spare: 1 },
        {
          head: "state",
          of: ({ counts, trouble }) => trouble ?? (counts?.paused ? "paused" : "open"),
          style: ({ counts, trouble }) => trouble ? "red" : counts?.paused ? "yellow" : "green",
        },
      ],
    });
    return EXIT.ok;
  },
};

export const stats: Command = {
  name: "stats",
  summary: "how many messages are where, how fast, how old; a probe",
  about:
    `One line a queue: how many messages are ready, in hand (leased), delayed and dead; how old ` +
    `the oldest is that is ready or in hand, since it could be claimed; how many a second came and were ` +
    `acknowledged; how long they waited and ran (95 of 100 took no longer); how many consumers are there.

In a PriorityQueue the oldest of each priority counts, so one that starves behind more urgent ones is seen.

With a limit it is a probe: one line that says why, and the exit code is 0 if all is well, 1 if a limit is ` +
    `exceeded, 2 if Redis is down, 3 if it was asked wrongly.`,
  flags: ["queue", "window", "max-oldest", "max-ready", "max-dead", "min-workers"],
  examples: [
    ["stats", "all queues, over the last five minutes"],
    ["stats --queue emails --window 1m", "one queue, over the last minute"],
    ["stats --max-oldest 30s", "a probe: is anything stuck?"],
    ["stats --queue emails --max-dead 0 --min-workers 2", "a probe with two limits"],
    ["stats --json", "all that there is, for a script"],
  ],
  run: async (context) => {
    const { asked, monitor } = context;
    const { maxOldestMs, maxReady, maxDead, minWorkers } = asked;
    const limits = { maxOldestMs, maxReady, maxDead, minWorkers };
    const probing = hasLimits(limits);
    const { at, queues, unreadable } = await monitor.look({
      queues: asked.queues,
      windowMs: asked.windowMs,
      hands: probing ? HANDS : undefined,
    });
    if (probing) {
      const { healthy, reason } = judge({ at, queues, unreadable }, limits);
      const code = healthy ? EXIT.ok : EXIT.unwell;
      if (asked.json) printJson({ healthy, code, reason, at });
      else {print(
          healthy
            ? `${paint("green", "healthy")}: ${reason}`
            : `${paint("red", "stuck")}: ${reason}`,
        );}
      return code;
    }
    if (asked.json) printJson({ at, queues, unreadable });
    else {
      if (queues.length > 0) print(table(queues, STATS_COLUMNS));
      else if (unreadable.length === 0) note(NO_QUEUES);
      remark(queues);
      for (const { name, trouble } of unreadable) note(inert(`${name}: ${trouble}`));
    }
    return unreadable.length > 0 ? EXIT.unwell : EXIT.ok;
  },
};

const STATS_COLUMNS: readonly Column<QueueSnapshot>[] = [
  queueColumn(),
  { head: "kind", of: ({ kind }) => kind, spare: 1 },
  { head: "ready", of: ({ counts }) => counts.ready, right: true },
  { head: "leased", of: ({ counts }) => counts.leased, right: true },
  { head: "delayed", of: ({ counts }) => counts.delayed, right: true, spare: 6 },
  {
    head: "dead",
    of: ({ counts }) => counts.dead,
    right: true,
    style: ({ counts }) => counts.dead > 0 ? "red" : undefined,
  },
  {
    head: "oldest",
    of: ({ oldestMs }) => oldestMs === undefined ? "-" : duration(oldestMs),
    right: true,
    style: ({ oldestMs = 0 }) => oldestMs > 60_000 ? "yellow" : undefined,
  },
  { head: "in/s", of: ({ stats }) => rate(stats.perSecond.enqueued), right: true, spare: 4 },
  { head: "done/s", of: ({ stats }) => rate(stats.perSecond.acked), right: true, spare: 5 },
  {
    head: "wait p95",
    of: ({ stats }) => stats.waitMs ? duration(stats.waitMs.p95) : "-",
    right: true,
    spare: 2,
  },
  {
    head: "run p95",
    of: ({ stats }) => stats.runMs ? duration(stats.runMs.p95) : "-",
    right: true,
    spare: 3,
  },
  {
    head: "workers",
    of: ({ consumers }) => consumers.length,
    right: true,
    style: ({ consumers, counts }) =>
      consumers.length === 0 && counts.ready > 0 ? "red" : undefined,
  },
];

/** What a reader of the table should not overlook. */
function remark(queues: readonly QueueSnapshot[]): void {
  if (!onTerminal()) return;
  for (const { name, counts, consumers } of queues) {
    const shown = inert(name);
    if (counts.paused) note(paint("yellow", `${shown} is paused: monitor resume --queue ${shown}`));
    else if (counts.ready > 0 && consumers.length === 0) {
      note(paint("yellow", `${shown}: messages are ready, and no worker is there`));
    }
  }
}

export const consumers: Command = {
  name: "consumers",
  summary: "who works on what, who is idle, who has fallen silent",
  about:
    "One line a consumer: workers and consume loops say every ten seconds that they are there, idle " +
    `ones too, and are believed for thirty. What they hold is read from the queue itself (the first ${
      HANDS.toLocaleString("en")
    } messages in hand), so a consumer that was killed, or takes single messages and does not announce() itself, is ` +
    "listed as silent for as long as it holds something.",
  flags: ["queue"],
  examples: [
    ["consumers", "of all queues"],
    ["consumers --queue emails", "of one"],
    ["consumers --json", "for a script"],
  ],
  run: async (context) => {
    const { monitor } = context;
    const now = await monitor.now();
    const queues = await chosen(context);
    const holders = (await Promise.all(queues.map((queue) => holdersOf(monitor, queue, now))))
      .flat();
    show(context, {
      rows: holders,
      none: "No consumer is there.",
      json: ({ info, ...holder }) => ({ silent: info === undefined, ...info, ...holder }),
      columns: [
        inQueue,
        { head: "consumer", of: ({ consumer }) => consumer, elastic: true },
        { head: "host", of: ({ info }) => info?.host ?? "", spare: 1 },
        { head: "pid", of: ({ info }) => info ? String(info.pid) : "", right: true, spare: 4 },
        { head: "mode", of: ({ info }) => info?.mode ?? "", spare: 3 },
        {
          head: "up",
          of: ({ info }) => info ? duration(Math.max(0, Date.now() - info.startedAt)) : "",
          right: true,
          spare: 2,
        },
        {
          head: "seen",
          of: ({ info }) => info ? ago(info.seenMs) : "silent",
          right: true,
          style: ({ info }) => info ? undefined : "red",
        },
        {
          head: "takes",
          of: ({ info }) => info?.paused ? "paused" : info ? "yes" : "",
          spare: 5,
          style: ({ info }) => info?.paused ? "yellow" : undefined,
        },
        { head: "holds", of: ({ holds }) => holds, right: true },
        {
          head: "oldest",
          of: ({ oldestId, oldestMs = 0 }) =>
            oldestId === undefined ? "-" : `${duration(oldestMs)} (${oldestId})`,
        },
      ],
    });
    return EXIT.ok;
  },
};

export const schedules: Command = {
  name: "schedules",
  summary: "what is added by the clock, and when next",
  about:
    "Lists the schedules of all queues of tasks, what fires next in front: the pattern and its time zone, " +
    "or the interval; the next ticks, the last, how often it fired. A next tick that is over says that no " +
    "scheduler runs.",
  flags: ["queue"],
  examples: [["schedules", "of all queues"], ["schedules --queue tasks --json", "of one"]],
  run: async (context) => {
    const { asked: { queues }, monitor } = context;
    const now = await monitor.now();
    show(context, {
      rows: await monitor.schedules({ ...(queues && { queues }), upcoming: 2 }),
      none: "There is no schedule.",
      json: (schedule) => schedule,
      columns: [
        inQueue,
        { head: "schedule", of: ({ name }) => name, elastic: true },
        { head: "task", of: ({ type }) => type ?? "", spare: 3 },
        { head: "when", of: whenOf },
        {
          head: "next",
          of: ({ nextAt }) => nextAt === undefined ? "never" : fromNow(nextAt, now),
          right: true,
          style: ({ nextAt = now }) => nextAt < now - LATE_MS ? "red" : undefined,
        },
        {
          head: "then",
          of: ({ upcoming = [] }) => upcoming.map((at) => fromNow(at, now)).join(", "),
          spare: 1,
        },
        {
          head: "last",
          of: ({ lastAt }) => lastAt === undefined ? "-" : fromNow(lastAt, now),
          right: true,
          spare: 4,
        },
        { head: "fired", of: ({ firings }) => firings, right: true, spare: 5 },
        { head: "skipped", of: ({ skipped }) => skipped, right: true, spare: 2 },
      ],
    });
    return EXIT.ok;
  },
};

/** From when on a tick that nobody fired is late, in milliseconds. */
const LATE_MS = 5_000;

function fromNow(at: number, now: number): string {
  return at > now ? `in ${duration(at - now)}` : ago(now - at);
}
