/**
 * Where the commands go of a client that has several servers: to the master that has the key now.
 *
 * ```
 *   call ──► which master? ──► a plain client of that one ──► reply
 *                ▲                        │
 *                └── ask again ◄── MOVED, READONLY, no connection
 * ```
 *
 * A cluster and Sentinel differ in one question only, who the masters are (cluster.ts, sentinel.ts).
 * Everything else is a plain client for each master, with the deadline, the heartbeat and the errors
 * of any other. So nothing is ever executed again behind the caller's back: a command is repeated here
 * only when it was not sent, or when a server said that it has done nothing.
 *
 * It ends with the client that it is for.
 *
 * @module
 */
import { call, type CallOptions, DEFAULT_DEADLINE_MS } from "./call.ts";
import type { CommandArgument, NodeClient, RedisClient } from "./client.ts";
import {
  describe,
  explain,
  isConnectionError,
  isElsewhere,
  isFatal,
  RedisConnectionError,
  replyWord,
} from "./errors.ts";
import { MAX_PAUSE_MS, Refusals } from "./refusals.ts";
import { slotOfTag, tagOf } from "./slots.ts";
import {
  adopt,
  checkOpen,
  type ConnectionEvent,
  joinRoute,
  type Route,
  supervise,
} from "./supervise.ts";
import { backoffMs, sleep, within } from "./timers.ts";

/** Shortest time between two questions who the masters are. */
const ASK_PAUSE_MS = 100;

/** How long a server may take to tell who the masters are. */
const ASK_MS = 1_000;

/**
 * Shortest pause before a command is repeated that found nobody, or was refused. The longer ones that follow
 * end as soon as another master is named, or the connection to one stands.
 */
const AGAIN_MS = 25;

/** How long closing may take, before connections are cut. */
const CLOSE_MS = 500;

/** Who the masters are. */
export interface Masters {
  /** `host:port` of the master of each slot; of all keys, where there are no slots. */
  readonly bySlot: readonly (string | undefined)[];
}

/** How it is found out who the masters are. */
export interface Discovery {
  /** Whether keys are spread by slots. */
  readonly slots: boolean;
  /** How often to ask while all is well, in milliseconds; 0 for never. */
  readonly everyMs: number;
  /** Finds out. */
  find(how: Asking): Promise<Masters>;
  /** Ends connections of its own. */
  close?(): void;
}

/** What is there to find out with. */
export interface Asking {
  /** Asks a server, over a connection that stands or one for this question. */
  ask: Ask;
  /** Masters whose connections stand. */
  ready: readonly string[];
  /** Aborts when nobody wants to know any more. */
  signal: AbortSignal;
}

/** Asks one server. */
export type Ask = (address: string, args: readonly string[]) => Promise<unknown>;

/** What a route is made of. */
export interface RoutedParts {
  discovery: Discovery;
  /** Makes a client of a server, not connected. */
  makeNode: (address: string) => NodeClient | Promise<NodeClient>;
  /** For messages. */
  address: string;
  /** 0 for no heartbeat. */
  heartbeatMs: number;
  onEvent?: ((event: ConnectionEvent) => void) | undefined;
}

/** See the module. */
export class Routed implements Route {
  readonly slots: boolean;
  readonly #made: RoutedParts;
  readonly #nodes = new Map<string, NodeClient>();
  readonly #opening = new Map<string, Promise<void>>();
  readonly #refusals = new Refusals();
  readonly #listeners = new Set<() => void>();
  /** The last of those who wait for a master, by slot. */
  readonly #lines = new Map<number | undefined, Promise<NodeClient>>();
  #masters: Masters = { bySlot: [] };
  #asking: Promise<void> | undefined;
  #askedAt = -Infinity;
  /** How often nobody could tell who the masters are, one time after the other. */
  #unanswered = 0;
  /** Aborts when something has changed that others wait for, and is made anew. */
  #news = new AbortController();
  #trouble: unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;
  #owner: RedisClient | undefined;

