/**
 * What can go wrong between this program and Redis, sorted by what the caller can do about it.
 *
 * Three questions matter to whoever catches an error: did the command reach Redis (`sent`), can
 * trying again help (`fatal`), and was it Redis itself that said no (an error reply, told by its
 * first word)? The answers are drawn here, once, so that no loop has to know a client library's
 * error classes.
 *
 * @module
 */

/**
 * Redis could not be reached, or the connection was lost before the reply came.
 *
 * `sent` tells what may have happened to the command: `false`, it never left this process and can
 * safely be repeated; `true`, its reply is missing, so it may or may not have been carried out.
 *
 * @example Tell the two cases apart
 * ```ts
 * import { RedisConnectionError } from "@workshop/redis-patterns";
 *
 * const error = new RedisConnectionError("no reply within 5000 ms", {
 *   address: "127.0.0.1:6379",
 *   sent: true,
 * });
 * console.log(error.sent ? "may have been stored" : "was not stored");
 * ```
 */
export class RedisConnectionError extends Error {
  /** The name that stack traces show. */
  override readonly name = "RedisConnectionError";
  /** `host:port` or the socket's path; never a password. */
  readonly address: string;
  /** Whether the command was written to the connection, so that it may have been carried out. */
  readonly sent: boolean;
  /** Whether trying again is pointless: a wrong password, a certificate, a missing permission. */
  readonly fatal: boolean;

  /**
   * Makes the error.
   *
   * @param message What happened; the address is put behind it.
   * @param options Where, whether the command was sent (default: not), whether it is final.
   */
  constructor(
    message: string,
    options: { address: string; sent?: boolean; fatal?: boolean; cause?: unknown },
  ) {
    super(`Redis at ${options.address}: ${message}`, { cause: options.cause });
    this.address = options.address;
    this.sent = options.sent ?? false;
    this.fatal = options.fatal ?? false;
  }
}

/**
 * Redis refused to store something because its memory is full (`maxmemory`, with a policy that evicts
 * nothing). Nothing was stored. What is there can be claimed, settled and removed all the same, which
 * makes room: try again later, or tell whoever produces.
 *
 * @example Tell it from other errors
 * ```ts
 * import { RedisFullError } from "@workshop/redis-patterns";
 *
 * const error = new RedisFullError("127.0.0.1:6379");
 * console.log(error.message); // Redis at 127.0.0.1:6379: its memory is full (OOM): nothing was stored
 * ```
 */
export class RedisFullError extends Error {
  /** The name that stack traces show. */
  override readonly name = "RedisFullError";
  /** `host:port` or the socket's path; never a password. */
  readonly address: string;

  /** Makes the error. */
  constructor(address: string, options?: { cause?: unknown }) {
    super(`Redis at ${address}: its memory is full (OOM): nothing was stored`, options);
    this.address = address;
  }
}

/** First words of error replies that pass by themselves: the server is starting, busy or moving. */
const PASSING = new Set([
  "LOADING",
  "BUSY",
  "READONLY",
  "MASTERDOWN",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "UNBLOCKED",
  "NOREPLICAS",
  "MOVED",
  "ASK",
  "MISCONF",
]);

/**
 * First words of replies by which one of several servers says that it has done nothing: another one
 * has the key, or none has it at the moment.
 */
const ELSEWHERE = new Set([
  "MOVED",
  "ASK",
  "READONLY",
  "TRYAGAIN",
  "CLUSTERDOWN",
  "MASTERDOWN",
  "LOADING",
  "UNBLOCKED",
]);

/** First words of replies that no repetition mends: who we are, or what we may do, is refused. */
const REFUSED = new Set(["WRONGPASS", "NOAUTH", "NOPERM", "NOPROTO"]);

/** Whether a server said that it has done nothing, since the key is, or may be, somewhere else. */
export function isElsewhere(error: unknown): boolean {
  return ELSEWHERE.has(replyWord(error));
}

/** Errors of the client library that are raised before a command is written (HAZARDS of v6). */
const NOT_SENT = new Set([
  "TimeoutError",
  "AbortError",
  "ClientOfflineError",
  "ClientClosedError",
]);

/** Errors after which the fate of a written command is unknown. */
const LOST = new Set([
  "SocketClosedUnexpectedlyError",
  "DisconnectsClientError",
  "ConnectionTimeoutError",
  "SocketTimeoutError",
  "ReconnectStrategyError",
]);

/** The first word of an error reply (`WRONGTYPE`, `OOM` …), or "" for any other error. */
export function replyWord(error: unknown): string {
  if (!(error instanceof Error)) return "";
  // Redis 6 puts a script's line, and its own words, in front of what a command in it has said.
  const said = error.message.replace(/^ERR Error running script .*: -?(?=[A-Z]{2,} )/, "");
  const word = /^ERR The user executing the script can't/.test(said)
    ? "NOPERM" // as Redis 7 says it of a command in a script
    : /^([A-Z][A-Z0-9]+)(?: |$)/.exec(said)?.[1] ?? "";
  // Node spells system errors the same way ("ECONNRESET ..."), but gives them a code.
  return "code" in error ? "" : word;
}

