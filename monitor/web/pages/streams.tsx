/** @jsxImportSource hono/jsx */
/**
 * The queues that are streams, as Redis sees them: their groups, how far each has read, and who has how
 * much in hand.
 *
 * @module
 */
import type { RegisteredQueue } from "@workshop/redis-patterns";
import type { FC } from "hono/jsx";
import { duration, whole } from "../../format.ts";
import type { Page, Visit } from "../layout.tsx";
import { Empty, floorSecond, OnMatching, pathOf, Text, withQuery } from "../parts.tsx";
import type { StreamConsumer } from "../streams.ts";
import type { Watch } from "../watch.ts";

/** How many streams are shown. */
const STREAMS = 30;

/** The page. */
export async function streamsPage(visit: Visit, watch: Watch): Promise<Page> {
  const all = (await watch.queues()).filter(({ kind }) => kind === "stream" || kind === "tasks");
  const streams = await Promise.all(
    all.slice(0, STREAMS).map(async (queue) => {
      return { queue, ...await watch.stream(queue.name) };
    }),
  );
  return {
    title: "Streams",
    at: "/streams",
    live: (
      <>
        <div class="head">
          <div>
            <h1>Streams</h1>
            <p>
              What is acknowledged is deleted, so an entry in the stream waits. What a dead consumer
              held comes back by its lease, or at once when you claim it back.
            </p>
          </div>
        </div>
        {streams.length === 0 && (
          <div class="card">
            <Empty title="No queue is a stream">
              <p>
                A StreamQueue keeps what waits in a Redis stream, with a consumer group that knows
                who has what.
              </p>
              <pre>{`const queue = new StreamQueue(redis, "tasks");`}</pre>
            </Empty>
          </div>
        )}
        <div class="stack">
          {streams.map(({ queue, key, length, groups, trouble }) => (
            <section class="card">
              <header>
                <h2>
                  <a href={pathOf("queues", queue.name)}>
                    <Text width={60}>{queue.name}</Text>
                  </a>
                </h2>
                <span class="muted small">
                  {whole(length)} entries · <code>{key}</code>
                </span>
              </header>
              <div class="body">
                {trouble && <p class="note warn">{trouble}</p>}
                <div
                  class="scroll"
                  tabindex={0}
                  role="region"
                  aria-label={`Groups of ${queue.name}`}
                >
                  <table class="stacked groups-of">
                    <thead>
                      <tr>
                        <th>Group</th>
                        <th class="num">Lag</th>
                        <th class="num">Unacknowledged</th>
                        <th class="wide">Read up to</th>
                        <th>Consumers</th>
                      </tr>
                    </thead>
                    <tbody>
                      {groups.map((group) => (
                        <tr>
                          <td class="id">
                            <Text width={40}>{group.name}</Text>
                          </td>
                          <td class="num" data-label="Lag">
                            {group.lag === undefined ? "–" : whole(group.lag)}
                          </td>
                          <td class="num" data-label="Unacknowledged">{whole(group.unacked)}</td>
                          <td class="wide mono">{group.lastId}</td>
                          <td class="small whole">
                            {group.consumers.length === 0 && (
                              <span class="muted">nobody has any</span>
                            )}
                            {group.consumers.map((consumer) => (
                              <Consumer queue={queue} consumer={consumer} visit={visit} />
                            ))}
                          </td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              </div>
            </section>
          ))}
        </div>
      </>
    ),
  };
}

/** One consumer of a group, and the button that takes away what it holds. */
const Consumer: FC<{
  queue: RegisteredQueue;
  consumer: StreamConsumer;
  visit: Visit;
}> = ({ queue, consumer: { name: consumer, unacked, idleMs }, visit }) => {
  const { name } = queue;
  const query = `consumer:${consumer}`;
  return (
    <div class="consumer">
      <span class="grow">
        <code>
          <Text width={30}>{consumer}</Text>
        </code>{" "}
        {unacked === 0
          ? "nothing in hand"
          : (
            <a href={withQuery(pathOf("queues", name, "messages"), { state: "leased", q: query })}>
              {whole(unacked)} in hand
            </a>
          )}, <span class="muted">idle {duration(floorSecond(idleMs))}</span>
      </span>
      {unacked > 0 && !visit.readOnly && (
        <OnMatching
          queue={queue}
          visit={visit}
          state="leased"
          verb="give back"
          query={query}
          label={`Claim back what ${consumer} holds`}
          slim
        >
          Claim back …
        </OnMatching>
      )}
    </div>
  );
};
