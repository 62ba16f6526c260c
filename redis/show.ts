/**
 * A value in a message: every error that refuses something names it in these words.
 *
 * @module
 */
import { Buffer } from "node:buffer";

/**
 * What a value is: `the string "10"`, `the number NaN`, `an Array`. A value of a type that is `expected`
 * needs no such introduction: there it is `"10"`, or `-1`.
 */
export function show(value: unknown, ...expected: ("string" | "number")[]): string {
  const known = (expected as string[]).includes(typeof value);
  switch (typeof value) {
    case "undefined":
      return "undefined";
    case "bigint":
      return `the BigInt ${value}n`;
    case "number":
      return known ? String(value) : `the number ${value}`;
    case "function":
      return `the function ${value.name || "(anonymous)"}`;
    case "symbol":
      return String(value);
    case "string":
      return known ? preview(value) : `the string ${preview(value)}`;
    case "boolean":
      return `the boolean ${value}`;
  }
  if (value === null) return "null";
  const name = value?.constructor?.name;
  if (typeof name !== "string" || name === "" || name === "Object") return "an object";
  return `${/^[AEIO]/i.test(name) ? "an" : "a"} ${name}`;
}

/** The beginning of a value, quoted, for messages. */
export function preview(value: string | Uint8Array): string {
  const head = typeof value === "string" ? value : Buffer.from(value.subarray(0, 120)).toString();
  const cut = head.length > 80 ? head.slice(0, 80) + "…" : head;
  return JSON.stringify(cut);
}
