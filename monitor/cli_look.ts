/**
 * The commands that only look: `queues`, `stats`, `consumers`, `pending`, `recent`, `delayed`, `dead`,
 * `task`.
 *
 * @module
 */
import type { PeekState, RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import { type Command, type Context, EXIT } from "./cli_context.ts";
import { type Column, note, onTerminal, paint, print, printJson, table } from "./cli_print.ts";
import { duration, inert, instant, payloadText, rate, whenOf } from "./format.ts";
import { HANDS, holdersOf } from "./holders.ts";
import { hasLimits, judge } from "./probe.ts";
import {
  attemptOf,
  describe,
  kindName,
  shapeOf,
  STATE_STYLES,
  taskText,
  valueText,
} from "./message_text.ts";
import { type MessageRecord, QueueRecords, recordsOf } from "./records.ts";
import type { QueueSnapshot } from "./snapshot.ts";

/** How many messages a list shows when nobody says how many. */
const LIST = 20;

/** Most entries in one call of `peek`. */
const PAGE = 1_000;

/** The queues that are asked about. */
async function chosen({ asked, monitor }: Context): Promise<RegisteredQueue[]> {
  if (!asked.queues) return await monitor.list();
  return await Promise.all([...new Set(asked.queues)].map((name) => monitor.registered(name)));
}

/** Rows as a table or as JSON; `none` says that there are none. */
function show<R>(
  { asked }: Context,
  { rows, columns, json, none }: {
    rows: readonly R[];
    columns: readonly Column<R>[];
    json: (row: R) => unknown;
    none: string;
  },
): void {
  if (asked.json) return printJson(rows.map(json));
  if (rows.length === 0) return note(none);
  print(table(rows, columns));
}

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
    } messages in hand), so a consumer that was killed, or takes single messages and says nothing, is ` +
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
        { head: "queue", of: ({ queue }) => queue },
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
          of: ({ info }) => info ? `${duration(info.seenMs)} ago` : "silent",
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

/** A message and its queue; of a task, what is on record. */
interface Row {
  readonly queue: string;
  readonly kind: RegisteredQueue["kind"];
  readonly message: Waiting<unknown>;
  readonly task?: TaskRecord | undefined;
}

const inQueue: Column<Row> = { head: "queue", of: ({ queue }) => queue };
const idColumn: Column<Row> = { head: "id", of: ({ message }) => message.id };
const payloadColumn: Column<Row> = {
  head: "payload",
  of: (row) => [...textOf(row)].slice(0, 200).join(""),
  elastic: true,
};

/** A payload; of a task its name in front, and how far it is in its place. */
function textOf({ kind, message, task }: Row): string {
  return kind === "tasks" ? taskText(message, task) : payloadText(message);
}

/** A message for a script: what the library says of it, the payload decoded or else its text. */
function jsonOf({ queue, message: { raw, ...message }, task }: Omit<Row, "kind">): object {
  return { queue, ...message, ...(!("payload" in message) && { raw }), ...(task && { task }) };
}

/** The same of what has a record and perhaps a message. */
function jsonOfRecord({ queue, id, state, at, message, task }: MessageRecord): unknown {
  return { ...(message ? jsonOf({ queue, message, task }) : { queue, id, task }), state, at };
}

/** The first messages of a state, of all chosen queues. */
async function first(context: Context, state: PeekState): Promise<Row[]> {
  const rows: Row[] = [];
  const limit = context.asked.limit ?? LIST;
  for (const registered of await chosen(context)) {
    const queue = context.monitor.open(registered);
    let cursor: string | undefined;
    for (let left = limit; left > 0;) {
      const page = await queue.peek(state, {
        limit: Math.min(PAGE, left),
        ...(cursor && { cursor }),
      });
      const records = await recordsOf(context.monitor.tasks(registered), page.messages);
      rows.push(...page.messages.map((message) => {
        const { name: queue, kind } = registered;
        return { queue, kind, message, task: records.get(message.id) };
      }));
      left -= page.messages.length;
      cursor = page.cursor;
      if (!cursor) break;
    }
  }
  return rows;
}

export const pending: Command = {
  name: "pending",
  summary: "what was handed over and is not acknowledged yet",
  about:
    "Lists the messages in the hands of consumers. The name is that of the tutorial and of Redis " +
    "Streams (delivered, not acknowledged); this library calls them leased. What waits for a consumer is " +
    "ready: see stats. The age counts from when the message could be claimed.",
  flags: ["queue", "limit"],
  examples: [
    ["pending", `up to ${LIST} of each queue, the oldest in front`],
    ["pending --queue emails --limit 500", "more of one"],
  ],
  run: async (context) => {
    const rows = await first(context, "leased");
    const now = await context.monitor.now();
    rows.sort((a, b) => a.message.readyAt - b.message.readyAt);
    show(context, {
      rows,
      none: "Nothing is in hand.",
      json: jsonOf,
      columns: [
        inQueue,
        idColumn,
        { head: "attempt", of: ({ message }) => message.attempts + 1, right: true },
        {
          head: "age",
          of: ({ message }) => message.readyAt ? duration(now - message.readyAt) : "-",
          right: true,
        },
        {
          head: "lease",
          of: ({ message: { leaseExpiresAt = 0 } }) =>
            leaseExpiresAt > now ? `${duration(leaseExpiresAt - now)} left` : "over",
          right: true,
          style: ({ message: { leaseExpiresAt = 0 } }) => leaseExpiresAt > now ? undefined : "red",
        },
        { head: "consumer", of: ({ message }) => message.consumer, spare: 1 },
        payloadColumn,
      ],
    });
    return EXIT.ok;
  },
};

export const delayed: Command = {
  name: "delayed",
  summary: "what waits for its time",
  about:
    "Lists delayed messages, those that are due next in front: enqueued with a delay or for a time, " +
    "or waiting for their next attempt.",
  flags: ["queue", "limit"],
  examples: [
    ["delayed", `the next ${LIST} of each queue`],
    ["delayed --queue emails --limit 100 --json", "for a script"],
  ],
  run: async (context) => {
    const rows = await first(context, "delayed");
    const now = await context.monitor.now();
    rows.sort((a, b) => a.message.dueAt! - b.message.dueAt!);
    show(context, {
      rows,
      none: "Nothing is delayed.",
      json: jsonOf,
      columns: [
        inQueue,
        idColumn,
        {
          head: "due in",
          of: ({ message: { dueAt = 0 } }) => dueAt > now ? duration(dueAt - now) : "due",
          right: true,
        },
        { head: "at", of: ({ message }) => instant(message.dueAt!), spare: 1 },
        { head: "attempts", of: ({ message }) => message.attempts, right: true },
        payloadColumn,
      ],
    });
    return EXIT.ok;
  },
};

export const dead: Command = {
  name: "dead",
  summary: "what was given up, and why",
  about:
    "Lists dead letters, the oldest in front. They keep the errors of all attempts (monitor task ID) " +
    "until they are redriven or purged.",
  flags: ["queue", "limit", "by-error"],
  examples: [
    ["dead", `the oldest ${LIST} of each queue`],
    ["dead --by-error", "how many died of what"],
    ["dead --queue emails --limit 1000 --json", "for a script"],
  ],
  run: async (context) => {
    if (context.asked.byError) return await deadByError(context);
    const rows = await first(context, "dead");
    const now = await context.monitor.now();
    show(context, {
      rows,
      none: "Nothing is dead.",
      json: jsonOf,
      columns: [
        inQueue,
        idColumn,
        {
          head: "died",
          of: ({ message }) => `${duration(Math.max(0, now - message.deadAt!))} ago`,
          right: true,
        },
        { head: "attempts", of: ({ message }) => message.attempts, right: true, spare: 2 },
        { head: "reason", of: ({ message }) => message.reason, elastic: true, style: () => "red" },
        { ...payloadColumn, elastic: undefined, spare: 1, of: (row) => shortPayload(row) },
      ],
    });
    return EXIT.ok;
  },
};

function shortPayload(row: Row): string {
  return [...textOf(row)].slice(0, 40).join("");
}

/** Most dead letters of a queue that are grouped; the library keeps 10,000 unless told otherwise. */
const GROUPED = 100_000;

async function deadByError(context: Context): Promise<number> {
  const groups = new Map<
    string,
    { queue: string; error: string; count: number; example: string }
  >();
  for (const registered of await chosen(context)) {
    const queue = context.monitor.open(registered);
    let cursor: string | undefined;
    for (let left = context.asked.limit ?? GROUPED; left > 0;) {
      const page = await queue.peek("dead", {
        limit: Math.min(PAGE, left),
        payloads: false,
        ...(cursor && { cursor }),
      });
      for (const message of page.messages) {
        const error = shapeOf(message);
        const key = `${registered.name}\n${error}`;
        const group = groups.get(key) ??
          { queue: registered.name, error, count: 0, example: message.id };
        group.count++;
        groups.set(key, group);
      }
      left -= page.messages.length;
      cursor = page.cursor;
      if (!cursor) break;
    }
  }
  show(context, {
    rows: [...groups.values()].sort((a, b) => b.count - a.count),
    none: "Nothing is dead.",
    json: (group) => group,
    columns: [
      { head: "count", of: ({ count }) => count, right: true },
      { head: "queue", of: ({ queue }) => queue },
      { head: "error", of: ({ error }) => error, elastic: true, style: () => "red" },
      { head: "such as", of: ({ example }) => example, spare: 1 },
    ],
  });
  return EXIT.ok;
}

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
        { head: "queue", of: ({ queue }) => queue },
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
  return at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`;
}

