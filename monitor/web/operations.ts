/**
 * Acting on many messages: they are counted first, then somebody says yes, then it goes on in batches, and
 * everybody can watch it or stop it.
 *
 * ```
 * counting ──► ready to run ──run──► running ──► done
 *     │              │                  └─stop─► stopped
 *     └─ failed      └─ forgotten when fifty others were asked for
 * ```
 *
 * What was counted is what is changed: the ids are kept, so nothing that dies meanwhile is taken along.
 * Operations live in this server's memory; one that ends with the server has done a part of its work, and
 * nothing by halves.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { pagesOf } from "../paging.ts";
import { notFound, Problem, unavailable } from "../server/problem.ts";
import { type AnyQueue, messageOf } from "../snapshot.ts";
import { type Match, readSearch, readsPayloads } from "./search.ts";

/** What can be done with messages. */
export type Verb = "redrive" | "delete" | "purge" | "give back" | "bury";

const VERBS: Record<Plan["state"], readonly Verb[]> = {
  ready: ["delete", "purge"],
  leased: ["give back", "bury"],
  delayed: ["delete", "purge"],
  dead: ["redrive", "delete", "purge"],
  completed: ["purge"],
  failed: ["purge"],
};

/** What can be done with messages of a state. */
export function verbsOf(state: Plan["state"]): readonly Verb[] {
  return VERBS[state];
}

/** Where an operation is. */
export type Phase = "counting" | "asking" | "running" | "done" | "stopped" | "failed";

/** What somebody wants to do. */
export interface Plan {
  /** The queue's name. */
  readonly queue: string;
  /** What to do. */
  readonly verb: Verb;
  /** With messages of this state. */
  readonly state: "ready" | "leased" | "delayed" | "dead" | "completed" | "failed";
  /** With these; or with all that fit `query`. */
  readonly ids?: readonly string[];
  /** The search, or "" for all. */
  readonly query: string;
}

/** One operation, as it is now. */
export interface Operation extends Plan {
  /** Names it in URLs. */
  readonly id: string;
  /** Where it is. */
  phase: Phase;
  /** How many messages were looked at. */
  looked: number;
  /** How many messages of that state there were. */
  inAll: number;
  /** How many fit. */
  total: number;
  /** How many are done. */
  done: number;
  /** How many were gone when their turn came. */
  gone: number;
  /** How many a second; as fast as it goes if there is none. */
  perSecond: number | undefined;
  /** When it began to run, and when it ended, in milliseconds since 1970. */
  startedAt: number | undefined;
  endedAt: number | undefined;
  /** Why it failed. */
  trouble: string | undefined;
  /** When it was asked for, in milliseconds since 1970. */
  readonly askedAt: number;
}

/** How many are remembered, and how many may be counted or run at the same time. */
const MAX_KEPT = 50;
const MAX_BUSY = 4;

/** How many ids one operation may keep. */
const MAX_IDS = 1_000_000;

const PAGE = 1_000;
const BATCH = 250;

interface Own {
  operation: Operation;
  ids: string[];
  tokens: Map<string, string>;
  stop: AbortController;
  queue: AnyQueue;
}

/** See the module. */
export class Operations {
  readonly #all = new Map<string, Own>();
  readonly #changed: () => void;

