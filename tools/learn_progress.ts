/**
 * How far somebody is: which exercises were solved, and how many hints were read. It is kept beside
 * the checkout's other leftovers, so that no exercise is checked again that was not touched. Lost,
 * it is found again by checking.
 *
 * @module
 */

import { ROOT } from "./example.ts";

/** What is known of one exercise. */
interface Known {
  /** The digest of the file that was found solved. */
  solved?: string;
  /** How many hints were shown. */
  hints?: number;
}

const FILE = new URL(".cache/learn.json", ROOT);

/** How far somebody is, with the exercises in one folder. */
export class Progress {
  readonly #file: URL | undefined;
  readonly #known: Record<string, Known>;

  private constructor(file: URL | undefined, known: Record<string, Known>) {
    this.#file = file;
    this.#known = known;
  }

  /** What `file` says, or nothing if there is none, or none that can be read. */
  static async load(file: URL = FILE): Promise<Progress> {
    const text = await Deno.readTextFile(file).catch(() => "{}");
    try {
      return new Progress(file, JSON.parse(text) as Record<string, Known>);
    } catch {
      return new Progress(file, {}); // cut off or edited: found again by checking
    }
  }

  /** Nothing is known, and nothing is kept: for files that are not the checkout's own. */
  static ofThisRun(): Progress {
    return new Progress(undefined, {});
  }

  /** Forgets all of it. */
  static async forget(file: URL = FILE): Promise<void> {
    await Deno.remove(file).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  /** Whether the exercise was solved by exactly this text. */
  async isSolved(name: string, text: string): Promise<boolean> {
    return this.#known[name]?.solved === await digest(text);
  }

  /** Notes that it is solved by this text. */
  async noteSolved(name: string, text: string): Promise<void> {
    await this.#note(name, { solved: await digest(text) });
  }

  /** How many hints were shown. */
  hints(name: string): number {
    return this.#known[name]?.hints ?? 0;
  }

  /** Notes how many hints were shown. */
  async noteHints(name: string, hints: number): Promise<void> {
    await this.#note(name, { hints });
  }

  async #note(name: string, news: Known): Promise<void> {
    this.#known[name] = { ...this.#known[name], ...news };
    if (!this.#file) return;
    await Deno.mkdir(new URL(".", this.#file), { recursive: true });
    await Deno.writeTextFile(this.#file, `${JSON.stringify(this.#known, null, 2)}\n`);
  }
}

async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(bytes).toHex().slice(0, 16);
}
