/** @jsxImportSource hono/jsx */
/**
 * What there is in a scene, a picture each: cards, the keys that they lie in, channels, those who work, commands.
 *
 * @module
 */
// deno-lint-ignore-file jsx-key -- rendered to text once; the browser goes by ids
import type { Child, FC } from "hono/jsx";
import type { Box, Scene } from "./board.ts";
import { type Card, cardOf } from "./card.ts";
import type { Line } from "./command_log.ts";
import type { Belt, Ladder, Ribbon } from "./look.ts";

/** Names that were given to cards in one page: one name twice, and nothing would fly. */
export type Given = Set<string>;

/** A message. The first one of its name in a page is the one that flies. */
export const CardView: FC<
  { card: Card; given: Given; note?: string; class?: string; id?: string; isShadow?: boolean }
> = (
  { card, given, note, class: more, id = card.id, isShadow = false },
) => {
  const isFirst = !isShadow && !given.has(id);
  if (isFirst) given.add(id);
  return (
    <li
      class={`card hue${card.hue}${more ? ` ${more}` : ""}`}
      data-card={card.label}
      id={isFirst ? id : undefined}
      style={isFirst ? `view-transition-name:${id}` : undefined}
    >
      <span>{card.label}</span>
      {card.attempts > 0 && <b>attempt {card.attempts + 1}</b>}
      {note && <small>{note}</small>}
    </li>
  );
};

/** A key, and what is in it. */
export const Panel: FC<{ kind: string; name: string; count: number; of: string; children: Child }> =
  (
    { kind, name, count, of, children },
  ) => (
    <section
      class={`panel ${kind.toLowerCase()}`}
      data-kind={kind}
      data-key={name}
      id={idOf(kind, name)}
    >
      <h2>
        <i>{kind}</i>
        <code>{name}</code>
        <span class="count">
          <b>{count.toLocaleString("en")}</b> {of}
        </span>
      </h2>
      {children}
    </section>
  );

function idOf(kind: string, name: string): string {
  return `${kind}-${name}`.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}

/** How much there is, without cards. */
const Bar: FC<{ size: number }> = ({ size }) => (
  <div class="bar">
    <i style={`width:${Math.min(100, 12 * Math.log10(size + 1) ** 1.4).toFixed(1)}%`}></i>
    <b>{size.toLocaleString("en")}</b>
  </div>
);

/** A list: in on the left, out on the right. */
export const Conveyor: FC<{ belt: Belt; given: Given; isDense: boolean }> = (
  { belt, given, isDense },
) => {
  const cards = belt.entries.slice(-12).map(cardOf);
  const more = belt.size - cards.length;
  // The same payload twice is two cards.
  const seen = new Map<string, number>();
  const ids = cards.toReversed().map(({ id }) => {
    const n = (seen.get(id) ?? 0) + 1;
    seen.set(id, n);
    return n === 1 ? id : `${id}-${n}`;
  }).toReversed();
  return (
    <Panel kind="LIST" name={belt.key} count={belt.size} of={belt.size === 1 ? "entry" : "entries"}>
      {isDense ? <Bar size={belt.size} /> : (
        <div class="belt">
          <span class="end">in ▸</span>
          {more > 0 && <span class="more">{more} more</span>}
          <ol>
            {cards.map((card, i) => <CardView card={card} given={given} id={ids[i]} />)}
            {cards.length === 0 && <li class="nothing">empty</li>}
          </ol>
          <span class="end">▸ next</span>
        </div>
      )}
    </Panel>
  );
};

/** A sorted set: what has the lowest score is on top. */
export const LadderView: FC<{ ladder: Ladder; now: number; given: Given; isDense: boolean }> = (
  { ladder, now, given, isDense },
) => {
  const rungs = ladder.rungs.slice(0, 9);
  const due = ladder.byTime ? rungs.filter(({ score }) => score <= now).length : -1;
  const rows: Child[] = rungs.map(({ card, score }) => (
    <li class="rung" data-score={score}>
      <span class="score">{ladder.byTime ? when(score - now) : priority(score)}</span>
      <ol>
        <CardView card={card} given={given} />
      </ol>
    </li>
  ));
  if (due >= 0) {
    rows.splice(
      due,
      0,
      <li class="now" id="now" style="view-transition-name:now">
        <span>now</span>
      </li>,
    );
  }
  const more = ladder.size - rungs.length;
  return (
    <Panel
      kind="ZSET"
      name={ladder.key}
      count={ladder.size}
      of={ladder.byTime ? "by time" : "by score"}
    >
      {isDense ? <Bar size={ladder.size} /> : (
        <ol class="ladder">
          {rows}
          {rungs.length === 0 && <li class="nothing">empty</li>}
          {more > 0 && <li class="more">{more} more</li>}
        </ol>
      )}
    </Panel>
  );
};

