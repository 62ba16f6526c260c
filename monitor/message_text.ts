/**
 * A message as people read it: all that is known of one, and what many have in common.
 *
 * @module
 */
import { queueKeys, type Waiting } from "@workshop/redis-patterns";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import { paint, type Style } from "./cli_print.ts";
import { duration, inert, instant, payloadText } from "./format.ts";
import type { MessageRecord, RecordState } from "./records.ts";

const KIND_NAMES = new Map<string, string>([
  ["list", "ReliableQueue"],
  ["priority", "PriorityQueue"],
  ["stream", "StreamQueue"],
  ["tasks", "TaskQueue"],
]);

/** The class of a kind in the registry; the kind itself where we know none. */
export function kindName(kind: string): string {
  return KIND_NAMES.get(kind) ?? kind;
}

/** Each state has one colour, everywhere. */
export const STATE_STYLES: Readonly<Record<RecordState, Style>> = {
  ready: "cyan",
  leased: "yellow",
  delayed: "dim",
  dead: "red",
  completed: "green",
  failed: "red",
  running: "yellow",
  done: "green",
  cancelled: "dim",
};

/** The number of the attempt that is under way or was the last. */
export function attemptOf({ state, message, task }: MessageRecord): number {
  if (task) return task.attempts;
  const { attempts = 0 } = message ?? {};
  return state === "leased" || state === "completed" ? attempts + 1 : attempts;
}

/** The name of a task; undefined for what is none. Its payload may have been left in Redis. */
export function taskName(
  { id, raw }: Pick<Waiting<unknown>, "id" | "raw">,
): string | undefined {
  const end = id === "" ? -1 : raw.subarray(0, 201).indexOf(10);
  return end < 0 ? undefined : new TextDecoder().decode(raw.subarray(0, end));
}

/** How far a task is, or what it gave, in a line. */
export function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
}

/** What is behind the name of a task, as text. */
export function taskPayloadText(message: Pick<Waiting<unknown>, "payload" | "raw">): string {
  const { payload } = message;
  if (typeof payload !== "object" || payload === null || !("payload" in payload)) {
    return payloadText(message);
  }
  return valueText(payload.payload);
}

/** What a letter died of, without the numbers and names in it that make each one different. */
export function shapeOf(
  { errors, reason = "" }: Pick<Waiting<unknown>, "errors" | "reason">,
): string {
  const said = (errors.at(-1)?.message ?? reason).split("\n")[0]!;
  return said
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, "…")
    .replace(/(["'`])(?:(?!\1).){1,200}\1/g, "$1…$1")
    .replace(/\d[\d.,:]*/g, "…")
    .slice(0, 200);
}

/** A task in a line: its name, and how far it is, or else its payload. */
export function taskText(message: Waiting<unknown>, record?: TaskRecord): string {
  const name = taskName(message) ?? "";
  return record && "progress" in record
    ? `${name}  at ${valueText(record.progress)}`
    : `${name}  ${taskPayloadText(message)}`;
}

/** All there is to say of a message, on several lines; `now` is Redis's clock. */
export function describe(
  { queue, kind, id, state, message, task }: MessageRecord,
  now: number,
): string {
  const { attempts = 0, enqueuedAt = task?.addedAt, priority = 0, dueAt, deadAt } = message ?? {};
  const { reason = task?.reason, consumer = task?.consumer } = message ?? {};
  const { leaseExpiresAt, receivedAt = task?.startedAt, finishedAt } = message ?? {};
  const errors = message?.errors ?? (task?.error ? [task.error] : []);
  const ago = (at: number) => `${instant(at)} (${duration(Math.max(0, now - at))} ago)`;
  const until = (at: number) => at > now ? `${instant(at)} (in ${duration(at - now)})` : ago(at);
  const lines: [string, string | undefined][] = [
    [task ? "task" : "message", paint("bold", inert(id))],
    ["name", kind === "tasks" ? inert(task?.type ?? (message && taskName(message)) ?? "") : ""],
    ["queue", `${inert(queue)} (${kindName(kind)})`],
    ["state", paint(STATE_STYLES[state], state)],
    ["reason", reason && inert(reason)],
    ["enqueued", enqueuedAt ? ago(enqueuedAt) : undefined],
    ["due", dueAt ? until(dueAt) : undefined],
    ["handed over", receivedAt ? ago(receivedAt) : undefined],
    ["finished", finishedAt ? ago(finishedAt) : task ? endOf(task, ago) : undefined],
    ["died", deadAt ? ago(deadAt) : undefined],
    ["consumer", consumer && inert(consumer)],
    ["lease ends", leaseExpiresAt ? until(leaseExpiresAt) : undefined],
    ["attempts", task ? `${task.attempts}` : `${attempts} that did not end with an ack`],
    ["priority", priority === 0 ? undefined : String(priority)],
    ["progress", task && "progress" in task ? inert(valueText(task.progress)) : undefined],
    ["result", task && "result" in task ? inert(valueText(task.result)) : undefined],
    ["key", inert(keyOf(queue, state, message !== undefined))],
    ["payload", message && inert((kind === "tasks" ? taskPayloadText : payloadText)(message))],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  const text = lines.filter(([, value]) => value)
    .map(([name, value]) => `${paint("dim", name.padEnd(width))}  ${value}`);
  for (const { attempt, message, stack, at, worker } of errors) {
    const who = worker ? ` by ${inert(worker)}` : "";
    text.push(`${paint("dim", `attempt ${attempt ?? "?"}`.padEnd(width))}  ${ago(at)}${who}`);
    const shown = stack?.includes(message) ? stack : `${message}\n${stack ?? ""}`.trim();
    for (const line of inert(shown, { lines: true }).split("\n")) {
      text.push(`${" ".repeat(width)}  ${paint("red", line)}`);
    }
  }
  return text.join("\n");
}

function endOf({ state, changedAt }: TaskRecord, ago: (at: number) => string): string | undefined {
  return state === "done" || state === "cancelled" ? ago(changedAt) : undefined;
}

/** The Redis key that a message of a state lives in, or else its record. */
function keyOf(queue: string, state: RecordState, hasMessage: boolean): string {
  const keys = queueKeys(queue);
  if (!hasMessage || state === "done" || state === "cancelled") return keys.records;
  return keys[state === "running" ? "leased" : state];
}
