/**
 * A look at Redis, drawn as lines of text for a terminal: each structure with what waits in it, who has
 * what in hand, what is dead. Pure: a look in, lines out, none wider than it is told.
 *
 * @module
 */
import { fit, paint, type Style } from "./example_stage.ts";
import type { Card } from "./watch/card.ts";
import { cardOf } from "./watch/card.ts";
import type { Belt, Dead, Hand, Ladder, Look, Ribbon } from "./watch/look.ts";

/** How wide the left column is: what a thing is, and its name. */
const KIND = 8;
const NAME = 34;
const COLOURS: Style[] = ["cyan", "magenta", "green", "blue", "yellow", "red"];

/** The name of who holds it, where that is known; with a cross if it is dead. */
type NameOfHand = (hand: Hand) => string | undefined;

/** The lines. An empty Redis is one line, too. */
export function picture(look: Look, width: number, nameOf?: NameOfHand): string[] {
  const room = Math.max(20, width - KIND - NAME - 2);
  const lines = [
    ...look.structures.flatMap((each) => {
      switch (each.kind) {
        case "list":
          return belt(each, room);
        case "zset":
          return ladder(each, look.now, room);
        case "stream":
          return ribbon(each, room);
      }
    }),
    // Who is gone is named in Redis for half a minute more: of interest only with something in hand.
    ...look.hands.filter((hand) => hand.cards.length > 0 || /^[^✝]+$/.test(nameOf?.(hand) ?? ""))
      .map((hand) => inHand(hand, { now: look.now, room, nameOf })),
    ...look.dead.map((dead) => deadLetters(dead, room)),
    ...[...look.listeners].map(([channel, count]) =>
      row("PUB/SUB", channel, count === 0 ? "nobody listens" : `heard by ${count}`)
    ),
  ];
  const shown = lines.length > 0 ? lines : [paint("dim", "nothing is in Redis")];
  return shown.map((line) => fit(line, width).trimEnd());
}

function row(kind: string, name: string, rest: string): string {
  return `${paint("bold", kind.padEnd(KIND))}${fit(name, NAME)}  ${rest}`;
}

function show(card: Card): string {
  const again = card.attempts > 0 ? paint("dim", ` ×${card.attempts + 1}`) : "";
  return paint(COLOURS[card.hue]!, card.label) + again;
}

/** As many cards as there is room for, those at the end that counts first. */
function cards(
  all: Card[],
  size: number,
  { room, from }: { room: number; from: "left" | "right" },
) {
  const shown: string[] = [];
  let left = room - 14; // for "… 12 more" and the arrow
  for (const card of from === "left" ? all : all.toReversed()) {
    left -= card.label.length + 6;
    if (left < 0 && shown.length > 0) break;
    shown.push(`│ ${show(card)} `);
  }
  const more = size - shown.length;
  if (from === "left") return { text: shown.join("") + "│", more };
  return { text: `${shown.toReversed().join("")}│`, more };
}

function belt({ key, size, entries }: Belt, room: number): string[] {
  const { text, more } = cards(entries.map(cardOf), size, { room, from: "right" });
  return [row("LIST", key, `${more > 0 ? paint("dim", `${more} more `) : ""}${text}─► next`)];
}

function ladder({ key, size, rungs, byTime }: Ladder, now: number, room: number): string[] {
  if (!byTime) {
    const { text, more } = cards(rungs.map(({ card }) => card), size, { room, from: "left" });
    return [row("ZSET", key, `next ◄─${text}${more > 0 ? paint("dim", ` ${more} more`) : ""}`)];
  }
  const shown = rungs.slice(0, 4).map(({ card, score }, i) => {
    const inMs = score - now;
    const when = inMs <= 0 ? paint("green", "due now") : `in ${(inMs / 1_000).toFixed(1)} s`;
    return row(i === 0 ? "ZSET" : "", i === 0 ? key : "", `${fit(when, 10)} ${show(card)}`);
  });
  if (size > shown.length) shown.push(row("", "", paint("dim", `${size - shown.length} more`)));
  return shown;
}

function ribbon({ key, size, entries, groups }: Ribbon, room: number): string[] {
  const { text, more } = cards(entries.map(({ card }) => card), size, { room, from: "right" });
  const stream = row("STREAM", key, `${more > 0 ? paint("dim", `${more} more `) : ""}${text} new`);
  return [
    stream,
    ...groups.flatMap(({ name, at, trays }) => [
      row("", `  group ${name}`, paint("dim", `has handed out up to ${at}`)),
      ...trays.filter(({ count }) => count > 0).map(({ consumer, count }) =>
        row("", `    ${consumer}`, `${count} delivered, not acknowledged`)
      ),
    ]),
  ];
}

function inHand(
  hand: Hand,
  { now, room, nameOf }: { now: number; room: number; nameOf?: NameOfHand },
): string {
  const left = hand.leaseEndsAt === undefined ? undefined : Math.round(hand.leaseEndsAt - now);
  const lease = left === undefined
    ? ""
    : left > 0
    ? paint("dim", ` lease: ${left} ms`)
    : paint("red", " lease is over");
  const { text } = cards(hand.cards, hand.cards.length, { room: room - 16, from: "left" });
  const what = hand.cards.length > 0 ? text + lease : paint("dim", "nothing in hand");
  return row("IN HAND", `  ${nameOf?.(hand) ?? hand.consumer}`, what);
}

function deadLetters({ queue, size, cards: all }: Dead, room: number): string {
  const { text } = cards(all, size, { room, from: "left" });
  return row("DEAD", queue, `${paint("red", `${size}`)} ${text}`);
}