function when(inMs: number): string {
  if (inMs <= 0) return "due";
  return inMs < 60_000 ? `in ${Math.ceil(inMs / 1_000)} s` : `in ${Math.ceil(inMs / 60_000)} min`;
}

/** A `PriorityQueue` has the order in the lower 42 bits of its score. */
function priority(score: number): string {
  const levels = score / 2 ** 42;
  return Math.abs(score) >= 2 ** 41 ? `priority ${Math.round(levels)}` : `${score}`;
}

/** A stream: what was read, and by whom, stays where it is. */
export const RibbonView: FC<
  { ribbon: Ribbon; readers: Scene["readers"]; given: Given; isDense: boolean }
> = ({ ribbon, readers, given, isDense }) => {
  const entries = ribbon.entries.slice(-10);
  const more = ribbon.size - entries.length;
  const cards = new Map(ribbon.entries.map(({ id, card }) => [id, card]));
  // What was handed out flies to a tray, and leaves its shadow in the ribbon.
  const handed = new Set(ribbon.groups.flatMap(({ trays }) => trays.flatMap(({ ids }) => ids)));
  const trays = ribbon.groups.flatMap((group) =>
    group.trays.map((tray) => (
      <div class="tray" data-consumer={tray.consumer}>
        <h3>
          <code>{tray.consumer}</code> <small>of {group.name}</small>
          <b>{tray.count} unacknowledged</b>
        </h3>
        {!isDense && (
          <ol>
            {tray.ids.map((id) => cards.get(id)).filter((card) => card !== undefined)
              .slice(0, 8).map((card) => <CardView card={card} given={given} />)}
            {tray.count === 0 && <li class="nothing">empty</li>}
          </ol>
        )}
      </div>
    ))
  );
  const cursors = [
    ...ribbon.groups.map(({ name, at }) => ({ name, at, isGroup: true })),
    ...readers.map(({ name, at }) => ({ name, at, isGroup: false })),
  ];
  return (
    <Panel kind="STREAM" name={ribbon.key} count={ribbon.size} of="entries">
      {isDense ? <Bar size={ribbon.size} /> : (
        <div class="ribbon">
          {more > 0 && <span class="more">{more} older</span>}
          <ol>
            {entries.map(({ id, card }, i) => {
              const here = cursors.filter(({ at }) =>
                compareIds(id, at) <= 0 &&
                (!entries[i + 1] || compareIds(entries[i + 1]!.id, at) > 0)
              );
              const read = ribbon.groups.some(({ at }) => compareIds(id, at) <= 0);
              return (
                <li class="link" data-entry={id}>
                  <ol>
                    <CardView
                      card={card}
                      given={given}
                      isShadow={handed.has(id)}
                      class={read ? "read" : undefined}
                    />
                  </ol>
                  <code>{id.replace(/^\d+(\d{5})-/, "…$1-")}</code>
                  {here.map(({ name, isGroup }) => (
                    <span
                      class={`cursor${isGroup ? "" : " reader"}`}
                      data-cursor={name}
                      style={`view-transition-name:${idOf("cursor", `${ribbon.key} ${name}`)}`}
                    >
                      {name}
                    </span>
                  ))}
                </li>
              );
            })}
            {entries.length === 0 && <li class="nothing">empty</li>}
          </ol>
        </div>
      )}
      {trays.length > 0 && <div class="trays">{trays}</div>}
    </Panel>
  );
};

/** By their numbers; `$` and the like are behind everything. */
function compareIds(a: string, b: string): number {
  if (!/^\d/.test(b)) return -1;
  const [ms, count] = a.split("-").map(Number) as [number, number];
  const [otherMs, otherCount = 0] = b.split("-").map(Number) as [number, number?];
  return ms - otherMs || count - otherCount;
}

