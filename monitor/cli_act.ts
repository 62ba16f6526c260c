/**
 * The commands that change something: `redrive`, `purge`, `cancel`, `pause`, `resume`. What cannot be taken
 * back is counted and asked about first; what takes a while says how far it is, and Ctrl-C ends it between
 * two steps.
 *
 * @module
 */
import type { RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import { type Command, type Context, EXIT } from "./cli_context.ts";
import { AskedWrongly } from "./cli_flags.ts";
import { confirm, note, paint, print, printJson, Progress } from "./cli_print.ts";
import { inert, whole } from "./format.ts";

/** The queues that are to be changed: nobody changes all of them by forgetting a flag. */
async function targets(
  { asked, monitor }: Context,
  verb: string,
): Promise<RegisteredQueue[]> {
  if (asked.queues && asked.all) throw new AskedWrongly("Either --queue or --all, not both");
  if (asked.all) return await monitor.list();
  if (!asked.queues) throw new AskedWrongly(`${verb} which queue? Say --queue NAME, or --all`);
  return await Promise.all([...new Set(asked.queues)].map((name) => monitor.registered(name)));
}

const named = (queues: readonly RegisteredQueue[]) =>
  queues.map(({ name }) => inert(name)).join(", ");

/** The queue that is to be changed, by a command that takes one at a time. */
async function target({ asked, monitor }: Context, verb: string): Promise<RegisteredQueue> {
  const { queues = [] } = asked;
  if (queues.length !== 1) throw new AskedWrongly(`${verb} takes one queue: --queue NAME`);
  return await monitor.registered(queues[0]!);
}

/** How many of which queue. */
interface Part {
  readonly queue: string;
  count: number;
}

/** What was done, or would be. */
function report(
  { asked }: Context,
  { verb, parts, dryRun = false, interrupted = false }: {
    verb: string;
    parts: readonly Part[];
    dryRun?: boolean;
    interrupted?: boolean;
  },
): number {
  const total = parts.reduce((sum, { count }) => sum + count, 0);
  if (asked.json) {
    printJson({
      total,
      queues: parts,
      ...(dryRun && { dryRun }),
      ...(interrupted && { interrupted }),
    });
  } else {
    const of = parts.filter(({ count }) => count > 0)
      .map(({ queue, count }) =>
        parts.length > 1 ? `${whole(count)} of ${inert(queue)}` : inert(queue)
      )
      .join(", ");
    const where = of ? ` (${of})` : "";
    print(`${dryRun ? "would be " : ""}${verb}: ${whole(total)}${where}`);
    if (interrupted) note("Interrupted: the others are as they were.");
  }
  return interrupted ? EXIT.interrupted : EXIT.ok;
}

function cancelled(): number {
  note("Nothing was changed.");
  return EXIT.interrupted;
}

export const redrive: Command = {
  name: "redrive",
  summary: "makes dead letters ready again",
  about:
    `Makes dead letters ready again, the oldest first: all of a queue, or those with an --id, or ` +
    `with a text in their --error. They start at attempt 1 and keep their history. Says how many there are ` +
    `and asks first; --rate keeps it slow enough for what is behind the queue. Ctrl-C ends it: what was ` +
    `redriven is, the rest stays dead.`,
  flags: ["queue", "all", "id", "error", "limit", "rate", "dry-run", "yes"],
  examples: [
    ["redrive --queue emails --dry-run", "how many are there?"],
    ["redrive --queue emails --error timeout", "those that timed out; asks first"],
    ["redrive --queue emails --rate 50 --yes", "all, fifty a second, without asking"],
    ["redrive --queue emails --id invoice-17 --id invoice-18", "these two"],
    ["redrive --all --limit 100", "up to a hundred of each queue"],
  ],
  inSteps: true,
  run: async (context) => {
    const { asked, monitor, signal } = context;
    const { ids, error, limit, rate, dryRun } = asked;
    if (ids && error !== undefined) throw new AskedWrongly("Either --id or --error, not both");
    const choice = {
      ...(ids && { ids }),
      ...(error !== undefined && { match: diedOf(error) }),
      ...(limit !== undefined && { limit }),
      signal,
    };
    const queues = await targets(context, "redrive");
    const parts: Part[] = [];
    for (const registered of queues) {
      const queue = monitor.open(registered);
      const count = ids || error !== undefined
        ? await queue.redrive({ ...choice, dryRun: true })
        : Math.min((await queue.counts()).dead, limit ?? Infinity);
      parts.push({ queue: registered.name, count });
    }
    const total = parts.reduce((sum, { count }) => sum + count, 0);
    if (signal.aborted) return cancelled();
    if (dryRun || total === 0) return report(context, { verb: "redriven", parts, dryRun });
    const question = `Redrive ${whole(total)} dead letter${total === 1 ? "" : "s"} of ${
      named(queues)
    }?`;
    if (!await confirm(question, asked) || signal.aborted) return cancelled();
    using progress = new Progress("redriven", total);
    let before = 0;
    for (const [i, registered] of queues.entries()) {
      const part = parts[i]!;
      part.count = part.count === 0 || signal.aborted ? 0 : await monitor.open(registered).redrive({
        ...choice,
        ...(rate !== undefined && { perSecond: rate }),
        onProgress: (count) => progress.to(before + count),
      });
      before += part.count;
    }
    progress[Symbol.dispose]();
    return report(context, { verb: "redriven", parts, interrupted: signal.aborted });
  },
};

/** Whether a letter has this text in its reason or in an error, whatever the case. */
export function diedOf(text: string): (message: Waiting<unknown>) => boolean {
  const wanted = text.toLowerCase();
  return ({ reason = "", errors }) =>
    reason.toLowerCase().includes(wanted) ||
    errors.some(({ message }) => message.toLowerCase().includes(wanted));
}

export const purge: Command = {
  name: "purge",
  summary: "removes all messages of a state, for good",
  about:
    "Removes all messages of a queue that are in a state, or a log. They are gone. What is in hand " +
    "belongs to its consumer and cannot be purged. Says how many there are and asks first.",
  flags: ["queue", "state", "dry-run", "yes"],
  examples: [
    ["purge --queue emails --state dead", "asks first"],
    ["purge --queue emails --state completed --yes", "empties a log"],
  ],
  inSteps: true,
  run: async (context) => {
    const { asked, monitor, signal } = context;
    const { state, dryRun } = asked;
    if (!state) {
      throw new AskedWrongly("purge needs a --state: ready, delayed, dead, completed, failed");
    }
    const registered = await target(context, "purge");
    const queue = monitor.open(registered);
    const isLog = state === "completed" || state === "failed";
    const counts = isLog ? undefined : await queue.counts();
    const total = counts?.[state as "ready"];
    const queueName = registered.name;
    if (dryRun || total === 0) {
      if (total === undefined) throw new AskedWrongly(`--dry-run: a log is not counted (${state})`);
      return report(context, {
        verb: "purged",
        parts: [{ queue: queueName, count: total }],
        dryRun,
      });
    }
    const what = total === undefined ? `the log "${state}"` : `${whole(total)} ${state} messages`;
    if (!await confirm(`Remove ${what} of ${inert(queueName)} for good?`, asked)) {
      return cancelled();
    }
    using progress = new Progress("purged", total ?? 0);
    const onProgress = (count: number) => progress.to(count);
    const count = await queue.purge(state, { signal, onProgress });
    progress[Symbol.dispose]();
    const interrupted = signal.aborted;
    return report(context, { verb: "purged", parts: [{ queue: queueName, count }], interrupted });
  },
};

export const cancel: Command = {
  name: "cancel",
  summary: "takes one message out, wherever it is",
  about:
    "Takes a message out of a queue by its id. A consumer that has it in hand goes on; it is not " +
    "handed out again. Asks first. Exit code 1 if there is none.",
  flags: ["queue", "yes"],
  argument: "an id",
  examples: [["cancel reminder-5 --queue emails", "asks first"]],
  run: async (context) => {
    const { asked, monitor } = context;
    const id = asked.argument!;
    const registered = await target(context, "cancel");
    const shown = inert(JSON.stringify(id));
    if (!await confirm(`Cancel the message ${shown} of ${inert(registered.name)}?`, asked)) {
      return cancelled();
    }
    const state = await monitor.open(registered).cancel(id);
    if (asked.json) printJson({ id, queue: registered.name, state: state ?? null });
    else if (state) print(`cancelled: it was ${state}`);
    else note(`There is no message ${shown} in ${inert(registered.name)}, or not any more.`);
    return state ? EXIT.ok : EXIT.unwell;
  },
};

export const pause: Command = {
  name: "pause",
  summary: "hands nothing out any more",
  about:
    "Hands nothing out, to nobody, until it is resumed; what is in hand may be settled, and producers " +
    "go on. It is kept in Redis and outlives all programs. One consumer alone finishes what it has and " +
    "takes no more, until it is resumed or ends. Asks first.",
  flags: ["queue", "all", "consumer", "yes"],
  examples: [
    ["pause --queue emails", "asks first"],
    ["pause --all --yes", "everything stands still"],
    ["pause --queue emails --consumer k3x9vq2m1a", "one worker, before its machine goes"],
  ],
  run: async (context) => {
    if (context.asked.consumer !== undefined) return await pauseConsumer(context, "pause");
    const queues = await targets(context, "pause");
    if (queues.length === 0) return done(context, "paused", queues);
    const question = `Pause ${named(queues)}? Nothing is handed out until it is resumed.`;
    if (!await confirm(question, context.asked)) return cancelled();
    for (const queue of queues) await context.monitor.open(queue).pause();
    return done(context, "paused", queues);
  },
};

export const resume: Command = {
  name: "resume",
  summary: "hands messages out again",
  about:
    "Ends a pause. Consumers that wait hear of it at once; a consumer that was paused, in a second.",
  flags: ["queue", "all", "consumer"],
  examples: [
    ["resume --queue emails", "one queue"],
    ["resume --all", "all of them"],
    ["resume --queue emails --consumer k3x9vq2m1a", "one worker"],
  ],
  run: async (context) => {
    if (context.asked.consumer !== undefined) return await pauseConsumer(context, "resume");
    const queues = await targets(context, "resume");
    for (const queue of queues) await context.monitor.open(queue).resume();
    return done(context, "resumed", queues);
  },
};

/** One consumer of one queue. */
async function pauseConsumer(context: Context, how: "pause" | "resume"): Promise<number> {
  const { asked, monitor } = context;
  const consumer = asked.consumer!;
  if (!/^[\w-]+$/.test(consumer)) {
    throw new AskedWrongly(
      `--consumer must be a name that monitor consumers shows, but is ${JSON.stringify(consumer)}`,
    );
  }
  if (asked.all) throw new AskedWrongly("Either --consumer or --all, not both");
  const registered = await target(context, `${how} --consumer`);
  const queue = monitor.open(registered);
  const name = inert(registered.name);
  const question = `Pause ${consumer} of ${name}? It finishes what it has, and takes no more.`;
  if (how === "pause" && !await confirm(question, asked)) return cancelled();
  const there = how === "pause"
    ? await queue.pauseConsumer(consumer)
    : await queue.resumeConsumer(consumer);
  const verb = `${how}d`;
  if (asked.json) printJson({ [verb]: there ? [consumer] : [], queue: registered.name });
  else if (there) print(`${verb}: ${paint("bold", consumer)} of ${name}`);
  else note(`There is no consumer ${consumer} of ${name}: monitor consumers --queue ${name}`);
  return there ? EXIT.ok : EXIT.unwell;
}

function done({ asked }: Context, verb: string, queues: readonly RegisteredQueue[]): number {
  if (asked.json) printJson({ [verb]: queues.map(({ name }) => name) });
  else if (queues.length === 0) note("No queue has been used on this Redis yet.");
  else print(`${verb}: ${paint("bold", named(queues))}`);
  return EXIT.ok;
}
