/**
 * What the live screen is at a moment, and what each key makes of it. It draws nothing: the view reads from
 * it what to draw, and is told when that has changed.
 *
 * @module
 */
import type { Waiting } from "@workshop/redis-patterns";
import { whole } from "./format.ts";
import type { Holder } from "./holders.ts";
import type { Link } from "./link.ts";
import type { MessageRecord } from "./records.ts";
import { messageOf, type Monitor, type QueueSnapshot } from "./snapshot.ts";
import {
  type Plan,
  planPause,
  planPauseWorker,
  planPurgeOf,
  planRedrive,
  planRedriveOf,
  planRemove,
} from "./terminal_acts.ts";
import { Feed, type Known, type Tab, TABS } from "./terminal_feed.ts";

/** Where we are. */
export type Page =
  | { readonly kind: "queues" }
  | { readonly kind: "queue"; readonly queue: string; readonly tab: Tab }
  | {
    readonly kind: "message";
    readonly queue: string;
    readonly tab: Tab;
    readonly record: MessageRecord & { readonly message: Waiting<unknown> };
  };

/** A line that can be chosen. */
export type Row =
  | { readonly key: string; readonly queue: QueueSnapshot }
  | { readonly key: string; readonly message: Waiting<unknown> }
  | { readonly key: string; readonly holder: Holder };

/** Something that goes on. */
export interface Job {
  readonly question: string;
  readonly total: number;
  readonly done: number;
}

/** What a key press is, as Ink tells it. */
export interface Key {
  readonly upArrow?: boolean;
  readonly downArrow?: boolean;
  readonly leftArrow?: boolean;
  readonly rightArrow?: boolean;
  readonly pageUp?: boolean;
  readonly pageDown?: boolean;
  readonly home?: boolean;
  readonly end?: boolean;
  readonly return?: boolean;
  readonly escape?: boolean;
  readonly tab?: boolean;
  readonly backspace?: boolean;
  readonly delete?: boolean;
  readonly ctrl?: boolean;
  readonly meta?: boolean;
}

/** Keys that come together, faster than they are read, are one text. */
const KEYS: Readonly<Record<string, Key>> = {
  "\r": { return: true },
  "\n": { return: true },
  "\t": { tab: true },
  "\x7f": { backspace: true },
  "\b": { backspace: true },
};

/** How long what was done stays on the screen, in milliseconds. */
const NOTICE_MS = 8_000;

/** See the module. */
export class Screen {
  page: Page = { kind: "queues" };
  /** What rows have to contain. */
  filter = "";
  /** Whether the filter is being typed. */
  typing = false;
  /** Keys of rows that were chosen. */
  readonly selected = new Set<string>();
  /** Whether all were chosen, also those that are not shown. */
  all = false;
  /** Waits for a yes. */
  plan: Plan | undefined;
  /** What goes on. */
  job: Job | undefined;
  /** What came of it. */
  notice: { readonly text: string; readonly good: boolean } | undefined;
  /** Whether the keys are listed. */
  help = false;
  /** How many lines further down a message is read. */
  scrolled = 0;
  /** How many rows there is room for; the view says so. */
  room = 10;
  readonly readOnly: boolean;
  readonly #link: Link;
  readonly #feed: Feed;
  readonly #onExit: () => void;
  readonly #listeners = new Set<() => void>();
  readonly #cursors = new Map<string, { key: string; index: number }>();
  #ending: AbortController | undefined;
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;
  #version = 0;

  constructor(
    { link, queues, refreshMs, readOnly, onExit }: {
      link: Link;
      queues?: readonly string[];
      refreshMs: number;
      readOnly: boolean;
      onExit: () => void;
    },
  ) {
    this.#link = link;
    this.readOnly = readOnly;
    this.#onExit = onExit;
    this.#feed = new Feed({ link, queues, refreshMs, onChange: () => this.#changed() });
  }

  /** Reads until it is closed. */
  run(): Promise<void> {
    return this.#feed.run();
  }