/** A channel: what was said, on its way to those who listen. */
export const Fan: FC<{ channel: Scene["channels"][number]; given: Given; isDense: boolean }> = (
  { channel, given, isDense },
) => {
  const { name, listeners, said } = channel;
  const mouth = said.filter(({ isFresh, heardBy }) => isFresh || heardBy.length === 0);
  return (
    <Panel
      kind="PUB/SUB"
      name={name}
      count={listeners.length}
      of={listeners.length === 1 ? "listens" : "listen"}
    >
      {isDense
        ? <Bar size={said.length} />
        : (
          <div class={`fan${listeners.length === 0 ? " deaf" : ""}`}>
            <ol class="mouth">
              {mouth.slice(-3).map(({ card, heardBy, isFresh }) =>
                heardBy.length === 0
                  ? (
                    <CardView
                      card={card}
                      given={given}
                      class={isFresh ? "lost" : "lost faded"}
                      note="heard by 0: gone"
                    />
                  )
                  : heardBy.map((_, i) => (
                    <CardView
                      card={card}
                      given={given}
                      id={`${card.id}-${i}`}
                      class={i > 0 ? "stacked" : undefined}
                    />
                  ))
              )}
              {mouth.length === 0 && <li class="nothing">PUBLISH</li>}
            </ol>
            <div class="rays" aria-hidden="true"></div>
            <ul class="ears">
              {listeners.map((listener) => (
                <li data-listener={listener}>
                  <h3>{listener}</h3>
                  <ol>
                    {said.filter(({ isFresh, heardBy }) => !isFresh && heardBy.includes(listener))
                      .slice(-3).toReversed().map(({ card, heardBy }) => (
                        <CardView
                          card={card}
                          given={given}
                          id={`${card.id}-${heardBy.indexOf(listener)}`}
                        />
                      ))}
                  </ol>
                </li>
              ))}
              {listeners.length === 0 && <li class="nobody">nobody listens</li>}
            </ul>
          </div>
        )}
    </Panel>
  );
};

const RADIUS = 17;
const ROUND = 2 * Math.PI * RADIUS;

/** Somebody who works or listens, and what is in hand. */
export const BoxView: FC<{ box: Box; given: Given; isDense: boolean }> = (
  { box, given, isDense },
) => (
  <li
    class={`box${box.isGone ? " gone" : ""}${box.cards.length > 0 ? " busy" : ""}`}
    data-worker={box.name}
    id={box.id}
    style={isDense ? undefined : `view-transition-name:${box.id}`}
  >
    <svg viewBox="0 0 40 40" class={box.lease !== undefined && box.lease < 0.34 ? "late" : ""}>
      <circle cx="20" cy="20" r={RADIUS} class="track" />
      {box.lease !== undefined && (
        <circle
          cx="20"
          cy="20"
          r={RADIUS}
          class="left"
          stroke-dasharray={ROUND.toFixed(1)}
          stroke-dashoffset={(ROUND * (1 - box.lease)).toFixed(1)}
        />
      )}
      <text x="20" y="25">{box.isGone ? "✝" : box.cards.length || "·"}</text>
    </svg>
    <div>
      <h3>{box.name}</h3>
      <p>
        {box.doing}
        {box.leftMs !== undefined && box.leftMs > 0 && !isDense &&
          `, ${(box.leftMs / 1_000).toFixed(1)} s left`}
      </p>
      {!isDense && box.cards.length > 0 && (
        <ol>
          {box.cards.slice(0, 4).map((card) => (
            <CardView card={card} given={given} class={box.isGone ? "lost" : undefined} />
          ))}
          {box.cards.length > 4 && <li class="more">{box.cards.length - 4} more</li>}
        </ol>
      )}
    </div>
  </li>
);

/** What was sent. */
export const Commands: FC<{ lines: Line[]; counts: Scene["counts"]; isDense: boolean }> = (
  { lines, counts, isDense },
) => (
  <aside id="commands">
    <h2>
      <i>MONITOR</i> {isDense ? "commands since the last picture" : "what Redis was told"}
    </h2>
    {isDense
      ? (
        <ol class="totals">
          {counts.slice(0, 16).map(([command, times]) => (
            <li>
              <code>{command}</code>
              <b>×{times.toLocaleString("en")}</b>
            </li>
          ))}
        </ol>
      )
      : (
        <ol class="lines">
          {lines.slice(-26).map(({ text, isInLua, who, times }) => (
            <li class={isInLua ? "lua" : ""}>
              {who && <small>{who}</small>}
              <code>{text}</code>
              {times > 1 && <b>×{times}</b>}
            </li>
          ))}
          {lines.length === 0 && <li class="nothing">nothing yet</li>}
        </ol>
      )}
  </aside>
);
