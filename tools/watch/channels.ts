/**
 * Pub/sub, followed by the commands: who listens to what, what was said, and who heard it. Redis keeps
 * nothing of it, so this is all there is to see.
 *
 * @module
 */
import { type Card, cardOf } from "./card.ts";

/** A message that was published. */
export interface Said {
  card: Card;
  channel: string;
  /** When, in milliseconds of `performance.now()`. */
  at: number;
  /** Who listened at that moment; nobody means that it is gone. */
  heardBy: string[];
}

/** How long what was said can be seen. */
const REMEMBERED_MS = 6_000;
const MOST = 12;

/** See the module. */
export class Channels {
  readonly #listeners = new Map<string, { channels: Set<string>; patterns: Set<string> }>();
  #counted: ReadonlyMap<string, number> = new Map();
  #said: Said[] = [];
  #count = 0;
  /** Channel to how many messages were published in it. */
  readonly published: Map<string, number> = new Map();

  /** What was said lately, the newest last. */
  said(now: number): Said[] {
    return this.#said = this.#said.filter(({ at }) => now - at < REMEMBERED_MS).slice(-MOST);
  }

  /** Everybody who listens to something; those who began before we did are known by their number. */
  get listeners(): { from: string; to: string[] }[] {
    const known = [...this.#listeners].map(([from, { channels, patterns }]) => ({
      from,
      to: [...channels, ...patterns],
    }));
    const others = [...this.#counted].flatMap(([channel, count]) => {
      const missing = count - known.filter(({ to }) => to.includes(channel)).length;
      return Array.from({ length: Math.max(0, missing) }, (_, i) => ({
        from: `listener ${i + 1} of ${channel}`,
        to: [channel],
      }));
    });
    return [...known, ...others];
  }

  /** How many listen to each channel, as Redis counts. */
  count(listeners: ReadonlyMap<string, number>): void {
    this.#counted = listeners;
  }

  /** Forgets a client that is gone. */
  forget(from: string): void {
    this.#listeners.delete(from);
  }

  /** A command of a client. Gives how many messages moved. */
  hear(from: string, [name, ...args]: string[], now: number): number {
    switch (name) {
      case "SUBSCRIBE":
      case "PSUBSCRIBE": {
        const own = this.#listeners.get(from) ?? { channels: new Set(), patterns: new Set() };
        this.#listeners.set(from, own);
        for (const each of args) (name === "SUBSCRIBE" ? own.channels : own.patterns).add(each);
        return 0;
      }
      case "UNSUBSCRIBE":
      case "PUNSUBSCRIBE": {
        const own = this.#listeners.get(from);
        const set = name === "UNSUBSCRIBE" ? own?.channels : own?.patterns;
        for (const each of args.length > 0 ? args : [...set ?? []]) set?.delete(each);
        if (own && own.channels.size + own.patterns.size === 0) this.forget(from);
        return 0;
      }
      case "PUBLISH": {
        const [channel, message] = args as [string, string];
        const heardBy = this.listeners
          .filter(({ to }) => to.some((each) => matches(each, channel)))
          .map(({ from }) => from);
        this.published.set(channel, (this.published.get(channel) ?? 0) + 1);
        const card = { ...cardOf(message), id: `u${++this.#count}` }; // said twice is two messages
        this.#said.push({ card, channel, at: now, heardBy });
        if (this.#said.length > 2 * MOST) this.#said.splice(0, MOST);
        return 1;
      }
      default:
        return 0;
    }
  }
}

/** As Redis matches a pattern, but for the escapes. */
export function matches(pattern: string, channel: string): boolean {
  const regex = pattern.replace(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", ".*").replaceAll(
    "?",
    ".",
  );
  return new RegExp(`^${regex}$`, "s").test(channel);
}
