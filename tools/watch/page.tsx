/** @jsxImportSource hono/jsx */
/**
 * The page: a scene as HTML. Every card has its own name, so that the browser lets it fly from its old
 * place to its new one. Where things move faster than the eye there are numbers in the place of cards.
 *
 * @module
 */
// deno-lint-ignore-file jsx-key -- rendered to text once; the browser goes by ids
import type { FC } from "hono/jsx";
import { html, raw } from "hono/html";
import type { Scene } from "./board.ts";
import {
  BoxView,
  CardView,
  Commands,
  Conveyor,
  Fan,
  type Given,
  LadderView,
  Panel,
  RibbonView,
} from "./views.tsx";

/** What is above the picture. */
export interface Heading {
  title: string;
  /** Where the Redis is. */
  address: string;
}

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
