/** @jsxImportSource hono/jsx */
/**
 * Everybody who works, on any queue, and what they have in hand.
 *
 * @module
 */
import type { ConsumerInfo } from "@workshop/redis-patterns";
import { duration, whole } from "../../format.ts";
import type { Page, Visit } from "../layout.tsx";
import { Empty, floorSecond, pathOf, plural, Text, When, withQuery } from "../parts.tsx";
import type { Watch } from "../watch.ts";

/** How many queues and workers are shown, and how many messages of each worker. */
const QUEUES = 50;
const WORKERS = 200;
const HELD = 3;

/** From when on a worker is quiet: it has missed a word. */
const QUIET_MS = 15_000;

interface Row extends ConsumerInfo {
  queue: string;
  held: string[];
}

/** The page. */
export async function workersPage(_visit: Visit, watch: Watch): Promise<Page> {
  const [all, now] = await Promise.all([watch.queues(), watch.now()]);
  const shown = all.filter(({ counts }) => counts).slice(0, QUEUES);
  const rows: Row[] = (await Promise.all(shown.map(async (queue) => {
    const { name, consumers, counts } = await watch.details(queue);
    if (consumers.length === 0) return [];
    const held = counts.leased > 0 ? await heldBy(watch, name) : new Map<string, string[]>();
    return consumers.map((one) => ({ ...one, queue: name, held: held.get(one.consumer) ?? [] }));
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
              and consume loops; one that is killed is named for another 30 s.
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
                <table>
                  <thead>
                    <tr>
                      <th>Worker</th>
                      <th>Queue</th>
                      <th class="wide">Where</th>
                      <th>Heartbeat</th>
                      <th class="num">Holds</th>
                      <th>Has in hand</th>
                      <th class="wide">Since</th>
                    </tr>
                  </thead>
                  <tbody>
                    {rows.slice(0, WORKERS).map((row) => (
                      <tr>
                        <td>
                          <span class="id">
                            <Text width={40}>{row.consumer}</Text>
                          </span>{" "}
                          <span class="badge">{row.mode}</span>
                        </td>
                        <td>
                          <a href={pathOf("queues", row.queue)}>
                            <Text width={40}>{row.queue}</Text>
                          </a>
                        </td>
                        <td class="wide small">
                          <Text width={40}>{row.host || "–"}</Text> · {row.pid}
                        </td>
                        <td class={row.seenMs > QUIET_MS ? "warn nowrap" : "nowrap"}>
                          {duration(floorSecond(row.seenMs))} ago
                        </td>
                        <td class="num">{whole(row.holds)}</td>
                        <td>
                          {row.held.length === 0 && <span class="muted">–</span>}
                          {row.held.map((id) => (
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

/** The first few messages that each consumer has in hand. */
async function heldBy(watch: Watch, name: string): Promise<Map<string, string[]>> {
  const { messages } = await watch.inHand(name);
  const held = new Map<string, string[]>();
  for (const { consumer = "", id } of messages) {
    const ids = held.get(consumer) ?? [];
    if (ids.length < HELD) held.set(consumer, [...ids, id]);
  }
  return held;
}
