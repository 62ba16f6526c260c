/**
 * What somebody has who imports the package from JSR: an empty folder, an empty cache, no
 * `deno.json`. The registry is ours, on loopback; npm packages come from npm.
 */

import { assert, assertEquals, assertNotEquals, assertStringIncludes, fail } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { readExample, toArgv } from "../tools/example.ts";
import { difference } from "../tools/example_match.ts";
import { JsrRegistry } from "../tools/jsr_registry.ts";
import { RedisServer } from "../tools/redis_server.ts";
import { run, type RunResult } from "../tools/run.ts";

const DEADLINE_MS = 120_000;
const PACKAGE = `jsr:${config.name}@${config.version}`;

/** Somebody who has nothing yet, and the registry that has our package. */
class Newcomer implements AsyncDisposable {
  /** Ours. */
  readonly registry: JsrRegistry;
  /** An empty folder, and beside it an empty cache. */
  readonly folder: string;
  readonly #home: string;

  private constructor(registry: JsrRegistry, home: string) {
    this.registry = registry;
    this.#home = home;
    this.folder = `${home}/folder`;
  }

  static async arrive(): Promise<Newcomer> {
    const registry = await JsrRegistry.start();
    const newcomer = new Newcomer(registry, await Deno.makeTempDir({ prefix: "redis-patterns-" }));
    await Deno.mkdir(newcomer.folder);
    return newcomer;
  }

