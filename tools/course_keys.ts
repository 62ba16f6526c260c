/**
 * What the course leaves in a Redis: the names are read from the examples themselves, so that a new
 * step is known at once. Nothing is guessed: a key belongs to the course when it is one of these
 * names, or made of one in a way that the course makes keys.
 *
 * @module
 */

import type { ConnectedClient } from "@workshop/redis-patterns";
import { exampleFiles, listSteps, listTutorials, ROOT } from "./example.ts";

const REGISTRY = "queue:registry";

/** What was found. */
export interface Left {
  /** Keys, sorted. */
  keys: string[];
  /** Members of the list of queues. */
  queues: string[];
}

/** The queues, lists and streams that the examples use unless they are told otherwise. */
export async function courseNames(): Promise<string[]> {
  const names = new Set<string>();
  for (const path of exampleFiles([...await listSteps(), ...await listTutorials()])) {
    const text = await Deno.readTextFile(new URL(path, ROOT));
    for (const [, name] of text.matchAll(/\b(?:queue|stream): "([\w-]+)"/g)) names.add(name!);
  }
  return [...names].sort();
}

/** Names that a learner's checks make, and those of the features of a tutorial. */
const MADE = "learn_[0-9][0-9]_*";
const FEATURES = "features_[0-9]_*";

/** What the partitions of a queue are called: `lab_photos.1of6`, or `lab_photos.4of6-41`. */
const partitionsOf = (name: string) => `${name}.[0-9]of[0-9]*`;

/** Patterns, as SCAN has them, of the keys of the course. */
export function coursePatterns(names: string[]): string[] {
  const ofName = (name: string) => [
    name,
    `${name}:processing`,
    `${name}:dead`,
    `${name}:bank`,
    `charge:${name}:*`,
    `queue:{${name}}:*`,
    `queue:{${partitionsOf(name)}}:*`,
  ];
  return [...names.flatMap(ofName), MADE, `queue:{${MADE}`, FEATURES, `queue:{${FEATURES}`];
}

/** What of the course there is. */
export async function findLeft(client: ConnectedClient): Promise<Left> {
  const names = await courseNames();
  const patterns = coursePatterns(names).map(toRegExp);
  const keys: string[] = [];
  // One walk, whatever the number of patterns; SCAN may name a key twice.
  for await (const some of client.scanIterator({ COUNT: 1_000 })) {
    keys.push(...some.filter((key) => patterns.some((pattern) => pattern.test(key))));
  }
  const own = [...names, ...names.map(partitionsOf), MADE, FEATURES].map(toRegExp);
  const queues = (await client.zRange(REGISTRY, 0, -1)).filter((member) => {
    const name = member.slice(member.indexOf(" ") + 1);
    return own.some((pattern) => pattern.test(name));
  });
  return { keys: [...new Set(keys)].sort(), queues };
}

/** Removes what was found. */
export async function removeLeft(client: ConnectedClient, { keys, queues }: Left): Promise<void> {
  for (let i = 0; i < keys.length; i += 500) await client.unlink(keys.slice(i, i + 500));
  if (queues.length > 0) await client.zRem(REGISTRY, queues);
}

/** `*` and `[0-9]` as in Redis; all else, braces too, is meant as it stands. */
function toRegExp(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+?^${}()|\\]/g, "\\$&").replaceAll("*", ".*");
  return new RegExp(`^${escaped}$`, "s");
}
