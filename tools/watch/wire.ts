/**
 * A line of MONITOR, taken apart: who sent which command, or that a script did. Pure.
 *
 * @module
 */

/** A command that the server has executed. */
export interface Sent {
  /** The client's `address:port`; undefined for a command of a script. */
  from: string | undefined;
  /** The command's name, in capitals, and its arguments. */
  args: string[];
}

/** Greetings and questions that belong to no lesson. */
const HOUSEKEEPING = new Set(
  "AUTH CLIENT CONFIG ECHO HELLO INFO MONITOR PING QUIT RESET SELECT COMMAND".split(" "),
);

/** `1700000000.000001 [0 127.0.0.1:50000] "LPUSH" "key" "…"`; undefined for what is none. */
export function parseLine(line: string): Sent | undefined {
  const [, from, rest] = /^\+?[\d.]+ \[\d+ ([^\]]*)\] (".*)$/s.exec(line) ?? [];
  if (rest === undefined) return undefined;
  const args = [...rest.matchAll(/"((?:[^"\\]|\\.)*)"/gs)].map(([, text]) => unescape(text!));
  if (args.length === 0) return undefined;
  args[0] = args[0]!.toUpperCase();
  return { from: from === "lua" ? undefined : from, args };
}

/** Whether a command is of no interest to who learns. */
export function isHousekeeping({ args }: Sent): boolean {
  return HOUSEKEEPING.has(args[0]!);
}

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b" };

/** MONITOR writes what is no printable ASCII byte by byte, as `\xc3`. */
function unescape(text: string): string {
  if (!text.includes("\\")) return text;
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (const [part, hex, char] of text.matchAll(/\\x([0-9a-f]{2})|\\(.)|[^\\]+/gs)) {
    if (hex) bytes.push(parseInt(hex, 16));
    else bytes.push(...encoder.encode(char ? ESCAPES[char] ?? char : part));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}
