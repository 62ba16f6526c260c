/**
 * The web dashboard, and the job queue server: one handler of requests, for `Deno.serve` or whatever else
 * takes one.
 *
 * It shows every queue on a Redis, live, and acts on messages; and lets programs in any language enqueue
 * and receive by HTTP. It opens without Redis, says why it has none, and goes on when it is back.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-env jsr:@workshop/redis-patterns/dashboard --port 8080
 * ```
 *
 * @module
 */
import type { RedisClient } from "@workshop/redis-patterns";
import { Guard } from "./server/guard.ts";
import {
  type AnyTasks,
  type Kind,
  type QueueOptions,
  type QueueOptionsOf,
  Queues,
} from "./server/queues.ts";
import { type Source, sourceOf } from "./server/source.ts";
import { appOf } from "./web/app.ts";
import { Operations } from "./web/operations.ts";
import { type Schedule, type Schedules, taskSchedules } from "./web/schedules.ts";
import { Watch } from "./web/watch.ts";

export type { AnyTasks, Kind, QueueOptions, QueueOptionsOf, Schedule, Schedules };

/** Options of {@linkcode Dashboard}. */
export interface DashboardOptions {
  /**
   * Where the queues are: a URL, or a client, which stays yours to close.
   *
   * @default $REDIS_URL where reading it is allowed already, else `redis://127.0.0.1:6379`
   */
  redis?: RedisClient | string;
  /**
   * Who may come in: whoever knows this, by `Authorization: Bearer`, or signing in on a page.
   *
   * @default everybody who reaches it
   */
  token?: string;
  /**
   * Whether nothing may be changed, also not by programs.
   *
   * @default false
   */
  readOnly?: boolean;
  /**
   * Names under which it is reached, besides those of the machine itself (`localhost`, `127.0.0.1`,
   * `[::1]`); without port. A request for another name is refused.
   */
  hosts?: readonly string[];
  /**
   * Options of the queues through which programs enqueue and receive, by the queue's name and kind. What a
   * queue does not take, such as a `codec` for tasks, is answered with 500 and told to `onError`.
   *
   * @default the library's
   */
  queueOptions?: QueueOptionsOf;
  /**
   * What is enqueued by the clock, for the page of schedules.
   *
   * @default the schedules of all queues of tasks
   */
  schedules?: Schedules;
  /**
   * The largest body of a request, in bytes.
   *
   * @default 1_310_720: a payload of 1 MiB, and what is around it
   */
  maxBodyBytes?: number;
  /**
   * How many requests may wait for a message at the same time: each holds a connection to Redis.
   *
   * @default 200
   */
  maxWaiting?: number;
  /**
   * How many pages may listen for changes at the same time.
   *
   * @default 100
   */
  maxStreams?: number;
  /**
   * Told what nobody expected; whoever asked hears only that something went wrong.
   *
   * @default console.error
   */
  onError?: (error: unknown) => void;
}

/**
 * The dashboard and the job queue server as a handler of requests. It sends nothing to Redis until it is
 * asked.
 *
 * @example Beside other routes of a server
 * ```ts
 * import { connect, ReliableQueue } from "@workshop/redis-patterns";
 * import { Dashboard } from "@workshop/redis-patterns/dashboard";
 *
 * const redis = await connect();
 * await using queue = new ReliableQueue<string>(redis, "docs_dashboard");
 * await queue.enqueue("thumbnail");
 *
 * const dashboard = new Dashboard({ redis, readOnly: true });
 * const response = await dashboard.fetch(new Request("http://localhost/queues/docs_dashboard"));
 * console.log((await response.json()).counts.ready); // 1
 *
 * await dashboard.close();
 * await queue.purge("ready");
 * await redis.close();
 * ```
 */
export class Dashboard implements AsyncDisposable {
  readonly #source: Source;
  readonly #queues: Queues;
  readonly #operations: Operations;
  readonly #closing = new AbortController();
  readonly #app: ReturnType<typeof appOf>;

  /** Connects nowhere yet. */
  constructor(options: DashboardOptions = {}) {
    const {
      redis,
      token,
      readOnly = false,
      hosts = [],
      queueOptions = () => ({}),
      schedules = taskSchedules(() => this.#source.monitor()),
      maxBodyBytes = 1_310_720,
      maxWaiting = 200,
      maxStreams = 100,
      // deno-lint-ignore no-console -- whoever runs it wants to know, if nobody says how
      onError = (error) => console.error(error),
    } = options;
    if (token === "") throw new TypeError('token must not be empty: ""');
    const figures = { reconnects: 0, streams: 0, waiting: 0 };
    this.#source = counting(sourceOf(redis), figures);
    const watch = new Watch(this.#source);
    this.#operations = new Operations(() => watch.forget());
    this.#queues = new Queues(this.#source, queueOptions);
    this.#app = appOf({
      source: this.#source,
      watch,
      operations: this.#operations,
      guard: new Guard({ token, hosts, readOnly }),
      queues: this.#queues,
      schedules,
      maxBodyBytes,
      maxWaiting,
      maxStreams,
      closing: this.#closing.signal,
      onError,
      figures,
    });
  }

  /** Answers a request; bound, so it can be given away: `Deno.serve(dashboard.fetch)`. */
  readonly fetch = async (
    request: Request,
    info?: { completed?: Promise<void> },
  ): Promise<Response> => {
    const env = { signal: () => request.signal, completed: info?.completed };
    return await this.#app.fetch(request, env);
  };

  /**
   * Ends what is under way: streams, requests that wait, operations between two steps. A client that was
   * given stays open.
   */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#operations.close();
    await this.#queues[Symbol.asyncDispose]();
    await this.#source[Symbol.asyncDispose]();
  }

  /** Closes; see {@linkcode Dashboard.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

if (import.meta.main) {
  const { main } = await import("./server.ts");
  await main();
}

/** The same source; counts how often its connection was found again. */
function counting(source: Source, figures: { reconnects: number }): Source {
  let client: RedisClient | undefined;
  const found = () => void figures.reconnects++;
  return {
    monitor: async () => {
      const monitor = await source.monitor();
      if (!client) {
        client = monitor.client;
        client.on("ready", found);
      }
      return monitor;
    },
    [Symbol.asyncDispose]: async () => {
      client?.off("ready", found);
      await source[Symbol.asyncDispose]();
    },
  };
}
