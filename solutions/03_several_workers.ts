/**
 * Solution 03 · Several workers
 *
 * Redis gives the next task to whoever has waited longest. Bob does not wait: he prints.
 */

/** Who works here, in the order in which they begin to wait. */
export const crew = ["ann", "bob", "cem"];

/** Who gets task 1, 2, 3, 4, 5 and 6. */
export const prediction = ["ann", "bob", "cem", "ann", "cem", "ann"];
