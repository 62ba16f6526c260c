/** Options of {@linkcode promptSecret}. */
export interface PromptSecretOptions {
  /** Shown for each character; an empty string shows nothing. @default {"*"} */
  mask?: string;
  /** Whether the line is cleared after the answer. @default {false} */
  clear?: boolean;
}

/** Asks for a line that stays hidden; `null` when standard input is not a terminal. */
export declare function promptSecret(
  message?: string,
  options?: PromptSecretOptions,
): string | null;
