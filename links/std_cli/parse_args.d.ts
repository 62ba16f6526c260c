// The types of `parseArgs` for the JavaScript that parse_args.ts re-exports. They follow std where
// programs meet them: a string flag is `string | undefined`, or what its default adds to `string`;
// a boolean flag is there always; a collected flag is an array; what no option names is unknown, or
// any when no option names anything. Dotted names ("db.url") stay unknown; std types those too.

type Aliases = Readonly<Record<string, string | readonly string[]>>;

/** The name itself and, if it is a key of the aliases, what it stands for. */
type NamesOf<Name extends string, TAlias> = Name extends keyof TAlias
  ? Name | (TAlias[Name] extends readonly string[] ? TAlias[Name][number] : TAlias[Name] & string)
  : Name;

/** Flags with their aliases, all of one type, all there or all optional. */
type Always<Name extends string, TAlias, T> = { [Flag in Name as NamesOf<Flag, TAlias>]: T };
type Perhaps<Name extends string, TAlias, T> = { [Flag in Name as NamesOf<Flag, TAlias>]?: T };

/** The flags of type `T`, which are one value each, or arrays where collected. */
type Typed<T, Name extends string, TCollect extends string, TAlias> =
  & Perhaps<Exclude<Name, TCollect>, TAlias, T>
  & Always<Name & TCollect, TAlias, T[]>;

/** The flags before the defaults. */
type Given<
  TString extends string,
  TBoolean extends string,
  TCollect extends string,
  TNegatable extends string,
  TAlias,
> =
  & Typed<string, Exclude<TString, TNegatable>, TCollect, TAlias>
  & {
    [Flag in TString & TNegatable as NamesOf<Flag, TAlias>]?:
      | (Flag extends TCollect ? string[] : string)
      | false;
  }
  & Required<Typed<boolean, TBoolean, TCollect, TAlias>>
  & Always<Exclude<TCollect, TString | TBoolean | TNegatable>, TAlias, unknown[]>
  & Always<Exclude<TCollect & TNegatable, TString | TBoolean>, TAlias, unknown[] | false>;

/** A flag with a default is always there; a default of another type widens it. */
type WithDefaults<TGiven, TDefault> =
  & Omit<TGiven, keyof TDefault>
  & {
    [Flag in keyof TDefault]: Flag extends keyof TGiven ? NonNullable<TGiven[Flag]> | TDefault[Flag]
      : unknown;
  };

/** One plain object type instead of the parts it was made of. */
type Flat<T> = { [Key in keyof T]: T[Key] };

type DoubleDash<T> = boolean extends T ? { "--"?: string[] }
  : T extends true ? { "--": string[] }
  : unknown;

/** What {@linkcode parseArgs} returns: the flags, and in `_` everything that is not a flag. */
export type Args<
  // deno-lint-ignore no-explicit-any -- without options every flag is any, as in std
  TFlags extends Record<string, unknown> = Record<string, any>,
  TDoubleDash extends boolean | undefined = undefined,
> = Flat<TFlags & { _: Array<string | number> } & DoubleDash<TDoubleDash>>;

/** Options of {@linkcode parseArgs}. */
export interface ParseOptions<
  TBoolean extends string | boolean = string | boolean,
  TString extends string = string,
  TCollect extends string = string,
  TNegatable extends string = string,
  TDefault extends Record<string, unknown> = Record<string, unknown>,
  TAlias extends Aliases = Aliases,
  TDoubleDash extends boolean | undefined = boolean | undefined,
> {
  /** Puts what follows `--` under `"--"` instead of `_`. @default {false} */
  "--"?: TDoubleDash;
  /** Other names of a flag. */
  alias?: TAlias;
  /** Flags that are true or false and take no value; `true` means every `--flag` without `=`. */
  boolean?: TBoolean | ReadonlyArray<Extract<TBoolean, string>>;
  /** Values of flags that are not given. */
  default?: TDefault;
  /** Puts everything after the first argument that is not a flag into `_`. @default {false} */
  stopEarly?: boolean;
  /** Flags whose value stays a string, even if it looks like a number. */
  string?: TString | readonly TString[];
  /** Flags that may be repeated and are arrays. */
  collect?: TCollect | readonly TCollect[];
  /** Flags that `--no-<flag>` turns off. */
  negatable?: TNegatable | readonly TNegatable[];
  /** Called for each argument that no option names; `false` leaves it out of the result. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/**
 * Parses command line arguments.
 *
 * @example Usage
 * ```ts
 * import { parseArgs } from "@std/cli/parse-args";
 *
 * const args = parseArgs(["--url", "redis://10.0.0.7", "--help"], {
 *   string: ["url"],
 *   boolean: ["help"],
 * });
 * args.url; // "redis://10.0.0.7", a string | undefined
 * args.help; // true, a boolean
 * ```
 */
export declare function parseArgs<
  TBoolean extends string | boolean = never,
  TString extends string = never,
  TCollect extends string = never,
  TNegatable extends string = never,
  TDefault extends Record<string, unknown> = Record<never, never>,
  const TAlias extends Aliases = Record<never, never>,
  TDoubleDash extends boolean | undefined = undefined,
>(
  args: string[],
  options?: ParseOptions<TBoolean, TString, TCollect, TNegatable, TDefault, TAlias, TDoubleDash>,
): Args<
  [Exclude<TBoolean, false> | TString | TCollect] extends [never]
    // deno-lint-ignore no-explicit-any -- nothing is named: every flag is any, as in std
    ? Record<string, any>
    :
      & Record<string, unknown>
      & WithDefaults<
        Given<TString, Extract<TBoolean, string>, TCollect, TNegatable, TAlias>,
        TDefault
      >,
  TDoubleDash
>;
