/**
 * Stands in for `jsr:@std/assert` in this checkout, where only npm can be reached: the code is
 * std's own, as `npm:deno-std` ships it; the types are declared beside it. Delete `links` from
 * deno.json and the same imports come from JSR.
 *
 * @module
 */

// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
