/**
 * Exercise 03 · Several workers
 *
 * All of the crew wait in Redis, in the order of the list. Then six tasks come, each when the
 * worker before has finished and waits again. Only task 2 is a poster: whoever gets it is busy
 * until the end.
 *
 * Check it: deno task learn 03        A hint: deno task hint 03
 */

// TODO: hire cem, the third worker
/** Who works here, in the order in which they begin to wait. */
export const crew = ["ann", "bob"];

// TODO: predict who gets which task
/** Who gets task 1, 2, 3, 4, 5 and 6. */
export const prediction = ["ann", "bob", "cem", "ann", "bob", "cem"];
