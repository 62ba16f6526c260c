/**
 * Stands in for `jsr:@std/cli` in this checkout, where only npm can be reached: the code is std's
 * own, as `npm:deno-std` ships it; the types are declared beside it. Delete `links` from deno.json
 * and the same imports come from JSR.
 *
 * `unicodeWidth` is missing: the npm package forgets the JSON table it reads.
 *
 * @module
 */

export * from "./parse_args.ts";
export * from "./prompt_secret.ts";