  constructor(made: RoutedParts) {
    this.#made = made;
    this.slots = made.discovery.slots;
  }

  get trouble(): unknown {
    return this.#trouble;
  }

  /** From now on it is for this client: it ends with it. */
  belongsTo(owner: RedisClient): void {
    this.#owner = owner;
    adopt(owner, this).onEnd.add(() => void this.close());
    this.#watch();
  }

  /**
   * Sends a command to the master that has its key. Sent again is only what was not done: as often as
   * its deadline permits, to whoever has the key by then.
   */
  async call(
    args: readonly CommandArgument[],
    { deadlineMs = DEFAULT_DEADLINE_MS, raw }: CallOptions = {},
  ): Promise<unknown> {
    const slot = this.#slotOf(args);
    const until = performance.now() + deadlineMs;
    let pauseMs = 0;
    for (let failures = 0;; failures++) {
      const found = this.#inLine(slot, until, pauseMs);
      // Without waiting where it can be: calls of a turn go out in their order.
      const node = found instanceof Promise ? await found : found;
      try {
        return await call(node, args, { deadlineMs: Math.max(1, until - performance.now()), raw });
      } catch (error) {
        const asked = replyWord(error) === "ASK" ? addressIn(error) : undefined;
        if (asked) return await this.#callAsking(asked, args, until, raw);
        const undone = isElsewhere(error) ||
          error instanceof RedisConnectionError && !error.sent && !error.fatal;
        if (isConnectionError(error) || undone) this.doubt(error);
        pauseMs = pauseAfter(failures);
        if (!undone || performance.now() + pauseMs > until) throw error;
      }
    }
  }

  async node(key?: string): Promise<NodeClient> {
    const slot = key === undefined || !this.slots ? undefined : slotOfTag(tagOf(key));
    return await this.#inLine(slot, performance.now() + DEFAULT_DEADLINE_MS);
  }