  /** Ends reading, and what goes on. */
  close(): void {
    clearTimeout(this.#noticeTimer);
    this.#ending?.abort();
    this.#feed.close();
    this.#listeners.clear();
  }

  /** What is known of the queues. */
  get known(): Known {
    return this.#feed.known;
  }

  /** Tells a listener of changes, until the function that it gives is called. */
  subscribe = (listener: () => void): () => void => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Another number after each change. */
  version = (): number => this.#version;

  /** The rows of this page that match the filter. */
  get rows(): Row[] {
    const { page, known } = this;
    if (page.kind === "queues") {
      return (known.snapshot?.queues ?? [])
        .filter(({ name }) => name.toLowerCase().includes(this.filter.toLowerCase()))
        .map((queue) => ({ key: queue.name, queue }));
    }
    const shown = known.page;
    if (shown?.queue !== page.queue || shown.tab !== page.tab) return [];
    if (page.tab === "workers") {
      return shown.holders.map((holder) => ({ key: holder.consumer, holder }));
    }
    return shown.messages.map((message, i) => ({ key: message.id || `?${i}`, message }));
  }

  /** Whether the rows of this page have been read. */
  get loaded(): boolean {
    const { page, known } = this;
    if (page.kind === "queues") return known.snapshot !== undefined;
    return known.page?.queue === page.queue && known.page.tab === page.tab &&
      known.page.filter === this.filter;
  }

  /** Which row the cursor is on: it stays on its row when others come and go. */
  cursor(rows: readonly Row[] = this.rows): number {
    const at = this.#cursors.get(this.#place());
    if (!at) return 0;
    const index = rows.findIndex(({ key }) => key === at.key);
    return index >= 0 ? index : Math.max(0, Math.min(at.index, rows.length - 1));
  }

  /** The queue that this page is about. */
  get queue(): QueueSnapshot | undefined {
    const { page } = this;
    if (page.kind === "queues") return undefined;
    return this.known.snapshot?.queues.find(({ name }) => name === page.queue);
  }

  /** A key was pressed, or several at once, as when text is pasted. */
  press(input: string, key: Key): void {
    if ([...input].length > 1) { for (const char of input) this.#press(char, KEYS[char] ?? {}); }
    else this.#press(input, key);
    this.#changed();
  }

  #press(input: string, key: Key): void {
    if (key.ctrl && input === "c") return this.#onExit();
    if (this.plan) this.#answer(input, key);
    else if (this.typing) this.#type(input, key);
    else if (this.help) this.help = false;
    else this.#command(input, key);
  }

  #command(input: string, key: Key): void {
    const { page } = this;
    if (input === "q") return this.#onExit();
    if (input === "?") return void (this.help = true);
    if (key.escape || (key.backspace && page.kind !== "queues")) return this.#back();
    if (page.kind === "message") return this.#read(input, key);
    const rows = this.rows;
    const at = this.cursor(rows);
    if (key.downArrow || input === "j") return this.#move(rows, at + 1);
    if (key.upArrow || input === "k") return this.#move(rows, at - 1);
    if (key.pageDown || (key.ctrl && input === "d")) return this.#move(rows, at + this.room);
    if (key.pageUp || (key.ctrl && input === "u")) return this.#move(rows, at - this.room);
    if (key.home || input === "g") return this.#move(rows, 0);
    if (key.end || input === "G") return this.#move(rows, rows.length - 1);
    if (key.return) return this.#open(rows[at]);
    if (input === "/") return void (this.typing = true);
    if (input === "x" || input === " ") return this.#select(rows, at);
    if (input === "A") return this.#selectAll(rows);
    if (input === "R") return this.#redrive(rows, at);
    if (input === "D") return this.#remove(rows, at);
    if (input === "P") return this.#pause(rows, at);
    if (page.kind !== "queue") return;
    const step = key.rightArrow || input === "l" || key.tab
      ? 1
      : key.leftArrow || input === "h"
      ? -1
      : 0;
    const tab = step !== 0
      ? TABS[(TABS.indexOf(page.tab) + step + TABS.length) % TABS.length]
      : TABS[Number(input) - 1];
    if (tab && tab !== page.tab) this.#go({ ...page, tab });
  }