  /** Writes a file into the folder. */
  async write(path: string, content: string | Uint8Array): Promise<void> {
    const file = `${this.folder}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(file, bytes);
  }

  /** Runs `deno` in the folder, to its end. */
  async deno(...args: string[]): Promise<RunResult> {
    return await run(Deno.execPath(), args, {
      cwd: this.folder,
      env: {
        DENO_DIR: `${this.#home}/cache`,
        JSR_URL: this.registry.url,
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        FORCE_COLOR: "",
      },
      deadlineMs: DEADLINE_MS,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry.stop();
    await Deno.remove(this.#home, { recursive: true });
  }
}

/** What the registry says is in the package. */
interface VersionMeta {
  manifest: Record<string, { size: number; checksum: string }>;
  exports: Record<string, string>;
}

async function versionMeta({ url }: JsrRegistry): Promise<VersionMeta> {
  const response = await fetch(`${url}/${config.name}/${config.version}_meta.json`);
  return await response.json();
}

Deno.test("ListQueue, imported from JSR, enqueues and receives with --allow-net alone", async () => {
  await using server = await RedisServer.start();
  await using newcomer = await Newcomer.arrive();
  await newcomer.write(
    "main.ts",
    `import { connect, ListQueue } from "jsr:${config.name}";
const redis = await connect({ url: "${server.url}" });
const queue = new ListQueue<{ to: string }>(redis, "mail");
await queue.enqueue({ to: "ann@example.com" });
console.log((await queue.receive())?.payload.to);
await redis.close();
`,
  );
  const net = `--allow-net=${server.host}:${server.port}`;
  const { ok, stdout, stderr } = await newcomer.deno("run", "--no-prompt", net, "main.ts");
  assert(ok, stderr);
  assertEquals(stdout, "ann@example.com");
  assertStringIncludes(stderr, newcomer.registry.url); // downloaded, so the cache was empty
});

Deno.test("ThreadPool, imported from JSR, needs --allow-read for the handlers alone", async () => {
  await using newcomer = await Newcomer.arrive();
  const source = "export const handlers = { twice: ({ data }: { data: number }) => data * 2 };\n";
  await newcomer.write("handlers.ts", source);
  await newcomer.write(
    "main.ts",
    `import { ThreadPool } from "jsr:${config.name}/tasks";
await using pool = new ThreadPool({ module: new URL("./handlers.ts", import.meta.url), threads: 1 });
await pool.start();
console.log(await pool.run("twice", { data: 42 }));
`,
  );
  const args = ["run", "--no-prompt", "--allow-read=handlers.ts", "main.ts"];
  const { ok, stdout, stderr } = await newcomer.deno(...args);
  assert(ok, stderr);
  assertEquals(stdout, "84");
});

Deno.test("supervise, imported from JSR, runs children and stops them", async () => {
  await using newcomer = await Newcomer.arrive();
  const library = `jsr:${config.name}/tasks`;
  await newcomer.write(
    "worker.ts",
    `import { stopSignal } from "${library}";
const signal = stopSignal();
console.log("up");
const timer = setInterval(() => {}, 1_000);
signal.addEventListener("abort", () => (clearInterval(timer), console.log(signal.reason.message)));
`,
  );
  await newcomer.write(
    "main.ts",
    `import { supervise } from "${library}";
const crew = supervise({
  module: new URL("./worker.ts", import.meta.url),
  processes: 1,
  runtimeArgs: [],
});
await new Promise((resolve) => setTimeout(resolve, 3_000));
await crew.stop();
`,
  );
  const { ok, stdout, stderr } = await newcomer.deno(
    "run",
    "--no-prompt",
    "--allow-run",
    "main.ts",
  );
  assert(ok, stderr);
  assertEquals(stdout, "up\nThe program was asked to end by SIGTERM");
});

Deno.test("examples/02_list_queue runs by its jsr: specifiers and prints what it promises", async () => {
  await using server = await RedisServer.start();
  await using newcomer = await Newcomer.arrive();
  for (const name of ["producer", "polling"]) {
    const path = `examples/02_list_queue/${name}.ts`;
    const example = await readExample(path);
    const args = toArgv(example.run, { url: server.url })
      .map((arg) => arg === path ? `${PACKAGE}/${path}` : arg);
    const { ok, stdout, stderr } = await newcomer.deno(...args);
    assert(ok, `deno ${args.join(" ")}\n${stdout}\n${stderr}`);
    const wrong = difference(example.expect, stdout.split("\n"));
    if (wrong) fail(wrong);
  }
});

Deno.test("deno.json exports only what is published, and all of it has types on JSR", async () => {
  await using newcomer = await Newcomer.arrive();
  const { manifest, exports } = await versionMeta(newcomer.registry);
  assertEquals(exports, config.exports);
  const programs = Object.keys(manifest).filter((path) =>
    /^\/examples\/(\d\d_|tutorials\/).*\.ts$/.test(path)
  );
  const unnamed = programs.filter((path) => !(`.${path}` in exports));
  assertEquals(unnamed, [], "published, but not exported");
  const missing = Object.values(exports).filter((path) => !manifest[path.slice(1)]);
  assertEquals(missing, [], "exported, but not published");
  const imports = Object.keys(exports)
    .map((name, i) => `import * as module${i} from "${PACKAGE}${name.slice(1)}";\n`);
  await newcomer.write(
    "check.ts",
    `${imports.join("")}import { connect, type ListQueue } from "${PACKAGE}";
export const modules: object[] = [${imports.map((_, i) => `module${i}`)}];
export async function wrong(queue: ListQueue<number>): Promise<void> {
  // @ts-expect-error our types have come along: "one" is no number
  await queue.enqueue("one");
  // @ts-expect-error and those of npm:redis: a number is no key
  await (await connect()).get(1);
}
`,
  );
  const { ok, stderr } = await newcomer.deno("check", "check.ts");
  assert(ok, stderr);
});

Deno.test("deno publish takes every module that a published one imports", async () => {
  await using newcomer = await Newcomer.arrive();
  const { manifest } = await versionMeta(newcomer.registry);
  const modules = Object.keys(manifest).filter((path) => /\.tsx?$/.test(path));
  assertNotEquals(modules, []);
  for (const path of modules) {
    const page = `${newcomer.registry.url}/${config.name}/${config.version}${path}`;
    await newcomer.write(`package${path}`, await (await fetch(page)).bytes());
  }
  await newcomer.write("all.ts", modules.map((path) => `import "./package${path}";\n`).join(""));
  const { ok, stdout, stderr } = await newcomer.deno("info", "--json", "all.ts");
  assert(ok, stderr);
  assertEquals(errorsIn(JSON.parse(stdout)), []);
});

/** Every `error` in what `deno info` says: of a module that is not there, of a bare specifier. */
function errorsIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === "error" ? [String(inner)] : errorsIn(inner)
  );
}

Deno.test("the dashboard, imported from JSR, shows a page with its typefaces and scripts", async () => {
  await using server = await RedisServer.start();
  await using newcomer = await Newcomer.arrive();
  await newcomer.write(
    "main.ts",
    `import { Dashboard } from "jsr:${config.name}/dashboard";
await using dashboard = new Dashboard({ redis: "${server.url}" });
const ask = (path: string) => dashboard.fetch(new Request("http://localhost" + path));
const page = await (await ask("/?")).text();
console.log(page.includes("No queue yet"));
for (const [, path] of page.matchAll(/(?:src|href)="(.assets.[^"]+)"/g)) {
  console.log(path!.split("/").at(-1), (await (await ask(path!)).bytes()).length > 100);
}
`,
  );
  const { ok, stdout, stderr } = await newcomer.deno("run", "-A", "main.ts");
  assert(ok, stderr);
  const files = [
    "icon.svg",
    "uplot.css",
    "style.css",
    "app.js",
    "uplot.js",
    "htmx.js",
    "htmx-sse.js",
  ];
  assertEquals(stdout.split("\n"), ["true", ...files.map((file) => `${file} true`)]);
});
