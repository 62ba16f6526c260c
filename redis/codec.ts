/**
 * Codecs turn a payload into the bytes that Redis keeps, and back.
 *
 * The rule of this file is that nothing changes silently: a payload that would come back as
 * something else is refused before it is sent, and bytes that are not what they should be are
 * handed out raw in a {@linkcode DecodeError} instead of being repaired.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { preview, show } from "./show.ts";

/**
 * How payloads of type `T` are written to Redis and read back.
 *
 * @example A codec of your own
 * ```ts
 * import type { Codec } from "@workshop/redis-patterns";
 *
 * const dates: Codec<Date> = {
 *   encode: (date) => date.toISOString(),
 *   decode: (raw) => new Date(new TextDecoder().decode(raw)),
 * };
 * console.log(dates.encode(new Date(0))); // 1970-01-01T00:00:00.000Z
 * ```
 */
export interface Codec<T> {
  /** The value as it will stand in Redis. Throws for what cannot be carried. */
  encode(payload: T): string | Uint8Array;
  /** The payload of what stands in Redis. Throws for what it cannot read. */
  decode(raw: Uint8Array): T;
}

/**
 * A codec by name: `"json"` (the default), `"text"` for strings as they are, `"bytes"` for
 * `Uint8Array`s as they are; or one of your own.
 */
export type CodecOption<T> =
  | "json"
  | (string extends T ? "text" : never)
  | (Uint8Array extends T ? "bytes" : never)
  | Codec<T>;

/** Largest payload by default, in bytes as stored: 1 MiB. */
export const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576;

/**
 * An entry in Redis that the codec could not read: written by another program, or by another
 * version of this one.
 *
 * A plain pop has taken the entry out of Redis already, so this error is the only place that still
 * has it: `raw` is the entry as it was, byte for byte.
 *
 * @example Keep what could not be read
 * ```ts
 * import { DecodeError } from "@workshop/redis-patterns";
 *
 * const error = new DecodeError("mail", new TextEncoder().encode("{oops"), new SyntaxError("…"));
 * console.log(new TextDecoder().decode(error.raw)); // {oops
 * ```
 */
export class DecodeError extends Error {
  /** The name that stack traces show. */
  override readonly name = "DecodeError";
  /** The queue or channel the entry came from. */
  readonly source: string;
  /** The entry, byte for byte. */
  readonly raw: Uint8Array;
  /**
   * Everything that the failed call took out of Redis, in order: messages that could be read, and a
   * `DecodeError` for each entry that could not. Empty where the call took nothing out.
   */
  taken: readonly unknown[] = [];

  /**
   * Makes the error.
   *
   * @param source The queue or channel the entry came from.
   * @param raw The entry, byte for byte.
   * @param cause What the codec threw.
   */
  constructor(source: string, raw: Uint8Array, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`Cannot read a message of "${source}": ${reason}; it is ${preview(raw)}`, { cause });
    this.source = source;
    this.raw = raw;
  }
}

/** The codec that an option names. */
export function codecOf<T>(option: CodecOption<T> = "json"): Codec<T> {
  if (typeof option === "object" && option !== null) {
    if (typeof option.encode === "function" && typeof option.decode === "function") return option;
  } else if (Object.hasOwn(NAMED, option)) {
    return NAMED[option] as unknown as Codec<T>;
  }
  throw new TypeError(
    `codec must be "json", "text", "bytes" or an object with encode and decode, ` +
      `but is ${show(option, "string")}`,
  );
}

/** Length of a value in UTF-8 or as it is. */
export function byteLength(value: string | Uint8Array): number {
  return typeof value === "string" ? Buffer.byteLength(value) : value.byteLength;
}

/**
 * The value to send for a payload: encoded, checked against the size cap, and, if it is bytes,
 * copied, since the command is written a little later than it is made.
 *
 * @throws {TypeError} for what the codec cannot carry.
 * @throws {RangeError} for what is larger than `maxBytes`.
 */
export function encode<T>(codec: Codec<T>, payload: T, maxBytes: number): string | Buffer {
  const value = codec.encode(payload);
  if (typeof value !== "string" && !(value instanceof Uint8Array)) {
    throw new TypeError(`A codec must give a string or a Uint8Array, but gave ${show(value)}`);
  }
  // A string has at most three bytes a UTF-16 unit: most payloads need no exact count.
  if (value.length * 3 > maxBytes) {
    const bytes = byteLength(value);
    if (bytes > maxBytes) {
      throw new RangeError(
        `A payload may have ${maxBytes} bytes (maxPayloadBytes), but this one has ${bytes}: ` +
          preview(value),
      );
    }
  }
  return typeof value === "string" ? value : Buffer.from(value);
}

