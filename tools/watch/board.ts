/**
 * What is going on in Redis, put together from two sources: looks at the declared keys, which are true,
 * and the commands between them, which say who did it. Both arrive in the order in which the server
 * did them, since each look stands among the commands, too. It holds no connection and no timer.
 *
 * @module
 */
import { type Card, cardOf } from "./card.ts";
import { Channels, matches } from "./channels.ts";
import { CommandLog, type Line } from "./command_log.ts";
import { type Declared, keysOf, type Role } from "./declared.ts";
import { Lists } from "./lists.ts";
import type { Hand, Look, Structure } from "./look.ts";
import { isHousekeeping, type Sent } from "./wire.ts";

/** Somebody who works or listens. */
export interface Box {
  id: string;
  name: string;
  /** What it is doing, in a few words. */
  doing: string;
  cards: Card[];
  /** How much of its lease is left, 0 to 1; undefined where there is no lease. */
  lease?: number;
  /** Milliseconds until its lease is over. */
  leftMs?: number;
  isListener: boolean;
  isGone: boolean;
}

/** Everything that a page shows. */
export interface Scene {
  now: number;
  structures: Structure[];
  boxes: Box[];
  dead: Look["dead"];
  channels: {
    name: string;
    /** How many messages, ever. */
    published: number;
    listeners: string[];
    said: { card: Card; heardBy: string[]; isFresh: boolean }[];
  }[];
  /** What readers of a stream without a group have got to. */
  readers: { key: string; name: string; at: string }[];
  lines: Line[];
  /** Commands by name since the last scene, most frequent first; for when lines would be a blur. */
  counts: [command: string, times: number][];
  movesPerSecond: number;
  /** Too fast for the eye: counts, no motion. */
  isDense: boolean;
}

/** Who has this port of the server's, or this process id. */
export type NameOf = (who: { pid?: number; port?: number }) => string | undefined;

/** Above this many moves a second there is nothing to follow. */
export const DENSE = 10;
const WINDOW_MS = 2_000;
const GONE_MS = 4_000;
/** How long a message that was published stays at the speaker before it is at those who heard it. */
export const MOUTH_MS = 450;

/** How many messages a command brings to a place where they wait. */
const ARRIVALS: Record<string, (args: string[]) => number> = {
  LPUSH: (args) => args.length - 2,
  RPUSH: (args) => args.length - 2,
  ZADD: (args) => Math.floor((args.length - 2) / 2),
  XADD: () => 1,
};

const WAITING: ReadonlySet<Role> = new Set<Role>(["plain", "ready", "delayed"]);

/** See the module. */
export class Board {
  readonly #declared: Declared;
  readonly #nameOf: NameOf | undefined;
  readonly #roles: Map<string, Role>;
  readonly #lists: Lists;
  readonly #channels = new Channels();
  readonly #log = new CommandLog();
  readonly #moves: { at: number; came: number; taken: number }[] = [];
  readonly #names = new Map<string, string>();
  readonly #readers = new Map<string, { key: string; from: string; at: string }>();
  readonly #gone: { box: Box; at: number }[] = [];
  /** Lease to how long it was when it was first seen. */
  readonly #leaseMs = new Map<string, number>();
  /** Keys that were lists and are empty now stay in the picture. */
  readonly #kinds = new Map<string, Structure["kind"]>();
  #look: Look = { now: 0, structures: [], hands: [], dead: [], listeners: new Map() };
  #lastFrom = "";

  constructor(declared: Declared, nameOf?: NameOf) {
    this.#declared = declared;
    this.#nameOf = nameOf;
    const keys = declared.names.flatMap(keysOf);
    this.#roles = new Map(keys.map(({ key, role }) => [key, role]));
    const plain = keys.filter(({ role }) => role === "plain").map(({ key }) => key);
    this.#lists = new Lists(new Set(plain));
  }

