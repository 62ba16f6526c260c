/** @jsxImportSource hono/jsx */
/**
 * What pages are made of: times, bars, badges, forms. Text is escaped by JSX, everywhere; nothing here
 * writes markup by hand, and nothing needs a style attribute, which our policy forbids.
 *
 * @module
 */
import type { ConsumerInfo, Counts, QueueStats, RegisteredQueue } from "@workshop/redis-patterns";
import type { Child, FC } from "hono/jsx";
import { raw } from "hono/html";
import { cut, duration, inert, instant, shares, whole } from "../format.ts";
import { behind, type State } from "./commands.ts";
import type { Verb } from "./operations.ts";

/** The states in the order of a message's life, with the words for people. */
export const STATES = [
  ["ready", "Ready"],
  ["leased", "In hand"],
  ["delayed", "Delayed"],
  ["dead", "Dead"],
] as const;

/** A name or an id, inert and not too long; the whole of it when pointed at. */
export const Text: FC<{ children: string; width?: number }> = ({ children, width = 120 }) => {
  const text = inert(children);
  const short = cut(text, width);
  return short === text ? <>{text}</> : <span title={text}>{short}</span>;
};

/** How long ago, or until when; `at` and `now` by Redis's clock. */
export const When: FC<{ at: number; now: number }> = ({ at, now }) => {
  if (!(at > 0)) return <span class="muted">unknown</span>;
  const ago = now - at;
  return <time datetime={isoOf(at)} title={zoned(at)} class="nowrap">{passed(ago)}</time>;
};

/** `12 s ago`, `in 3 min 5 s`; under a second nothing that changes while one looks at it. */
export function passed(ago: number): string {
  if (Math.abs(ago) < 1_000) return ago >= 0 ? "just now" : "now";
  return ago > 0 ? `${duration(floorSecond(ago))} ago` : `in ${duration(floorSecond(-ago))}`;
}

/** An instant by the clock of this server, and which clock that is: whoever reads it may be elsewhere. */
export function zoned(at: number): string {
  const words = instant(at);
  if (words === "") return "";
  const ahead = -new Date(at).getTimezoneOffset();
  const [hours, minutes] = [Math.floor(Math.abs(ahead) / 60), Math.abs(ahead) % 60];
  const rest = minutes > 0 ? `:${String(minutes).padStart(2, "0")}` : "";
  return `${words} UTC${ahead === 0 ? "" : `${ahead > 0 ? "+" : "−"}${hours}${rest}`}`;
}

/** No fractions of what changes while one looks at it. */
export function floorSecond(ms: number): number {
  return ms < 1_000 ? ms : Math.floor(ms / 1_000) * 1_000;
}

function isoOf(ms: number): string {
  return Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString() : "";
}

/** The four states as one bar. */
export const StateBar: FC<{ counts: Counts }> = ({ counts }) => {
  const parts = shares(STATES.map(([state]) => counts[state]), 200);
  let x = 0;
  const label = STATES.map(([state, words]) => `${words.toLowerCase()} ${whole(counts[state])}`);
  return (
    <svg
      class="bar"
      viewBox="0 0 200 8"
      preserveAspectRatio="none"
      role="img"
      aria-label={label.join(", ")}
    >
      <title>{label.join(", ")}</title>
      {parts.map((width, i) => {
        const rect = width > 0 && (
          <rect x={x} y="0" width={width} height="8" class={STATES[i]![0]} />
        );
        x += width;
        return rect;
      })}
    </svg>
  );
};

/** How a count is shown: dead letters are to be seen. */
export function toneOf(state: (typeof STATES)[number][0], counts: Counts): "bad" | undefined {
  return state === "dead" && counts.dead > 0 ? "bad" : undefined;
}

/** One value for each of the last sixty minutes. */
export function perMinute(stats: QueueStats, what: "enqueued" | "acked" | "failed", now: number) {
  const last = Math.floor(now / 60_000);
  const byMinute = new Map(stats.minutes.map((minute) => [minute.at / 60_000, minute[what]]));
  return Array.from({ length: 60 }, (_, i) => byMinute.get(last - 59 + i) ?? 0);
}

