/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/**
 * The live screen as it is drawn. Everything that is shown comes from the {@linkcode Screen}; everything that
 * somebody else wrote goes through `inert`.
 *
 * @module
 */
import { Box, Text, useInput, useWindowSize } from "ink";
// @ts-types="@types/react"
import { type JSX, type ReactNode, useSyncExternalStore } from "react";
import { wantsColours } from "./cli_print.ts";
import {
  inert,
  instant,
  payloadText,
  rate,
  shares,
  shortCount,
  shortDuration,
  sparkline,
  whole,
} from "./format.ts";
import type { TaskRecord } from "@workshop/redis-patterns/tasks";
import { describe, taskText } from "./message_text.ts";
import type { QueueSnapshot } from "./snapshot.ts";
import { type Row, type Screen, selectionText } from "./terminal_screen.ts";
import { type Tab, TABS } from "./terminal_feed.ts";

/** Ink colours whatever NO_COLOR says. */
const COLOURS = wantsColours();
const tint = (colour: string) => COLOURS ? { color: colour } : {};

/** Each state has its colour and, for those who see none, its pattern. */
const STATES = [
  { state: "ready", colour: "cyan", fill: "█" },
  { state: "leased", colour: "yellow", fill: "▓" },
  { state: "delayed", colour: "gray", fill: "░" },
  { state: "dead", colour: "red", fill: "▒" },
] as const;

/** A message that is not done for longer is worth a colour. */
const OLD_MS = 60_000;

/** Lines that are no rows: title, head of the table, two at the bottom, and one that stays free. */
const FRAME_LINES = 5;

/** The whole screen. */
export function App({ screen, address }: { screen: Screen; address: string }): JSX.Element {
  useSyncExternalStore(screen.subscribe, screen.version);
  const { columns, rows } = useWindowSize();
  const width = Math.max(20, columns);
  screen.room = Math.max(1, rows - FRAME_LINES);
  useInput((input, key) => screen.press(input, key));
  return (
    // One line less than there is: a full one makes the terminal scroll.
    <Box flexDirection="column" width={width} height={Math.max(FRAME_LINES + 1, rows) - 1}>
      <Title screen={screen} address={address} />
      <Box flexDirection="column" flexGrow={1} overflow="hidden">
        <Body screen={screen} width={width} />
      </Box>
      <Footer screen={screen} />
    </Box>
  );
}

function Line({ children }: { children: ReactNode }): JSX.Element {
  return <Text wrap="truncate">{children}</Text>;
}

function Title({ screen, address }: { screen: Screen; address: string }): JSX.Element {
  const { page, known: { snapshot, trouble }, readOnly } = screen;
  if (trouble) {
    return (
      <Line>
        <Text bold inverse {...tint("red")}>{trouble.away ? " Redis is away " : " trouble "}</Text>
        {` ${inert(trouble.text)}`}
      </Line>
    );
  }
  const where = page.kind === "queues" ? "queues" : inert(page.queue);
  return (
    <Line>
      <Text bold>{where}</Text>
      <Text dimColor>
        {` · ${address}${snapshot ? ` · ${instant(snapshot.at).slice(11)}` : " · connecting …"}`}
        {readOnly ? " · read-only" : ""}
      </Text>
      <Text bold {...tint("yellow")}>{screen.queue?.counts.paused ? " · paused" : ""}</Text>
    </Line>
  );
}

function Body({ screen, width }: { screen: Screen; width: number }): JSX.Element {
  if (screen.help) return <Help />;
  const { page } = screen;
  if (page.kind === "message") return <Message screen={screen} width={width} />;
  return page.kind === "queues"
    ? <Queues screen={screen} width={width} />
    : <Queue screen={screen} tab={page.tab} width={width} />;
}

/** Rows from the one at the top on, so that the cursor is among them. */
function windowOf(screen: Screen, rows: readonly Row[], room: number) {
  const cursor = screen.cursor(rows);
  const top = Math.max(0, Math.min(cursor - Math.floor(room / 2), rows.length - room));
  return { cursor, top, shown: rows.slice(top, top + room) };
}

/** What stands in front of a row: whether the cursor is on it, and whether it is chosen. */
function markOf(screen: Screen, row: Row, here: boolean): string {
  const chosen = (screen.all && !("holder" in row)) || screen.selected.has(row.key);
  return `${here ? "›" : " "}${chosen ? "x" : " "}`;
}

/** One cell of a table. */
function Cell(
  { width, right, grow, children, colour, bold, dim, inverse }: {
    width?: number;
    right?: boolean;
    grow?: boolean;
    children?: ReactNode;
    colour?: string;
    bold?: boolean;
    dim?: boolean;
    inverse?: boolean;
  },
): JSX.Element {
  return (
    <Box
      width={width}
      flexGrow={grow ? 1 : 0}
      flexShrink={grow ? 1 : 0}
      marginRight={1}
      justifyContent={right ? "flex-end" : "flex-start"}
    >
      <Text
        wrap="truncate"
        bold={bold}
        dimColor={dim}
        inverse={inverse}
        {...colour ? tint(colour) : {}}
      >
        {children}
      </Text>
    </Box>
  );
}

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
    p95: width >= 78,
  };
}

