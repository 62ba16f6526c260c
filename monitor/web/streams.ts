/**
 * A stream and its groups, as Redis sees them: the queue's own words are leases and hands, these are
 * Redis's.
 *
 * @module
 */
import { queueKeys, type RedisClient } from "@workshop/redis-patterns";
import { messageOf } from "../snapshot.ts";

/** One consumer of a group, or all hands of one of ours: to the group each hand is a consumer. */
export interface StreamConsumer {
  /** Its name; of one of ours the one by which it is found among the workers. */
  readonly name: string;
  /** How many entries it was given and has not acknowledged. */
  readonly unacked: number;
  /** For how long nothing was heard of it, in milliseconds. */
  readonly idleMs: number;
}

/** One group of a stream. */
export interface StreamGroup {
  /** Its name. */
  readonly name: string;
  /** How many entries it has not read yet; Redis 7 and newer, where it can be told. */
  readonly lag?: number;
  /** How many were given to somebody and not acknowledged. */
  readonly unacked: number;
  /** Up to where it has read. */
  readonly lastId: string;
  /** Who reads, those with most in front. */
  readonly consumers: readonly StreamConsumer[];
}

/** A stream. */
export interface Stream {
  /** Its key. */
  readonly key: string;
  /** How many entries it has. */
  readonly length: number;
  /** Its groups. */
  readonly groups: readonly StreamGroup[];
  /** Why nothing more can be told. */
  readonly trouble?: string;
}

/** How many groups and consumers are told. */
const GROUPS = 20;
const CONSUMERS = 20;

/** Looks at a stream by `XLEN` and `XINFO`, whose cost does not grow with it. */
export async function lookAtStream(client: RedisClient, name: string): Promise<Stream> {
  const key = queueKeys(name).ready;
  try {
    const length = Number(await client.sendCommand(["XLEN", key]));
    const groups = length > 0 || await client.sendCommand(["EXISTS", key]) === 1
      ? await client.sendCommand(["XINFO", "GROUPS", key]) as unknown[]
      : [];
    return { key, length, groups: await Promise.all(groups.slice(0, GROUPS).map(readGroup)) };
  } catch (error) {
    if (error instanceof Error && /^(WRONGTYPE|NOPERM)/.test(error.message)) {
      return { key, length: 0, groups: [], trouble: messageOf(error) };
    }
    throw error;
  }

  async function readGroup(raw: unknown): Promise<StreamGroup> {
    const group = fieldsOf(raw);
    const called = String(group.get("name"));
    const consumers = await client.sendCommand(["XINFO", "CONSUMERS", key, called]) as unknown[];
    const lag = group.get("lag");
    return {
      name: called,
      ...(lag !== null && lag !== undefined && { lag: Number(lag) }),
      unacked: Number(group.get("pending")),
      lastId: String(group.get("last-delivered-id")),
      consumers: consumersOf(consumers.map(fieldsOf)),
    };
  }
}

/** What a hand is called in the group: by its lease, which begins with the consumer. */
const HAND = /^([a-z0-9-]+):\d+:\d+$/i;

/** Those with most in front, the hands of one consumer together. */
function consumersOf(fields: readonly Map<string, unknown>[]): StreamConsumer[] {
  const consumers = new Map<string, StreamConsumer>();
  for (const one of fields) {
    const called = String(one.get("name"));
    const name = HAND.exec(called)?.[1] ?? called;
    const { unacked = 0, idleMs = Infinity } = consumers.get(name) ?? {};
    consumers.set(name, {
      name,
      unacked: unacked + Number(one.get("pending")),
      idleMs: Math.min(idleMs, Number(one.get("idle"))),
    });
  }
  return [...consumers.values()].sort((a, b) => b.unacked - a.unacked).slice(0, CONSUMERS);
}

/** Names and values, in turns (RESP2) or as an object (RESP3). */
function fieldsOf(raw: unknown): Map<string, unknown> {
  if (!Array.isArray(raw)) return new Map(Object.entries(raw as Record<string, unknown>));
  const fields = new Map<string, unknown>();
  for (let i = 0; i < raw.length; i += 2) fields.set(String(raw[i]), raw[i + 1]);
  return fields;
}
