/**
 * What the checks of the exercises have in common: a room in which the learner's code meets a real
 * Redis. Its client goes through a door of its own, so that MONITOR can tell what it sent. A check
 * ends with one sentence that says what is wrong, or with nothing to say; or after its time, since
 * what a learner writes may wait for ever.
 *
 * @module
 */
import { connect, type ConnectedClient } from "@workshop/redis-patterns";
import { Door, Ear, type Heard } from "../../tools/example_wire.ts";
import { RedisServer } from "../../tools/redis_server.ts";

/** The longest that an exercise may take, in milliseconds. */
const LIMIT_MS = 3_000;

/** What is not solved yet; its message is the sentence that the learner sees. */
export class Unsolved extends Error {
  /** The name by which the runner finds it in the output of `deno test`. */
  override readonly name = "Unsolved";
}

/** What a check works with. */
export interface Room {
  /** The learner's client. */
  redis: ConnectedClient;
  /** The check's own client, which MONITOR tells from the learner's. */
  look: ConnectedClient;
  /** A name for a key or a queue that nobody else has: `learn_07_photos`. */
  name(part: string): string;
  /** What the learner's code sent while `run` ran: command and arguments, in order. */
  during(run: () => Promise<unknown>): Promise<string[][]>;
  /** What the learner's code has sent so far. */
  sent(): Promise<string[][]>;
  /** All that the server did so far, that inside of scripts, too. */
  heard(): Promise<Heard[]>;
  /** How many connections the learner's code has open. */
  connections(): Promise<number>;
}

/**
 * Registers the check of an exercise.
 *
 * @param number The step's, such as `07`.
 * @param check Throws `Unsolved`, by {@linkcode must}, for what is wrong.
 * @param options `limitMs`: how long it may take, 3 s by default. Only what starts processes or
 * threads needs more.
 */
export function exercise(
  number: string,
  check: (room: Room) => Promise<void>,
  { limitMs = LIMIT_MS }: { limitMs?: number } = {},
): void {
  const options = { sanitizeOps: false, sanitizeResources: false }; // unsolved code may leave a mess
  Deno.test(number, options, async () => {
    const given = givenUrl();
    await using server = given ? undefined : await RedisServer.start();
    const url = new URL(given ?? server!.url);
    url.hostname = "127.0.0.1";
    const port = Number(url.port || 6379);
    const ear = await Ear.open(port);
    const door = new Door(port);
    const look = await connect({ url: url.href, heartbeatMs: 0 });
    url.port = String(door.port);
    const redis = await connect({ url: url.href, heartbeatMs: 0 });
    const name = (part: string) => `learn_${number}_${part}`;
    const sent = async () => {
      await ear.catchUp();
      return ear.sentBy(door);
    };
    const room: Room = {
      redis,
      look,
      name,
      sent,
      async during(run) {
        const before = (await sent()).length;
        await run();
        return (await sent()).slice(before);
      },
      async heard() {
        await ear.catchUp();
        return ear.heard;
      },
      async connections() {
        const ports = (await look.clientList()).map(({ addr }) => Number(addr.split(":").at(-1)));
        return ports.filter((port) => door.guests.has(port)).length;
      },
    };
    try {
      await clean(look, name(""));
      const seconds = limitMs / 1_000;
      const late =
        `It has not come to an end within ${seconds} s: does it wait for what never comes?`;
      await within(check(room), late, limitMs);
      await clean(look, name("")); // what failed leaves its keys, to be looked at
    } finally {
      for (const client of [redis, look]) if (client.isOpen) client.destroy();
      await Promise.all([ear.close(), door.close()]);
    }
  });
}

/**
 * What `REDIS_URL` names, if a check can listen there: MONITOR tells what everybody sends, which is
 * for a Redis of your own alone, and the door leads to this machine, without a password.
 */
function givenUrl(): string | undefined {
  const given = Deno.env.get("REDIS_URL");
  if (!given) return undefined;
  const { protocol, hostname, password } = new URL(given);
  const isNear = ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
  return isNear && protocol === "redis:" && !password ? given : undefined;
}

/** Removes what the check has made: by its names, never by FLUSH. */
async function clean(client: ConnectedClient, prefix: string): Promise<void> {
  for (const MATCH of [`${prefix}*`, `queue:{${prefix}*`]) {
    for await (const keys of client.scanIterator({ MATCH, COUNT: 1_000 })) {
      if (keys.length > 0) await client.unlink(keys);
    }
  }
  const registry = "queue:registry";
  const queues = (await client.zRange(registry, 0, -1)).filter((member) =>
    member.includes(` ${prefix}`)
  );
  if (queues.length > 0) await client.zRem(registry, queues);
}

/** Says what is wrong, unless all is well. */
export function must(ok: boolean, sentence: string): asserts ok {
  if (!ok) throw new Unsolved(sentence);
}

/** The promise, or `sentence` when it takes too long. */
export async function within<T>(promise: Promise<T>, sentence: string, ms = 1_000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unsolved(sentence)), ms);
  });
  promise.catch(() => {}); // when it loses the race, nobody else hears of its end
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until `look` is true; `sentence` when it takes too long. */
export async function until(
  look: () => boolean | Promise<boolean>,
  sentence: string,
  ms = 1_000,
): Promise<void> {
  const over = performance.now() + ms;
  while (!await look()) {
    must(performance.now() < over, sentence);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The names of commands, as a sentence has them: `RPOP, LPUSH`. */
export function names(commands: string[][]): string {
  return commands.map(([name]) => name).join(", ");
}
