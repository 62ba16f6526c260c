/** @jsxImportSource hono/jsx */
/**
 * The page: a scene as HTML. Every card has its own name, so that the browser lets it fly from its old
 * place to its new one. Where things move faster than the eye there are numbers in the place of cards.
 *
 * @module
 */
// deno-lint-ignore-file jsx-key -- rendered to text once; the browser goes by ids
import type { Child, FC } from "hono/jsx";
import { html, raw } from "hono/html";
import type { Card } from "./card.ts";
import { cardOf } from "./card.ts";
import type { Box, Line, Scene } from "./board.ts";
import type { Belt, Ladder, Ribbon } from "./look.ts";

/** Names that were given to cards in one page: one name twice, and nothing would fly. */
type Given = Set<string>;

/** What is above the picture. */
export interface Heading {
  title: string;
  /** Where the Redis is. */
  address: string;
}

const CardView: FC<
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

const Panel: FC<{ kind: string; name: string; count: number; of: string; children: Child }> = (
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

const Conveyor: FC<{ belt: Belt; given: Given; isDense: boolean }> = ({ belt, given, isDense }) => {
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

const LadderView: FC<{ ladder: Ladder; now: number; given: Given; isDense: boolean }> = (
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

const RibbonView: FC<
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

const Fan: FC<{ channel: Scene["channels"][number]; given: Given; isDense: boolean }> = (
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

const BoxView: FC<{ box: Box; given: Given; isDense: boolean }> = ({ box, given, isDense }) => (
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

const Commands: FC<{ lines: Line[]; counts: Scene["counts"]; isDense: boolean }> = (
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

/** What changes. */
export const Live: FC<{ scene: Scene }> = ({ scene }) => {
  const { isDense, now, readers } = scene;
  const given: Given = new Set();
  const boxes = scene.boxes.map((box) => <BoxView box={box} given={given} isDense={isDense} />);
  return (
    <div id="scene" class={isDense ? "dense" : "calm"} data-dense={String(isDense)}>
      <p class="pace" id="pace">
        <b>{scene.movesPerSecond.toFixed(scene.movesPerSecond < 10 ? 1 : 0)}</b> moves a second
        {isDense && <em>too fast to follow: counts</em>}
      </p>
      <div class="structures">
        {scene.channels.map((channel) => <Fan channel={channel} given={given} isDense={isDense} />)}
        {scene.structures.map((each) =>
          each.kind === "list"
            ? <Conveyor belt={each} given={given} isDense={isDense} />
            : each.kind === "zset"
            ? <LadderView ladder={each} now={now} given={given} isDense={isDense} />
            : (
              <RibbonView
                ribbon={each}
                readers={readers.filter(({ key }) => key === each.key)}
                given={given}
                isDense={isDense}
              />
            )
        )}
        {scene.structures.length + scene.channels.length === 0 && (
          <section class="panel quiet">
            <p>Nothing is in Redis yet. Start a producer, and look here.</p>
          </section>
        )}
        {scene.dead.filter(({ size }) => size > 0).map(({ queue, size, cards }) => (
          <Panel kind="DEAD" name={queue} count={size} of="dead letters">
            {!isDense && (
              <ol class="grave">
                {cards.slice(0, 8).map((card) => <CardView card={card} given={given} />)}
              </ol>
            )}
          </Panel>
        ))}
      </div>
      {boxes.length > 0 && <ul class="boxes">{boxes}</ul>}
      <Commands lines={scene.lines} counts={scene.counts} isDense={isDense} />
    </div>
  );
};

/** A frame of the picture. */
export interface Frame {
  /** What changed, as the browser gets it. */
  event: string;
  /** The picture alone. */
  picture: string;
  /** Which card lies where: as long as it is the same, nothing has to fly. */
  places: string;
}

/** The next frame after the one with these `places`. */
export async function frameOf(scene: Scene, places: string | undefined): Promise<Frame> {
  const live = String(await <Live scene={scene} />);
  const now = [...live.matchAll(/data-key="[^"]*"|view-transition-name:[\w-]+/g)].join(" ");
  const swap = `outerMorph transition:${!scene.isDense && now !== places}`;
  const event = await html`<hx-partial hx-target="#scene" hx-swap="${swap}">${
    raw(live)
  }</hx-partial>`;
  return { event: String(event), picture: live, places: now };
}

/** The whole document. */
export async function documentOf(
  scene: Scene,
  { title, address }: Heading,
  assetUrl: (name: string) => string,
): Promise<string> {
  const config = JSON.stringify({ includeIndicatorCSS: false, history: false });
  const page = (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="htmx-config" content={config} />
        <title>{`${title} · watch`}</title>
        <link rel="icon" href={assetUrl("icon.svg")} type="image/svg+xml" />
        <link rel="stylesheet" href={assetUrl("style.css")} />
        {/* Not deferred: htmx would then begin at once, now and then before its extension is there. */}
        <script src={assetUrl("htmx.js")}></script>
        <script src={assetUrl("htmx-sse.js")}></script>
      </head>
      <body>
        <header>
          <h1>{title}</h1>
          <p>
            <code>{address}</code> · MONITOR slows this Redis down: for learning, not for production
          </p>
        </header>
        <main hx-sse:connect="/live" hx-swap="none">
          <Live scene={scene} />
        </main>
      </body>
    </html>
  );
  return String(await html`<!DOCTYPE html>${raw(String(page))}`);
}
