/** How a script of a queue with leases is put together from parts. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { leanLua } from "../queue/leased_script.ts";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";

/** All scripts of all kinds, by name. */
const ALL = Object.values(LEASED_SCRIPTS).flatMap((scripts) => Object.values(scripts));

Deno.test("leanLua leaves out functions that nothing calls, and what only those call", () => {
  const lua = `
local function called(n) return n end
local function of_unused() return 1 end
local function unused()
  if true then
    return of_unused()
  end
end
local function recursive(n)
  return recursive(n - 1)
end
return called(1)`;
  assertEquals(leanLua(lua), "local function called(n) return n end\nreturn called(1)");
});

Deno.test("leanLua leaves out comments, and no part of a text", () => {
  const lua = `-- about it
local dash = "--" .. '-- "'  -- the end
return "a \\" -- b"`;
  assertEquals(leanLua(lua), `local dash = "--" .. '-- "'\nreturn "a \\" -- b"`);
});

Deno.test("a script has each of its functions called, and each of its keys named", () => {
  for (const { name, text } of ALL) {
    const [, body] = text.split(/^local first_of_rest = .*$/m);
    for (const [, called] of text.matchAll(/^local function (\w+)/gm)) {
      assert(text.split(new RegExp(`\\b${called}\\b`)).length > 2, `${called} in ${name}`);
    }
    for (const [, key] of text.matchAll(/^local (\w+) = KEYS/gm)) {
      assertMatch(body!, new RegExp(`\\b${key}\\b`), name);
    }
    assertMatch(text, /^local \w+ = KEYS\[1\]$/m, name);
  }
});