export const recent: Command = {
  name: "recent",
  summary: "what happened last",
  about:
    "Lists the messages to which something happened last, the latest in front: completed and failed " +
    "(where the queue keeps a log: keepCompleted, keepFailed), dead, in hand, and ready. What was " +
    "acknowledged and is not kept is gone. Of tasks there are records, also of those that are done: what " +
    "they are called, and how far they are. What one has given is shown by monitor task ID.",
  flags: ["queue", "limit"],
  examples: [["recent", `the last ${LIST}`], ["recent --queue emails --limit 100", "of one queue"]],
  run: async (context) => {
    const { limit = LIST, queues } = context.asked;
    const records = new QueueRecords(context.monitor);
    const rows = await records.recent({ limit: Math.min(PAGE, limit), queues });
    const now = await context.monitor.now();
    show(context, {
      rows,
      none: "Nothing has happened yet, or nothing is kept of it.",
      json: jsonOfRecord,
      columns: [
        { head: "when", of: ({ at }) => `${duration(Math.max(0, now - at))} ago`, right: true },
        { head: "queue", of: ({ queue }) => queue },
        { head: "id", of: ({ id }) => id },
        { head: "state", of: ({ state }) => state, style: ({ state }) => STATE_STYLES[state] },
        { head: "attempt", of: attemptOf, right: true, spare: 2 },
        {
          head: "took",
          of: tookOf,
          right: true,
          spare: 1,
        },
        {
          head: "payload, task or error",
          of: whatOf,
          elastic: true,
        },
      ],
    });
    return EXIT.ok;
  },
};

