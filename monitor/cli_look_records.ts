/**
 * The commands that tell what became of messages: `recent`, and `task` for one.
 *
 * @module
 */
import { type Command, EXIT } from "./cli_context.ts";
import { inQueue, jsonOf, LIST, PAGE, payloadColumn, show } from "./cli_look.ts";
import { note, print, printJson } from "./cli_print.ts";
import { ago, duration, inert } from "./format.ts";
import { attemptOf, describe, STATE_STYLES, valueText } from "./message_text.ts";
import { type MessageRecord, QueueRecords } from "./records.ts";

/** The same of what has a record and perhaps a message. */
function jsonOfRecord({ queue, id, state, at, message, task }: MessageRecord): unknown {
  return { ...(message ? jsonOf({ queue, message, task }) : { queue, id, task }), state, at };
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
        { head: "when", of: ({ at }) => ago(now - at), right: true },
        inQueue,
        { head: "id", of: ({ id }) => id },
        { head: "state", of: ({ state }) => state, style: ({ state }) => STATE_STYLES[state] },
        { head: "attempt", of: attemptOf, right: true, spare: 2 },
        { head: "took", of: tookOf, right: true, spare: 1 },
        { head: "payload, task or error", of: whatOf, elastic: true },
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
