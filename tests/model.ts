/**
 * A model of the queues with leases, beside a queue: each step is done to both, and then everything that
 * stands in Redis is compared with what the model says.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Delivery,
  type Enqueued,
  type EnqueueManyOptions,
  type EnqueueOptions,
  type LeasedQueueOptions,
  LeaseLostError,
  PriorityQueue,
  ReliableQueue,
  StreamQueue,
} from "@workshop/redis-patterns";
import type { Buffer } from "node:buffer";
import { WORKED } from "../queue/delivery.ts";
import { LeasedQueue } from "../queue/leased_queue.ts";
import { bindScripts } from "../queue/leased_scripts.ts";
import type { ReadyKind } from "../queue/ready_lua.ts";
import { policyOf } from "../queue/limits.ts";
import { call } from "../redis/call.ts";
import type { RedisClient } from "../redis/client.ts";
import type { Codec } from "../redis/codec.ts";
import { type QueueKeys, queueKeys } from "../redis/keys.ts";
import { look, type Seen, type Snapshot, TASK, Uids } from "./model_look.ts";
import { entriesOf, type Sent, text } from "./model_sent.ts";
import { CONSUMERS, type How, IDS, type Item, KEYS, type Step, type Where } from "./model_steps.ts";

const MAX_ATTEMPTS = 4;
const HOUR = 3_600_000;

/** Reads the empty payload of a mark as well: one that was delivered would be seen. */
const NUMBERS: Codec<number> = {
  encode: String,
  decode: (raw) => Number(new TextDecoder().decode(raw)),
};

/** What only the scripts of a kind are told. */
const OWN = { group: "workers", records_kept: "100000 3600000 100", ended: "model:ended" };

/** Tasks without what queue/tasks/ puts around them. */
class Tasks extends LeasedQueue<number> {
  constructor(client: RedisClient, name: string, options: LeasedQueueOptions<number>) {
    const codec: Codec<number> = {
      encode: (n) => `${TASK}\n${n}`,
      decode: (raw) => NUMBERS.decode(raw.subarray(raw.indexOf(10) + 1)),
    };
    super(client, name, "tasks", { ...options, codec }, OWN);
  }
  enqueue(n: number, options: EnqueueOptions = {}): Promise<Enqueued> {
    return this.store(n, { ...options, priority: 0 });
  }
  enqueueMany(all: number[], options: EnqueueManyOptions = {}): Promise<Enqueued[]> {
    return this.storeMany(all, { ...options, priority: 0 });
  }
}

/** What the steps came upon: counted, so that a run can tell that it met all of it. */
export const ENCOUNTERS = [
  "an id was taken",
  "a key was taken",
  "a window was open after the message was gone",
  "a window was over",
  "an old holder left the key to the new one",
  "a dead letter was dropped",
  "cancelled while ready",
  "cancelled while lapsed",
  "cancelled while leased",
  "cancelled while delayed",
  "cancelled while dead",
  "cancelled in vain",
  "a claim threw a mark away",
  "acknowledged after it was cancelled",
  "given back after it was cancelled",
  "lapsed after it was cancelled",
  "nothing was handed out while paused",
  "resumed while something waited",
  "a repeated enqueue had duplicates",
  "a repeated cancel found nothing",
] as const;

export type Encounter = typeof ENCOUNTERS[number];

/** A message as the model knows it; its payload is its number. */
interface Modelled extends Omit<Seen, "place"> {
  n: number;
  own: string | undefined;
  key: string | undefined;
  priority: number;
  place: Where;
  /** Never came back, so its place in the order is promised. */
  fresh: boolean;
  /** The order of going into `ready`. */
  order: number;
  /** Delayed, and its time has come; or dead, and too old. */
  due: boolean;
}

interface Held {
  delivery: Delivery<number>;
  message: Modelled;
  lease: string;
}

