/**
 * The simulation behind `deno task bench cluster`: where the answer can be worked out by hand, it is that.
 *
 * @module
 */
import { assertAlmostEquals, assertEquals, assertGreater, assertLess } from "@std/assert";
import { type Costs, fit, simulate } from "../bench/cluster_model.ts";

const costs: Costs = { master: { script: 10, message: 2 }, worker: { script: 5, message: 1 } };
const setting = { partitions: 12, workers: 1, concurrency: 1_200, cores: 64, count: 200_000 };

function assertNear(actual: number, expected: number): void {
  assertAlmostEquals(actual / expected, 1, 0.03);
}

Deno.test("simulate: with one core all costs add up", () => {
  // A hundred messages: two scripts of 10 and 5 µs, and 2 and 1 µs for each.
  assertNear(
    simulate(costs, { ...setting, masters: 1, cores: 1 }),
    100 / (20 + 200 + 10 + 100) * 1e6,
  );
});

Deno.test("simulate: with cores enough, whoever is busiest decides; masters are, until workers are", () => {
  const rate = (masters: number, workers = 1) => simulate(costs, { ...setting, masters, workers });
  assertNear(rate(1), 100 / 220 * 1e6); // the master
  assertNear(rate(3), 100 / 110 * 1e6); // the one worker
  assertGreater(rate(3, 3), 2.8 * rate(1)); // three workers: the masters again
  assertLess(rate(3, 3), 3.2 * rate(1));
  assertGreater(rate(12, 12), 3.5 * rate(3, 3));
});

Deno.test("simulate: more partitions than are needed make smaller batches, and that costs", () => {
  const rate = (partitions: number) =>
    simulate(costs, { ...setting, masters: 3, workers: 3, partitions });
  assertGreater(rate(12), 1.2 * rate(240));
});

Deno.test("fit: two runs tell what a script costs and what a message", () => {
  const runs = [{ scriptsEach: 0.2, usEach: 6 }, { scriptsEach: 0.02, usEach: 2.4 }];
  const { script, message } = fit(runs);
  assertAlmostEquals(script, 20);
  assertAlmostEquals(message, 2);
  // What noise makes negative is nothing.
  assertEquals(fit([{ scriptsEach: 0.2, usEach: 1 }, { scriptsEach: 0.1, usEach: 2 }]).script, 0);
});
