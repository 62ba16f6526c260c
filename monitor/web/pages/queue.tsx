/** @jsxImportSource hono/jsx */
/**
 * One queue: how many are where, what it does, how long it takes, who works, and where it lies in Redis.
 *
 * @module
 */
import type { FC } from "hono/jsx";
import type { RegisteredQueue } from "@workshop/redis-patterns";
import { duration, rate, whole } from "../../format.ts";
import { keysOf } from "../commands.ts";
import type { Page, Visit } from "../layout.tsx";
import {
  Empty,
  floorSecond,
  idleness,
  pathOf,
  perMinute,
  plural,
  Spark,
  StateBar,
  STATES,
  Text,
  toneOf,
  When,
  withQuery,
} from "../parts.tsx";
import type { Details, Watch } from "../watch.ts";
import { QueueHead } from "./queue_head.tsx";
import { RecentTasks } from "./task.tsx";
import { Heartbeat, PauseWorker, WorkerName } from "./worker.tsx";

/** The page. */
export async function queuePage(visit: Visit, watch: Watch, name: string): Promise<Page> {
  const queue = await watch.registered(name);
  const [details, tasks, now] = await Promise.all([
    watch.details(queue),
    recentTasks(watch, queue),
    watch.now(),
  ]);
  const { counts } = details;
  return {
    title: name,
    at: "/",
    live: (
      <>
        <QueueHead
          queue={queue}
          counts={counts}
          visit={visit}
          tab=""
          idle={idleness(details)}
        />
        <Warnings details={details} />
        <div class="tiles">
          {STATES.map(([state, words]) => (
            <a class="card tile" href={withQuery(`${pathOf("queues", name)}/messages`, { state })}>
              <span>
                <i class={`dot ${state}`}></i>
                {words}
              </span>
              <b class={toneOf(state, counts) ? "figure bad" : "figure"}>{whole(counts[state])}</b>
              <small>{noteOf(state, details)}</small>
            </a>
          ))}
        </div>
        <div class="columns">
          <div class="stack">
            <Hour details={details} now={now} />
            {tasks && <RecentTasks queue={name} records={tasks.recent} now={now} />}
            <Workers details={details} visit={visit} now={now} />
          </div>
          <div class="stack">
            <Times details={details} />
            <Totals details={details} />
          </div>
        </div>
      </>
    ),
    rest: (
      <section class="card keys" id="keys">
        <header>
          <h2>In Redis</h2>
        </header>
        <div class="body">
          <div class="scroll" tabindex={0} role="region" aria-label="Keys">
            <table class="stacked">
              <thead>
                <tr>
                  <th>Key</th>
                  <th class="wide">Type</th>
                  <th>Holds</th>
                  <th class="wide">Look with redis-cli</th>
                </tr>
              </thead>
              <tbody>
                {keysOf(name, queue.kind).map(({ key, type, holds, look }) => (
                  <tr>
                    <td>
                      <code>{key}</code>
                    </td>
                    <td class="wide small muted">{type}</td>
                    <td class="small">{holds}</td>
                    <td class="wide">
                      <code>{look}</code>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </div>
      </section>
    ),
  };
}

/** Of a queue of tasks, those to which something happened last. */
async function recentTasks(watch: Watch, queue: RegisteredQueue) {
  const tasks = await watch.tasks(queue);
  return tasks && { recent: await watch.recentTasks(queue, tasks) };
}

const Warnings: FC<{ details: Details }> = ({ details: { name, counts, consumers } }) => {
  if (counts.paused) {
    return (
      <p class="note warn">
        Paused: nothing is handed out until somebody resumes it. Producers go on.
      </p>
    );
  }
  if (consumers.length === 0 && counts.ready > 0) {
    return (
      <p class="note bad">
        {plural(counts.ready, "message")} {counts.ready === 1 ? "waits" : "wait"}{" "}
        and nobody works: no worker has said within 30 s that it is there. Start one:{" "}
        <code>{`new Worker(queue, handler).run()`}</code> with the queue{" "}
        <code>
          <Text width={60}>{name}</Text>
        </code>.
      </p>
    );
  }
  if (consumers.length > 0 && consumers.every(({ paused }) => paused)) {
    return (
      <p class="note warn">
        {consumers.length === 1 ? "The only worker is" : `All ${consumers.length} workers are`}{" "}
        paused: they finish what they have, and take no more until somebody resumes one.
      </p>
    );
  }
  return null;
};

function noteOf(state: string, { counts, stats, oldestLeasedMs, nextDueInMs }: Details): string {
  switch (state) {
    case "ready":
      return counts.oldestReadyMs === undefined
        ? "nothing waits"
        : `oldest ${duration(floorSecond(counts.oldestReadyMs))}`;
    case "leased":
      return oldestLeasedMs === undefined
        ? "nobody holds any"
        : `oldest ${duration(floorSecond(oldestLeasedMs))}`;
    case "dead":
      return stats.perSecond.dead > 0
        ? `${rate(stats.perSecond.dead)}/s in 5 min`
        : counts.dead === 0
        ? "none was given up"
        : "none in the last 5 min";
    default:
      return counts.delayed === 0
        ? "none waits for its time"
        : nextDueInMs === undefined
        ? "wait for their time"
        : `next in ${duration(floorSecond(Math.max(0, nextDueInMs)))}`;
  }
}

const SERIES = [
  ["enqueued", "--muted", [5, 4]],
  ["acked", "--ready", undefined],
  ["failed", "--dead", undefined],
] as const;
const WORDS = { enqueued: "enqueued", acked: "done", failed: "failed" };

const Hour: FC<{ details: Details; now: number }> = ({ details: { hour }, now }) => {
  const first = Math.floor(now / 60_000) - 59;
  const chart = {
    at: Array.from({ length: 60 }, (_, i) => (first + i) * 60),
    series: SERIES.map(([what, colour, dash]) => ({
      label: WORDS[what],
      colour,
      dash,
      values: perMinute(hour, what, now),
    })),
  };
  const sums = chart.series.map(({ label, values }) =>
    `${whole(values.reduce((a, b) => a + b, 0))} ${label}`
  );
  return (
    <section class="card">
      <header>
        <h2>Messages a minute</h2>
        <span class="muted small">last hour: {sums.join(", ")}</span>
      </header>
      <div class="body">
        <figure data-chart={JSON.stringify(chart)}>
          <div
            class="plot"
            hx-morph-skip=""
            role="img"
            aria-label={`Messages in each minute of the last hour: ${sums.join(", ")}`}
          >
          </div>
          <Spark
            class="fallback spark"
            values={chart.series[1]!.values}
            label={`Done in each minute: ${sums[1]}`}
          />
        </figure>
      </div>
    </section>
  );
};

const Times: FC<{ details: Details }> = ({ details: { stats } }) => (
  <section class="card">
    <header>
      <h2>How long</h2>
      <span class="muted small">5 min</span>
    </header>
    <div class="body">
      <table>
        <thead>
          <tr>
            <th>A message</th>
            <th class="num">p50</th>
            <th class="num">p95</th>
            <th class="num">p99</th>
          </tr>
        </thead>
        <tbody>
          {([["waits", stats.waitMs], ["runs", stats.runMs]] as const).map(([words, times]) => (
            <tr>
              <td>{words}</td>
              {(["p50", "p95", "p99"] as const).map((p) => (
                <td class="num">{times ? duration(times[p]) : "–"}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  </section>
);

const Totals: FC<{ details: Details }> = (
  { details: { counts, stats: { totals, perSecond } } },
) => (
  <section class="card">
    <header>
      <h2>Since the beginning</h2>
    </header>
    <div class="body stack">
      <StateBar counts={counts} />
      <table class="sums">
        <thead>
          <tr>
            <th>
              <span class="hidden">What</span>
            </th>
            <th>
              <span class="hidden">In all</span>
            </th>
            <th>
              <span class="hidden">A second, over five minutes</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {(Object.keys(totals) as (keyof typeof totals)[]).map((what) => (
            <tr>
              <td>{what}</td>
              <td class="num">{whole(totals[what])}</td>
              <td class="num muted small">
                {perSecond[what] > 0 ? `${rate(perSecond[what])}/s` : "–"}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  </section>
);

const Workers: FC<{ details: Details; visit: Visit; now: number }> = (
  { details: { name, consumers }, visit, now },
) => (
  <section class="card">
    <header>
      <h2>Workers</h2>
      <span class="muted small">{whole(consumers.length)}</span>
    </header>
    {consumers.length === 0
      ? (
        <Empty title="Nobody works">
          <p>Workers and consume loops say every ten seconds that they are there.</p>
        </Empty>
      )
      : (
        <div class="scroll" tabindex={0} role="region" aria-label="Workers">
          <table class="stacked">
            <thead>
              <tr>
                <th>Worker</th>
                <th class="wide">Where</th>
                <th class="num" title="As it said with its last heartbeat">Holds</th>
                <th>Heartbeat</th>
                <th class="wide">Since</th>
                {!visit.readOnly && (
                  <th>
                    <span class="hidden">Action</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {consumers.slice(0, 20).map((
                { consumer, host, pid, mode, holds, seenMs, startedAt, paused },
              ) => (
                <tr>
                  <td>
                    <WorkerName consumer={consumer} mode={mode} paused={paused} />
                  </td>
                  <td class="wide small">
                    <Text width={40}>{host || "–"}</Text> · {pid}
                  </td>
                  <td class="num" data-label="Holds">{whole(holds)}</td>
                  <Heartbeat seenMs={seenMs} />
                  <td class="wide">
                    <When at={startedAt} now={now} />
                  </td>
                  {!visit.readOnly && (
                    <td class="act">
                      <PauseWorker worker={{ queue: name, consumer, paused }} visit={visit} />
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    {consumers.length > 20 && (
      <p class="pages">
        <a href="/workers">All {whole(consumers.length)}</a>
      </p>
    )}
  </section>
);
