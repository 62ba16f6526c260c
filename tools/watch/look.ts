/**
 * One look at the declared keys: all of them at the same moment, by one script that only reads. A look
 * is bounded, however much there is: the size of everything, and the entries that matter next.
 *
 * @module
 */
import type { ConnectedClient } from "@workshop/redis-patterns";
import { type Card, cardOf, entryCard } from "./card.ts";
import { type Declared, keysOf, type Role } from "./declared.ts";

/** A LIST: what comes out next stands last. */
export interface Belt {
  kind: "list";
  key: string;
  size: number;
  /** The entries at the right end, left to right, as they are. */
  entries: string[];
}

/** A ZSET: the lowest score first. */
export interface Ladder {
  kind: "zset";
  key: string;
  size: number;
  rungs: { card: Card; score: number }[];
  /** Whether the scores are times, in milliseconds since 1970. */
  byTime: boolean;
}

/** A STREAM: the oldest entry first. */
export interface Ribbon {
  kind: "stream";
  key: string;
  size: number;
  entries: { id: string; card: Card }[];
  groups: {
    name: string;
    /** The last entry that it handed out. */
    at: string;
    pending: number;
    /** What each consumer has been given and has not acknowledged. */
    trays: { consumer: string; ids: string[]; count: number }[];
  }[];
}

/** What a consumer has in hand, under leases. */
export interface Hand {
  queue: string;
  consumer: string;
  pid?: number;
  mode?: string;
  cards: Card[];
  /** When the next of its leases is over, in milliseconds since 1970; undefined without any. */
  leaseEndsAt?: number;
}

/** Messages that nobody is given any more. */
export interface Dead {
  queue: string;
  size: number;
  cards: Card[];
}

/** A structure that messages wait in. */
export type Structure = Belt | Ladder | Ribbon;

/** Everything at one moment. */
export interface Look {
  /** Redis's time, in milliseconds since 1970. */
  now: number;
  structures: Structure[];
  hands: Hand[];
  dead: Dead[];
  /** Channel to how many listen. */
  listeners: Map<string, number>;
}

/** Most entries of a key that a look brings along. */
export const MOST = 24;

/** KEYS: what is looked at. ARGV: a mark to find this look by in MONITOR, MOST, channels. */
export const LOOK_SCRIPT = `
local most = tonumber(ARGV[2])
local time = redis.call("TIME")
local found = {}
for i, key in ipairs(KEYS) do
  local type = redis.call("TYPE", key).ok
  if type == "list" then
    found[i] = {type, redis.call("LLEN", key), redis.call("LRANGE", key, -most, -1)}
  elseif type == "zset" then
    found[i] = {type, redis.call("ZCARD", key), redis.call("ZRANGE", key, 0, most - 1, "WITHSCORES")}
  elseif type == "hash" then
    found[i] = {type, redis.call("HLEN", key), redis.call("HSCAN", key, 0, "COUNT", most)[2]}
  elseif type == "stream" then
    local groups = {}
    for j, group in ipairs(redis.call("XINFO", "GROUPS", key)) do
      local pending = redis.call("XPENDING", key, group[2], "-", "+", most)
      local consumers = redis.call("XINFO", "CONSUMERS", key, group[2])
      groups[j] = {group, pending, consumers}
    end
    found[i] = {type, redis.call("XLEN", key), redis.call("XREVRANGE", key, "+", "-", "COUNT", most), groups}
  else
    found[i] = {type}
  end
end
local heard = {}
for i = 3, #ARGV do heard[i - 2] = redis.call("PUBSUB", "NUMSUB", ARGV[i])[2] end
return {time[1] * 1000 + math.floor(time[2] / 1000), found, heard}`;

type Raw = [number, [type: string, size: number, items: unknown, groups?: unknown][], number[]];

/** Scores within ten years of now are times. */
const TEN_YEARS = 315_360_000_000;

