/** @jsxImportSource hono/jsx */
/**
 * Messages of one state in a table, with the buttons that do something with those that are selected, or with all.
 *
 * @module
 */
import type { RegisteredQueue, Waiting } from "@workshop/redis-patterns";
import type { FC } from "hono/jsx";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import { whole } from "../../format.ts";
import { taskName } from "../../message_text.ts";
import { behind, type State } from "../commands.ts";
import { shortReason } from "../groups.ts";
import type { Visit } from "../layout.tsx";
import type { Verb } from "../operations.ts";
import { Change, pathOf, Text, tooltip, When, withQuery } from "../parts.tsx";
import { errorOf } from "../search.ts";
import { Progress } from "./task.tsx";

/** A message, and the cursor of the page that it was found on. */
export type Listed = Waiting<unknown> & { from: string };

/** What buttons there are for messages of a state: on those that are selected, and on all that fit. */
const BUTTONS: Record<
  State,
  readonly [verb: Verb, words: string, scopes: readonly ("selected" | "matching")[]][]
> = {
  ready: [["delete", "Delete", ["selected"]], ["purge", "Purge", ["matching"]]],
  leased: [["give back", "Give back", ["selected", "matching"]], ["bury", "Bury", ["selected"]]],
  delayed: [["delete", "Delete", ["selected"]], ["purge", "Purge", ["matching"]]],
  dead: [["redrive", "Redrive", ["selected", "matching"]], ["delete", "Delete", [
    "selected",
    "matching",
  ]]],
  completed: [["purge", "Purge", ["matching"]]],
  failed: [["purge", "Purge", ["matching"]]],
};

/** See the module. */
export const MessagesTable: FC<{
  queue: RegisteredQueue;
  state: State;
  messages: readonly Listed[];
  records: ReadonlyMap<string, TaskRecord> | undefined;
  visit: Visit;
  query: string;
  now: number;
  inAll: number | undefined;
}> = ({ queue: { name, kind }, state, messages, records, visit, query, now, inAll }) => {
  const path = pathOf("queues", name);
  const buttons = visit.readOnly ? [] : BUTTONS[state];
  const selects = buttons.some(([, , scopes]) => scopes.includes("selected"));
  const isDanger = (verb: Verb) => verb === "delete" || verb === "purge" || verb === "bury";
  const title = (verb: Verb) => tooltip(behind({ name, kind, state, verb }));
  const table = (
    <div class="scroll" tabindex={0} role="region" aria-label="Messages">
      <table class="rows">
        <thead>
          <tr>
            {selects && (
              <th class="check">
                <input
                  type="checkbox"
                  class="only-js"
                  data-every=""
                  aria-label="Select all on this page"
                />
              </th>
            )}
            <th>{kind === "tasks" ? "Task" : "Message"}</th>
            {records && records.size > 0 && <th>Progress</th>}
            {(state === "dead" || state === "failed") && <th>Error</th>}
            {(state === "leased" || state === "completed") && <th>Worker</th>}
            {(state === "ready" || state === "delayed") && <th class="wide">Last error</th>}
            {kind === "priority" && <th class="num wide">Priority</th>}
            <th class="num">{state === "leased" ? "Attempt" : "Tried"}</th>
            <th class="wide num">Bytes</th>
            <th>
              {{
                ready: "Enqueued",
                leased: "Lease ends",
                delayed: "Due",
                dead: "Died",
                completed: "Done",
                failed: "Failed",
              }[state]}
            </th>
          </tr>
        </thead>
        <tbody>
          {messages.map((message) => (
            <tr data-row="">
              {selects && (
                <td class="check">
                  <input
                    type="checkbox"
                    name="id"
                    value={message.id}
                    aria-label={`Select ${message.id}`}
                  />
                </td>
              )}
              <td class="name">
                {message.id === "" ? <span class="muted">no message of this library</span> : (
                  <a
                    class="id"
                    href={withQuery(`${path}/${pathOf("messages", message.id).slice(1)}`, {
                      state,
                      at: message.from,
                    })}
                  >
                    <Text width={80}>{message.id}</Text>
                  </a>
                )}
                {kind === "tasks" && <TaskName message={message} />}
              </td>
              {records && records.size > 0 && (
                <td class="small">
                  <Progress record={records.get(message.id)} />
                </td>
              )}
              {(state === "dead" || state === "failed") && (
                <td class="error why small">
                  <Text width={160}>{shortReason(errorOf(message))}</Text>
                </td>
              )}
              {(state === "leased" || state === "completed") && (
                <td class="why small mono">
                  <Text width={30}>{message.consumer ?? ""}</Text>
                </td>
              )}
              {(state === "ready" || state === "delayed") && (
                <td class="wide small muted">
                  <Text width={90}>{shortReason(errorOf(message))}</Text>
                </td>
              )}
              {kind === "priority" && <td class="num wide">{message.priority}</td>}
              <td class="num tried">
                {whole(state === "leased" ? message.attempts + 1 : message.attempts)}
              </td>
              <td class="wide num muted">{whole(message.bytes)}</td>
              <td class="small when">
                <When at={instantOf(state, message)} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
  if (buttons.length === 0) return <div class="card">{table}</div>;
  const all = query ? "all that fit" : inAll === undefined ? "all" : `all ${whole(inAll)}`;
  return (
    <Change action={`${path}/plan`} token={visit.formToken} class="card">
      <input type="hidden" name="state" value={state} />
      <input type="hidden" name="q" value={query} />
      <div class="bulk">
        {/* A purge knows no search. */}
        {buttons.flatMap(([verb, words, scopes]) =>
          scopes.filter((scope) => scope === "selected" || !(query && verb === "purge")).map((
            scope,
          ) => (
            <button
              type="submit"
              name="act"
              value={`${verb}:${scope}`}
              class={isDanger(verb) ? "danger" : undefined}
              data-selected={scope === "selected" ? "" : undefined}
              title={title(verb)}
            >
              {scope === "selected"
                ? (
                  <>
                    {words} selected<output></output>
                  </>
                )
                : `${words} ${all} …`}
            </button>
          ))
        )}
      </div>
      {table}
    </Change>
  );
};

const TaskName: FC<{ message: Waiting<unknown> }> = ({ message }) => (
  <div class="muted small">
    <Text width={60}>{taskName(message) ?? ""}</Text>
  </div>
);

function instantOf(state: State, message: Waiting<unknown>): number {
  switch (state) {
    case "leased":
      return message.leaseExpiresAt ?? 0;
    case "delayed":
      return message.dueAt ?? 0;
    case "dead":
      return message.deadAt ?? 0;
    case "completed":
    case "failed":
      return message.finishedAt ?? 0;
    default:
      return message.enqueuedAt;
  }
}
