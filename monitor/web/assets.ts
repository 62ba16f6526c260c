/**
 * Everything a page loads, from this server and nowhere else: htmx, uPlot and the typefaces as their npm
 * packages have them, our stylesheet and our script.
 *
 * The manifests are imported so that the packages are there when the files are read, and for their
 * versions, which stand in the URLs: so a browser may keep what it has for ever.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import inter from "@fontsource-variable/inter/package.json" with { type: "json" };
import mono from "@fontsource-variable/jetbrains-mono/package.json" with { type: "json" };
import htmx from "htmx.org/package.json" with { type: "json" };
import uplot from "uplot/package.json" with { type: "json" };
import { SCRIPT } from "./client.ts";
import { STYLE } from "./style.ts";

/** A file of a package. `import.meta.resolve` knows the versions, but not the names of an import map. */
const FILES: Record<string, string> = {
  "htmx.js": import.meta.resolve("npm:htmx.org@^4/dist/htmx.min.js"),
  "htmx-sse.js": import.meta.resolve("npm:htmx.org@^4/dist/ext/hx-sse.min.js"),
  "uplot.js": import.meta.resolve("npm:uplot@^1/dist/uPlot.iife.min.js"),
  "uplot.css": import.meta.resolve("npm:uplot@^1/dist/uPlot.min.css"),
  "inter.woff2": import.meta.resolve(
    "npm:@fontsource-variable/inter@^5/files/inter-latin-wght-normal.woff2",
  ),
  "mono.woff2": import.meta.resolve(
    "npm:@fontsource-variable/jetbrains-mono@^5/files/jetbrains-mono-latin-wght-normal.woff2",
  ),
};

const OWN: Record<string, string> = {
  "style.css": STYLE,
  "app.js": SCRIPT,
  "icon.svg":
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" \
rx="8" fill="#4451c9"/><path d="M8 10h16M8 16h11M8 22h6" stroke="#fff" stroke-width="3" \
stroke-linecap="round"/></svg>`,
};

const TYPES: Record<string, string> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  woff2: "font/woff2",
};

/** Changes when anything here does. */
const VERSION: string = createHash("sha256").update(
  JSON.stringify([htmx.version, uplot.version, inter.version, mono.version, OWN]),
).digest("hex").slice(0, 10);

const loaded = new Map<string, Promise<BodyInit>>();

/** The URL of a file, from the root of the server. */
export function assetUrl(name: string): string {
  return `/assets/${VERSION}/${name}`;
}

/** The file, or undefined if there is none of this name. */
export async function asset(name: string): Promise<Response | undefined> {
  if (!Object.hasOwn(FILES, name) && !Object.hasOwn(OWN, name)) return undefined;
  let body = loaded.get(name);
  if (!body) loaded.set(name, body = load(name));
  return new Response(await body, {
    headers: {
      "content-type": TYPES[name.split(".").at(-1)!]!,
      "cache-control": "public, max-age=31536000, immutable",
    },
  });
}

async function load(name: string): Promise<BodyInit> {
  const own = OWN[name];
  if (own !== undefined) return own.replaceAll("url(./", `url(/assets/${VERSION}/`);
  return new Uint8Array(await readFile(fileURLToPath(FILES[name]!)));
}