  /** A command, as MONITOR tells it. */
  hear(sent: Sent, now: number): void {
    const { args, from } = sent;
    if (isHousekeeping(sent)) return;
    if (from !== undefined) this.#lastFrom = from;
    this.#log.hear(sent, from === undefined ? "" : this.#name(from));
    const [command, key] = args as [string, string];
    const role = this.#roles.get(key);
    const arrived = role && WAITING.has(role) ? ARRIVALS[command]?.(args) ?? 0 : 0;
    const came = arrived + this.#channels.hear(from ?? this.#lastFrom, args, now);
    const moved = from === undefined ? 0 : this.#lists.hear(from, args); // pushes among them
    const claimed = role === "leased" && command === "HSET" ? (args.length - 2) / 2 : 0;
    const taken = claimed + Math.max(0, moved - (role === "plain" ? arrived : 0));
    if (args[0] === "XREAD" && from) this.#read(from, args);
    if (came + taken > 0) this.#moves.push({ at: now, came, taken });
  }

  /** A look, at the place among the commands where it was taken. */
  see(look: Look): void {
    this.#look = look;
    this.#channels.count(look.listeners);
    for (const each of look.structures) {
      this.#kinds.set(each.key, each.kind);
      if (each.kind === "list" && this.#roles.get(each.key) === "plain") {
        this.#lists.set(each.key, each.entries);
      }
    }
    const seen = new Set(look.structures.map(({ key }) => key));
    for (const [key, kind] of this.#kinds) {
      if (!seen.has(key) && kind === "list") this.#lists.set(key, []);
    }
  }

