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
import { type JSX, useSyncExternalStore } from "react";
import { inert, instant, whole } from "./format.ts";
import { describe } from "./message_text.ts";
import { type Screen, selectionText } from "./terminal_screen.ts";
import { Line, tint } from "./terminal_cells.tsx";
import { Queues } from "./terminal_queues.tsx";
import { Queue } from "./terminal_queue.tsx";

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

/** In front: a narrow terminal cuts the end. */
const ALWAYS = "? keys  q quit  ";

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
            ? `${ALWAYS}Esc back  j k scroll  ${change}`
            : page.kind === "queue" && page.tab === "workers"
            ? `${ALWAYS}Esc back  j k move  ${change}`
            : `${ALWAYS}j k move  Enter open  / filter  x select  A all  ${change}`}
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