  /** Somebody says that a key is somewhere else, or a server is away. */
  doubt(error?: unknown): void {
    const moved = replyWord(error) === "MOVED" ? addressIn(error) : undefined;
    if (moved) {
      const slot = Number((error as Error).message.split(" ")[1]);
      const bySlot = [...this.#masters.bySlot];
      bySlot[slot] = moved; // at once; the question below finds out the rest
      this.#use({ bySlot }, { partly: true });
    }
    this.refresh().catch(() => {}); // whoever needs it sees it in #trouble
  }

  /** `host:port` of each master that is known. */
  masters(): string[] {
    return [...new Set(this.#masters.bySlot)].filter((address) => address !== undefined);
  }

  onMoved(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks who the masters are; those who ask at the same time share the answer. */
  refresh(): Promise<void> {
    return this.#asking ??= this.#refresh().finally(() => this.#asking = undefined);
  }

  /** Ends all connections: waits for replies in flight, but not for long. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#made.discovery.close?.();
    clearTimeout(this.#timer);
    await Promise.all([...this.#nodes.values()].map(async (node) => {
      if (node.isOpen && node.isReady) await within(node.close(), CLOSE_MS).catch(() => {});
      node.destroy(); // also one that waits for its replies: it is not open any more, but there
    }));
    await within(Promise.allSettled([this.#asking, ...this.#opening.values()]), CLOSE_MS)
      .catch(() => {}); // somebody frozen was being asked
    this.#nodes.clear();
  }

  /** Ends all connections at once. */
  destroy(): void {
    this.#closing.abort();
    this.#made.discovery.close?.();
    clearTimeout(this.#timer);
    for (const node of this.#nodes.values()) if (node.isOpen) node.destroy();
    this.#nodes.clear();
  }

  #slotOf(args: readonly CommandArgument[]): number | undefined {
    if (!this.slots) return undefined;
    const keys = keysOf(args);
    if (keys.length === 0) return undefined;
    const tag = tagOf(keys[0]!);
    const slot = slotOfTag(tag);
    for (const key of keys) {
      const other = tagOf(key);
      if (other === tag || slotOfTag(other) === slot) continue;
      throw new TypeError(
        `${args[0]} cannot take keys of two slots of a cluster: ${JSON.stringify(keys[0])} is in ` +
          `slot ${slot}, ${JSON.stringify(key)} in slot ${slotOfTag(other)}; keys with the same ` +
          `text in braces are in the same slot`,
      );
    }
    return slot;
  }

  #ready(slot: number | undefined): NodeClient | undefined {
    const { bySlot } = this.#masters;
    if (slot === undefined && this.slots) {
      if (bySlot.length === 0) return undefined;
      // Not one that is only being asked.
      for (const [at, node] of this.#nodes) if (node.isReady && bySlot.includes(at)) return node;
      return undefined;
    }
    const address = bySlot[slot ?? 0];
    const node = address === undefined ? undefined : this.#nodes.get(address);
    return node?.isReady ? node : undefined;
  }

  /**
   * The master of a slot, or a promise of it where it is not ready. Whoever comes while others wait
   * gets it after them, since calls reach Redis in the order in which they were made. One that has to
   * be sent again waits in line, too.
   */
  #inLine(
    slot: number | undefined,
    until: number,
    pauseMs = 0,
  ): NodeClient | Promise<NodeClient> {
    const before = this.#lines.size === 0 ? undefined : this.#lines.get(slot);
    if (!before && pauseMs === 0) {
      const node = this.#ready(slot);
      if (node) return node;
    }
    const turn = this.#behind(before, slot, until, pauseMs);
    this.#lines.set(slot, turn);
    const leave = () => {
      if (this.#lines.get(slot) === turn) this.#lines.delete(slot);
    };
    turn.then(leave, leave);
    return turn;
  }

  async #behind(
    before: Promise<unknown> | undefined,
    slot: number | undefined,
    until: number,
    pauseMs: number,
  ): Promise<NodeClient> {
    if (pauseMs > 0) await this.#rest(pauseMs);
    // Whether those before found it is theirs to tell, and this one does not wait longer than it may.
    if (before) await within(before, Math.max(1, until - performance.now())).catch(() => {});
    return await this.#whenReady(slot, until);
  }

  /** Waits until the master of a slot is known and ready, and asks who it is meanwhile. */
  async #whenReady(slot: number | undefined, until: number): Promise<NodeClient> {
    for (let failures = 0;; failures++) {
      if (this.#owner) checkOpen(this.#owner);
      if (this.#closing.signal.aborted) throw this.#error("the client is closed", { fatal: true });
      const { bySlot } = this.#masters;
      const address = bySlot[slot ?? 0] ?? (slot === undefined ? bySlot.find(Boolean) : undefined);
      if (address !== undefined) void this.#open(address).catch((error) => this.#trouble = error);
      const node = this.#ready(slot);
      if (node) return node;
      if (isFatal(this.#trouble)) throw explain(this.#trouble, this.#made.address);
      if (performance.now() > until) throw this.#unreached(slot);
      this.doubt();
      const refusal = address === undefined ? undefined : this.#refusals.of(address);
      const restMs = Math.min(pauseAfter(failures), refusal?.leftMs ?? Infinity);
      await this.#rest(Math.min(restMs, Math.max(1, until - performance.now())));
    }
  }

  /** Rests: as long as that, or until there is news, but never so short that it would be no rest. */
  async #rest(ms: number): Promise<void> {
    const { signal } = this.#news; // also what comes in the first moments
    await sleep(Math.min(ms, AGAIN_MS), this.#closing.signal);
    if (ms > AGAIN_MS) await sleep(ms - AGAIN_MS, this.#closing.signal, signal);
  }

  /** Whoever rests looks again. */
  #tellNews(): void {
    const news = this.#news;
    this.#news = new AbortController();
    news.abort();
  }

  #unreached(slot: number | undefined): RedisConnectionError {
    const trouble = this.#trouble === undefined ? "" : ` (${describe(this.#trouble)})`;
    const known = this.#masters.bySlot.length > 0;
    if (known && slot !== undefined && this.#masters.bySlot[slot] === undefined) {
      return this.#error(`no master has slot ${slot} at the moment${trouble}`);
    }
    return this.#error(`no connection to the master${trouble}`);
  }

  #error(message: string, { fatal = false } = {}): RedisConnectionError {
    return new RedisConnectionError(message, { address: this.#made.address, fatal });
  }

  /** The one who is taking a slot over answers for keys that have moved already, if asked so. */
  async #callAsking(
    address: string,
    args: readonly CommandArgument[],
    until: number,
    raw: boolean | undefined,
  ): Promise<unknown> {
    const deadlineMs = Math.max(1, until - performance.now());
    await within(this.#open(address), deadlineMs);
    const node = this.#nodes.get(address);
    if (!node) throw this.#error(`no connection to ${address}`);
    const asking = call(node, ["ASKING"], { deadlineMs });
    asking.catch(() => {}); // the command behind it fails the same way
    return await call(node, args, { deadlineMs, raw });
  }

  async #refresh(): Promise<void> {
    const pauseMs = Math.max(
      ASK_PAUSE_MS,
      this.#unanswered === 0 ? 0 : pauseAfter(this.#unanswered - 1),
    );
    const pause = this.#askedAt + pauseMs - performance.now();
    if (pause > 0) await sleep(pause, this.#closing.signal);
    this.#askedAt = performance.now();
    if (this.#closing.signal.aborted) return;
    const ready = [...this.#nodes].filter(([, node]) => node.isReady).map(([address]) => address);
    try {
      const masters = await this.#made.discovery.find({
        ask: (at, args) => this.#ask(at, args),
        ready,
        signal: this.#closing.signal,
      });
      this.#trouble = undefined;
      this.#unanswered = 0;
      this.#use(masters);
    } catch (error) {
      this.#unanswered++;
      this.#trouble = error;
      throw error;
    }
  }

  /** Drops whoever is no master any more, and says so to those who wait there. */
  #use(masters: Masters, { partly = false } = {}): void {
    const before = this.#masters.bySlot;
    const known = new Set(before);
    const isOther = (address: string | undefined, slot: number) => address !== before[slot];
    const moved = before.length > 0 &&
      masters.bySlot.some((address, slot) => isOther(address, slot) && before[slot] !== undefined);
    this.#masters = masters;
    const current = new Set(masters.bySlot);
    for (const address of current) {
      if (address !== undefined && !known.has(address)) this.#refusals.forget(address);
    }
    if (masters.bySlot.some(isOther)) this.#tellNews();
    for (const address of partly ? [] : [...this.#nodes.keys()]) {
      if (!current.has(address)) this.#drop(address);
    }
    if (moved) { for (const listener of [...this.#listeners]) listener(); }
  }

  /** Connects to a master, once; not to one that has refused a moment ago. */
  #open(address: string): Promise<void> {
    if (this.#nodes.get(address)?.isOpen || this.#closing.signal.aborted) return Promise.resolve();
    const under = this.#opening.get(address);
    if (under) return under;
    const refusal = this.#refusals.of(address);
    if (refusal) return Promise.reject(refusal.error);
    const opening = this.#connect(address)
      .catch((error) => {
        this.#refusals.refused(address, error);
        throw error;
      })
      .finally(() => this.#opening.delete(address));
    this.#opening.set(address, opening);
    return opening;
  }

  async #connect(address: string): Promise<void> {
    const making = Promise.resolve(this.#made.makeNode(address));
    const node = joinRoute(await within(making, ASK_MS, this.#closing.signal));
    if (this.#closing.signal.aborted) return;
    this.#nodes.set(address, node);
    const { heartbeatMs, onEvent } = this.#made;
    if (heartbeatMs > 0) supervise(node, { heartbeatMs, ...(onEvent && { onEvent }) });
    node.on("ready", () => {
      this.#refusals.forget(address);
      this.#tellNews();
    });
    node.on("error", (error) => {
      this.#trouble = error;
      if (this.#masters.bySlot.includes(address)) this.doubt(); // it may be gone for good
    });
    // Lost, it connects again by itself; what refuses it for good is seen in #trouble.
    const connecting = Promise.resolve(node.connect());
    connecting.catch((error) => {
      this.#trouble = error;
      if (this.#nodes.get(address) === node) this.#nodes.delete(address);
      node.destroy(); // or what it has registered, and its heartbeat, would stay
    });
    await within(connecting, ASK_MS, this.#closing.signal).catch((error) => {
      throw this.#trouble ?? error;
    });
  }

  /**
   * Asks a server who the masters are. A connection that is made for this stays if it is to a master;
   * one that comes to nothing does not.
   */
  async #ask(address: string, args: readonly string[]): Promise<unknown> {
    try {
      await this.#open(address);
      const node = this.#nodes.get(address);
      if (!node) {
        const fatal = this.#closing.signal.aborted;
        throw this.#error(fatal ? "the client is closed" : `no connection to ${address}`, {
          fatal,
        });
      }
      return await call(node, args, { deadlineMs: ASK_MS });
    } catch (error) {
      if (!this.#masters.bySlot.includes(address)) this.#drop(address);
      throw explain(error, address);
    }
  }

  #drop(address: string): void {
    const node = this.#nodes.get(address);
    this.#nodes.delete(address);
    if (!node?.isOpen) return;
    // Who was given it this moment tries again, elsewhere: it is not closed for good.
    adopt(node).endedBy = this.#error(`${address} is no master any more`);
    node.destroy();
  }

  /** While all is well nobody complains: a master may have been handed over all the same. */
  #watch(): void {
    const { everyMs } = this.#made.discovery;
    if (everyMs === 0 || this.#closing.signal.aborted) return;
    this.#timer = setTimeout(async () => {
      await this.refresh().catch(() => {}); // said by whoever needs it
      this.#watch();
    }, everyMs);
    unref(this.#timer);
  }
}

/** How long to rest after so many attempts in vain. */
function pauseAfter(failures: number): number {
  return Math.max(AGAIN_MS, backoffMs(failures, { maxMs: MAX_PAUSE_MS }));
}

/** A timer of ours keeps no program alive. */
function unref(timer: unknown): void {
  const { Deno } = globalThis as { Deno?: { unrefTimer(id: unknown): void } };
  if (typeof timer === "number") Deno?.unrefTimer(timer);
  else (timer as { unref(): void }).unref();
}

/** `MOVED 866 127.0.0.1:7001`, `ASK …`: who has it. No host means the one that was asked. */
function addressIn(error: unknown): string | undefined {
  const address = (error as Error).message.split(" ")[2];
  return address && !address.startsWith(":") ? address : undefined;
}

const NO_KEY = new Set(["PING", "INFO", "CLIENT", "CLUSTER", "PUBLISH", "SCRIPT", "ECHO", "WAIT"]);
const NUMBERED = new Set(["EVAL", "EVALSHA"]);

/** The keys of a command, of those that this library sends. */
function keysOf(args: readonly CommandArgument[]): string[] {
  const name = String(args[0]).toUpperCase();
  if (NUMBERED.has(name)) return args.slice(3, 3 + Number(args[2])).map(String);
  if (name === "XREAD") return [String(args[args.indexOf("STREAMS") + 1])];
  return NO_KEY.has(name) || args.length < 2 ? [] : [String(args[1])];
}