function tookOf({ state, message, task }: MessageRecord): string {
  const { receivedAt = task?.startedAt, finishedAt = task?.changedAt } = message ?? {};
  const isOver = task ? state === "done" : true;
  return isOver && receivedAt && finishedAt ? duration(finishedAt - receivedAt) : "";
}

function whatOf({ queue, kind, state, message, task }: MessageRecord): string | undefined {
  const { reason = task?.reason, errors = task?.error ? [task.error] : [] } = message ?? {};
  const ended = state === "dead" || state === "failed";
  const error = ended ? reason ?? errors.at(-1)?.message : task?.error?.message;
  if (task) {
    const progress = "progress" in task ? `at ${valueText(task.progress)}` : undefined;
    return [task.type, error ?? progress].filter(Boolean).join("  ");
  }
  if (ended) return error;
  return message && String(payloadColumn.of({ queue, kind, message }));
}

export const task: Command = {
  name: "task",
  summary: "one message: where it is, its attempts, errors and payload",
  about:
    "Looks for a message by its id, in all queues unless --queue says where. Of a task there is a record, " +
    "with what it gave, found at once, and so is a dead letter; else a queue is gone through in short steps, about a second for a million messages. Logs are " +
    "looked at as well. Exit code 1 if there is none.",
  flags: ["queue"],
  argument: "an id",
  examples: [
    ["task invoice-17", "wherever it is"],
    ["task 0mb3k1c-7 --queue emails --json", "in one queue, for a script"],
  ],
  run: async (context) => {
    const { asked, monitor } = context;
    const id = asked.argument!;
    const found = await new QueueRecords(monitor).find(id, { queues: asked.queues });
    if (asked.json) {
      printJson(found.map(jsonOfRecord));
    } else {
      const now = await monitor.now();
      if (found.length > 0) print(found.map((record) => describe(record, now)).join("\n\n"));
      else {
        const where = asked.queues ? asked.queues.join(", ") : "any queue";
        note(inert(`There is no message ${JSON.stringify(id)} in ${where}, or not any more.`));
      }
    }
    return found.length > 0 ? EXIT.ok : EXIT.unwell;
  },
};
