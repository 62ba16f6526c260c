/**
 * What the capital letters do: each is first a plan, with a question that says how many, and then work that
 * tells how far it is and can be ended.
 *
 * @module
 */
import type { Waiting } from "@workshop/redis-patterns";
import { inert, whole } from "./format.ts";
import { pagesOf } from "./paging.ts";
import type { AnyQueue, Monitor } from "./snapshot.ts";
import { matching, type Tab } from "./terminal_feed.ts";

/** How a plan is carried out: it tells how many are done, and ends with its signal. */
export interface Work {
  readonly onProgress: (done: number) => void;
  readonly signal: AbortSignal;
}

/** Something that will be done when the answer is yes. */
export interface Plan {
  /** What is asked. */
  readonly question: string;
  /** How many it is about; 0 if there is nothing to do. */
  readonly total: number;
  /** Does it; gives what is said afterwards. */
  readonly run: (work: Work) => Promise<string>;
}

/** Which messages of a queue: those with these ids, or all that match. */
export interface Chosen {
  readonly queue: string;
  readonly tab: Exclude<Tab, "workers">;
  /** These, or absent for all that match. */
  readonly ids?: readonly string[];
  readonly filter: string;
}

/** How many messages are cancelled at the same time. */
const TOGETHER = 20;
const PAGE = 500;

const list = (names: readonly string[]) =>
  names.length > 3 ? `${names.length} queues` : names.map((name) => inert(name)).join(", ");
const letters = (n: number) => `${whole(n)} dead letter${n === 1 ? "" : "s"}`;
const messages = (n: number) => `${whole(n)} message${n === 1 ? "" : "s"}`;

/** All dead letters of some queues. */
export async function planRedriveOf(monitor: Monitor, names: readonly string[]): Promise<Plan> {
  const queues = await Promise.all(names.map((name) => monitor.queue(name)));
  const counts = await Promise.all(queues.map((queue) => queue.counts()));
  const total = counts.reduce((sum, { dead }) => sum + dead, 0);
  return {
    question: `Redrive ${letters(total)} of ${list(names)}?`,
    total,
    run: async ({ onProgress, signal }) => {
      let done = 0;
      for (const queue of queues) {
        if (signal.aborted) break;
        const before = done;
        const told = (count: number) => onProgress(before + count);
        done += await queue.redrive({ onProgress: told, signal });
      }
      return `redriven: ${letters(done)}`;
    },
  };
}

/** Some dead letters of a queue. */
export async function planRedrive(monitor: Monitor, chosen: Chosen): Promise<Plan> {
  const queue = await monitor.queue(chosen.queue);
  const { ids, filter } = chosen;
  const choice = ids ? { ids } : filter ? { match: matching("dead", filter) } : {};
  const total = ids || filter
    ? await queue.redrive({ ...choice, dryRun: true })
    : (await queue.counts()).dead;
  return {
    question: `Redrive ${letters(total)} of ${list([chosen.queue])}${that(chosen)}?`,
    total,
    run: async (work) => `redriven: ${letters(await queue.redrive({ ...choice, ...work }))}`,
  };
}

/** All dead letters of some queues, for good. */
export async function planPurgeOf(monitor: Monitor, names: readonly string[]): Promise<Plan> {
  const queues = await Promise.all(names.map((name) => monitor.queue(name)));
  const counts = await Promise.all(queues.map((queue) => queue.counts()));
  const total = counts.reduce((sum, { dead }) => sum + dead, 0);
  return {
    question: `Remove ${letters(total)} of ${list(names)} for good?`,
    total,
    run: async ({ onProgress, signal }) => {
      let done = 0;
      for (const queue of queues) {
        if (signal.aborted) break;
        const before = done;
        const told = (count: number) => onProgress(before + count);
        done += await queue.purge("dead", { onProgress: told, signal });
      }
      return `removed: ${letters(done)}`;
    },
  };
}

/** Some messages of a queue, for good. */
export async function planRemove(monitor: Monitor, chosen: Chosen): Promise<Plan> {
  const queue = await monitor.queue(chosen.queue);
  const { tab, filter } = chosen;
  if (!chosen.ids && filter === "" && tab !== "leased") {
    const total = (await queue.counts())[tab];
    return {
      question: `Remove all ${messages(total)} that are ${tab} in ${
        list([chosen.queue])
      } for good?`,
      total,
      run: async (work) => `removed: ${messages(await queue.purge(tab, work))}`,
    };
  }
  const ids = chosen.ids ?? await idsOf(queue, tab, matching(tab, filter));
  return {
    question: `Remove ${messages(ids.length)} of ${list([chosen.queue])}${that(chosen)} for good?`,
    total: ids.length,
    run: async ({ onProgress, signal }) => {
      let removed = 0;
      for (let i = 0; i < ids.length && !signal.aborted; i += TOGETHER) {
        const states = await Promise.all(ids.slice(i, i + TOGETHER).map((id) => queue.cancel(id)));
        removed += states.filter((state) => state !== undefined).length;
        onProgress(Math.min(i + TOGETHER, ids.length));
      }
      return `removed: ${messages(removed)}`;
    },
  };
}

async function idsOf(
  queue: AnyQueue,
  tab: Chosen["tab"],
  matches: (message: Waiting<unknown>) => boolean,
): Promise<string[]> {
  const ids: string[] = [];
  for await (const messages of pagesOf(queue, tab, { page: PAGE })) {
    ids.push(...messages.filter(matches).map(({ id }) => id).filter((id) => id !== ""));
  }
  return [...new Set(ids)];
}

/** Pauses these queues or, if all are paused, resumes them. */
export async function planPause(monitor: Monitor, names: readonly string[]): Promise<Plan> {
  const queues = await Promise.all(names.map((name) => monitor.queue(name)));
  const counts = await Promise.all(queues.map((queue) => queue.counts()));
  const open = queues.filter((_, i) => !counts[i]!.paused);
  const [verb, which] = open.length > 0 ? ["Pause", open] as const : ["Resume", queues] as const;
  const what = list(which.map(({ name }) => name));
  return {
    question: verb === "Pause"
      ? `Pause ${what}? Nothing is handed out until it is resumed.`
      : `Resume ${what}?`,
    total: which.length,
    run: async () => {
      for (const queue of which) await (verb === "Pause" ? queue.pause() : queue.resume());
      return `${verb.toLowerCase()}d: ${what}`;
    },
  };
}

/** Pauses one worker or, if it is paused, resumes it. */
export async function planPauseWorker(
  monitor: Monitor,
  { queue: name, consumer }: { queue: string; consumer: string },
): Promise<Plan> {
  const queue = await monitor.queue(name);
  const found = (await queue.consumers()).find((one) => one.consumer === consumer);
  const verb = found?.paused ? "resume" : "pause";
  const what = `${inert(consumer)} of ${list([name])}`;
  return {
    question: verb === "pause"
      ? `Pause ${what}? It finishes what it has, and takes no more.`
      : `Resume ${what}?`,
    total: found ? 1 : 0,
    run: async () => {
      const there = verb === "pause"
        ? await queue.pauseConsumer(consumer)
        : await queue.resumeConsumer(consumer);
      return there ? `${verb}d: ${what}` : `${what} has gone meanwhile`;
    },
  };
}

function that({ ids, filter }: Chosen): string {
  return ids || !filter ? "" : ` that match ${inert(JSON.stringify(filter))}`;
}
