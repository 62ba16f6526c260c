/**
 * What the watch page loads, from its own server and from nowhere else: htmx and the typefaces as their
 * npm packages have them, and the stylesheet.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import inter from "@fontsource-variable/inter/package.json" with { type: "json" };
import mono from "@fontsource-variable/jetbrains-mono/package.json" with { type: "json" };
import htmx from "htmx.org/package.json" with { type: "json" };
import { hash } from "./card.ts";
import { STYLE } from "./style.ts";

/** Imported by name above, so that the packages are there when their files are read. */
const FILES: Record<string, string> = {
  "htmx.js": import.meta.resolve("npm:htmx.org@^4/dist/htmx.min.js"),
  "htmx-sse.js": import.meta.resolve("npm:htmx.org@^4/dist/ext/hx-sse.min.js"),
  "inter.woff2": import.meta.resolve(
    "npm:@fontsource-variable/inter@^5/files/inter-latin-wght-normal.woff2",
  ),
  "mono.woff2": import.meta.resolve(
    "npm:@fontsource-variable/jetbrains-mono@^5/files/jetbrains-mono-latin-wght-normal.woff2",
  ),
};

const OWN: Record<string, string> = {
  "style.css": STYLE,
  "icon.svg":
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" \
rx="8" fill="#d8462b"/><rect x="5" y="12" width="9" height="8" rx="2" fill="#fff"/><rect x="18" \
y="12" width="9" height="8" rx="2" fill="#fff" opacity=".55"/></svg>`,
};

const TYPES: Record<string, string> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  woff2: "font/woff2",
};

/** Changes when anything here does, so that a browser may keep what it has. */
const VERSION = hash(JSON.stringify([htmx.version, inter.version, mono.version, OWN]));

/** The URL of a file, from the root of the server. */
export function assetUrl(name: string): string {
  return `/assets/${VERSION}/${name}`;
}

/** The file, or undefined if there is none of this name. */
export async function asset(name: string): Promise<Response | undefined> {
  const own = Object.hasOwn(OWN, name) ? OWN[name] : undefined;
  if (own === undefined && !Object.hasOwn(FILES, name)) return undefined;
  const body = own ?? new Uint8Array(await readFile(fileURLToPath(FILES[name]!)));
  return new Response(body, {
    headers: {
      "content-type": TYPES[name.split(".").at(-1)!]!,
      "cache-control": "public, max-age=31536000, immutable",
    },
  });
}
