/**
 * Payloads that are checked by a schema: any validator that speaks Standard Schema (Zod, Valibot, ArkType
 * …), at both ends of a queue. What is stored is what the producer gave; the consumer gets what the schema
 * makes of it, so a schema may convert.
 *
 * @see {@link https://standardschema.dev}
 * @module
 */
import { show } from "../redis/show.ts";

/** What a validator has to have; `I` is what it takes, `T` what it gives. */
export interface StandardSchema<I = unknown, T = I> {
  /** By this name, so that it meets nothing else. */
  readonly "~standard": {
    /** Of the specification. */
    readonly version: 1;
    /** Who made the validator. */
    readonly vendor: string;
    /** Checks a value, at once or later. */
    readonly validate: (value: unknown) => SchemaResult<T> | Promise<SchemaResult<T>>;
    /** For TypeScript only. */
    readonly types?: { readonly input: I; readonly output: T } | undefined;
  };
}

/** What a validator says: a value, or what is wrong with it. */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  /** What. */
  readonly message: string;
  /** Where. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * A payload that the queue's schema refuses. A producer gets it, and nothing was sent; at a consumer the
 * message goes to the dead letters with it.
 *
 * @example See what is wrong
 * ```ts
 * import { connect, ReliableQueue, SchemaError, type StandardSchema } from "@workshop/redis-patterns";
 *
 * const positive: StandardSchema<number> = {
 *   "~standard": {
 *     version: 1,
 *     vendor: "docs",
 *     validate: (value) =>
 *       typeof value === "number" && value > 0
 *         ? { value }
 *         : { issues: [{ message: "must be above 0" }] },
 *   },
 * };
 * const redis = await connect();
 * const queue = new ReliableQueue(redis, "docs_schema", { schema: positive });
 * try {
 *   await queue.enqueue(-1);
 * } catch (error) {
 *   if (error instanceof SchemaError) console.log(error.issues[0]?.message); // must be above 0
 * }
 * await redis.close();
 * ```
 */
export class SchemaError extends Error {
  /** The name that stack traces show. */
  override readonly name = "SchemaError";
  /** What is wrong. */
  readonly issues: readonly SchemaIssue[];

  /** Makes the error; `place` goes in front of its message. */
  constructor(queue: string, issues: readonly SchemaIssue[], place = "") {
    const name = JSON.stringify(queue);
    super(`${place}The schema of queue ${name} refuses the payload: ${describe(issues)}`);
    this.issues = issues;
  }
}

/** Checks a payload; throws, or rejects, with a {@linkcode SchemaError}. */
export type Validate<T> = (payload: unknown) => T | Promise<T>;

/**
 * A schema's check, if there is a schema.
 *
 * @throws {TypeError} for what is none.
 */
export function validator<I, T>(
  queue: string,
  schema: StandardSchema<I, T> | undefined,
): Validate<T> | undefined {
  if (schema === undefined) return undefined;
  const standard = checkStandard("schema", schema)["~standard"];
  const judge = (result: SchemaResult<T>) => {
    if (typeof result !== "object" || result === null) {
      throw new TypeError(
        `The schema of queue ${JSON.stringify(queue)} must give { value } or { issues }, ` +
          `but gave ${show(result)}`,
      );
    }
    if (result.issues) throw new SchemaError(queue, result.issues);
    return result.value;
  };
  return (payload) => {
    const result = standard.validate(payload);
    return result instanceof Promise ? result.then(judge) : judge(result);
  };
}

/**
 * Checks a schema.
 *
 * @throws {TypeError} naming the option and what is no schema.
 */
export function checkStandard<I, T>(
  name: string,
  schema: StandardSchema<I, T>,
): StandardSchema<I, T> {
  const standard = schema?.["~standard"];
  if (standard?.version === 1 && typeof standard.validate === "function") return schema;
  throw new TypeError(
    `${name} must be a Standard Schema (with "~standard".validate), but is ${show(schema)}`,
  );
}

/** The first few issues, each with its place. */
function describe(issues: readonly SchemaIssue[]): string {
  const lines = issues.slice(0, 5).map(({ message, path = [] }) => {
    const place = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return place ? `${place}: ${message}` : message;
  });
  const more = issues.length - lines.length;
  return lines.join("; ") + (more > 0 ? `; and ${more} more` : "") || "no reason given";
}
