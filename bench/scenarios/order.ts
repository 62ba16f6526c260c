/**
 * `order`: whether two consumers take what two producers put into a `PriorityQueue` in order of
 * priority, and first in first out inside it; and each message once.
 *
 * @module
 */
import { goal } from "../cast.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const WHAT = ["missing", "handled twice", "out of order"];

/** Runs the scenario. */
export async function order({ url, load, note }: Bench): Promise<Report> {
  const inDeno = denoRuntime();
  await using stack = new AsyncDisposableStack();
  const start = async () =>
    stack.use(
      await PeerProcess.start(inDeno, {
        module: "priority_order",
        url,
        name: "redis-patterns-bench-priority_order",
      }),
    );
  const [consumers, ...producers] = [
    await start(),
    await start(),
    await start(),
  ];
  const verdicts: string[] = [];
  for (const way of consumers!.introduction.probe) {
    note(`${load.count} messages, ${way}`);
    const work = { ...load, count: Math.ceil(load.count / producers.length) };
    await Promise.all(
      producers.map((producer) => producer.order({ verb: "enqueue", way: "numbered", work })),
    );
    const count = work.count * producers.length;
    const found = await consumers!.order({
      verb: "probe",
      way,
      work: { ...work, count },
    });
    const wrong = found as number[];
    const text = wrong.map((n, i) => `${n} ${WHAT[i]}`).join(", ");
    verdicts.push(
      goal(
        `order, ${way}: ${count} messages, ${text}`,
        wrong.every((n) => n === 0),
      ),
    );
  }
  return {
    load: `two producers in their own processes, two workers in a third, priorities 1 to 3`,
    tables: [],
    verdicts,
  };
}
