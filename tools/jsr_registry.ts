/**
 * A JSR registry on 127.0.0.1 that has this package as it would be published, so that importing it
 * from JSR can be tried before it is. Beside it stand the packages of `links`, under their names.
 *
 * The files are those that `deno publish` says it takes, with the names of the import map replaced
 * as publishing does. All are read when it starts; it ends with {@linkcode JsrRegistry.stop}.
 *
 * @module
 */

import { run } from "./run.ts";

const ROOT = new URL("..", import.meta.url);
const DRY_RUN_MS = 120_000;

/** What a `deno.json` says about a package. */
interface PackageConfig {
  name: string;
  version: string;
  exports: Record<string, string>;
  imports?: Record<string, string>;
  links?: string[];
}

/** Published files: their paths, from the package's folder, and their bytes. */
type Files = Map<string, Uint8Array<ArrayBuffer>>;

/** A registry that runs; see {@linkcode JsrRegistry.start}. */
export class JsrRegistry implements AsyncDisposable {
  /** Where it listens: the value for the environment variable `JSR_URL`. */
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(pages: Files) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      const page = pages.get(new URL(request.url).pathname);
      return page ? new Response(page) : new Response("Not found", { status: 404 });
    });
    this.url = `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /**
   * Collects the files and serves them.
   *
   * @throws {Error} if `deno publish --dry-run` names no file, with what it said
   */
  static async start(): Promise<JsrRegistry> {
    const config = await readConfig(ROOT);
    const pages: Files = new Map();
    await addPackage(pages, config, await publishedFiles(config));
    for (const link of config.links ?? []) {
      const folder = new URL(`${link}/`, ROOT);
      await addPackage(pages, await readConfig(folder), await allFiles(folder));
    }
    return new JsrRegistry(pages);
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.#server.shutdown();
  }

  /** The same as {@linkcode JsrRegistry.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

async function readConfig(folder: URL): Promise<PackageConfig> {
  return JSON.parse(await Deno.readTextFile(new URL("deno.json", folder)));
}

/** The pages that JSR has for a package: its versions, what is in this one, and its files. */
async function addPackage(
  pages: Files,
  { name, version, exports }: PackageConfig,
  files: Files,
): Promise<void> {
  const manifest: Record<string, { size: number; checksum: string }> = {};
  for (const [path, bytes] of files) {
    manifest[`/${path}`] = { size: bytes.length, checksum: await checksum(bytes) };
    pages.set(`/${name}/${version}/${path}`, bytes);
  }
  pages.set(`/${name}/meta.json`, json({ latest: version, versions: { [version]: {} } }));
  pages.set(`/${name}/${version}_meta.json`, json({ manifest, exports }));
}

/** What `deno publish` takes, as it sends it. */
async function publishedFiles({ name, exports, imports }: PackageConfig): Promise<Files> {
  // Behind the package's own name stands what it exports, also where the map has the name itself.
  const own = Object.entries(exports).map(([path, file]) => [name + path.slice(1), file] as const);
  const all: Record<string, string> = { ...Object.fromEntries(own), ...imports };
  // The longer name first: a/b is not the file b of a.
  const names = Object.fromEntries(
    Object.entries(all).sort(([a], [b]) => b.length - a.length),
  );
  const dryRun = await run(
    Deno.execPath(),
    ["publish", "--dry-run", "--allow-dirty", "--no-check"],
    { cwd: ROOT.pathname, env: { NO_COLOR: "1", FORCE_COLOR: "" }, deadlineMs: DRY_RUN_MS },
  );
  const said = `${dryRun.stdout}\n${dryRun.stderr}`;
  const urls = [...said.matchAll(/^ +(file:\S+) \(/gm)].map((match) => match[1]!);
  if (!dryRun.ok || urls.length === 0) throw new Error(`deno publish --dry-run:\n${said}`);
  const files: Files = new Map();
  for (const url of urls) {
    const path = decodeURI(url.slice(ROOT.href.length));
    const bytes = await Deno.readFile(new URL(url));
    files.set(path, /\.tsx?$/.test(path) ? replaceNames(bytes, { path, names }) : bytes);
  }
  return files;
}

async function allFiles(folder: URL): Promise<Files> {
  const files: Files = new Map();
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile) files.set(name, await Deno.readFile(new URL(name, folder)));
  }
  return files;
}

/**
 * A static import or re-export, as `deno fmt` leaves it, up to its specifier. Examples in comments
 * begin with a star, so they stay.
 */
const STATEMENT = /^((?:import|export)\b(?:[\w$\s,*{}]*\bfrom)? )"([^"]+)"/gm;

/** Comments that the compiler reads: where JSX comes from, and types for a package that has none. */
const PRAGMA =
  /^(\/\*\* @jsxImportSource(?:Types)? )(\S+)( \*\/)$|^(\/\/ @ts-types=")([^"]+)(")$/gm;

/** Puts what the import map has for a name in the place of the name. */
function replaceNames(
  bytes: Uint8Array,
  { path, names }: { path: string; names: Record<string, string> },
): Uint8Array<ArrayBuffer> {
  const targetOf = (specifier: string) => {
    const exact = names[specifier];
    if (exact) return exact.replace(/^\.\//, upFrom(path));
    for (const [name, target] of Object.entries(names)) {
      if (specifier !== name && !specifier.startsWith(`${name}/`)) continue;
      return (target + specifier.slice(name.length)).replace(/^\.\//, upFrom(path));
    }
    return specifier;
  };
  const source = new TextDecoder().decode(bytes)
    .replaceAll(
      STATEMENT,
      (_, statement: string, name: string) => `${statement}"${targetOf(name)}"`,
    )
    .replaceAll(
      PRAGMA,
      (_, jsx?: string, source?: string, end?: string, ...types: string[]) =>
        jsx ? jsx + targetOf(source!) + end : types[0] + targetOf(types[1]!) + types[2],
    );
  return new TextEncoder().encode(source);
}

/** The way from a file to the package's folder: `./` or `../../`. */
function upFrom(path: string): string {
  return "../".repeat(path.split("/").length - 1) || "./";
}

async function checksum(bytes: BufferSource): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return `sha256-${new Uint8Array(digest).toHex()}`;
}

function json(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}