/** Looks once. `mark` stands in MONITOR beside it. */
export async function look(
  redis: ConnectedClient,
  { names, channels }: Declared,
  mark = "",
): Promise<Look> {
  const keys = names.flatMap((name) => keysOf(name).map((each) => ({ ...each, name })));
  const [now, found, heard] = await redis.sendCommand([
    "EVAL",
    LOOK_SCRIPT,
    `${keys.length}`,
    ...keys.map(({ key }) => key),
    mark,
    `${MOST}`,
    ...channels,
  ]) as Raw;
  const parts = keys.map((key, i) => ({ ...key, raw: found[i]! }));
  const waiting: Role[] = ["plain", "lapsed", "ready", "delayed"];
  return {
    now,
    structures: parts.filter(({ role }) => waiting.includes(role))
      .map(({ key, raw }) => structureOf(key, raw, now)).filter((each) => each !== undefined),
    hands: names.flatMap((name) => handsOf(name, parts.filter((part) => part.name === name))),
    dead: parts.filter(({ role, raw }) => role === "dead" && raw[0] === "hash")
      .map(({ name, raw }) => ({
        queue: name,
        size: raw[1],
        // The reason stands in a line in front of the message.
        cards: pairs(raw[2] as string[]).map(([, entry]) => cardOf(entry.replace(/^[^\n]*\n/, ""))),
      })),
    listeners: new Map(channels.map((channel, i) => [channel, heard[i] ?? 0])),
  };
}

function structureOf(key: string, raw: Raw[1][number], now: number): Structure | undefined {
  const [type, size, items] = raw;
  if (type === "list") return { kind: "list", key, size, entries: items as string[] };
  if (type === "zset") {
    const rungs = pairs(items as string[])
      .map(([entry, score]) => ({ card: cardOf(entry), score: Number(score) }));
    const byTime = rungs.length > 0 &&
      rungs.every(({ score }) => Math.abs(score - now) < TEN_YEARS);
    return { kind: "zset", key, size, rungs, byTime };
  }
  if (type === "stream") {
    const entries = (items as [string, string[]][]).toReversed()
      .map(([id, fields]) => ({ id, card: entryCard(id, fields) }));
    return { kind: "stream", key, size, entries, groups: groupsOf(raw[3]) };
  }
  return undefined;
}

function groupsOf(raw: unknown): Ribbon["groups"] {
  const groups = raw as [unknown[], [string, string, number, number][], unknown[][]][];
  return groups.map(([info, pending, consumers]) => ({
    name: String(field(info, "name")),
    at: String(field(info, "last-delivered-id")),
    pending: Number(field(info, "pending")),
    trays: consumers.map((consumer) => {
      const name = String(field(consumer, "name"));
      const ids = pending.filter(([, holder]) => holder === name).map(([id]) => id);
      return { consumer: name, ids, count: Number(field(consumer, "pending")) };
    }),
  }));
}

/** A field of a flat list of names and values. */
function field(list: unknown[], name: string): unknown {
  return list[list.indexOf(name) + 1];
}

function handsOf(queue: string, parts: { role: Role; raw: Raw[1][number] }[]): Hand[] {
  const items = (role: Role) => {
    const [type, , list] = parts.find((part) => part.role === role)!.raw;
    return type === "none" || type === "string" ? [] : pairs(list as string[]);
  };
  const hands = new Map<string, Hand>();
  const handOf = (consumer: string) => {
    const hand = hands.get(consumer) ?? { queue, consumer, cards: [] };
    hands.set(consumer, hand);
    return hand;
  };
  for (const [consumer, info] of items("workers")) {
    const { pid, mode } = JSON.parse(info);
    Object.assign(handOf(consumer), { pid, mode });
  }
  const held = new Set<string>();
  for (const [place, message] of items("leased")) { // <consumer>:<n>:<count>:<i>
    const lease = place.slice(0, place.lastIndexOf(":"));
    held.add(lease);
    handOf(consumerOf(lease)).cards.push(cardOf(message));
  }
  for (const [lease, endsAt] of items("leases")) {
    if (!held.has(lease)) continue; // settled, and not yet forgotten
    const hand = handOf(consumerOf(lease));
    hand.leaseEndsAt = Math.min(hand.leaseEndsAt ?? Infinity, Number(endsAt));
  }
  return [...hands.values()];
}

function consumerOf(lease: string): string {
  return lease.split(":").slice(0, -2).join(":");
}

function pairs(list: string[]): [string, string][] {
  return Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i]!, list[2 * i + 1]!]);
}
