/**
 * @title   Schedules
 * @run     deno run --allow-net=127.0.0.1:6379 examples/11_delays_and_schedules/schedules.ts
 * @redis   EVALSHA · UNLINK
 *
 * A report every second, and a backup every night at three, by the clocks of Vienna. Two schedulers
 * run, so that one may be killed; each tick fires once.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { type SchedulerEvent, TaskQueue, TaskScheduler } from "@workshop/redis-patterns/tasks";
import { help, say } from "../scoreboard.ts";

const defaults = { queue: "nightly" };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Schedules", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

// Which tasks there are, and what each takes. A wrong name or payload does not compile.
type Tasks = {
  send_report(payload: { to: string }): void;
  back_up(): void;
};
const redis = await connect({ url: flags.url });
const ticks: number[] = [];
const onEvent = (event: SchedulerEvent) => {
  if (event.type !== "fired") return;
  ticks.push(event.at);
  // The task's id: the name of the schedule, and the tick.
  say("scheduler", `${event.id} fired, ${event.lateMs} ms late`);
  if (ticks.length === 3) stop.abort();
};
const scheduler = new TaskScheduler<Tasks>(redis, { name: flags.queue, onEvent });
const another = new TaskScheduler<Tasks>(redis, { name: flags.queue, onEvent });

// Every program says so when it starts. The second one finds that it is said.
for (const each of [scheduler, another]) {
  const to = "ann@example.com";
  const { change } = await each.cron("report", "* * * * * *", "send_report", { to });
  say("scheduler", `report: ${change}`);
}
const timeZone = "Europe/Vienna";
const { nextAt } = await scheduler.cron("backup", "0 3 * * *", "back_up", null, { timeZone });
const clock = new Date(nextAt!).toLocaleTimeString("en-GB", { timeZone });
say("scheduler", `backup: next at ${clock} in Vienna`);

await Promise.all([scheduler, another].map((each) => each.run({ signal: stop.signal })));

say("scheduler", `${ticks.length} firings of ${new Set(ticks).size} ticks, by two schedulers`);
// Schedules outlive their schedulers; who wants them to end removes them.
for (const { name } of await scheduler.list()) await scheduler.remove(name);
// No worker here: step 12 has one. This step throws the tasks away, and what is told of them.
await new TaskQueue<Tasks>(redis, { name: flags.queue }).purge("ready");
await redis.unlink(["ready", "events"].map((what) => `queue:{${flags.queue}}:${what}`));
await redis.close();

// Expect:
// [scheduler] report: added
// [scheduler] report: none
// [scheduler] backup: next at 03:00:00 in Vienna
// [scheduler] report@<n> fired, <ms> ms late
// [scheduler] report@<n> fired, <ms> ms late
// [scheduler] report@<n> fired, <ms> ms late
// [scheduler] 3 firings of 3 ticks, by two schedulers
