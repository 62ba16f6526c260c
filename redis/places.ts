/**
 * Where Redis is: what a URL, or the options beside it, say of one server, of a cluster, or of a master
 * with Sentinels.
 *
 * ```
 *   redis://host:port/0                            one server
 *   redis+cluster://a:7000,b:7000,c:7000           a cluster: some of its nodes
 *   redis+sentinel://a:26379,b:26379/mymaster/0    Sentinels, and what they call the master
 * ```
 *
 * `rediss` instead of `redis` is TLS.
 *
 * @module
 */
import { redactUrl } from "./errors.ts";
import { checkOptions, optionNames } from "./options.ts";
import { show } from "./show.ts";

/** Where a cluster is; see `connect`. */
export interface ClusterOptions {
  /**
   * `host:port` of some nodes, masters or replicas: the others are found. Name several, since one that
   * is down tells nothing. `rediss://host:port` for TLS.
   */
  nodes: readonly string[];
}

/** Where the Sentinels of a master are; see `connect`. */
export interface SentinelOptions {
  /** What the Sentinels call the master: `mymaster` in their configuration's example. */
  name: string;
  /** `host:port` of the Sentinels; name all of them. `rediss://host:port` for TLS. */
  nodes: readonly string[];
  /** The account at the Sentinels, if they have accounts of their own. */
  username?: string;
  /** Its password. */
  password?: string;
}

const CLUSTER_OPTIONS = optionNames<ClusterOptions>({ nodes: true });
const SENTINEL_OPTIONS = optionNames<SentinelOptions>({
  name: true,
  nodes: true,
  username: true,
  password: true,
});

/** Several servers of which each key has one. */
export interface Places {
  kind: "cluster" | "sentinel";
  /** `host:port` of each that is named. */
  nodes: string[];
  /** What Sentinels call the master; "" in a cluster. */
  name: string;
  tls: boolean;
  username?: string | undefined;
  password?: string | undefined;
  /** Behind Sentinels; a cluster has database 0 only. */
  database: number;
  /** At the Sentinels. */
  sentinel: { username?: string | undefined; password?: string | undefined };
}

const SEVERAL = /^redis(s?)\+(cluster|sentinel):\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#]*))?$/;

/** Reads a URL that names several servers; undefined for one that names none or one. */
export function placesOfUrl(url: string): Places | undefined {
  if (!/^rediss?\+/.test(url)) return undefined;
  const match = SEVERAL.exec(url);
  if (!match) throw notOne(url);
  const [, tls, kind, account, hosts, path = ""] = match;
  const nodes = hosts!.split(",").map((text) => place(text, kind === "cluster" ? 6379 : 26379));
  const [name = "", database = "0", ...more] = path.split("/").map(decode);
  const named = kind === "sentinel" ? name !== "" : path === "";
  if (!named || !/^\d*$/.test(database) || more.length > 0) throw notOne(url);
  if (nodes.some((node) => node === undefined)) throw notOne(url);
  const [username, ...password] = (account ?? "").split(":");
  return {
    kind: kind as Places["kind"],
    nodes: nodes as string[],
    name,
    tls: tls === "s",
    username: username ? decode(username) : undefined,
    password: password.length > 0 ? decode(password.join(":")) : undefined,
    database: Number(database),
    sentinel: {},
  };
}

function notOne(url: string): TypeError {
  return new TypeError(
    `Not the URL of a cluster or of Sentinels: ${JSON.stringify(redactUrl(url))} (expected ` +
      `redis+cluster://host:port,host:port or redis+sentinel://host:port,host:port/name)`,
  );
}

/** Reads the options of a cluster. */
export function placesOfCluster(options: ClusterOptions): Places {
  const { nodes } = checkOptions("cluster", options, CLUSTER_OPTIONS, { secret: true });
  return { kind: "cluster", name: "", database: 0, sentinel: {}, ...readNodes("cluster", nodes) };
}

/** Reads the options of Sentinels. */
export function placesOfSentinel(options: SentinelOptions): Places {
  const { name, nodes, username, password } = checkOptions("sentinel", options, SENTINEL_OPTIONS, {
    secret: true,
  });
  if (typeof name !== "string" || name === "") {
    throw new TypeError(
      `sentinel.name must be what the Sentinels call the master, such as "mymaster", but is ` +
        show(name, "string"),
    );
  }
  const sentinel = { username, password };
  return { kind: "sentinel", name, database: 0, sentinel, ...readNodes("sentinel", nodes) };
}

function readNodes(
  kind: Places["kind"],
  given: readonly string[],
): { nodes: string[]; tls: boolean } {
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError(
      `${kind}.nodes must list at least one "host:port", but is ` +
        (Array.isArray(given) ? "empty" : show(given)),
    );
  }
  const schemes = new Set<string>();
  const nodes = given.map((text, i) => {
    const what = `${kind}.nodes[${i}]`;
    if (typeof text !== "string") {
      throw new TypeError(`${what} must be a string, but is ${show(text)}`);
    }
    const [, scheme = "", rest] = /^(?:(rediss?):\/\/)?([\s\S]*?)\/?$/.exec(text)!;
    schemes.add(scheme);
    const node = place(rest!, kind === "cluster" ? 6379 : 26379);
    if (node) return node;
    throw new TypeError(
      `${what} must be "host:port", but is ${JSON.stringify(redactUrl(text))}` +
        (text.includes("@") ? " (the account goes into username and password)" : ""),
    );
  });
  if (schemes.size > 1) {
    throw new TypeError(`${kind}.nodes must all be rediss://, or none of them`);
  }
  return { nodes, tls: schemes.has("rediss") };
}

/** `host:port`; undefined for what is none. */
function place(text: string, defaultPort: number): string | undefined {
  const [, host, port = String(defaultPort)] =
    /^(\[[0-9a-fA-F:.]+\]|[^:@/\s[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
  return `${host.replace(/^\[|\]$/g, "")}:${port}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
