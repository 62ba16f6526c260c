/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/**
 * The page of one queue on the live screen: its messages by state, its workers.
 *
 * @module
 */
import { Box, Text } from "ink";
// @ts-types="@types/react"
import type { JSX } from "react";
import { inert, payloadText, shortCount, shortDuration, whole } from "./format.ts";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import { taskText } from "./message_text.ts";
import type { Row, Screen } from "./terminal_screen.ts";
import { type Tab, TABS } from "./terminal_feed.ts";
import { Cell, Line, markOf, OLD_MS, windowOf } from "./terminal_cells.tsx";

/** The tabs of a queue, and the rows of the one that is open. */
export function Queue(
  { screen, tab, width }: { screen: Screen; tab: Tab; width: number },
): JSX.Element {
  const { queue } = screen;
  const rows = screen.rows;
  const { cursor, top, shown } = windowOf(screen, rows, screen.room - 1);
  const now = screen.known.snapshot?.at ?? 0;
  const total: Record<Tab, number> = {
    dead: queue?.counts.dead ?? 0,
    delayed: queue?.counts.delayed ?? 0,
    leased: queue?.counts.leased ?? 0,
    workers: queue?.consumers.length ?? 0,
  };
  return (
    <>
      <Line>
        {TABS.map((name, i) => (
          <Text key={name} bold={name === tab} inverse={name === tab}>
            {` ${i + 1} ${name} ${whole(total[name])} `}
          </Text>
        ))}
        <Text dimColor>{queue ? `  ready ${whole(queue.counts.ready)}` : ""}</Text>
      </Line>
      <Head tab={tab} width={width} isTasks={queue?.kind === "tasks"} />
      {shown.map((row, i) => {
        const here = top + i === cursor;
        return (
          <Box key={row.key}>
            <Cell width={2} bold>{markOf(screen, row, here)}</Cell>
            {"message" in row && (
              <MessageCells
                row={row}
                kind={queue?.kind}
                task={screen.known.page?.tasks.get(row.message.id)}
                tab={tab}
                now={now}
                here={here}
                width={width}
              />
            )}
            {"holder" in row && <ConsumerCells row={row} here={here} width={width} />}
          </Box>
        );
      })}
      {rows.length === 0 && (
        <Line>
          <Text dimColor>
            {!screen.loaded ? "  …" : screen.filter ? "  nothing matches" : `  ${NOTHING[tab]}`}
          </Text>
        </Line>
      )}
    </>
  );
}

/** What stands there instead of rows. */
const NOTHING: Record<Tab, string> = {
  dead: "nothing has died",
  delayed: "nothing waits for its time",
  leased: "nobody has anything in hand",
  workers: "nobody works, and nobody has anything in hand",
};

const WHEN: Record<Tab, string> = { dead: "died", delayed: "due in", leased: "age", workers: "" };

/** How wide ids are shown; our own have 19 to 25 characters. */
const ID_WIDTH = 25;

function Head(
  { tab, width, isTasks }: { tab: Tab; width: number; isTasks: boolean },
): JSX.Element {
  if (tab === "workers") {
    return (
      <Box>
        <Cell width={2} />
        <Cell width={14} dim>consumer</Cell>
        <Cell width={6} right dim>holds</Cell>
        <Cell width={7} right dim>oldest</Cell>
        <Cell width={9} right dim>seen</Cell>
        <Cell width={8} dim>takes</Cell>
        <Cell width={5} right dim>up</Cell>
        <Cell width={8} right dim>pid</Cell>
        <Cell width={9} dim>mode</Cell>
        <Cell grow dim>host</Cell>
      </Box>
    );
  }
  return (
    <Box>
      <Cell width={2} />
      <Cell width={ID_WIDTH} dim>id</Cell>
      <Cell width={8} right dim>{WHEN[tab]}</Cell>
      <Cell width={7} right dim>{tab === "leased" ? "attempt" : "tried"}</Cell>
      {tab === "leased" && width >= 90 && <Cell width={12} dim>consumer</Cell>}
      <Cell grow dim>{tab === "dead" ? "reason" : isTasks ? "task" : "payload"}</Cell>
    </Box>
  );
}

function MessageCells(
  { row: { message }, kind, task, tab, now, here, width }: {
    row: Extract<Row, { message: unknown }>;
    kind: string | undefined;
    task: TaskRecord | undefined;
    tab: Tab;
    now: number;
    here: boolean;
    width: number;
  },
): JSX.Element {
  const { id, attempts, deadAt = 0, dueAt = 0, readyAt, consumer = "", reason = "" } = message;
  const when = tab === "dead" ? now - deadAt : tab === "delayed" ? dueAt - now : now - readyAt;
  const text = tab === "dead"
    ? reason
    : kind === "tasks"
    ? taskText(message, task)
    : payloadText(message);
  return (
    <>
      <Cell width={ID_WIDTH} bold={here} inverse={here}>{inert(id) || "(foreign entry)"}</Cell>
      <Cell width={8} right>
        {tab === "delayed" && when <= 0 ? "due" : shortDuration(Math.max(0, when))}
      </Cell>
      <Cell width={7} right>{String(tab === "leased" ? attempts + 1 : attempts)}</Cell>
      {tab === "leased" && width >= 90 && <Cell width={12}>{inert(consumer)}</Cell>}
      <Cell grow colour={tab === "dead" ? "red" : undefined}>
        {inert(text.slice(0, 2 * width)) || " "}
      </Cell>
    </>
  );
}

function ConsumerCells(
  { row: { holder }, here }: {
    row: Extract<Row, { holder: unknown }>;
    here: boolean;
    width: number;
  },
): JSX.Element {
  const { consumer, holds, oldestMs, info } = holder;
  return (
    <>
      <Cell width={14} bold={here} inverse={here}>{inert(consumer)}</Cell>
      <Cell width={6} right>{shortCount(holds)}</Cell>
      <Cell width={7} right colour={(oldestMs ?? 0) > OLD_MS ? "yellow" : undefined}>
        {oldestMs === undefined ? "-" : shortDuration(oldestMs)}
      </Cell>
      <Cell width={9} right colour={info ? undefined : "red"}>
        {info ? `${shortDuration(info.seenMs)} ago` : "silent"}
      </Cell>
      <Cell width={8} colour={info?.paused ? "yellow" : undefined}>
        {info ? info.paused ? "paused" : "yes" : ""}
      </Cell>
      <Cell width={5} right>
        {info ? shortDuration(Math.max(0, Date.now() - info.startedAt)) : ""}
      </Cell>
      <Cell width={8} right>{info ? String(info.pid) : ""}</Cell>
      <Cell width={9}>{info?.mode ?? ""}</Cell>
      <Cell grow>{inert(info?.host ?? "")}</Cell>
    </>
  );
}
