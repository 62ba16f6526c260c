/**
 * What the library sent in a run of the model test, to be sent once more.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import type { ReadyKind } from "../queue/ready_lua.ts";
import { extendScript } from "../queue/settle_scripts.ts";
import type { RedisClient } from "../redis/client.ts";

/** A script that the library sent, and what came back. */
export interface Sent {
  script: Repeated;
  command: readonly (string | Buffer)[];
  args: string[];
  reply: unknown;
}

/** Scripts that are sent again: those of which a repetition has to have the effect of one. */
export type Repeated =
  | "enqueue"
  | "claim"
  | "giveBack"
  | "ack"
  | "extend"
  | "scan"
  | "removeDead"
  | "pause";

/** Keeps what the library sends of the scripts that can be repeated, and what came back. */
export function keep(client: RedisClient, kind: ReadyKind, sent: () => Sent[]): void {
  const { enqueue, claim, giveBack, ack, scan, removeDead, pause } = LEASED_SCRIPTS[kind];
  const scripts = { enqueue, claim, giveBack, ack, scan, removeDead, pause };
  const names = new Map<unknown, Repeated>();
  for (
    const [name, { sha, text }] of Object.entries({
      ...scripts,
      extend: extendScript,
    })
  ) names.set(sha, name as Repeated).set(text, name as Repeated);
  const send = client.sendCommand.bind(client);
  client.sendCommand = async (command, options) => {
    const reply = await send(command, options);
    const script = /^EVAL/.test(String(command[0])) && names.get(command[1]);
    const args = script ? command.slice(3 + Number(command[2])).map(String) : [];
    if (script && !(script === "scan" && args[4] === "find")) {
      sent().push({ script, command: command as Sent["command"], args, reply });
    }
    return reply;
  };
}

/** The messages in the reply of a claim, in their places; null where one was settled before a repeat. */
export function entriesOf(reply: unknown): (Buffer | null)[] {
  return (reply as unknown[]).find((part) => Array.isArray(part)) as (Buffer | null)[];
}

/** Replies as text: what is compared are numbers and names. */
export function text(reply: unknown): string[] {
  return (reply as unknown[]).map(String);
}
