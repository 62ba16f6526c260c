/**
 * What a command is: what it takes, what it says of itself, and what it does.
 *
 * @module
 */
import type { Asked, FlagName } from "./cli_flags.ts";
import type { Monitor } from "./snapshot.ts";

/** How a command ends. */
export const EXIT = {
  /** Done; or all is well. */
  ok: 0,
  /** What was asked about is not well, or not there. */
  unwell: 1,
  /** Redis is away. */
  down: 2,
  /** It was asked wrongly, or there was nobody to confirm. */
  misused: 3,
  /** Ctrl-C, or the answer was no. */
  interrupted: 130,
} as const;

/** What a command works with. */
export interface Context {
  /** What was asked. */
  readonly asked: Asked;
  /** On a connection that is up. */
  readonly monitor: Monitor;
  /** Aborts at Ctrl-C, for a command that goes in steps. */
  readonly signal: AbortSignal;
}

/** A command. */
export interface Command {
  /** Its name. */
  readonly name: string;
  /** A line for the list. */
  readonly summary: string;
  /** What there is to know. */
  readonly about: string;
  /** Its flags, besides those that all take. */
  readonly flags: readonly FlagName[];
  /** What stands behind it, such as an id. */
  readonly argument?: string;
  /** Lines to type, and what they do. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** Whether it heeds the signal, and ends between two steps; others end at once by Ctrl-C. */
  readonly inSteps?: true;
  /** Does it; gives the exit code. */
  readonly run: (context: Context) => Promise<number>;
}
