/** @jsxImportSource hono/jsx */
/**
 * What fires when: schedules, and the messages that wait for a time.
 *
 * @module
 */
import type { FC } from "hono/jsx";
import { whole } from "../../format.ts";
import type { Page, Visit } from "../layout.tsx";
import { Empty, pathOf, Text, When, withQuery } from "../parts.tsx";
import type { Schedules } from "../schedules.ts";
import type { Watch } from "../watch.ts";

/** How many queues are looked at for what is due next, and how many messages of each. */
const QUEUES = 30;

/** From when on a tick that nobody fired is late, in milliseconds. */
const LATE_MS = 5_000;

/** The page. */
export async function schedulesPage(
  _visit: Visit,
  watch: Watch,
  list: Schedules,
): Promise<Page> {
  const [all, now, schedules] = await Promise.all([
    watch.queues(),
    watch.now(),
    watch.schedules(list),
  ]);
  const delaying = all.filter(({ counts }) => (counts?.delayed ?? 0) > 0).slice(0, QUEUES);
  const next = (await Promise.all(delaying.map(async (queue) => {
    const { messages } = await watch.dueNext(queue.name);
    return messages.map((message) => ({ ...message, queue: queue.name }));
  }))).flat().sort((a, b) => (a.dueAt ?? 0) - (b.dueAt ?? 0)).slice(0, 50);
  return {
    title: "Schedules",
    at: "/schedules",
    live: (
      <>
        <div class="head">
          <div>
            <h1>Schedules</h1>
            <p>What is enqueued at set times, and what waits for its time.</p>
          </div>
        </div>
        <div class="stack">
          <section class="card">
            <header>
              <h2>Again and again</h2>
              <span class="muted small">{whole(schedules.length)}</span>
            </header>
            {schedules.length === 0
              ? (
                <Empty title="No schedule">
                  <p>A TaskScheduler adds tasks by a cron pattern, or at an interval.</p>
                  <pre>{`await scheduler.cron("nightly", "0 3 * * *", "send_report", { to: "ann@example.com" });`}</pre>
                </Empty>
              )
              : (
                <div class="scroll" tabindex={0} role="region" aria-label="Schedules">
                  <table class="stacked">
                    <thead>
                      <tr>
                        <th>Name</th>
                        <th>When</th>
                        <th>Next</th>
                        <th class="wide">Last</th>
                        <th class="num wide">Fired</th>
                      </tr>
                    </thead>
                    <tbody>
                      {schedules.map((one) => (
                        <tr>
                          <td class="id">
                            <Text width={60}>{one.name}</Text>{" "}
                            {one.paused && <span class="badge warn">off</span>}
                            <div class="muted small">
                              {one.task !== undefined && (
                                <>
                                  <Text width={60}>{one.task}</Text>
                                  {" in "}
                                </>
                              )}
                              <a href={pathOf("queues", one.queue)}>
                                <Text width={40}>{one.queue}</Text>
                              </a>
                            </div>
                          </td>
                          <td class="whole" data-label="When">
                            <code>
                              <Text width={60}>{one.pattern}</Text>
                            </code>{" "}
                            <span class="muted small">{one.timeZone}</span>
                          </td>
                          <td class="whole" data-label="Next">
                            {one.nextAt === undefined ? "never" : (
                              <>
                                <Next at={one.nextAt} now={now} />
                                {one.upcoming && one.upcoming.length > 0 && (
                                  <div class="muted small wide">
                                    {"then "}
                                    {one.upcoming.map((at, i) => (
                                      <>
                                        {i > 0 && ", "}
                                        <When at={at} now={now} />
                                      </>
                                    ))}
                                  </div>
                                )}
                              </>
                            )}
                          </td>
                          <td class="wide">
                            {one.lastAt === undefined
                              ? "–"
                              : one.lastId === undefined
                              ? <When at={one.lastAt} now={now} />
                              : (
                                <a href={pathOf("queues", one.queue, "messages", one.lastId)}>
                                  <When at={one.lastAt} now={now} />
                                </a>
                              )}
                          </td>
                          <td class="num wide">
                            {one.firings === undefined ? "–" : whole(one.firings)}
                            {one.skipped !== undefined && one.skipped > 0 && (
                              <div class="muted small">{whole(one.skipped)} skipped</div>
                            )}
                          </td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              )}
          </section>
          <section class="card">
            <header>
              <h2>Due next</h2>
              <span class="muted small">delayed messages</span>
            </header>
            {next.length === 0
              ? (
                <Empty title="None waits for its time">
                  <p>Messages with delayMs or runAt, and those that back off.</p>
                </Empty>
              )
              : (
                <div class="scroll" tabindex={0} role="region" aria-label="Due next">
                  <table class="stacked">
                    <thead>
                      <tr>
                        <th>Due</th>
                        <th>Message</th>
                        <th>Queue</th>
                        <th class="num wide">Tried</th>
                      </tr>
                    </thead>
                    <tbody>
                      {next.map(({ id, queue, dueAt = 0, attempts }) => (
                        <tr data-row="">
                          <td class="small">
                            <When at={dueAt} now={now} />
                          </td>
                          <td data-label="Message">
                            <a
                              class="id"
                              href={withQuery(pathOf("queues", queue, "messages", id), {
                                state: "delayed",
                              })}
                            >
                              <Text width={60}>{id}</Text>
                            </a>
                          </td>
                          <td data-label="Queue">
                            <a href={pathOf("queues", queue)}>
                              <Text width={40}>{queue}</Text>
                            </a>
                          </td>
                          <td class="num wide">{attempts}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              )}
          </section>
        </div>
      </>
    ),
  };
}

/** A tick that is over may have fired since the schedules were read; or there is no scheduler. */
const Next: FC<{ at: number; now: number }> = ({ at, now }) => {
  if (at > now) return <When at={at} now={now} />;
  if (at > now - LATE_MS) return <>now</>;
  return (
    <span class="bad" title="No scheduler has fired it">
      <When at={at} now={now} />
    </span>
  );
};
