/** @jsxImportSource hono/jsx */
/**
 * Everybody who works, on any queue, and what they have in hand.
 *
 * @module
 */
import type { ConsumerInfo } from "@workshop/redis-patterns";
import { whole } from "../../format.ts";
import type { Page, Visit } from "../layout.tsx";
import { Empty, pathOf, plural, Text, When, withQuery } from "../parts.tsx";
import type { Watch } from "../watch.ts";
import { Heartbeat, PauseWorker, WorkerName } from "./worker.tsx";

/** How many queues and workers are shown, and how many messages of each worker. */
const QUEUES = 50;
const WORKERS = 200;
const HELD = 3;

interface Row extends ConsumerInfo {
  queue: string;
  /** The first few of what it has in hand. */
  held: readonly string[];
}

/** The page. */
export async function workersPage(visit: Visit, watch: Watch): Promise<Page> {
  const [all, now] = await Promise.all([watch.queues(), watch.now()]);
  const shown = all.filter(({ counts }) => counts).slice(0, QUEUES);
  const rows: Row[] = (await Promise.all(shown.map(async (queue) => {
    const { name, consumers, counts } = await watch.details(queue);
    if (consumers.length === 0) return [];
    const { of, complete } = counts.leased > 0 ? await heldBy(watch, name) : NOTHING;
    return consumers.map((one) => {
      const held = of.get(one.consumer) ?? [];
      // What it said of itself may be ten seconds old.
      return { ...one, queue: name, held, holds: complete ? held.length : one.holds };
    });
  }))).flat();
  rows.sort((a, b) => b.seenMs - a.seenMs > 5_000 ? 1 : a.seenMs - b.seenMs > 5_000 ? -1 : 0);
  return {
    title: "Workers",
    at: "/workers",
    live: (
      <>
        <div class="head">
          <div>
            <h1>Workers</h1>
            <p>
              {plural(rows.length, "worker")}{" "}
              and consume loops; one that is killed is named for another 30 s. A paused one finishes
              what it has, and takes no more.
              {all.length > QUEUES && ` Of the ${QUEUES} first queues.`}
            </p>
          </div>
        </div>
        <div class="card">
          {rows.length === 0
            ? (
              <Empty title="Nobody works">
                <p>A worker says every ten seconds that it is there.</p>
                <pre>{`const worker = new Worker(queue, async (mail) => { … });\nawait worker.run();`}</pre>
              </Empty>
            )
            : (
              <div class="scroll" tabindex={0} role="region" aria-label="Workers">
                <table class="stacked">
                  <thead>
                    <tr>
                      <th>Worker</th>
                      <th>Queue</th>
                      <th class="wide">Where</th>
                      <th>Heartbeat</th>
                      <th class="num">Holds</th>
                      <th>In hand</th>
                      <th class="wide">Since</th>
                      {!visit.readOnly && (
                        <th>
                          <span class="hidden">Action</span>
                        </th>
                      )}
                    </tr>
                  </thead>
                  <tbody>
                    {rows.slice(0, WORKERS).map((row) => (
                      <tr data-row="">
                        <td>
                          <WorkerName {...row} />
                        </td>
                        <td data-label="Queue">
                          <a href={pathOf("queues", row.queue)}>
                            <Text width={40}>{row.queue}</Text>
                          </a>
                        </td>
                        <td class="wide small">
                          <Text width={40}>{row.host || "–"}</Text> · {row.pid}
                        </td>
                        <Heartbeat seenMs={row.seenMs} />
                        <td class="num" data-label="Holds">{whole(row.holds)}</td>
                        <td class={row.held.length === 0 ? "wide" : "whole"}>
                          {row.held.length === 0 && <span class="muted">–</span>}
                          {row.held.slice(0, HELD).map((id) => (
                            <div>
                              <a
                                class="id"
                                href={withQuery(pathOf("queues", row.queue, "messages", id), {
                                  state: "leased",
                                })}
                              >
                                <Text width={40}>{id}</Text>
                              </a>
                            </div>
                          ))}
                        </td>
                        <td class="wide">
                          <When at={row.startedAt} now={now} />
                        </td>
                        {!visit.readOnly && (
                          <td class="act">
                            <PauseWorker worker={row} visit={visit} />
                          </td>
                        )}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
        </div>
        {rows.length > WORKERS && <p class="pages">and {whole(rows.length - WORKERS)} more</p>}
      </>
    ),
  };
}

const NOTHING = { of: new Map<string, string[]>(), complete: true };

/** What each consumer has in hand; of the first messages in hand, if there are many. */
async function heldBy(watch: Watch, name: string): Promise<typeof NOTHING> {
  const { messages, cursor } = await watch.inHand(name);
  const of = new Map<string, string[]>();
  for (const { consumer = "", id } of messages) {
    const ids = of.get(consumer);
    if (ids) ids.push(id);
    else of.set(consumer, [id]);
  }
  return { of, complete: cursor === undefined };
}
