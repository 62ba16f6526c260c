/**
 * Where a worker's handlers run: in its own thread, or in others ({@linkcode ThreadPool}). A worker knows
 * this interface and nothing else of them.
 *
 * @module
 */
import { show } from "../../redis/show.ts";
import type { TaskContext } from "./task_map.ts";

/** Runs the handlers that have these names. */
export interface HandlerSource {
  /** How many tasks it can run at the same time; undefined where it sets no limit. */
  readonly concurrency: number | undefined;
  /** The names that it has handlers for; known once it has started. */
  readonly names: ReadonlySet<string>;
  /**
   * Makes it ready to run.
   *
   * @throws {Error} for handlers that cannot be had; it says which, and why.
   */
  start(): Promise<void>;
  /**
   * Runs a handler.
   *
   * @param type Its name.
   * @param payload What it takes.
   * @param context What it is told besides.
   * @returns What it returned, or its promise.
   * @throws What it threw.
   */
  run(type: string, payload: unknown, context: TaskContext): unknown;
  /** Lets go of what it has; what still runs in another thread is ended. */
  close(): Promise<void>;
}

/**
 * A handler ended well, but what it gave cannot be kept: JSON cannot carry it. Another attempt would end
 * in the same way.
 */
export class ResultError extends TypeError {
  /** The name that stack traces show. */
  override readonly name = "ResultError";
}

/** A handler whose types are checked where it is handed in. */
export type AnyHandler = (payload: unknown, context: TaskContext) => unknown;

/**
 * The handlers of an object, run in this thread.
 *
 * @throws {TypeError} for what is no object of functions, and for none at all.
 */
export function ownHandlers(handlers: object): HandlerSource {
  const table = handlerTable("handlers", handlers);
  return {
    concurrency: undefined,
    names: new Set(table.keys()),
    start: () => Promise.resolve(),
    run(type, payload, context) {
      const handler = table.get(type);
      if (!handler) throw noHandler(type, table.keys());
      return handler(payload, context);
    },
    close: () => Promise.resolve(),
  };
}

/**
 * The handlers that a module exports, by name: those of `handlers`, else of its default export.
 *
 * @throws {TypeError} if it exports neither, or something else under that name.
 */
export function exportedHandlers(
  exports: { handlers?: unknown; default?: unknown },
): Map<string, AnyHandler> {
  if (exports.handlers !== undefined) return handlerTable("handlers", exports.handlers);
  if (exports.default !== undefined) return handlerTable("default", exports.default);
  throw new TypeError(
    "it exports no handlers: write `export const handlers = { name: (payload) => … }`, " +
      "or make them its default export",
  );
}

/** A task whose name is none of these. */
export function noHandler(type: string, names: Iterable<string>): TypeError {
  const known = [...names].map((name) => JSON.stringify(name)).join(", ");
  return new TypeError(`There is no handler for ${show(type, "string")}: there are ${known}`);
}

/** By own names only, so that a task called "constructor" or "__proto__" finds nothing. */
function handlerTable(what: string, handlers: unknown): Map<string, AnyHandler> {
  if (typeof handlers !== "object" || handlers === null || Array.isArray(handlers)) {
    throw new TypeError(
      `${what} must be an object with a function for each task, but is ${show(handlers)}`,
    );
  }
  const table = new Map<string, AnyHandler>();
  for (const [name, handler] of Object.entries(handlers)) {
    if (typeof handler !== "function") {
      throw new TypeError(`${what}.${name} must be a function, but is ${show(handler)}`);
    }
    table.set(name, handler.bind(handlers));
  }
  if (table.size === 0) {
    throw new TypeError(`${what} must be an object with a function for each task, but has none`);
  }
  return table;
}
