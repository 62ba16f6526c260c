/**
 * Where the queues are: a client of the caller's, or a connection of our own that may be away and comes
 * back. Whoever asks while Redis is away hears at once why.
 *
 * @module
 */
import { type RedisClient, RedisConnectionError } from "@workshop/redis-patterns";
import { Link } from "../link.ts";
import { Monitor } from "../snapshot.ts";

/** Gives the monitor, or throws a `RedisConnectionError`. */
export interface Source extends AsyncDisposable {
  /** The monitor on a connection that is up. */
  monitor(): Promise<Monitor>;
}

/** A source from a client that stays the caller's, or from a URL. */
export function sourceOf(redis: RedisClient | string | undefined): Source {
  if (redis === undefined || typeof redis === "string") return new Link({ url: redis });
  const monitor = new Monitor(redis);
  return {
    monitor: () => {
      if (redis.isReady) return Promise.resolve(monitor);
      const { socket } = ((redis as { options?: object }).options ?? {}) as {
        socket?: { host?: string; port?: number };
      };
      const address = `${socket?.host ?? "127.0.0.1"}:${socket?.port ?? 6379}`;
      const lost = "the connection is lost; trying again";
      return Promise.reject(new RedisConnectionError(lost, { address }));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
