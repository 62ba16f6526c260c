/** The documentation names only what is there: files, headings, tasks. Its code runs elsewhere. */
import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const ROOT = new URL("..", import.meta.url);

async function* documents(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name.startsWith(".") || name === "node_modules") continue;
    if (isDirectory) yield* documents(new URL(`${name}/`, folder));
    else if (name.endsWith(".md")) yield new URL(name, folder);
  }
}

const texts = new Map<string, string>();
for await (const { href } of documents(ROOT)) {
  texts.set(href, await Deno.readTextFile(new URL(href)));
}

/** Without fenced code, in which brackets link to nothing and `#` begins a comment. */
function withoutFences(text: string): string {
  return text.replace(/^( *)(```+|~~~+)[\s\S]*?^\1\2$/gm, "");
}

/** Where the links of a text lead: `[text](target)` and `[text]: target`. */
function targets(text: string): string[] {
  const prose = withoutFences(text).replace(/(`+)[^`]+?\1(?!`)/g, "code");
  return [...prose.matchAll(/\]\(<?([^)\s>]+)|^\[[^\]]+\]: (\S+)/gm)]
    .map(([, inline, reference]) => (inline ?? reference)!);
}

/** The anchors that a Markdown viewer gives the headings of a text. */
function anchors(text: string): string[] {
  const seen = new Map<string, number>();
  return [...withoutFences(text).matchAll(/^#{1,6} +(.+?)[ #]*$/gm)].map(([, heading]) => {
    const slug = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}_ -]/gu, "").replaceAll(" ", "-");
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
}

/** What is wrong with a link, or undefined. */
async function wrongWith(target: string, from: string): Promise<string | undefined> {
  const url = new URL(target, from);
  const anchor = decodeURIComponent(url.hash.slice(1));
  url.hash = "";
  const exists = await Deno.stat(url).then(() => true, () => false);
  if (!exists || !url.href.startsWith(ROOT.href)) return `${target} is not in the repository`;
  const text = texts.get(url.href);
  const missing = anchor && text && !anchors(text).includes(anchor);
  return missing ? `${target}: there is no such heading` : undefined;
}

Deno.test("README.md and all other documents link only to files and headings that exist", async () => {
  assert(texts.has(new URL("README.md", ROOT).href), "there is no README.md");
  const wrong: string[] = [];
  for (const [from, text] of texts) {
    for (const target of targets(text).filter((target) => !/^[a-z]+:/.test(target))) {
      const what = await wrongWith(target, from);
      if (what) wrong.push(`${from.slice(ROOT.href.length)}: ${what}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("README.md and all other documents name only tasks that deno.json has", () => {
  const wrong: string[] = [];
  for (const [from, text] of texts) {
    for (const [, task] of text.matchAll(/\bdeno(?:@\d+)? task ([a-z][\w:-]*)/g)) {
      if (!(task! in config.tasks)) {
        wrong.push(`${from.slice(ROOT.href.length)}: deno task ${task}`);
      }
    }
  }
  assertEquals(wrong, []);
});
