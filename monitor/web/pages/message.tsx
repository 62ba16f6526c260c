/** @jsxImportSource hono/jsx */
/**
 * One message: what is known of it, its attempts, its payload when asked for, the keys it lives in, and
 * what can be done with it.
 *
 * @module
 */
import type { RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import type { Child, FC } from "hono/jsx";
import { duration, inert, whole } from "../../format.ts";
import { asking, notFound } from "../../server/problem.ts";
import type { AnyQueue } from "../../snapshot.ts";
import { behind, keysOfMessage, type State } from "../commands.ts";
import type { Page, Visit } from "../layout.tsx";
import type { Verb } from "../operations.ts";
import { Change, Copy, Json, pathOf, Text, When, withQuery, zoned } from "../parts.tsx";
import type { Watch } from "../watch.ts";
import { PAGE, stateOf } from "./messages.tsx";
import { placeOf, RecordCard, taskPage } from "./task.tsx";

/** How much of a payload is shown, in characters. */
const SHOWN = 65_536;

/** A message and where it is. */
type Placed = Waiting<unknown> & { state: State };

const WORDS: Record<State, string> = {
  ready: "Ready",
  leased: "In hand",
  delayed: "Delayed",
  dead: "Dead",
  completed: "Completed",
  failed: "Failed attempt",
};

/** What can be done with a message of a state. */
const VERBS: Record<State, readonly [verb: Verb, words: string][]> = {
  ready: [["delete", "Delete"]],
  leased: [["give back", "Give back"], ["bury", "Bury"]],
  delayed: [["delete", "Delete"]],
  dead: [["redrive", "Redrive"], ["delete", "Delete"]],
  completed: [],
  failed: [],
};

/** The page. */
export async function messagePage(
  visit: Visit,
  watch: Watch,
  { name, id }: { name: string; id: string },
): Promise<Page> {
  const registered = await watch.registered(name);
  const queue = await watch.queue(name);
  const tasks = await watch.tasks(registered);
  const [record, now] = await Promise.all([
    tasks && asking(() => tasks.task(id)),
    watch.now(),
  ]);
  const asked = visit.query.has("state") ? stateOf(visit.query.get("state")) : undefined;
  // What it says itself is newer than the list that led here.
  const isLog = asked === "completed" || asked === "failed";
  const state = record && !isLog ? placeOf(record) : asked;
  const message = state === "gone" ? undefined : await findMessage(queue, {
    id,
    state,
    at: state === asked ? visit.query.get("at") ?? "" : "",
    payloads: visit.query.has("payload"),
  });
  if (!message && record) return taskPage(visit, { queue: registered, record, now });
  if (!message) {
    throw notFound(
      `There is no message ${JSON.stringify(id)} in ${
        JSON.stringify(name)
      } any more: done, deleted, or gone ` +
        `back to where was looked already`,
    );
  }
  return messageFound(visit, { registered, message, record, now });
}

function messageFound(
  visit: Visit,
  { registered, message, record, now }: {
    registered: RegisteredQueue;
    message: Placed;
    record: TaskRecord | undefined;
    now: number;
  },
): Page {
  const { state, id } = message;
  const { name } = registered;
  return {
    title: `${record ? "Task" : "Message"} ${id}`,
    at: "/",
    rest: (
      <>
        <p class="crumbs">
          <a href="/">Queues</a> /{" "}
          <a href={pathOf("queues", name)}>
            <Text width={60}>{name}</Text>
          </a>{" "}
          / <a href={withQuery(`${pathOf("queues", name)}/messages`, { state })}>{WORDS[state]}</a>
        </p>
        <div class="head">
          <div>
            <h1 class="mono">
              <Text width={120}>{message.id}</Text>
            </h1>
            <p>
              {record && (
                <>
                  <b>
                    <Text width={60}>{record.type}</Text>
                  </b>
                  {" "}
                </>
              )}
              <span class={`badge ${state === "dead" ? "bad" : "accent"}`}>{WORDS[state]}</span>
              {" "}
              <Standing message={message} now={now} />
            </p>
          </div>
        </div>
        <div class="columns">
          <div class="stack">
            {message.reason && (
              <section class="card">
                <header>
                  <h2>Given up</h2>
                  <span class="small muted">
                    <When at={message.deadAt ?? 0} now={now} />
                  </span>
                </header>
                <div class="body">
                  <pre class="bad">{inert(message.reason, { lines: true })}</pre>
                </div>
              </section>
            )}
            {record && <RecordCard record={record} visit={visit} now={now} />}
            <Attempts message={message} now={now} />
            <Payload message={message} visit={visit} />
          </div>
          <div class="stack">
            {!visit.readOnly && VERBS[state].length > 0 && (
              <Actions queue={registered} message={message} visit={visit} />
            )}
            <Facts message={message} />
            <Keys queue={registered} message={message} />
          </div>
        </div>
      </>
    ),
  };
}

/** Looks where it was seen last, and then everywhere: a dead letter is found at once. */
async function findMessage(
  queue: AnyQueue,
  { id, state, at, payloads }: {
    id: string;
    state: State | undefined;
    at: string;
    payloads: boolean;
  },
): Promise<Placed | undefined> {
  if (state && state !== "dead") {
    const { messages } = await asking(() => {
      return queue.peek(state, { limit: PAGE * 5, payloads, ...(at && { cursor: at }) });
    });
    const seen = messages.find((message) => message.id === id);
    if (seen) return { ...seen, state };
    if (state === "completed" || state === "failed") return undefined;
  }
  return await asking(() => queue.find(id));
}

const Standing: FC<{ message: Placed; now: number }> = ({ message, now }) => {
  switch (message.state) {
    case "leased":
      return (
        <span>
          with{" "}
          <code>
            <Text width={40}>{message.consumer ?? ""}</Text>
          </code>, the lease ends <When at={message.leaseExpiresAt ?? 0} now={now} />
        </span>
      );
    case "delayed":
      return (
        <span>
          due <When at={message.dueAt ?? 0} now={now} />
        </span>
      );
    case "ready":
      return (
        <span>
          waits since <When at={message.readyAt} now={now} />
        </span>
      );
    case "dead":
      return (
        <span>
          died <When at={message.deadAt ?? 0} now={now} />
        </span>
      );
    default:
      return (
        <span>
          by{" "}
          <code>
            <Text width={40}>{message.consumer ?? ""}</Text>
          </code>, <When at={message.finishedAt ?? 0} now={now} />
        </span>
      );
  }
};

const Attempts: FC<{ message: Placed; now: number }> = ({ message: { errors, attempts }, now }) => (
  <section class="card">
    <header>
      <h2>Attempts</h2>
      <span class="small muted">{whole(attempts)} so far</span>
    </header>
    <div class="body">
      {errors.length === 0
        ? (
          <p class="muted">
            {attempts === 0 ? "It was not handed out yet." : "None of its attempts left an error."}
          </p>
        )
        : (
          <ol class="attempts">
            {errors.map(({ attempt, message, stack, at, worker }) => (
              <li>
                <h3>
                  {attempt === undefined ? "Lease lapsed" : `Attempt ${attempt}`}{" "}
                  <span class="muted small">
                    <When at={at} now={now} />
                    {worker && (
                      <>
                        {" by "}
                        <code>
                          <Text width={40}>{worker}</Text>
                        </code>
                      </>
                    )}
                  </span>
                </h3>
                <p class="bad">{inert(message.split("\n")[0]!)}</p>
                {stack && (
                  <details>
                    <summary>Stack</summary>
                    <pre>{inert(stack, { lines: true })}</pre>
                  </details>
                )}
              </li>
            ))}
          </ol>
        )}
    </div>
  </section>
);

const Payload: FC<{ message: Placed; visit: Visit }> = ({ message, visit }) => {
  const { bytes } = message;
  const query = new URLSearchParams(visit.query);
  query.set("payload", "1");
  if (!visit.query.has("payload")) {
    return (
      <section class="card" id="payload">
        <header>
          <h2>Payload</h2>
          <span class="small muted">{whole(bytes)} bytes</span>
        </header>
        <div class="body">
          <a class="button" href={`?${query}#payload`}>Show the payload</a>
        </div>
      </section>
    );
  }
  const text = textOf(message);
  return (
    <section class="card" id="payload">
      <header>
        <h2>Payload</h2>
        <span class="small muted">
          <Copy from="payload-text" what="the payload" /> {whole(bytes)} bytes
        </span>
      </header>
      <div class="body">
        <Json id="payload-text" label="Payload">{text.slice(0, SHOWN)}</Json>
        {text.length > SHOWN && (
          <p class="small muted">… {whole(text.length - SHOWN)} characters more</p>
        )}
      </div>
    </section>
  );
};

function textOf({ payload, raw }: Placed): string {
  return payload === undefined ? new TextDecoder().decode(raw) : JSON.stringify(payload, null, 2);
}

const Facts: FC<{ message: Placed }> = ({ message }) => {
  const { enqueuedAt, priority, attempts, receivedAt, finishedAt } = message;
  const rows: [string, Child][] = [
    ["Enqueued", zoned(enqueuedAt) || "unknown"],
    ["Attempts", whole(attempts)],
    ["Priority", String(priority)],
  ];
  if (receivedAt !== undefined) rows.push(["Received", zoned(receivedAt)]);
  if (receivedAt !== undefined && finishedAt !== undefined) {
    rows.push(["Took", duration(finishedAt - receivedAt)]);
  }
  return (
    <section class="card">
      <header>
        <h2>What is known</h2>
      </header>
      <div class="body">
        <dl class="pairs">
          {rows.map(([what, value]) => (
            <>
              <dt>{what}</dt>
              <dd>{value}</dd>
            </>
          ))}
        </dl>
      </div>
    </section>
  );
};

const Keys: FC<{ queue: RegisteredQueue; message: Placed }> = (
  { queue: { name, kind }, message },
) => {
  const { state, id, dueAt, token } = message;
  return (
    <section class="card keys">
      <header>
        <h2>In Redis</h2>
      </header>
      <div class="body">
        <ul class="plain">
          {keysOfMessage({ name, kind, state, id, dueAt, lease: token }).map((
            { key, type, holds, look },
          ) => (
            <li>
              <code>{key}</code> <span class="badge">{type}</span>
              <p class="small muted">{holds}</p>
              <pre>{look}</pre>
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
};

const Actions: FC<{ queue: RegisteredQueue; message: Placed; visit: Visit }> = (
  { queue: { name, kind }, message: { id, state }, visit },
) => (
  <section class="card">
    <header>
      <h2>What can be done</h2>
    </header>
    <div class="body">
      <ul class="plain">
        {VERBS[state].map(([verb, words]) => {
          const { call, redis } = behind({ name, kind, state, verb, ids: [id] });
          return (
            <li>
              <Change action={`${pathOf("queues", name)}/plan`} token={visit.formToken}>
                <input type="hidden" name="state" value={state} />
                <input type="hidden" name="id" value={id} />
                <button
                  type="submit"
                  name="act"
                  value={`${verb}:selected`}
                  class={verb === "redrive" || verb === "give back" ? "primary" : "danger"}
                >
                  {words}
                </button>
              </Change>
              <details>
                <summary>What it does</summary>
                <pre>{[call, "", ...redis].join("\n")}</pre>
              </details>
            </li>
          );
        })}
      </ul>
    </div>
  </section>
);
