/**
 * What the tests of the web dashboard and the job queue server share: a server on a port of its own, and
 * requests to it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { ReliableQueue } from "@workshop/redis-patterns";
import { Dashboard, type DashboardOptions } from "@workshop/redis-patterns/dashboard";

/** A server that runs. */
export interface Served extends AsyncDisposable {
  /** Where, without a slash at the end. */
  url: string;
  /** What answers. */
  dashboard: Dashboard;
  /** What nobody expected; empty, or the test fails when the server ends. */
  unexpected: unknown[];
}

/** Starts a server. */
export function serve(options: DashboardOptions): Served {
  const unexpected: unknown[] = [];
  const dashboard = new Dashboard({ onError: (error) => unexpected.push(error), ...options });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    dashboard.fetch,
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    dashboard,
    unexpected,
    [Symbol.asyncDispose]: async () => {
      await dashboard.close();
      await server.shutdown();
      assertEquals(unexpected, [], "the server met what it did not expect");
    },
  };
}

/** Posts JSON, and gives the status and the answer. */
export async function post(
  url: string,
  body?: unknown,
  init: RequestInit = {},
): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> {
  const response = await fetch(url, {
    method: "POST",
    ...(body !== undefined && {
      body: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
    ...init,
  });
  const text = await response.text();
  return {
    status: response.status,
    body: text === "" ? {} : JSON.parse(text),
    headers: response.headers,
  };
}

/** A page, as a browser asks for it. */
export async function page(
  url: string,
  init: RequestInit = {},
): Promise<{ status: number; html: string; headers: Headers }> {
  const headers = { accept: "text/html", ...init.headers as Record<string, string> };
  const response = await fetch(url, { redirect: "manual", ...init, headers });
  return { status: response.status, html: await response.text(), headers: response.headers };
}

/** A browser without script: it keeps its cookie, and sends the forms of pages. */
export class Reader {
  #cookie = "";
  readonly #base: string;

  /** Reads the pages of a server. */
  constructor(base: string) {
    this.#base = base;
  }

  /** A page, following redirects. */
  async open(
    path: string,
    init: RequestInit = {},
  ): Promise<{ html: string; path: string; status: number }> {
    const headers = { cookie: this.#cookie, ...init.headers as Record<string, string> };
    const { status, html, headers: got } = await page(this.#base + path, { ...init, headers });
    const cookie = got.get("set-cookie")?.split(";")[0];
    if (cookie) this.#cookie = cookie;
    const to = got.get("location");
    if (to) return await this.open(to);
    return { html, path, status };
  }

  /** Presses a button: sends a form with the token of the page that was opened before. */
  async press(
    path: string,
    from: { html: string },
    fields: [string, string][],
  ): Promise<{ html: string; path: string; status: number }> {
    const token = /name="_token" value="([0-9a-f]+)"/.exec(from.html)?.[1] ?? "";
    const body = new URLSearchParams([["_token", token], ...fields]);
    return await this.open(path, { method: "POST", body });
  }
}

/** Messages that died of several errors. */
export async function bury(
  queue: ReliableQueue<unknown>,
  errors: readonly string[],
  payload: unknown = { to: "ann" },
) {
  await queue.enqueueMany(errors.map(() => payload));
  for (const [i, delivery] of (await queue.receiveMany(errors.length)).entries()) {
    await delivery.deadLetter(errors[i]!);
  }
}
