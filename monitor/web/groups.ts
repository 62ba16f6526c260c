/**
 * Dead letters grouped by error: what differs only in numbers, ids and quoted texts is the same error.
 *
 * All dead letters have to be looked at for that, a page at a time. So it goes on in the background, and
 * whoever asks gets what is known until then.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { pagesOf } from "../paging.ts";
import type { AnyQueue } from "../snapshot.ts";

/** One error, and how many died of it. */
export interface ErrorGroup {
  /** Names it in URLs. */
  readonly key: string;
  /** The error, with `…` for what differs. */
  readonly title: string;
  /** How many dead letters. */
  count: number;
  /** The newest: its error as it is, its id, and when it died. */
  example: { readonly reason: string; readonly id: string; readonly at: number };
  /** When the first one died, in milliseconds since 1970. */
  firstAt: number;
}

/** What is known of the dead letters of a queue. */
export interface Groups {
  /** The largest first. */
  readonly groups: readonly ErrorGroup[];
  /** How many were looked at. */
  readonly seen: number;
  /** Whether all were. */
  readonly complete: boolean;
}

/** How many groups are told apart; the others are one. */
const MAX_GROUPS = 500;
/** So many at a time, so that other requests are answered in between. */
const PAGE = 250;

/** The key of what is in no group of its own. */
export const OTHERS = "others";

/** A look through all is not begun again before ten times as long as the last one took. */
const REST = 10;

/** A reason in a line, without how often it was tried. */
export function shortReason(reason: string): string {
  return reason.replace(/^after \d+ attempts?: /, "").split("\n")[0]!;
}

/** The group of an error. */
export function groupOf(reason: string): { key: string; title: string } {
  const title = shortReason(reason)
    .slice(0, 300)
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, "…")
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b/gi, "…")
    .replace(/\b\d{1,3}(\.\d{1,3}){3}\b/g, "…")
    .replace(/\b[\w-]*\d[\w-]*\b/g, (word) => isNumbered(word) ? "…" : word)
    .replace(/(?:…[\s.,:;/]?){2,}/g, "… ")
    .trim() || "no reason";
  return { key: createHash("sha256").update(title).digest("hex").slice(0, 10), title };
}

/** An id or an amount, and not a status (503) or a name with a number in it (utf8). */
function isNumbered(word: string): boolean {
  const digits = word.replace(/\D/g, "").length;
  return digits >= 4 || (digits >= 2 && digits < word.length);
}

/** Looks through the dead letters of one queue. */
export class ErrorIndex {
  readonly #queue: AnyQueue;
  #known: Groups = { groups: [], seen: 0, complete: false };
  #walking: Promise<void> | undefined;
  #dead = -1;
  #again = 0;
  #failed: unknown;

  /** Looks when it is asked. */
  constructor(queue: AnyQueue) {
    this.#queue = queue;
  }

  /** What is known, after waiting for up to `ms` if something changed. `dead`: how many there are now. */
  async look(dead: number, ms: number): Promise<Groups> {
    if (dead !== this.#dead && !this.#walking && performance.now() >= this.#again) {
      this.#dead = dead;
      this.#walking = this.#walk().catch((error) => {
        this.#failed = error;
        this.#dead = -1;
      }).finally(() => this.#walking = undefined);
    }
    if (this.#walking) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
      await Promise.race([this.#walking, late]);
      clearTimeout(timer);
    }
    if (this.#failed) {
      const error = this.#failed;
      this.#failed = undefined;
      throw error;
    }
    return this.#known;
  }

  async #walk(): Promise<void> {
    const startedAt = performance.now();
    const groups = new Map<string, ErrorGroup>();
    const isFirst = !this.#known.complete;
    let seen = 0;
    const pages = pagesOf(this.#queue, "dead", { page: PAGE, payloads: false });
    for await (const messages of pages) {
      for (const { id, reason = "", deadAt = 0 } of messages) {
        const { key, title } = groups.size < MAX_GROUPS ? groupOf(reason) : others(groups, reason);
        const group = groups.get(key);
        const example = { reason: reason.slice(0, 500), id, at: deadAt };
        if (!group) groups.set(key, { key, title, count: 1, example, firstAt: deadAt });
        else {
          group.count++;
          if (deadAt >= group.example.at) group.example = example;
          group.firstAt = Math.min(group.firstAt, deadAt);
        }
      }
      seen += messages.length;
      // The first time, something is better than nothing.
      if (isFirst) this.#known = { groups: sorted(groups), seen, complete: false };
    }
    this.#known = { groups: sorted(groups), seen, complete: true };
    this.#again = performance.now() + REST * (performance.now() - startedAt);
  }
}

function others(groups: Map<string, ErrorGroup>, reason: string): { key: string; title: string } {
  const own = groupOf(reason);
  return groups.has(own.key) ? own : { key: OTHERS, title: "all other errors" };
}

function sorted(groups: Map<string, ErrorGroup>): ErrorGroup[] {
  return [...groups.values()].sort((a, b) => b.count - a.count || b.example.at - a.example.at);
}
