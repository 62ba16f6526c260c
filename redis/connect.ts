/**
 * `connect()`: the client of `npm:redis`, set up so that it tells what is wrong and recovers.
 *
 * What it adds to `createClient(...).connect()`: a deadline, since the client retries a dead port and
 * a wrong password for ever; an end to what cannot succeed (credentials, certificates, permissions);
 * messages that name host and port and never a password; a wait while the server loads its data; and
 * a heartbeat that notices a connection that is open but dead.
 *
 * @module
 */
import {
  createClient,
  type RedisClientType,
  type RedisClusterType,
  type RedisSentinelType,
} from "redis";
import { call } from "./call.ts";
import { addressOf, type NodeClient, type RedisClient } from "./client.ts";
import { connectSeveral } from "./connect_several.ts";
import {
  describe,
  isFatal,
  isRetryable,
  redactUrl,
  RedisConnectionError,
  replyWord,
} from "./errors.ts";
import { checkOptions, checkSignal, optionNames } from "./options.ts";
import {
  type ClusterOptions,
  type Places,
  placesOfCluster,
  placesOfSentinel,
  placesOfUrl,
  type SentinelOptions,
} from "./places.ts";
import { adopt, type ConnectionEvent, staysDestroyed, supervise } from "./supervise.ts";
import { backoffMs, checkMs, DeadlineError, sleep, within } from "./timers.ts";
import { checkCredentials, checkUrl, environmentUrl, withCredentials } from "./url.ts";

/** Where Redis is looked for when nothing says otherwise. */
const DEFAULT_URL = "redis://127.0.0.1:6379";

/** First words of error replies to a PING by a server that is there for other commands. */
const ANSWERS = new Set(["NOPERM", "MISCONF"]);

/** Longest pause between attempts before the first success: somebody is waiting for it. */
const FIRST_PAUSE_MS = 100;

/** Options of {@linkcode connect}. */
export interface ConnectOptions {
  /**
   * `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS, or `unix:///path`. Several
   * servers: `redis+cluster://host:port,host:port`, or `redis+sentinel://host:port,host:port/name`; what
   * comes back is then the client of a cluster, or of Sentinels, whatever TypeScript takes it for.
   *
   * @default $REDIS_URL where reading it is allowed already, else `redis://127.0.0.1:6379`
   */
  url?: string;
  /** The nodes of a Redis Cluster, instead of a `url`. */
  cluster?: ClusterOptions;
  /** The Sentinels that watch a master, instead of a `url`. */
  sentinel?: SentinelOptions;
  /**
   * How long to try, in milliseconds.
   *
   * @default 5_000
   */
  timeoutMs?: number;
  /**
   * How often the connection is checked by a `PING`, and how long its answer may take, in
   * milliseconds. 0 switches the check off.
   *
   * @default 5_000
   */
  heartbeatMs?: number;
  /** Ends the attempt; `connect` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Told about a lost and a regained connection, and at the start if the server would throw messages
   * away when its memory is full. By default nobody is.
   */
  onEvent?: (event: ConnectionEvent) => void;
  /** Name of the account; goes before one in the URL. */
  username?: string;
  /** Its password, as it is (in a URL it would have to be escaped); goes before one in the URL. */
  password?: string;
  /** The connection's name in `CLIENT LIST`. */
  name?: string;
  /** For `rediss://`: certificates, in PEM. The server's certificate is always checked. */
  tls?: TlsOptions;
}

/** Certificates for a connection by TLS, in PEM. */
export interface TlsOptions {
  /**
   * The authority that signed the server's certificate.
   *
   * @default the authorities that the runtime knows
   */
  ca?: string;
  /** Our certificate, where the server asks for one. */
  cert?: string;
  /** Its private key. */
  key?: string;
  /**
   * The name that the server's certificate must carry.
   *
   * @default the host of the URL
   */
  servername?: string;
}

const CONNECT_OPTIONS = optionNames<ConnectOptions>({
  url: true,
  cluster: true,
  sentinel: true,
  timeoutMs: true,
  heartbeatMs: true,
  signal: true,
  onEvent: true,
  username: true,
  password: true,
  name: true,
  tls: true,
});

/** The client that {@linkcode connect} returns: the one of `npm:redis`, connected. */
export type ConnectedClient = RedisClientType;

/** The client that {@linkcode connect} returns for a cluster: the one of `npm:redis`, connected. */
export type ConnectedCluster = RedisClusterType;

/** The client that {@linkcode connect} returns behind Sentinels: the one of `npm:redis`, connected. */
export type ConnectedSentinel = RedisSentinelType;

