/** GUARANTEES.md names tests that there are, and every hazard. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);
const page = await Deno.readTextFile(new URL("GUARANTEES.md", ROOT));

/** The titles of the tests of a file, as they stand in its source. */
async function titlesOf(path: string): Promise<string[]> {
  const source = await Deno.readTextFile(new URL(path, ROOT));
  const calls =
    /\b(?:Deno\.test|\w*[tT]est)\(\s*(?:\{\s*name: )?("(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)/g;
  return [...source.matchAll(calls)].map(([, title]) => title!.slice(1, -1));
}

/** What is wrong with the tests that a text names: `[file](path) "title", "title"`. */
async function deadIn(text: string): Promise<{ dead: string[]; named: number }> {
  const dead: string[] = [];
  let named = 0;
  for (const [, path, quoted] of text.matchAll(/\]\((tests\/[^)]+)\)((?:,? "[^"]+")*)/g)) {
    const titles = await titlesOf(path!).catch(() => []);
    const parts = [...quoted!.matchAll(/"([^"]+)"/g)].map(([, part]) => part!);
    if (parts.length === 0) dead.push(`${path}: names no test`);
    for (const part of parts) {
      named++;
      if (!titles.some((title) => title.includes(part))) dead.push(`${path}: "${part}"`);
    }
  }
  return { dead, named };
}

Deno.test("GUARANTEES.md names only tests that there are", async () => {
  const { dead, named } = await deadIn(page);
  assertEquals(dead, []);
  assert(named > 60, `only ${named} were found`);
});

Deno.test("GUARANTEES.md would be found out if it named a test that is gone", async () => {
  const there = '[x](tests/guarantees_test.ts) "names only tests"';
  const gone = '[x](tests/guarantees_test.ts) "names only tests", "was removed"';
  const nowhere = '[x](tests/no_such_test.ts) "names only tests"';
  const empty = "[x](tests/guarantees_test.ts) |";
  assertEquals((await deadIn(there)).dead, []);
  assertEquals((await deadIn(gone)).dead, ['tests/guarantees_test.ts: "was removed"']);
  assertEquals((await deadIn(nowhere)).dead, ['tests/no_such_test.ts: "names only tests"']);
  assertEquals((await deadIn(empty)).dead, ["tests/guarantees_test.ts: names no test"]);
});

Deno.test("GUARANTEES.md has a row with a test for every hazard", () => {
  const rows = [...page.matchAll(/^\| (\d+) +\|(.*)$/gm)];
  assertEquals(rows.map(([, n]) => Number(n)), Array.from({ length: 25 }, (_, i) => i + 1));
  const without = rows.filter(([, , cells]) => !cells!.includes("](tests/"));
  assertEquals(without.map(([, n]) => n), []);
});
