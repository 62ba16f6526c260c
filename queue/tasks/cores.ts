/**
 * How many cores there are.
 *
 * @module
 */
import { availableParallelism } from "node:os";

/** The number of cores that this process may use. */
export function cores(): number {
  // Node has a navigator from version 21 on; Deno asks for a permission for what node:os tells.
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return navigator?.hardwareConcurrency ?? availableParallelism();
}
