/**
 * What is going on, on standard error, for whoever waits: in a terminal one line that changes and goes
 * away, elsewhere a line each. It needs no end; what is printed next is to stand where it was, so it is
 * cleared before.
 *
 * @module
 */

import { fit, paint } from "./example_stage.ts";
import { say } from "./run.ts";

/** One line; see the module. */
export class StatusLine {
  readonly #changes: boolean = Deno.stderr.isTerminal();
  #shown = "";

  /** Tells something else from now on. */
  tell(text: string): void {
    if (text === this.#shown) return;
    this.#shown = text;
    if (!this.#changes) return say(text);
    // A line that wrapped could not be taken back, so it is cut.
    const line = fit(`…  ${text}`, Deno.consoleSize().columns - 1).trimEnd();
    this.#write(paint("dim", line));
  }

  /** Takes it away: what it told is over. */
  clear(): void {
    if (this.#changes && this.#shown !== "") this.#write("");
    this.#shown = "";
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[2K${text}`));
  }
}
