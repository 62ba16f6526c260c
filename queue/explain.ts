/**
 * Errors of Redis that need the queue's words.
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import { KEY_TYPES, type QueueKeys } from "../redis/keys.ts";
import type { Send } from "../redis/script.ts";
import type { ReadyKind } from "./ready_lua.ts";

/** The queue whose errors these are. */
export interface Explained {
  name: string;
  kind: ReadyKind;
  keys: QueueKeys;
}

/** Says in words what WRONGTYPE means: somebody else's key has a name of ours. */
export function explaining(client: RedisClient, queue: Explained, send: Send): Send {
  return async (args) => {
    try {
      return await send(args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes("WRONGTYPE")) throw error;
      throw new TypeError(await describe(client, queue), { cause: error });
    }
  };
}

const READY_TYPES: Record<ReadyKind, string> = {
  list: "list",
  priority: "zset",
  stream: "stream",
  tasks: "stream",
};

/** Which keys are wrong, and where that may come from. */
async function describe(client: RedisClient, { name, kind, keys }: Explained): Promise<string> {
  const types: Record<keyof QueueKeys, string> = {
    ...KEY_TYPES,
    ready: READY_TYPES[kind],
  };
  const found = await Promise.all(
    Object.entries(types).map(async ([field, expected]) => {
      const key = keys[field as keyof QueueKeys];
      const type = String(await call(client, ["TYPE", key]).catch(() => "none")); // not permitted
      return { key, type, expected };
    }),
  );
  const wrong = found.filter(({ type, expected }) => type !== "none" && type !== expected);
  // Somebody may have removed it meanwhile.
  if (wrong.length === 0) {
    return `A key of the queue ${JSON.stringify(name)} had another type; nothing was changed`;
  }
  const keysSay = wrong.map(({ key, type, expected }) =>
    `The key ${key} is a ${type}, but should be a ${expected}`
  ).join(". ");
  const isOtherKind = wrong.some(({ key, type }) =>
    key === keys.ready && Object.values(READY_TYPES).includes(type)
  );
  const who = isOtherKind ? "another kind of queue" : "somebody else";
  return `${keysSay}; nothing was changed. Is ${JSON.stringify(name)} in use by ${who}?`;
}
