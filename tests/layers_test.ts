/** The folders are the architecture: this test keeps the arrows between them. */
import { assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);

/** What the modules of each folder may import, besides their own folder; paths from the root. */
const ALLOWED: Record<string, RegExp> = {
  "redis/": /^(redis|node:[a-z]+)$/,
  "queue/": /^(redis\/[a-z_]+\.ts|node:[a-z_]+)$/,
  // Below queue/: nothing in it may import tasks/, or the main export would load a cron library.
  "queue/tasks/": /^((queue|redis)\/[a-z_]+\.ts|croner|node:[a-z_]+)$/,
  "pubsub/": /^(redis\/[a-z_]+\.ts|node:[a-z]+)$/,
  // What a learner writes knows the package alone; its checks also listen to the wire, as tools do.
  "exercises/":
    /^(@workshop\/redis-patterns(\/tasks|\/dashboard)?|#ex\/\w+\.ts|tools\/\w+\.ts|node:[a-z_/]+)$/,
  "solutions/": /^(@workshop\/redis-patterns(\/tasks)?|node:[a-z_/]+)$/,
  "monitor/":
    /^(@workshop\/redis-patterns(\/tasks)?|@std\/cli\/parse-args|cli-table3|ink|react|hono(\/[a-z-]+)*|(@fontsource-variable\/[a-z-]+|htmx\.org|uplot)\/package\.json|node:[a-z_/]+)$/,
  "examples/":
    /^(@workshop\/redis-patterns(\/tasks|\/dashboard)?|@std\/cli\/parse-args|node:[a-z_/]+)$/,
};

async function* modules(folder: URL): AsyncGenerator<URL> {
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory) yield* modules(new URL(`${entry.name}/`, folder));
    else if (/\.tsx?$/.test(entry.name)) yield new URL(entry.name, folder);
  }
}

/** Specifiers of static imports and re-exports; comments (and the examples in them) left out. */
async function imports(file: URL): Promise<string[]> {
  const source = (await Deno.readTextFile(file)).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  return [...source.matchAll(/^(?:import|export)\b[^;]*?from "([^"]+)"|^import "([^"]+)"/gm)]
    .map((match) => (match[1] ?? match[2])!);
}

for (const [folder, allowed] of Object.entries(ALLOWED)) {
  Deno.test(`${folder} imports nothing but what its layer may`, async () => {
    const wrong: string[] = [];
    let seen = 0;
    for await (const file of modules(new URL(folder, ROOT))) {
      if (folder !== "queue/tasks/" && file.pathname.includes("/queue/tasks/")) continue;
      for (const specifier of await imports(file)) {
        seen++;
        const module = specifier.startsWith(".")
          ? new URL(specifier, file).href.slice(ROOT.href.length)
          : specifier;
        const inside = module.startsWith(folder) &&
          !(folder === "queue/" && module.startsWith("queue/tasks/"));
        if (!inside && !allowed.test(module)) {
          wrong.push(`${file.pathname.slice(ROOT.pathname.length)} imports ${specifier}`);
        }
      }
    }
    assertEquals(wrong, []);
    assertEquals(seen > 3, true, "the test found imports to look at");
  });
}

Deno.test("exercises/ are written with the package alone: only their checks use tools/", async () => {
  const wrong: string[] = [];
  for await (const { name } of Deno.readDir(new URL("exercises/", ROOT))) {
    if (!name.endsWith(".ts")) continue;
    const file = new URL(`exercises/${name}`, ROOT);
    for (const specifier of await imports(file)) {
      if (!ALLOWED["solutions/"]!.test(specifier)) wrong.push(`${name} imports ${specifier}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("redis/keys.ts is the only module of the library that spells a key", async () => {
  const wrong: string[] = [];
  for (const folder of ["queue/", "pubsub/", "redis/"]) {
    for await (const file of modules(new URL(folder, ROOT))) {
      if (file.pathname.endsWith("/redis/keys.ts")) continue;
      const source = (await Deno.readTextFile(file)).replace(/\/\*[\s\S]*?\*\//g, "");
      if (/["'`]queue:/.test(source)) wrong.push(file.pathname.slice(ROOT.pathname.length));
    }
  }
  assertEquals(wrong, []);
});

Deno.test("queue/ without queue/tasks/ does not know of tasks", async () => {
  const wrong: string[] = [];
  for await (const { name, isFile } of Deno.readDir(new URL("queue/", ROOT))) {
    if (!isFile) continue;
    const file = new URL(`queue/${name}`, ROOT);
    for (const specifier of await imports(file)) {
      if (specifier.startsWith("./tasks/")) wrong.push(`queue/${name} imports ${specifier}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("mod.ts loads nothing but npm:redis", async () => {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", new URL("mod.ts", ROOT).href],
    cwd: ROOT,
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(output.stdout)) as {
    modules: { kind: string; specifier: string; npmPackage?: string }[];
  };
  const outside = modules.filter((module) => !module.specifier.startsWith(ROOT.href))
    .filter((module) => !/^node:/.test(module.specifier))
    .map((module) => module.npmPackage?.split("@")[0] ?? module.specifier);
  assertEquals([...new Set(outside)], ["redis"]);
});

Deno.test("monitor/cli.ts loads Ink and React for the live screen alone", async () => {
  const root = new URL("monitor/cli.ts", ROOT).href;
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", root],
    cwd: ROOT,
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(output.stdout)) as {
    modules: { specifier: string; dependencies?: Dependency[] }[];
  };
  const dependencies = new Map(modules.map((module) => [module.specifier, module.dependencies]));
  const reached = (follow: (dependency: Dependency) => boolean) => {
    const seen = new Set([root]);
    for (const specifier of seen) {
      for (const dependency of dependencies.get(specifier) ?? []) {
        if (dependency.code && follow(dependency)) seen.add(dependency.code.specifier);
      }
    }
    return [...seen].filter((specifier) => /^npm:\/?(ink|react)@/.test(specifier)).length > 0;
  };
  assertEquals(reached(() => true), true, "the live screen has them");
  assertEquals(reached(({ isDynamic }) => !isDynamic), false);
});

/** An import, as `deno info --json` tells it. */
interface Dependency {
  code?: { specifier: string };
  isDynamic?: boolean;
}

Deno.test("bench/ asks for the versions that the package asks for, and alone for what it compares with", async () => {
  const importsOf = async (path: string): Promise<Record<string, string>> =>
    JSON.parse(await Deno.readTextFile(new URL(path, ROOT))).imports;
  const [ours, theirs] = [await importsOf("deno.json"), await importsOf("bench/deno.json")];
  const versions = Object.entries(theirs).filter(([, specifier]) => /^(npm|jsr):/.test(specifier));
  const alone = versions.filter(([name]) => !(name in ours)).map(([name]) => name);
  assertEquals(alone, ["bee-queue", "bullmq", "ioredis"]);
  const others = versions.filter(([name, version]) => name in ours && ours[name] !== version);
  assertEquals(others, []);
});
