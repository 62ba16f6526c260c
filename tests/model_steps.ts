/**
 * The steps of the model test, and how often each is taken.
 *
 * @module
 */
import fc from "fast-check";

/** How many queue objects there are; each of them enqueues, claims and settles. */
export const CONSUMERS = 3;

/** Ids that a producer chose; odd ones, since they travel in a header and in tokens. */
export const IDS = ["a", "invoice 17", " x ", "7:1:1", "größe%3A", "1 0 0 1 0 0"];

/** Keys of deduplication: few, so that many messages want the same; one of them is an id as well. */
export const KEYS = ["a", " 0 x", "größe 1 0"];

export type State = "ready" | "delayed" | "dead";
export type How = "ack" | "nack" | "later" | "deadLetter" | "release";

/** Where a message is, as the model has it; what is gone can be cancelled as well, in vain. */
export type Where = "ready" | "lapsed" | "leased" | "delayed" | "dead" | "gone";

/** A message to enqueue; `id` and `key` count in {@linkcode IDS} and {@linkcode KEYS}. */
export interface Item {
  id?: number;
  key?: number;
  /** The key is taken for a time, and not until the message is settled. */
  window: boolean;
  delayed: boolean;
  priority: number;
}

/** What is done. Numbers choose among what is there, modulo how much there is. */
export type Step =
  | { do: "enqueue"; by: number; items: Item[] }
  | { do: "claim"; by: number; most: number }
  | { do: "settle"; how: How; which: number[]; error: boolean }
  | { do: "settleByToken"; by: number; how: Exclude<How, "release">; which: number }
  | { do: "extend"; which: number; byToken: boolean }
  | { do: "lapse"; which: number }
  | { do: "due"; which: number }
  | { do: "over"; which: number }
  | { do: "age"; which: number }
  | { do: "tick" }
  | { do: "redrive"; most: number; byId: boolean }
  | { do: "purge"; state: State }
  | { do: "cancel"; where: Where; which: number }
  | { do: "pause"; paused: boolean }
  | { do: "kill"; consumer: number }
  | { do: "repeat"; which: number; late: boolean };

const nat = (max = 1_000) => fc.nat({ max });
const one = <const V>(...values: V[]) => fc.constantFrom(...values);
const maybe = <V>(value: fc.Arbitrary<V>) => fc.option(value, { nil: undefined, freq: 2 });
const doing = <const D extends Step["do"]>(
  weight: number,
  what: D,
  model: { [K in Exclude<keyof (Step & { do: D }), "do">]: fc.Arbitrary<(Step & { do: D })[K]> },
) => ({
  weight,
  arbitrary: fc.record({ do: fc.constant(what), ...model }, {
    noNullPrototype: true,
  }) as unknown as fc.Arbitrary<Step>,
});

const item = fc.record({
  id: maybe(nat(IDS.length - 1)),
  key: maybe(nat(KEYS.length - 1)),
  window: fc.boolean(),
  delayed: one(false, false, true),
  priority: fc.integer({ min: -2, max: 3 }),
}, { noNullPrototype: true }) as fc.Arbitrary<Item>;

/** Any step. */
export const step: fc.Arbitrary<Step> = fc.oneof(
  doing(7, "enqueue", {
    by: nat(CONSUMERS - 1),
    items: fc.array(item, { minLength: 1, maxLength: 4 }),
  }),
  doing(7, "claim", { by: nat(CONSUMERS - 1), most: fc.integer({ min: 1, max: 6 }) }),
  doing(7, "settle", {
    how: one("ack", "ack", "nack", "later", "deadLetter", "release"),
    which: fc.array(nat(), { minLength: 1, maxLength: 4 }),
    error: fc.boolean(),
  }),
  doing(2, "settleByToken", {
    by: nat(CONSUMERS - 1),
    how: one("ack", "nack", "later", "deadLetter"),
    which: nat(),
  }),
  doing(1, "extend", { which: nat(), byToken: fc.boolean() }),
  doing(3, "lapse", { which: nat() }),
  doing(2, "due", { which: nat() }),
  doing(2, "over", { which: nat() }),
  doing(2, "age", { which: nat() }),
  doing(1, "tick", {}),
  doing(1, "redrive", { most: nat(3), byId: fc.boolean() }),
  doing(1, "purge", { state: one("ready", "delayed", "dead") }),
  doing(5, "cancel", {
    where: one<Where>("ready", "lapsed", "leased", "delayed", "dead", "gone"),
    which: nat(),
  }),
  doing(2, "pause", { paused: one(false, false, false, true) }),
  doing(1, "kill", { consumer: nat(CONSUMERS - 1) }),
  doing(6, "repeat", { which: nat(), late: fc.boolean() }),
);