  /** `changed` is told when messages were. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** The last ones, the newest in front. */
  list(): Operation[] {
    return [...this.#all.values()].map(({ operation }) => operation).reverse();
  }

  /**
   * One of them.
   *
   * @throws {Problem} 404 if it is not remembered.
   */
  get(id: string): Operation {
    return this.#own(id).operation;
  }

  /**
   * Begins to count. The search is read now; `tasks`: as one for tasks.
   *
   * @throws {SearchError} for one that says nothing.
   */
  plan(queue: AnyQueue, plan: Plan, { tasks = false } = {}): Operation {
    const match = readSearch(plan.query, { tasks });
    const payloads = readsPayloads(plan.query, { tasks });
    const busy = this.list().filter(({ phase }) => phase === "counting" || phase === "running");
    if (busy.length >= MAX_BUSY) {
      throw unavailable(
        "busy",
        "Busy",
        `${busy.length} operations run already; wait for one, or stop it`,
      );
    }
    const own: Own = {
      operation: {
        ...plan,
        id: randomBytes(6).toString("hex"),
        phase: "counting",
        looked: 0,
        inAll: 0,
        total: 0,
        done: 0,
        gone: 0,
        perSecond: undefined,
        startedAt: undefined,
        endedAt: undefined,
        trouble: undefined,
        askedAt: Date.now(),
      },
      ids: [],
      tokens: new Map(),
      stop: new AbortController(),
      queue,
    };
    for (const [id, { operation: { phase } }] of this.#all) {
      if (this.#all.size < MAX_KEPT) break;
      if (phase !== "running" && phase !== "counting") this.#all.delete(id);
    }
    this.#all.set(own.operation.id, own);
    this.#guard(own, () => this.#count(own, { match, payloads }));
    return own.operation;
  }

  /**
   * Yes, do it: with all that were counted, or with the first `most` of them.
   *
   * @throws {Problem} 409 if it does not wait for that.
   */
  run(id: string, { perSecond, most }: { perSecond?: number; most?: number } = {}): void {
    const own = this.#own(id);
    if (own.operation.phase !== "asking") {
      const { phase } = own.operation;
      const detail = `It is ${phase} and cannot be started`;
      throw new Problem({ status: 409, kind: "not-waiting", title: "Not waiting for you", detail });
    }
    own.operation.phase = "running";
    own.operation.perSecond = perSecond;
    if (most !== undefined && most < own.ids.length) {
      own.ids.length = most;
      own.operation.total = most;
    }
    own.operation.startedAt = Date.now();
    this.#guard(own, () => this.#work(own));
  }

  /** No more of it; what is done is done. */
  stop(id: string): void {
    const { operation, stop } = this.#own(id);
    stop.abort();
    if (operation.phase === "asking") operation.phase = "stopped";
  }

  /** Stops all. */
  close(): void {
    for (const { stop } of this.#all.values()) stop.abort();
  }

  #own(id: string): Own {
    const own = this.#all.get(id);
    if (!own) {
      throw notFound(
        `There is no operation ${JSON.stringify(id)}; it may be from before a restart`,
      );
    }
    return own;
  }

  /** Runs a phase; whatever it throws is the operation's trouble. */
  #guard(own: Own, phase: () => Promise<void>): void {
    const { operation, stop } = own;
    phase().catch((error) => {
      operation.phase = stop.signal.aborted ? "stopped" : "failed";
      if (!stop.signal.aborted) operation.trouble = messageOf(error);
      operation.endedAt = Date.now();
    });
  }

  async #count(
    own: Own,
    { match, payloads }: { match: Match; payloads: boolean },
  ): Promise<void> {
    const { operation, queue, ids } = own;
    const { state, verb, query } = operation;
    if (operation.ids && state !== "leased") {
      ids.push(...new Set(operation.ids));
      operation.total = operation.inAll = operation.looked = ids.length;
    } else if (verb === "purge") {
      const counts = await queue.counts() as unknown as Record<string, number>;
      operation.total = operation.inAll = operation.looked = counts[state] ?? 0;
    } else {
      const wanted = operation.ids && new Set(operation.ids);
      operation.inAll = (await queue.counts())[state as "dead"] ?? 0;
      for await (const messages of pagesOf(queue, state, { page: PAGE, payloads })) {
        own.stop.signal.throwIfAborted();
        for (const message of messages) {
          operation.looked++;
          if (wanted ? !wanted.has(message.id) : query !== "" && !match(message)) continue;
          ids.push(message.id);
          if (message.token) own.tokens.set(message.id, message.token);
          operation.total++;
        }
        if (operation.total >= MAX_IDS) break;
      }
    }
    operation.phase = "asking";
  }

  async #work(own: Own): Promise<void> {
    const { operation, queue, ids, stop: { signal } } = own;
    const { verb, state } = operation;
    if (verb === "purge") {
      await queue.purge(state as "dead", {
        signal,
        onProgress: (n) => operation.done = n,
      });
    } else {
      const { perSecond = Infinity } = operation;
      const batch = Math.max(1, Math.min(BATCH, Math.floor(perSecond / 4)));
      const startedAt = performance.now();
      for (let i = 0; i < ids.length && !signal.aborted; i += batch) {
        const some = ids.slice(i, i + batch);
        const n = await this.#settle(own, some);
        operation.done += n;
        operation.gone += some.length - n;
        this.#changed();
        const early = startedAt + 1_000 * (i + batch) / perSecond - performance.now();
        if (early > 0 && i + batch < ids.length) await pause(early, signal);
      }
    }
    operation.phase = signal.aborted ? "stopped" : "done";
    operation.endedAt = Date.now();
    this.#changed();
  }

  /** Does it with some, and tells with how many it could be done. */
  async #settle({ operation, queue, tokens }: Own, ids: string[]): Promise<number> {
    if (operation.verb === "redrive") return await queue.redrive({ ids });
    const each = ids.map(async (id) => {
      if (operation.verb === "delete") return await queue.cancel(id) !== undefined;
      try {
        const delivery = queue.delivery(tokens.get(id)!);
        if (operation.verb === "bury") await delivery.deadLetter("buried by hand");
        else await delivery.nack({ delayMs: 0, error: new Error("given back by hand") });
        return true;
      } catch (error) {
        if (error instanceof Error && error.name === "LeaseLostError") return false;
        throw error;
      }
    });
    return (await Promise.all(each)).filter(Boolean).length;
  }
}

/** Waits, or until it is called off. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