/** A queue and its model. */
export class Run {
  readonly #redis: RedisClient;
  readonly #kind: ReadyKind;
  readonly #name: string;
  readonly #keys: QueueKeys;
  readonly #sent: Sent[];
  readonly #met: (what: Encounter) => void;
  readonly #queues: LeasedQueue<number>[] = [];
  readonly #uids = new Uids();
  readonly #all: Modelled[] = [];
  /** Keys of deduplication that are taken, by whom, and whether for a time. */
  readonly #taken = new Map<string, { by: Modelled; window: "" | "open" | "over" }>();
  /** Leases that were handed out and not seen to be gone; whether their time was set back. */
  readonly #leases = new Map<string, boolean>();
  readonly #names = new Map<number, string>(); // consumers' names, as their first leases tell
  /** How tasks came to their ends, by their ids; of those that are there the place tells. */
  readonly #ends = new Map<string, [state: string, attempts: number]>();
  readonly #past: Held[] = []; // every delivery there ever was: for stale tokens
  #held: Held[] = []; // not settled by their own objects
  #paused = false;
  #orders = 0;
  #now!: Snapshot;

  constructor(
    redis: RedisClient,
    { kind, name, sent, met }: {
      kind: ReadyKind;
      name: string;
      sent: Sent[];
      met: (what: Encounter) => void;
    },
  ) {
    this.#redis = redis;
    this.#kind = kind;
    this.#name = name;
    this.#keys = queueKeys(name);
    this.#sent = sent;
    this.#met = met;
    for (let i = 0; i < CONSUMERS; i++) this.#queues.push(this.#consumer());
  }

  /** Does the steps and compares after each. */
  async play(steps: readonly Step[]): Promise<void> {
    this.#now = await this.#look();
    for (const step of steps) {
      await this.#do(step);
      await this.#compare();
    }
    await call(this.#redis, ["UNLINK", ...Object.values(this.#keys)]);
  }

  #consumer(): LeasedQueue<number> {
    const codec = NUMBERS;
    const options = { leaseMs: HOUR, maxAttempts: MAX_ATTEMPTS, backoff: () => HOUR, codec };
    const Queue = {
      list: ReliableQueue,
      priority: PriorityQueue,
      stream: StreamQueue,
      tasks: Tasks,
    }[this.#kind];
    return new Queue<number>(this.#redis, this.#name, options);
  }

  #in(...places: Where[]): Modelled[] {
    return this.#all.filter(({ place }) => places.includes(place));
  }

  /** Those that are somewhere; a mark is no message any more. */
  #alive(): Modelled[] {
    return this.#all.filter(({ place, cancelled }) => place !== "gone" && !cancelled);
  }

