/**
 * What the commands that only look have in common: which queues are asked about, rows as a table or as JSON,
 * and a message as a row.
 *
 * @module
 */
import type { RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import type { Context } from "./cli_context.ts";
import { type Column, note, print, printJson, table } from "./cli_print.ts";
import { payloadText } from "./format.ts";
import { taskText } from "./message_text.ts";

/** How many messages a list shows when nobody says how many. */
export const LIST = 20;

/** Most entries in one call of `peek`. */
export const PAGE = 1_000;

/** The queues that are asked about. */
export async function chosen({ asked, monitor }: Context): Promise<RegisteredQueue[]> {
  if (!asked.queues) return await monitor.list();
  return await Promise.all([...new Set(asked.queues)].map((name) => monitor.registered(name)));
}

/** Rows as a table or as JSON; `none` says that there are none. */
export function show<R>(
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

/** A message and its queue; of a task, what is on record. */
export interface Row {
  readonly queue: string;
  readonly kind: RegisteredQueue["kind"];
  readonly message: Waiting<unknown>;
  readonly task?: TaskRecord | undefined;
}

/** The queue of a message, a consumer, a schedule. */
export const inQueue: Column<{ readonly queue: string }> = {
  head: "queue",
  of: ({ queue }) => queue,
};

/** Its id. */
export const idColumn: Column<Row> = { head: "id", of: ({ message }) => message.id };

/** Its payload, as far as there is room. */
export const payloadColumn: Column<Row> = {
  head: "payload",
  of: (row) => [...textOf(row)].slice(0, 200).join(""),
  elastic: true,
};

/** A payload; of a task its name in front, and how far it is in its place. */
export function textOf({ kind, message, task }: Row): string {
  return kind === "tasks" ? taskText(message, task) : payloadText(message);
}

/** A message for a script: what the library says of it, the payload decoded or else its text. */
export function jsonOf({ queue, message: { raw, ...message }, task }: Omit<Row, "kind">): object {
  return { queue, ...message, ...(!("payload" in message) && { raw }), ...(task && { task }) };
}
