/** Threads and processes on Node and Bun: bundled by Deno, run by what is on the path. */
import { assertEquals } from "@std/assert";
import { run, which } from "../tools/run.ts";

const ROOT = new URL("..", import.meta.url);

const HANDLERS = `export const handlers = {
  process_data: ({ data }) => ({ processed_data: data * 2 }),
  fail() { throw new TypeError("bad") },
  spin() { for (;;); },
  exit: () => process.exit(2),
  stray: () => new Promise(() => setTimeout(() => { throw new RangeError("out") })),
};`;

const CHILD = `import { stopSignal } from "./mod.js";
const signal = stopSignal();
const timer = setInterval(() => {}, 1_000);
console.log("up");
signal.addEventListener("abort", () => {
  clearInterval(timer);
  console.log(signal.reason.message);
});`;

const PROGRAM = `import { ThreadPool, supervise } from "./mod.js";
const beside = (path) => new URL(path, import.meta.url);
const pool = new ThreadPool({ module: beside("./handlers.mjs"), threads: 2, abortMs: 100, onEvent() {} });
await pool.start();
for (const task of ["fail", "exit", "stray", "spin", "process_data"]) {
  const signal = task === "spin" ? AbortSignal.timeout(1_000) : undefined;
  const done = pool.run(task, { data: 42 }, { signal });
  console.log(JSON.stringify(await done.catch(({ name, message }) => name + ": " + message)));
}
await pool.close();
const exits = [];
const started = (count) => new Promise((resolve) => {
  const look = setInterval(() => crew.pids.length < count || resolve(clearInterval(look)), 20);
});
const crew = supervise({
  module: beside("./child.mjs"),
  processes: 1,
  backoff: { baseMs: 10 },
  onEvent: ({ type, code, signal }) => type === "exited" && exits.push(code ?? signal),
});
await started(1);
process.kill(crew.pids[0], "SIGKILL");
while (exits.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
await started(1);
await new Promise((resolve) => setTimeout(resolve, 1_000)); // until it listens
await crew.stop();
console.log(JSON.stringify(exits));`;

const SAYS = `"TypeError: bad"
"Error: The thread of the task \\"exit\\" crashed: it ended itself with exit code 2"
"Error: The thread of the task \\"stray\\" crashed: RangeError: out"
"Error: The handler of the task \\"spin\\" ignored its signal for 100 ms, so its thread was ended"
{"processed_data":84}
The program was asked to end by SIGTERM
["SIGKILL",0]`;

for (const runtime of ["node", "bun"]) {
  const path = await which(runtime);
  Deno.test(`ThreadPool and supervise run on ${runtime}`, { ignore: !path }, async () => {
    const dir = await Deno.makeTempDir();
    try {
      const entries = ["queue/tasks/mod.ts", "queue/tasks/thread.ts"];
      const args = ["bundle", "--quiet", "--code-splitting", "--outdir", dir, ...entries];
      const bundled = await run(Deno.execPath(), args, { cwd: ROOT.pathname, deadlineMs: 30_000 });
      assertEquals(bundled.stderr, "");
      const files = { "handlers.mjs": HANDLERS, "child.mjs": CHILD, "main.mjs": PROGRAM };
      for (const [name, text] of Object.entries(files)) {
        await Deno.writeTextFile(`${dir}/${name}`, text);
      }
      const { ok, stdout, stderr } = await run(path!, [`${dir}/main.mjs`], { deadlineMs: 20_000 });
      const said = stdout.split("\n").filter((line) => line !== "up"); // the killed one said so, or not
      assertEquals([stderr, said.join("\n"), ok], ["", SAYS, true]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}