  #back(): void {
    const { page } = this;
    if (this.job) return void this.#ending?.abort();
    if (page.kind === "message") {
      this.page = { kind: "queue", queue: page.queue, tab: page.tab };
    } else if (this.selected.size > 0 || this.all) {
      this.#unselect();
    } else if (this.filter !== "") {
      this.#filterBy("");
    } else if (page.kind === "queue") {
      this.#go({ kind: "queues" });
    }
  }

  #read(input: string, key: Key): void {
    const step = key.downArrow || input === "j"
      ? 1
      : key.upArrow || input === "k"
      ? -1
      : key.pageDown || input === " "
      ? this.room
      : key.pageUp
      ? -this.room
      : 0;
    if (key.home || input === "g") this.scrolled = 0;
    this.scrolled = Math.max(0, this.scrolled + step);
    const { page } = this;
    if (page.kind !== "message") return;
    const rows: Row[] = [{ key: page.record.id, message: page.record.message }];
    if (input === "R") this.#redrive(rows, 0);
    if (input === "D") this.#remove(rows, 0);
  }

  #open(row: Row | undefined): void {
    const { page } = this;
    if (!row) return;
    if ("queue" in row) this.#go({ kind: "queue", queue: row.queue.name, tab: "dead" });
    else if ("message" in row && page.kind === "queue" && page.tab !== "workers") {
      const { message } = row;
      const { id } = message;
      const task = this.known.page?.tasks.get(id);
      const at = message.deadAt ?? message.dueAt ?? message.readyAt;
      const kind = this.queue?.kind ?? "list";
      this.scrolled = 0;
      this.page = {
        ...page,
        kind: "message",
        record: {
          queue: page.queue,
          kind,
          id,
          state: task?.state ?? page.tab,
          at,
          message,
          ...(task && { task }),
        },
      };
    }
  }

  /** To another page, of which nothing is chosen yet. */
  #go(page: Page): void {
    this.page = page;
    this.#unselect();
    this.filter = "";
    this.#look();
  }

  #look(): void {
    const { page } = this;
    this.#feed.look(
      page.kind === "queues"
        ? undefined
        : { queue: page.queue, tab: page.tab, filter: this.filter },
    );
  }

  #place(): string {
    const { page } = this;
    return page.kind === "queues" ? "" : `${page.tab} ${page.queue}`;
  }

  #move(rows: readonly Row[], to: number): void {
    const index = Math.max(0, Math.min(to, rows.length - 1));
    const row = rows[index];
    if (row) this.#cursors.set(this.#place(), { key: row.key, index });
  }

  #type(input: string, key: Key): void {
    if (key.return) return void (this.typing = false);
    if (key.escape) {
      this.typing = false;
      return this.#filterBy("");
    }
    if (key.backspace || key.delete) return this.#filterBy([...this.filter].slice(0, -1).join(""));
    // deno-lint-ignore no-control-regex -- what is pasted may have some
    if (!key.ctrl && !key.meta) this.#filterBy(this.filter + input.replace(/[\x00-\x1f\x7f]/g, ""));
  }

  #filterBy(text: string): void {
    this.filter = text;
    this.#unselect();
    this.#look();
  }

  #select(rows: readonly Row[], at: number): void {
    const row = rows[at];
    if (!row || "holder" in row) return;
    if (this.all) this.#unselect();
    if (!this.selected.delete(row.key)) this.selected.add(row.key);
    this.#move(rows, at + 1);
  }

  #selectAll(rows: readonly Row[]): void {
    if (this.all) return this.#unselect();
    if (rows.some((row) => "holder" in row)) return;
    this.selected.clear();
    this.all = rows.length > 0;
  }

  #unselect(): void {
    this.selected.clear();
    this.all = false;
  }

  /** Which rows are meant: all, those chosen, or the one under the cursor. */
  #meant(rows: readonly Row[], at: number): { keys: string[]; all: boolean } {
    if (this.all) return { keys: rows.map(({ key }) => key), all: true };
    const row = rows[at];
    const keys = this.selected.size > 0 ? [...this.selected] : row ? [row.key] : [];
    return { keys, all: false };
  }

  #redrive(rows: readonly Row[], at: number): void {
    const { page, filter } = this;
    const { keys, all } = this.#meant(rows, at);
    if (keys.length === 0) return;
    if (page.kind === "queues") return this.#prepare((monitor) => planRedriveOf(monitor, keys));
    if (page.tab !== "dead") return this.#say("R is for dead letters: press 1", false);
    const { queue, tab } = page;
    this.#prepare((monitor) =>
      planRedrive(monitor, { queue, tab, filter, ...(!all && { ids: keys }) })
    );
  }

  #remove(rows: readonly Row[], at: number): void {
    const { page, filter } = this;
    const { keys, all } = this.#meant(rows, at);
    if (keys.length === 0) return;
    if (page.kind === "queues") return this.#prepare((monitor) => planPurgeOf(monitor, keys));
    const { queue, tab } = page;
    if (tab === "workers") return this.#say("D is for messages: press 1, 2 or 3", false);
    this.#prepare((monitor) =>
      planRemove(monitor, { queue, tab, filter, ...(!all && { ids: keys }) })
    );
  }

  #pause(rows: readonly Row[], at: number): void {
    const { page } = this;
    const row = rows[at];
    if (row && "holder" in row) {
      const { queue, consumer, info } = row.holder;
      if (!info) {
        return this.#say("it has fallen silent: what it holds comes back by its lease", false);
      }
      return this.#prepare((monitor) => planPauseWorker(monitor, { queue, consumer }));
    }
    const names = page.kind === "queues" ? this.#meant(rows, at).keys : [page.queue];
    if (names.length > 0) this.#prepare((monitor) => planPause(monitor, names));
  }

  /** Counts, and then asks. */
  #prepare(make: (monitor: Monitor) => Promise<Plan>): void {
    if (this.readOnly) {
      return this.#say("nothing is changed here: it was opened with --read-only", false);
    }
    if (this.job) return this.#say("something goes on already; Esc ends it", false);
    this.job = { question: "counting …", total: 0, done: 0 };
    this.#link.monitor().then(make).then((plan) => {
      this.job = undefined;
      if (plan.total === 0) this.#say("there is nothing to do", true);
      else this.plan = plan;
    }).catch((error) => {
      this.job = undefined;
      this.#say(messageOf(error), false);
    }).finally(() => this.#changed());
  }

  #answer(input: string, key: Key): void {
    const plan = this.plan!;
    if (input === "y" || input === "Y") {
      this.plan = undefined;
      this.#carryOut(plan);
    } else if (input === "n" || input === "N" || input === "q" || key.escape) {
      this.plan = undefined;
      this.#say("nothing was changed", true);
    }
  }

  #carryOut({ question, total, run }: Plan): void {
    const ending = this.#ending = new AbortController();
    this.job = { question, total, done: 0 };
    const onProgress = (done: number) => {
      this.job = { question, total, done };
      this.#changed();
    };
    run({ onProgress, signal: ending.signal }).then(
      (said) => this.#say(ending.signal.aborted ? `ended early; ${said}` : said, true),
      (error) => this.#say(messageOf(error), false),
    ).finally(() => {
      this.job = undefined;
      this.#ending = undefined;
      this.#unselect();
      if (this.page.kind === "message") this.#back();
      this.#feed.again();
      this.#changed();
    });
  }

  #say(text: string, good: boolean): void {
    this.notice = { text, good };
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(() => {
      this.notice = undefined;
      this.#changed();
    }, NOTICE_MS);
  }

  #changed(): void {
    this.#version++;
    for (const listener of this.#listeners) listener();
  }
}

/** How many are chosen, in words; "" for none. */
export function selectionText({ all, selected, filter }: Screen): string {
  if (all) return filter ? "all that match are selected" : "all are selected";
  return selected.size > 0 ? `${whole(selected.size)} selected` : "";
}