/** Whether nobody can mend this by trying again: credentials, certificates, permissions. */
export function isFatal(error: unknown): boolean {
  if (error instanceof RedisConnectionError) return error.fatal;
  if (!(error instanceof Error)) return false;
  // The client's copy of what it gave up for has that one's message, and neither name nor code.
  if ("originalError" in error) return isFatal(error.originalError);
  if (REFUSED.has(replyWord(error))) return true;
  // Before Redis 6 a wrong password was a plain ERR, and a bad database number still is.
  if (/^ERR (AUTH|invalid password|Client sent AUTH|DB index|invalid DB)/i.test(error.message)) {
    return true;
  }
  const code = "code" in error ? String(error.code) : "";
  if (/CERT|ERR_TLS|ERR_SSL|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)) return true;
  if (/certificate|SSL routines|wrong version number|corrupt message/i.test(error.message)) {
    return true;
  }
  // EPERM: Deno says so instead of looking up a name without the permission to.
  return error.name === "NotCapable" || error.name === "PermissionDenied" ||
    code === "EACCES" || code === "EPERM";
}

/** Whether the connection, not the command, is the matter. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof RedisConnectionError) return true;
  if (!(error instanceof Error)) return false;
  if (NOT_SENT.has(errorName(error)) || LOST.has(errorName(error))) return true;
  return "code" in error && /^E[A-Z]+$/.test(String(error.code));
}

/** Whether a loop should wait a little and go on: a lost connection, or a passing reply. */
export function isRetryable(error: unknown): boolean {
  if (isFatal(error)) return false;
  if (isConnectionError(error) || PASSING.has(replyWord(error))) return true;
  if (error instanceof RedisFullError) return true; // others make room
  return error instanceof Error && error.message.includes("max number of clients reached");
}

/** Whether a node of a cluster, connected to as if it were alone, said that another one has the key. */
export function isMisplaced(error: unknown): boolean {
  return error instanceof RedisConnectionError && replyWord(error.cause) === "MOVED";
}

/** Whether a command was taken back before it was written. */
export function isTakenBack(error: unknown): boolean {
  return error instanceof Error && errorName(error) === "AbortError";
}

/**
 * Turns whatever the client library threw into an error that names the address and says whether
 * the command was sent. Error replies and our own errors pass unchanged.
 */
export function explain(error: unknown, address: string): unknown {
  if (error instanceof RedisConnectionError || !(error instanceof Error)) return error;
  if (replyWord(error) === "OOM") return new RedisFullError(address, { cause: error });
  const fatal = isFatal(error);
  if (!fatal && !isConnectionError(error)) return error;
  // An error reply to a command is Redis's own answer; only a refused handshake becomes ours.
  if (fatal && replyWord(error) === "NOPERM") return error;
  return new RedisConnectionError(describe(error), {
    address,
    sent: LOST.has(errorName(error)) || ("code" in error && !isUnsentCode(String(error.code))),
    fatal,
    cause: error,
  });
}

/** A sentence for errors whose own message is empty or speaks of the library's insides. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("originalError" in error) return describe(error.originalError);
  const code = "code" in error ? String(error.code) : "";
  if (code === "ECONNREFUSED") return "connection refused";
  if (code === "ENOTFOUND") return "the host name does not resolve";
  if (error.name === "NotCapable" || code === "EPERM") {
    return `${redact(error.message)} (a host name needs --allow-net=<host> without a port)`;
  }
  switch (errorName(error)) {
    case "ClientClosedError":
      return "the client is closed (or was never connected)";
    case "TimeoutError":
    case "ClientOfflineError":
      return "not connected at the moment";
    case "DisconnectsClientError":
      return "the connection was closed while the command was under way";
    case "SocketClosedUnexpectedlyError":
      return "the connection was lost";
    case "ConnectionTimeoutError":
      return "no answer to the connection attempt";
  }
  return redact(error.message) || errorName(error);
}

/** A URL without its password, whatever shape the URL has. */
export function redactUrl(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)?[\s\S]*@/i, "$1***@");
}

/**
 * The text with the password of any URL in it replaced, for messages and events; also without a scheme.
 * Word by word, in the time of one look: what is told may be long, and may be an attacker's.
 */
export function redact(text: string): string {
  return text.replace(/[^\s"']+/g, (word) => {
    const end = word.lastIndexOf("@"); // the last one: a password may itself contain some
    if (end < 0 || !word.slice(0, end).includes(":")) return word;
    // The first colon, or it stands in a password.
    const scheme = word.indexOf(":");
    const front = word.startsWith("://", scheme) && scheme < end ? word.slice(0, scheme + 3) : "";
    return `${front}***${word.slice(end)}`;
  });
}

function errorName(error: Error): string {
  // The client library sets no `name` on its errors: their class is the only mark.
  return error.name === "Error" ? error.constructor.name : error.name;
}

function isUnsentCode(code: string): boolean {
  return code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "EAI_AGAIN" ||
    code === "EHOSTUNREACH" || code === "ENETUNREACH" || code === "ETIMEDOUT" ||
    code === "EACCES" || /CERT|TLS|SSL|SELF_SIGNED/.test(code);
}
