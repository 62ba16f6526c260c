/**
 * The queues with leases against a model: thousands of random steps, and after each one everything
 * that stands in Redis is compared with what the model says. Every message is in exactly one place;
 * its attempts are what its hand-overs were and fall by a redrive only; an id that a producer chose
 * is taken exactly as long as its message lives, and a key of deduplication until its message is settled
 * or its window is over; what was cancelled is handed out to nobody, and while the queue is paused
 * nothing is; the sum of the states is what was enqueued.
 *
 * Time is driven, not waited for: a step sets a lease's deadline, the time a message is due, or the end of
 * a window, back. A lost reply is a command that the library sent, sent once more, now or many steps later.
 *
 * A run prints its seed. One that fails prints the shortest sequence that still fails, and the seed
 * and path to see it again: `MODEL_SEED=… MODEL_PATH=… deno task test --filter model`.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- the seed of a run is worth a line
import { assertGreaterOrEqual } from "@std/assert";
import fc from "fast-check";
import type { RedisClient } from "../redis/client.ts";
import { type Encounter, ENCOUNTERS, Run } from "./model.ts";
import { keep, type Sent } from "./model_sent.ts";
import { type Step, step } from "./model_steps.ts";
import { redisTest, topology } from "./support.ts";

const RUNS = 100;
const MOST_STEPS = 240;
const LEAST_STEPS_IN_ALL = 10_000;

const given = Deno.env.get("MODEL_SEED");
const seed = given === undefined ? Date.now() % 2 ** 31 : Number(given);

for (const kind of topology ? [] : ["list", "priority", "stream", "tasks"] as const) {
  redisTest(`LeasedQueue (${kind}) is where a model says after every random step`, async (test) => {
    const redis = test.redis as unknown as RedisClient;
    const met = new Map(ENCOUNTERS.map((what): [Encounter, number] => [what, 0]));
    let sent: Sent[] = [];
    let steps = 0, runs = 0;
    keep(redis, kind, () => sent);
    // Steps are left out and not made smaller as well: there is half a minute to find the few that matter.
    const sequences = fc.array(fc.noShrink(step), { maxLength: MOST_STEPS, size: "max" });
    await fc.assert(
      fc.asyncProperty(sequences, async (sequence) => {
        sent = [];
        await new Run(redis, {
          kind,
          name: `${test.name}:${runs++}`,
          sent,
          met: (what) => met.set(what, met.get(what)! + 1),
        }).play(sequence);
        steps += sequence.length;
      }),
      {
        seed,
        path: Deno.env.get("MODEL_PATH"),
        numRuns: RUNS,
        unbiased: true,
        interruptAfterTimeLimit: 25_000,
      } as fc.Parameters<[Step[]]>,
    );
    const [[rarest, times]] = [...met].sort(([, a], [, b]) => a - b) as [[Encounter, number]];
    console.log(`${kind}: ${steps} steps in ${runs} runs, seed ${seed}; ${times} times ${rarest}`);
    if (Deno.env.has("MODEL_PATH")) return;
    assertGreaterOrEqual(steps, LEAST_STEPS_IN_ALL / 2);
    assertGreaterOrEqual(times, 1, rarest);
  });
}
