// What `@std/assert` 1.x promises, for the JavaScript that mod.ts re-exports. Only what the real
// package also accepts: a test that compiles here compiles against JSR.

// deno-lint-ignore no-explicit-any -- constructor parameters are contravariant: only any fits all
type Constructor<T> = new (...args: any[]) => T;
// deno-lint-ignore no-explicit-any -- as above; an abstract class can be an instanceof operand too
type AbstractConstructor<T> = abstract new (...args: any[]) => T;
/** Something with a length and numbered items, but not a bare string. */
type ArrayLikeObject<T> = ArrayLike<T> & object;

/** The error every failed assertion throws. */
export declare class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions);
}

/** Deep equality, as {@linkcode assertEquals} sees it. */
export declare function equal(a: unknown, b: unknown): boolean;

/** `expr` must be truthy. */
export declare function assert(expr: unknown, msg?: string): asserts expr;

/** `expr` must be falsy. */
export declare function assertFalse(
  expr: unknown,
  msg?: string,
): asserts expr is false | 0 | 0n | "" | null | undefined;

/** `actual` must deeply equal `expected`. */
export declare function assertEquals<T>(actual: T, expected: T, msg?: string): void;

/** `actual` must not deeply equal `expected`. */
export declare function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;

/** `actual` must be `expected` itself, by `Object.is`. */
export declare function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T;

/** `actual` must not be `expected` itself, by `Object.is`. */
export declare function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void;

/** The numbers must differ by no more than `tolerance`, by default a 10⁻⁷ part of `expected`. */
export declare function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void;

/** `actual` must be neither `null` nor `undefined`. */
export declare function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T>;

/** `actual` must be greater than `expected`. */
export declare function assertGreater<T>(actual: T, expected: T, msg?: string): void;

/** `actual` must be greater than or equal to `expected`. */
export declare function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;

/** `actual` must be less than `expected`. */
export declare function assertLess<T>(actual: T, expected: T, msg?: string): void;

/** `actual` must be less than or equal to `expected`. */
export declare function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;

/** `actual` must contain `expected`. */
export declare function assertStringIncludes(actual: string, expected: string, msg?: string): void;

/** `actual` must match the expression. */
export declare function assertMatch(actual: string, expected: RegExp, msg?: string): void;

/** `actual` must not match the expression. */
export declare function assertNotMatch(actual: string, expected: RegExp, msg?: string): void;

/** Every item of `expected` must be in `actual`, by deep equality, in any order. */
export declare function assertArrayIncludes<T>(
  actual: ArrayLikeObject<T>,
  expected: ArrayLikeObject<T>,
  msg?: string,
): void;

/** Every property of `expected` must be in `actual`, deeply; `actual` may have more. */
export declare function assertObjectMatch(
  // deno-lint-ignore no-explicit-any -- an interface has no index signature, and must fit as well
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void;

/** `actual` must be an instance of the class. */
export declare function assertInstanceOf<T>(
  actual: unknown,
  expectedType: AbstractConstructor<T>,
  msg?: string,
): asserts actual is T;

/** `actual` must not be an instance of the class. */
export declare function assertNotInstanceOf<A, T>(
  actual: A,
  unexpectedType: AbstractConstructor<T>,
  msg?: string,
): asserts actual is Exclude<A, T>;

/** `error` must be an `Error`, of the class and with the text that are given. */
export declare function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: AbstractConstructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E;

/** `fn` must throw; returns what it threw. */
export declare function assertThrows(fn: () => unknown, msg?: string): unknown;
/** `fn` must throw an error of this class, with this text in its message; returns the error. */
export declare function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;

/** `fn` must return a promise that rejects; resolves to what it rejected with. */
export declare function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/**
 * `fn` must return a promise that rejects with an error of this class, with this text in its
 * message; resolves to the error.
 */
export declare function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: Constructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;

/** Fails, always. */
export declare function fail(msg?: string): never;

/** Marks code that is still to be written: throws when it is reached. */
export declare function unimplemented(msg?: string): never;

/** Marks code that cannot be reached: throws when it is. */
export declare function unreachable(msg?: string): never;
