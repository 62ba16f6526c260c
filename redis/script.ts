/**
 * Lua scripts with a declared contract.
 *
 * A script names its keys and arguments once. Its Lua text uses those names as local variables, and
 * TypeScript checks that a caller gives exactly those: a misspelt key does not compile, and `KEYS[3]`
 * cannot come to mean something else. Users' data only ever travels in keys and arguments, so the
 * text is a constant and Redis keeps it by its hash.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { CommandArgument } from "./client.ts";
import { replyWord } from "./errors.ts";

/** Sends one command: `call` with a client, or an own connection. */
export type Send = (args: readonly CommandArgument[]) => Promise<unknown>;

/** What a script is made of. */
export interface ScriptDefinition<K extends string, A extends string, R> {
  /** Snake case; shown in errors. */
  readonly name: string;
  /** Names of the keys, in the order of `KEYS`. Each is a local variable in the Lua text. */
  readonly keys: readonly K[];
  /** Names of the arguments, in the order of `ARGV`. Each is a local variable in the Lua text. */
  readonly args: readonly A[];
  /** The text. Checks come before the first write, since Lua has no rollback. */
  readonly lua: string;
  /** Turns the reply into what the caller gets. */
  readonly reply: (raw: unknown) => R;
}

/** A script that can be run. */
export interface Script<K extends string, A extends string, R> {
  /** Its name. */
  readonly name: string;
  /** The text that Redis sees: the declared names as locals, then the script. */
  readonly text: string;
  /** SHA-1 of the text, by which Redis keeps it. */
  readonly sha: string;
  /**
   * Runs it with `rest` behind the named arguments (a script reads those as `ARGV`, from
   * `first_of_rest` on): by its hash, or, where Redis does not know the hash (after a restart, a failover or a
   * `SCRIPT FLUSH`), with its text.
   *
   * @throws {RedisConnectionError} when there is no connection or no reply.
   */
  run(
    send: Send,
    keys: Readonly<Record<K, string>>,
    args: Readonly<Record<A, CommandArgument | number>>,
    rest?: readonly CommandArgument[],
  ): Promise<R>;
}

const IDENTIFIER = /^[a-z][a-z0-9_]*$/;

/** The names of all scripts of this process by their digests, for whoever reads along: `EVALSHA` tells no name. */
export const scriptNames = new Map<string, string>();

/**
 * Declares a script.
 *
 * @example
 * ```ts ignore
 * const takeAll = defineScript({
 *   name: "take_all",
 *   keys: ["list"],
 *   args: ["most"],
 *   lua: `return redis.call("LPOP", list, most)`,
 *   reply: (raw) => raw as string[] | null,
 * });
 * await takeAll.run((args) => call(redis, args), { list: "task_queue" }, { most: 10 });
 * ```
 * @throws {TypeError} for a name that cannot be a Lua variable, or one used twice.
 */
export function defineScript<const K extends string, const A extends string, R>(
  { name, keys, args, lua, reply }: ScriptDefinition<K, A, R>,
): Script<K, A, R> {
  const names: string[] = [...keys, ...args];
  for (const [i, variable] of names.entries()) {
    if (!IDENTIFIER.test(variable) || names.indexOf(variable) !== i) {
      throw new TypeError(`Script ${name}: ${JSON.stringify(variable)} is no name, or used twice`);
    }
  }
  const locals = [
    ...keys.map((key, i) => `local ${key} = KEYS[${i + 1}]`),
    ...args.map((arg, i) => `local ${arg} = ARGV[${i + 1}]`),
    `local first_of_rest = ${args.length + 1}`,
  ];
  const text = [`-- ${name}`, ...locals, lua.trim()].join("\n");
  const sha = createHash("sha1").update(text).digest("hex");
  scriptNames.set(sha, name);

  return {
    name,
    text,
    sha,
    async run(send, keyValues, argValues, rest = []) {
      const command: CommandArgument[] = ["EVALSHA", sha, String(keys.length)];
      for (const key of keys) command.push(keyValues[key]);
      for (const arg of args) command.push(toArgument(name, arg, argValues[arg]));
      for (const arg of rest) command.push(arg);
      try {
        return reply(await send(command));
      } catch (error) {
        if (replyWord(error) !== "NOSCRIPT") throw error;
        return reply(await send(["EVAL", text, ...command.slice(2)]));
      }
    },
  };
}

function toArgument(script: string, name: string, value: CommandArgument | number) {
  if (typeof value !== "number") return value;
  // "NaN" and "Infinity" would reach Lua as text and fail, or compare, in the middle of the script.
  if (!Number.isFinite(value)) {
    throw new RangeError(`Script ${script}: argument ${name} must be finite, but is ${value}`);
  }
  return String(value);
}