  /** Who is connected now, by address. Who is not any more is gone. */
  present(addresses: Set<string>, now: number): void {
    const known = new Set([
      ...this.#lists.hands.keys(),
      ...this.#lists.waiting,
      ...this.#channels.listeners.map(({ from }) => from).filter((from) =>
        !from.startsWith("listener")
      ),
      ...[...this.#readers.values()].map(({ from }) => from),
    ]);
    for (const from of known) {
      if (addresses.has(from)) continue;
      const cards = (this.#lists.hands.get(from) ?? []).map(cardOf);
      const box = this.#box(from, { cards, doing: "gone", isGone: true });
      if (this.#lists.hands.has(from)) this.#gone.push({ box, at: now });
      this.#lists.forget(from);
      this.#channels.forget(from);
      for (const [id, reader] of this.#readers) if (reader.from === from) this.#readers.delete(id);
    }
  }

  /** Everything as it is to be shown now. */
  scene(now: number): Scene {
    const movesPerSecond = this.#rate(now);
    return {
      now: this.#look.now,
      structures: this.#structures(),
      boxes: this.#boxes(now),
      dead: this.#look.dead,
      channels: this.#stages(now),
      readers: [...this.#readers.values()].map(({ key, from, at }) => ({
        key,
        at,
        name: this.#name(from),
      })),
      lines: this.#log.lines,
      counts: this.#log.takeCounts(),
      movesPerSecond,
      isDense: movesPerSecond > DENSE,
    };
  }

  #structures(): Structure[] {
    const now = this.#look.structures;
    const emptied = [...this.#kinds].filter(([key]) => !now.some((each) => each.key === key))
      .map(([key, kind]): Structure | undefined =>
        kind === "list"
          ? { kind, key, size: 0, entries: [] }
          : kind === "zset"
          ? { kind, key, size: 0, rungs: [], byTime: key.endsWith(":delayed") }
          : undefined
      ).filter((each) => each !== undefined);
    const order = [...this.#roles.keys()];
    return [...now, ...emptied].filter(({ key }) =>
      this.#roles.get(key) !== "lapsed" || now.some((each) => each.key === key)
    ).sort((a, b) => order.indexOf(a.key) - order.indexOf(b.key));
  }

  #boxes(now: number): Box[] {
    const plain = [...new Set([...this.#lists.waiting, ...this.#lists.hands.keys()])]
      .filter((from) => this.#worksHere(from))
      .map((from) => {
        const keys = this.#lists.waitsAt(from).filter((key) => this.#roles.get(key) === "plain");
        const cards = (this.#lists.hands.get(from) ?? []).map(cardOf);
        const doing = keys.length > 0
          ? `waits at ${keys.join(", ")}`
          : cards.length > 0
          ? "Redis has forgotten this one"
          : "asks again and again";
        return this.#box(from, { cards: keys.length > 0 ? [] : cards, doing });
      });
    // Redis names a consumer for half a minute after its end.
    const isHere = ({ pid, cards }: Hand) =>
      cards.length > 0 || !this.#nameOf || /^[^✝]+$/.test(this.#nameOf({ pid }) ?? "");
    const leased = this.#look.hands.filter(isHere).map((hand) => this.#handBox(hand));
    while (this.#gone[0] && now - this.#gone[0].at > GONE_MS) this.#gone.shift();
    const boxes = [...leased, ...plain, ...this.#gone.map(({ box }) => box)];
    return boxes.toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  }

  /** A client that only waits for a queue's token is seen by its hand. */
  #worksHere(from: string): boolean {
    const keys = this.#lists.waitsAt(from);
    return keys.length === 0 || keys.some((key) => this.#roles.get(key) === "plain");
  }

  #handBox({ queue, consumer, pid, mode, cards, leaseEndsAt }: Hand): Box {
    const box: Box = {
      id: `h${consumer}`.replace(/\W/g, "_"),
      name: this.#nameOf?.({ pid }) ?? `consumer ${consumer.slice(0, 4)}${pid ? ` · ${pid}` : ""}`,
      doing: cards.length > 0 ? `leased from ${queue}` : mode ? `${mode}, nothing in hand` : "idle",
      cards,
      isListener: false,
      isGone: false,
    };
    if (leaseEndsAt === undefined) return box;
    const leftMs = Math.max(0, leaseEndsAt - this.#look.now);
    const ofMs = Math.max(leftMs, this.#leaseMs.get(consumer) ?? 0);
    this.#leaseMs.set(consumer, ofMs);
    const doing = leftMs === 0 ? "its lease is over" : box.doing;
    return { ...box, doing, lease: ofMs > 0 ? leftMs / ofMs : 0, leftMs };
  }

  #box(
    from: string,
    { cards, doing, isGone = false }: Pick<Box, "cards" | "doing"> & { isGone?: boolean },
  ): Box {
    const id = `c${from}`.replace(/\W/g, "_");
    return { id, name: this.#name(from), doing, cards, isListener: false, isGone };
  }

  #stages(now: number): Scene["channels"] {
    const said = this.#channels.said(now);
    const isOurs = (name: string) =>
      this.#declared.channels.some((own) => name === own || name.startsWith(`${own}:`));
    const listeners = this.#channels.listeners;
    const known = listeners.flatMap(({ to }) => to.filter((name) => !/[*?[]/.test(name)));
    const names = new Set([
      ...this.#declared.channels.filter((name) => this.#look.listeners.get(name)),
      ...known.filter(isOurs),
      ...said.map(({ channel }) => channel).filter(isOurs),
    ]);
    return [...names].map((name) => {
      const here = listeners.filter(({ to }) => to.some((each) => matches(each, name)));
      return {
        name,
        published: this.#channels.published.get(name) ?? 0,
        listeners: here.map(({ from }) => this.#name(from)),
        said: said.filter(({ channel }) => channel === name).map(({ card, heardBy, at }) => ({
          card,
          heardBy: heardBy.map((from) => this.#name(from)),
          isFresh: now - at < MOUTH_MS,
        })),
      };
    });
  }

  /** Whether something changes by itself soon: what was said moves on, what is over fades. */
  get isRestless(): boolean {
    return this.#gone.length > 0 || this.#channels.said(performance.now()).length > 0;
  }

  /** Moves a second; a message that comes and is taken at once is one. */
  #rate(now: number): number {
    while (this.#moves[0] && now - this.#moves[0].at > WINDOW_MS) this.#moves.shift();
    const sum = (what: "came" | "taken") =>
      this.#moves.reduce((total, each) => total + each[what], 0);
    return Math.max(sum("came"), sum("taken")) / (WINDOW_MS / 1_000);
  }

  /** `XREAD … STREAMS key id`: that is how far this reader says it has got. */
  #read(from: string, args: string[]): void {
    const names = args.slice(args.findIndex((arg) => arg.toUpperCase() === "STREAMS") + 1);
    for (const [i, key] of names.slice(0, names.length / 2).entries()) {
      if (!this.#roles.has(key)) continue;
      this.#readers.set(`${key} ${from}`, { key, from, at: names[names.length / 2 + i]! });
    }
  }

  #name(from: string): string {
    if (from.startsWith("listener ")) return from.split(" of ")[0]!;
    const port = Number(from.slice(from.lastIndexOf(":") + 1));
    const known = this.#nameOf?.({ port });
    if (known) return known;
    const name = this.#names.get(from) ?? `client ${this.#names.size + 1}`;
    this.#names.set(from, name);
    return name;
  }
}
