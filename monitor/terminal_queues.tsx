/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/**
 * The first page of the live screen: a line for each queue, as wide as there is room.
 *
 * @module
 */
import { Box, Text } from "ink";
// @ts-types="@types/react"
import type { JSX } from "react";
import { inert, rate, shares, shortCount, shortDuration, sparkline } from "./format.ts";
import type { QueueSnapshot } from "./snapshot.ts";
import type { Screen } from "./terminal_screen.ts";
import { Cell, Line, markOf, OLD_MS, STATES, tint, windowOf } from "./terminal_cells.tsx";

/** What there is room for. */
function columnsFor(width: number) {
  return {
    bar: width >= 120 ? 24 : width >= 98 ? 14 : 0,
    spark: width >= 142 ? 24 : width >= 110 ? 12 : 0,
    leased: width >= 40,
    dead: width >= 32,
    delayed: width >= 68,
    oldest: width >= 48,
    workers: width >= 56,
    rate: width >= 64,
    p95: width >= 90,
  };
}

/** The table of queues. */
export function Queues({ screen, width }: { screen: Screen; width: number }): JSX.Element {
  const rows = screen.rows;
  const { cursor, top, shown } = windowOf(screen, rows, screen.room);
  const { unreadable = [] } = screen.known.snapshot ?? {};
  const has = columnsFor(width);
  // Where there is a bar, the heads are its legend.
  const head = (i: number) => `${has.bar > 0 ? STATES[i]!.fill : ""}${STATES[i]!.state}`;
  return (
    <>
      <Box>
        <Cell width={2} />
        <Cell grow dim>queue</Cell>
        {has.bar > 0 && <Cell width={has.bar} dim>by state</Cell>}
        <Cell width={7} right dim>{head(0)}</Cell>
        {has.leased && <Cell width={7} right dim>{head(1)}</Cell>}
        {has.delayed && <Cell width={8} right dim>{head(2)}</Cell>}
        {has.dead && <Cell width={6} right dim>{head(3)}</Cell>}
        {has.oldest && <Cell width={7} right dim>oldest</Cell>}
        {has.rate && <Cell width={7} right dim>done/s</Cell>}
        {has.spark > 0 && <Cell width={has.spark} dim>until now</Cell>}
        {has.p95 && <Cell width={8} right dim>run p95</Cell>}
        {has.workers && <Cell width={7} right dim>workers</Cell>}
      </Box>
      {shown.map((row, i) =>
        "queue" in row && (
          <QueueRow
            key={row.key}
            screen={screen}
            queue={row.queue}
            mark={markOf(screen, row, top + i === cursor)}
            here={top + i === cursor}
            has={has}
          />
        )
      )}
      {rows.length === 0 && (
        <Line>
          <Text dimColor>
            {screen.loaded
              ? (screen.filter
                ? "  no queue has this in its name"
                : "  no queue has been used here yet")
              : "  …"}
          </Text>
        </Line>
      )}
      {unreadable.map(({ name, trouble }) => (
        <Line key={name}>
          <Text {...tint("red")}>{`  ${inert(name)}: ${inert(trouble)}`}</Text>
        </Line>
      ))}
    </>
  );
}

function QueueRow(
  { screen, queue, mark, here, has }: {
    screen: Screen;
    queue: QueueSnapshot;
    mark: string;
    here: boolean;
    has: ReturnType<typeof columnsFor>;
  },
): JSX.Element {
  const { counts, stats, consumers, oldestMs } = queue;
  const rates = screen.known.rates.get(queue.name) ?? [];
  const recent = rates.slice(-3);
  const done = recent.length > 0
    ? recent.reduce((sum, n) => sum + n, 0) / recent.length
    : stats.perSecond.acked;
  const alone = consumers.length === 0 && counts.ready > 0;
  return (
    <Box>
      <Cell width={2} bold>{mark}</Cell>
      <Cell grow bold={here} inverse={here}>
        {inert(queue.name)}
        {counts.paused ? " (paused)" : ""}
      </Cell>
      {has.bar > 0 && (
        <Box width={has.bar} marginRight={1}>
          <Bar queue={queue} width={has.bar} />
        </Box>
      )}
      <Cell width={7} right>{shortCount(counts.ready)}</Cell>
      {has.leased && <Cell width={7} right>{shortCount(counts.leased)}</Cell>}
      {has.delayed && <Cell width={8} right>{shortCount(counts.delayed)}</Cell>}
      {has.dead && (
        <Cell width={6} right colour={counts.dead > 0 ? "red" : undefined}>
          {shortCount(counts.dead)}
        </Cell>
      )}
      {has.oldest && (
        <Cell width={7} right colour={(oldestMs ?? 0) > OLD_MS ? "yellow" : undefined}>
          {oldestMs === undefined ? "-" : shortDuration(oldestMs)}
        </Cell>
      )}
      {has.rate && <Cell width={7} right>{rate(done)}</Cell>}
      {has.spark > 0 && (
        <Cell width={has.spark} colour="green">{sparkline(rates.slice(-has.spark)) || " "}</Cell>
      )}
      {has.p95 && <Cell width={8} right>{stats.runMs ? shortDuration(stats.runMs.p95) : "-"}</Cell>}
      {has.workers && (
        <Cell width={7} right colour={alone ? "red" : undefined} bold={alone}>
          {alone ? "none!" : String(consumers.length)}
        </Cell>
      )}
    </Box>
  );
}

/** Of all messages of a queue, how many are in which state. */
function Bar({ queue: { counts }, width }: { queue: QueueSnapshot; width: number }): JSX.Element {
  const columns = shares(STATES.map(({ state }) => counts[state]), width);
  return (
    <Text wrap="truncate">
      {STATES.map(({ state, colour, fill }, i) => (
        <Text key={state} {...tint(colour)}>{fill.repeat(columns[i]!)}</Text>
      ))}
    </Text>
  );
}
