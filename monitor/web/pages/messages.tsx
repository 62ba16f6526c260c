/** @jsxImportSource hono/jsx */
/**
 * The messages of one state, a page at a time, without their payloads. A search goes through as many as
 * it can in a moment, and says where to go on.
 *
 * @module
 */
import type { FC } from "hono/jsx";
import { whole } from "../../format.ts";
import { recordsOf } from "../../records.ts";
import { badRequest } from "../../server/problem.ts";
import type { AnyQueue } from "../../snapshot.ts";
import type { State } from "../commands.ts";
import type { Page, Visit } from "../layout.tsx";
import { Empty, pathOf, withQuery } from "../parts.tsx";
import {
  FIELDS,
  type Match,
  readSearch,
  readsPayloads,
  searchedId,
  SearchError,
} from "../search.ts";
import type { Watch } from "../watch.ts";
import { type Listed, MessagesTable } from "./messages_table.tsx";
import { QueueHead } from "./queue_head.tsx";

/** How many messages on a page. */
export const PAGE = 50;

/** How many are looked at in one step of a search, and how long one request searches, in milliseconds. */
const STEP = 200;
const SEARCH_MS = 30;

const EMPTY: Record<State, [title: string, words: string]> = {
  ready: ["Nothing waits", "What is enqueued is here until a consumer takes it."],
  leased: [
    "Nobody has any in hand",
    "What a consumer has taken is here until it settles it, or its lease ends.",
  ],
  delayed: [
    "None waits for its time",
    "What was enqueued with delayMs or runAt, or failed and backs off, is here.",
  ],
  dead: [
    "Nothing has died",
    "What has failed at its last attempt comes here, with every error that it met.",
  ],
  completed: [
    "No log of what is done",
    "A queue with the option keepCompleted keeps what was acknowledged.",
  ],
  failed: [
    "No log of what failed",
    "A queue with the option keepFailed keeps every attempt that failed.",
  ],
};

/** The state that a query names. */
export function stateOf(given: string | null | undefined): State {
  const state = given ?? "ready";
  if (Object.hasOwn(EMPTY, state)) return state as State;
  throw badRequest(
    `There is no state ${JSON.stringify(state)}; there are ${Object.keys(EMPTY).join(", ")}`,
  );
}

/** What was found, and where to go on. */
interface Found {
  messages: Listed[];
  looked: number;
  cursor?: string;
}

/** The page. */
export async function messagesPage(visit: Visit, watch: Watch, name: string): Promise<Page> {
  const state = stateOf(visit.query.get("state"));
  const query = (visit.query.get("q") ?? "").slice(0, 500);
  const cursor = visit.query.get("cursor") ?? "";
  const registered = await watch.registered(name);
  const [counts, now] = await Promise.all([watch.counts(registered), watch.now()]);
  const path = pathOf("queues", name);
  const words = {
    ready: "Ready",
    leased: "In hand",
    delayed: "Delayed",
    dead: "Dead",
    completed: "Completed",
    failed: "Failed",
  }[state];
  const page: Page = {
    title: `${words}: ${name}`,
    at: "/",
    live: <QueueHead queue={registered} counts={counts} visit={visit} tab={state} />,
  };
  if (visit.onlyLive) return page;
  let found: Found = { messages: [], looked: 0 };
  let trouble: string | undefined;
  try {
    const tasks = registered.kind === "tasks";
    const match = readSearch(query, { tasks });
    const payloads = readsPayloads(query, { tasks });
    const queue = await watch.queue(name);
    found = await search(queue, { state, query, match, payloads, cursor });
  } catch (error) {
    if (error instanceof SearchError) trouble = error.message;
    else if (error instanceof RangeError) throw badRequest(error.message);
    else throw error;
  }
  const to = (more: { cursor?: string; q?: string }) => {
    return withQuery(`${path}/messages`, { state, q: query, ...more });
  };
  const records = state === "leased"
    ? await recordsOf(await watch.tasks(registered), found.messages)
    : undefined;
  page.rest = (
    <>
      <SearchForm path={`${path}/messages`} state={state} query={query} trouble={trouble} />
      {trouble ? null : found.messages.length === 0
        ? (
          <div class="card">
            {query || cursor
              ? (
                <Empty title={found.cursor ? `None among ${whole(found.looked)}` : "None found"}>
                  {found.cursor
                    ? (
                      <p>
                        <a class="button" href={to({ cursor: found.cursor })}>Search on</a>
                      </p>
                    )
                    : (
                      <p>
                        <a href={to({ q: "" })}>All that are {words.toLowerCase()}</a>
                      </p>
                    )}
                </Empty>
              )
              : (
                <Empty title={EMPTY[state][0]}>
                  <p>{EMPTY[state][1]}</p>
                </Empty>
              )}
          </div>
        )
        : (
          <MessagesTable
            queue={registered}
            state={state}
            messages={found.messages}
            records={records}
            visit={visit}
            query={query}
            now={now}
            inAll={state === "completed" || state === "failed" ? undefined : counts[state]}
          />
        )}
      <nav class="pages" aria-label="Pages">
        {cursor && <a class="button" href={to({})}>First page</a>}
        {found.cursor && found.messages.length > 0 && (
          <a class="button" rel="next" href={to({ cursor: found.cursor })}>
            {query ? "Search on" : "Next page"}
          </a>
        )}
        {query && found.looked > 0 && <span>{whole(found.looked)} looked at here</span>}
      </nav>
    </>
  );
  return page;
}

const SearchForm: FC<{ path: string; state: State; query: string; trouble: string | undefined }> = (
  { path, state, query, trouble },
) => (
  <>
    <form class="search" action={path} role="search">
      <input type="hidden" name="state" value={state} />
      <label class="hidden" for="q">Search</label>
      <input
        id="q"
        type="search"
        name="q"
        value={query}
        placeholder="error:timeout payload.to:ann"
        autocomplete="off"
        spellcheck={false}
      />
      <button type="submit">Search</button>
    </form>
    {trouble && <p class="note bad" role="alert">{trouble}</p>}
    <details class="help" open={trouble !== undefined}>
      <summary>What one can search for</summary>
      <dl class="pairs left">
        {FIELDS.map(([example, meaning]) => (
          <>
            <dt>
              <code>{example}</code>
            </dt>
            <dd>{meaning}</dd>
          </>
        ))}
      </dl>
    </details>
  </>
);

/** One page; of a search as many as can be found in a moment. */
async function search(
  queue: AnyQueue,
  { state, query, match, payloads, cursor }: {
    state: State;
    query: string;
    match: Match;
    payloads: boolean;
    cursor: string;
  },
): Promise<Found> {
  const id = state === "dead" ? searchedId(query) : undefined;
  const one = id !== undefined && id.length <= 200 ? await queue.find(id) : undefined;
  if (one?.state === state) return { messages: [{ ...one, from: "" }], looked: 1 };
  const until = performance.now() + SEARCH_MS;
  const found: Found = { messages: [], looked: 0 };
  let from = cursor;
  do {
    const page = await queue.peek(state, {
      limit: query ? STEP : PAGE,
      payloads,
      ...(from && { cursor: from }),
    });
    found.looked += page.messages.length;
    const fitting = query ? page.messages.filter(match) : page.messages;
    found.messages.push(...fitting.map((message) => ({ ...message, from })));
    from = page.cursor ?? "";
  } while (query && from && found.messages.length < PAGE && performance.now() < until);
  return { ...found, ...(from && { cursor: from }) };
}
