/**
 * What is said of a test run is what `deno test` printed: read from a real run.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { readFailures, readTotals } from "../tools/test_report.ts";
import { run } from "../tools/run.ts";

const PROGRAM = `
Deno.test("good", () => {});
Deno.test("bad | (one)", () => { throw new Error("the value was 7"); });
Deno.test("has steps", async (t) => {
  await t.step("first", () => { throw new TypeError("step of no use"); });
  await t.step("second", () => { throw new TypeError("another"); });
});
Deno.test({ name: "left out", ignore: true, fn() {} });
`;

Deno.test("a test run is read: totals, and each failed test once with its reason", async () => {
  const dir = await Deno.makeTempDir({ prefix: "redis-patterns-" });
  try {
    await Deno.writeTextFile(`${dir}/some_test.ts`, PROGRAM);
    const args = ["test", "--no-config", "--no-check", "some_test.ts"];
    const { stdout } = await run(Deno.execPath(), args, { cwd: dir, deadlineMs: 30_000 });
    assertEquals(readTotals(stdout), { passed: 1, failed: 2, skipped: 1 });
    const failures = readFailures(stdout);
    assertEquals(failures.map(({ name, file }) => [name, file]), [
      ["bad | (one)", "some_test.ts"],
      ["has steps", "some_test.ts"],
    ]);
    assertStringIncludes(failures[0]!.why, "the value was 7");
    assertEquals(failures[0]!.why.includes("    at "), false);
    assertEquals(readFailures(stdout.split("ERRORS")[0]!), []);
    assertEquals(readTotals("error: Module not found"), undefined);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
