/**
 * A message as people read it: all that is known of one, and what many have in common.
 *
 * @module
 */
import { type PeekState, queueKeys, type Waiting } from "@workshop/redis-patterns";
import { paint, type Style } from "./cli_print.ts";
import { duration, inert, instant, payloadText } from "./format.ts";
import type { MessageRecord } from "./records.ts";

const KIND_NAMES = new Map<string, string>([
  ["list", "ReliableQueue"],
  ["priority", "PriorityQueue"],
  ["stream", "StreamQueue"],
]);

/** The class of a kind in the registry; the kind itself where we know none. */
export function kindName(kind: string): string {
  return KIND_NAMES.get(kind) ?? kind;
}

/** Each state has one colour, everywhere. */
export const STATE_STYLES: Readonly<Record<PeekState, Style>> = {
  ready: "cyan",
  leased: "yellow",
  delayed: "dim",
  dead: "red",
  completed: "green",
  failed: "red",
};

/** The number of the attempt that is under way or was the last. */
export function attemptOf({ state, message: { attempts } }: MessageRecord): number {
  return state === "leased" || state === "completed" ? attempts + 1 : attempts;
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

/** All there is to say of a message, on several lines; `now` is Redis's clock. */
export function describe({ queue, kind, state, message }: MessageRecord, now: number): string {
  const { id, attempts, enqueuedAt, priority, dueAt, deadAt, reason, consumer } = message;
  const { leaseExpiresAt, receivedAt, finishedAt, errors } = message;
  const ago = (at: number) => `${instant(at)} (${duration(Math.max(0, now - at))} ago)`;
  const until = (at: number) => at > now ? `${instant(at)} (in ${duration(at - now)})` : ago(at);
  const lines: [string, string | undefined][] = [
    ["message", paint("bold", inert(id))],
    ["queue", `${inert(queue)} (${kindName(kind)})`],
    ["state", paint(STATE_STYLES[state], state)],
    ["reason", reason && inert(reason)],
    ["enqueued", enqueuedAt ? ago(enqueuedAt) : undefined],
    ["due", dueAt ? until(dueAt) : undefined],
    ["handed over", receivedAt ? ago(receivedAt) : undefined],
    ["finished", finishedAt ? ago(finishedAt) : undefined],
    ["died", deadAt ? ago(deadAt) : undefined],
    ["consumer", consumer && inert(consumer)],
    ["lease ends", leaseExpiresAt ? until(leaseExpiresAt) : undefined],
    ["attempts", `${attempts} that did not end with an ack`],
    ["priority", priority === 0 ? undefined : String(priority)],
    ["key", inert(keyOf(queue, state))],
    ["payload", inert(payloadText(message))],
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

/** The Redis key that a message of a state lives in. */
function keyOf(queue: string, state: PeekState): string {
  return queueKeys(queue)[state];
}
