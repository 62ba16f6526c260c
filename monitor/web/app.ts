/**
 * The routes: pages for people, their live parts, metrics, and beside them the buttons and the job queue server.
 *
 * @module
 */
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { METRICS_TYPE, metricsText } from "../metrics.ts";
import { type Guard, isSafe } from "../server/guard.ts";
import { jobRoutes } from "../server/jobs.ts";
import {
  badRequest,
  notFound,
  Problem,
  problemResponse,
  toProblem,
  unavailable,
} from "../server/problem.ts";
import type { Queues } from "../server/queues.ts";
import type { Source } from "../server/source.ts";
import { asset } from "./assets.ts";
import { buttonRoutes } from "./buttons.ts";
import { AWAY, type Page, render, type Visit } from "./layout.tsx";
import { type Frame, liveResponse } from "./live.ts";
import type { Operations } from "./operations.ts";
import { errorsPage } from "./pages/errors.tsx";
import { messagePage } from "./pages/message.tsx";
import { messagesPage } from "./pages/messages.tsx";
import { operationPage, operationsPage } from "./pages/operations.tsx";
import { overview } from "./pages/overview.tsx";
import { queuePage } from "./pages/queue.tsx";
import { schedulesPage } from "./pages/schedules.tsx";
import { streamsPage } from "./pages/streams.tsx";
import { awayPage, loginPage, problemPage } from "./pages/trouble.tsx";
import { workersPage } from "./pages/workers.tsx";
import { type Env, formOf, isHere, limited, wantsHtml } from "./requests.ts";
import type { Schedules } from "./schedules.ts";
import { SearchError } from "./search.ts";
import type { Watch } from "./watch.ts";

/** What the routes are made of. */
export interface Parts {
  /** Where the queues are. */
  source: Source;
  /** What pages look at. */
  watch: Watch;
  /** What is done with many messages. */
  operations: Operations;
  /** Who may do what. */
  guard: Guard;
  /** The queues of the job queue server. */
  queues: Queues;
  /** What fires when. */
  schedules: Schedules;
  /** The largest body of a request, in bytes. */
  maxBodyBytes: number;
  /** How many requests may wait for a message, and how many pages may listen. */
  maxWaiting: number;
  maxStreams: number;
  /** Aborts when the server ends. */
  closing: AbortSignal;
  /** Told what nobody expected. */
  onError: (error: unknown) => void;
  /** What the server counts of itself. */
  figures: { reconnects: number; streams: number; waiting: number };
}

/** How long a frame may take, in milliseconds; then Redis does not answer. */
const FRAME_MS = 1_500;

/** Nothing but what this server sends itself, and no script or style that is not in a file. */
const POLICY = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'"],
  fontSrc: ["'self'"],
  connectSrc: ["'self'"],
  formAction: ["'self'"],
  baseUri: ["'none'"],
  frameAncestors: ["'none'"],
};