function Queues({ screen, width }: { screen: Screen; width: number }): JSX.Element {
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

function Queue(
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
            {!screen.loaded ? "  …" : screen.filter ? "  nothing matches" : "  nothing"}
          </Text>
        </Line>
      )}
    </>
  );
}

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

function Message({ screen, width }: { screen: Screen; width: number }): JSX.Element | null {
  const { page, known } = screen;
  if (page.kind !== "message") return null;
  const lines = describe(page.record, known.snapshot?.at ?? Date.now())
    .split("\n").flatMap((line) => folded(line, width - 1));
  const top = Math.max(0, Math.min(screen.scrolled, lines.length - screen.room));
  return (
    <>
      {lines.slice(top, top + screen.room).map((line, i) => <Line key={top + i}>{line || " "}
      </Line>)}
    </>
  );
}

/** A long line on several; those with colours are short. */
function folded(line: string, width: number): string[] {
  const chars = [...line];
  if (chars.length <= width || line.includes("\x1b")) return [line];
  const lines: string[] = [];
  for (let i = 0; i < chars.length; i += width) lines.push(chars.slice(i, i + width).join(""));
  return lines;
}

const KEYS: readonly (readonly [keys: string, does: string])[] = [
  ["j k ↓ ↑", "down, up; PgDn PgUp a page; g G first, last"],
  ["Enter", "open a queue, a message"],
  ["Esc", "back; takes a selection or a filter away first; ends what goes on"],
  ["1 2 3 4", "dead, delayed, leased, workers; also Tab, h, l"],
  ["/", "only what has this text in it: a name; an id, an error, a payload"],
  ["x", "select; A all that match, also those that are not shown"],
  ["R", "redrive dead letters; asks first"],
  ["D", "remove messages for good; asks first"],
  ["P", "pause a queue, or a worker on its page; or resume it; asks first"],
  ["q", "quit; also Ctrl-C"],
];

function Help(): JSX.Element {
  return (
    <>
      <Line>
        <Text bold>Keys</Text>
      </Line>
      {KEYS.map(([keys, does]) => (
        <Line key={keys}>
          <Text bold>{`  ${keys.padEnd(9)}`}</Text>
          {does}
        </Line>
      ))}
      <Line>
        <Text dimColor>
          Oldest: the age of the oldest message that is ready or in hand. Any key goes on.
        </Text>
      </Line>
    </>
  );
}

/** Two lines: what is asked, goes on or was done; and the keys. */
function Footer({ screen }: { screen: Screen }): JSX.Element {
  const { page, readOnly } = screen;
  const change = readOnly ? "" : [
    (page.kind === "queues" || page.tab === "dead") && "R redrive  ",
    (page.kind === "queues" || page.tab !== "workers") && "D remove  ",
    page.kind !== "message" && "P pause  ",
  ].filter(Boolean).join("");
  return (
    <>
      <Status screen={screen} />
      <Line>
        <Text dimColor>
          {page.kind === "message"
            ? `Esc back  j k scroll  ${change}? keys  q quit`
            : page.kind === "queue" && page.tab === "workers"
            ? `Esc back  j k move  ${change}? keys  q quit`
            : `j k move  Enter open  / filter  x select  A all  ${change}? keys  q quit`}
        </Text>
      </Line>
    </>
  );
}

function Status({ screen }: { screen: Screen }): JSX.Element {
  const { plan, job, notice, typing, filter } = screen;
  if (plan) {
    return (
      <Line>
        <Text bold {...tint("yellow")}>{`${plan.question} `}</Text>
        <Text bold>y/n</Text>
      </Line>
    );
  }
  if (job) {
    const full = job.total > 0 ? Math.round(20 * Math.min(1, job.done / job.total)) : 0;
    return (
      <Line>
        {job.total > 0
          ? `${"█".repeat(full)}${"░".repeat(20 - full)} ${whole(job.done)} of ${
            whole(job.total)
          }  Esc ends it`
          : job.question}
      </Line>
    );
  }
  if (typing) {
    return (
      <Line>
        <Text bold>{`/${filter}▏`}</Text>
        <Text dimColor>Enter keeps it, Esc takes it away</Text>
      </Line>
    );
  }
  if (notice) {
    return (
      <Line>
        <Text {...tint(notice.good ? "green" : "red")}>{inert(notice.text)}</Text>
      </Line>
    );
  }
  const said = [
    filter && `filter: ${filter}`,
    selectionText(screen),
    screen.known.page?.more && "more than shown",
  ];
  return (
    <Line>
      <Text {...tint("cyan")}>{said.filter(Boolean).join(" · ") || " "}</Text>
    </Line>
  );
}
