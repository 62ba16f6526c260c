/**
 * Messages as they come out of Redis: read into deliveries, or shown to whoever looks.
 *
 * An entry that cannot be decoded, or that the schema refuses, is dead from then on, once, with its
 * bytes; the others are not held up by it.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import { type Codec, DecodeError } from "../redis/codec.ts";
import { Delivery } from "./delivery.ts";
import { readEnvelope, readHistory } from "./envelope.ts";
import type { Seen } from "./operator_scripts.ts";
import type { PeekState, Waiting } from "./leased_types.ts";
import { readLogEntry } from "./logs.ts";
import type { Validate } from "./schema.ts";
import type { Hand } from "./hand.ts";
import type { Settler } from "./settler.ts";

/** See the module; `I` is what the codec gives, `T` what the schema makes of it. */
export class Reader<T, I> {
  readonly #name: string;
  readonly #codec: Codec<I>;
  readonly #validate: Validate<T> | undefined;

  constructor(
    { name, codec, validate }: {
      name: string;
      codec: Codec<I>;
      validate: Validate<T> | undefined;
    },
  ) {
    this.#name = name;
    this.#codec = codec;
    this.#validate = validate;
  }

  /** Deliveries of what can be read; what cannot goes to the dead letters, once, with its bytes. */
  async deliver(
    hand: Hand,
    messages: (Uint8Array | null)[],
    settler: Settler,
    onUndecodable: (error: DecodeError) => void = () => {}, // it is with the dead letters
  ): Promise<Delivery<T>[]> {
    const deliveries: Delivery<T>[] = [];
    const settling: Promise<void>[] = [];
    for (const [i, message] of messages.entries()) {
      if (message === null) continue; // settled by somebody else
      const envelope = readEnvelope(message as Buffer);
      const index = i + 1;
      if (envelope?.cancelled) {
        settling.push(settler.release(hand, index)); // only the mark is left
        continue;
      }
      try {
        if (!envelope) throw new TypeError("not a message of this library");
        let payload = this.#codec.decode(envelope.body) as unknown as T;
        if (this.#validate) {
          const checked = this.#validate(payload);
          payload = checked instanceof Promise ? await checked : checked;
        }
        deliveries.push(new Delivery({ envelope, payload, hand, index, settler }));
      } catch (cause) {
        const error = new DecodeError(this.#name, new Uint8Array(envelope?.body ?? message), cause);
        onUndecodable(error);
        settling.push(settler.bury(hand, index, error.message, error));
      }
    }
    // What could not be buried comes back by its lease, and is then.
    if (settling.length > 0) await Promise.allSettled(settling);
    return deliveries;
  }

  /** An entry that was looked at, as it is shown; undefined for what is gone, or only a mark. */
  async show(state: PeekState, [entry, at, field, cut]: Seen): Promise<Waiting<T> | undefined> {
    if (!entry) return undefined;
    const log = state === "completed" || state === "failed" ? readLogEntry(entry) : undefined;
    const reasonEnd = state === "dead" ? entry.indexOf(10) : -1;
    const message = log?.message ?? entry.subarray(reasonEnd + 1);
    const envelope = readEnvelope(message);
    if (envelope?.cancelled) return undefined;
    const isCut = cut !== undefined && cut !== null;
    const raw = new Uint8Array(envelope?.body ?? (isCut ? [] : entry));
    const shown: Waiting<T> = {
      id: state === "dead" ? String(field) : envelope?.id ?? "",
      raw,
      bytes: raw.length + Number(cut ?? 0),
      attempts: envelope?.attempts ?? 0,
      enqueuedAt: envelope?.enqueuedAt ?? 0,
      readyAt: envelope?.waitsFrom ?? 0,
      priority: envelope?.priority ?? 0,
      errors: envelope ? readHistory(envelope.history) : [],
      ...(state === "delayed" && { dueAt: Number(at) }),
      ...(state === "dead" && {
        deadAt: Number(at),
        reason: readReason(entry.toString("utf8", 0, reasonEnd)),
      }),
      ...(state === "leased" && {
        consumer: String(field).split(":")[0]!,
        leaseExpiresAt: Number(at),
        token: `${String(field)}:${(envelope?.attempts ?? 0) + 1}`,
      }),
      ...(log && {
        consumer: log.worker,
        finishedAt: log.finishedAt,
        ...(log.receivedAt !== undefined && { receivedAt: log.receivedAt }),
      }),
    };
    if (isCut) return shown;
    try {
      const payload = this.#codec.decode(raw) as unknown as T;
      return { ...shown, payload: this.#validate ? await this.#validate(payload) : payload };
    } catch {
      return shown; // without a payload: the raw bytes are there
    }
  }
}

function readReason(line: string): string {
  try {
    return String(JSON.parse(line));
  } catch {
    return line; // somebody else's entry
  }
}
