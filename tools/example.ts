/**
 * What an example promises, as a value: the header and the `// Expect:` block of its file, and the
 * command lines in them as arguments for `Deno.Command`. Nothing is started here. It ends with the
 * value, or with a SyntaxError that names the file and what is wrong with it.
 *
 * @module
 */

/** An example file, parsed. */
export interface Example {
  /** Path from the root of the checkout, such as `examples/02_list_queue/polling.ts`. */
  path: string;
  /** What it is called. */
  title: string;
  /** The command that runs it. */
  run: string;
  /** Commands that run beside it. */
  with: string[];
  /** Whether it is about a cluster, and not about one server. */
  cluster: boolean;
  /** The commands Redis gets from its process, housekeeping left out. */
  redis: string[];
  /** The text of the header, its lines joined where a paragraph goes on. */
  lesson: string;
  /** The lines between header and `// Expect:`, blank ones left out. */
  code: string[];
  /** What the process prints, with wildcards. */
  expect: string[];
}

/** A numbered folder of examples. */
export interface Step {
  /** `02`, or `t1` of a tutorial. */
  number: string;
  /** Path from the root, such as `examples/02_list_queue`. */
  path: string;
  /** The heading of its README without the number, or its folder's name. */
  title: string;
  /** The names in the folder, sorted. */
  files: string[];
}

/** The folder that everything here is relative to. */
export const ROOT: URL = new URL("../", import.meta.url);

const TAGS = ["title", "run", "with", "server", "redis"] as const;
type Tags = Record<typeof TAGS[number], string[]>;

/** Parses the text of the file at `path`. */
export function parseExample(text: string, path: string): Example {
  const fail = (what: string): never => {
    throw new SyntaxError(`${path}: ${what}`);
  };
  const [head, header] = /^\/\*\*\n([\s\S]*?)\n \*\/\n/.exec(text) ?? [];
  if (header === undefined) return fail("it does not begin with a /** header */");
  const [, code, block] = /^([\s\S]*?)^\/\/ Expect:\n([\s\S]*)$/m.exec(text.slice(head!.length)) ??
    fail("it has no `// Expect:` line");
  const { tags, lesson } = parseHeader(header, fail);
  const { title: [title], run: [run], redis: [redis] } = tags;
  const script = scriptOf(run!, fail);
  if (script !== path) fail(`@run runs ${script}`);
  for (const command of tags.with) scriptOf(command, fail);
  return {
    path,
    title: title!,
    run: run!,
    with: tags.with,
    cluster: isCluster(tags.server, fail),
    redis: redis === "none" ? [] : redis!.split("·").map((name) => name.trim()),
    lesson,
    code: code!.split("\n").filter((line) => line.trim() !== ""),
    expect: parseExpect(block!, fail),
  };
}

type Fail = (what: string) => never;

function isCluster(servers: string[], fail: Fail): boolean {
  const odd = servers.find((server) => server !== "cluster");
  if (odd !== undefined) fail(`@server says ${odd}; without it there is one, else it is "cluster"`);
  return servers.length > 0;
}

function parseHeader(header: string, fail: Fail): { tags: Tags; lesson: string } {
  const lines = header.split("\n").map((line) => line.replace(/^ \* ?/, ""));
  const blank = lines.indexOf("");
  const tags: Tags = { title: [], run: [], with: [], server: [], redis: [] };
  let values: string[] | undefined;
  for (const line of blank < 0 ? lines : lines.slice(0, blank)) {
    const [, tag, value] = /^@(\w+)\s*(.*)$/.exec(line) ?? [];
    if (tag === undefined) { // a long value goes on in the next line
      if (!values || !line.startsWith(" ")) fail(`not a tag of the header: ${line}`);
      values!.push(`${values!.pop()} ${line.trim()}`);
      continue;
    }
    if (!isTag(tag)) {
      fail(`unknown tag @${tag} (known: ${TAGS.map((name) => `@${name}`).join(" ")})`);
    }
    if (!value) fail(`@${tag} says nothing`);
    values = tags[tag as keyof Tags];
    values.push(value!);
  }
  for (const tag of ["title", "run", "redis"] as const) {
    if (tags[tag].length !== 1) fail(`it needs exactly one @${tag}, but has ${tags[tag].length}`);
  }
  const lesson = (blank < 0 ? [] : lines.slice(blank)).join("\n").trim();
  if (lesson === "") fail("the header has no lesson after a blank line");
  const stray = /^@\w+/m.exec(lesson);
  if (stray) fail(`${stray[0]} stands after the blank line, in the lesson`);
  return { tags, lesson: lesson.replace(/(\S)\n(?=[^\s*-])/g, "$1 ") };
}

function isTag(tag: string): tag is keyof Tags {
  return (TAGS as readonly string[]).includes(tag);
}

