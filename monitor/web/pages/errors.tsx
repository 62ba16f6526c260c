/** @jsxImportSource hono/jsx */
/**
 * The dead letters of a queue by error: what differs only in numbers and names is the same error.
 *
 * @module
 */
import { whole } from "../../format.ts";
import type { Page, Visit } from "../layout.tsx";
import { Empty, OnMatching, pathOf, plural, Text, When, withQuery } from "../parts.tsx";
import { OTHERS, shortReason } from "../groups.ts";
import type { Watch } from "../watch.ts";
import { QueueHead } from "./queue_head.tsx";

/** How long the page waits for the groups before it shows what there is, in milliseconds. */
const WAIT_MS = 30;

/** How many groups are shown. */
const SHOWN = 50;

/** The page. */
export async function errorsPage(visit: Visit, watch: Watch, name: string): Promise<Page> {
  const queue = await watch.registered(name);
  const [counts, now] = await Promise.all([watch.counts(queue), watch.now()]);
  const { groups, seen, complete } = await watch.errors(queue, WAIT_MS);
  const path = pathOf("queues", name);
  return {
    title: `Errors of ${name}`,
    at: "/",
    live: (
      <>
        <QueueHead queue={queue} counts={counts} visit={visit} tab="errors" />
        {!complete && seen > 0 && (
          <p class="note">{whole(seen)} of {whole(counts.dead)} dead letters looked at …</p>
        )}
        {groups.length === 0
          ? (
            <div class="card">
              {counts.dead > 0
                ? <Empty title="Looking through the dead letters …" />
                : (
                  <Empty title="Nothing has died">
                    <p>
                      A message is given up when its last attempt fails. It comes here with every
                      error that it met, and can be tried again.
                    </p>
                  </Empty>
                )}
            </div>
          )
          : (
            <div class="card groups">
              {groups.slice(0, SHOWN).map(({ key, title, count, example, firstAt }) => {
                const query = `group:${key}`;
                return (
                  <div class="group" id={`group-${key}`}>
                    <div>
                      <h2>
                        <Text width={240}>{title}</Text>
                      </h2>
                      <p class="small muted">
                        <b>{plural(count, "message")}</b>, {count > 1 && "the last "}
                        <When at={example.at} now={now} />
                        {example.at - firstAt >= 1_000 && (
                          <>
                            , the first <When at={firstAt} now={now} />
                          </>
                        )}
                        {shortReason(example.reason) !== title && (
                          <>
                            {" · "}
                            <Text width={110}>{shortReason(example.reason)}</Text>
                          </>
                        )}
                      </p>
                    </div>
                    <div class="actions">
                      {key !== OTHERS && (
                        <a
                          class="button"
                          href={withQuery(`${path}/messages`, { state: "dead", q: query })}
                        >
                          Look
                        </a>
                      )}
                      {!visit.readOnly && key !== OTHERS && (
                        <OnMatching
                          queue={queue}
                          visit={visit}
                          state="dead"
                          verb="redrive"
                          query={query}
                          label={`Redrive ${count}: ${title}`}
                        >
                          Redrive {whole(count)} …
                        </OnMatching>
                      )}
                    </div>
                    <svg
                      class="share"
                      viewBox="0 0 1000 4"
                      preserveAspectRatio="none"
                      aria-hidden="true"
                    >
                      <rect
                        width={Math.max(2, Math.round(1_000 * count / Math.max(1, seen)))}
                        height="4"
                        class="dead"
                      />
                    </svg>
                  </div>
                );
              })}
            </div>
          )}
        {groups.length > SHOWN && <p class="pages">and {whole(groups.length - SHOWN)} rarer ones
        </p>}
      </>
    ),
  };
}
