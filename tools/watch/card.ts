/**
 * What a message looks like: a card with a few words, from whatever is in it. The same message is the
 * same card wherever it lies, so that its way can be followed. Pure; what cannot be read is shown as it
 * stands.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { readEnvelope } from "../../queue/envelope.ts";

/** A message, to look at. */
export interface Card {
  /** The same wherever the message lies. */
  id: string;
  /** A few words of its payload. */
  label: string;
  /** What kind of work it is, as a number from 0 to 5: a colour. */
  hue: number;
  /** How often it was handed over and came back; 0 where nobody counts. */
  attempts: number;
}

const MAX_LABEL = 26;
/** Clocks and payload machinery, of no interest to who looks. */
const DULL = /^(n|madeAt|.*_?(at|time|timestamp))$/i;
const HUES = 6;

/** The card of an entry: a message of a queue with leases, or a payload as it is. */
export function cardOf(entry: string): Card {
  const envelope = readEnvelope(Buffer.from(entry));
  if (!envelope) return { ...read(entry), id: `p${hash(entry)}`, attempts: 0 };
  const { id, uid, attempts } = envelope;
  return { ...read(envelope.body.toString()), id: `m${hash(`${id} ${uid}`)}`, attempts };
}

/** The card of a stream entry that is none of a queue's: its fields and values. */
export function entryCard(id: string, fields: string[]): Card {
  const own = fields[0] === "m" && fields.length === 2 ? cardOf(fields[1]!) : undefined;
  if (own?.id.startsWith("m")) return own;
  const pairs = Array.from({ length: fields.length / 2 }, (_, i) => fields.slice(2 * i, 2 * i + 2));
  const label = wordsOf(Object.fromEntries(pairs));
  return { id: `s${id.replace("-", "_")}`, label: cut(label), hue: hueOf(label), attempts: 0 };
}

function read(body: string): Pick<Card, "label" | "hue"> {
  // A task is its name in a line, and the payload below it.
  const [, task, rest] = /^([\w.-]+)\n([\s\S]*)$/.exec(body) ?? [];
  const words = [task, wordsOf(parse(rest ?? body))].filter(Boolean).join(" ");
  return { label: cut(words || "(nothing)"), hue: hueOf(words) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // not JSON: shown as it stands
  }
}

function wordsOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  const values = Object.entries(value).filter(([key]) => !DULL.test(key)).map(([, each]) => each);
  const plain = values.filter((each) => ["string", "number", "boolean"].includes(typeof each));
  return plain.slice(0, 3).map(String).join(" ") || JSON.stringify(value);
}

function cut(text: string): string {
  // deno-lint-ignore no-control-regex -- they would move the cursor of a terminal
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "·").replace(/[ .]+$/, "");
  return plain.length > MAX_LABEL ? `${plain.slice(0, MAX_LABEL - 1)}…` : plain;
}

/** Messages of a kind have the same colour: numbers and addresses do not count. */
function hueOf(words: string): number {
  return parseInt(hash(words.replace(/\S+@\S+|\d+/g, "")), 36) % HUES;
}

/** FNV-1a: short, and stable from one run to the next. */
export function hash(text: string): string {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ char.codePointAt(0)!, 0x01000193);
  return (value >>> 0).toString(36);
}
