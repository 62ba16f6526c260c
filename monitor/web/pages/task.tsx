/** @jsxImportSource hono/jsx */
/**
 * What is on record of tasks: on a page of its own where the task is gone from the queue, else on that of
 * its message; and the last ones to which something happened.
 *
 * @module
 */
import type { RegisteredQueue } from "@workshop/redis-patterns";
import type { TaskRecord, TaskState } from "@workshop/redis-patterns/tasks";
import type { Child, FC } from "hono/jsx";
import { duration, inert, whole } from "../../format.ts";
import { valueText } from "../../message_text.ts";
import { keysOfMessage, type Place } from "../commands.ts";
import type { Page, Visit } from "../layout.tsx";
import { Copy, Empty, Json, pathOf, Text, When, zoned } from "../parts.tsx";

/** How much of a result is shown, in characters. */
const SHOWN = 65_536;

const WORDS: Record<TaskState, [words: string, badge: string]> = {
  ready: ["Ready", ""],
  delayed: ["Delayed", ""],
  running: ["Running", "accent"],
  done: ["Done", "good"],
  dead: ["Dead", "bad"],
  cancelled: ["Cancelled", ""],
};

const PLACES: Record<TaskState, Place> = {
  ready: "ready",
  delayed: "delayed",
  running: "leased",
  dead: "dead",
  done: "gone",
  cancelled: "gone",
};

/** Where the message of a task is. */
export function placeOf({ state }: TaskRecord): Place {
  return PLACES[state];
}

const State: FC<{ state: TaskState }> = ({ state }) => {
  const [words, kind] = WORDS[state];
  return <span class={`badge ${kind}`}>{words}</span>;
};

/** How far a task is, if it said so: a bar for what is a share or a percentage, and what it said. */
export const Progress: FC<{ record: TaskRecord | undefined }> = ({ record }) => {
  if (!record || !("progress" in record)) return <span class="muted">–</span>;
  const { progress } = record;
  const share = shareOf(progress);
  return (
    <span class="progress">
      {share !== undefined && <progress max={1} value={share} aria-label="Progress"></progress>}
      {" "}
      <Text width={60}>{progressText(progress)}</Text>
    </span>
  );
};

/** `45 %`, `3 of 12`, or what was said. */
function progressText(progress: unknown): string {
  if (typeof progress === "number" && shareOf(progress) !== undefined) return `${progress} %`;
  const { done, of, total = of, ...rest } = Object(progress) as Record<string, unknown>;
  const isCount = shareOf(progress) !== undefined && Object.keys(rest).length === 0;
  return isCount ? `${done} of ${total}` : valueText(progress);
}

/** From 0 to 1: a number up to 100 counts in percent, a member `done` of a member `of` or `total`. */
function shareOf(progress: unknown): number | undefined {
  if (typeof progress === "number") {
    return progress >= 0 && progress <= 100 ? progress / 100 : undefined;
  }
  const { percent, done, of, total = of } = Object(progress) as Record<string, unknown>;
  if (typeof percent === "number") return shareOf(percent);
  if (typeof done !== "number" || typeof total !== "number" || !(total > 0)) return undefined;
  return done >= 0 && done <= total ? done / total : undefined;
}

/** What is on record, and the result when it is asked for. */
export const RecordCard: FC<{ record: TaskRecord; visit: Visit; now: number }> = (
  { record, visit, now },
) => {
  const { type, state, attempts, addedAt, startedAt, changedAt, consumer, error } = record;
  const rows: [string, Child][] = [
    ["Task", <Text key="task" width={80}>{type}</Text>],
    ["State", <State key="state" state={state} />],
    ["Attempts", whole(attempts)],
    ["Added", zoned(addedAt)],
  ];
  if (startedAt !== undefined) rows.push(["Started", zoned(startedAt)]);
  if (state === "done" && startedAt !== undefined) {
    rows.push(["Took", duration(changedAt - startedAt)]);
  }
  rows.push(["Changed", <When key="changed" at={changedAt} now={now} />]);
  if (consumer !== undefined) {
    rows.push([
      "Worker",
      <code key="worker">
        <Text width={40}>{consumer}</Text>
      </code>,
    ]);
  }
  if ("progress" in record) rows.push(["Progress", <Progress key="progress" record={record} />]);
  if (error) {
    rows.push([
      "Last error",
      <span key="error" class="bad">{inert(error.message.split("\n")[0]!)}</span>,
    ]);
  }
  return (
    <>
      <section class="card">
        <header>
          <h2>On record</h2>
        </header>
        <div class="body">
          <dl class="pairs left">
            {rows.map(([what, value]) => (
              <>
                <dt>{what}</dt>
                <dd>{value}</dd>
              </>
            ))}
          </dl>
        </div>
      </section>
      {"result" in record && <Result record={record} visit={visit} />}
    </>
  );
};

