/**
 * What the live screen shows, read again and again: the snapshot of all queues and, when one is open, the
 * page of it that is looked at. While Redis is away it says why, keeps what it knew, and goes on when Redis
 * is back.
 *
 * @module
 */
import { type QueueStats, RedisConnectionError, type Waiting } from "@workshop/redis-patterns";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import { diedOf } from "./cli_act.ts";
import { payloadText } from "./format.ts";
import { type Holder, holdersOf } from "./holders.ts";
import type { Link } from "./link.ts";
import { recordsOf } from "./records.ts";
import { messageOf, type Monitor, type Snapshot } from "./snapshot.ts";

/** The pages of a queue. */
export const TABS = ["dead", "delayed", "leased", "workers"] as const;
/** One of them. */
export type Tab = typeof TABS[number];

/** Which page of which queue is looked at, and for what. */
export interface Looking {
  readonly queue: string;
  readonly tab: Tab;
  readonly filter: string;
}

/** The messages or consumers on a page of a queue. */
export interface QueuePage extends Looking {
  /** The first messages; of those that match, if there is a filter. */
  readonly messages: readonly Waiting<unknown>[];
  readonly holders: readonly Holder[];
  /** What is on record of these, if they are tasks. */
  readonly tasks: ReadonlyMap<string, TaskRecord>;
  /** Whether there are more than were looked at. */
  readonly more: boolean;
}

/** What is known, and since when. */
export interface Known {
  readonly snapshot?: Snapshot;
  readonly page?: QueuePage;
  /** Why nothing could be read, and whether Redis is away; absent while all is well. */
  readonly trouble?: { readonly text: string; readonly away: boolean };
  /** For each queue how many messages were done, a second, between two looks; the latest is the last. */
  readonly rates: ReadonlyMap<string, readonly number[]>;
}

/** How many messages of a state are shown, and looked at for a filter. */
const SHOWN = 100;
const LOOKED_AT = 2_000;
/** How many columns a sparkline has at most. */
const RATES = 40;
/** Statistics are read once a second, whatever the screen does. */
const STATS_AGE_MS = 900;

/** See the module. It reads from when it is made until it is closed. */
export class Feed {
  known: Known = { rates: new Map() };
  readonly #link: Link;
  readonly #queues: readonly string[] | undefined;
  readonly #refreshMs: number;
  readonly #onChange: () => void;
  readonly #before = new Map<string, { at: number; stats: QueueStats }>();
  #looking: Looking | undefined;
  #wake = () => {};
  #asked = false;
  #closed = false;

  constructor(
    { link, queues, refreshMs, onChange }: {
      link: Link;
      queues?: readonly string[];
      refreshMs: number;
      onChange: () => void;
    },
  ) {
    this.#link = link;
    this.#queues = queues;
    this.#refreshMs = refreshMs;
    this.#onChange = onChange;
  }

  /**
   * Reads until it is closed.
   *
   * @throws {RedisConnectionError} when Redis refuses us for good.
   * @throws {TypeError} for a URL that is none.
   */
  async run(): Promise<void> {
    while (!this.#closed) {
      this.#asked = false;
      await this.#read();
      if (this.#closed) return;
      this.#onChange();
      if (this.#asked) continue; // while it was reading
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, this.#refreshMs);
      });
      clearTimeout(timer);
    }
  }

  /** Looks at another page, or at none, at once. */
  look(looking: Looking | undefined): void {
    this.#looking = looking;
    this.again();
  }

  /** Reads now: something was changed. */
  again(): void {
    this.#asked = true;
    this.#wake();
  }

  /** Ends reading. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async #read(): Promise<void> {
    try {
      const monitor = await this.#link.monitor();
      const looking = this.#looking;
      const [snapshot, page] = await Promise.all([
        monitor.look({ queues: this.#queues, statsAgeMs: STATS_AGE_MS }),
        looking && readPage(monitor, looking),
      ]);
      this.known = { snapshot, page, rates: this.#ratesOf(snapshot) };
    } catch (error) {
      const away = error instanceof RedisConnectionError;
      // No waiting mends a wrong password, or a URL that is none.
      if (away ? error.fatal : error instanceof TypeError) throw error;
      this.known = { ...this.known, trouble: { text: messageOf(error), away } };
    }
  }

  #ratesOf({ at, queues }: Snapshot): Known["rates"] {
    const rates = new Map<string, readonly number[]>();
    for (const { name, stats } of queues) {
      const before = this.#before.get(name);
      const known = this.known.rates.get(name) ?? [];
      const seconds = before ? (at - before.at) / 1_000 : 0;
      const fresh = before?.stats !== stats;
      if (fresh) this.#before.set(name, { at, stats });
      const done = before && fresh && seconds > 0
        ? [Math.max(0, stats.totals.acked - before.stats.totals.acked) / seconds]
        : [];
      rates.set(name, [...known, ...done].slice(-RATES));
    }
    return rates;
  }
}

async function readPage(monitor: Monitor, looking: Looking): Promise<QueuePage> {
  const registered = await monitor.registered(looking.queue);
  const queue = monitor.open(registered);
  const { tab, filter } = looking;
  if (tab === "workers") {
    const all = await holdersOf(monitor, registered, await monitor.now());
    const holders = all.filter(({ consumer, info }) =>
      `${consumer} ${info?.host ?? ""}`.toLowerCase().includes(filter.toLowerCase())
    );
    return { ...looking, messages: [], holders, tasks: new Map(), more: false };
  }
  const messages: Waiting<unknown>[] = [];
  let cursor: string | undefined;
  for (let seen = 0; seen < (filter ? LOOKED_AT : SHOWN) && messages.length < SHOWN;) {
    const page = await queue.peek(tab, { limit: SHOWN, ...(cursor && { cursor }) });
    messages.push(...page.messages.filter(matching(tab, filter)));
    seen += SHOWN;
    cursor = page.cursor;
    if (!cursor) break;
  }
  const records = await recordsOf(monitor.tasks(registered), messages);
  return { ...looking, messages, holders: [], tasks: records, more: cursor !== undefined };
}

/** Which messages a filter means: of dead ones by what they died of, also by id and payload. */
export function matching(tab: Tab, filter: string): (message: Waiting<unknown>) => boolean {
  if (filter === "") return () => true;
  const wanted = filter.toLowerCase();
  const died = tab === "dead" ? diedOf(filter) : () => false;
  return (message) =>
    died(message) || message.id.toLowerCase().includes(wanted) ||
    payloadText(message).toLowerCase().includes(wanted);
}
