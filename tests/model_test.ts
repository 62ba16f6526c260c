/**
 * The queues with leases against a model: thousands of random steps, and after each one everything
 * that stands in Redis is compared with what the model says. Every message is in exactly one place;
 * its attempts are what its hand-overs were and fall by a redrive only; an id that a producer chose
 * is taken exactly as long as its message lives; the sum of the states is what was enqueued.
 *
 * Time is driven, not waited for: a step sets a lease's deadline, or the time a message is due, back.
 * A lost reply is a command that the library sent, sent once more, now or many steps later.
 *
 * A run prints its seed. One that fails prints the shortest sequence that still fails, and the seed
 * and path to see it again: `MODEL_SEED=… MODEL_PATH=… deno task test --filter model`.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- the seed of a run is worth a line
import { assert, assertEquals, assertGreaterOrEqual, assertRejects } from "@std/assert";
import {
  type Delivery,
  type Enqueued,
  type LeasedQueue,
  LeaseLostError,
  PriorityQueue,
  ReliableQueue,
} from "@workshop/redis-patterns";
import type { Buffer } from "node:buffer";
import fc from "fast-check";
import { WORKED } from "../queue/delivery.ts";
import { readEnvelope, readHistory } from "../queue/envelope.ts";
import { ackScript, extendScript, LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import { type QueueKeys, queueKeys } from "../redis/keys.ts";
import { redisTest } from "./support.ts";

const RUNS = 60;
const MOST_STEPS = 240;
const LEAST_STEPS_IN_ALL = 10_000;
const CONSUMERS = 3;
const MAX_ATTEMPTS = 4;
const HOUR = 3_600_000;
/** Ids that a producer chose; odd ones, since they travel in a header and in tokens. */
const IDS = ["a", "invoice 17", " x ", "7:1:1", "größe%3A", "1 0 0 1 0 0"];

type Kind = "list" | "priority";
type State = "ready" | "delayed" | "dead";
type How = "ack" | "nack" | "later" | "deadLetter" | "release";

/** What is done. Numbers choose among what is there, modulo how much there is. */
type Step =
  | { do: "enqueue"; by: number; items: { id?: number; delayed: boolean; priority: number }[] }
  | { do: "claim"; by: number; most: number }
  | { do: "settle"; how: How; which: number[]; error: boolean }
  | { do: "settleByToken"; by: number; how: "ack" | "nack" | "later" | "deadLetter"; which: number }
  | { do: "extend"; which: number; byToken: boolean }
  | { do: "lapse"; which: number }
  | { do: "due"; which: number }
  | { do: "tick" }
  | { do: "redrive"; most: number; byId: boolean }
  | { do: "purge"; state: State }
  | { do: "kill"; consumer: number }
  | { do: "repeat"; which: number };

