/** @jsxImportSource react */
/** @jsxImportSourceTypes @types/react */
/**
 * What the tables of the live screen are made of: colours, cells, and which rows are in sight.
 *
 * @module
 */
import { Box, Text } from "ink";
// @ts-types="@types/react"
import type { JSX, ReactNode } from "react";
import { wantsColours } from "./cli_print.ts";
import type { Row, Screen } from "./terminal_screen.ts";

/** Ink colours whatever NO_COLOR says. */
const COLOURS = wantsColours();

/** A colour, where colours are wanted. */
export const tint = (colour: string) => COLOURS ? { color: colour } : {};

/** Each state has its colour and, for those who see none, its pattern. */
export const STATES = [
  { state: "ready", colour: "cyan", fill: "█" },
  { state: "leased", colour: "yellow", fill: "▓" },
  { state: "delayed", colour: "gray", fill: "░" },
  { state: "dead", colour: "red", fill: "▒" },
] as const;

/** A message that is not done for longer is worth a colour. */
export const OLD_MS = 60_000;

/** A line of text, cut at the edge. */
export function Line({ children }: { children: ReactNode }): JSX.Element {
  return <Text wrap="truncate">{children}</Text>;
}

/** One cell of a table. */
export function Cell(
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

/** Rows from the one at the top on, so that the cursor is among them. */
export function windowOf(screen: Screen, rows: readonly Row[], room: number) {
  const cursor = screen.cursor(rows);
  const top = Math.max(0, Math.min(cursor - Math.floor(room / 2), rows.length - room));
  return { cursor, top, shown: rows.slice(top, top + room) };
}

/** What stands in front of a row: whether the cursor is on it, and whether it is chosen. */
export function markOf(screen: Screen, row: Row, here: boolean): string {
  const chosen = (screen.all && !("holder" in row)) || screen.selected.has(row.key);
  return `${here ? "›" : " "}${chosen ? "x" : " "}`;
}
