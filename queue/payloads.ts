/**
 * Several payloads in one call: an error says which of them it is about.
 *
 * @module
 */
import { show } from "../redis/show.ts";
import { SchemaError } from "./schema.ts";

/**
 * What `run` makes of each payload, in order. Holes count as payloads: as undefined ones.
 *
 * @throws {TypeError} for what is no array.
 * @throws What `run` throws, or rejects with; built-in errors and a {@linkcode SchemaError} with
 * `payloads[1]: ` in front of their message.
 */
export function mapPayloads<P, R>(
  queue: string,
  payloads: readonly P[],
  run: (payload: P) => R,
): R[] {
  if (!Array.isArray(payloads)) {
    throw new TypeError(`payloads must be an array, but is ${show(payloads)}`);
  }
  const results: R[] = [];
  for (let i = 0; i < payloads.length; i++) {
    const naming = (error: unknown) => {
      throw named(queue, i, error);
    };
    try {
      const result = run(payloads[i]);
      results.push(result instanceof Promise ? result.catch(naming) as R : result);
    } catch (error) {
      naming(error);
    }
  }
  return results;
}

/** Of a class of somebody's own it stays what it is: we would not know how to make another. */
function named(queue: string, index: number, error: unknown): unknown {
  const place = `payloads[${index}]: `;
  if (error instanceof SchemaError) return new SchemaError(queue, error.issues, place);
  for (const Kind of [Error, TypeError, RangeError]) {
    if (!(error instanceof Error) || error.constructor !== Kind) continue;
    return new Kind(place + error.message, { cause: error });
  }
  return error;
}
