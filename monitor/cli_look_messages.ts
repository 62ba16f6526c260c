/**
 * The commands that list the messages of a state: `pending`, `delayed`, `dead`.
 *
 * @module
 */
import type { PeekState } from "@workshop/redis-patterns";
import { type Command, type Context, EXIT } from "./cli_context.ts";
import {
  chosen,
  idColumn,
  inQueue,
  jsonOf,
  LIST,
  PAGE,
  payloadColumn,
  type Row,
  show,
  textOf,
} from "./cli_look.ts";
import { ago, duration, instant } from "./format.ts";
import { shapeOf } from "./message_text.ts";
import { pagesOf } from "./paging.ts";
import { recordsOf } from "./records.ts";

/** The first messages of a state, of all chosen queues. */
async function first(context: Context, state: PeekState): Promise<Row[]> {
  const rows: Row[] = [];
  const limit = context.asked.limit ?? LIST;
  for (const registered of await chosen(context)) {
    const { name: queue, kind } = registered;
    const open = context.monitor.open(registered);
    for await (const messages of pagesOf(open, state, { page: PAGE, most: limit })) {
      const records = await recordsOf(context.monitor.tasks(registered), messages);
      rows.push(...messages.map((message) => {
        return { queue, kind, message, task: records.get(message.id) };
      }));
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
          of: ({ message }) => ago(now - message.deadAt!),
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
    const most = context.asked.limit ?? GROUPED;
    const pages = pagesOf(queue, "dead", { page: PAGE, most, payloads: false });
    for await (const messages of pages) {
      for (const message of messages) {
        const error = shapeOf(message);
        const key = `${registered.name}\n${error}`;
        const group = groups.get(key) ??
          { queue: registered.name, error, count: 0, example: message.id };
        group.count++;
        groups.set(key, group);
      }
    }
  }
  show(context, {
    rows: [...groups.values()].sort((a, b) => b.count - a.count),
    none: "Nothing is dead.",
    json: (group) => group,
    columns: [
      { head: "count", of: ({ count }) => count, right: true },
      inQueue,
      { head: "error", of: ({ error }) => error, elastic: true, style: () => "red" },
      { head: "such as", of: ({ example }) => example, spare: 1 },
    ],
  });
  return EXIT.ok;
}