const nat = (max = 1_000) => fc.nat({ max });
const one = <const V extends string>(...values: V[]) => fc.constantFrom(...values);
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const doing = <const D extends Step["do"]>(what: D) => fc.constant(what);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: record({
      do: doing("enqueue"),
      by: nat(CONSUMERS - 1),
      items: fc.array(
        record({
          id: fc.option(nat(IDS.length - 1), { nil: undefined }),
          delayed: fc.boolean(),
          priority: fc.integer({ min: -2, max: 3 }),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  {
    weight: 6,
    arbitrary: record({
      do: doing("claim"),
      by: nat(CONSUMERS - 1),
      most: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 6,
    arbitrary: record({
      do: doing("settle"),
      how: one("ack", "ack", "nack", "later", "deadLetter", "release"),
      which: fc.array(nat(), { minLength: 1, maxLength: 4 }),
      error: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: record({
      do: doing("settleByToken"),
      by: nat(CONSUMERS - 1),
      how: one("ack", "nack", "later", "deadLetter"),
      which: nat(),
    }),
  },
  {
    weight: 1,
    arbitrary: record({ do: doing("extend"), which: nat(), byToken: fc.boolean() }),
  },
  { weight: 3, arbitrary: record({ do: doing("lapse"), which: nat() }) },
  { weight: 2, arbitrary: record({ do: doing("due"), which: nat() }) },
  { weight: 1, arbitrary: record({ do: doing("tick") }) },
  {
    weight: 1,
    arbitrary: record({ do: doing("redrive"), most: nat(3), byId: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: record({ do: doing("purge"), state: one("ready", "delayed", "dead") }),
  },
  {
    weight: 1,
    arbitrary: record({ do: doing("kill"), consumer: nat(CONSUMERS - 1) }),
  },
  { weight: 4, arbitrary: record({ do: doing("repeat"), which: nat() }) },
);

/** A message as the model knows it; its payload is its number. */
interface Modelled {
  n: number;
  own: string | undefined;
  priority: number;
  place: "ready" | "lapsed" | "leased" | "delayed" | "dead" | "gone";
  lease: string;
  attempts: number;
  /** Its last lease ran out. */
  fell: boolean;
  errors: number;
  /** Never came back, so its place in the order is promised. */
  fresh: boolean;
  /** The order of going into `ready`. */
  order: number;
  due: boolean;
}

interface Held {
  delivery: Delivery<number>;
  message: Modelled;
  lease: string;
}

interface Sent {
  args: readonly (string | Buffer)[];
  reply: unknown;
}

/** Everything that stands in Redis, as it stood after the last step. */
interface Snapshot {
  places: Map<number, Pick<Modelled, "place" | "lease" | "attempts" | "fell" | "errors">>;
  uids: Map<number, string>;
  entries: Map<number, string>;
  ids: Map<string, string>;
  leases: Set<string>;
  tokens: number;
}

class Run {
  readonly #redis: RedisClient;
  readonly #kind: Kind;
  readonly #name: string;
  readonly #keys: QueueKeys;
  readonly #queues: LeasedQueue<number>[] = [];
  readonly #all: Modelled[] = [];
  /** Leases that were handed out and not seen to be gone; whether their time was set back. */
  readonly #leases = new Map<string, boolean>();
  #held: Held[] = []; // not settled by their own objects
  readonly #past: Held[] = []; // every delivery there ever was: for stale tokens
  readonly #sent: Sent[];
  #orders = 0;
  #now!: Snapshot;

  constructor(
    redis: RedisClient,
    { kind, name, sent }: { kind: Kind; name: string; sent: Sent[] },
  ) {
    this.#redis = redis;
    this.#kind = kind;
    this.#name = name;
    this.#keys = queueKeys(name);
    this.#sent = sent;
    for (let i = 0; i < CONSUMERS; i++) this.#queues.push(this.#consumer());
  }

  /** Does the steps and compares after each. Gives how many there were. */
  async play(steps: readonly Step[]): Promise<void> {
    this.#now = await this.#look();
    for (const step of steps) {
      await this.#do(step);
      await this.#compare();
    }
    await call(this.#redis, ["UNLINK", ...Object.values(this.#keys)]);
  }

  #consumer(): LeasedQueue<number> {
    const options = { leaseMs: HOUR, maxAttempts: MAX_ATTEMPTS, backoff: () => HOUR };
    return this.#kind === "list"
      ? new ReliableQueue<number>(this.#redis, this.#name, options)
      : new PriorityQueue<number>(this.#redis, this.#name, options);
  }

  #in(...places: Modelled["place"][]): Modelled[] {
    return this.#all.filter(({ place }) => places.includes(place));
  }

  #do(step: Step): Promise<void> | void {
    switch (step.do) {
      case "enqueue":
        return this.#enqueue(step);
      case "claim":
        return this.#claim(step);
      case "settle":
        return this.#settle(step);
      case "settleByToken":
        return this.#settleByToken(step);
      case "extend":
        return this.#extend(step);
      case "lapse":
        return this.#lapse(step);
      case "due":
        return this.#makeDue(step);
      case "tick":
        return this.#tick();
      case "redrive":
        return this.#redrive(step);
      case "purge":
        return this.#purge(step);
      case "kill":
        // Its deliveries are forgotten; their leases stand until they run out.
        this.#held = this.#held.filter(({ lease }) =>
          !lease.startsWith(this.#consumerOf(step.consumer) ?? "-")
        );
        this.#names.delete(step.consumer);
        this.#queues[step.consumer] = this.#consumer();
        return;
      case "repeat":
        return this.#repeat(step);
    }
  }

  readonly #names = new Map<number, string>(); // consumers' names, as their first leases tell

  #consumerOf(by: number): string | undefined {
    return this.#names.get(by);
  }

  /** All calls of one turn: they share a script, which keeps their order. */
  async #enqueue({ by, items }: Step & { do: "enqueue" }): Promise<void> {
    const queue = this.#queues[by]!;
    const messages = items.map(({ id, priority }, i): Modelled => ({
      n: this.#all.length + i,
      own: id === undefined ? undefined : IDS[id],
      priority: this.#kind === "list" ? 0 : priority,
      place: "ready",
      lease: "",
      attempts: 0,
      fell: false,
      errors: 0,
      fresh: true,
      order: 0,
      due: false,
    }));
    const replies = await Promise.all(items.map(({ delayed, priority }, i): Promise<Enqueued> => {
      const { n, own: id } = messages[i]!;
      const options = { id, ...(delayed && { delayMs: HOUR }) };
      return queue instanceof PriorityQueue
        ? queue.enqueue(n, { ...options, priority })
        : (queue as ReliableQueue<number>).enqueue(n, options);
    }));
    const taken = new Set(
      this.#in("ready", "lapsed", "leased", "delayed", "dead").map((m) => m.own),
    );
    messages.forEach((message, i) => {
      const duplicate = message.own !== undefined && taken.has(message.own);
      assertEquals(replies[i]!.duplicate, duplicate, "duplicate");
      if (message.own !== undefined) {
        assertEquals(replies[i]!.id, message.own);
        taken.add(message.own);
      }
      if (duplicate) message.place = "gone";
      else if (items[i]!.delayed) message.place = "delayed";
    });
    for (const message of messages) message.order = ++this.#orders;
    this.#all.push(...messages);
  }

  async #claim({ by, most }: Step & { do: "claim" }): Promise<void> {
    const deliveries = await this.#queues[by]!.receiveMany(most);
    this.#promoteAndSweep();
    const lapsed = this.#in("lapsed");
    const ready = this.#in("ready");
    const alone = Math.min(1, lapsed.length);
    const count = Math.min(most, alone + ready.length);
    assertEquals(deliveries.length, count, "how many were handed out");
    const messages = deliveries.map(({ payload }) => this.#all[payload]!);
    assertEquals(messages.filter((m) => m.place === "lapsed").length, alone, "lapsed ones");
    assertEquals(messages.filter((m) => m.place === "ready").length, count - alone, "ready ones");
    this.#checkOrder(messages.filter((m) => m.place === "ready"), ready);
    const lease = leaseOf(deliveries[0]);
    if (lease) {
      this.#leases.set(lease, false);
      this.#names.set(by, `${lease.split(":")[0]}:`);
    }
    deliveries.forEach((delivery, i) => {
      const message = messages[i]!;
      assertEquals(delivery.attempt, message.attempts + 1, "attempt");
      assertEquals(delivery.errors.length, message.errors, "errors");
      if (message.own !== undefined) assertEquals(delivery.id, message.own);
      assertEquals(leaseOf(delivery), lease, "one lease for a claim");
      Object.assign(message, { place: "leased", lease });
      const held = { delivery, message, lease };
      this.#held.push(held);
      this.#past.push(held);
    });
  }

  /** The most urgent first, and in the order of arrival where that is promised. */
  #checkOrder(taken: Modelled[], ready: Modelled[]): void {
    const left = ready.filter((message) => !taken.includes(message));
    taken.forEach((message, i) => {
      for (const later of [...taken.slice(i + 1), ...left]) {
        assert(later.priority >= message.priority, `${message.n} before ${later.n}: priority`);
        const promised = message.fresh && later.fresh && later.priority === message.priority;
        assert(!promised || message.order < later.order, `${message.n} before ${later.n}: order`);
      }
    });
  }

  #promoteAndSweep(): void {
    for (const message of this.#in("delayed").filter(({ due }) => due)) {
      Object.assign(message, { place: "ready", due: false, fresh: false });
    }
    for (const [lease, lapsed] of this.#leases) {
      if (!lapsed) continue;
      this.#leases.delete(lease);
      for (const message of this.#all.filter((m) => m.place === "leased" && m.lease === lease)) {
        message.attempts++;
        message.errors++;
        const dead = message.attempts >= MAX_ATTEMPTS;
        Object.assign(message, { lease: "", fresh: false, place: dead ? "dead" : "lapsed" });
        if (!dead) message.fell = true;
      }
    }
  }

  async #settle({ how, which, error }: Step & { do: "settle" }): Promise<void> {
    const chosen = new Set<Held>();
    for (const number of which) {
      if (this.#held.length > 0) chosen.add(this.#held[number % this.#held.length]!);
    }
    this.#held = this.#held.filter((held) => !chosen.has(held));
    const options = error ? { error: new Error("failed") } : {};
    // In one turn, as a worker does it.
    await Promise.all([...chosen].map(async ({ delivery, message, lease }) => {
      const settling = {
        ack: () => delivery.ack(),
        nack: () => delivery.nack({ ...options, delayMs: 0 }),
        later: () => delivery.nack(options), // as long as the queue's backoff says
        deadLetter: () => delivery.deadLetter("no use", options),
        release: () => delivery[WORKED]().release(),
      }[how]();
      await this.#settled(settling, { how, message, lease, error });
    }));
  }

  async #settleByToken({ by, how, which }: Step & { do: "settleByToken" }): Promise<void> {
    const held = this.#past[which % this.#past.length];
    if (!held) return;
    const settlement = this.#queues[by]!.delivery(held.delivery.token);
    const settling = {
      ack: () => settlement.ack(),
      nack: () => settlement.nack({ delayMs: 0 }),
      later: () => settlement.nack(),
      deadLetter: () => settlement.deadLetter("no use"),
    }[how]();
    await this.#settled(settling, { how, ...held, error: false });
  }

  /** Lease gone: refused, nothing changed. Message gone from the hand: done already. */
  async #settled(
    settling: Promise<unknown>,
    { how, message, lease, error }: { how: How; message: Modelled; lease: string; error: boolean },
  ): Promise<void> {
    if (!this.#now.leases.has(lease)) {
      return void await assertRejects(() => settling, LeaseLostError);
    }
    const where = await settling;
    if (message.place !== "leased" || message.lease !== lease) return;
    message.lease = "";
    if (how === "ack") return void (message.place = "gone");
    message.fresh = false;
    if (how === "release") return void (message.place = message.fell ? "lapsed" : "ready");
    message.attempts++;
    message.fell = false;
    if (error) message.errors++;
    const dead = how === "deadLetter" || message.attempts >= MAX_ATTEMPTS;
    message.place = dead ? "dead" : how === "later" ? "delayed" : "ready";
    if (how !== "deadLetter") assertEquals(where, message.place);
  }

  async #extend({ which, byToken }: Step & { do: "extend" }): Promise<void> {
    const from = byToken ? this.#past : this.#held;
    const held = from[which % from.length];
    if (!held) return;
    const { delivery, lease } = held;
    const settlement = byToken ? this.#queues[0]!.delivery(delivery.token) : delivery;
    if (!this.#now.leases.has(lease)) {
      await assertRejects(() => settlement.extend(HOUR), LeaseLostError);
    } else {
      await settlement.extend(HOUR);
      this.#leases.set(lease, false);
    }
  }

  async #lapse({ which }: Step & { do: "lapse" }): Promise<void> {
    const lease = [...this.#now.leases][which % this.#now.leases.size];
    if (!lease) return;
    await call(this.#redis, ["ZADD", this.#keys.leases, "XX", "1", lease]);
    this.#leases.set(lease, true);
  }

  async #makeDue({ which }: Step & { do: "due" }): Promise<void> {
    const delayed = this.#in("delayed");
    const message = delayed[which % delayed.length];
    if (!message) return;
    const entry = this.#now.entries.get(message.n)!;
    await call(this.#redis, ["ZADD", this.#keys.delayed, "XX", "1", entry]);
    message.due = true;
  }

  async #tick(): Promise<void> {
    await LEASED_SCRIPTS[this.#kind].tick.run((args) => call(this.#redis, args), this.#keys, {
      max_attempts: MAX_ATTEMPTS,
      dead_most: 10_000,
      dead_age: HOUR,
    });
    this.#promoteAndSweep();
  }

  async #redrive({ most, byId }: Step & { do: "redrive" }): Promise<void> {
    const dead = this.#in("dead");
    const queue = this.#queues[0]!;
    let redriven: Modelled[];
    if (byId) {
      const ids = dead.slice(0, most).map(({ n, own }) => own ?? this.#now.uids.get(n)!);
      redriven = dead.slice(0, most);
      assertEquals(await queue.redrive({ ids: [...ids, "nobody"] }), redriven.length);
    } else {
      // Which of those that died in one millisecond is the oldest, nobody promises.
      const before = this.#now;
      const limit = most === 0 ? undefined : most;
      const count = await queue.redrive({ limit });
      assertEquals(count, Math.min(limit ?? Infinity, dead.length));
      const after = await this.#look();
      redriven = dead.filter(({ n }) =>
        before.places.get(n) && after.places.get(n)?.place === "ready"
      );
      assertEquals(redriven.length, count);
    }
    for (const message of redriven) {
      Object.assign(message, { place: "ready", attempts: 0, fell: false, fresh: false });
    }
  }

  async #purge({ state }: Step & { do: "purge" }): Promise<void> {
    const gone = state === "ready" ? this.#in("ready", "lapsed") : this.#in(state);
    assertEquals(await this.#queues[0]!.purge(state), gone.length);
    for (const message of gone) Object.assign(message, { place: "gone", due: false });
  }

  /** Sends once more what was sent before: the library does that when a reply was lost. */
  async #repeat({ which }: Step & { do: "repeat" }): Promise<void> {
    const sent = this.#sent[which % this.#sent.length];
    if (!sent) return;
    const { enqueue, claim, giveBack } = LEASED_SCRIPTS[this.#kind];
    const again = () => call(this.#redis, sent.args, { raw: true });
    const is = (script: { sha: string; text: string }) =>
      sent.args[1] === script.sha || sent.args[1] === script.text;
    const rest = sent.args.slice(3 + Number(sent.args[2])).map(String);
    const alive = (lease: string) => this.#now.leases.has(lease);
    if (is(enqueue)) {
      assertEquals(text(await again()), text(sent.reply), "the same reply to a repeated enqueue");
    } else if (is(claim) && alive(rest[0]!)) {
      const reply = await again() as unknown[];
      const messages = reply.find((part) => Array.isArray(part)) as Buffer[];
      const held = this.#all.filter((m) => m.place === "leased" && m.lease === rest[0]);
      assertEquals(messages.map(numberOf).sort(), held.map(({ n }) => n).sort(), "the same hand");
    } else if (is(giveBack)) {
      assertEquals(String(await again()), alive(rest[0]!) ? "done" : "lost");
    } else if (is(ackScript)) {
      const leases = rest.filter((word) => LEASE.test(word));
      assertEquals(await again(), leases.map((lease) => alive(lease) ? 0 : -1), "nothing more");
    } else if (is(extendScript)) {
      const [, ...leases] = rest;
      assertEquals(text(await again()), text(leases.filter((lease) => !alive(lease))));
      for (const lease of leases) if (alive(lease)) this.#leases.set(lease, false);
    }
  }

  /** What stands in Redis is what the model says. */
  async #compare(): Promise<void> {
    const now = await this.#look();
    const living = this.#all.filter(({ place }) => place !== "gone");
    assertEquals(
      [...now.places].sort(([a], [b]) => a - b),
      living.map(({ n, place, lease, attempts, fell, errors }) => [
        n,
        { place, lease: place === "leased" ? lease : "", attempts, fell, errors },
      ]),
      "what is where",
    );
    const ids = living.filter(({ own }) => own !== undefined)
      .map(({ own, n }): [string, string] => [own!, now.uids.get(n)!]);
    assertEquals([...now.ids].sort(), ids.sort(), "chosen ids are taken while their messages live");
    for (const lease of now.leases) assert(this.#leases.has(lease), `unknown lease ${lease}`);
    const inUse = new Set(living.map(({ lease, place }) => place === "leased" ? lease : ""));
    for (const lease of this.#leases.keys()) {
      if (now.leases.has(lease)) continue;
      assert(!inUse.has(lease), `the lease ${lease} is gone, but not its messages`);
      this.#leases.delete(lease);
    }
    const waiting = this.#in("ready", "lapsed").length;
    assert(now.tokens <= 1 && (waiting === 0 || now.tokens === 1), `${now.tokens} tokens`);
    const { ready, leased, delayed, dead } = await this.#queues[0]!.counts();
    assertEquals(
      [ready, leased, delayed, dead],
      [waiting, this.#in("leased").length, this.#in("delayed").length, this.#in("dead").length],
      "counts",
    );
    this.#now = now;
  }

  async #look(): Promise<Snapshot> {
    const { ready, lapsed, leased, leases, delayed, dead, dead_at, ids, wake } = this.#keys;
    const all = [ready, lapsed, leased, leases, delayed, dead, dead_at, ids, wake];
    const reply = await call(this.#redis, ["EVAL", LOOK[this.#kind], String(all.length), ...all], {
      raw: true,
    }) as [...Buffer[][], number];
    const tokens = reply.pop() as number;
    const [inReady, inLapsed, inLeased, allLeases, inDelayed, inDead, deadAt, chosen] =
      reply as Buffer[][];
    const now: Snapshot = {
      places: new Map(),
      uids: new Map(),
      entries: new Map(),
      ids: new Map(pairs(chosen!).map(([id, uid]) => [String(id), String(uid)])),
      leases: new Set(allLeases!.map(String)),
      tokens,
    };
    const add = (place: Modelled["place"], entry: Buffer, field = "") => {
      const { body, attempts, lapsed: fell, history, uid, id } = readEnvelope(entry)!;
      const n = Number(body.toString());
      assert(!now.places.has(n), `${n} is in two places`);
      const lease = field.replace(/:\d+$/, "");
      if (place === "leased") assert(now.leases.has(lease), `${field} is held without a lease`);
      if (place === "dead") assertEquals(field, id);
      now.places.set(n, {
        place,
        lease: place === "leased" ? lease : "",
        attempts,
        fell,
        errors: readHistory(history).length,
      });
      now.uids.set(n, uid);
      now.entries.set(n, entry.toString());
    };
    for (const entry of inReady!) add("ready", entry);
    for (const entry of inLapsed!) add("lapsed", entry);
    for (const entry of inDelayed!) add("delayed", entry);
    for (const [field, entry] of pairs(inLeased!)) add("leased", entry, String(field));
    for (const [id, record] of pairs(inDead!)) {
      add("dead", record.subarray(record.indexOf(10) + 1), String(id));
    }
    const inHash = pairs(inDead!).map(([id]) => String(id));
    assertEquals(deadAt!.map(String).sort(), inHash.sort(), "dead letters and their times");
    return now;
  }
}

/** Names of consumers made by the library are longer than those in {@linkcode IDS}. */
const LEASE = /^[a-z0-9]{10}:\d+:\d+$/;

const LOOK = {
  list: look(`redis.call("LRANGE", KEYS[1], 0, -1)`),
  priority: look(`redis.call("ZRANGE", KEYS[1], 0, -1)`),
};

function look(ready: string): string {
  return `return {${ready}, redis.call("LRANGE", KEYS[2], 0, -1), redis.call("HGETALL", KEYS[3]),
redis.call("ZRANGE", KEYS[4], 0, -1), redis.call("ZRANGE", KEYS[5], 0, -1),
redis.call("HGETALL", KEYS[6]), redis.call("ZRANGE", KEYS[7], 0, -1), redis.call("HGETALL", KEYS[8]),
redis.call("LLEN", KEYS[9])}`;
}

function pairs(flat: Buffer[]): [Buffer, Buffer][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

function leaseOf(delivery: Delivery<number> | undefined): string {
  return delivery?.token.split(":").slice(0, 3).join(":") ?? "";
}

function numberOf(entry: Buffer): number {
  return Number(readEnvelope(entry)!.body.toString());
}

/** Replies as text: what is compared are numbers and names. */
function text(reply: unknown): string[] {
  return (reply as unknown[]).map(String);
}

/** Keeps what the library sends and what came back, from now on. */
function keep(client: RedisClient, sent: () => Sent[]): void {
  const send = client.sendCommand.bind(client);
  client.sendCommand = async (args, options) => {
    const reply = await send(args, options);
    if (args[0] === "EVALSHA") sent().push({ args: args as Sent["args"], reply });
    return reply;
  };
}

const given = Deno.env.get("MODEL_SEED");
const seed = given === undefined ? Date.now() % 2 ** 31 : Number(given);

for (const kind of ["list", "priority"] as const) {
  redisTest(`LeasedQueue (${kind}) is where a model says after every random step`, async (test) => {
    const redis = test.redis as unknown as RedisClient;
    let sent: Sent[] = [];
    let steps = 0, runs = 0;
    keep(redis, () => sent);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: MOST_STEPS, size: "max" }), async (sequence) => {
        sent = [];
        await new Run(redis, { kind, name: `${test.name}:${runs++}`, sent }).play(sequence);
        steps += sequence.length;
      }),
      {
        seed,
        path: Deno.env.get("MODEL_PATH"),
        numRuns: RUNS,
        unbiased: true,
        interruptAfterTimeLimit: 25_000,
      } as fc.Parameters<[Step[]]>,
    );
    console.log(`${kind}: ${steps} steps in ${runs} runs, seed ${seed}`);
    if (!Deno.env.has("MODEL_PATH")) assertGreaterOrEqual(steps, LEAST_STEPS_IN_ALL / 2);
  });
}