/** The routes. */
export function appOf(parts: Parts): Hono<Env> {
  const { source, watch, operations, guard, queues, figures, closing } = parts;
  const app = new Hono<Env>();

  app.use(timing);
  app.use(secureHeaders({
    contentSecurityPolicy: POLICY,
    xFrameOptions: "DENY",
    referrerPolicy: "same-origin",
    strictTransportSecurity: false, // that is for whoever ends TLS in front of us to say
  }));
  app.onError((error, c) => failed(c, error, parts));
  app.notFound((c) => failed(c, notFound(`There is no ${c.req.path} here`), parts));
  app.use((c, next) => {
    guard.checkSource(c.req.raw);
    return next();
  });

  app.get("/assets/:version/:name", async (c) => {
    return await asset(c.req.param("name")) ?? c.notFound();
  });
  app.get("/health", async (c) => {
    await (await source.monitor()).now();
    return c.json({ status: "ok" });
  });
  app.use((c, next) => limited(c, parts.maxBodyBytes).then(next));

  app.get("/login", (c) => {
    return show(c, loginPage({ wrong: false, next: c.req.query("next") ?? "/" }), parts);
  });
  app.post("/login", async (c) => {
    const { token, next } = await formOf(c);
    if (!guard.hasToken(token)) {
      await new Promise((resolve) => setTimeout(resolve, 300)); // guessing takes its time
      return show(c, loginPage({ wrong: true, next: next ?? "/" }), parts, 403);
    }
    c.header("set-cookie", guard.session().cookie);
    return c.redirect(isHere(next) ? next : "/", 303);
  });

  app.use(async (c, next) => {
    const visitor = guard.visitor(c.req.raw);
    if (!visitor) return denied(c);
    if (visitor.setCookie && wantsHtml(c)) c.header("set-cookie", visitor.setCookie);
    c.set("visitor", visitor);
    return await next();
  });
  app.post("/logout", async (c) => {
    guard.checkForm(c.get("visitor"), (await formOf(c))["_token"]);
    c.header("set-cookie", guard.endSession());
    return c.redirect("/login", 303);
  });
  app.use((c, next) => {
    if (!isSafe(c.req.raw)) guard.checkWritable();
    return next();
  });

  app.get("/metrics", async (c) => {
    const monitor = await source.monitor().catch(() => undefined);
    const snapshot = await monitor?.look({ hands: 20 }).catch((error) => {
      if (toProblem(error)?.details.kind === "redis-away") return undefined;
      throw error;
    });
    return c.body(metricsText(snapshot, figures), 200, { "content-type": METRICS_TYPE });
  });

  // Programs ask the same addresses, and get JSON.
  app.get("/queues", async (c) => {
    if (wantsHtml(c)) return c.redirect("/");
    return c.json({ queues: await watch.queues() });
  });
  app.get("/queues/:name", async (c, next) => {
    if (wantsHtml(c)) return await next();
    const queue = await watch.registered(c.req.param("name"));
    const { name, kind, lastUsedAt, counts, stats, consumers } = await watch.details(queue);
    return c.json({ name, kind, lastUsedAt, counts, stats, consumers });
  });

  const page = <P extends string>(
    path: P,
    look: (visit: Visit, param: (name: string) => string) => Page | Promise<Page>,
  ) => {
    const param = (c: Context) => (name: string) => c.req.param(name) ?? "";
    app.get(path, async (c) => {
      const visit = visitOf(c, guard, c.req.path);
      const page = await Promise.resolve(look(visit, param(c))).catch((error) => {
        const problem = toProblem(error);
        if (problem?.details.kind === "redis-away") {
          return awayPage(problem.details.detail, watch.heardAt);
        }
        throw error;
      });
      return await show(c, page, parts);
    });
    app.get(`/live${path === "/" ? "/" : path}`, (c) => {
      if (figures.streams >= parts.maxStreams) {
        throw unavailable(
          "too-many-streams",
          "Too many pages",
          `${figures.streams} pages listen already`,
        );
      }
      figures.streams++;
      const visit = { ...visitOf(c, guard, c.req.path.slice("/live".length)), onlyLive: true };
      // The page itself says whether Redis was away when it was made.
      let wasAway = visit.query.has(AWAY) ? true : undefined;
      const frame = async (): Promise<Frame> => {
        try {
          const { live } = await soon(look(visit, param(c)));
          // It was away when the page was made, so the rest of the page is not there.
          if (wasAway === true) return { html: undefined };
          wasAway = false;
          return { html: live ? String(await live) : undefined };
        } catch (error) {
          const problem = toProblem(error);
          if (problem?.details.kind !== "redis-away") return { html: undefined };
          wasAway ??= true;
          return { html: String(await awayPage(problem.details.detail, watch.heardAt).live) };
        }
      };
      return liveResponse(frame, { closing, onEnd: () => figures.streams-- });
    });
  };

  page("/", (visit) => overview(visit, watch));
  page("/queues/:name", (visit, param) => queuePage(visit, watch, param("name")));
  page("/queues/:name/messages", (visit, param) => messagesPage(visit, watch, param("name")));
  page("/queues/:name/errors", (visit, param) => errorsPage(visit, watch, param("name")));
  page("/queues/:name/messages/:id", (visit, param) => {
    return messagePage(visit, watch, { name: param("name"), id: param("id") });
  });
  page("/workers", (visit) => workersPage(visit, watch));
  page("/streams", (visit) => streamsPage(visit, watch));
  page("/schedules", (visit) => schedulesPage(visit, watch, parts.schedules));
  page("/operations", (visit) => operationsPage(visit, operations));
  page("/operations/:id", async (visit, param) => {
    const operation = operations.get(param("id"));
    const { kind } = await watch.registered(operation.queue);
    return operationPage(visit, operation, kind);
  });

  buttonRoutes(app, parts);
  app.route("/", jobRoutes({ queues, maxWaiting: parts.maxWaiting, closing, figures }));
  return app;
}

/** How long the server took, for whoever looks: `server-timing: total;dur=3.2`. */
const timing: MiddlewareHandler = async (c, next) => {
  const startedAt = performance.now();
  await next();
  c.header("server-timing", `total;dur=${(performance.now() - startedAt).toFixed(1)}`);
};

/** What is made, or an error that says that Redis does not answer: it may have just gone, or stand still. */
async function soon(page: Page | Promise<Page>): Promise<Page> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const away = unavailable("redis-away", "Redis is away", `No answer within ${FRAME_MS} ms`);
    timer = setTimeout(() => reject(away), FRAME_MS);
  });
  try {
    return await Promise.race([page, late]);
  } finally {
    clearTimeout(timer);
  }
}

function visitOf(c: Context<Env>, guard: Guard, path: string): Visit {
  const { search } = new URL(c.req.url);
  return {
    path: path + search,
    query: new URLSearchParams(search),
    formToken: c.get("visitor")?.formToken ?? "",
    readOnly: guard.readOnly,
    signsIn: guard.signsIn,
    onlyLive: false,
  };
}

async function show(
  c: Context<Env>,
  page: Page,
  { guard }: Parts,
  status?: 403,
): Promise<Response> {
  const visit = visitOf(c, guard, c.req.path);
  return c.html(await render(page, visit), status ?? page.status ?? 200, {
    "cache-control": "no-store",
  });
}

/** People get a page, programs a problem document; neither gets a stack. */
async function failed(c: Context<Env>, error: unknown, parts: Parts): Promise<Response> {
  let problem = error instanceof SearchError ? badRequest(error.message) : toProblem(error);
  if (!problem) {
    parts.onError(error);
    problem = new Problem({
      status: 500,
      kind: "unexpected",
      title: "Something went wrong here",
      detail: "It is in the log of the server",
    });
  }
  const isBare = c.get("visitor") === undefined;
  return wantsHtml(c)
    ? await show(c, problemPage(problem, isBare), parts)
    : problemResponse(problem);
}

function denied(c: Context): Response {
  if (wantsHtml(c) && isSafe(c.req.raw)) {
    const { pathname, search } = new URL(c.req.url);
    return c.redirect(`/login?next=${encodeURIComponent(pathname + search)}`, 303);
  }
  return problemResponse(
    new Problem({
      status: 401,
      kind: "no-token",
      title: "A token is needed",
      detail: "Send it as Authorization: Bearer …",
      headers: { "www-authenticate": "Bearer" },
    }),
  );
}
