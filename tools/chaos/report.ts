/**
 * What a chaos run says at its end: a table, in text for a terminal and in Markdown for a file.
 *
 * @module
 */
import type { ConnectedClient } from "@workshop/redis-patterns";
import config from "../../deno.json" with { type: "json" };
import { groundOf, SERVER_FAULTS } from "./grounds.ts";
import { CONCURRENCY, LEASE_MS, type Outcome, WORKERS } from "./run.ts";

/** Where and with what it ran. */
export interface Circumstances {
  date: string;
  versions: string;
  command: string;
}

type Row = [name: string, show: (outcome: Outcome) => string];

/** The rows of the table: what is shown of an outcome, and what it means. */
function rowsOf(outcomes: readonly Outcome[]): Row[] {
  const { faults, replicas } = groundOf(outcomes[0]!.plan.topology);
  const there = SERVER_FAULTS.flatMap((fault) => {
    const words = faults[fault];
    return words ? [{ fault, ...words }] : [];
  });
  const unconfirmed: Row[] = [
    ["stored, but not confirmed by a replica", (one) => count(one.unconfirmed.count)],
    ["lost of those", (one) => count(one.unconfirmed.lost)],
  ];
  const gone: Row[] = [
    ["the same, of acks in the last moments of a master", ({ audit }) => count(audit.acksGone)],
  ];
  return [
    [
      `messages, confirmed to their producer${replicas > 0 ? " (a replica has them)" : ""}`,
      ({ confirmed }) => count(confirmed),
    ],
    ...(replicas > 0 ? unconfirmed : []),
    ["workers killed (kill -9)", ({ plan }) => count(plan.kills)],
    ["workers stopped past their lease (SIGSTOP)", ({ plan }) => count(plan.stops)],
    ...there.map(({ fault, done }): Row => [done, ({ plan }) => count(plan[fault])]),
    ["hand-overs", ({ audit }) => count(audit.started)],
    ["handlers cut short", ({ audit }) => count(audit.cutShort)],
    ["late acks that were refused", ({ audit }) => count(audit.refused)],
    ["**lost**", ({ audit }) => `**${count(audit.lost.length)}**`],
    ["**acked twice**", ({ audit }) => `**${count(audit.doubleAcks)}**`],
    ...(replicas > 0 ? gone : []),
    [
      "completed twice (at most: what faults cut off)",
      ({ audit, mayTwice, isControl }) =>
        isControl
          ? count(audit.completedTwice)
          : `${count(audit.completedTwice)} (${count(mayTwice)})`,
    ],
    ["from the fault to the next hand-over: median, max", ({ againMs }) => times(againMs)],
    ...there.map(({ fault, back }): Row => [
      `${back}: median, max`,
      ({ backMs }) => times(backMs[fault]),
    ]),
    ["the run took", ({ ms }) => `${(ms / 1_000).toFixed(1)} s`],
  ];
}

/** One line, when a kind is through. */
export function toLine({ title, audit, broken, isControl, ms }: Outcome): string {
  const verdict = broken.length > 0
    ? `BROKEN: ${broken.join("; ")}`
    : isControl
    ? "as it should, it loses some"
    : "kept";
  return `${title}: ${count(audit.lost.length)} lost, ${count(audit.doubleAcks)} acked twice, ` +
    `${count(audit.completedTwice)} completed twice, ${(ms / 1_000).toFixed(1)} s: ${verdict}`;
}

/** The table for a terminal. */
export function toText(outcomes: readonly Outcome[], circumstances: Circumstances): string {
  const table = tableOf(outcomes).map((row) => row.map((cell) => cell.replaceAll("*", "")));
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => row[i]!.length)));
  const lines = table.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
  );
  const { date, versions, command } = circumstances;
  return [`${date}, ${versions}`, command, "", ...lines, ""].join("\n");
}

/** The same as a page. */
export function toMarkdown(outcomes: readonly Outcome[], circumstances: Circumstances): string {
  const [head, ...rows] = tableOf(outcomes).map((row) => `| ${row.join(" | ")} |`);
  const { words } = groundOf(outcomes[0]!.plan.topology);
  const rule = `| --- |${" ---: |".repeat(outcomes.length)}`;
  const broken = outcomes.flatMap(({ title, broken }) =>
    broken.map((what) => `- ${title}: ${what}`)
  );
  return `# A chaos run

${circumstances.date}, ${circumstances.versions}.

\`\`\`sh
${circumstances.command}
\`\`\`

${WORKERS} worker processes with ${CONCURRENCY} handlers each and leases of ${LEASE_MS} ms;
${words}. Half of the messages are delayed. What happened is read from
files that the workers append to, not from Redis. A message is lost if its producer was told that it is
stored and no handler ever finished it. The control is the same run with a plain \`BRPOP\`: it has to lose
messages, or the run proves nothing.

A message whose consumer was killed is handed out apart from the others, one a worker at a time, since it
may be what kills consumers. Under several kills a second such messages wait for their turn, and are killed
again: the time to the next hand-over says how hard the run was, not how soon one comes back.

${head}
${rule}
${rows.join("\n")}

${broken.length > 0 ? `Not kept:\n\n${broken.join("\n")}` : "Every promise was kept."}
`;
}

function tableOf(outcomes: readonly Outcome[]): string[][] {
  return [
    ["", ...outcomes.map(({ title }) => title)],
    ...rowsOf(outcomes).map(([name, show]) => [name, ...outcomes.map((outcome) => show(outcome))]),
  ];
}

/** What it ran on. */
export async function versionsOf(redis: ConnectedClient): Promise<string> {
  const server = /redis_version:(\S+)/.exec(await redis.info("server"))?.[1];
  const lock = await Deno.readTextFile(new URL("../../deno.lock", import.meta.url));
  const client = /"npm:redis@[^"]*": "([\d.]+)/.exec(lock)?.[1];
  const cores = navigator.hardwareConcurrency;
  return `${config.name} ${config.version}, Redis ${server}, npm:redis ${client}, ` +
    `Deno ${Deno.version.deno}, ${Deno.build.os} ${Deno.build.arch}, ${cores} cores`;
}

const count = (n: number) => n.toLocaleString("en");

function times(all: readonly number[]): string {
  if (all.length === 0) return "–";
  const sorted = all.toSorted((a, b) => a - b);
  const ms = (at: number) => count(Math.round(sorted[Math.min(sorted.length - 1, at)]!));
  return `${ms(Math.floor(sorted.length / 2))}, ${ms(sorted.length - 1)} ms`;
}
