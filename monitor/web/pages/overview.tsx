/** @jsxImportSource hono/jsx */
/**
 * All queues: a card each, what needs attention in front.
 *
 * @module
 */
import type { FC } from "hono/jsx";
import { duration, rate, whole } from "../../format.ts";
import type { Page, Visit } from "../layout.tsx";
import {
  Badges,
  Empty,
  floorSecond,
  idleness,
  Kept,
  pathOf,
  perMinute,
  Spark,
  StateBar,
  STATES,
  Text,
  toneOf,
  withQuery,
} from "../parts.tsx";
import type { Details, Listed, Watch } from "../watch.ts";

/** How many cards on a page. */
const CARDS = 24;

/** From when on a message has waited long, in milliseconds. */
const LONG_MS = 300_000;

/** The page. */
export async function overview(visit: Visit, watch: Watch): Promise<Page> {
  const [all, now] = await Promise.all([watch.queues(), watch.now()]);
  const wanted = (visit.query.get("q") ?? "").toLowerCase();
  const fitting = all.filter(({ name }) => name.toLowerCase().includes(wanted));
  fitting.sort((a, b) => urgency(b) - urgency(a)); // else by name, as they are
  const pages = Math.max(1, Math.ceil(fitting.length / CARDS));
  const page = Math.min(pages, Math.max(1, Math.floor(Number(visit.query.get("page"))) || 1));
  const shown = fitting.slice((page - 1) * CARDS, page * CARDS);
  const details = await Promise.all(shown.map((queue) => {
    return queue.counts ? watch.details(queue) : undefined;
  }));
  // Nobody working is seen only here: what it needs is not asked of queues on other pages.
  const cards = shown.map((queue, i) => ({ queue, known: details[i] }))
    .sort((a, b) => urgency(b.queue, b.known) - urgency(a.queue, a.known));
  const sum = (state: "ready" | "leased" | "delayed" | "dead") =>
    all.reduce((sum, { counts }) => sum + (counts?.[state] ?? 0), 0);
  const to = (page: number) => withQuery("/", { q: wanted, page: page > 1 ? String(page) : "" });
  return {
    title: "Queues",
    at: "/",
    live: (
      <>
        <div class="head">
          <div>
            <h1>Queues</h1>
            <div class="totals">
              <span>
                <b>{whole(all.length)}</b> {all.length === 1 ? "queue" : "queues"}
              </span>
              {STATES.map(([state, words]) => (
                <span>
                  <b>{whole(sum(state))}</b> {words.toLowerCase()}
                </span>
              ))}
            </div>
          </div>
          {all.length > 6 && (
            <Kept id="find">
              <form class="search" action="/" role="search">
                <label class="hidden" for="q">Search queues by name</label>
                <input id="q" type="search" name="q" value={wanted} placeholder="Find a queue" />
                <button type="submit">Find</button>
              </form>
            </Kept>
          )}
        </div>
        {all.length === 0
          ? (
            <div class="card">
              <Empty title="No queue yet">
                <p>
                  A queue enters itself here when something is enqueued, or when a worker starts.
                </p>
                <pre>{`const queue = new ReliableQueue(redis, "emails");\nawait queue.enqueue({ to: "ann@example.com" });`}</pre>
              </Empty>
            </div>
          )
          : shown.length === 0
          ? (
            <div class="card">
              <Empty title={`No queue is called like “${wanted}”`} />
            </div>
          )
          : (
            <ul class="queues">
              {cards.map(({ queue, known }) =>
                known
                  ? <Card key={queue.name} details={known} now={now} />
                  : <Unreadable key={queue.name} queue={queue} />
              )}
            </ul>
          )}
        {pages > 1 && (
          <nav class="pages" aria-label="Pages">
            {page > 1 && <a class="button" href={to(page - 1)}>Back</a>}
            <span>Page {page} of {pages}</span>
            {page < pages && <a class="button" href={to(page + 1)}>Next</a>}
          </nav>
        )}
      </>
    ),
  };
}

const Card: FC<{ details: Details; now: number }> = ({ details, now }) => {
  const { name, kind, counts, consumers, stats, hour, nextDueInMs } = details;
  const path = pathOf("queues", name);
  const acked = perMinute(hour, "acked", now);
  const oldest = counts.oldestReadyMs;
  return (
    <li class="card queue" data-queue={name} data-row="">
      <h2>
        <a href={path}>
          <Text width={60}>{name}</Text>
        </a>
        <Badges
          kind={kind}
          paused={counts.paused}
          idle={idleness(details)}
        />
      </h2>
      <div class="front">
        <div>
          <div class="figure">{whole(counts.ready)}</div>
          <span>
            ready{counts.ready === 0 && nextDueInMs !== undefined &&
              `, next in ${duration(floorSecond(Math.max(0, nextDueInMs)))}`}
          </span>
        </div>
        <Spark
          values={acked}
          label={`Done in each minute of the last hour, ${whole(Math.max(...acked))} at most`}
        />
      </div>
      <StateBar counts={counts} />
      <div class="legend">
        {STATES.slice(1).map(([state, words]) => (
          <a href={withQuery(`${path}/messages`, { state })}>
            <i class={`dot ${state}`}></i>
            {words} <b class={toneOf(state, counts)}>{whole(counts[state])}</b>
          </a>
        ))}
      </div>
      <dl class="facts">
        <dt title="How long the oldest message has waited to be taken">Oldest</dt>
        <dd class={oldest !== undefined && oldest > LONG_MS ? "warn" : undefined}>
          {oldest === undefined ? "–" : duration(floorSecond(oldest))}
        </dd>
        <dt title="Acknowledged a second, over five minutes">Done</dt>
        <dd>{rate(stats.perSecond.acked)}/s</dd>
        <dt title="95 of 100 messages took no longer to be worked on, over five minutes">p95</dt>
        <dd>{stats.runMs ? duration(stats.runMs.p95) : "–"}</dd>
        <dt title="Workers and consume loops that said within 30 s that they are there">Workers</dt>
        <dd>{whole(consumers.length)}</dd>
      </dl>
    </li>
  );
};

const Unreadable: FC<{ queue: Listed }> = ({ queue: { name, kind, trouble } }) => (
  <li class="card queue" data-row="">
    <h2>
      <a href={pathOf("queues", name)}>
        <Text width={60}>{name}</Text>
      </a>
      <Badges kind={kind} />
    </h2>
    <p class="bad small">{trouble}</p>
  </li>
);

/** What has to be seen first. Coarse, so that cards stay where they are. */
function urgency({ counts, trouble }: Listed, details?: Details): number {
  if (trouble || !counts) return 4;
  const waits = counts.oldestReadyMs ?? 0;
  if (waits > LONG_MS || (details && idleness(details))) return 3;
  return counts.paused ? 2 : 0;
}