  #idOf({ own, n }: Modelled): string {
    return own ?? this.#uids.of(n);
  }

  #look(): Promise<Snapshot> {
    return look(this.#redis, { kind: this.#kind, keys: this.#keys, uids: this.#uids });
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
      case "over":
        return this.#endWindow(step);
      case "age":
        return this.#makeOld(step);
      case "tick":
        return this.#tick();
      case "redrive":
        return this.#redrive(step);
      case "purge":
        return this.#purge(step);
      case "cancel":
        return this.#cancel(step);
      case "pause":
        return this.#pause(step);
      case "kill":
        return this.#kill(step);
      case "repeat":
        return this.#repeat(step);
    }
  }

  /** All calls of one turn: they share a script, which keeps their order. */
  async #enqueue({ by, items }: Step & { do: "enqueue" }): Promise<void> {
    const queue = this.#queues[by]!;
    const messages = items.map((item) => this.#newMessage(item));
    const replies = await Promise.all(items.map((item, i): Promise<Enqueued> => {
      const { n, own: id, key, priority } = messages[i]!;
      const options = {
        id,
        ...(item.delayed && { delayMs: HOUR }),
        ...(key !== undefined && { dedupe: { key, ...(item.window && { ttlMs: HOUR }) } }),
      };
      return queue instanceof PriorityQueue
        ? queue.enqueue(n, { ...options, priority })
        : (queue as ReliableQueue<number>).enqueue(n, options);
    }));
    items.forEach((item, i) => {
      const message = messages[i]!;
      const holder = this.#holderFor(message);
      const { id, duplicate } = replies[i]!;
      assertEquals(duplicate, holder !== undefined, `whether ${message.n} is a duplicate`);
      if (holder) return assertEquals(id, this.#idOf(holder), `of which ${message.n} is one`);
      if (message.own === undefined) this.#uids.set(message.n, id);
      else assertEquals(id, message.own);
      message.place = item.delayed ? "delayed" : "ready";
      if (message.key === undefined) return;
      this.#taken.set(message.key, { by: message, window: item.window ? "open" : "" });
    });
    // Windows that are over are put away by whoever enqueues something with a name, or a time.
    if (items.some(({ id, key, delayed }) => id !== undefined || key !== undefined || delayed)) {
      this.#endWindows();
    }
  }

  #newMessage({ id, key, priority }: Item): Modelled {
    const message: Modelled = {
      n: this.#all.length,
      own: id === undefined ? undefined : IDS[id],
      key: key === undefined ? undefined : KEYS[key],
      priority: this.#kind === "priority" ? priority : 0,
      place: "gone",
      cancelled: false,
      lease: "",
      attempts: 0,
      fell: false,
      errors: 0,
      fresh: true,
      order: ++this.#orders,
      due: false,
    };
    this.#all.push(message);
    return message;
  }

  /** The message because of which this one is a duplicate. */
  #holderFor({ own, key }: Modelled): Modelled | undefined {
    const sameId = own === undefined ? undefined : this.#alive().find((m) => m.own === own);
    if (sameId) {
      this.#met("an id was taken");
      return sameId;
    }
    const taken = key === undefined ? undefined : this.#taken.get(key);
    if (taken?.window === "over") this.#met("a window was over");
    if (!taken || taken.window === "over") return undefined;
    this.#met(
      taken.by.place === "gone"
        ? "a window was open after the message was gone"
        : "a key was taken",
    );
    return taken.by;
  }

  #endWindows(): void {
    for (const [key, { window }] of this.#taken) if (window === "over") this.#taken.delete(key);
  }

  /** The message gives its key up; a window goes on, unless the message was taken out undone. */
  #free(message: Modelled, { undone }: { undone: boolean }): void {
    const taken = message.key === undefined ? undefined : this.#taken.get(message.key);
    if (!taken) return;
    if (taken.by !== message) this.#met("an old holder left the key to the new one");
    else if (undone || taken.window === "") this.#taken.delete(message.key!);
  }

  #bury(message: Modelled): void {
    message.place = "dead";
    this.#ends.set(this.#idOf(message), ["dead", message.attempts]); // also when it is dropped
    this.#free(message, { undone: false });
    this.#dropOld();
  }

  #dropOld(): void {
    for (const message of this.#in("dead").filter(({ due }) => due)) {
      this.#met("a dead letter was dropped");
      this.#takeOut(message);
    }
  }

  #takeOut(message: Modelled): void {
    Object.assign(message, { place: "gone", due: false });
    this.#free(message, { undone: true });
  }

  async #claim({ by, most }: Step & { do: "claim" }): Promise<void> {
    const before = this.#sent.length;
    const deliveries = await this.#queues[by]!.receiveMany(most);
    this.#promoteAndSweep();
    // Where a claim meets nothing but marks, the library claims again.
    const claims = this.#sent.slice(before).filter(({ script }) => script === "claim");
    let messages: Modelled[] = [];
    for (const { args, reply } of claims) {
      assertEquals(messages.length, 0, "there was no need to claim again");
      messages = this.#handOut(by, { lease: args[0]!, most, entries: entriesOf(reply) });
    }
    assertEquals(deliveries.map(({ payload }) => payload), messages.map(({ n }) => n));
    deliveries.forEach((delivery, i) => {
      const message = messages[i]!;
      assertEquals(delivery.attempt, message.attempts + 1, "attempt");
      assertEquals(delivery.errors.length, message.errors, "errors");
      assertEquals(delivery.id, this.#idOf(message));
      const held = { delivery, message, lease: message.lease };
      assertEquals(leaseOf(delivery), message.lease, "one lease for a claim");
      this.#held.push(held);
      this.#past.push(held);
    });
  }

  /** One claim's messages, of which there are as many as there can be. Marks are thrown away. */
  #handOut(
    by: number,
    { lease, most, entries }: { lease: string; most: number; entries: (Buffer | null)[] },
  ): Modelled[] {
    const lapsed = this.#in("lapsed");
    const ready = this.#in("ready");
    const alone = this.#paused ? 0 : Math.min(1, lapsed.length);
    const count = this.#paused ? 0 : Math.min(most, alone + ready.length);
    const all = entries.map((entry) => this.#all[this.#uids.numberOf(entry!)]!);
    assertEquals(all.length, count, "how many were handed out");
    assertEquals(all.filter((m) => m.place === "lapsed").length, alone, "lapsed ones");
    assertEquals(all.filter((m) => m.place === "ready").length, count - alone, "ready ones");
    this.#checkOrder(all.filter((m) => m.place === "ready"), ready);
    if (this.#paused && lapsed.length + ready.length > 0) {
      this.#met("nothing was handed out while paused");
    }
    if (count > 0) {
      this.#leases.set(lease, false);
      this.#names.set(by, `${lease.split(":")[0]}:`);
    }
    for (const message of all) {
      if (message.cancelled) this.#met("a claim threw a mark away");
      Object.assign(message, message.cancelled ? { place: "gone" } : { place: "leased", lease });
    }
    return all.filter(({ cancelled }) => !cancelled);
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
        message.lease = "";
        if (message.cancelled) {
          this.#met("lapsed after it was cancelled");
          message.place = "gone";
          continue;
        }
        message.attempts++;
        message.errors++;
        message.fresh = false;
        if (message.attempts >= MAX_ATTEMPTS) this.#bury(message);
        else Object.assign(message, { place: "lapsed", fell: true });
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
    if (message.cancelled) {
      this.#met(`${how === "ack" ? "acknowledged" : "given back"} after it was cancelled`);
      if (how === "nack" || how === "later") assertEquals(where, "cancelled");
      return void (message.place = "gone");
    }
    if (how === "ack") {
      message.place = "gone";
      this.#ends.set(this.#idOf(message), ["done", message.attempts + 1]);
      return this.#free(message, { undone: false });
    }
    message.fresh = false;
    if (how === "release") return void (message.place = message.fell ? "lapsed" : "ready");
    message.attempts++;
    message.fell = false;
    if (error) message.errors++;
    if (how === "deadLetter" || message.attempts >= MAX_ATTEMPTS) this.#bury(message);
    else message.place = how === "later" ? "delayed" : "ready";
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
    await this.#setBack(this.#keys.leases, lease);
    this.#leases.set(lease, true);
  }

  async #makeDue({ which }: Step & { do: "due" }): Promise<void> {
    const delayed = this.#in("delayed");
    const message = delayed[which % delayed.length];
    if (!message) return;
    await this.#setBack(this.#keys.delayed, this.#now.entries.get(message.n)!);
    message.due = true;
  }

  async #endWindow({ which }: Step & { do: "over" }): Promise<void> {
    const open = [...this.#taken].filter(([_, { window }]) => window !== "");
    const [key, taken] = open[which % open.length] ?? [];
    if (!taken) return;
    await this.#setBack(this.#keys.dedupe_until, key!);
    taken.window = "over";
  }

  async #makeOld({ which }: Step & { do: "age" }): Promise<void> {
    const dead = this.#in("dead");
    // No more than are dropped at once.
    if (dead.length === 0 || dead.filter(({ due }) => due).length === 10) return;
    const message = dead[which % dead.length]!;
    await this.#setBack(this.#keys.dead_at, this.#idOf(message));
    message.due = true;
  }

  /** What has a time was long ago. */
  async #setBack(zset: string, member: string): Promise<void> {
    await call(this.#redis, ["ZADD", zset, "XX", "1", member]);
  }

  async #tick(): Promise<void> {
    const { tick } = bindScripts(this.#kind, { ...OWN, idle_ms: HOUR });
    await tick.run((args) => call(this.#redis, args), this.#keys, {
      policy: policyOf({
        attempts: MAX_ATTEMPTS,
        dead: 10_000,
        dead_age: HOUR,
        failed: 0,
        failed_age: 0,
        completed: 0,
        completed_age: 0,
      }),
      rate: "",
      counting: "1",
    });
    this.#promoteAndSweep();
    this.#dropOld();
    this.#endWindows();
  }

  async #redrive({ most, byId }: Step & { do: "redrive" }): Promise<void> {
    const dead = this.#in("dead");
    const queue = this.#queues[0]!;
    let redriven: Modelled[];
    if (byId) {
      redriven = dead.slice(0, most);
      const ids = redriven.map((message) => this.#idOf(message));
      assertEquals(await queue.redrive({ ids: [...ids, "nobody"] }), redriven.length);
    } else {
      // Which of those that died in one millisecond is the oldest, nobody promises.
      const limit = most === 0 ? undefined : most;
      const count = await queue.redrive({ limit });
      assertEquals(count, Math.min(limit ?? Infinity, dead.length));
      const after = await this.#look();
      redriven = dead.filter(({ n }) => after.places.get(n)?.place === "ready");
      assertEquals(redriven.length, count);
    }
    for (const message of redriven) {
      const again = { attempts: 0, fell: false, fresh: false, due: false };
      Object.assign(message, { place: "ready", ...again });
    }
  }

  async #purge({ state }: Step & { do: "purge" }): Promise<void> {
    const gone = state === "ready" ? this.#in("ready", "lapsed") : this.#in(state);
    const purged = gone.filter(({ cancelled }) => !cancelled);
    assertEquals(await this.#queues[0]!.purge(state), purged.length);
    for (const message of gone) message.place = "gone";
    for (const message of purged) this.#takeOut(message);
    // An end stays on record.
    if (state !== "dead") { for (const message of purged) this.#ends.delete(this.#idOf(message)); }
  }

  async #cancel({ where, which }: Step & { do: "cancel" }): Promise<void> {
    // Marks are among them, and of those that are gone an id may be somebody else's by now.
    const stored = this.#all.filter(({ n }) => this.#uids.has(n));
    const there = stored.filter(({ place }) => place === where);
    const pool = there.length > 0 ? there : stored;
    const chosen = pool[which % pool.length];
    const id = chosen ? this.#idOf(chosen) : "nobody";
    const message = this.#alive().find((message) => this.#idOf(message) === id);
    const state = message?.place === "lapsed" ? "ready" : message?.place;
    const queue = this.#queues[which % CONSUMERS]!;
    const found = await queue.find(id);
    assertEquals<unknown>([found?.state, found?.payload], [state, message?.n]);
    assertEquals<unknown>(await queue.cancel(id), state);
    this.#cancelled(message);
  }

  /** A mark is left in a list and in a hand. */
  #cancelled(message: Modelled | undefined): void {
    if (!message) return this.#met("cancelled in vain");
    const { place } = message;
    if (place === "gone") throw new TypeError(`${message.n} is gone`);
    this.#met(`cancelled while ${place}`);
    this.#ends.set(this.#idOf(message), ["cancelled", message.attempts]);
    this.#takeOut(message);
    const stays = place === "lapsed" || place === "leased" ||
      (place === "ready" && this.#kind === "list");
    if (stays) Object.assign(message, { place, cancelled: true, fell: false, errors: 0 });
  }

  async #pause({ paused }: Step & { do: "pause" }): Promise<void> {
    const queue = this.#queues[0]!;
    await (paused ? queue.pause() : queue.resume());
    if (this.#paused && !paused && this.#in("ready", "lapsed").length > 0) {
      this.#met("resumed while something waited");
    }
    this.#paused = paused;
  }

  /** A consumer's deliveries are forgotten; their leases stand until they run out. */
  #kill({ consumer }: Step & { do: "kill" }): void {
    const name = this.#names.get(consumer) ?? "-";
    this.#held = this.#held.filter(({ lease }) => !lease.startsWith(name));
    this.#names.delete(consumer);
    this.#queues[consumer] = this.#consumer();
  }

  /** Sends once more what was sent before: the library does that when a reply was lost. */
  async #repeat({ which, late }: Step & { do: "repeat" }): Promise<void> {
    const from = late ? this.#sent : this.#sent.slice(-6);
    const sent = from[which % from.length];
    if (!sent) return;
    const again = () => call(this.#redis, sent.command, { raw: true });
    const alive = (lease: string) => this.#now.leases.has(lease);
    switch (sent.script) {
      case "enqueue": {
        const [producer, batch] = sent.args as [string, string];
        const isLast = this.#sent.every(({ script, args }) =>
          script !== "enqueue" || args[0] !== producer || Number(args[1]) <= Number(batch)
        );
        if (!isLast) return void await assertRejects(again, Error, "a later batch");
        const reply = text(sent.reply);
        if (reply.length > 1) this.#met("a repeated enqueue had duplicates");
        return assertEquals(text(await again()), reply, "the same reply to a repeated enqueue");
      }
      case "claim": {
        const [lease] = sent.args as [string];
        if (!alive(lease)) return; // it would be a claim
        const numbersOf = (reply: unknown) =>
          entriesOf(reply).map((entry) => entry && this.#uids.numberOf(entry));
        const first = numbersOf(sent.reply);
        const left = numbersOf(await again());
        // What was settled leaves its place empty: the index in the hand is what an ack names.
        left.forEach((n, i) =>
          assert(n === null || n === first[i], `${n} in the place of ${first[i]}`)
        );
        const held = this.#all.filter((m) => m.place === "leased" && m.lease === lease);
        const numbers = left.filter((n) => n !== null);
        return assertEquals(numbers.sort(), held.map(({ n }) => n).sort(), "the same hand");
      }
      case "giveBack": {
        const [lease, , uid] = sent.args as [string, string, string]; // no uid where a token was all there was
        if (!alive(lease)) return assertEquals(String(await again()), "lost");
        const isDead = this.#in("dead").some(({ n }) => this.#uids.of(n) === uid);
        return assertEquals(String(await again()), isDead ? "dead" : "settled");
      }
      case "ack": {
        const leases = sent.args.filter((word) => LEASE.test(word));
        return assertEquals(await again(), leases.map((lease) => alive(lease) ? 0 : -1));
      }
      case "extend": {
        const leases = sent.args.filter((word) => LEASE.test(word));
        assertEquals(text(await again()), leases.filter((lease) => !alive(lease)));
        for (const lease of leases) if (alive(lease)) this.#leases.set(lease, false);
        return;
      }
      case "scan":
        return this.#repeatScan(sent.args, await again());
      case "removeDead": {
        const letter = this.#in("dead").find((message) => this.#idOf(message) === sent.args[0]);
        assertEquals(await again(), letter ? 1 : 0, "a repeated cancel of a dead letter");
        if (letter) this.#cancelled(letter);
        return;
      }
      case "pause":
        await again();
        this.#paused = sent.args[0] === "pause";
    }
  }

  /** A cancel that is repeated finds whoever has the id by now. */
  #repeatScan([place, from, _, id]: string[], reply: unknown): void {
    const [next, , found] = reply as [Buffer, number, [Buffer] | undefined];
    const message = this.#alive().find((m) => m.place === place && this.#idOf(m) === id);
    if (found) {
      assertEquals(this.#uids.numberOf(found[0]), message?.n, "who was cancelled");
      this.#cancelled(message);
    } else if (from === "0" && String(next) === "") {
      assertEquals(message?.n, undefined, "who should have been cancelled");
      this.#met("a repeated cancel found nothing");
    }
  }

  /** What stands in Redis is what the model says. */
  async #compare(): Promise<void> {
    const now = await this.#look();
    const there = this.#all.filter(({ place }) => place !== "gone");
    assertEquals(
      [...now.places].sort(([a], [b]) => a - b),
      there.map(({ n, place, cancelled, lease, attempts, fell, errors }) => [
        n,
        { place, cancelled, lease, attempts, fell, errors } as Seen,
      ]),
      "what is where",
    );
    const ids = this.#alive().filter(({ own }) => own !== undefined)
      .map(({ own, n }) => [own!, this.#uids.of(n)]);
    assertEquals(now.ids.sort(), ids.sort(), "chosen ids are taken while their messages live");
    const keys = [...this.#taken].map(([key, { by: { own, n }, window }]) => [
      key,
      own === undefined ? this.#uids.of(n) : `${this.#uids.of(n)} ${own}`,
      window,
    ]);
    assertEquals(now.keys.sort(), keys.sort(), "who holds the keys, and for how long");
    this.#compareLeases(now, there);
    if (this.#kind === "tasks") this.#compareRecords(now);
    await this.#compareCounts(now);
    this.#now = now;
  }

  /** A record is never behind its message, and an end is there when the message is gone. */
  #compareRecords({ records }: Snapshot): void {
    const expected = new Map(this.#ends);
    for (const message of this.#alive()) {
      const { place, attempts } = message;
      expected.set(
        this.#idOf(message),
        {
          ready: ["ready", attempts],
          lapsed: ["ready", attempts],
          delayed: ["delayed", attempts],
          leased: ["running", attempts + 1],
          dead: ["dead", attempts],
        }[place as Exclude<Where, "gone">] as [string, number],
      );
    }
    assertEquals(
      records.sort(),
      [...expected].map(([id, end]) => [id, ...end] as const).sort(),
      "what is on record",
    );
  }

  #compareLeases(now: Snapshot, there: Modelled[]): void {
    for (const lease of now.leases) assert(this.#leases.has(lease), `unknown lease ${lease}`);
    const inUse = new Set(there.map(({ lease }) => lease));
    for (const lease of this.#leases.keys()) {
      if (now.leases.has(lease)) continue;
      assert(!inUse.has(lease), `the lease ${lease} is gone, but not its messages`);
      this.#leases.delete(lease);
    }
  }

  /** Marks count where they stand. Whoever waits has a token, but not while the queue is paused. */
  async #compareCounts({ tokens }: Snapshot): Promise<void> {
    const waiting = this.#in("ready", "lapsed").length;
    const least = waiting > 0 ? 1 : 0;
    const right = this.#paused ? tokens === 0 : tokens <= 1 && tokens >= least;
    assert(right, `${tokens} tokens, ${waiting} waiting, paused: ${this.#paused}`);
    const { ready, leased, delayed, dead, paused = false } = await this.#queues[0]!.counts();
    assertEquals(
      { ready, leased, delayed, dead, paused },
      {
        ready: waiting,
        leased: this.#in("leased").length,
        delayed: this.#in("delayed").length,
        dead: this.#in("dead").length,
        paused: this.#paused,
      },
      "counts",
    );
  }
}

/** Names of consumers made by the library are longer than those in {@linkcode IDS}. */
const LEASE = /^[a-z0-9]{10}:\d+:\d+$/;

function leaseOf(delivery: Delivery<number>): string {
  return delivery.token.split(":").slice(0, 3).join(":");
}
