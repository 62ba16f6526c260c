/**
 * `schedules`: whether ten schedulers in ten processes fire a cron pattern of a tick a second once for each
 * tick, how late a scheduler is, and what it asks while nothing is due.
 *
 * @module
 */
import { queueKeys } from "../../redis/keys.ts";
import { goal } from "../cast.ts";
import { median } from "../measure.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";
import { p99, probe } from "../times.ts";

const SCHEDULERS = 10;
const SECONDS = 20;
const TICKS = 100;
const LATE_MS = 10;
/** Two, and those of a round at the edge of the ten seconds. */
const COMMANDS = 2.2;

/** Runs the scenario. */
export async function schedules(
  { url, redis, load, note }: Bench,
): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const name = "redis-patterns-bench-schedules";
  const start = async () =>
    stack.use(
      await PeerProcess.start(denoRuntime(), {
        module: "task_scheduler",
        url,
        name,
      }),
    );
  const first = await start();
  const verdicts: string[] = [];

  note(`One scheduler, ${TICKS} ticks`);
  const alone = await probe([first], "a tick every 100 ms", {
    rounds: load.rounds,
    count: TICKS,
  });
  const late = p99(alone[0]!);
  verdicts.push(
    goal(`p99 ${late} ms late, one scheduler (≤ ${LATE_MS})`, late <= LATE_MS),
  );
  await first.order({ verb: "empty" });
  const work = { count: SECONDS, atATime: 1 };
  const [idle = NaN] = await first.order({
    verb: "probe",
    way: "idle",
    work,
  }) as number[];
  verdicts.push(
    goal(
      `${idle.toFixed(1)} commands a second while nothing is due (≤ ${COMMANDS})`,
      idle <= COMMANDS,
    ),
  );
  await first.order({ verb: "empty" });

  note(`Starting ${SCHEDULERS - 1} more`);
  const others = await Promise.all(
    Array.from({ length: SCHEDULERS - 1 }, start),
  );
  note(`${SCHEDULERS} schedulers, ${SECONDS} s`);
  const way = "cron, a tick a second";
  const told = await Promise.all(
    [first, ...others].map((peer) => peer.order({ verb: "probe", way, work }) as Promise<number[]>),
  );
  const ticks = (await redis.xRange(queueKeys(name).ready, "-", "+") ?? [])
    .map(({ message }) => Number(/ second@(\d+)\n/.exec(message["m"]!)?.[1]));
  const once = new Set(ticks);
  const seconds = (Math.max(...ticks) - Math.min(...ticks)) / 1_000 + 1;
  const wrong = [seconds - once.size, ticks.length - once.size];
  verdicts.push(
    goal(
      `${ticks.length} firings in ${seconds} s by ${SCHEDULERS} schedulers in ${SCHEDULERS} processes, ` +
        `${wrong[0]} ticks missing, ${wrong[1]} fired twice; each fired ` +
        told.map((late) => late.length).join(", "),
      wrong.every((n) => n === 0) && Math.abs(seconds - SECONDS) <= 1,
    ),
    `p50 ${median(told.flat())} ms late, the latest ${Math.max(...told.flat())} ms`,
  );
  return {
    load: `a tick a second, and one every 100 ms`,
    tables: [],
    times: alone,
    verdicts,
  };
}
