/**
 * Plain lists, followed by the commands that change them. Redis does not say who got which entry, but
 * the commands do, in their order: a pop takes the entry at that end, and who waits is served first come,
 * first served. A look at Redis sets everything right that went another way (EXPIRE, SORT … STORE, a
 * script).
 *
 * @module
 */

/** A list's two ends. */
type End = "LEFT" | "RIGHT";

/** Somebody who waits for an entry. */
interface Waiting {
  from: string;
  keys: string[];
  end: End;
  /** Where the entry goes next, if it is moved. */
  to?: { key: string; end: End };
}

/** See the module. */
export class Lists {
  readonly #keys: ReadonlySet<string>;
  readonly #lists = new Map<string, string[]>();
  readonly #waiting: Waiting[] = [];
  /** Client to the entries that it popped last: Redis has forgotten them. */
  readonly hands: Map<string, string[]> = new Map();

  /** Follows these keys and no others. */
  constructor(keys: ReadonlySet<string>) {
    this.#keys = keys;
  }

  /** Sets a list to what is in Redis. */
  set(key: string, entries: string[]): void {
    this.#lists.set(key, [...entries]);
  }

  /** The keys that a client waits at. */
  waitsAt(from: string): string[] {
    return this.#waiting.find((each) => each.from === from)?.keys ?? [];
  }

  /** All clients that wait. */
  get waiting(): string[] {
    return this.#waiting.map(({ from }) => from);
  }

  /** Forgets a client that is gone. */
  forget(from: string): void {
    this.hands.delete(from);
    this.#stopWaiting(from);
  }

  /** A command of a client. Gives how many entries moved. */
  hear(from: string, [name, ...args]: string[]): number {
    this.#stopWaiting(from); // whoever sends a command does not wait any more
    switch (name) {
      case "LPUSH":
      case "RPUSH":
        return this.#push(args[0]!, args.slice(1), name === "LPUSH" ? "LEFT" : "RIGHT");
      case "LPOP":
      case "RPOP": {
        if (!this.#keys.has(args[0]!)) return 0;
        const end = name === "LPOP" ? "LEFT" : "RIGHT";
        const taken = this.#take(args[0]!, end, Number(args[1] ?? 1));
        this.hands.set(from, taken);
        return taken.length;
      }
      case "BLPOP":
      case "BRPOP":
        return this.#wait({
          from,
          keys: args.slice(0, -1),
          end: name === "BLPOP" ? "LEFT" : "RIGHT",
        });
      case "RPOPLPUSH":
      case "BRPOPLPUSH":
        return this.#wait(
          { from, keys: [args[0]!], end: "RIGHT", to: { key: args[1]!, end: "LEFT" } },
          name === "RPOPLPUSH",
        );
      case "LMOVE":
      case "BLMOVE": {
        const [source, to, fromEnd, toEnd] = args as [string, string, string, string];
        const ends = [fromEnd.toUpperCase() as End, toEnd.toUpperCase() as End] as const;
        return this.#wait(
          { from, keys: [source], end: ends[0], to: { key: to, end: ends[1] } },
          name === "LMOVE",
        );
      }
      case "LREM":
        return this.#remove(args[0]!, Number(args[1]), args[2]!);
      case "DEL":
      case "UNLINK":
        for (const key of args) this.#lists.delete(key);
        return 0;
      default:
        return 0;
    }
  }

  #push(key: string, entries: string[], end: End): number {
    if (!this.#keys.has(key)) return 0;
    const list = this.#lists.get(key) ?? [];
    this.#lists.set(key, list);
    for (const entry of entries) {
      if (end === "LEFT") list.unshift(entry);
      else list.push(entry);
    }
    let moved = entries.length;
    for (let next = 0; next < this.#waiting.length && list.length > 0;) {
      const waiting = this.#waiting[next]!;
      if (!waiting.keys.includes(key)) {
        next++;
        continue;
      }
      this.#waiting.splice(next, 1);
      moved += this.#serve(waiting, key);
    }
    return moved;
  }

  #wait(waiting: Waiting, atOnce = false): number {
    for (const key of waiting.keys) {
      if ((this.#lists.get(key)?.length ?? 0) > 0) return this.#serve(waiting, key);
    }
    if (!waiting.to) this.hands.delete(waiting.from); // who asks for the next has done the last
    if (!atOnce) this.#waiting.push(waiting);
    return 0;
  }

  #serve({ from, end, to }: Waiting, key: string): number {
    const taken = this.#take(key, end, 1);
    if (!to) this.hands.set(from, taken);
    else this.#push(to.key, taken, to.end);
    return taken.length;
  }

  #take(key: string, end: End, count: number): string[] {
    const list = this.#lists.get(key) ?? [];
    return end === "LEFT"
      ? list.splice(0, count)
      : list.splice(Math.max(0, list.length - count)).toReversed();
  }

  #remove(key: string, count: number, entry: string): number {
    const list = this.#lists.get(key) ?? [];
    const at = count < 0 ? list.lastIndexOf(entry) : list.indexOf(entry);
    if (at >= 0) list.splice(at, 1);
    return at >= 0 ? 1 : 0;
  }

  #stopWaiting(from: string): void {
    const at = this.#waiting.findIndex((each) => each.from === from);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}
