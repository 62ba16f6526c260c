/**
 * `deno task acl`: the accounts that a Redis needs for this library, with no right that they do not use.
 * Prints an ACL file, one `user` a line; `docs/redis.acl` is what it prints without arguments. The tests
 * run the contract of the queues under exactly these rules (`tests/roles.ts`).
 *
 * Redis checks the commands inside scripts as well, so a role has those. A script that is allowed to run
 * cannot be told from another, which is why a role is made of commands and keys, not of scripts.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program: what it prints is what it is for

import { parseArgs } from "@std/cli/parse-args";
import { listKey, queueKeys, REGISTRY_KEY } from "../redis/keys.ts";

/** Who may do what: an account each. */
export const ROLES = ["producer", "worker", "dashboard"] as const;

/** One of them. */
export type Role = typeof ROLES[number];

/** What every account does: be greeted, be asked whether it is there, run scripts, explain a wrong key. */
const EVERYBODY = [
  "ping",
  "info",
  "client|id",
  "client|setname",
  "eval",
  "evalsha",
  "time",
  "type",
];

/** To look into queues. */
const READ = [
  ...[
    "get",
    "hexists",
    "hget",
    "hgetall",
    "hlen",
    "hmget",
    "hscan",
    "hstrlen",
    "lindex",
    "llen",
    "lrange",
  ],
  ...["xinfo|consumers", "xinfo|groups", "xlen", "xrange", "xrevrange", "zcard", "zmscore"],
  ...["zrange", "zscore"],
];

/** To enqueue and to publish. */
const PRODUCE = [
  ...["get", "hexists", "hget", "hlen", "hmget", "llen", "xinfo|groups", "xlen", "xrange", "zcard"],
  ...["zrange", "zscore", "hdel", "hincrby", "hset", "incrby", "lpush", "persist", "pexpire"],
  ...["pexpireat", "xadd", "zadd", "zrem", "zremrangebyrank", "publish", "hrandfield"],
  ...["subscribe", "unsubscribe"], // a task's end
];

/** To take, to settle, to subscribe; and to put things right: redrive, purge, cancel, pause. */
const WORK = [
  ...[
    "blpop",
    "brpop",
    "client|tracking",
    "client|unblock",
    "del",
    "hsetnx",
    "lpop",
    "lset",
    "ltrim",
  ],
  ...["rpop"],
  ...[
    "rpush",
    "unlink",
    "xack",
    "xclaim",
    "xdel",
    "xgroup|create",
    "xgroup|delconsumer",
    "xpending",
  ],
  ...["xreadgroup", "xtrim", "zpopmin", "psubscribe", "punsubscribe", "pubsub|numsub"],
];

/** The commands of a role, in order. */
export const COMMANDS: Readonly<Record<Role, readonly string[]>> = {
  producer: inOrder(EVERYBODY, PRODUCE),
  worker: inOrder(EVERYBODY, READ, PRODUCE, WORK),
  dashboard: inOrder(EVERYBODY, READ),
};

/** What the accounts may touch. */
export interface Scope {
  /** Names of queues with leases. @default all */
  queues?: readonly string[];
  /** Names of `ListQueue`s, whose keys are just their names. @default none */
  lists?: readonly string[];
  /** Channels, or patterns of them. @default none */
  channels?: readonly string[];
}

/**
 * The rules of a role, for `ACL SETUSER` or a line of an ACL file.
 *
 * @throws {TypeError} for a name that is none, or that an ACL rule cannot say.
 */
export function rulesOf(
  role: Role,
  { queues = [], lists = [], channels = [] }: Scope = {},
): string[] {
  const keys = queues.length === 0
    ? ["queue:*"]
    // The registry names all queues; who may not see it works unseen.
    : [...queues.map((name) => queueKeys(name).ready.replace(/ready$/, "*")), REGISTRY_KEY];
  const patterns = [...keys, ...lists.map((name) => listKey(name))].map((key) => `~${key}`);
  // Ends of tasks are published under the names of their keys.
  const heard = [...keys.filter((key) => key !== REGISTRY_KEY), ...channels].map((channel) =>
    `&${channel}`
  );
  for (const rule of [...patterns, ...heard]) {
    if (/\s/.test(rule)) {
      throw new TypeError(`An ACL rule cannot have spaces: ${JSON.stringify(rule)}`);
    }
  }
  return [
    ...["resetkeys", "resetchannels", ...patterns, ...heard],
    ...["-@all", ...COMMANDS[role].map((command) => `+${command}`)],
  ];
}

/** An ACL file. Nobody can log in until a password is set. */
export function aclFile(scope: Scope = {}): string {
  return ROLES.map((role) => `user ${role} off resetpass ${rulesOf(role, scope).join(" ")}\n`).join(
    "",
  );
}

function inOrder(...lists: string[][]): string[] {
  return [...new Set(lists.flat())].sort();
}

const HELP = `Prints the accounts that a Redis needs for this library, as an ACL file.

  deno task acl [--queue NAME …] [--list NAME …] [--channel PATTERN …]

  producer    enqueues and publishes
  worker      does everything with queues: takes, settles, looks, puts things right; subscribes
  dashboard   looks, and changes nothing

  --queue NAME        only this queue; more than once for several (default: all queues with leases)
  --list NAME         also this ListQueue
  --channel PATTERN   also these channels of pub/sub
  --help              print this

Put the lines into the file that "aclfile" in redis.conf names, or after ACL SETUSER. The accounts are
off and have no password: ACL SETUSER worker on ">a long password". The default account is not
touched: ACL SETUSER default off.`;

function main(): number {
  const unknown: string[] = [];
  const { queue, list, channel, help } = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["queue", "list", "channel"],
    collect: ["queue", "list", "channel"],
    unknown: (arg: string) => unknown.push(arg) < 0,
  });
  if (help) {
    console.log(HELP);
    return 0;
  }
  if (unknown.length > 0) {
    console.error(`Not understood: ${unknown.join(" ")}\n\n${HELP}`);
    return 2;
  }
  try {
    Deno.stdout.writeSync(
      new TextEncoder().encode(aclFile({ queues: queue, lists: list, channels: channel })),
    );
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
}

if (import.meta.main) Deno.exit(main());
