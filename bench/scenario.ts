/**
 * What a scenario gets and gives. Each is a file in `scenarios/` and a line in main.ts.
 *
 * @module
 */
import type { RedisClientType } from "redis";
import type { Load, Result } from "./measure.ts";
import type { Times } from "./times.ts";

/** What a scenario gets. */
export interface Bench {
  /** The server; touch no key that is not of the scenario's own queues. */
  url: string;
  load: Load;
  /** Another checkout of this project to compare with, if one was named. */
  checkout?: string | undefined;
  /** For looking at the server. */
  redis: RedisClientType;
  /** Tells the user what goes on. */
  note(text: string): void;
}

/** What a scenario gives. */
export interface Report {
  tables: Table[];
  /** Messages that were timed one by one. */
  times?: Times[];
  /** What was done, where it is not what the options say. */
  load?: string;
  /** One sentence each; the last one is the point of the scenario. */
  verdicts: string[];
}

/** Results that can be compared with each other. */
export interface Table {
  title: string;
  results: Result[];
  /** Messages a second that count as 1 ×. */
  baseline: number;
  /**
   * Whose they are.
   *
   * @default "BullMQ"
   */
  than?: string;
}

/** A scenario. */
export type Scenario = (bench: Bench) => Promise<Report>;
