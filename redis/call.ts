/**
 * One command with a deadline.
 *
 * The client library's own time limit and its abort signal act only until a command is written; on
 * a server that stopped answering, a written command waits for ever. Every command of this library
 * therefore goes through `call`, which ends in one of three ways: the reply, the error reply, or a
 * {@linkcode RedisConnectionError} that says whether the command was sent.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { RESP_TYPES } from "redis";
import { addressOf, type CommandArgument, type NodeClient, type RedisClient } from "./client.ts";
import { type Deadline, deadlinesOf } from "./deadlines.ts";
import { explain, isTakenBack, RedisConnectionError, replyWord } from "./errors.ts";
import { checkOpen, isOneOfSeveral, lastTrouble } from "./supervise.ts";
import { nextTurn } from "./timers.ts";

/** How long a command may take by default, in milliseconds. */
export const DEFAULT_DEADLINE_MS = 5_000;

/** How a command is sent. */
export interface CallOptions {
  /** How long it may take, in milliseconds. @default {5_000} */
  deadlineMs?: number;
  /** Whether bulk strings come back as `Buffer`s. @default {false} */
  raw?: boolean;
}

/** Replies as bytes: text would replace what is not UTF-8, and the original would be gone. */
const AS_BYTES = { [RESP_TYPES.BLOB_STRING]: Buffer };

/**
 * Sends one command and waits for its reply, `deadlineMs` at most: to the server of the client, or to
 * the one of its servers that has the command's key.
 *
 * @throws {RedisConnectionError} when there is no connection or no reply.
 */
export function call(
  client: RedisClient,
  args: readonly CommandArgument[],
  options: CallOptions = {},
): Promise<unknown> {
  try {
    const route = checkOpen(client);
    if (route) return route.call(args, options);
  } catch (error) {
    return Promise.reject(error);
  }
  return send(client as NodeClient, args, options);
}

function send(
  client: NodeClient,
  args: readonly CommandArgument[],
  { deadlineMs = DEFAULT_DEADLINE_MS, raw = false }: CallOptions,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const unsent = new Unsent();
    const over = async () => {
      unsent.takeBack();
      // A busy event loop gets here before it has read the reply.
      await nextTurn();
      await nextTurn();
      reject(silence(client, args, deadlineMs));
    };
    const deadlines = deadlinesOf(client);
    const deadline: Deadline = { at: performance.now() + deadlineMs, over };
    deadlines.add(deadline);
    client.sendCommand(args, {
      abortSignal: unsent,
      timeout: 0, // the library's default makes a timer for every command
      typeMapping: raw ? AS_BYTES : undefined,
    }).then((reply) => {
      deadlines.remove(deadline);
      resolve(reply);
    }, (error) => {
      deadlines.remove(deadline);
      if (isTakenBack(error)) reject(offline(client, deadlineMs));
      else if (replyWord(error) === "MOVED" && !isOneOfSeveral(client)) reject(lone(client, error));
      else reject(explain(error, addressOf(client)));
    });
  });
}

/**
 * A command that may not have been written yet. It stands in for an `AbortSignal`, of which the client
 * library needs just this: a real one, with its listener, takes as long as all else that is done here
 * for a command.
 */
class Unsent {
  aborted = false;
  #listener: (() => void) | undefined;

  addEventListener(_type: "abort", listener: () => void): void {
    this.#listener = listener;
  }

  /** Called when the command is written. */
  removeEventListener(): void {
    this.#listener = undefined;
  }

  /** Rejects the command, if it was not written yet. */
  takeBack(): void {
    this.aborted = true;
    this.#listener?.();
  }
}

function offline(client: RedisClient, deadlineMs: number): RedisConnectionError {
  const trouble = lastTrouble(client);
  return new RedisConnectionError(
    `not connected${trouble && ` (${trouble})`}, waited ${deadlineMs} ms`,
    { address: addressOf(client) },
  );
}

/**
 * A node of a cluster that was connected to as if it were alone: it does not have all keys. Not fatal: a
 * loop that waits is there when the slot comes back.
 */
function lone(client: NodeClient, cause: unknown): RedisConnectionError {
  const address = addressOf(client);
  return new RedisConnectionError(
    `it is a node of a cluster, and another node has the key (MOVED): connect to the cluster, by ` +
      `connect({ cluster: { nodes: ["${address}"] } }) or the URL redis+cluster://${address}`,
    { address, cause },
  );
}

function silence(
  client: RedisClient,
  args: readonly CommandArgument[],
  deadlineMs: number,
): RedisConnectionError {
  return new RedisConnectionError(
    `no reply to ${args[0]} within ${deadlineMs} ms: the connection is dead, ` +
      `or a blocking command holds it`,
    { address: addressOf(client), sent: true },
  );
}