/** A line of values, without axes. The last is that of the running minute, which is not over: it is dotted. */
export const Spark: FC<{ values: readonly number[]; label: string; class?: string }> = (
  { values, label, class: name = "spark" },
) => {
  const most = Math.max(...values, 1);
  const points = values.map((value, i) => {
    const y = 36 - 33 * value / most;
    return `${(132 * i / (values.length - 1)).toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg
      class={values.some((value) => value > 0) ? name : `${name} idle`}
      viewBox="0 0 132 38"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <polygon points={`0,38 ${points.join(" ")} 132,38`} fill="currentColor" opacity=".1" />
      {[points.slice(0, -1), points.slice(-2)].map((some, i) => (
        <polyline
          points={some.join(" ")}
          fill="none"
          stroke="currentColor"
          stroke-width="1.6"
          stroke-linejoin="round"
          stroke-dasharray={i === 1 ? "1 3" : undefined}
          stroke-linecap={i === 1 ? "round" : undefined}
          vector-effect="non-scaling-stroke"
        />
      ))}
    </svg>
  );
};

/** Nothing to show, and what would make something appear. `alone`: there is nothing else on the page. */
export const Empty: FC<{ title: string; alone?: boolean; children?: Child }> = (
  { title, alone = false, children },
) => (
  <div class="empty">
    <svg viewBox="0 0 44 44" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">
      <rect x="6" y="9" width="32" height="7" rx="3.5" />
      <rect x="6" y="20" width="24" height="7" rx="3.5" />
      <rect x="6" y="31" width="15" height="7" rx="3.5" stroke-dasharray="3 4" />
    </svg>
    {alone ? <h1>{title}</h1> : <h2>{title}</h2>}
    {children}
  </div>
);

/** What a queue is made of, whether it is paused, and why nobody works. */
export const Badges: FC<{ kind: string; paused?: boolean | undefined; idle?: string | undefined }> =
  (
    { kind, paused, idle },
  ) => (
    <>
      <span class="badge" title={KINDS[kind]}>{kind}</span>
      {paused && (
        <span class="badge warn" title="Nothing is handed out until somebody resumes it">
          paused
        </span>
      )}
      {idle && <span class="badge bad" title="Messages wait, and nobody takes them">{idle}</span>}
    </>
  );

const KINDS: Readonly<Record<string, string>> = {
  list: "ReliableQueue, a LIST: first in, first out",
  priority: "PriorityQueue, a ZSET: the most urgent first",
  stream: "StreamQueue, a STREAM with a consumer group",
  tasks: "TaskQueue, a STREAM of tasks with their records",
};

/** Why nobody takes what waits, if that is so and the queue itself is not paused. */
export function idleness({ counts, consumers }: {
  counts: Counts;
  consumers: readonly ConsumerInfo[];
}): string | undefined {
  if (counts.ready === 0 || counts.paused) return undefined;
  if (consumers.length === 0) return "no workers";
  return consumers.every(({ paused }) => paused) ? "all workers paused" : undefined;
}

/** Copies what an element says; where a browser has no script, or no right to, it is not there. */
export const Copy: FC<{ from: string; what: string }> = ({ from, what }) => (
  <button type="button" class="link only-js" data-copy={from} aria-label={`Copy ${what}`}>
    Copy
  </button>
);

/** How much JSON is coloured, in characters: each piece costs an element. */
const COLOURED = 16_384;

/** JSON with its parts told apart; other text as it is. */
export const Json: FC<{ children: string; label: string; id?: string }> = (
  { children, label, ...rest },
) => {
  const text = inert(children, { lines: true });
  const parts: Child[] = [];
  let from = 0;
  for (const piece of text.length > COLOURED ? [] : text.matchAll(PIECES)) {
    const [whole, key, string] = piece;
    parts.push(text.slice(from, piece.index));
    parts.push(<span class={key ? "key" : string ? "text" : "value"}>{whole}</span>);
    from = piece.index + whole.length;
  }
  return <pre tabindex={0} aria-label={label} {...rest}>{parts}{text.slice(from)}</pre>;
};

const PIECES =
  /("(?:[^"\\]|\\.)*")(?=\s*:)|("(?:[^"\\]|\\.)*")|-?\b\d[\d.eE+-]*|\b(?:true|false|null)\b/g;

/**
 * Loads the page again after some seconds, where a browser has no script. Not as JSX: that would lift the
 * `meta` out of its `noscript` into the head, and load it again under the hands of everybody.
 */
export const Refresh: FC<{ seconds: number }> = ({ seconds }) => (
  <>{raw(`<noscript><meta http-equiv="refresh" content="${Math.ceil(seconds)}"></noscript>`)}</>
);

/** In the live part: what somebody types, chooses or opens here stays as it is when a frame comes. */
export const Kept: FC<{ id: string; children?: Child }> = ({ id, children }) => (
  <div id={id} hx-morph-skip="">{children}</div>
);

/** A form that changes something: it carries what only our pages know. */
export const Change: FC<
  { action: string; token: string; class?: string; id?: string; children?: Child }
> = (
  { action, token, children, ...rest },
) => (
  <form method="post" action={action} {...rest}>
    <input type="hidden" name="_token" value={token} />
    {children}
  </form>
);

/** What behind() says stands behind a button, as its tooltip: the call, and what Redis is told. */
export function tooltip({ call, redis }: { call: string; redis: readonly string[] }): string {
  return [call, ...redis].join("\n");
}

/** A button that acts on all messages of a queue's state that match a search; what it would do is asked first. */
export const OnMatching: FC<{
  queue: Pick<RegisteredQueue, "name" | "kind">;
  visit: { readonly formToken: string };
  state: State;
  verb: Verb;
  query: string;
  label: string;
  slim?: boolean;
  children?: Child;
}> = ({ queue: { name, kind }, visit, state, verb, query, label, slim = false, children }) => (
  <Change
    action={`${pathOf("queues", name)}/plan`}
    token={visit.formToken}
    class={slim ? "inline" : undefined}
  >
    <input type="hidden" name="state" value={state} />
    <input type="hidden" name="q" value={query} />
    <button
      type="submit"
      name="act"
      value={`${verb}:matching`}
      class={slim ? "slim" : undefined}
      title={tooltip(behind({ name, kind, state, verb }))}
      aria-label={label}
    >
      {children}
    </button>
  </Change>
);

/** A path of this server whose parts are anybody's text. */
export function pathOf(...parts: string[]): string {
  return `/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

/** A path with a query; what is undefined or empty is left out. */
export function withQuery(path: string, query: Record<string, string | undefined>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value) params.set(key, value);
  return params.size > 0 ? `${path}?${params}` : path;
}

/** `1 message`, `2 messages`. */
export function plural(n: number, one: string): string {
  return `${whole(n)} ${one}${n === 1 ? "" : "s"}`;
}
