/**
 * Errors of Redis that need the queue's words.
 *
 * @module
 */
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import type { QueueKeys } from "../redis/keys.ts";
import type { Send } from "../redis/script.ts";

/** Says in words what WRONGTYPE means: somebody else's key has a name of ours. */
export function explaining(client: RedisClient, name: string, keys: QueueKeys, send: Send): Send {
  return async (args) => {
    try {
      return await send(args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes("WRONGTYPE")) throw error;
      const types = await Promise.all(
        Object.values(keys).map(async (key) => {
          const type = await call(client, ["TYPE", key]).catch(() => "not to be asked for");
          return `${key}: ${type}`;
        }),
      );
      throw new TypeError(
        `A key of the queue ${JSON.stringify(name)} has another type than it should; ` +
          `nothing was changed (${types.filter((type) => !type.endsWith(": none")).join(", ")})`,
        { cause: error },
      );
    }
  };
}
