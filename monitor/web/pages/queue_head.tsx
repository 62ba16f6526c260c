/** @jsxImportSource hono/jsx */
/**
 * What all pages of a queue have on top: its name, its pages, and whether it is paused.
 *
 * @module
 */
import type { Child, FC } from "hono/jsx";
import type { Counts, RegisteredQueue } from "@workshop/redis-patterns";
import { whole } from "../../format.ts";
import { behindPause } from "../commands.ts";
import type { Visit } from "../layout.tsx";
import { Badges, Change, pathOf, STATES, Text, withQuery } from "../parts.tsx";

/** Which page of a queue one is on. */
export type Tab = "" | "errors" | "ready" | "leased" | "delayed" | "dead" | "completed" | "failed";

/** See the module. */
export const QueueHead: FC<{
  queue: RegisteredQueue;
  counts: Counts;
  visit: Visit;
  tab: Tab;
  idle?: string | undefined;
  children?: Child;
}> = ({ queue: { name, kind }, counts, visit, tab, idle, children }) => {
  const path = pathOf("queues", name);
  const how = counts.paused ? "resume" : "pause";
  const { call, redis } = behindPause(name, how);
  const link = (to: Tab, words: string, n?: number) => (
    <a
      href={to === "" || to === "errors"
        ? `${path}${to && `/${to}`}`
        : withQuery(`${path}/messages`, { state: to })}
      aria-current={tab === to ? "page" : undefined}
    >
      {words}
      {n !== undefined && <b>{whole(n)}</b>}
    </a>
  );
  return (
    <>
      <p class="crumbs">
        <a href="/">Queues</a>
      </p>
      <div class="head">
        <div>
          <h1>
            <Text>{name}</Text> <Badges kind={kind} paused={counts.paused} idle={idle} />
          </h1>
          {children}
        </div>
        {!visit.readOnly && (
          <Change action={`${path}/${how}`} token={visit.formToken}>
            <button type="submit" title={`${call}\n${redis.join("\n")}`}>
              {counts.paused ? "Resume" : "Pause"}
            </button>
          </Change>
        )}
      </div>
      <nav class="tabs" aria-label="Queue">
        {link("", "Overview")}
        {STATES.map(([state, words]) => link(state, words, counts[state]))}
        {link("errors", "Errors")}
        {link("completed", "Completed")}
        {link("failed", "Failed")}
      </nav>
    </>
  );
};