/**
 * Connects to Redis.
 *
 * The client reconnects by itself for as long as it is open. Close it with `close()`; that also ends
 * the connections that queues and subscribers made from it. Replies in flight are waited for; those of
 * one server that has gone silent, for two `heartbeatMs` at most. It is for commands that answer at once;
 * give a blocking command a connection of its own with `client.duplicate()`.
 *
 * Permissions under Deno: `--allow-net=127.0.0.1:6379` (or your host and port) is enough.
 *
 * @param options Where, and how long to try.
 * @returns The connected client; `await using` closes it.
 * @throws {TypeError} for a URL that is none, an account without a password, or an unknown option. The
 * message does not contain the password.
 * @throws {RangeError} for a `timeoutMs` or `heartbeatMs` that is no duration.
 * @throws {RedisConnectionError} when there is no server within `timeoutMs`, and at once when it
 * refuses the credentials or the certificate, or when a permission is missing (`fatal`).
 *
 * @example Connect, use, close
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 *
 * const redis = await connect();
 * console.log(await redis.ping()); // PONG
 * await redis.close();
 * ```
 */
export function connect(
  options: ConnectOptions & { cluster: ClusterOptions },
): Promise<ConnectedCluster & AsyncDisposable>;
/** Connects to the master that Sentinels watch; see the other form. */
export function connect(
  options: ConnectOptions & { sentinel: SentinelOptions },
): Promise<ConnectedSentinel & AsyncDisposable>;
/** Connects to one server, or to whatever the URL names; see the other form. */
export function connect(options?: ConnectOptions): Promise<ConnectedClient & AsyncDisposable>;
export async function connect(
  options: ConnectOptions = {},
): Promise<(ConnectedClient | ConnectedCluster | ConnectedSentinel) & AsyncDisposable> {
  // Not shown: connect("redis://ann:secret@host"), or a password under another name.
  checkOptions("connect", options, CONNECT_OPTIONS, { secret: true });
  checkSignal(options.signal);
  const timeoutMs = checkMs("timeoutMs", options.timeoutMs ?? 5_000, { min: 1 });
  const heartbeatMs = checkMs("heartbeatMs", options.heartbeatMs ?? 5_000);
  const { name, onEvent, signal } = options;
  if (name !== undefined && !/^[!-~]+$/.test(name)) {
    throw new TypeError(`name must be printable, without spaces: ${JSON.stringify(name)}`);
  }
  signal?.throwIfAborted();
  const places = placesOf(options);
  if (places) {
    const client = await connectSeveral(places, {
      timeoutMs,
      heartbeatMs,
      signal,
      onEvent,
      name,
      tls: tlsOf(places.tls, options.tls),
      unreachable: (cause, address) =>
        unreachable(cause, address, { timeoutMs, byTls: places.tls, places }),
    }) as ConnectedCluster | ConnectedSentinel;
    if (onEvent) await tellEviction(client, onEvent);
    return disposable(client);
  }
  const client = create(options, timeoutMs);
  adopt(client); // before connect(): an error without a listener ends the process
  staysDestroyed(client); // also by its owner, while it connects anew
  const address = addressOf(client);
  let last: unknown; // what stood in the way, for the message
  client.on("error", (error: unknown) => last = error);
  const opening = open(client);
  try {
    await within(opening, timeoutMs, signal);
  } catch (error) {
    client.destroy();
    // The client's loop may be in a pause between two attempts: let it notice that it is over.
    await within(opening, FIRST_PAUSE_MS * 2).catch(() => {});
    signal?.throwIfAborted();
    const cause = error instanceof DeadlineError ? last : error;
    const { tls } = client.options.socket as { tls?: boolean };
    throw unreachable(cause, address, { timeoutMs, byTls: tls === true });
  }
  if (heartbeatMs > 0) supervise(client as NodeClient, { heartbeatMs, onEvent });
  if (onEvent) await tellEviction(client, onEvent);
  return disposable(client);
}

function disposable<C extends RedisClient>(client: C): C & AsyncDisposable {
  return Object.assign(client, {
    [Symbol.asyncDispose]: async () => {
      if (client.isOpen) await client.close();
    },
  });
}

/** Several servers, if they are named; the URL of the environment only where nothing else is. */
function placesOf(options: ConnectOptions): Places | undefined {
  const { cluster, sentinel, url, username, password } = options;
  const given = Object.entries({ url, cluster, sentinel })
    .filter(([, value]) => value !== undefined).map(([name]) => name);
  if (given.length > 1) throw new TypeError(`Either ${given.join(" or ")}, not both`);
  const from = url ?? (given.length === 0 ? environmentUrl() : undefined);
  const places = cluster
    ? placesOfCluster(cluster)
    : sentinel
    ? placesOfSentinel(sentinel)
    : typeof from === "string"
    ? placesOfUrl(from)
    : undefined;
  if (!places) return undefined;
  return {
    ...places,
    username: username ?? places.username,
    password: password ?? places.password,
  };
}

