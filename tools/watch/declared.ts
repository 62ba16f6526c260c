/**
 * Which keys and channels a step is about, read from the flags in its code: nobody searches the server
 * for keys. Pure; ends with what it found.
 *
 * @module
 */
import { queueKeys } from "@workshop/redis-patterns";

/** What is looked at. */
export interface Declared {
  /** Names of queues and streams: of plain keys, and of queues with leases. */
  names: string[];
  /** Names of channels. What begins with one of them and a colon is meant, too. */
  channels: string[];
}

/** The queues, streams and channels whose names are defaults in this code. */
export function declaredIn(code: string[]): Declared {
  const text = code.join("\n");
  const find = (pattern: RegExp) => [
    ...new Set([...text.matchAll(pattern)].map(([, flag, path]) => (flag ?? path)!)),
  ];
  return {
    // By HTTP a queue's name stands in the address.
    names: find(/\b(?:queue|stream): "([^"]+)"|"\/queues\/([\w-]+)/g),
    channels: find(/\bchannel: "([^"]+)"/g),
  };
}

/** The keys a name may stand for, by what they are; those of queues as the package tells them. */
export function keysOf(name: string): { key: string; role: Role }[] {
  const { ready, lapsed, leased, leases, delayed, dead, workers } = queueKeys(name);
  const own = { ready, lapsed, leased, leases, delayed, dead, workers };
  return [
    { key: name, role: "plain" },
    { key: `${name}:processing`, role: "plain" }, // of tutorial 2
    ...Object.entries(own).map(([role, key]) => ({ key, role: role as Role })),
  ];
}

/** What a key is for. */
export type Role =
  | "plain"
  | "ready"
  | "lapsed"
  | "leased"
  | "leases"
  | "delayed"
  | "dead"
  | "workers";