const json: Codec<unknown> = {
  encode(payload) {
    let text: string | undefined;
    try {
      text = JSON.stringify(payload);
    } catch (cause) {
      throw new TypeError(findUncarried(payload) ?? `JSON cannot carry the payload`, { cause });
    }
    // After stringify, so that a cycle has been found and the walk ends.
    if (typeof payload !== "string") walk(payload);
    if (text === undefined) throw new TypeError(`JSON cannot carry the payload: ${show(payload)}`);
    return text;
  },
  decode: (raw) => JSON.parse(toText(raw)),
};

const text: Codec<string> = {
  encode(payload) {
    if (typeof payload !== "string") {
      throw new TypeError(`codec "text" carries strings, but the payload is ${show(payload)}`);
    }
    if (!payload.isWellFormed()) {
      throw new TypeError(`A text payload must be well-formed Unicode: ${JSON.stringify(payload)}`);
    }
    return payload;
  },
  decode: (raw) => toText(raw),
};

const bytes: Codec<Uint8Array> = {
  encode(payload) {
    if (!(payload instanceof Uint8Array)) {
      throw new TypeError(
        `codec "bytes" carries a Uint8Array, but the payload is ${show(payload)}`,
      );
    }
    return payload;
  },
  // A copy: the reply's buffer is shared by everything that came in the same read.
  decode: (raw) => new Uint8Array(raw),
};

const NAMED = { json, text, bytes };

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 to text, refusing broken bytes instead of replacing them. */
function toText(raw: Uint8Array): string {
  const text = Buffer.isBuffer(raw) ? raw.toString("utf8") : Buffer.from(raw).toString("utf8");
  // Only text with a replacement character can hide broken bytes; the strict decoder is slower.
  if (text.includes("\ufffd")) strict.decode(raw);
  return text;
}

/** Throws for anything that `JSON.stringify` would drop or change without a word. */
function walk(value: unknown): void {
  if (isCarried(value)) return;
  throw new TypeError(findUncarried(value) ?? "JSON cannot carry the payload");
}

/** The hot path: no path is kept, nothing is allocated. */
function isCarried(value: unknown): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object": {
      if (value === null) return true;
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) if (!isCarried(value[i])) return false;
        return true;
      }
      if (!isPlain(value)) return isCarriedObject(value);
      for (const key in value) {
        const member = (value as Record<string, unknown>)[key];
        // An absent member and an undefined one are the same to a reader; JSON leaves it out.
        if (member !== undefined && !isCarried(member)) return false;
      }
      return true;
    }
    default:
      return false;
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return (prototype === Object.prototype || prototype === null) &&
    !("toJSON" in value && typeof value.toJSON === "function");
}

/** Instances: what says how it becomes JSON is fine; containers that JSON empties are not. */
function isCarriedObject(value: object): boolean {
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  if ("toJSON" in value && typeof value.toJSON === "function") return isCarried(value.toJSON(""));
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return isCarried(value.valueOf());
  }
  if (
    value instanceof Map || value instanceof Set || value instanceof Promise ||
    value instanceof RegExp || value instanceof WeakMap || value instanceof WeakSet ||
    value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof Error
  ) return false;
  // What has no members of its own (Headers, a generator, a class with private fields) becomes {}.
  const members = Object.values(value);
  return members.length > 0 &&
    members.every((member) => member === undefined || isCarried(member));
}

/** The slow path, for the message only: the first member that JSON cannot carry, with its place. */
function findUncarried(value: unknown, path = "payload", seen = new Set()): string | undefined {
  if (typeof value === "object" && value !== null) {
    if (seen.has(value)) return `JSON cannot carry ${path}: it contains itself (a cycle)`;
    seen.add(value);
    const plain = Array.isArray(value) || isPlain(value);
    if (plain || !["Map", "Set", "Promise"].includes(value.constructor?.name ?? "")) {
      // Not Object.entries for arrays: it leaves out holes, and JSON makes null of them.
      const members = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
      for (const [key, member] of members) {
        if (member === undefined && !Array.isArray(value)) continue;
        const place = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
        const found = findUncarried(member, place, seen);
        if (found) return found;
      }
    }
    seen.delete(value);
    if (plain || isCarriedObject(value)) return undefined;
  } else if (isCarried(value)) return undefined;
  return `JSON cannot carry ${path}: it is ${show(value)}`;
}