/** Says so if the server evicts; an account that may not ask does without. */
async function tellEviction(
  client: RedisClient,
  onEvent: (event: ConnectionEvent) => void,
): Promise<void> {
  const info = await call(client, ["INFO", "memory"]).catch(() => "");
  const policy = /^maxmemory_policy:(\S+)/m.exec(String(info))?.[1] ?? "noeviction";
  if (policy !== "noeviction") onEvent({ type: "evicting", address: addressOf(client), policy });
}

function create(options: ConnectOptions, timeoutMs: number): ConnectedClient {
  const url = checkUrl(options.url ?? environmentUrl() ?? DEFAULT_URL);
  checkCredentials(url, options);
  try {
    const { username, password, name, tls } = options;
    const client: ConnectedClient = createClient({
      url: withCredentials(url, username, password),
      // The client asks a socket's URL for none, and any other URL before these.
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(name !== undefined && { name }),
      // Otherwise the client asks the environment, and without that permission connects in a loop.
      maintNotifications: "disabled",
      socket: {
        ...tlsOf(url.startsWith("rediss:"), tls),
        connectTimeout: timeoutMs,
        reconnectStrategy: (retries: number, cause: Error) => {
          if (isFatal(cause)) return cause;
          return backoffMs(retries, { maxMs: client?.socketEpoch ? 1_000 : FIRST_PAUSE_MS });
        },
      },
    }) as ConnectedClient;
    return client;
  } catch (error) {
    // The client's own messages repeat the URL, password included.
    throw new TypeError(`Cannot use the Redis URL ${redactUrl(url)}: ${describe(error)}`);
  }
}

/** Connected, and the server has its data loaded: `ready` may come while it still answers LOADING. */
async function open(client: ConnectedClient): Promise<void> {
  await client.connect();
  while (client.isOpen) {
    try {
      await call(client, ["PING"]);
      return;
    } catch (error) {
      // An account with few rights, or a server that cannot write to its disk and says so also to a
      // PING: it answered, that is all we ask.
      if (ANSWERS.has(replyWord(error))) return;
      // Also a connection that was lost again meanwhile: the client makes another one.
      if (!isRetryable(error)) throw error;
      await sleep(50);
    }
  }
}

function unreachable(
  error: unknown,
  address: string,
  { timeoutMs, byTls, places }: { timeoutMs: number; byTls: boolean; places?: Places },
): RedisConnectionError {
  const cause = error ?? new DeadlineError(`no answer`);
  const options = { address, cause, fatal: isFatal(cause) };
  const reason = replyWord(cause) || !(cause instanceof RedisConnectionError)
    ? describe(cause)
    : describe(cause.cause ?? cause);
  if (options.fatal) return new RedisConnectionError(reason, options);
  // Where nobody listens nothing was said, neither with TLS nor without.
  const hint = /^connection refused$|does not resolve$/.test(reason) ? "" : `; ${hintTls(byTls)}`;
  const circumstances = `tried for ${timeoutMs} ms${hint}`;
  if (places) {
    const what = places.kind === "cluster" ? "node of the cluster" : "Sentinel, or its master,";
    return new RedisConnectionError(
      `no ${what} answered: ${reason} (${circumstances}). Are they running? Start some with ` +
        `"deno task redis --${places.kind}" in a checkout of redis-patterns`,
      options,
    );
  }
  return new RedisConnectionError(
    `${reason} (${circumstances}). Is it running? Start one with "redis-server", ` +
      `"docker run --rm -p 6379:6379 redis" or, in a checkout of redis-patterns, ` +
      `"deno task redis"; or say where it is by REDIS_URL or the url option`,
    options,
  );
}

/** A port that speaks TLS drops a plain client, and the other way round both wait: say so. */
function hintTls(tls: boolean): string {
  return tls
    ? "by TLS, so not if the server is there without TLS (redis://)"
    : "without TLS, so not if the server expects TLS (rediss://)";
}

/** Only what is documented: an unchecked certificate is no option. */
function tlsOf(byTls: boolean, tls?: TlsOptions): TlsOptions {
  if (tls === undefined) return {};
  if (!byTls) throw new TypeError("tls is for rediss://, and this is not");
  const { ca, cert, key, servername } = tls;
  const given = Object.entries({ ca, cert, key, servername }).filter(([, value]) => value);
  return Object.fromEntries(given);
}
