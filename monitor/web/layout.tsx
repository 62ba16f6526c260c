/** @jsxImportSource hono/jsx */
/**
 * The frame of every page: heading, navigation, and the part that is told of changes.
 *
 * @module
 */
import type { Child, FC } from "hono/jsx";
import { html, raw } from "hono/html";
import { assetUrl } from "./assets.ts";
import { Change, Refresh } from "./parts.tsx";

/** What a page says. */
export interface Page {
  /** For the window. */
  title: string;
  /** 200 if not said. */
  status?: 404 | 403 | 400 | 500 | 503 | 421 | 409;
  /** Where one is: which entry of the navigation. */
  at?: string;
  /** What is sent anew when it changes. */
  live?: Child;
  /** What stays as it is. */
  rest?: Child;
  /** Without navigation: whoever sees it is not in yet. */
  bare?: boolean;
}

/** Who looks, and at what. */
export interface Visit {
  /** Path and query. */
  readonly path: string;
  /** The query. */
  readonly query: URLSearchParams;
  /** What forms carry. */
  readonly formToken: string;
  /** Whether nothing may be changed. */
  readonly readOnly: boolean;
  /** Whether one can sign out. */
  readonly signsIn: boolean;
  /** Only `live` is wanted. */
  readonly onlyLive: boolean;
}

/** In the address of a live part: the page was made while Redis was away, and has nothing else. */
export const AWAY = "_away";

const NAVIGATION = [
  ["/", "Queues"],
  ["/workers", "Workers"],
  ["/streams", "Streams"],
  ["/schedules", "Schedules"],
  ["/operations", "Operations"],
] as const;

const Brand = () => (
  <a class="brand" href="/">
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#4451c9" />
      <path d="M8 10h16M8 16h11M8 22h6" stroke="#fff" stroke-width="3" stroke-linecap="round" />
    </svg>
    redis-patterns
  </a>
);

const Top: FC<{ page: Page; visit: Visit }> = ({ page, visit }) => (
  <header class="top">
    <div>
      <Brand />
      <nav class="main" aria-label="Main">
        {!page.bare &&
          NAVIGATION.map(([href, words]) => (
            <a href={href} aria-current={page.at === href ? "page" : undefined}>{words}</a>
          ))}
      </nav>
      <div class="side">
        {visit.readOnly && <span class="badge">read-only</span>}
        {page.live && (
          <span id="live-state" class="only-js" role="status">
            <i></i>
            <span>live</span>
          </span>
        )}
        <button
          type="button"
          class="icon only-js"
          data-theme-button=""
          aria-label="Light or dark"
          title="Light or dark"
        >
          <svg
            viewBox="0 0 20 20"
            fill="none"
            stroke="currentColor"
            stroke-width="1.6"
            aria-hidden="true"
          >
            <circle cx="10" cy="10" r="7.2" />
            <path d="M10 2.8a7.2 7.2 0 0 1 0 14.4z" fill="currentColor" />
          </svg>
        </button>
        {visit.signsIn && !page.bare && (
          <Change action="/logout" token={visit.formToken} class="inline">
            <button class="link" type="submit">Sign out</button>
          </Change>
        )}
      </div>
    </div>
  </header>
);

/** The whole document. */
export function documentOf(page: Page, visit: Visit) {
  // Said here and not by htmx: our policy permits no style that is not in a file.
  const config = JSON.stringify({ includeIndicatorCSS: false, history: false });
  const away = page.status === 503 ? `${visit.path.includes("?") ? "&" : "?"}${AWAY}=1` : "";
  const live = { "hx-sse:connect": `/live${visit.path}${away}`, "hx-swap": "innerMorph" };
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="same-origin" />
        <meta name="htmx-config" content={config} />
        <title>{`${page.title} · redis-patterns`}</title>
        <link rel="icon" href={assetUrl("icon.svg")} type="image/svg+xml" />
        <link rel="stylesheet" href={assetUrl("uplot.css")} />
        <link rel="stylesheet" href={assetUrl("style.css")} />
        <script src={assetUrl("app.js")}></script>
        <script src={assetUrl("uplot.js")} defer></script>
        {/* Not deferred: htmx would then begin at once, now and then before its extension is there. */}
        <script src={assetUrl("htmx.js")}></script>
        <script src={assetUrl("htmx-sse.js")}></script>
        {page.status === 503 && <Refresh seconds={5} />}
      </head>
      <body>
        <a class="skip" href="#main">To the content</a>
        <Top page={page} visit={visit} />
        <main id="main" tabindex={-1}>
          {page.live && <div id="live" {...live}>{page.live}</div>}
          {page.rest}
        </main>
        {!page.bare && (
          <footer>
            <span class="grow">
              {visit.readOnly
                ? "This server only shows; nothing can be changed here."
                : "Every button asks before it changes more than one message."}
            </span>
            <span class="only-js wide">
              <kbd>/</kbd> search · <kbd>j</kbd> <kbd>k</kbd> rows · <kbd>x</kbd> select
            </span>
            <a href="/metrics">Metrics</a>
          </footer>
        )}
      </body>
    </html>
  );
}

/** The document as text. */
export async function render(page: Page, visit: Visit): Promise<string> {
  return String(await html`<!DOCTYPE html>${raw(String(await documentOf(page, visit)))}`);
}