function parseExpect(block: string, fail: Fail): string[] {
  const lines = block.trimEnd().split("\n");
  const odd = lines.find((line) => !/^\/\/( |$)/.test(line));
  if (odd !== undefined) {
    fail(odd === "" ? "the Expect block is empty" : `not a line of the Expect block: ${odd}`);
  }
  return lines.map((line) => line.slice("// ".length));
}

/** Reads the example at `path`, which is relative to the root. */
export async function readExample(path: string, root: URL = ROOT): Promise<Example> {
  return parseExample(await Deno.readTextFile(new URL(path, root)), path);
}

/** All steps there are, by their numbers. */
export async function listSteps(root: URL = ROOT): Promise<Step[]> {
  return await foldersIn("examples", /^(\d\d)_/, root);
}

/** The tutorials that the workshop grew from, as steps `t1`, `t2` … */
export async function listTutorials(root: URL = ROOT): Promise<Step[]> {
  const tutorials = await foldersIn("examples/tutorials", /^(\d)_/, root);
  return tutorials.map((step) => ({ ...step, number: `t${step.number}` }));
}

async function foldersIn(parent: string, numbered: RegExp, root: URL): Promise<Step[]> {
  const steps: Step[] = [];
  for (const folder of await namesIn(new URL(`${parent}/`, root))) {
    const [, number] = numbered.exec(folder) ?? [];
    if (!number) continue;
    const path = `${parent}/${folder}`;
    const files = await namesIn(new URL(`${path}/`, root));
    steps.push({ number, path, title: await titleOf(path, root), files });
  }
  return steps;
}

/** Paths of all example files, from the root, in order. */
export function exampleFiles(steps: Step[]): string[] {
  return steps.flatMap(({ path, files }) =>
    files.filter((file) => file.endsWith(".ts")).map((file) => `${path}/${file}`)
  );
}

async function namesIn(folder: URL): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // no examples yet: none
  }
  return names.sort();
}

async function titleOf(path: string, root: URL): Promise<string> {
  const readme = await Deno.readTextFile(new URL(`${path}/README.md`, root)).catch(() => "");
  const heading = /^# +(?:\d\d)?[ ·:.—–-]*(.+)$/m.exec(readme)?.[1];
  return heading ?? path.replace(/^.*\/\d\d_/, "").replaceAll("_", " ");
}

/** Where the server of a command is, and what it gets in addition. */
export interface ArgvOptions {
  /** The server's URL. It goes to the program as `--url` and into its permissions. */
  url: string;
  /** More arguments for the program. They come last, so they win. */
  extra?: string[];
}

/** The arguments for `deno` that run `command` against the server at `url`. */
export function toArgv(command: string, { url, extra = [] }: ArgvOptions): string[] {
  const words = toWords(command);
  return ["run", "--no-prompt", ...words.slice(2).map(readdress(url)), ...extra, "--url", url];
}

/** The same as a reader would type it; `command` itself with the server it names. */
export function toTyped(command: string, { url, extra = [] }: Partial<ArgvOptions>): string {
  if (!url) return [...toWords(command), ...extra].join(" ");
  const words = toWords(command).map(readdress(url));
  return [...words, ...extra, "--url", redacted(url)].join(" ");
}

function redacted(url: string): string {
  const { password } = oneOf(url);
  return password === "" ? url : url.replace(`:${password}@`, ":***@");
}

/** `redis+cluster://…` with several addresses is no URL that `URL` knows. */
const SEVERAL = /^rediss?\+/;

/** The URL as if it named the first of its servers only. */
function oneOf(url: string): URL {
  return new URL(url.replace(SEVERAL, "redis-").replace(/,.*$/, ""));
}

/** The first server that a URL names, without credentials. */
export function hostOf(url: string): string {
  return oneOf(url).host;
}

/** Puts the server's address where a word names the usual one. */
function readdress(url: string): (word: string) => string {
  if (SEVERAL.test(url)) return (word) => word; // its command permits all ports
  const { hostname, port = "" } = new URL(url);
  // Deno resolves a host name before it asks for the permission, so a name goes without a port.
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  const address = isAddress ? `${hostname}:${port || "6379"}` : hostname;
  return (word) =>
    word.endsWith(".ts")
      ? word
      : word.replaceAll("127.0.0.1:6379", address).replaceAll(/\b6379\b/g, port || "6379");
}

/** The example file that a command runs. */
export function scriptOf(
  command: string,
  fail: Fail = (what) => {
    throw new SyntaxError(what);
  },
): string {
  if (/["'`$|&;<>\\]/.test(command)) fail(`a command of plain words is needed: ${command}`);
  const [deno, run, ...rest] = toWords(command);
  const script = rest.find((word) => !word.startsWith("-"));
  if (deno !== "deno" || run !== "run" || !script) {
    fail(`a command \`deno run [--flag=value …] file.ts …\` is needed: ${command}`);
  }
  return script!;
}

function toWords(command: string): string[] {
  return command.trim().split(/\s+/);
}
