/**
 * Everything that stands in Redis for one queue, in one look, for the model test.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
import { readEnvelope, readHistory } from "../queue/envelope.ts";
import type { ReadyKind } from "../queue/ready_lua.ts";
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import type { QueueKeys } from "../redis/keys.ts";

/** What can be seen of a message; its payload is its number. */
export interface Seen {
  place: "ready" | "lapsed" | "leased" | "delayed" | "dead";
  /** Only the mark of a cancelled message. */
  cancelled: boolean;
  lease: string;
  attempts: number;
  /** Its last lease ran out. */
  fell: boolean;
  errors: number;
}

/** What stands in Redis; messages by their numbers. */
export interface Snapshot {
  places: Map<number, Seen>;
  entries: Map<number, string>;
  leases: Set<string>;
  /** Ids that a producer chose, and the uids of the messages that hold them. */
  ids: [id: string, uid: string][];
  /** Keys of deduplication, who holds them as it stands there, and whether for a time: still, or over. */
  keys: [key: string, holder: string, window: "" | "open" | "over"][];
  tokens: number;
  /** Tasks by their ids: the state on record, and the attempts. */
  records: [id: string, state: string, attempts: number][];
}

/** The uids of messages, in both directions: of a cancelled message nothing else is left. */
export class Uids {
  readonly #numbers = new Map<string, number>();
  readonly #uids = new Map<number, string>();

