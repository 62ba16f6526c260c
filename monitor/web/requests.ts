/**
 * What is read of a request: its body, which is bounded, the form in it, and whether a page is wanted.
 *
 * @module
 */
import type { Context } from "hono";
import type { Visitor } from "../server/guard.ts";
import type { RequestEnv } from "../server/jobs.ts";
import { badRequest, Problem } from "../server/problem.ts";

/** What is known of a request, as the routes hand it on. */
export interface Env extends RequestEnv {
  Variables: { visitor: Visitor };
}

/**
 * Refuses a body that is too large, as soon as that is known, and reads no more of it. (hono's own limit
 * leaves it half read.)
 */
export async function limited(c: Context, most: number): Promise<void> {
  const { body, headers } = c.req.raw;
  if (!body) return;
  const refuse = () => {
    const detail = `The body may have ${most} bytes at most`;
    return new Problem({ status: 413, kind: "too-large", title: "Too large", detail });
  };
  if (headers.has("content-length") && !headers.has("transfer-encoding")) {
    if (Number(headers.get("content-length")) <= most) return;
    await body.cancel();
    throw refuse();
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) { // leaving the loop cancels it
    bytes += chunk.length;
    if (bytes > most) throw refuse();
    chunks.push(chunk);
  }
  const { url, method } = c.req.raw;
  c.req.raw = new Request(url, {
    method,
    headers,
    body: new Blob(chunks as Uint8Array<ArrayBuffer>[]),
  });
}

/** A form's fields, and the ids that are selected in it. */
export type Form = Record<string, string | undefined> & { ids: string[] };

/** The form in the body. */
export async function formOf(c: Context): Promise<Form> {
  const type = c.req.header("content-type") ?? "";
  if (!type.startsWith("application/x-www-form-urlencoded")) {
    throw badRequest(`This takes a form of a page, not ${type || "a body without a type"}`);
  }
  const params = new URLSearchParams(await c.req.text());
  return { ...Object.fromEntries(params), ids: params.getAll("id") } as Form;
}

/** Whether it is a person with a browser who asks, and no program. */
export function wantsHtml(c: Context): boolean {
  return (c.req.header("accept") ?? "").includes("text/html");
}

/** Where to go after signing in; never to another server. */
export function isHere(path: string | undefined): path is string {
  return path !== undefined && /^\/(?![/\\])/.test(path);
}
