/**
 * Reads the `[score]` lines of examples and makes one table of them, with a sentence about what it
 * shows. Pure: text in, text out.
 *
 * @module
 */

import Table from "cli-table3";
import { type Mode, MODES } from "./demo_view.ts";

/** What the processes of one run have achieved. */
export interface Score {
  /** How many messages they received. */
  messages: number;
  /** How many commands they sent for that. */
  commands: number;
  /** Half of the messages waited less, in milliseconds. */
  p50Ms: number;
}

/** The scores of a step. */
export interface StepScore {
  /** The step's number and title. */
  title: string;
  /** One score for each way to wait. */
  scores: Record<Mode, Score | undefined>;
}

const SCORE = /^\[score\]\s+messages (\d+)\s+commands (\d+)\s+wait p50 +(\d+(?:\.\d+)?) ms$/;

/**
 * The score in what processes printed, colours already removed; undefined without a score line.
 * Several workers count as one: their messages and commands are added up, and of their medians we
 * take the one that at least half of the messages are below.
 */
export function readScore(lines: string[]): Score | undefined {
  const scores = lines.map((line) => SCORE.exec(line)).filter((match) => match !== null)
    .map(([, messages, commands, p50]) => ({
      messages: Number(messages),
      commands: Number(commands),
      p50Ms: Number(p50),
    }));
  if (scores.length === 0) return undefined;
  const total = (key: keyof Score) => scores.reduce((sum, score) => sum + score[key], 0);
  const messages = total("messages");
  let below = 0;
  const middle = scores.toSorted((a, b) => a.p50Ms - b.p50Ms)
    .find((score) => (below += score.messages) * 2 >= messages)!;
  return { messages, commands: total("commands"), p50Ms: middle.p50Ms };
}

/** The table of all scores. */
export function toTable(steps: StepScore[], { colours }: { colours: boolean }): string {
  const table = new Table({
    head: ["step", "mode", "messages", "commands", "wait p50"],
    colAligns: ["left", "left", "right", "right", "right"],
    chars: { "mid": "", "left-mid": "", "mid-mid": "", "right-mid": "" }, // no lines between rows
    style: { head: colours ? ["bold"] : [], border: colours ? ["gray"] : [] },
  });
  for (const { title, scores } of steps) {
    for (const [i, mode] of MODES.entries()) {
      const score = scores[mode];
      const { messages = "–", commands = "–" } = score ?? {};
      const wait = score ? `${score.p50Ms.toFixed(1)} ms` : "–";
      table.push([i === 0 ? title : "", mode, messages, commands, wait]);
    }
  }
  return table.toString();
}

/** What the table shows, in a sentence. */
export function toSentence(steps: StepScore[]): string {
  const [polling, blocking] = MODES.map((mode) => {
    const scores = steps.map(({ scores }) => scores[mode]).filter((score) => score !== undefined);
    const waits = scores.map(({ p50Ms }) => p50Ms).sort((a, b) => a - b);
    return {
      messages: scores.reduce((sum, { messages }) => sum + messages, 0),
      commands: scores.reduce((sum, { commands }) => sum + commands, 0),
      p50Ms: waits[waits.length >> 1] ?? 0,
    };
  });
  return `Polling sent ${polling!.commands} commands for ${polling!.messages} messages, which ` +
    `typically waited ${polling!.p50Ms.toFixed(1)} ms; blocking sent ${blocking!.commands} ` +
    `for ${blocking!.messages}, which waited ${blocking!.p50Ms.toFixed(1)} ms.`;
}
