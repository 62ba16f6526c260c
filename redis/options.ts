/**
 * Objects of options, and signals: what nobody would look at is refused, since an option that is
 * misspelt is an option that is ignored, and `{ dryrun: true }` would do what it should only have shown.
 *
 * @module
 */
import { show } from "./show.ts";

/** The names of an object's options, in the order in which messages list them. */
export type OptionNames = ReadonlySet<string>;

const PUBLIC = { secret: false };

/** The names of `O`, all of them and no others: the compiler compares. */
export function optionNames<O>(names: Record<keyof O, true>): OptionNames {
  return new Set(Object.keys(names));
}

/**
 * Checks an object of options, and gives it. Members that are undefined are there for nobody, but their
 * names have to be right all the same.
 *
 * @param what Whose options, to begin the message with: `enqueue`, `rateLimit`.
 * @param secret Whether values may be secrets, so that the message does not show them.
 * @throws {TypeError} naming what is no such object, or the option that is unknown.
 */
export function checkOptions<O>(
  what: string,
  options: O,
  names: OptionNames,
  { secret = false } = PUBLIC,
): O {
  if (!isObjectOfOptions(options, names)) {
    const meant = options instanceof Error ? "error" : isSignal(options) ? "signal" : "";
    const hint = names.has(meant) ? `: did you mean { ${meant} }?` : "";
    throw new TypeError(
      `${what} takes the options { ${list(names)} }, but this is ` +
        (secret && typeof options === "string" ? "a string" : show(options)) + hint,
    );
  }
  // Also what is inherited, as from Object.create(defaults): it is read, too.
  for (const name in options) {
    if (names.has(name)) continue;
    const value = secret ? "" : ` (${show(options[name])})`;
    throw new TypeError(
      `${what} has no option ${JSON.stringify(name)}${value}: it takes { ${list(names)} }`,
    );
  }
  return options;
}

/**
 * Checks what is on or off.
 *
 * @throws {TypeError} naming the option and the value.
 */
export function checkSwitch(name: string, value: boolean): boolean {
  if (typeof value === "boolean") return value;
  throw new TypeError(`${name} must be true or false, but is ${show(value)}`);
}

/** Not what is something else already: an error, a controller, an array. */
function isObjectOfOptions(options: unknown, names: OptionNames): options is object {
  if (typeof options !== "object" || options === null) return false;
  const prototype = Object.getPrototypeOf(options);
  if (prototype === Object.prototype || prototype === null) return true;
  // A class of one's own, or an object of another realm, as long as it says something.
  return [...names].some((name) => name in options);
}

/**
 * Checks a signal, if there is one.
 *
 * @throws {TypeError} naming what is none.
 */
export function checkSignal(signal: AbortSignal | undefined): void {
  // Not by instanceof: a signal of another realm, or of a polyfill, is one.
  if (signal === undefined || isSignal(signal)) return;
  const inside = isSignal((signal as { signal?: unknown } | null)?.signal);
  throw new TypeError(
    `signal must be an AbortSignal, but is ${show(signal)}` +
      (inside ? ": did you mean controller.signal?" : ""),
  );
}

function isSignal(value: unknown): boolean {
  const { aborted, addEventListener } = Object(value) as Partial<AbortSignal>;
  return typeof aborted === "boolean" && typeof addEventListener === "function";
}

function list(names: OptionNames): string {
  return [...names].join(", ");
}
