/**
 * Work for `bench threads` and its threads: the same each time, and nothing but arithmetic.
 *
 * @module
 */

/** So many turns of a generator of numbers. */
export function burn(turns: number): number {
  let x = 1;
  for (let i = 0; i < turns; i++) {
    x = (x * 1_103_515_245 + 12_345) % 2_147_483_648;
  }
  return x;
}

/** What `ThreadPool` runs. */
export const handlers = { burn, nothing: () => {} };