  set(n: number, uid: string): void {
    assertEquals(this.#uids.get(n) ?? uid, uid, "a message keeps its uid");
    this.#numbers.set(uid, n);
    this.#uids.set(n, uid);
  }

  has(n: number): boolean {
    return this.#uids.has(n);
  }

  of(n: number): string {
    return this.#uids.get(n)!;
  }

  /** The number of a message, by what stands in Redis. */
  numberOf(entry: Uint8Array): number {
    const { uid, body, cancelled } = readEnvelope(entry as Buffer)!;
    if (!cancelled) this.set(Number(/\d+$/.exec(body.toString())![0]), uid);
    const n = this.#numbers.get(uid);
    assert(n !== undefined, `the mark of a message that never was: ${uid}`);
    return n;
  }
}

/** Looks; throws if a message is in two places, or in a hand without a lease. */
export async function look(
  redis: RedisClient,
  { kind, keys, uids }: { kind: ReadyKind; keys: QueueKeys; uids: Uids },
): Promise<Snapshot> {
  const names = KEYS.map((name) => keys[name]);
  const command = ["EVAL", LOOK[kind], String(names.length), ...names];
  const reply = await call(redis, command, { raw: true }) as [
    ...Buffer[][],
    number,
    Buffer[],
    Buffer[],
  ];
  const consumers = (reply.pop() as Buffer[]).map(String);
  const known = (reply.pop() as Buffer[]).map(String);
  const tokens = reply.pop() as number;
  const [
    ready,
    lapsed,
    leased,
    leases,
    pending,
    delayed,
    dead,
    deadAt,
    ids,
    taken,
    until,
    records,
  ] = reply as Buffer[][];
  const ends = new Map(pairs(until!).map(([key, end]) => [String(key), Number(end)]));
  const now: Snapshot = {
    places: new Map(),
    entries: new Map(),
    leases: new Set(leases!.map(String)),
    ids: pairs(ids!).map(([id, uid]) => [String(id), String(uid)]),
    keys: pairs(taken!).map(([key, holder]) => [String(key), String(holder), ""]),
    tokens,
    records: pairs(records!).map(([id, record]) => {
      const [state, , , , type, attempts] = record.toString().split("\t");
      assertEquals(type, TASK);
      return [String(id), state!, Number(attempts)];
    }),
  };
  for (const key of now.keys) {
    const end = ends.get(key[0]);
    if (end !== undefined) key[2] = end > Date.now() + 60_000 ? "open" : "over";
    ends.delete(key[0]);
  }
  assertEquals([...ends], [], "windows of keys that nobody holds");
  const add = (place: Seen["place"], entry: Buffer, field = "") => {
    const { attempts, lapsed: fell, history, id, cancelled } = readEnvelope(entry)!;
    const n = uids.numberOf(entry);
    assert(!now.places.has(n), `${n} is in two places`);
    const lease = field.replace(/:\d+$/, "");
    if (place === "leased") assert(now.leases.has(lease), `${field} is held without a lease`);
    if (place === "dead") assertEquals(field, id);
    const errors = readHistory(history).length;
    now.places.set(n, {
      place,
      cancelled,
      lease: place === "leased" ? lease : "",
      attempts,
      fell,
      errors,
    });
    now.entries.set(n, entry.toString());
  };
  for (const entry of ready!) add("ready", entry);
  for (const entry of lapsed!) add("lapsed", entry);
  for (const entry of delayed!) add("delayed", entry);
  const onRecord: string[] = []; // with a stream's group
  const idsOf = new Map(
    pairs(pending!).map(([lease, ids]) => [String(lease), `${ids}`.split(" ")]),
  );
  for (const lease of idsOf.keys()) {
    assert(now.leases.has(lease), `${lease} is no lease, and has ids`);
  }
  for (const [field, held] of pairs(leased!)) {
    const [consumer, most, count, index] = String(field).split(":");
    const lease = `${consumer}:${most}:${count}`;
    const id = idsOf.get(lease)?.[Number(index) - 1];
    if (id !== undefined) onRecord.push(`${id} ${lease}`);
    add("leased", held, String(field));
  }
  assertEquals(known.sort(), onRecord.sort(), "who holds what, as the group knows it");
  const left = consumers.filter((consumer) => !now.leases.has(consumer));
  assertEquals(left, [], "consumers of the group whose lease is gone");
  for (const [id, record] of pairs(dead!)) {
    add("dead", record.subarray(record.indexOf(10) + 1), String(id));
  }
  const inHash = pairs(dead!).map(([id]) => String(id));
  assertEquals(deadAt!.map(String).sort(), inHash.sort(), "dead letters and their times");
  return now;
}

const KEYS = [
  "ready",
  "lapsed",
  "leased",
  "leases",
  "pending",
  "delayed",
  "dead",
  "dead_at",
  "ids",
  "dedupe",
  "dedupe_until",
  "wake",
  "records",
] as const;

/** What all tasks of the model are called. */
export const TASK = "count";

/** In a stream, also what the group has on record: ids and hands, and the consumers that it knows. */
const STREAM = script(`
for i, entry in ipairs(redis.call("XRANGE", KEYS[1], "-", "+")) do ready[i] = entry[2][2] end
local pending = redis.pcall("XPENDING", KEYS[1], "workers", "-", "+", 10000)
for i, entry in ipairs(pending) do on_record[i] = entry[1] .. " " .. entry[2] end
for i, consumer in ipairs(redis.pcall("XINFO", "CONSUMERS", KEYS[1], "workers")) do
  consumers[i] = consumer[2]
end`);

const LOOK = {
  list: script(`ready = redis.call("LRANGE", KEYS[1], 0, -1)`),
  priority: script(`ready = redis.call("ZRANGE", KEYS[1], 0, -1)`),
  stream: STREAM,
  tasks: STREAM,
};

function script(ready: string): string {
  return `local ready, on_record, consumers = {}, {}, {}
${ready}
return {ready, redis.call("LRANGE", KEYS[2], 0, -1), redis.call("HGETALL", KEYS[3]),
redis.call("ZRANGE", KEYS[4], 0, -1), redis.call("HGETALL", KEYS[5]),
redis.call("ZRANGE", KEYS[6], 0, -1), redis.call("HGETALL", KEYS[7]),
redis.call("ZRANGE", KEYS[8], 0, -1), redis.call("HGETALL", KEYS[9]), redis.call("HGETALL", KEYS[10]),
redis.call("ZRANGE", KEYS[11], 0, -1, "WITHSCORES"), redis.call("HGETALL", KEYS[13]),
redis.call("LLEN", KEYS[12]), on_record, consumers}`;
}

function pairs(flat: Buffer[]): [Buffer, Buffer][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}