const Result: FC<{ record: TaskRecord; visit: Visit }> = ({ record: { result }, visit }) => {
  const query = new URLSearchParams(visit.query);
  query.set("result", "1");
  const text = JSON.stringify(result, null, 2);
  return (
    <section class="card" id="result">
      <header>
        <h2>Result</h2>
        <span class="small muted">
          {visit.query.has("result") && <Copy from="result-text" what="the result" />}{" "}
          {whole(text.length)} characters
        </span>
      </header>
      <div class="body">
        {visit.query.has("result")
          ? (
            <>
              <Json id="result-text" label="Result">{text.slice(0, SHOWN)}</Json>
              {text.length > SHOWN && (
                <p class="small muted">… {whole(text.length - SHOWN)} characters more</p>
              )}
            </>
          )
          : <a class="button" href={`?${query}#result`}>Show the result</a>}
      </div>
    </section>
  );
};

/** The page of a task that is gone from the queue. */
export function taskPage(
  visit: Visit,
  { queue: { name, kind }, record, now }: {
    queue: RegisteredQueue;
    record: TaskRecord;
    now: number;
  },
): Page {
  const { id, state, error } = record;
  return {
    title: `Task ${id}`,
    at: "/",
    rest: (
      <>
        <p class="crumbs">
          <a href="/">Queues</a> /{" "}
          <a href={pathOf("queues", name)}>
            <Text width={60}>{name}</Text>
          </a>
        </p>
        <div class="head">
          <div>
            <h1 class="mono">
              <Text width={120}>{id}</Text>
            </h1>
            <p>
              <b>
                <Text width={60}>{record.type}</Text>
              </b>{" "}
              <State state={state} /> <When at={record.changedAt} now={now} />
            </p>
          </div>
        </div>
        <div class="columns">
          <div class="stack">
            <RecordCard record={record} visit={visit} now={now} />
            {error?.stack && (
              <section class="card">
                <header>
                  <h2>Last error</h2>
                </header>
                <div class="body">
                  <pre class="bad">{inert(error.stack, { lines: true })}</pre>
                </div>
              </section>
            )}
          </div>
          <div class="stack">
            <section class="card keys">
              <header>
                <h2>In Redis</h2>
              </header>
              <div class="body">
                <ul class="plain">
                  {keysOfMessage({ name, kind, state: placeOf(record), id }).map((
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
          </div>
        </div>
      </>
    ),
  };
}

/** The tasks to which something happened last, as they are now. */
export const RecentTasks: FC<{
  queue: string;
  records: readonly TaskRecord[] | undefined;
  now: number;
}> = ({ queue, records, now }) => (
  <section class="card">
    <header>
      <h2>Lately</h2>
      <span class="muted small">tasks to which something happened last</span>
    </header>
    {!records || records.length === 0
      ? (
        <Empty title={records ? "Nothing has happened yet" : "Nobody tells"}>
          <p>
            {records
              ? "What is added, started, done or given up is here."
              : "The queue keeps no events: its programs have maxEvents: 0."}
          </p>
        </Empty>
      )
      : (
        <div class="scroll" tabindex={0} role="region" aria-label="Tasks">
          <table>
            <thead>
              <tr>
                <th>Task</th>
                <th>State</th>
                <th class="wide">Progress or error</th>
                <th class="num wide">Attempt</th>
                <th>When</th>
              </tr>
            </thead>
            <tbody>
              {records.map((record) => (
                <tr key={record.id} data-row="">
                  <td class="name">
                    <a class="id" href={pathOf("queues", queue, "messages", record.id)}>
                      <Text width={60}>{record.id}</Text>
                    </a>
                    <div class="muted small">
                      <Text width={60}>{record.type}</Text>
                    </div>
                  </td>
                  <td>
                    <State state={record.state} />
                  </td>
                  <td class="wide small">
                    {record.error || record.reason
                      ? (
                        <span class="bad">
                          <Text width={90}>
                            {(record.error?.message ?? record.reason ?? "").split("\n")[0]!}
                          </Text>
                        </span>
                      )
                      : <Progress record={record} />}
                  </td>
                  <td class="num wide">{whole(record.attempts)}</td>
                  <td class="small nowrap">
                    <When at={record.changedAt} now={now} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
  </section>
);
